package ledger

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"

	"github.com/comity-federation/comity/services/disclosure"
)

// FromTable returns a table whose statuses are decided as a release of a revision. Name gives each cell the key that it
// has in every release of every audience; a cell that the table does not have gets one of its own. The rules say how wide
// the intervals of primary cells must be, and points, as [disclosure.Protect] has found them, that they are; nil: not yet.
// Equations that join the table with other releases, as a year with its months, are for the caller to add. Errors are
// those of [disclosure.Table.Complete].
func FromTable(t *disclosure.Table, points []disclosure.Point, rules disclosure.Rules, revision int64, name func(disclosure.Cell) string) (Release, error) {
	whole, err := t.Complete(rand.NewChaCha8([32]byte{}))
	if err != nil {
		return Release{}, err
	}
	equations, _, err := whole.Equations()
	if err != nil {
		return Release{}, err
	}
	sum := sha256.New()
	for _, c := range t.Cells {
		fmt.Fprintln(sum, c.Name(), c.Absent)
	}
	shape := hex.EncodeToString(sum.Sum(nil)[:8])
	r := Release{Revision: revision, Ceiling: whole.GrandTotal(), Cells: make([]Cell, len(whole.Cells))}
	for i, c := range whole.Cells {
		r.Cells[i] = Cell{Key: name(c), Value: c.Value, Status: c.Status}
		switch {
		case c.Absent: // nobody but readers of such a table has it, and its value may be another than in the next one
			r.Cells[i].Key = fmt.Sprintf("%s, absent of %s, %d", r.Cells[i].Key, shape, c.Value)
			continue
		case c.Status == disclosure.Primary:
			r.Cells[i].Width = rules.Width(c.Value)
		}
		r.Cells[i].Single = c.Value == 1 || len(c.Contributions) == 1
	}
	for _, e := range equations {
		equation := Equation{Total: r.Cells[e.Total].Key}
		for _, p := range e.Parts {
			equation.Parts = append(equation.Parts, r.Cells[p].Key)
		}
		r.Equations = append(r.Equations, equation)
	}
	for _, p := range points {
		proof := Proof{Cells: p.Cells}
		for _, move := range p.Moves {
			if move*Scale%p.Denominator != 0 {
				break
			}
			proof.Moves = append(proof.Moves, move*Scale/p.Denominator)
		}
		if len(proof.Moves) == len(proof.Cells) {
			r.Proofs = append(r.Proofs, proof)
		}
	}
	return r, nil
}
