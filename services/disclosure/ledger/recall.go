package ledger

import (
	"context"
	"fmt"
)

// Seen says what audiences were told of a figure.
type Seen uint8

// What they were told.
const (
	New     Seen = iota // nothing
	Shown               // one of them at least has it, and none was refused it
	Refused             // one was refused it: it stays withheld
)

// Past is what audiences know of a figure.
type Past struct {
	Seen  Seen
	Told  int   // how many were told of it, by its value or without
	Width int64 // of one that was refused: how wide its interval was promised to stay, by the audience with the least
}

// Recall returns for each cell of a table that is about to be protected what the audiences know of this very figure. One
// that was shown protects nothing any more if it is withheld now; one that was refused is withheld again by [Admit],
// whatever the table says. Only Key and Value of the cells are used; values are those of the revision.
//
// It can be asked outside of the transaction that decides: what is recorded in between makes the table worse, not the
// verdict. Errors are those of the readers.
func Recall(ctx context.Context, audiences []Reader, revision int64, cells []Cell) ([]Past, error) {
	keys := make([]string, len(cells))
	for i, c := range cells {
		keys[i] = c.Key
	}
	past := make([]Past, len(cells))
	if len(cells) == 0 {
		return past, nil
	}
	for _, audience := range audiences {
		found, err := audience.CellsIn(ctx, revision, keys)
		if err != nil {
			return nil, fmt.Errorf("reading cells of a ledger: %w", err)
		}
		now := present(found, revision)
		for i, c := range cells {
			u, ok := now[c.Key]
			if !ok || u.Untold || u.Value != c.Value {
				continue
			}
			p := &past[i]
			p.Told++
			switch {
			case !u.Open:
				p.Seen = max(p.Seen, Shown)
			case p.Seen == Refused:
				p.Width = min(p.Width, u.Width)
			default:
				p.Seen, p.Width = Refused, u.Width
			}
		}
	}
	return past, nil
}

// present returns of each key the unknown that stands for it in a revision.
func present(unknowns []Unknown, revision int64) map[string]Unknown {
	now := make(map[string]Unknown, len(unknowns))
	for _, u := range unknowns {
		if other, ok := now[u.Cell]; u.Revision <= revision && (!ok || u.Revision > other.Revision) {
			now[u.Cell] = u
		}
	}
	return now
}
