package sharing

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/comity-federation/comity/services/disclosure"
	"github.com/comity-federation/comity/services/disclosure/ledger"
	"github.com/comity-federation/comity/services/fault"
)

// past is what held in an earlier revision between figures that audiences were told of then, and others that they are told
// of now. Where these have not changed since, they tell of the former.
type past struct {
	release ledger.Release
	tables  []*made // that may not go without it
}

// add adds what held between the figures of a table.
func (p *past) add(release ledger.Release) {
	p.release.Cells, p.release.Equations = append(p.release.Cells, release.Cells...), append(p.release.Equations, release.Equations...)
	p.release.Ceiling = max(p.release.Ceiling, release.Ceiling)
}

// closing says that ledgers have all that holds in a revision between the figures of a group of tables, where these go.
type closing struct {
	key    string
	tables []*made
}

// amount returns how much audiences were told, as a number that grows with it.
func amount[R ledger.Reader](ctx context.Context, audiences []R) (ledger.ID, error) {
	var sum ledger.ID
	for _, audience := range audiences {
		next, err := audience.Next(ctx)
		if err != nil {
			return 0, fmt.Errorf("reading a ledger: %w", err)
		}
		sum += next
	}
	return sum, nil
}

// remember notes in the ledgers what held in earlier revisions. A table whose past cannot be told does not go.
func (t *table) remember(ctx context.Context, stacks []ledger.Stack, id string) error {
	slices.SortStableFunc(t.past, func(a, b past) int { return int(a.release.Revision - b.release.Revision) })
	for _, p := range t.past {
		p.release.ID = id
		verdict, err := ledger.Remember(ctx, stacks, p.release, ledger.Options{Random: rand.Reader})
		if refusal, ok := errors.AsType[*ledger.Refusal](err); ok {
			for _, m := range p.tables {
				m.refusal = refusal
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("remembering revision %d: %w", p.release.Revision, err)
		}
		if err := verdict.Record(ctx, stacks); err != nil {
			return err
		}
	}
	return nil
}

// close notes in the ledgers in which details the tables tell, and of which groups they have all that holds now.
func (t *table) close(ctx context.Context, stacks []ledger.Stack, id string) error {
	release := ledger.Release{ID: id, Revision: t.revision, Cells: t.details()}
	for _, c := range t.closing {
		if !slices.ContainsFunc(c.tables, func(m *made) bool { return m.refusal != nil }) {
			release.Cells = append(release.Cells, ledger.Cell{Key: c.key, Status: disclosure.Published})
		}
	}
	if len(release.Cells) == 0 {
		return nil
	}
	verdict, err := ledger.Remember(ctx, stacks, release, ledger.Options{Random: rand.Reader})
	if err != nil {
		return fmt.Errorf("closing revision %d: %w", t.revision, err)
	}
	return verdict.Record(ctx, stacks)
}

// lookBack finds out in which revisions the audiences were told other figures of what the tables, or their relatives, are
// about, and adds what held then to t, where the tables have figures that they were not told of. Relatives include the
// sheets of the tables.
func (m *maker) lookBack(ctx context.Context, t *table, tables []*made, relatives map[strand][]*sheet) error {
	groups := map[string][]*made{} // by what the tables of a group have to do with each other
	for _, one := range tables {
		key := group(one.sheet.period, relatives)
		groups[key] = append(groups[key], one)
	}
	then := map[int64]map[strand][]*sheet{}
	for _, key := range slices.Sorted(maps.Keys(groups)) {
		tables := groups[key]
		news := slices.DeleteFunc(slices.Clone(tables), func(one *made) bool { return !one.news })
		if len(news) == 0 {
			continue
		}
		revisions, whole, err := m.others(ctx, tables, key, relatives)
		if err != nil {
			return err
		}
		if whole {
			t.closing = append(t.closing, closing{m.lookedBack(news[0].sheet, key, relatives, m.revision), tables})
		}
		marks := make([]ledger.Cell, len(revisions))
		for i, r := range revisions {
			marks[i].Key = m.lookedBack(news[0].sheet, key, relatives, r)
		}
		done, err := ledger.Recall(ctx, m.audiences, m.revision, marks)
		if err != nil {
			return err
		}
		for i, r := range revisions {
			if done[i].Told == len(m.audiences) {
				continue
			}
			if then[r] == nil {
				if then[r], err = m.at(r).relatives(ctx, relatives); err != nil {
					return err
				}
			}
			p, err := m.at(r).past(key, then[r])
			if fault.Is(err, fault.Precondition) {
				for _, one := range news {
					one.refuse(err)
				}
				continue
			}
			if err != nil {
				return err
			}
			p.tables = news
			p.release.Cells = append(p.release.Cells, ledger.Cell{Key: marks[i].Key, Status: disclosure.Published})
			t.past = append(t.past, p)
		}
	}
	return nil
}

// lookedBack names that all that held in a revision is in a ledger.
func (m *maker) lookedBack(s *sheet, key string, relatives map[strand][]*sheet, revision int64) string {
	name := []string{"what held", s.area, s.indicator, key, fmt.Sprint("in ", revision), "by"}
	for _, relative := range sortedStrands(relatives) {
		name = append(name, relative.String())
	}
	return strings.Join(append(name, levels(m.told)...), " ")
}

// at returns a maker of what was in an earlier revision.
func (m *maker) at(revision int64) *maker {
	then := *m
	then.revision = revision
	return &then
}

// relatives asks for the sheets of the same strands.
func (m *maker) relatives(ctx context.Context, now map[strand][]*sheet) (map[strand][]*sheet, error) {
	then := map[strand][]*sheet{}
	for s := range now {
		var err error
		if then[s], err = m.sheets(ctx, s.area, s.indicator, s.frequency); err != nil {
			return nil, fmt.Errorf("looking at revision %d: %w", m.revision, err)
		}
	}
	return then, nil
}

// others returns the revisions in which the audiences were told other figures of a group of tables or their relatives. It
// reports whether they are told all that these are now, if the group goes.
func (m *maker) others(ctx context.Context, group []*made, key string, relatives map[strand][]*sheet) (in []int64, whole bool, err error) {
	revisions := map[int64]bool{}
	own := group[0].sheet.strand()
	whole = len(group) == len(inside(relatives[own], key))
	for _, one := range group {
		maps.Copy(revisions, one.others)
		whole = whole && slices.EqualFunc(one.axes, m.told, func(a, b axis) bool { return a.finest == b.finest })
	}
	var cells []ledger.Cell
	for other, sheets := range relatives {
		if other == own {
			continue
		}
		for _, s := range inside(sheets, key) {
			for _, f := range s.figures {
				if c, ok := m.named(group[0], s, f); ok {
					cells = append(cells, c)
				}
			}
		}
	}
	past, err := ledger.Recall(ctx, m.audiences, m.revision, cells)
	if err != nil {
		return nil, false, err
	}
	for _, p := range past {
		whole = whole && p.Told == len(m.audiences)
		for _, r := range p.Others {
			revisions[r] = true
		}
	}
	return slices.Sorted(maps.Keys(revisions)), whole, nil
}

// past returns what held between the figures of a group's periods. It is a fault of kind Precondition where these cannot be
// counted in the unit.
func (m *maker) past(key string, relatives map[strand][]*sheet) (past, error) {
	p := past{release: ledger.Release{Revision: m.revision}}
	var sums []sum
	for _, strand := range sortedStrands(relatives) {
		for _, s := range inside(relatives[strand], key) {
			if s.problem != nil {
				continue // then it was no table, so that nobody was told of it
			}
			one := &made{sheet: s, axes: m.told}
			release, err := m.held(one)
			if err != nil {
				return past{}, err
			}
			m.addSums(one, []*sheet{s}, relatives)
			sums = append(sums, one.sums...)
			p.add(release)
		}
	}
	addSums(&p.release, sums)
	return p, nil
}

// held lays out a sheet, and returns what it says when nothing of it is told.
func (m *maker) held(one *made) (ledger.Release, error) {
	err := m.fits(one.sheet)
	if err != nil {
		return ledger.Release{}, err
	}
	if one.rules, err = m.rules(); err != nil {
		return ledger.Release{}, err
	}
	g := m.newGrid(one.sheet, one.axes, nil)
	one.table, one.cells = g.table, g.cells
	one.rules.Apply(one.table)
	for i := range one.table.Cells {
		if c := &one.table.Cells[i]; c.Status == disclosure.Published || c.Status == disclosure.Undecided {
			c.Status = disclosure.Secondary
		}
	}
	m.name(one)
	release, err := one.release(m.revision)
	release.Cells = slices.DeleteFunc(release.Cells, func(c ledger.Cell) bool { return c.Key == one.mark() })
	return release, err
}
