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

func TestPolicy(t *testing.T) {
	home := t.TempDir()
	own := filepath.Join(home, "own")
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(home, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("own/law/law.rego", "package comity.law\n\nanswer := 1\n")
	write("own/law/law_test.rego", "package comity.law_test\n\nimport data.comity.law\n\ntest_it if law.answer == 1\n")
	bundle, key := filepath.Join(home, "bundle.tar.gz"), filepath.Join(home, "key.pem")
	run := func(t *testing.T, args ...string) string {
		t.Helper()
		printed, err := comity(t, append([]string{"policy"}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		return printed
	}
	t.Run("builds, signs and verifies a bundle", func(t *testing.T) {
		run(t, "build", "--directory", own, "--revision", "3", bundle)
		_, err := comity(t, "policy", "verify", "--key", key+".pub", bundle)
		if err == nil {
			t.Error("a bundle is verified without a key")
		}
		run(t, "sign", "--key", key, bundle)
		if printed := run(t, "verify", "--key", key+".pub", bundle); !strings.Contains(printed, "revision 3, until 2") || !strings.Contains(printed, "its tests pass") {
			t.Errorf("%q", printed)
		}
		run(t, "sign", "--key", key, bundle) // with the key that is there now
	})
	t.Run("verifies none that another key has signed", func(t *testing.T) {
		other := filepath.Join(home, "other.tar.gz")
		run(t, "build", "--directory", own, "--revision", "3", other)
		run(t, "sign", "--key", filepath.Join(home, "another.pem"), other)
		_, err := comity(t, "policy", "verify", "--key", key+".pub", other)
		wantError(t, err, "verify")
	})
	t.Run("builds nothing whose tests fail", func(t *testing.T) {
		write("bad/x.rego", "package x\n\nanswer := 1\n")
		write("bad/x_test.rego", "package x_test\n\nimport data.x\n\ntest_it if x.answer == 2\n")
		_, err := comity(t, "policy", "build", "--directory", filepath.Join(home, "bad"), "--revision", "4", bundle)
		wantError(t, err, "does not hold")
	})
	t.Run("replays decisions, and fails where one is another", func(t *testing.T) {
		directory := runningRegion(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if r.URL.Path != "/v1/policy:replay" || !strings.Contains(strings.ReplaceAll(string(body), " ", ""), `"days":7`) {
				t.Errorf("got %s %s", r.URL, body)
			}
			fmt.Fprint(w, `{"decisions":3,"same":2,"replayed":[{"decision":"d","outcome":"DIFFERENT","text":"at byte 5"}]}`)
		})
		printed, err := comity(t, "policy", "replay", "--dir", directory, "--state", "aa", "--role", "officer", "--days", "7")
		wantError(t, err, "1 decisions")
		if !strings.Contains(printed, "DIFFERENT: at byte 5") || !strings.Contains(printed, "2 of 3 decisions are the same") {
			t.Errorf("%q", printed)
		}
	})
	t.Run("shows what a candidate would change", func(t *testing.T) {
		directory := runningRegion(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if r.URL.Path != "/v1/policy:shadow" || !strings.Contains(string(body), `"bundle"`) {
				t.Errorf("got %s %s", r.URL, body)
			}
			fmt.Fprint(w, `{"decisions":3,"questions":4,"same":3,"stopped":1,"differences":[{"partner":"bb","indicator":"1A","use":"release","change":"WITHHELD",`+
				`"questions":1,"lastTime":"2026-01-02T03:04:05Z","before":"{}","after":"[]"}]}`)
		})
		for _, candidate := range [][]string{{"--bundle", bundle}, {"--directory", own}} {
			printed := run(t, append([]string{"shadow", "--dir", directory, "--state", "aa", "--role", "officer"}, candidate...)...)
			if !strings.Contains(printed, "released → withheld") || !strings.Contains(printed, "3 of 4 answers in 3 decisions would be the same; 1 were a switch's") {
				t.Errorf("%q", printed)
			}
		}
	})
}
