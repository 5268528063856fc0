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
	return admit(ctx, []Stack{stack}, facts, o, learning)
}

// Remember notes what held in a revision between figures that an audience was told of, and others that it was not: what
// it is told of these later, where they have not changed since, tells of the former too. Nothing goes out by it. All cells
// are taken for Untold but for those that the stack knows. Of these, one that the equations give away is exposed, since they
// held all along, and one of which they tell much is protected as far as it is. One that nobody was told of asks for no
// protection yet: the release that tells of it has to. No ceiling is known of what nobody is told of: it would expose figures
// that are not given away, and so leave them unprotected.
//
// The verdict's increments are to be recorded as those of a release. Errors are those of [Admit].
func Remember(ctx context.Context, stacks []Stack, past Release, o Options) (*Verdict, error) {
	past.Cells = append([]Cell(nil), past.Cells...)
	for i := range past.Cells {
		past.Cells[i].Untold = past.Cells[i].Status.Suppressed()
		past.Cells[i].Ceiling = disclosure.MaxValue
	}
	verdict, _, err := admit(ctx, stacks, past, o, recalling)
	return verdict, err
}
