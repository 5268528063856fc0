package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/comity-federation/comity/services/sharing"
)

const (
	holdEvery  = 200 * time.Millisecond
	holdReason = 4 << 10 // bytes of a file that are read
)

// holds stops the service while the directory holds a file "kill" or "read-only". The text of the file is the reason.
type holds struct {
	directory string // "": there is none
	hold      func(ctx context.Context, mode sharing.Mode, reason string) error
	log       *slog.Logger
}

// run looks at the directory five times a second until the context ends.
func (h holds) run(ctx context.Context) error {
	failed := map[string]bool{}
	for ctx.Err() == nil {
		h.look(ctx, failed)
		select {
		case <-ctx.Done():
		case <-time.After(holdEvery):
		}
	}
	return nil
}

// look does what the files say. What cannot be kept is told once, and tried again the next time.
func (h holds) look(ctx context.Context, failed map[string]bool) {
	if h.directory == "" {
		return
	}
	for name, mode := range map[string]sharing.Mode{"kill": sharing.Kill, "read-only": sharing.ReadOnly} {
		err := h.hold(ctx, mode, h.reason(name))
		if err != nil && ctx.Err() == nil && !failed[name] {
			h.log.ErrorContext(ctx, "this process is stopped, but the others do not know of it yet", "mode", mode, "error", err)
		}
		failed[name] = err != nil
	}
}

// reason returns what a file says; "": it is not there. One that is there and cannot be read stops as well.
func (h holds) reason(name string) string {
	file, err := os.Open(filepath.Join(h.directory, name)) //nolint:gosec // the operator names the directory
	if errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	var text []byte
	if err == nil {
		text, _ = io.ReadAll(io.LimitReader(file, holdReason))
		_ = file.Close()
	}
	return cmp.Or(strings.TrimSpace(strings.ToValidUTF8(string(text), "?")), "the file "+name+" is there")
}
