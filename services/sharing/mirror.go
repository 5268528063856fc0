package sharing

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"math"
	mathrand "math/rand/v2"
	"slices"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/services/disclosure"
	"github.com/comity-federation/comity/services/disclosure/ledger"
)

// Mirror says which figures of a dataflow count the same from two ends: what one state reports as exits towards another,
// that one reports as entries. All other dimensions have the same codes on both sides.
type Mirror struct {
	Area        string            // the dimension that names who reports
	Flow        string            // the dimension that tells entries from exits
	Flows       map[string]string // by code of Flow, the code of the other end: each pair stands both ways
	Counterpart string            // the dimension that names the other end
	Areas       map[string]string // by code of Counterpart, what Area calls it; one that is not named has the same code
}

// area returns what the area dimension calls a code of the counterpart dimension.
func (m *Mirror) area(counterpart string) string {
	if area, ok := m.Areas[counterpart]; ok {
		return area
	}
	return counterpart
}

// mirrored is what members of audiences have counted themselves of the figures of an area and indicator.
type mirrored struct {
	known       []map[string]bool // of each audience, the names of the cells in ledgers
	frequencies map[string]bool   // at which such figures came
}

// corridors is what the search for mirror figures of an area and indicator rests on.
type corridors struct {
	*maker
	design                  *Mirror
	often                   int      // the place of FREQ
	area, flow, counterpart int      // and of the design's dimensions
	frequency               string   // of the tables
	ends                    []string // the codes that tables have for other ends
	theirs, ours            Query    // for the figures of a partner, and those of this state that have another end
	stored                  []counted
}

// counted is a figure that is stored, by the codes that this state has for it.
type counted struct {
	codes  []string
	period string
}

// mirror finds out which cells of an area and indicator members of the audiences have counted from the other end. What
// counts is that they sent them, not what they say: a figure that came withheld is known to who withheld it, one that is
// missing is not. Who counted all parts of a cell that are stored here, or finer ones, knows the cell.
func (m *maker) mirror(ctx context.Context, area, code, frequency string) error {
	m.mirrored = mirrored{}
	c, ok := m.corridors(area, code, frequency)
	if !ok {
		return nil
	}
	m.mirrored.frequencies = map[string]bool{}
	known := map[StateCode]map[string]bool{}
	for _, members := range m.members {
		all := map[string]bool{}
		for _, partner := range members {
			if known[partner] == nil {
				var err error
				if known[partner], err = c.known(ctx, partner); err != nil {
					return fmt.Errorf("asking what %s counted itself: %w", partner, err)
				}
			}
			maps.Copy(all, known[partner])
		}
		m.mirrored.known = append(m.mirrored.known, all)
	}
	return nil
}

// corridors returns what to look for; false where an area and indicator have no mirror figures.
func (m *maker) corridors(area, code, frequency string) (*corridors, bool) {
	design := m.structures.Mirror
	if design == nil {
		return nil, false
	}
	place := m.structures.place
	c := &corridors{
		maker: m, design: design, frequency: frequency,
		often: place(freq), area: place(design.Area), flow: place(design.Flow), counterpart: place(design.Counterpart),
	}
	if c.area < 0 || c.flow < 0 || c.counterpart < 0 || c.often < 0 {
		return nil, false
	}
	query := m.cells(area, code, frequency)
	codes := func(place int) []string { return query.Selections[place].Codes }
	c.ends = slices.DeleteFunc(slices.Clone(codes(c.counterpart)), func(end string) bool { return end == Total })
	flows, here := otherEnds(design, codes(c.flow)), m.standing(design, codes(c.area))
	if len(c.ends) == 0 || len(flows) == 0 || len(here) == 0 {
		return nil, false
	}
	c.theirs = Query{Dataflow: query.Dataflow, Revision: m.revision, Selections: []Selection{
		{Dimension: design.Flow, Codes: flows}, {Dimension: design.Counterpart, Codes: here},
	}}
	c.ours = Query{Dataflow: query.Dataflow, Providers: query.Providers, Revision: m.revision, Selections: []Selection{
		{Dimension: design.Area, Codes: codes(c.area)},
		{Dimension: design.Flow, Codes: codes(c.flow)},
		{Dimension: design.Counterpart, Codes: c.ends},
	}}
	return c, true
}

// otherEnds returns the codes of the flows from the other end.
func otherEnds(design *Mirror, codes []string) []string {
	var others []string
	for _, code := range codes {
		if other, ok := design.Flows[code]; ok {
			others = append(others, other)
		}
	}
	return others
}

// standing returns the codes of the counterpart dimension that stand for areas.
func (m *maker) standing(design *Mirror, areas []string) []string {
	if len(m.structures.dimension(design.Counterpart).Codes) == 0 { // any code can stand there
		var codes []string
		for code, area := range design.Areas {
			if slices.Contains(areas, area) {
				codes = append(codes, code)
			}
		}
		return append(codes, areas...)
	}
	return slices.DeleteFunc(m.structures.codes(design.Counterpart), func(code string) bool {
		return !slices.Contains(areas, design.area(code))
	})
}

