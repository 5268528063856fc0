package main

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// runningRegion writes the region.json of one state whose gateway is the handler, and returns its directory.
func runningRegion(t *testing.T, gateway http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(gateway)
	t.Cleanup(server.Close)
	return regionOf(t, server.URL)
}

func regionOf(t *testing.T, gateway string) string {
	t.Helper()
	directory := t.TempDir()
	text, err := json.Marshal(regionFile{States: []stateFile{{
		Code: "aa", Gateway: gateway, Tokens: map[string]string{"officer": "officer.jwt", "statistician": "statistician.jwt"},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"region.json": string(text), "officer.jwt": "of-officer\n", "statistician.jwt": "of-statistician\n",
	} {
		if err := os.WriteFile(filepath.Join(directory, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return directory
}

// comity runs the command line and returns what it prints.
func comity(t *testing.T, arguments ...string) (string, error) {
	t.Helper()
	cmd := newRootCommand()
	printed := &strings.Builder{}
	cmd.SetOut(printed)
	cmd.SetErr(io.Discard)
	cmd.SetArgs(arguments)
	err := cmd.ExecuteContext(t.Context())
	return printed.String(), err
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("it succeeded")
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
}

func TestExplain(t *testing.T) {
	t.Run("says what goes and why not more", func(t *testing.T) {
		directory := runningRegion(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if r.URL.Path != "/v1/policy:explain" || r.Header.Get("Authorization") != "Bearer of-officer" || !strings.Contains(string(body), `"bb"`) {
				t.Errorf("got %s %s %s", r.URL, r.Header, body)
			}
			fmt.Fprint(w, `{"allowed":true,"released":12345,"withheld":2,"suppressed":3,"policyRevision":"r1","later":1,
				"coarsened":{"SECTION":"_T","AGE":"group"},"obligations":{"minimumFrequency":3,"purposes":["ANALYSIS"]},
				"reasons":[{"code":"LAW","text":"No figures of minors.","agreement":"aa-bb"}]}`)
		})
		printed, err := comity(t, "explain", "--dir", directory, "--state", "aa", "--partner", "bb", "--indicator", "1A")
		if err != nil {
			t.Fatal(err)
		}
		want := `Indicator 1A may go to bb: 12,345 cells would go, 2 are withheld by policy, 3 because they are small or would give small ones away.
  LAW: No figures of minors. (agreement aa-bb)
  rolled up: AGE to group, SECTION to _T
  bound to: no cell under 3; for ANALYSIS; not passed on
  by policy revision r1
`
		if printed != want {
			t.Errorf("got\n%s", printed)
		}
	})
	t.Run("names the role of a caller who may not ask", func(t *testing.T) {
		directory := runningRegion(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"code":7,"message":"you may not do this","details":[{"@type":"x","reason":"ACCESS_DENIED"}]}`)
		})
		_, err := comity(t, "explain", "--dir", directory, "--state", "aa", "--role", "statistician", "--partner", "bb", "--indicator", "1A")
		wantError(t, err, "you may not do this (ACCESS_DENIED)", "as statistician", "--role")
	})
	t.Run("says which field is wrong", func(t *testing.T) {
		directory := runningRegion(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"code":3,"message":"bad","details":[{"fieldViolations":[{"field":"partner","description":"is unknown"}]}]}`)
		})
		_, err := comity(t, "explain", "--dir", directory, "--state", "aa", "--partner", "zz", "--indicator", "1A")
		wantError(t, err, "partner: is unknown")
	})
	t.Run("says so where no region runs", func(t *testing.T) {
		_, err := comity(t, "explain", "--dir", t.TempDir(), "--state", "aa", "--partner", "bb", "--indicator", "1A")
		wantError(t, err, "no region runs in", "comity sandbox up")
	})
	t.Run("says so where nobody answers", func(t *testing.T) {
		server := httptest.NewServer(http.NotFoundHandler())
		server.Close()
		_, err := comity(t, "explain", "--dir", regionOf(t, server.URL), "--state", "aa", "--partner", "bb", "--indicator", "1A")
		wantError(t, err, "no gateway answers at "+server.URL)
	})
	t.Run("names the states and roles that there are", func(t *testing.T) {
		directory := regionOf(t, "http://127.0.0.1:1")
		_, err := comity(t, "explain", "--dir", directory, "--state", "zz", "--partner", "bb", "--indicator", "1A")
		wantError(t, err, `no state "zz"`, "it has aa")
		_, err = comity(t, "explain", "--dir", directory, "--state", "aa", "--role", "king", "--partner", "bb", "--indicator", "1A")
		wantError(t, err, `"king"`, "it has officer, statistician")
	})
	t.Run("wants to know whom to ask", func(t *testing.T) {
		_, err := comity(t, "explain", "--partner", "bb", "--indicator", "1A")
		wantError(t, err, "--state CODE", "--gateway URL")
	})
	t.Run("gives up when it is interrupted", func(t *testing.T) {
		asked := make(chan struct{})
		directory := runningRegion(t, func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.ReadAll(r.Body) // only then the server sees that the caller has left
			close(asked)
			<-r.Context().Done()
		})
		ctx, interrupt := context.WithCancel(t.Context())
		go func() { <-asked; interrupt() }()
		cmd := newRootCommand()
		cmd.SetArgs([]string{"explain", "--dir", directory, "--state", "aa", "--partner", "bb", "--indicator", "1A"})
		wantError(t, cmd.ExecuteContext(ctx), context.Canceled.Error())
	})
}

func TestSubmit(t *testing.T) {
	// accept is a gateway that wants the content, uncompressed, and gives the report.
	accept := func(t *testing.T, content, report string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if string(body) != content || r.URL.Query().Get("dataflow") != "A:B(1.0.0)" || r.Header.Get("Idempotency-Key") == "" {
				t.Errorf("got %s %s %q", r.URL, r.Header, body)
			}
			fmt.Fprint(w, report)
		}
	}
	t.Run("prints the quality report of a file that was compressed", func(t *testing.T) {
		directory := runningRegion(t, accept(t, "a,b\n1,2\n", `{"name":"submissions/1","state":"ACCEPTED","rows":1,"observations":1234,"revision":"7",
			"findings":[{"rule":"UNMAPPED_LABEL","severity":"WARNING","column":"b","message":"no map knows this","values":["2"]}],
			"derivations":[{"structureMap":"A:M(1.0.0)","dataflow":"C:D(1.0.0)","observations":5,"unmappedLabels":1,"leftOut":2}]}`))
		path := filepath.Join(t.TempDir(), "file.csv.gz")
		file, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		zip := gzip.NewWriter(file)
		_, _ = zip.Write([]byte("a,b\n1,2\n"))
		_ = zip.Close()
		_ = file.Close()
		printed, err := comity(t, "submit", "--dir", directory, "--state", "aa", "--dataflow", "A:B(1.0.0)", "--layout", "l", path)
		if err != nil {
			t.Fatal(err)
		}
		want := `submissions/1  ACCEPTED  1 rows, 1,234 observations, revision 7
  C:D(1.0.0): 5 observations by A:M(1.0.0), 1 labels unmapped, 2 observations left out
  WARNING  b UNMAPPED_LABEL: no map knows this
           2
`
		if printed != want {
			t.Errorf("got\n%s", printed)
		}
	})
	t.Run("fails where the file is rejected", func(t *testing.T) {
		directory := runningRegion(t, accept(t, "x", `{"name":"submissions/2","state":"REJECTED","findings":[{"rule":"NUMBER","severity":"BLOCKING","line":3,"column":"N","message":"is no number"}]}`))
		path := filepath.Join(t.TempDir(), "file.csv")
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		printed, err := comity(t, "submit", "--dir", directory, "--state", "aa", "--dataflow", "A:B(1.0.0)", path)
		wantError(t, err, "rejected")
		if !strings.Contains(printed, "BLOCKING line 3 N NUMBER: is no number") {
			t.Errorf("got\n%s", printed)
		}
	})
	t.Run("says so where there is no such file", func(t *testing.T) {
		_, err := comity(t, "submit", "--dir", regionOf(t, "http://127.0.0.1:1"), "--state", "aa", "--dataflow", "A:B(1.0.0)", "nothing.csv")
		wantError(t, err, "nothing.csv")
	})
}

