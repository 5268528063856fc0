package sharing

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

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

// audience is whoever may put what they were shown together.
type audience struct {
	ledger.Reader             // what it has seen
	members       []StateCode // who belongs to it, and knows what it counted itself; none of the public
}

// audience returns an audience with all partners that ever had an agreement of the tier: what was shown stays known.
func (s *Service) audience(ctx context.Context, tier string) (audience, error) {
	agreements, err := s.agreements(ctx, "")
	if err != nil {
		return audience{}, err
	}
	a := audience{Reader: s.Store.Seen(tier)}
	for _, one := range agreements {
		partner := one.Terms.Receiver
		if one.wasActive() && one.Terms.Provider == s.State && string(one.Terms.tier()) == tier && !slices.Contains(a.members, partner) {
			a.members = append(a.members, partner)
		}
	}
	return a, nil
}

// everybody returns the audiences in the order of [Tx.Ledgers].
func (s *Service) everybody(ctx context.Context) ([]audience, error) {
	tiers, err := s.Store.Audiences(ctx)
	if err != nil {
		return nil, err
	}
	tiers = slices.DeleteFunc(tiers, func(tier string) bool { return tier == Public })
	audiences := []audience{{Reader: s.Store.Seen(Public)}}
	for _, tier := range tiers {
		one, err := s.audience(ctx, tier)
		if err != nil {
			return nil, err
		}
		audiences = append(audiences, one)
	}
	return audiences, nil
}

// mirrored is what members of audiences have counted themselves of the figures of an area and indicator.
type mirrored struct {
	known       []map[string]bool // of each audience, the names of the cells in ledgers, of figures in whole units
	frequencies map[string]bool   // at which such figures came
}

// mirror finds out which cells of an area and indicator members of the audiences have counted from the other end. What
// counts is that they sent them, not what they say. A figure that came withheld is known to who withheld it, one that is
// missing is not; and who counts months knows the year.
func (m *maker) mirror(ctx context.Context, area, code string) error {
	m.mirrored = mirrored{}
	design := m.structures.Mirror
	if design == nil {
		return nil
	}
	ours := map[string][]string{} // the codes that tables have, by dimension
	query := Query{Dataflow: m.structures.Dataflow, Revision: m.revision}
	for _, selection := range m.cells(area, code, "").Selections {
		ours[selection.Dimension] = selection.Codes
		switch selection.Dimension {
		case freq, design.Area: // as they are stored
			continue
		case design.Flow:
			selection.Codes = otherEnds(design, selection.Codes)
		}
		query.Selections = append(query.Selections, selection)
	}
	at := slices.IndexFunc(query.Selections, func(s Selection) bool { return s.Dimension == design.Counterpart })
	if at < 0 {
		return nil
	}
	query.Selections[at].Codes = m.standing(design, ours[design.Area])
	others := slices.DeleteFunc(slices.Clone(ours[design.Counterpart]), func(c string) bool { return c == Total })
	flow := slices.IndexFunc(query.Selections, func(s Selection) bool { return s.Dimension == design.Flow })
	if flow < 0 || len(others) == 0 || len(query.Selections[at].Codes) == 0 || len(query.Selections[flow].Codes) == 0 {
		return nil
	}
	m.mirrored.frequencies = map[string]bool{}
	counted := map[StateCode]map[string]bool{}
	for _, members := range m.members {
		known := map[string]bool{}
		for _, partner := range members {
			if counted[partner] == nil {
				query.Providers = []StateCode{partner}
				var err error
				if counted[partner], err = m.counted(ctx, design, query, others); err != nil {
					return fmt.Errorf("asking what %s counted itself: %w", partner, err)
				}
			}
			maps.Copy(known, counted[partner])
		}
		m.mirrored.known = append(m.mirrored.known, known)
	}
	return nil
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
	i := slices.IndexFunc(m.structures.Dimensions, func(d Dimension) bool { return d.ID == design.Counterpart })
	if len(m.structures.Dimensions[i].Codes) == 0 { // any code can stand there
		var codes []string
		for code, area := range design.Areas {
			if slices.Contains(areas, area) {
				codes = append(codes, code)
			}
		}
		return append(codes, areas...)
	}
	return slices.DeleteFunc(codesOf(m.structures, design.Counterpart), func(code string) bool {
		return !slices.Contains(areas, design.area(code))
	})
}

// counted returns the names of the cells of this state that a partner has counted from the other end. Others are the codes
// that the cells may have of the counterpart dimension.
func (m *maker) counted(ctx context.Context, design *Mirror, query Query, others []string) (map[string]bool, error) {
	place := func(id string) int {
		return slices.IndexFunc(m.structures.Dimensions, func(d Dimension) bool { return d.ID == id })
	}
	area, flow, counterpart, often := place(design.Area), place(design.Flow), place(design.Counterpart), place(freq)
	names := map[string]bool{}
	err := m.query(ctx, query, func(b *block.Block) error {
		return m.read(b, func(codes []string, period string, f figure) {
			missing := math.IsNaN(f.value) && f.status != suppressed && f.conf == free
			if missing || area < 0 || often < 0 || codes[area] == design.area(codes[counterpart]) {
				return
			}
			m.mirrored.frequencies[codes[often]] = true
			cell := slices.Clone(codes)
			cell[area], cell[flow] = design.area(codes[counterpart]), design.Flows[codes[flow]]
			for _, cell[counterpart] = range others {
				if design.area(cell[counterpart]) != codes[area] {
					continue
				}
				for i := slices.Index(frequencies, codes[often]); i >= 0; i-- {
					cell[often] = frequencies[i]
					for _, whole := range related(period, cell[often]) {
						if within(period, whole) {
							names[m.structures.ledgerKey(cell, whole, 1)] = true
						}
					}
				}
			}
		})
	})
	return names, err
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
	if m.scale != 1 {
		key = strings.TrimSuffix(key, fmt.Sprintf(" /%d", m.scale))
	}
	if audience >= 0 {
		return m.mirrored.known[audience][key]
	}
	return slices.ContainsFunc(m.mirrored.known, func(known map[string]bool) bool { return known[key] })
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
