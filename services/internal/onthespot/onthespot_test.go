package onthespot

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"testing"
)

func TestAServiceFollowsTheFilesOfItsDirectory(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "switches")
	held := map[string]string{}
	hold := func(name string) func(context.Context, string) error {
		return func(_ context.Context, reason string) error {
			held[name] = reason
			return errors.New("the database is away")
		}
	}
	f := Files{
		Directory: directory, Log: slog.New(slog.DiscardHandler),
		Hold: map[string]func(context.Context, string) error{"kill": hold("kill"), "read-only": hold("read-only")},
	}
	look := func(kill, readOnly string) {
		t.Helper()
		f.Look(t.Context())
		if want := map[string]string{"kill": kill, "read-only": readOnly}; !maps.Equal(held, want) {
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
