package main

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"google.golang.org/protobuf/encoding/protojson"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
	"github.com/comity-federation/comity/services/sharing"
)

func TestFork(t *testing.T) {
	t.Parallel()
	secret, _, err := note.GenerateKey(rand.Reader, sharing.LogName("bb"))
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	checkpoint := func(size int) string {
		signed, err := note.Sign(&note.Note{Text: fmt.Sprintf("comity/bb/log\n%d\n%s\n", size, base64.StdEncoding.EncodeToString(make([]byte, 32)))}, signer)
		if err != nil {
			t.Fatal(err)
		}
		return string(signed)
	}
	partners := &sharingpb.ListPartnersResponse{Partners: []*sharingpb.Partner{
		{Code: "bb", DisplayName: "B", LogFork: &sharingpb.LogFork{State: "aa", Seen: checkpoint(20), SeenSize: 20, Shown: checkpoint(12), ShownSize: 12}},
		{Code: "cc", DisplayName: "C", LogObjection: "20 entries were seen"},
	}}
	var handedIn *sharing.SignedAcceptance
	directory := runningRegion(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/partners":
			text, _ := protojson.Marshal(partners)
			_, _ = w.Write(text)
		case "/v1/partners/bb:acceptLog":
			body, _ := io.ReadAll(r.Body)
			request := &sharingpb.AcceptLogRequest{}
			err := protojson.Unmarshal(body, request)
			if err == nil {
				handedIn, err = sharing.ReadAcceptance(request.GetAcceptance())
			}
			if err != nil {
				t.Error(err)
			}
			fmt.Fprint(w, `{"entry":"bb/x","officers":["A. Jones","B. Okafor"],"seenSize":20,"fromSize":12}`)
		default:
			t.Errorf("asked for %s", r.URL)
		}
	})
	call := func(t *testing.T, arguments ...string) (string, error) {
		t.Helper()
		return comity(t, append([]string{"fork"}, append(arguments, "--dir", directory, "--state", "aa", "--role", "officer")...)...)
	}
	file := filepath.Join(t.TempDir(), "bb.acceptance")
	list := filepath.Join(t.TempDir(), "trust.json")
	keys := []string{filepath.Join(t.TempDir(), "jones.key"), filepath.Join(t.TempDir(), "okafor.key")}
	if _, err := comity(t, "trust", "init", "--list", list, "--officer", "A. Jones="+keys[0], "--officer", "B. Okafor="+keys[1]); err != nil {
		t.Fatal(err)
	}
	proposed, err := trustFile(list).proposed()
	if err != nil {
		t.Fatal(err)
	}

	printed, err := call(t, "list")
	want := "bb (B): 20 entries were seen of its log; it shows 12 that do not extend them\ncc (C) does not co-sign our log: 20 entries were seen\n"
	if printed != want || err != nil {
		t.Errorf("%q, %v", printed, err)
	}
	_, err = call(t, "accept", "cc", "--reason", "why", "--out", file)
	wantError(t, err, "cc shows no log")
	_, err = call(t, "accept", "bb", "--reason", " ", "--out", file)
	wantError(t, err, "reason")
	if _, err := call(t, "accept", "bb", "--reason", "restored after a fire", "--out", file); err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		printed, err := comity(t, "fork", "sign", "--key", key, file)
		if err != nil || !strings.Contains(printed, "aa accepts the log of bb from 12 entries on, though it had seen 20 others: restored after a fire") {
			t.Errorf("%q, %v", printed, err)
		}
	}
	_, err = comity(t, "fork", "sign", "--key", filepath.Join(t.TempDir(), "none"), file)
	wantError(t, err, "no such file")
	printed, err = call(t, "settle", file)
	if err != nil || !strings.Contains(printed, "the log of bb goes on from 12 entries, by A. Jones and B. Okafor") {
		t.Errorf("%q, %v", printed, err)
	}
	if handedIn == nil || strings.Join(handedIn.Signers(proposed.TrustList), " ") != "A. Jones B. Okafor" {
		t.Errorf("%+v", handedIn)
	}
	partners = &sharingpb.ListPartnersResponse{}
	if printed, err := call(t, "list"); err != nil || printed != "every log extends what was seen of it\n" {
		t.Errorf("%q, %v", printed, err)
	}
}
