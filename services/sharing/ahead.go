package sharing

import (
	"context"
	"fmt"
	"maps"

	"github.com/comity-federation/comity/services/disclosure/ledger"
)

const (
	// maxAhead is about how many cells are read at once of what audiences have seen.
	maxAhead = 20_000
	// maxKept is of how many cells that is kept from when tables are made until they are decided about.
	maxKept = 50_000
)

// known is what cells are in a revision, by key. It is of the moment when it was read.
type known struct {
	revision int64
	cells    map[string][]ledger.Unknown
}

// in is [ledger.Reader.CellsIn] for who knows some of the cells.
func (k known) in(ctx context.Context, reader ledger.Reader, revision int64, keys []string) ([]ledger.Unknown, error) {
	if revision != k.revision {
		return reader.CellsIn(ctx, revision, keys)
	}
	var found []ledger.Unknown
	var missing []string
	for _, key := range keys {
		if unknowns, ok := k.cells[key]; ok {
			found = append(found, unknowns...)
		} else {
			missing = append(missing, key)
		}
	}
	if len(missing) == 0 {
		return found, nil
	}
	more, err := reader.CellsIn(ctx, revision, missing)
	return append(found, more...), err
}

// ahead is a [ledger.Reader] that knows some cells already.
type ahead struct {
	ledger.Reader
	known known
}

// CellsIn implements [ledger.Reader].
func (a ahead) CellsIn(ctx context.Context, revision int64, keys []string) ([]ledger.Unknown, error) {
	return a.known.in(ctx, a.Reader, revision, keys)
}

// readAhead reads once what the cells with the keys are in a revision, for who asks for some of them again and again. It also
// returns what it has read, by audience.
func readAhead(ctx context.Context, audiences []ledger.Reader, revision int64, keys []string) ([]ledger.Reader, []known, error) {
	readers, read := make([]ledger.Reader, len(audiences)), make([]known, len(audiences))
	for i, audience := range audiences {
		cells := make(map[string][]ledger.Unknown, len(keys))
		for _, key := range keys {
			cells[key] = nil
		}
		read[i] = known{revision, cells}
		readers[i] = ahead{audience, read[i]}
		if len(keys) == 0 {
			continue
		}
		found, err := audience.CellsIn(ctx, revision, keys)
		if err != nil {
			return nil, nil, fmt.Errorf("reading cells of a ledger: %w", err)
		}
		for _, u := range found {
			cells[u.Cell] = append(cells[u.Cell], u)
		}
	}
	return readers, read, nil
}

// keep keeps what was read, by audience, until the tables are decided about. Where it is too much, nothing is kept.
func (t *table) keep(read []known) {
	if t.read == nil {
		t.read = make([]known, len(read))
		for i := range read {
			t.read[i] = known{read[i].revision, map[string][]ledger.Unknown{}}
		}
	}
	for i := range t.read {
		if len(t.read) != len(read) || t.read[i].revision != read[i].revision || len(t.read[i].cells)+len(read[i].cells) > maxKept {
			t.read = []known{}
			return
		}
		maps.Copy(t.read[i].cells, read[i].cells)
	}
}

// informed is a [ledger.Stack] of which some cells were read already. It forgets them when it grows.
type informed struct {
	ledger.Stack
	known known
	next  ledger.ID // the first free id when they were read
}

// CellsIn implements [ledger.Reader].
func (s informed) CellsIn(ctx context.Context, revision int64, keys []string) ([]ledger.Unknown, error) {
	next, err := s.Next(ctx)
	if err != nil {
		return nil, err
	}
	if next != s.next {
		return s.Stack.CellsIn(ctx, revision, keys)
	}
	return s.known.in(ctx, s.Stack, revision, keys)
}

// inform returns the stacks of the audiences, which have not grown since the tables were made, with what was read of them then.
func (t *table) inform(ctx context.Context, stacks []ledger.Stack) ([]ledger.Stack, error) {
	if len(t.read) != len(stacks) {
		return stacks, nil
	}
	all := make([]ledger.Stack, len(stacks))
	for i, stack := range stacks {
		next, err := stack.Next(ctx)
		if err != nil {
			return nil, fmt.Errorf("reading a ledger: %w", err)
		}
		all[i] = informed{stack, t.read[i], next}
	}
	return all, nil
}
