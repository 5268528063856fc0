package quality

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"maps"
	"slices"
)

// Mass is how many figures there are, and what they sum to. Observations without a value are no figures, but counted beside
// them: with some, the sum is not the whole.
type Mass struct {
	Cells   int
	Sum     float64
	Missing int // observations without a value
}

// Add adds a mass; one whose counts are negative is taken away.
func (m *Mass) Add(other Mass) {
	m.Missing += other.Missing
	if m.Cells += other.Cells; m.Cells == 0 {
		m.Sum = 0 // rid of what rounding left
		return
	}
	m.Sum += other.Sum
}

// maxEntries is how many masses are kept for one dimension and frequency: those of 2,000 codes in 130 periods.
const maxEntries = 1 << 18

// Profile is the margins of a set of figures: for each frequency, the mass in each period, and in each period under each
// code of each dimension. It takes little room however many figures there are, and changes with them. Figures of all
// codes of a dimension are summed, be they totals or their parts.
type Profile struct {
	dimensions int
	grids      map[byte]*Grid
}

// NewProfile returns the profile of no figures, with so many dimensions.
func NewProfile(dimensions int) *Profile {
	return &Profile{dimensions: dimensions, grids: map[byte]*Grid{}}
}

// Frequencies returns the frequencies that have a grid, in order.
func (p *Profile) Frequencies() []byte { return slices.Sorted(maps.Keys(p.grids)) }

// Grid returns the margins of a frequency; empty ones where there are none yet.
func (p *Profile) Grid(frequency byte) *Grid {
	g := p.grids[frequency]
	if g == nil {
		g = &Grid{slots: map[int32]int{}, axes: make([]axis, p.dimensions)}
		for i := range g.axes {
			g.axes[i].positions = map[string]int{}
		}
		p.grids[frequency] = g
	}
	return g
}

// Clone returns a profile of its own with the same margins.
func (p *Profile) Clone() *Profile {
	clone := NewProfile(p.dimensions)
	for frequency, g := range p.grids {
		c := &Grid{periods: slices.Clone(g.periods), slots: maps.Clone(g.slots), totals: slices.Clone(g.totals), axes: make([]axis, len(g.axes))}
		for i, a := range g.axes {
			c.axes[i] = axis{codes: slices.Clone(a.codes), positions: maps.Clone(a.positions), entries: a.entries, tooFine: a.tooFine}
			c.axes[i].rows = make([][]Mass, len(a.rows))
			for j, row := range a.rows {
				c.axes[i].rows[j] = slices.Clone(row)
			}
		}
		clone.grids[frequency] = c
	}
	return clone
}

// Grid is the margins of one frequency. Slots number its periods, and positions the codes of a dimension, in the order in
// which they came.
type Grid struct {
	periods []int32 // by slot
	slots   map[int32]int
	totals  []Mass // by slot
	axes    []axis // by dimension
}

type axis struct {
	codes     []string
	positions map[string]int
	rows      [][]Mass // by position, then slot; a row may be short
	entries   int
	tooFine   bool
}

// Slot returns the number of a period, a new one where it has none.
func (g *Grid) Slot(period int32) int {
	slot, ok := g.slots[period]
	if !ok {
		slot = len(g.periods)
		g.slots[period] = slot
		g.periods = append(g.periods, period)
		g.totals = append(g.totals, Mass{})
	}
	return slot
}

// Position returns the number of a code of a dimension, a new one where it has none.
func (g *Grid) Position(dimension int, code string) int {
	a := &g.axes[dimension]
	if a.tooFine {
		return 0
	}
	position, ok := a.positions[code]
	if !ok {
		position = len(a.codes)
		a.positions[code] = position
		a.codes, a.rows = append(a.codes, code), append(a.rows, nil)
	}
	return position
}

// Add adds figures under the codes with these positions, one for each dimension, in the period with this slot. To take
// figures away, the mass is negative.
func (g *Grid) Add(positions []int, slot int, m Mass) {
	g.totals[slot].Add(m)
	for i, position := range positions {
		a := &g.axes[i]
		if a.tooFine {
			continue
		}
		row := a.rows[position]
		if slot >= len(row) {
			if a.entries += slot + 1 - len(row); a.entries > maxEntries {
				*a = axis{tooFine: true, positions: map[string]int{}}
				continue
			}
			row = append(row, make([]Mass, slot+1-len(row))...)
			a.rows[position] = row
		}
		row[slot].Add(m)
	}
}

// Periods returns the periods that have figures, in order.
func (g *Grid) Periods() []int32 { return g.where(func(m Mass) bool { return m.Cells > 0 }) }

