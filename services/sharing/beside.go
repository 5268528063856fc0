package sharing

import (
	"context"
	"slices"
	"strings"

	"github.com/comity-federation/comity/services/disclosure"
	"github.com/comity-federation/comity/services/disclosure/ledger"
	"github.com/comity-federation/comity/services/fault"
)

// beside adds to t what the tables of an area and indicator say together with other details in which audiences were told
// of it: who was told of parts, and that they have changed, learns about them from a total. Details that the ledgers have
// of this revision already need nothing.
func (m *maker) beside(ctx context.Context, t *table, tables []*made, relatives map[strand][]*sheet) error {
	s := tables[0].sheet
	others, err := m.details(ctx, s)
	if err != nil {
		return err
	}
	for _, other := range others {
		var marks []ledger.Cell
		for _, one := range tables {
			marks = append(marks, ledger.Cell{Key: other.lookedBack(s, group(one.sheet.period, relatives), relatives, m.revision)})
		}
		done, err := ledger.Recall(ctx, m.audiences, m.revision, marks)
		if err != nil {
			return err
		}
		var now map[strand][]*sheet
		p, sums := past{release: ledger.Release{Revision: m.revision}}, []sum(nil)
		flush := func() {
			addSums(&p.release, sums)
			t.past = append(t.past, p)
			p, sums = past{release: ledger.Release{Revision: m.revision}}, nil
		}
		for i, one := range tables {
			if !one.news || done[i].Told == len(m.audiences) {
				continue
			}
			if now == nil {
				if now, err = other.relatives(ctx, relatives); err != nil {
					return err
				}
			}
			at := slices.IndexFunc(now[s.strand()], func(o *sheet) bool { return o.period == one.sheet.period })
			if at < 0 {
				continue
			}
			finer := &made{sheet: now[s.strand()][at], axes: other.told}
			if finer.sheet.problem != nil {
				continue // then it is no table, so that nobody is told of it
			}
			release, err := other.held(finer)
			if fault.Is(err, fault.Precondition) {
				one.refuse(err)
				continue
			}
			if err != nil {
				return err
			}
			other.addSums(finer, finer.sheet.around(now), now)
			if len(p.tables) > 0 && len(p.release.Cells)+len(release.Cells) > maxAdmitted {
				flush()
			}
			p.add(release)
			p.tables, sums = append(p.tables, one), append(sums, finer.sums...)
		}
		if len(p.tables) > 0 {
			flush()
		}
	}
	return nil
}

// details returns a maker for each detail in which an audience was told of what a sheet is about, unless it is within the
// own one or another.
func (m *maker) details(ctx context.Context, s *sheet) ([]*maker, error) {
	all := [][]axis{nil}
	for i, dimension := range m.structures.Dimensions {
		if slices.Contains([]string{freq, refArea, indicator}, dimension.ID) {
			continue
		}
		next := slices.Clone(all)
		for level, id := range dimension.Levels {
			if id == dimension.Codes[Total].Level {
				continue
			}
			for _, axes := range all {
				next = append(next, append(slices.Clone(axes), axis{place: i, dimension: dimension, agreed: level}))
			}
		}
		all = next
	}
	byKey := map[string][]axis{}
	var keys []string
	for _, axes := range all {
		key := detailTold(s, axes)
		byKey[key], keys = axes, append(keys, key)
	}
	told := map[string]bool{}
	for _, audience := range m.audiences {
		found, err := audience.Cells(ctx, keys)
		if err != nil {
			return nil, err
		}
		for _, u := range found {
			told[u.Cell] = true
		}
	}
	var finest [][]axis
	for _, key := range keys {
		if told[key] && !covers(m.told, byKey[key]) {
			finest = append(finest, byKey[key])
		}
	}
	var makers []*maker
	for i, axes := range finest {
		if slices.ContainsFunc(finest[i+1:], func(other []axis) bool { return covers(other, axes) }) || slices.ContainsFunc(finest[:i], func(other []axis) bool { return covers(other, axes) }) {
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

// covers reports whether one detail tells apart all that another one does.
func covers(fine, coarse []axis) bool {
	return !slices.ContainsFunc(coarse, func(c axis) bool {
		return !slices.ContainsFunc(fine, func(f axis) bool { return f.place == c.place && f.agreed >= c.agreed })
	})
}

// detailTold names in ledgers that somebody was told of what a sheet is about in some detail.
func detailTold(s *sheet, axes []axis) string {
	return strings.Join(append([]string{s.strand().told(), "by"}, levels(axes)...), " ")
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
		for _, key := range slices.Concat(m.sheet.marks, []string{m.sheet.strand().told(), detailTold(m.sheet, m.axes)}) {
			if !seen[key] {
				seen[key] = true
				cells = append(cells, ledger.Cell{Key: key, Status: disclosure.Published})
			}
		}
	}
	return cells
}
