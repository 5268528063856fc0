package ledger

import (
	"context"

	"github.com/comity-federation/comity/services/disclosure"
)

// Learn notes that an audience has figures from elsewhere, as the mirror figures that a partner reported itself. Nothing
// goes out by it, so that nothing can be withheld for it: a cell that can no longer be shown to stay hidden counts as
// exposed, is returned by its key, and keeps no later release back. Cells that the stack does not know are noted for
// later releases. Only Key and Value of the cells are used; values are those of the audience's revision.
//
// The verdict's increment is to be recorded as that of a release. Errors are those of [Admit].
func Learn(ctx context.Context, stack Stack, facts Release, o Options) (verdict *Verdict, exposed []string, err error) {
	facts.Equations, facts.Proofs = nil, nil
	facts.Cells = append([]Cell(nil), facts.Cells...)
	for i, c := range facts.Cells {
		facts.Cells[i] = Cell{Key: c.Key, Value: c.Value, Status: disclosure.Published, Known: true}
	}
	return admit(ctx, []Stack{stack}, facts, o, true)
}
