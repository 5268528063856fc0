package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
	"github.com/comity-federation/comity/services/internal/policy/policytest"
)

// refusals is what nordhav provides: in its own terms refusals of entry by quarter.
const refusals = "Q.QN.4._T._T._T._T._T._T"

// runningSandbox is a sandbox whose processes run, seen from outside.
type runningSandbox struct {
	t         *testing.T
	program   string
	directory string
	port      int
	region    string
	policies  string
}

// build builds the five programs, once for all tests of a run.
func build(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "bin")
	for _, b := range []struct{ directory, packages string }{{"../..", "./cmd/..."}, {"../../../gateway", "."}} {
		out := bin + "/"
		if b.packages == "." {
			out += "gateway"
		}
		cmd := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-ldflags=-s -w", "-o", out, b.packages)
		cmd.Dir = b.directory
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("building: %v\n%s", err, text)
		}
	}
	return filepath.Join(bin, "comity")
}

// newSandbox returns a sandbox of the region of made-up states that does not run yet. It is removed after the test.
func newSandbox(t *testing.T, program string) *runningSandbox {
	t.Helper()
	region := filepath.Join(t.TempDir(), "services/cmd/comity/testdata/region") // it names files of ../../../../../deploy
	for from, to := range map[string]string{"testdata/region": region, "../../../deploy/comity": filepath.Join(region, "../../../../../deploy/comity")} {
		if err := os.CopyFS(to, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	s := &runningSandbox{
		t: t, program: program, directory: filepath.Join(t.TempDir(), "sandbox"), port: freePorts(t), region: region,
		policies: policytest.Untested(t, "../../../policies"),
	}
	t.Cleanup(func() {
		if t.Failed() {
			s.showLogs()
		}
		if text, err := exec.Command(program, "sandbox", "down", "--remove", "--dir", s.directory).CombinedOutput(); err != nil {
			t.Errorf("down: %v\n%s", err, text)
		}
	})
	return s
}

// freePorts returns the first of a run of ports that nobody uses, below those that the kernel gives away.
func freePorts(t *testing.T) int {
	t.Helper()
	for range 100 {
		base := 10000 + 40*rand.IntN(500)
		free := true
		for port := base; port < base+30 && free; port++ {
			listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
			if free = err == nil; free {
				_ = listener.Close()
			}
		}
		if free {
			return base
		}
	}
	t.Fatal("no run of free ports")
	return 0
}

// run runs the program on the sandbox.
func (s *runningSandbox) run(arguments ...string) (string, error) {
	s.t.Helper()
	arguments = append(arguments, "--dir", s.directory)
	text, err := exec.CommandContext(s.t.Context(), s.program, arguments...).CombinedOutput()
	return string(text), err
}

func (s *runningSandbox) must(arguments ...string) string {
	s.t.Helper()
	text, err := s.run(arguments...)
	if err != nil {
		s.t.Fatalf("comity %s: %v\n%s", strings.Join(arguments, " "), err, text)
	}
	return text
}

func (s *runningSandbox) up() {
	s.t.Helper()
	s.must("sandbox", "up", "--region", s.region, "--policies", s.policies, "--base-port", strconv.Itoa(s.port))
}

func (s *runningSandbox) showLogs() {
	logs, _ := filepath.Glob(filepath.Join(s.directory, "*", "logs", "*.log"))
	for _, log := range logs {
		text, err := os.ReadFile(log)
		if err != nil {
			s.t.Log(err)
		}
		for line := range strings.Lines(string(text)) {
			if !strings.Contains(line, `"level":"INFO"`) {
				s.t.Logf("%s: %s", filepath.Base(log), line)
			}
		}
	}
}

// state returns what region.json says of a state.
func (s *runningSandbox) state(code string) stateFile {
	s.t.Helper()
	file, err := readRegionFile(s.directory)
	if err != nil || file == nil {
		s.t.Fatalf("region.json: %v", err)
	}
	at := slices.IndexFunc(file.States, func(f stateFile) bool { return f.Code == code })
	if at < 0 {
		s.t.Fatalf("region.json has no state %s", code)
	}
	return file.States[at]
}

// get asks a state's gateway; as nobody in particular where the role is "".
func (s *runningSandbox) get(code, role, path, accept string) (int, []byte) {
	s.t.Helper()
	state := s.state(code)
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, state.Gateway+path, http.NoBody)
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Accept", accept)
	if role != "" {
		token, err := os.ReadFile(filepath.Join(s.directory, state.Tokens[role]))
		if err != nil {
			s.t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+string(token))
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return response.StatusCode, body
}

// observations returns what a state's analyst reads of the harmonised dataflow, each a map of components; none where
// there are none.
func (s *runningSandbox) observations(code, key string) []map[string]string {
	s.t.Helper()
	return s.read(code, "analyst", key)
}

// read returns what somebody in a role reads of the harmonised dataflow.
func (s *runningSandbox) read(code, role, key string) []map[string]string {
	s.t.Helper()
	status, body := s.get(code, role, "/sdmx/v2/data/dataflow/COMITY/BORDER/1.0.0/"+key, "text/csv")
	if status == http.StatusNotFound || status == http.StatusNoContent {
		return nil
	}
	if status != http.StatusOK {
		s.t.Fatalf("%s at %s: %d %s", key, code, status, body)
	}
	records, err := csv.NewReader(strings.NewReader(string(body))).ReadAll()
	if err != nil {
		s.t.Fatalf("%s at %s: %v", key, code, err)
	}
	var rows []map[string]string
	for _, record := range records[1:] {
		observation := map[string]string{}
		for i, component := range records[0] {
			observation[component] = record[i]
		}
		rows = append(rows, observation)
	}
	return rows
}

// refused returns the refusals that a state's analyst reads, by quarter.
func (s *runningSandbox) refused(code string) map[string]string {
	values := map[string]string{}
	for _, o := range s.observations(code, refusals) {
		values[o["TIME_PERIOD"]] = o["OBS_VALUE"]
	}
	return values
}

// table returns the cells of a table with noise, by key and period.
func (s *runningSandbox) table(code, request string) map[string]float64 {
	s.t.Helper()
	analyst := must[*client](s.t)(newClient(s.state(code).Gateway, filepath.Join(s.directory, s.state(code).Tokens["analyst"]), "analyst"))
	ask, answer := &sharingpb.TabulateRequest{}, &sharingpb.TabulateResponse{}
	if err := protojson.Unmarshal([]byte(request), ask); err != nil {
		s.t.Fatal(err)
	}
	if err := analyst.post(s.t.Context(), "/v1/tables", ask, answer); err != nil {
		s.t.Fatal(err)
	}
	cells := map[string]float64{}
	for _, cell := range answer.GetCells() {
		cells[strings.Join(append(cell.GetKey(), cell.GetPeriod()), " ")] = cell.GetCount()
	}
	return cells
}

// deliveries returns what a state received from another, by sequence.
func (s *runningSandbox) deliveries(code, partner string) []*sharingpb.Delivery {
	s.t.Helper()
	officer := must[*client](s.t)(newClient(s.state(code).Gateway, filepath.Join(s.directory, s.state(code).Tokens["officer"]), "officer"))
	answer := &sharingpb.ListDeliveriesResponse{}
	if err := officer.get(s.t.Context(), "/v1/deliveries", url.Values{"partner": {partner}, "pageSize": {"1000"}}, answer); err != nil {
		s.t.Fatal(err)
	}
	received := slices.DeleteFunc(answer.GetDeliveries(), func(d *sharingpb.Delivery) bool {
		return d.GetDirection() != sharingpb.Direction_RECEIVED
	})
	slices.SortFunc(received, func(a, b *sharingpb.Delivery) int { return int(a.GetSequence() - b.GetSequence()) })
	return received
}

func must[T any](t *testing.T) func(T, error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func TestSandbox(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it runs a whole region")
	}
	program := build(t)

	t.Run("another region runs with the same programs", func(t *testing.T) {
		t.Parallel()
		s := newSandbox(t, program)
		s.up()

		t.Log("its partner reads what was agreed, and nothing else")
		here, there := s.refused("nordhav"), s.refused("sydkyst")
		if len(here) == 0 {
			t.Error("nordhav has no refusals")
		}
		if diff := cmp.Diff(here, there); diff != "" {
			t.Errorf("sydkyst reads other totals than nordhav (-nordhav +sydkyst):\n%s", diff)
		}
		for _, o := range s.observations("sydkyst", "*.QN.*.*.*.*.*.*.*") {
			switch n, err := strconv.ParseFloat(o["OBS_VALUE"], 64); {
			case o["OBS_VALUE"] == "" && o["OBS_STATUS"] == "Q" && o["CONF_STATUS"] == "C":
			case err != nil || n > 0 && n < 3:
				t.Errorf("a small cell went out: %v", o)
			}
			for dimension, want := range map[string]string{"FREQ": "Q", "INDICATOR": "4", "SEX": "_T", "DETAIL": "_T", "BORDER_TYPE": "_T"} {
				if o[dimension] != want {
					t.Errorf("%s is %s, which was not agreed: %v", dimension, o[dimension], o)
				}
			}
		}

		t.Log("nothing that it ever received tells it a small count")
		s.onlook("sydkyst", "nordhav")
		s.onlook("nordhav", "sydkyst")

		t.Log("anybody reads what was published, and nothing else")
		totals := map[string]string{}
		for _, o := range s.read("nordhav", "", "*") {
			if n, err := strconv.ParseFloat(o["OBS_VALUE"], 64); o["OBS_STATUS"] != "Q" && (err != nil || n < 5) {
				t.Errorf("it is too small to be published: %v", o)
			}
			if o["CITIZENSHIP"] == "_T" {
				totals[o["TIME_PERIOD"]] = o["OBS_VALUE"]
			}
			for dimension, want := range map[string]string{"FREQ": "Q", "REF_AREA": "QN", "INDICATOR": "4", "SECTION": "_T", "SEX": "_T", "DETAIL": "_T"} {
				if o[dimension] != want {
					t.Errorf("%s is %s, which is not for publication: %v", dimension, o[dimension], o)
				}
			}
		}
		if diff := cmp.Diff(here, totals); diff != "" {
			t.Errorf("anybody reads other totals than nordhav (-nordhav +anybody):\n%s", diff)
		}
		if all := s.read("sydkyst", "", "*"); len(all) > 0 {
			t.Errorf("sydkyst has published nothing, and anybody reads %v", all)
		}

		t.Log("a cell has the same noise in every table")
		const period = `"indicator": "4", "frequency": "Q", "startPeriod": "2022", "endPeriod": "2023"`
		bySection := s.table("nordhav", `{`+period+`, "dimensions": [{"id": "SECTION", "level": "section"}]}`)
		if diff := cmp.Diff(bySection, s.table("nordhav", `{`+period+`, "dimensions": [{"id": "SECTION", "level": "section"}]}`)); diff != "" || len(bySection) == 0 {
			t.Errorf("the second time (-first +second):\n%s", diff)
		}
		for name, count := range bySection {
			section, quarter, _ := strings.Cut(name, " ")
			alone := s.table("nordhav", `{`+period+`, "dimensions": [{"id": "SECTION", "codes": ["`+section+`"]}, {"id": "SEX", "level": "total"}]}`)
			if alone[section+" _T "+quarter] != count {
				t.Errorf("%s is %v among others, and alone %v", name, count, alone)
			}
		}

		t.Log("an agreement that changes is followed without a restart")
		before := s.state("nordhav").PIDs
		s.replace(filepath.Join(s.region, "agreements", "nordhav-sydkyst.yaml"), `["4"]`, `["4", "3"]`)
		if text := s.explain("nordhav", "sydkyst", "3"); !strings.Contains(text, "INDICATOR_NOT_COVERED") {
			t.Errorf("before: %s", text)
		}
		s.must("sandbox", "reload")
		if text := s.explain("nordhav", "sydkyst", "3"); strings.Contains(text, "INDICATOR_NOT_COVERED") {
			t.Errorf("after: %s", text)
		}
		if diff := cmp.Diff(before, s.state("nordhav").PIDs); diff != "" {
			t.Errorf("processes were restarted:\n%s", diff)
		}

		t.Log("its node passes the conformance kit")
		s.conforms("nordhav")

		t.Log("nothing is left running")
		pids := slices.Collect(maps.Values(s.state("nordhav").PIDs))
		s.must("sandbox", "down")
		for _, pid := range pids {
			// A dead one that nobody has waited for yet still has a number, but no program.
			if program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err == nil {
				t.Errorf("process %d runs on: %s", pid, program)
			}
		}
	})

	t.Run("nothing that a state ever received tells it a small count", func(t *testing.T) {
		t.Parallel()
		s := newSandbox(t, program)
		s.region = "../../../deploy/sandbox"
		s.up()
		if s.onlook("gb", "eu") == 0 || s.onlook("gb", "us") == 0 {
			t.Error("nothing was withheld")
		}
		t.Log("what it received is what it reads")
		for key, want := range map[string]string{"A.EU.1A._T._T._T._T._T._T": "381319", "M.US.1A._T._T._T._T._T._T": "2045838"} {
			sum := 0.0
			for _, o := range s.observations("gb", key) {
				n, _ := strconv.ParseFloat(o["OBS_VALUE"], 64)
				if period := o["TIME_PERIOD"]; period == "2023" || "2022-10" <= period && period <= "2023-09" {
					sum += n
				}
			}
			if got := strconv.FormatFloat(sum, 'f', -1, 64); got != want {
				t.Errorf("%s counts %s in 2023, not %s", key, got, want)
			}
		}
		if sections := s.observations("gb", "*.US.*.*.*.*.*.*.*"); slices.ContainsFunc(sections, func(o map[string]string) bool { return o["SECTION"] != "_T" }) {
			t.Error("us gives figures by section")
		}
		t.Log("most of what gb published beside what it sent is there to read")
		shown := 0
		published := s.read("gb", "", "*")
		for _, o := range published {
			if o["OBS_VALUE"] != "" {
				shown++
			}
		}
		if 2*shown < len(published) || shown == 0 {
			t.Errorf("%d of %d published figures have a value", shown, len(published))
		}
	})

	t.Run("nothing is lost and nothing comes twice when processes are killed", func(t *testing.T) {
		t.Parallel()
		s := newSandbox(t, program)
		s.up()
		victims := map[string][]string{
			"the sender's sharing":        {"nordhav/sharing"},
			"the receiver's sharing":      {"sydkyst/sharing"},
			"both statistics":             {"nordhav/statistics", "sydkyst/statistics"},
			"PostgreSQL and both sharing": {"postgres", "nordhav/sharing", "sydkyst/sharing"},
		}
		year := 2024
		for name, processes := range victims {
			file := filepath.Join(t.TempDir(), "more.csv")
			text := "Saksnr;Sted;Statsborgerskap;Kjønn;Begrunnelse;Merknad;År;Kvartal;Antall\n"
			for quarter := 1; quarter <= 4; quarter++ {
				text += fmt.Sprintf("1;Fjellstua;Island;mann;visum;;%d;%d;%d\n", year, quarter, 100*quarter+year%100)
			}
			year++
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			submit := []string{
				"submit", "--state", "nordhav", "--dataflow", "NHV:AVVISNINGER(1.0.0)", "--layout", "nordhav-avvisninger",
				"--idempotency-key", name, file,
			}
			submitted := make(chan error, 1)
			go func() {
				_, err := s.run(submit...)
				submitted <- err
			}()
			time.Sleep(time.Duration(rand.IntN(400)) * time.Millisecond)
			s.kill(processes)
			err := <-submitted
			t.Logf("%s killed; the upload: %v", name, err)
			s.up()
			s.must(submit...) // again, for the answer may have been lost
		}

		t.Log("the partner reads everything")
		want := s.refused("nordhav")
		if len(want) < 4*len(victims) {
			t.Errorf("only %d quarters at nordhav", len(want))
		}
		var diff string
		for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
			if diff = cmp.Diff(want, s.refused("sydkyst")); diff == "" {
				break
			}
		}
		if diff != "" {
			t.Errorf("sydkyst reads other totals than nordhav (-nordhav +sydkyst):\n%s", diff)
		}
		for i, d := range s.deliveries("sydkyst", "nordhav") {
			if d.GetSequence() != float64(i+1) {
				t.Errorf("delivery %d has the sequence %.0f", i+1, d.GetSequence())
			}
			if d.GetState() != sharingpb.Delivery_STORED && d.GetState() != sharingpb.Delivery_SUPERSEDED {
				t.Errorf("delivery %d is %v: %s", i+1, d.GetState(), d.GetReason())
			}
		}
		s.must("audit", "verify")
		s.exported("nordhav", "sydkyst")

		t.Log("all that came, of whichever release, tells it no small count")
		s.onlook("sydkyst", "nordhav")
	})

	t.Run("nothing is lost and nothing comes twice when anything is killed at any moment", func(t *testing.T) {
		t.Parallel()
		surviveKills(t, program)
	})

	t.Run("a port that is in use is named in one sentence, and nothing is left", func(t *testing.T) {
		t.Parallel()
		s := newSandbox(t, program)
		listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port+11)))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = listener.Close() }()
		text, err := s.run("sandbox", "up", "--region", s.region, "--policies", s.policies, "--base-port", strconv.Itoa(s.port))
		if want := fmt.Sprintf("port %d, wanted for the gateway of sydkyst, is used by another program", s.port+11); err == nil || !strings.Contains(text, want) {
			t.Errorf("%v: %s", err, text)
		}
		if text := s.must("sandbox", "status"); !strings.Contains(text, "nothing runs") {
			t.Error(text)
		}
	})
}

