package policy

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
)

// archived is a file in an archive.
type archived struct {
	Layer   int    `json:"layer"`
	Name    string `json:"name"`
	Content []byte `json:"content"`
}

// archive returns the files as gzipped JSON.
func (f *files) archive() ([]byte, error) {
	all := make([]archived, len(*f))
	for i, file := range *f {
		all[i] = archived{Layer: file.layer, Name: file.name, Content: file.content}
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if err := json.NewEncoder(w).Encode(all); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return packed.Bytes(), nil
}

// OpenArchive returns an engine of the policies that [Engine.Archive] returned, whether or not they pass their tests today. They
// never change.
func OpenArchive(ctx context.Context, archive []byte, log *slog.Logger) (*Engine, error) {
	r, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return nil, fmt.Errorf("unpacking policies: %w", err)
	}
	content, err := io.ReadAll(io.LimitReader(r, 4*maxUnpacked))
	if err != nil {
		return nil, fmt.Errorf("unpacking policies: %w", err)
	}
	var all []archived
	if err := json.Unmarshal(content, &all); err != nil {
		return nil, fmt.Errorf("reading archived policies: %w", err)
	}
	kept := make(files, len(all))
	for i, a := range all {
		kept[i] = file{layer: a.Layer, name: a.Name, content: a.Content}
	}
	return fixed(ctx, &kept, nil, log)
}

// OpenCandidate returns an engine of the policies of a bundle, whoever has signed it, once they have passed their tests: to see
// what they would say. They never change.
func OpenCandidate(ctx context.Context, bundle []byte, log *slog.Logger) (*Engine, error) {
	return openCandidate(ctx, bundle, &Tested{}, log)
}

// OpenCandidate is [OpenCandidate] beside an engine: a bundle that passed its tests for one of them is not tested again for the
// other.
func (e *Engine) OpenCandidate(ctx context.Context, bundle []byte) (*Engine, error) {
	return openCandidate(ctx, bundle, e.tested, e.log)
}

func openCandidate(ctx context.Context, bundle []byte, tested *Tested, log *slog.Logger) (*Engine, error) {
	b, err := OpenUnsigned(bundle)
	if err != nil {
		return nil, err
	}
	return fixed(ctx, b.files, tested, log)
}

// fixed returns an engine of files that do not change. With nil they are not tested.
func fixed(ctx context.Context, f *files, tested *Tested, log *slog.Logger) (*Engine, error) {
	s, err := compileSet(ctx, f, tested)
	if err != nil {
		return nil, err
	}
	e := newEngine(nil, tested, log)
	e.active.Store(s)
	return e, nil
}
