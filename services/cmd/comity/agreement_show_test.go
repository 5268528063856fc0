package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAgreementShow(t *testing.T) {
	t.Parallel()
	directory := runningRegion(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/agreements/aa-bb/versions" {
			t.Errorf("got %s", r.URL)
		}
		fmt.Fprint(w, `{"agreements":[
			{"state":"SUPERSEDED","terms":{"id":"aa-bb","version":1,"text":"Before."},"signatures":[
				{"state":"aa","createTime":"2026-01-02T03:04:05Z","rejection":{"code":"LAW","text":"Not so."}}]},
			{"state":"ACTIVE","terms":{"id":"aa-bb","version":2,"provider":"aa","receiver":"bb","dataflow":"X:Y(1.0.0)",
				"indicators":["1A","5"],"detail":{"FREQ":"M","SEX":"sex"},"purposes":["ANALYSIS"],"minimumFrequency":3,
				"periods":[{"from":"2020"},{"from":"2010","to":"2012-06"}],"validFrom":"2026-01-01","retentionDays":30,
				"legalBasis":"Act 7","text":"As agreed.\nBoth."}}]}`)
	})
	printed, err := comity(t, "agreement", "show", "--dir", directory, "--state", "aa", "aa-bb")
	if err != nil {
		t.Fatal(err)
	}
	want := `aa-bb version 1: SUPERSEDED
  signed by aa, here since 2026-01-02 03:04; the partner rejects it: Not so. (LAW)
aa-bb version 2: ACTIVE
  goes           aa to bb, tier PARTNERS
  dataflow       X:Y(1.0.0)
  indicators     1A 5
  detail         FREQ=M SEX=sex
  periods        from 2020, 2010 to 2012-06
  purposes       ANALYSIS
  no cell under  3
  in force       2026-01-01 until terminated
  removed after  30 days
  passed on      no
  legal basis    Act 7

    As agreed.
    Both.

`
	if printed != want {
		t.Errorf("got\n%s", printed)
	}
}

func TestAgreementAnswers(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "terms.yaml")
	if err := os.WriteFile(path, []byte("indicators: [1A]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for verb, x := range map[string]struct {
		arguments []string
		body      string
	}{
		"sign":    {[]string{"accept", "aa-bb", "--version", "2"}, `{"version":2}`},
		"counter": {[]string{"counter", "aa-bb", path}, `{"terms":{"indicators":["1A"]}}`},
		"renew":   {[]string{"renew", "aa-bb", "--until", "2030-12-31"}, `{"validTo":"2030-12-31"}`},
		"decline": {[]string{"decline", "aa-bb", "--version", "2", "--reason", "no"}, `{"version":2,"reason":"no"}`},
	} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			directory := runningRegion(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if r.Method != http.MethodPost || r.URL.Path != "/v1/agreements/aa-bb:"+verb || strings.ReplaceAll(string(body), " ", "") != x.body {
					t.Errorf("got %s %s %s", r.Method, r.URL, body)
				}
				fmt.Fprint(w, `{"state":"PROPOSED","terms":{"id":"aa-bb","version":3}}`)
			})
			printed, err := comity(t, append([]string{"agreement"}, append(x.arguments, "--dir", directory, "--state", "aa")...)...)
			if err != nil || !strings.HasPrefix(printed, "aa-bb version 3") {
				t.Errorf("%q, %v", printed, err)
			}
		})
	}
}
