package main

import (
	"encoding/xml"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// conforms runs the conformance kit against a state's node, as a partner who follows the guide does.
func (s *runningSandbox) conforms(code string) {
	s.t.Helper()
	address := fmt.Sprintf("127.0.0.1:%d", s.port+29)
	kit, trust := filepath.Join(s.t.TempDir(), "tck"), filepath.Join(s.directory, "trust.json")
	comity := func(arguments ...string) {
		s.t.Helper()
		text, err := exec.CommandContext(s.t.Context(), s.program, arguments...).CombinedOutput()
		if err != nil {
			s.t.Fatalf("comity %s: %v\n%s", strings.Join(arguments, " "), err, text)
		}
	}
	comity("exchange-tck", "init", "--dir", kit, "--state", "tck", "--peer-state", code, "--address", address,
		"--ref-area", "QX", "--indicator", "4", "--frequency", "Q", "--period", "2019-Q1,2019-Q2", "--detail", "CITIZENSHIP=country")
	comity("trust", "join", "--list", trust, "--state", "tck", "--name", "Conformance kit", "--address", address, "--ref-area", "QX",
		"--roots", filepath.Join(kit, "certificates/ca.pem"), "--signing-key", filepath.Join(kit, "signing.pub"), "--log-key", filepath.Join(kit, "log.pub"))
	for _, officer := range []string{"first", "second"} {
		comity("trust", "sign", "--list", trust, "--key", filepath.Join(s.directory, "officers", officer+".key"))
	}

	// An officer of the node signs what the kit proposes, and a statistician submits a figure that is news.
	var signing sync.WaitGroup
	signing.Go(func() {
		for _, id := range []string{code + "-tck-conformance", "tck-" + code + "-conformance"} {
			for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
				if _, err := s.run("agreement", "sign", id, "--state", code); err == nil {
					break
				}
			}
		}
		for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			if _, body := s.get(code, "officer", "/v1/deliveries?partner=tck", "application/json"); strings.Contains(string(body), "SENT") {
				break // what is submitted now is another release
			}
		}
		file := filepath.Join(s.t.TempDir(), "more.csv")
		text := "Saksnr;Sted;Statsborgerskap;Kjønn;Begrunnelse;Merknad;År;Kvartal;Antall\n1;Fjellstua;Island;mann;visum;;2028;1;770\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			s.t.Error(err)
		}
		submit := []string{"submit", "--state", code, "--dataflow", "NHV:AVVISNINGER(1.0.0)", "--layout", "nordhav-avvisninger", file}
		if text, err := s.run(submit...); err != nil {
			s.t.Errorf("%v: %s", err, text)
		}
	})
	report := filepath.Join(s.t.TempDir(), "report.xml")
	said, err := exec.CommandContext(s.t.Context(), s.program, "exchange-tck", "--dir", kit, "--trust", trust, "--junit", report,
		"--aftermath", "--wait", "1m", "--frames", "100000").Output()
	signing.Wait()
	if err != nil {
		s.t.Errorf("%v\n%s", err, notOK(string(said)))
	}
	text, err := os.ReadFile(report)
	if err != nil {
		s.t.Fatal(err)
	}
	var suites struct {
		Tests    int    `xml:"tests,attr"`
		Failures int    `xml:"failures,attr"`
		Skipped  int    `xml:"skipped,attr"`
		Time     string `xml:"time,attr"`
	}
	if err := xml.Unmarshal(text, &suites); err != nil {
		s.t.Fatal(err)
	}
	if suites.Tests < 100 || suites.Failures > 0 || suites.Skipped > 0 || !strings.Contains(string(said), fmt.Sprintf("1..%d\n", suites.Tests)) {
		s.t.Errorf("the report counts %+v\n%s", suites, notOK(string(said)))
	}
	s.t.Logf("%d cases in %s s", suites.Tests, suites.Time)
}

// notOK returns what did not pass of a report.
func notOK(report string) string {
	var lines strings.Builder
	block := false
	for line := range strings.Lines(report) {
		switch {
		case strings.HasPrefix(line, "not ok"), strings.Contains(line, "# SKIP"):
			block = true
		case strings.HasPrefix(line, "ok"):
			block = false
		}
		if block {
			lines.WriteString(line)
		}
	}
	return lines.String()
}