func TestAgreement(t *testing.T) {
	t.Run("proposes what a file holds", func(t *testing.T) {
		directory := runningRegion(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if r.Method != http.MethodPost || r.URL.Path != "/v1/agreements" || !strings.Contains(strings.ReplaceAll(string(body), " ", ""), `"indicators":["1A"]`) {
				t.Errorf("got %s %s %s", r.Method, r.URL, body)
			}
			fmt.Fprint(w, `{"state":"PROPOSED","terms":{"id":"aa-bb","version":2}}`)
		})
		path := filepath.Join(t.TempDir(), "terms.yaml")
		if err := os.WriteFile(path, []byte("id: aa-bb\nversion: 2\nindicators: [1A]\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		printed, err := comity(t, "agreement", "propose", "--dir", directory, "--state", "aa", path)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(printed, "aa-bb version 2 is drafted") {
			t.Errorf("got %s", printed)
		}
	})
	t.Run("refuses terms with a field that there is not", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "terms.yaml")
		if err := os.WriteFile(path, []byte("id: aa-bb\nlevel: all\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := comity(t, "agreement", "propose", "--dir", regionOf(t, "http://127.0.0.1:1"), "--state", "aa", path)
		wantError(t, err, path, "level")
	})
	t.Run("signs by id, and says whose signature is missing", func(t *testing.T) {
		directory := runningRegion(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v1/agreements/aa-bb:sign" {
				t.Errorf("got %s", r.URL)
			}
			fmt.Fprint(w, `{"state":"PROPOSED","terms":{"id":"aa-bb","version":1},"signatures":[{"state":"aa"}]}`)
		})
		printed, err := comity(t, "agreement", "sign", "--dir", directory, "--state", "aa", "agreements/aa-bb")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(printed, "signed by aa: PROPOSED") || !strings.Contains(printed, "when the partner has signed") {
			t.Errorf("got %s", printed)
		}
	})
	t.Run("lists them in a table", func(t *testing.T) {
		directory := runningRegion(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("showEnded") != "true" {
				t.Errorf("got %s", r.URL)
			}
			fmt.Fprint(w, `{"agreements":[{"state":"ACTIVE","terms":{"id":"aa-bb","version":1,"provider":"aa","receiver":"bb","indicators":["1A","5"],"validFrom":"2026-01-01"},
				"signatures":[{"state":"aa"},{"state":"bb"}]}]}`)
		})
		printed, err := comity(t, "agreement", "list", "--dir", directory, "--state", "aa", "--ended")
		if err != nil {
			t.Fatal(err)
		}
		want := `AGREEMENT        STATE   FROM  TO  INDICATORS  SIGNED BY  IN FORCE
aa-bb version 1  ACTIVE  aa    bb  1A 5        aa and bb  2026-01-01 until terminated
`
		if printed != want {
			t.Errorf("got\n%s", printed)
		}
	})
}