// Observed returns the periods that have figures or observations without a value, in order.
func (g *Grid) Observed() []int32 {
	return g.where(func(m Mass) bool { return m.Cells+m.Missing > 0 })
}

func (g *Grid) where(wanted func(Mass) bool) []int32 {
	var periods []int32
	for slot, period := range g.periods {
		if wanted(g.totals[slot]) {
			periods = append(periods, period)
		}
	}
	slices.Sort(periods)
	return periods
}

// Total returns the mass of a period.
func (g *Grid) Total(period int32) Mass {
	if slot, ok := g.slots[period]; ok {
		return g.totals[slot]
	}
	return Mass{}
}

// Cells returns how many figures there are.
func (g *Grid) Cells() int {
	n := 0
	for _, total := range g.totals {
		n += total.Cells
	}
	return n
}

// Fine reports whether a dimension has so many codes that none of them has a margin: At is of nothing there.
func (g *Grid) Fine(dimension int) bool { return g.axes[dimension].tooFine }

// Codes returns the codes of a dimension that any figure was under, sorted.
func (g *Grid) Codes(dimension int) []string {
	return slices.Sorted(slices.Values(g.axes[dimension].codes))
}

// At returns the mass under a code in a period.
func (g *Grid) At(dimension int, code string, period int32) Mass {
	a := &g.axes[dimension]
	position, ok := a.positions[code]
	slot, in := g.slots[period]
	if !ok || !in || slot >= len(a.rows[position]) {
		return Mass{}
	}
	return a.rows[position][slot]
}

// Within returns the mass under a code in all the periods together.
func (g *Grid) Within(dimension int, code string, periods []int32) Mass {
	var m Mass
	for _, period := range periods {
		m.Add(g.At(dimension, code, period))
	}
	return m
}

// storedGrid is a Grid as it is kept.
type storedGrid struct {
	Frequency byte
	Periods   []int32
	Totals    []Mass
	Axes      []storedAxis
}

type storedAxis struct {
	Codes   []string
	Lengths []int // of the rows
	Masses  []Mass
	TooFine bool
}

// MarshalBinary returns the profile as bytes, to be kept.
func (p *Profile) MarshalBinary() ([]byte, error) {
	var grids []storedGrid
	for _, frequency := range p.Frequencies() {
		g := p.grids[frequency]
		stored := storedGrid{Frequency: frequency, Periods: g.periods, Totals: g.totals}
		for _, a := range g.axes {
			s := storedAxis{Codes: a.codes, TooFine: a.tooFine}
			for _, row := range a.rows {
				s.Lengths, s.Masses = append(s.Lengths, len(row)), append(s.Masses, row...)
			}
			stored.Axes = append(stored.Axes, s)
		}
		grids = append(grids, stored)
	}
	var buffer bytes.Buffer
	encoder := gob.NewEncoder(&buffer)
	if err := encoder.Encode(p.dimensions); err != nil {
		return nil, fmt.Errorf("encoding a profile: %w", err)
	}
	if err := encoder.Encode(grids); err != nil {
		return nil, fmt.Errorf("encoding a profile: %w", err)
	}
	return buffer.Bytes(), nil
}

// UnmarshalBinary reads what MarshalBinary wrote.
func (p *Profile) UnmarshalBinary(data []byte) error {
	var dimensions int
	var grids []storedGrid
	decoder := gob.NewDecoder(bytes.NewReader(data))
	if err := decoder.Decode(&dimensions); err != nil {
		return fmt.Errorf("decoding a profile: %w", err)
	}
	if err := decoder.Decode(&grids); err != nil {
		return fmt.Errorf("decoding a profile: %w", err)
	}
	*p = *NewProfile(dimensions)
	for _, stored := range grids {
		g := p.Grid(stored.Frequency)
		for _, period := range stored.Periods {
			g.Slot(period)
		}
		if len(stored.Axes) != dimensions || copy(g.totals, stored.Totals) != len(g.periods) {
			return fmt.Errorf("a profile of %d dimensions is not whole", dimensions)
		}
		for i, s := range stored.Axes {
			a := &g.axes[i]
			a.tooFine = s.TooFine
			for j, code := range s.Codes {
				if j >= len(s.Lengths) || s.Lengths[j] < 0 || s.Lengths[j] > len(s.Masses) || s.Lengths[j] > len(g.periods) {
					return fmt.Errorf("a profile of %d dimensions is not whole", dimensions)
				}
				position := g.Position(i, code)
				a.rows[position] = slices.Clone(s.Masses[:s.Lengths[j]])
				a.entries += s.Lengths[j]
				s.Masses = s.Masses[s.Lengths[j]:]
			}
		}
	}
	return nil
}
