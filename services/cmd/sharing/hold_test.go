package main

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/comity-federation/comity/services/sharing"
)

func TestHoldsFollowTheFilesOfTheirDirectory(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "switches")
	held := map[sharing.Mode]string{}
	h := holds{directory: directory, log: slog.New(slog.DiscardHandler), hold: func(_ context.Context, mode sharing.Mode, reason string) error {
		held[mode] = reason
		return errors.New("the database is away")
	}}
	look := func(kill, readOnly string) {
		t.Helper()
		h.look(t.Context(), map[string]bool{})
		if want := map[sharing.Mode]string{sharing.Kill: kill, sharing.ReadOnly: readOnly}; !maps.Equal(held, want) {
			t.Errorf("%v, want %v", held, want)
		}
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(directory, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	look("", "")
	if err := os.Mkdir(directory, 0o700); err != nil {
		t.Fatal(err)
	}
	write("kill", " smoke in the machine room\n")
	look("smoke in the machine room", "")
	write("kill", "")
	write("read-only", "a move\xff")
	look("the file kill is there", "a move?")
	if err := errors.Join(os.Remove(filepath.Join(directory, "kill")), os.Remove(filepath.Join(directory, "read-only"))); err != nil {
		t.Fatal(err)
	}
	look("", "")
	if err := os.Mkdir(filepath.Join(directory, "kill"), 0o700); err != nil {
		t.Fatal(err)
	}
	look("the file kill is there", "") // it cannot be read, and stops as well
}
