// Package onthespot stops a service by a file, where no call gets through to it.
package onthespot

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
)

const (
	every   = 200 * time.Millisecond
	longest = 4 << 10 // bytes of a file that are read
)

// Files stop a service while a directory holds them. The text of a file is the reason.
type Files struct {
	Directory string // "": there is none
	Log       *slog.Logger
	// Hold stops the service, by the name of the file, or ends that with the reason "". An error says that others do not know
	// of it yet; it is called again with the next look.
	Hold map[string]func(ctx context.Context, reason string) error

	failed map[string]bool
}

// Run looks at the directory five times a second until the context ends.
func (f *Files) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		f.Look(ctx)
		select {
		case <-ctx.Done():
		case <-time.After(every):
		}
	}
	return nil
}

// Look does what the files say. What cannot be kept is told once. It is not for several goroutines at a time.
func (f *Files) Look(ctx context.Context) {
	if f.Directory == "" {
		return
	}
	if f.failed == nil {
		f.failed = map[string]bool{}
	}
	for name, hold := range f.Hold {
		err := hold(ctx, f.reason(name))
		if err != nil && ctx.Err() == nil && !f.failed[name] {
			f.Log.ErrorContext(ctx, "this process is stopped, but the others do not know of it yet", "file", name, "error", err)
		}
		f.failed[name] = err != nil
	}
}

// reason returns what a file says; "": it is not there. One that is there and cannot be read stops as well.
func (f *Files) reason(name string) string {
	file, err := os.Open(filepath.Join(f.Directory, name)) //nolint:gosec // the operator names the directory
	if errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	var text []byte
	if err == nil {
		text, _ = io.ReadAll(io.LimitReader(file, longest))
		_ = file.Close()
	}
	return cmp.Or(strings.TrimSpace(strings.ToValidUTF8(string(text), "?")), "the file "+name+" is there")
}