// replace changes a file.
func (s *runningSandbox) replace(path, from, to string) {
	s.t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	if !strings.Contains(string(text), from) {
		s.t.Fatalf("%s does not hold %s", path, from)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), from, to, 1)), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *runningSandbox) explain(state, partner, indicator string) string {
	s.t.Helper()
	return s.must("explain", "--state", state, "--partner", partner, "--indicator", indicator)
}

// kill ends processes as a crash does: "state/service", or "postgres".
func (s *runningSandbox) kill(processes []string) {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.directory, "region.json"))
	if err != nil {
		s.t.Fatal(err)
	}
	var file regionFile
	if err := json.Unmarshal(text, &file); err != nil {
		s.t.Fatal(err)
	}
	for _, name := range processes {
		pid := file.Postgres.PID
		if state, service, ok := strings.Cut(name, "/"); ok {
			pid = s.state(state).PIDs[service]
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			s.t.Fatalf("killing %s: %v", name, err)
		}
	}
}

// exported verifies logs and proofs of a sender and its receiver without the nodes, and finds a byte that was changed.
func (s *runningSandbox) exported(sender, receiver string) {
	s.t.Helper()
	trust := filepath.Join(s.directory, "trust.json")
	files := []string{}
	last := s.deliveries(receiver, sender)[0]
	place := fmt.Sprintf("%s/%s/%.0f", last.GetStream(), last.GetEpoch(), last.GetSequence())
	for _, code := range []string{sender, receiver} {
		log, proof := filepath.Join(s.t.TempDir(), code+".log"), filepath.Join(s.t.TempDir(), code+".proof")
		s.must("audit", "export", "--state", code, "--out", log)
		s.must("audit", "export", "--state", code, "--delivery", place, "--out", proof)
		files = append(files, log, proof)
	}
	verify := append([]string{"audit", "verify", "--trust", trust}, files...)
	text := s.must(verify...)
	if strings.Count(text, "verified") != len(files) || !strings.Contains(text, place) {
		s.t.Error(text)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			s.t.Fatal(err)
		}
		at := len(content) / 4
		for !strings.ContainsRune("abcdefgh", rune(content[at])) {
			at++
		}
		content[at] ^= 16
		if err := os.WriteFile(file, content, 0o600); err != nil {
			s.t.Fatal(err)
		}
		if text, err := s.run("audit", "verify", "--trust", trust, file); err == nil {
			s.t.Errorf("%s: byte %d was changed, and is not found: %s", file, at, text)
		}
	}
}
