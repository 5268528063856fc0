package sharing

import (
	"context"
	"fmt"

	"github.com/comity-federation/comity/services/disclosure/ledger"
)

// maxAhead is about how many cells are read at once of what audiences have seen.
const maxAhead = 20_000

// ahead is a [ledger.Reader] that knows some cells already. What it knows is of the moment when it was made.
type ahead struct {
	ledger.Reader
	known map[string][]ledger.Unknown // by key
}

// readAhead reads the cells with the keys once, for who asks for some of them again and again.
func readAhead(ctx context.Context, audiences []ledger.Reader, keys []string) ([]ledger.Reader, error) {
	readers := make([]ledger.Reader, len(audiences))
	for i, audience := range audiences {
		reader := ahead{audience, make(map[string][]ledger.Unknown, len(keys))}
		for _, key := range keys {
			reader.known[key] = nil
		}
		readers[i] = reader
		if len(keys) == 0 {
			continue
		}
		found, err := audience.Cells(ctx, keys)
		if err != nil {
			return nil, fmt.Errorf("reading cells of a ledger: %w", err)
		}
		for _, u := range found {
			reader.known[u.Cell] = append(reader.known[u.Cell], u)
		}
	}
	return readers, nil
}

// Cells implements [ledger.Reader].
func (a ahead) Cells(ctx context.Context, keys []string) ([]ledger.Unknown, error) {
	var found []ledger.Unknown
	for _, key := range keys {
		unknowns, ok := a.known[key]
		if !ok {
			return a.Reader.Cells(ctx, keys)
		}
		found = append(found, unknowns...)
	}
	return found, nil
}