func TestPublish(t *testing.T) {
	t.Run("says what is published and what is not", func(t *testing.T) {
		directory := runningRegion(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if r.URL.Path != "/v1/publications" || r.Header.Get("Authorization") != "Bearer of-officer" || !strings.Contains(string(body), `"1A"`) {
				t.Errorf("got %s %s %s", r.URL, r.Header, body)
			}
			fmt.Fprint(w, `{"name":"publications/p","state":"PUBLISHED","dataflow":"AA:FLOW(1.0.0)","indicators":["1A"],"released":12345,
				"withheld":2,"suppressed":3,"coarsened":{"SECTION":"_T"},"policyRevision":"r1","later":1,
				"reasons":[{"code":"INDICATOR_NOT_COVERED","text":"indicator 5 is not published"}]}`)
		})
		printed, err := comity(t, "publish", "--dir", directory, "--state", "aa", "1A", "5")
		if err != nil {
			t.Fatal(err)
		}
		want := `1A of AA:FLOW(1.0.0): 12,345 cells, 5 more without their values: PUBLISHED
  INDICATOR_NOT_COVERED: indicator 5 is not published
  rolled up: SECTION to _T
  publications/p, by policy revision r1
`
		if printed != want {
			t.Errorf("got\n%s", printed)
		}
	})
	t.Run("announces, takes back and shows the calendar", func(t *testing.T) {
		directory := runningRegion(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			switch r.Method + " " + r.URL.Path {
			case "POST /v1/announcements":
				if !strings.Contains(string(body), `"2026-03-02T09:30:00Z"`) || !strings.Contains(string(body), `"1A"`) {
					t.Errorf("got %s", body)
				}
				fmt.Fprint(w, `{"name":"announcements/a","state":"ANNOUNCED","title":"January","indicators":["1A"],"releaseTime":"2026-03-02T09:30:00Z"}`)
			case "POST /v1/publications/p:withdraw":
				if !strings.Contains(string(body), `"It is wrong."`) {
					t.Errorf("got %s", body)
				}
				fmt.Fprint(w, `{"name":"notices/n","kind":"WITHDRAWAL","subject":"publications/p"}`)
			case "GET /v1/announcements":
				fmt.Fprint(w, `{"announcements":[{"name":"announcements/a","state":"REFUSED","title":"January","releaseTime":"2026-03-02T09:30:00Z","problem":"LAW: no"}]}`)
			default:
				t.Errorf("got %s %s", r.Method, r.URL)
			}
		})
		for _, test := range []struct{ arguments, want string }{
			{"--at 2026-03-02T10:30:00+01:00 --title January 1A", "2026-03-02 09:30Z  ANNOUNCED  January  1A          announcements/a\n"},
			{"--withdraw publications/p --reason It_is_wrong.", "WITHDRAWAL of publications/p: everybody is told by notices/n\n"},
			{"--calendar", "LAW: no"},
		} {
			arguments := []string{"publish", "--dir", directory, "--state", "aa"}
			for _, argument := range strings.Fields(test.arguments) {
				arguments = append(arguments, strings.ReplaceAll(argument, "_", " "))
			}
			if printed, err := comity(t, arguments...); err != nil || !strings.Contains(printed, test.want) {
				t.Errorf("%s: got %v\n%s", test.arguments, err, printed)
			}
		}
	})
}
