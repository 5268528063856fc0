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

func TestStructure(t *testing.T) {
	t.Parallel()
	const amendment = `{"name":"amendments/cl-1-1","state":"PROPOSED","proposer":"aa","text":"One code more.","quorum":2,
		"artefacts":["Codelist X:CL(1.1.0)"],"signatures":[{"state":"aa"}],
		"undelivered":[{"state":"bb","rejection":{"code":"INCOMPATIBLE","text":"lacks B"}}]}`
	const described = `cl-1-1: PROPOSED, signed by aa; 2 have to sign
  aa proposes: One code more.
  Codelist X:CL(1.1.0)
  bb does not take it: lacks B (INCOMPATIBLE)
`
	var files []string
	for i, text := range []string{"codelists: [{agency: X, id: CL, version: 1.1.0}]", "dataflows: [{agency: X, id: F, version: 1.0.0}]"} {
		path := filepath.Join(t.TempDir(), fmt.Sprint(i, ".yaml"))
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, path)
	}
	for name, x := range map[string]struct {
		arguments          []string
		call, body, answer string
		want               string
	}{
		"propose": {
			append([]string{"propose", "--id", "cl-1-1", "--text", "More."}, files...), "POST /v1/amendments",
			`{"id":"cl-1-1","text":"More.","structures":{"codelists":[{"agency":"X","id":"CL","version":"1.1.0"}],"dataflows":[{"agency":"X","id":"F","version":"1.0.0"}]}}`,
			amendment, described,
		},
		"ratify": {[]string{"ratify", "cl-1-1"}, "POST /v1/amendments/cl-1-1:ratify", `{}`, amendment, described},
		"show":   {[]string{"show", "amendments/cl-1-1"}, "GET /v1/amendments/cl-1-1", "", amendment, described},
		"show all": {
			[]string{"show"},
			"GET /v1/amendments", "",
			`{"amendments":[` + amendment + `]}`,
			"AMENDMENT  STATE     PROPOSER  SIGNED BY  OF\ncl-1-1     PROPOSED  aa        aa         2\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			directory := runningRegion(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if got := r.Method + " " + r.URL.Path; got != x.call || strings.ReplaceAll(string(body), " ", "") != x.body {
					t.Errorf("got %s %s", got, body)
				}
				fmt.Fprint(w, x.answer)
			})
			printed, err := comity(t, append(append([]string{"structure"}, x.arguments...), "--dir", directory, "--state", "aa")...)
			if err != nil || printed != x.want {
				t.Errorf("%q, %v", printed, err)
			}
		})
	}
}
