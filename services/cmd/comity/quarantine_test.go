package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestQuarantine(t *testing.T) {
	const epoch = "0197a3c2-5b1e-7d40-8f6a-2b9c4e1d7f03"
	call := func(t *testing.T, gateway http.HandlerFunc, arguments ...string) (string, error) {
		t.Helper()
		return comity(t, append([]string{"quarantine"}, append(arguments, "--dir", runningRegion(t, gateway), "--state", "aa", "--role", "officer")...)...)
	}
	t.Run("lists the quarantined streams with the evidence, page by page", func(t *testing.T) {
		printed, err := call(t, func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path + "?" + r.URL.Query().Get("pageToken") {
			case "/v1/partners?":
				fmt.Fprint(w, `{"partners":[{"code":"bb","displayName":"B","quarantined":true,"receivedSequence":7},{"code":"cc"}]}`)
			case "/v1/deliveries?":
				fmt.Fprint(w, `{"deliveries":[{"state":"STORED","stream":"bb-aa"}],"nextPageToken":"next"}`)
			case "/v1/deliveries?next":
				fmt.Fprintf(w, `{"deliveries":[{"reason":"EQUIVOCATION: two","stream":"bb-aa","epoch":%q,"sequence":7,
					"createTime":"2026-03-01T10:00:00Z","envelopeSha256":"qrs="}]}`, epoch)
			default:
				t.Errorf("asked for %s", r.URL)
			}
		}, "list")
		if err != nil {
			t.Fatal(err)
		}
		want := "bb (B): the stream is quarantined after place 7\n  2026-03-01 10:00:00Z  bb-aa/" + epoch + "/7  SHA-256 aabb\n"
		if printed != want {
			t.Errorf("got\n%s", printed)
		}
	})
	t.Run("says that no stream is quarantined", func(t *testing.T) {
		printed, err := call(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"partners":[{"code":"bb"}]}`) }, "list")
		if err != nil || printed != "no stream is quarantined\n" {
			t.Errorf("%q, %v", printed, err)
		}
	})
	t.Run("lifts one with a reason", func(t *testing.T) {
		printed, err := call(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if r.URL.Path != "/v1/partners/bb:liftQuarantine" || !strings.Contains(string(body), "they have explained it") {
				t.Errorf("got %s %s", r.URL, body)
			}
			fmt.Fprintf(w, `{"entry":"bb-aa/x","epoch":%q,"sequence":7}`, epoch)
		}, "lift", "bb", "--reason", "they have explained it")
		if err != nil || !strings.Contains(printed, "goes on after place 7 of epoch "+epoch) || !strings.Contains(printed, "bb-aa/x") {
			t.Errorf("%q, %v", printed, err)
		}
	})
	t.Run("lifts none without a reason", func(t *testing.T) {
		_, err := call(t, func(http.ResponseWriter, *http.Request) { t.Error("the node was asked") }, "lift", "bb")
		wantError(t, err, "reason")
	})
}
