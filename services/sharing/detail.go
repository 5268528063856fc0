package sharing

import (
	"context"
	"slices"
	"strings"

	"github.com/comity-federation/comity/services/disclosure"
	"github.com/comity-federation/comity/services/disclosure/ledger"
)

// details returns a maker for each detail in which an audience was told of any of the relatives,
// and for the own one, unless it is within another.
func (m *maker) details(ctx context.Context, relatives map[strand][]*sheet) ([]*maker, error) {
	all := [][]axis{nil} // the beginnings of details that were told
	for i, dimension := range m.structures.Dimensions {
		if slices.Contains([]string{freq, refArea, indicator}, dimension.ID) {
			continue
		}
		var longer [][]axis
		for level, id := range dimension.Levels {
			if id == dimension.Codes[Total].Level {
				continue
			}
			for _, axes := range all {
				longer = append(longer, append(slices.Clone(axes), axis{place: i, dimension: dimension, agreed: level}))
			}
		}
		told, err := m.toldBy(ctx, relatives, longer, beginning)
		if err != nil {
			return nil, err
		}
		all = append(all, told...)
	}
	told, err := m.toldBy(ctx, relatives, all, whole)
	if err != nil {
		return nil, err
	}
	told = append(slices.DeleteFunc(told, func(axes []axis) bool { return covers(m.told, axes) }), m.told)
	var makers []*maker
	for i, axes := range told {
		within := func(other []axis) bool { return covers(other, axes) }
		if slices.ContainsFunc(told[:i], within) || slices.ContainsFunc(told[i+1:], within) {
			continue
		}
		other := *m
		other.told = nil
		for _, a := range axes {
			other.told = append(other.told, newAxis(a.place, a.dimension, a.agreed))
		}
		makers = append(makers, &other)
	}
	return makers, nil
}

// toldBy returns those of the details in which an audience was told of any of the relatives.
func (m *maker) toldBy(ctx context.Context, relatives map[strand][]*sheet, details [][]axis, p part) ([][]axis, error) {
	var marks []string // of each detail, that it was told of each of the relatives
	for _, axes := range details {
		for s := range relatives {
			marks = append(marks, s.detailTold(axes, p))
		}
	}
	told, err := marked(ctx, m.audiences, marks)
	if err != nil {
		return nil, err
	}
	var some [][]axis
	for i, axes := range details {
		if slices.ContainsFunc(marks[i*len(relatives):(i+1)*len(relatives)], func(mark string) bool { return told[mark] }) {
			some = append(some, axes)
		}
	}
	return some, nil
}

// covers reports whether one detail tells apart all that another one does.
func covers(fine, coarse []axis) bool {
	return !slices.ContainsFunc(coarse, func(c axis) bool {
		return !slices.ContainsFunc(fine, func(f axis) bool { return f.place == c.place && f.agreed >= c.agreed })
	})
}

// part says how much of a detail a mark names.
type part string

// The parts.
const (
	beginning part = "and more" // there may be further dimensions
	whole     part = "alone"
)

// detailTold names in ledgers that somebody was told of the strand in some detail. There is a mark for each
// beginning of the detail too, so that nobody has to ask for all details that there could be.
func (s strand) detailTold(axes []axis, p part) string {
	return strings.Join(append(append([]string{s.told(), "by"}, levels(axes)...), string(p)), " ")
}

// levels names the levels of a detail.
func levels(axes []axis) []string {
	var names []string
	for _, a := range axes {
		names = append(names, a.dimension.ID+"="+a.dimension.Levels[a.agreed])
	}
	return names
}

// details returns the names of what the tables tell of, by which dataflow, and in which details.
func (t *table) details() []ledger.Cell {
	var cells []ledger.Cell
	seen := map[string]bool{}
	for _, m := range t.made {
		if !m.news || m.refusal != nil {
			continue
		}
		s := m.sheet.strand()
		keys := append(slices.Clone(m.sheet.marks), s.told(), s.detailTold(m.axes, whole))
		for i := range m.axes {
			keys = append(keys, s.detailTold(m.axes[:i+1], beginning))
		}
		for _, key := range keys {
			if !seen[key] {
				seen[key] = true
				cells = append(cells, ledger.Cell{Key: key, Status: disclosure.Published})
			}
		}
	}
	return cells
}