// known returns the names of the cells of this state that a partner has counted from the other end.
func (c *corridors) known(ctx context.Context, partner StateCode) (map[string]bool, error) {
	names := map[string]bool{}
	parts := map[string][]counted{} // what the partner counted, by the names of the cells that it is a part of
	c.theirs.Providers = []StateCode{partner}
	err := c.figures(ctx, c.theirs, func(row counted, f figure) {
		other := row.codes[c.area]
		here := c.design.area(row.codes[c.counterpart])
		if math.IsNaN(f.value) && f.status != suppressed && f.conf == free || other == here {
			return
		}
		for _, end := range c.ends {
			if c.design.area(end) != other {
				continue
			}
			mine := counted{slices.Clone(row.codes), row.period}
			mine.codes[c.area], mine.codes[c.flow], mine.codes[c.counterpart] = here, c.design.Flows[row.codes[c.flow]], end
			for _, name := range c.names(mine, false) {
				names[name] = true
				parts[name] = append(parts[name], mine)
			}
		}
		c.mirrored.frequencies[row.codes[c.often]] = true
	})
	if err != nil || len(names) == 0 {
		return names, err
	}
	if c.stored == nil {
		c.stored = []counted{}
		err := c.figures(ctx, c.ours, func(row counted, f figure) {
			if f.value > 0 && row.codes[c.area] != c.design.area(row.codes[c.counterpart]) {
				c.stored = append(c.stored, row)
			}
		})
		if err != nil {
			return nil, err
		}
	}
	for _, row := range c.stored {
		for _, name := range c.names(row, true) {
			if names[name] && !slices.ContainsFunc(parts[name], func(part counted) bool { return c.comparable(row, part) }) {
				delete(names, name)
			}
		}
	}
	return names, nil
}

// figures calls each with the figures of an answer.
func (c *corridors) figures(ctx context.Context, query Query, each func(row counted, f figure)) error {
	return c.query(ctx, query, func(b *block.Block) error {
		return c.read(b, func(codes []string, period string, f figure) { each(counted{slices.Clone(codes), period}, f) })
	})
}

// names returns the names of the cells that a figure is a part of, all or the finest: at its own frequency, at that of the
// tables, and at those at which partners count.
func (c *corridors) names(row counted, all bool) []string {
	codes := slices.Clone(row.codes)
	for i, d := range c.structures.Dimensions {
		if d.ID != refArea && d.ID != indicator {
			codes[i] = Total
		}
	}
	var names []string
	var add func(told int)
	add = func(told int) {
		if told == len(c.told) {
			names = append(names, c.over(row, codes)...)
			return
		}
		a := c.told[told]
		code := a.lift(row.codes[a.place])
		for {
			codes[a.place] = code
			add(told + 1)
			if code == Total || !all || a.place == c.counterpart {
				return
			}
			code = a.lift(a.dimension.Codes[code].Parent)
		}
	}
	add(0)
	return names
}

// over returns the names that cells of the codes have in the periods that a figure is in.
func (c *corridors) over(row counted, codes []string) []string {
	var names []string
	for _, often := range frequencies {
		if often != row.codes[c.often] && often != c.frequency && !c.mirrored.frequencies[often] {
			continue
		}
		codes[c.often] = often
		for _, whole := range related(row.period, often) {
			if within(row.period, whole) {
				names = append(names, c.structures.ledgerKey(codes, whole))
			}
		}
	}
	return names
}

// comparable reports whether one of two figures is a part of the other one, as far as their codes tell.
func (c *corridors) comparable(a, b counted) bool {
	for i, d := range c.structures.Dimensions {
		if d.ID != freq && !d.within(a.codes[i], b.codes[i]) && !d.within(b.codes[i], a.codes[i]) {
			return false
		}
	}
	return within(a.period, b.period) || within(b.period, a.period)
}

// coarser reports whether members of the audiences have counted figures themselves at a coarser frequency.
func (m *mirrored) coarser(frequency, than string) bool {
	return m.frequencies[frequency] && slices.Index(frequencies, frequency) < slices.Index(frequencies, than)
}

// mirrors reports whether a member of the audience has counted a cell of the table itself, or one that the table is
// joined to; negative: of any audience.
func (m *made) mirrors(audience int, key string) bool {
	if m.mirrored.known == nil {
		return false
	}
	for a, known := range m.mirrored.known {
		if (a == audience || audience < 0) && (known[key] || m.deduced != nil && m.deduced[a][key]) {
			return true
		}
	}
	return false
}

