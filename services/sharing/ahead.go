package sharing

import (
	"context"
	"fmt"

	"github.com/comity-federation/comity/services/disclosure/ledger"
)

// maxAhead is about how many cells are read at once of what audiences have seen.
const maxAhead = 20_000

// ahead is a [ledger.Reader] that knows already what some cells are in a revision. What it knows is of the moment when it was
// made.
type ahead struct {
	ledger.Reader
	revision int64
	known    map[string][]ledger.Unknown // by key
}

// readAhead reads once what the cells with the keys are in a revision, for who asks for some of them again and again.
func readAhead(ctx context.Context, audiences []ledger.Reader, revision int64, keys []string) ([]ledger.Reader, error) {
	readers := make([]ledger.Reader, len(audiences))
	for i, audience := range audiences {
		reader := ahead{audience, revision, make(map[string][]ledger.Unknown, len(keys))}
		for _, key := range keys {
			reader.known[key] = nil
		}
		readers[i] = reader
		if len(keys) == 0 {
			continue
		}
		found, err := audience.CellsIn(ctx, revision, keys)
		if err != nil {
			return nil, fmt.Errorf("reading cells of a ledger: %w", err)
		}
		for _, u := range found {
			reader.known[u.Cell] = append(reader.known[u.Cell], u)
		}
	}
	return readers, nil
}

// CellsIn implements [ledger.Reader].
func (a ahead) CellsIn(ctx context.Context, revision int64, keys []string) ([]ledger.Unknown, error) {
	if revision != a.revision {
		return a.Reader.CellsIn(ctx, revision, keys)
	}
	var found []ledger.Unknown
	for _, key := range keys {
		unknowns, ok := a.known[key]
		if !ok {
			return a.Reader.CellsIn(ctx, revision, keys)
		}
		found = append(found, unknowns...)
	}
	return found, nil
}
