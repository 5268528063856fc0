package disclosure

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// Equation says that a cell is the sum of others. Cells are given by their index in the table.
type Equation struct {
	Total     int
	Parts     []int // at least one
	Dimension int   // the dimension that the total is broken down by
}

// Finding is something about a table that its reader should know, and that keeps nothing from being done.
type Finding struct {
	Cell    int // the total that it is about
	Message string
}

// Equations returns what everybody knows of the table: for each cell and each breakdown of each of its codes, that the
// cell is the sum of its parts. A part that has no cell of its own stands for its own parts, where these have cells;
// else it counts as empty, where the total is the sum of the other parts, and otherwise the equation does not hold for
// any reader and is left out. Where every part has a cell and the total still is not their sum, that is a finding, and
// the equation is left out too.
func (t *Table) Equations() ([]Equation, []Finding, error) {
	l, err := newLayout(t)
	if err != nil {
		return nil, nil, err
	}
	equations, findings := l.equations(t)
	return equations, findings, nil
}

// equations is [Table.Equations] of a table that was checked.
func (l *layout) equations(t *Table) (equations []Equation, findings []Finding) {
	seen := map[string]bool{}
	for i := range t.Cells {
		for d := range t.Dimensions {
			ways := l.dimensions[d].breakdowns[l.code(i, d)]
			if len(ways) == 0 {
				continue
			}
			line := l.line(i, d)
			for _, parts := range ways {
				found := line.collect(parts)
				if len(found.cells) == 0 {
					continue
				}
				e := Equation{Total: i, Dimension: d, Parts: found.cells}
				var sum int64
				for _, p := range e.Parts {
					sum += t.Cells[p].Value
				}
				switch {
				case sum == t.Cells[i].Value:
					if key := e.identity(); !seen[key] {
						seen[key] = true
						equations = append(equations, e)
					}
				case found.absent == 0 && !slices.ContainsFunc(e.cells(), func(j int) bool { return t.Cells[j].Absent }):
					findings = append(findings, Finding{Cell: i, Message: fmt.Sprintf("%s: the parts add up to %d, not to %d", t.Sentence(e), sum, t.Cells[i].Value)})
				}
			}
		}
	}
	return equations, findings
}

// identity is equal for equations that say the same.
func (e Equation) identity() string {
	key := binary.AppendUvarint(nil, uint64(e.Total)) //nolint:gosec // indices are 0 or more
	for _, p := range e.Parts {
		key = binary.AppendUvarint(key, uint64(p)) //nolint:gosec // as above
	}
	return string(key)
}

// Sentence returns the equation in words: "T.F = A.F + B.F".
func (t *Table) Sentence(e Equation) string {
	var b strings.Builder
	b.WriteString(t.Cells[e.Total].Name())
	b.WriteString(" = ")
	for i, p := range e.Parts {
		if i > 0 {
			b.WriteString(" + ")
		}
		b.WriteString(t.Cells[p].Name())
	}
	return b.String()
}