// deduce finds out what members of the audiences can compute of the table from what they counted themselves alone.
func (m *made) deduce() error {
	if !slices.ContainsFunc(m.names, func(name string) bool { return m.mirrors(-1, name) }) {
		return nil
	}
	whole, err := m.table.Complete(mathrand.NewChaCha8([32]byte{}))
	if err != nil {
		return err
	}
	equations, _, err := whole.Equations()
	if err != nil {
		return err
	}
	if m.deduced == nil {
		m.deduced = make([]map[string]bool, len(m.mirrored.known))
		for a := range m.deduced {
			m.deduced[a] = map[string]bool{}
		}
	}
	for a, deduced := range m.deduced {
		open := func(i int) bool {
			return i >= len(m.names) || whole.Cells[i].Absent || whole.Cells[i].Status != disclosure.Empty && !m.mirrors(a, m.names[i])
		}
		for before := -1; before < len(deduced); {
			before = len(deduced)
			for _, e := range equations {
				terms := slices.DeleteFunc(append([]int{e.Total}, e.Parts...), func(i int) bool { return !open(i) })
				if len(terms) == 1 && terms[0] < len(m.names) && !whole.Cells[terms[0]].Absent {
					deduced[m.names[terms[0]]] = true
				}
			}
		}
	}
	return nil
}

// facts returns the cells of the table, and of what it is joined to, that members of an audience have counted themselves.
func (m *made) facts(audience int) []ledger.Cell {
	var facts []ledger.Cell
	for i, c := range m.table.Cells {
		if !c.Absent && m.mirrors(audience, m.names[i]) {
			facts = append(facts, ledger.Cell{Key: m.names[i], Value: c.Value})
		}
	}
	for _, s := range m.sums {
		for _, c := range s.cells() {
			if m.mirrors(audience, c.Key) {
				facts = append(facts, ledger.Cell{Key: c.Key, Value: c.Value})
			}
		}
	}
	return facts
}

// unknown returns the facts that what an audience has seen does not have yet, each once.
func unknown(ctx context.Context, audience ledger.Reader, revision int64, facts []ledger.Cell) ([]ledger.Cell, error) {
	if len(facts) == 0 {
		return nil, nil
	}
	past, err := ledger.Recall(ctx, []ledger.Reader{audience}, revision, facts)
	if err != nil {
		return nil, err
	}
	listed := map[string]bool{}
	var news []ledger.Cell
	for i, c := range facts {
		if past[i].Seen != ledger.Shown && !listed[c.Key] {
			listed[c.Key] = true
			news = append(news, c)
		}
	}
	return news, nil
}

// learned reports whether the audiences' ledgers have all that members counted themselves of the table.
func (m *maker) learned(ctx context.Context, to *made) (bool, error) {
	for a := range m.mirrored.known {
		news, err := unknown(ctx, m.audiences[a], m.revision, to.facts(a))
		if err != nil || len(news) > 0 {
			return false, err
		}
	}
	return true, nil
}

// learn notes in the audiences' ledgers what members of them have counted themselves of the tables. What follows from that
// and what went before is out already, and keeps nothing back.
func learn(ctx context.Context, stacks []ledger.Stack, id string, revision int64, some []*made) error {
	for a, stack := range stacks {
		var facts []ledger.Cell
		for _, m := range some {
			if len(m.mirrored.known) > 0 {
				facts = append(facts, m.facts(a)...)
			}
		}
		news, err := unknown(ctx, stack, revision, facts)
		if err != nil {
			return err
		}
		if len(news) == 0 {
			continue
		}
		release := ledger.Release{ID: id, Revision: revision, Cells: news}
		for _, c := range news {
			release.Ceiling = max(release.Ceiling, c.Value)
		}
		verdict, _, err := ledger.Learn(ctx, stack, release, ledger.Options{Random: rand.Reader})
		if err != nil {
			return fmt.Errorf("noting what an audience counted itself: %w", err)
		}
		if err := verdict.Record(ctx, []ledger.Stack{stack}); err != nil {
			return err
		}
	}
	return nil
}

// keptBack names what ledgers keep as a cell where one that a member counted itself is withheld all the same, from the
// others. It stays withheld then.
func keptBack(name string) string { return name + " kept back" }

// kept returns the names under which ledgers say that cells of the table are kept back, by the place of the cell.
func (m *made) kept() map[int]ledger.Cell {
	kept := map[int]ledger.Cell{}
	for i, c := range m.table.Cells {
		if !c.Absent && m.mirrors(-1, m.names[i]) {
			kept[i] = ledger.Cell{Key: keptBack(m.names[i]), Value: c.Value, Status: disclosure.Published}
		}
	}
	return kept
}

// spared returns what cannot protect anything where what was shown is left aside: what members of audiences have counted
// themselves. Nothing, where that is itself to be protected: from the others it can be, by whatever there is.
func (m *made) spared(pinned []bool) []bool {
	ruled := m.table.Clone()
	m.rules.Apply(ruled)
	var spared []bool
	for i, c := range ruled.Cells {
		switch {
		case c.Absent || !m.mirrors(-1, m.names[i]):
		case c.Status == disclosure.Primary:
			return nil
		case pinned[i]:
			if spared == nil {
				spared = make([]bool, len(pinned))
			}
			spared[i] = true
		}
	}
	return spared
}
