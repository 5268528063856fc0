package policy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/renameio/v2"
)

// Bundled says where signed bundles come from.
type Bundled struct {
	File string   // the bundle; another one is put in its place
	Keys []string // PEM files with the public keys of who may sign, read anew for each bundle
	Kept string   // the file in which the last good bundle is kept; this process writes it, and perhaps others like it
	Now  func() time.Time
}

// OpenBundled returns an engine of signed bundles. A bundle takes the place of the active one if a known key has signed it, it is
// of a later revision, its time is not over, it compiles, and its tests pass. Else the last good one stays, also after a restart
// and when its own time is over, and [Engine.Err] says so. As long as there never was a good one, everything is refused.
func OpenBundled(ctx context.Context, from Bundled, log *slog.Logger) (*Engine, error) {
	if from.File == "" || from.Kept == "" || len(from.Keys) == 0 {
		return nil, errors.New("signed policies need a bundle, keys, and a file for the last good one")
	}
	if from.Now == nil {
		from.Now = time.Now
	}
	if _, err := ReadKeys(from.Keys); err != nil {
		return nil, err
	}
	source := &bundled{Bundled: from}
	e := newEngine(source, &Tested{}, log)
	if err := e.restore(ctx, source); err != nil {
		return nil, err
	}
	if err := e.reload(ctx); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		log.ErrorContext(ctx, "the bundle of policies is not good, the last good one stays", "error", err, "revision", e.Revision())
	}
	return e, nil
}

// restore activates the last good bundle. One that is not good any more, since its key is not known for example, is none.
func (e *Engine) restore(ctx context.Context, source *bundled) error {
	data, err := os.ReadFile(source.Kept)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the last good bundle: %w", err)
	}
	b, err := source.verified(data)
	if err == nil {
		err = e.activate(ctx, candidate{open: func() (*files, error) { return b.files, nil }})
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		e.log.ErrorContext(ctx, "the last good bundle of policies is not good any more", "file", source.Kept, "error", err)
		return nil
	}
	source.take(b, data)
	if now, err := readBounded(source.File); err == nil && nameOf(now) == nameOf(data) {
		if found, err := source.find(); err == nil {
			e.tried = found.name // it was tested just now
		}
	}
	return nil
}

// bundled is the source of a [Bundled].
type bundled struct {
	Bundled

	mu     sync.Mutex // guards what follows
	active *Bundle    // nil: none yet
	bytes  string     // the name of its bytes
}

func nameOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func (b *bundled) find() (candidate, error) {
	data, err := readBounded(b.File)
	if err != nil {
		return candidate{}, fmt.Errorf("reading the bundle of policies: %w", err)
	}
	name := nameOf(data)
	for _, path := range b.Keys {
		key, err := os.ReadFile(path) //nolint:gosec // the operator names the files
		if err != nil {
			return candidate{}, fmt.Errorf("reading a key of policies: %w", err)
		}
		name += " " + nameOf(key)
	}
	var next *Bundle
	return candidate{
		name: name,
		open: func() (_ *files, err error) {
			if next, err = b.good(data); err != nil {
				return nil, fmt.Errorf("%s: %w", b.File, err)
			}
			return next.files, nil
		},
		keep: func() error {
			if err := replace(b.Kept, data); err != nil {
				return err
			}
			b.take(next, data)
			return nil
		},
	}, nil
}

// verified returns the bundle if a known key has signed it.
func (b *bundled) verified(data []byte) (*Bundle, error) {
	keys, err := ReadKeys(b.Keys)
	if err != nil {
		return nil, err
	}
	return OpenBundle(data, keys)
}

// good returns the bundle if it may take the place of the active one, as far as that can be said without its tests.
func (b *bundled) good(data []byte) (*Bundle, error) {
	next, err := b.verified(data)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.active != nil && nameOf(data) == b.bytes:
		return next, nil // the active one is back
	case b.active != nil && next.Revision <= b.active.Revision:
		return nil, fmt.Errorf("the bundle is of revision %d, and that of revision %d was active already", next.Revision, b.active.Revision)
	case !b.Now().Before(next.NotAfter):
		return nil, fmt.Errorf("the bundle of revision %d expired at %s", next.Revision, next.NotAfter.Format(time.RFC3339))
	}
	return next, nil
}

func (b *bundled) take(active *Bundle, data []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.active, b.bytes = active, nameOf(data)
}

func (b *bundled) complaint() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.active == nil:
		return errors.New("there is no good bundle of policies yet, and everything is refused")
	case !b.Now().Before(b.active.NotAfter):
		return fmt.Errorf("the policies in force, of revision %d, expired at %s", b.active.Revision, b.active.NotAfter.Format(time.RFC3339))
	}
	return nil
}

// readBounded reads a bundle.
func readBounded(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxBundle {
		return nil, fmt.Errorf("%s has %d bytes, more than %d", name, info.Size(), maxBundle)
	}
	return os.ReadFile(name) //nolint:gosec // the operator names the file
}

// replace writes a file so that it is there whole, before or after a crash.
func replace(name string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	if err := renameio.WriteFile(name, data, 0o600); err != nil {
		return err
	}
	directory, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}
