package sharing

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/comity-federation/comity/services/disclosure"
	"github.com/comity-federation/comity/services/disclosure/ledger"
	"github.com/comity-federation/comity/services/fault"
)

// past is what held in a revision, of which audiences were told anything or are told now, between figures in all detail that
// they were ever told of. Where these have not changed since, they tell of each other.
type past struct {
	release ledger.Release
	sums    []sum
	tables  []*made // that may not go where it cannot be remembered
}

// closing is a mark that ledgers get where a table goes: that they have all that holds between its figures in this revision.
type closing struct {
	key   string
	table *made
}

// remember notes in the ledgers what held in earlier revisions. A table whose past cannot be told does not go.
func (t *table) remember(ctx context.Context, stacks []ledger.Stack, id string) error {
	slices.SortStableFunc(t.past, func(a, b *past) int { return int(a.release.Revision - b.release.Revision) })
	for _, p := range t.past {
		p.release.ID = id
		err := noteDown(ctx, stacks, p.release)
		if refusal, ok := errors.AsType[*ledger.Refusal](err); ok {
			for _, m := range p.tables {
				m.refusal = refusal
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("remembering revision %d: %w", p.release.Revision, err)
		}
	}
	return nil
}

// close notes in the ledgers of what, in which detail and in which revision the tables tell, and of which tables they have
// all that holds in it.
func (t *table) close(ctx context.Context, stacks []ledger.Stack, id string) error {
	release := ledger.Release{ID: id, Revision: t.revision, Cells: t.details()}
	for _, m := range t.made {
		if m.news && m.refusal == nil {
			release.Cells = append(release.Cells, ledger.Cell{
				Key: m.sheet.strand().toldIn(m.sheet.period), Value: t.revision, Ceiling: t.revision, Status: disclosure.Published,
			})
		}
	}
	for _, c := range t.closing {
		if c.table.refusal == nil {
			release.Cells = append(release.Cells, ledger.Cell{Key: c.key, Status: disclosure.Published})
		}
	}
	if len(release.Cells) == 0 {
		return nil
	}
	if err := noteDown(ctx, stacks, release); err != nil {
		return fmt.Errorf("closing revision %d: %w", t.revision, err)
	}
	return nil
}

// toldIn names in ledgers the revisions in which anything was told of a period.
func (s strand) toldIn(period string) string { return s.told() + " in " + period }

// lookBack adds to t what holds between the figures of the tables, those of their relatives, and those in other details in
// which the audiences were told of them: now, and in the revisions in which they were told of them. Who was told of parts,
// and that they have changed, learns about them from a total. What the ledgers have already needs nothing. Relatives include
// the sheets of the tables.
func (m *maker) lookBack(ctx context.Context, t *table, tables []*made, relatives map[strand][]*sheet) error {
	details, err := m.details(ctx, relatives)
	if err != nil {
		return err
	}
	histories := make([]history, len(details))
	for i, d := range details {
		histories[i] = history{maker: d, strands: sortedStrands(relatives), read: map[int64]map[strand][]*sheet{}, open: map[int64]*past{}}
	}
	groups := map[string][]*made{} // by what the tables of a group have to do with each other
	for _, one := range tables {
		if one.news {
			key := group(one.sheet.period, relatives)
			groups[key] = append(groups[key], one)
		}
	}
	keys := slices.Sorted(maps.Keys(groups))
	told, err := m.toldAt(ctx, keys, relatives)
	if err != nil {
		return err
	}
	for i := range histories {
		if err := histories[i].recall(ctx, told); err != nil {
			return err
		}
	}
	for _, key := range keys {
		for i := range histories {
			if err := histories[i].look(ctx, t, groups[key], key, told[key]); err != nil {
				return err
			}
		}
	}
	for _, p := range t.past {
		addSums(&p.release, p.sums)
		p.sums = nil
	}
	return nil
}

// toldAt returns for each group the earlier revisions in which the audiences were told of what it is about, and this one.
func (m *maker) toldAt(ctx context.Context, groups []string, relatives map[strand][]*sheet) (map[string][]int64, error) {
	var marks []string
	about := map[string][]string{} // the groups that a mark says something of
	for _, key := range groups {
		for s := range relatives {
			for _, period := range related(key, s.frequency) {
				mark := s.toldIn(period)
				marks, about[mark] = append(marks, mark), append(about[mark], key)
			}
		}
	}
	found, err := recorded(ctx, m.audiences, marks)
	if err != nil {
		return nil, err
	}
	told := map[string][]int64{}
	for _, of := range found {
		for _, u := range of {
			for _, key := range about[u.Cell] {
				told[key] = append(told[key], u.Value)
			}
		}
	}
	for _, key := range groups {
		slices.Sort(told[key])
		earlier := slices.DeleteFunc(slices.Compact(told[key]), func(r int64) bool { return r == m.revision })
		told[key] = append(earlier, m.revision)
	}
	return told, nil
}

// history is what was, in a detail in which audiences were told of it, or are told now.
type history struct {
	*maker
	strands []strand                      // of the tables and their relatives
	read    map[int64]map[strand][]*sheet // by revision, as far as it was asked for
	open    map[int64]*past               // by revision, the last of what is to be remembered, which may have room for more
	missing map[string]bool               // by mark, what held and the ledgers lack
}

// look adds to t what held in the revisions, for the sake of a group's tables.
func (h *history) look(ctx context.Context, t *table, group []*made, key string, revisions []int64) error {
	for _, r := range revisions {
		mark := h.name(key, r)
		if !h.missing[mark] {
			continue
		}
		if r == h.revision && len(h.strands) == 1 && h.tells(group[0]) {
			t.closing = append(t.closing, closing{mark, group[0]})
			continue
		}
		p := t.held[mark]
		if p == nil {
			if p = h.open[r]; p == nil || len(p.release.Cells) > maxAdmitted {
				p = &past{release: ledger.Release{Revision: r}}
				h.open[r] = p
				t.past = append(t.past, p)
			}
			err := h.add(ctx, p, key)
			if fault.Is(err, fault.Precondition) {
				for _, one := range group {
					one.refuse(err)
				}
				continue
			}
			if err != nil {
				return err
			}
			p.release.Cells = append(p.release.Cells, ledger.Cell{Key: mark, Status: disclosure.Published})
			t.held[mark] = p
		}
		p.tables = append(p.tables, group...)
	}
	return nil
}

// name names the mark that a ledger has all that held in a revision between the figures of a group.
func (h *history) name(key string, revision int64) string {
	name := []string{"what held in", key, fmt.Sprint("in ", revision), "of"}
	for _, s := range h.strands {
		name = append(name, s.String())
	}
	return strings.Join(append(append(name, "by"), levels(h.told)...), " ")
}

// recall finds out of which revisions of groups the ledgers lack what held.
func (h *history) recall(ctx context.Context, told map[string][]int64) error {
	var marks []ledger.Cell
	for key, revisions := range told {
		for _, r := range revisions {
			marks = append(marks, ledger.Cell{Key: h.name(key, r)})
		}
	}
	done, err := ledger.Recall(ctx, h.audiences, h.revision, marks)
	if err != nil {
		return err
	}
	h.missing = map[string]bool{}
	for i, mark := range marks {
		h.missing[mark.Key] = done[i].Told < len(h.audiences)
	}
	return nil
}

// tells reports whether a table goes in all of the detail.
func (h *history) tells(one *made) bool {
	return slices.EqualFunc(one.axes, h.told, func(a, b axis) bool { return a.place == b.place && a.finest == b.agreed })
}

// add adds what held in p's revision between the figures of a group's periods. It is a fault of kind Precondition where these
// cannot be counted in the unit, and where the statistics no longer hold them.
func (h *history) add(ctx context.Context, p *past, key string) error {
	then, relatives := h.at(p.release.Revision), h.read[p.release.Revision]
	if relatives == nil {
		relatives = map[strand][]*sheet{}
		for _, s := range h.strands {
			sheets, err := then.sheets(ctx, s.area, s.indicator, s.frequency)
			if fault.Is(err, fault.NotFound) {
				return errGone(key, then.revision).Because(err)
			}
			if err != nil {
				return fmt.Errorf("looking at revision %d: %w", then.revision, err)
			}
			relatives[s] = sheets
		}
		h.read[p.release.Revision] = relatives
	}
	if err := then.whole(ctx, key, relatives); err != nil {
		return err
	}
	var lonely []remainder
	for _, strand := range h.strands {
		for _, s := range inside(relatives[strand], key) {
			if s.problem != nil {
				continue // then it was no table, so that nobody was told of it
			}
			one := &made{sheet: s, axes: then.told}
			release, err := then.untold(one)
			if err != nil {
				return err
			}
			lonely = append(lonely, then.addSums(one, []*sheet{s}, relatives)...)
			p.sums = append(p.sums, one.sums...)
			extend(&p.release, release)
		}
	}
	p.sums = append(p.sums, then.persons(lonely)...)
	return nil
}

// whole returns a fault of kind Precondition where the totals of a group are not those that audiences were told in the
// revision: what statistics remove for its age is gone from all revisions, without a trace.
func (m *maker) whole(ctx context.Context, key string, relatives map[strand][]*sheet) error {
	var cells []ledger.Cell // in turn, that something was told of a period, and the total
	for _, s := range sortedStrands(relatives) {
		for _, period := range related(key, s.frequency) {
			total := ledger.Cell{Key: m.structures.ledgerKey(m.codes(&sheet{frequency: s.frequency, area: s.area, indicator: s.indicator}, m.totals()), period), Value: -1}
			if i := slices.IndexFunc(relatives[s], func(one *sheet) bool { return one.period == period }); i >= 0 {
				one := relatives[s][i]
				f, ok := one.byKey()[name(m.totals())]
				if !ok || math.IsNaN(f.value) || m.fits(one) != nil {
					continue
				}
				total.Value = m.unit.count(f.value)
			}
			cells = append(cells, ledger.Cell{Key: s.toldIn(period), Value: m.revision}, total)
		}
	}
	for _, audience := range m.audiences {
		past, err := ledger.Recall(ctx, []ledger.Reader{audience}, m.revision, cells)
		if err != nil {
			return err
		}
		for i := 0; i < len(past); i += 2 {
			if past[i].Told > past[i+1].Told {
				return errGone(key, m.revision)
			}
		}
	}
	return nil
}

// errGone says that statistics lack a revision of which audiences were told.
func errGone(period string, revision int64) *fault.Error {
	return fault.New(fault.Precondition, "DISCLOSED_TOGETHER",
		"the statistics no longer hold %s as it was told in revision %d: it can only go in a detail in which it went before", period, revision)
}

// at returns a maker of what was in a revision.
func (m *maker) at(revision int64) *maker {
	then := *m
	if revision != m.revision {
		then.revision, then.answers = revision, map[question][]*sheet{}
	}
	return &then
}

// untold lays out a sheet, and returns what holds between its figures, of which nothing is told.
func (m *maker) untold(one *made) (ledger.Release, error) {
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
