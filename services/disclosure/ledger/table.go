package ledger

import "github.com/comity-federation/comity/services/disclosure"

// FromTable returns a table whose statuses are decided as a release of a revision. Name gives each cell the key that it
// has in every release of every audience. The rules say how wide the intervals of primary cells must be. Equations that
// join the table with other releases, as a year with its months, are for the caller to add. Errors are those of
// [disclosure.Table.Equations].
func FromTable(t *disclosure.Table, rules disclosure.Rules, revision int64, name func(disclosure.Cell) string) (Release, error) {
	equations, _, err := t.Equations()
	if err != nil {
		return Release{}, err
	}
	r := Release{Revision: revision, Ceiling: t.GrandTotal(), Cells: make([]Cell, len(t.Cells))}
	for i, c := range t.Cells {
		r.Cells[i] = Cell{Key: name(c), Value: c.Value, Status: c.Status, Single: len(c.Contributions) == 1}
		if c.Status == disclosure.Primary {
			r.Cells[i].Width = rules.Width(c.Value)
		}
	}
	for _, e := range equations {
		equation := Equation{Total: r.Cells[e.Total].Key}
		for _, p := range e.Parts {
			equation.Parts = append(equation.Parts, r.Cells[p].Key)
		}
		r.Equations = append(r.Equations, equation)
	}
	return r, nil
}
