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

func TestKill(t *testing.T) {
	t.Run("stops a node by a call", func(t *testing.T) {
		directory := runningRegion(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			text := strings.ReplaceAll(string(body), " ", "")
			if r.Method+" "+r.URL.Path != "POST /v1/killswitch" || !strings.Contains(text, `"mode":"KILL"`) || !strings.Contains(text, `"indicator":"1A"`) {
				t.Errorf("got %s %s %s", r.Method, r.URL, body)
			}
			fmt.Fprint(w, `{"mode":"KILL","partner":"bb","indicator":"1A","on":true}`)
		})
		printed, err := comity(t, "kill", "--dir", directory, "--state", "aa", "--role", "officer", "--partner", "bb", "--indicator", "1A", "--reason", "x")
		if err != nil || printed != "1A for bb: stopped\n" {
			t.Errorf("%q, %v", printed, err)
		}
	})
	t.Run("lists what is stopped", func(t *testing.T) {
		directory := runningRegion(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v1/readonly" {
				fmt.Fprint(w, `{"on":true,"by":"eve","reason":"moves","createTime":"2026-01-02T03:04:06Z"}`)
				return
			}
			fmt.Fprint(w, `{"killSwitches":[{"mode":"READ_ONLY","on":false,"by":"ada","reason":"moved","createTime":"2026-01-02T03:04:05Z"}]}`)
		})
		printed, err := comity(t, "kill", "--dir", directory, "--state", "aa", "--role", "officer", "--list")
		if err != nil || !strings.Contains(printed, "whatever changes what is shared  goes on  2026-01-02T03:04:05Z  ada  moved") ||
			!strings.Contains(printed, "whatever changes the statistics  stopped  2026-01-02T03:04:06Z  eve  moves") {
			t.Errorf("%q, %v", printed, err)
		}
	})
	t.Run("closes the statistics to changes", func(t *testing.T) {
		directory := runningRegion(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if r.Method+" "+r.URL.Path != "POST /v1/readonly" || !strings.Contains(string(body), "a move") {
				t.Errorf("got %s %s %s", r.Method, r.URL, body)
			}
			fmt.Fprint(w, `{"on":true}`)
		})
		printed, err := comity(t, "kill", "--dir", directory, "--state", "aa", "--role", "officer", "--read-only", "--statistics", "--reason", "a move")
		if err != nil || printed != "whatever changes the statistics: stopped\n" {
			t.Errorf("%q, %v", printed, err)
		}
	})
	t.Run("stops a service on the spot, without a gateway", func(t *testing.T) {
		directory := filepath.Join(t.TempDir(), "switches")
		if _, err := comity(t, "kill", "--on-the-spot", directory, "--reason", "smoke"); err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(filepath.Join(directory, "kill")); err != nil || string(text) != "smoke\n" {
			t.Errorf("%q, %v", text, err)
		}
		if _, err := comity(t, "kill", "--on-the-spot", directory, "--lift", "--reason", "over"); err != nil {
			t.Fatal(err)
		}
		if left, err := os.ReadDir(directory); err != nil || len(left) != 0 {
			t.Errorf("%v, %v", left, err)
		}
	})
	t.Run("wants a reason", func(t *testing.T) {
		_, err := comity(t, "kill", "--state", "aa")
		wantError(t, err, "reason")
	})
}
