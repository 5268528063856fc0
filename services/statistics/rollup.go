package statistics

import (
	"fmt"
	"slices"

	"github.com/comity-federation/comity/proto/period"
)

// Axis is a dimension that is rolled up: to codes of its hierarchy, each by itself.
type Axis struct {
	Dimension int
	Tree      *Hierarchy // nil: the codes have no parts
	Codes     []string
}

// RollUp returns the table in which the dimension has only the axis's codes. Cell by cell, a code that is stored stays as
// it is; one that is not is the sum of its parts that are, the topmost ones: never of a code together with a part of it,
// or with a sibling that covers it. A code without any stored part has no cell. Sums are as [Sum] says.
func RollUp(t *Table, axis Axis) *Table {
	rolled := t.Empty()
	groups, order := groupByRest(t, axis.Dimension)
	positions := make([]int, t.dictionary.Len(axis.Dimension)) // in the tree, by code of the table; -1 where it has none
	for code := range positions {
		positions[code] = -1
		if axis.Tree != nil {
			if i, ok := axis.Tree.positions[t.dictionary.Text(axis.Dimension, uint32(code))]; ok {
				positions[code] = i
			}
		}
	}
	targets := make([]uint32, len(axis.Codes))
	for i, text := range axis.Codes {
		targets[i] = t.Code(axis.Dimension, text)
	}
	for _, rest := range order {
		g := newBranch(t, axis, groups[rest], positions)
		key := slices.Clone(t.Key(groups[rest][0]))
		for i, target := range targets {
			track := g.stored(target)
			if axis.Tree != nil {
				if position, ok := axis.Tree.positions[axis.Codes[i]]; ok {
					track = g.value(position)
				}
			}
			if track.Len() == 0 {
				continue
			}
			key[axis.Dimension] = target
			rolled.merge(rolled.Series(key), track)
		}
	}
	return rolled
}

// merge puts a track into a series that has no cells yet.
func (t *Table) merge(series int, track *Track) {
	t.tracks[series] = *track
	t.cells += track.Len()
}

// groupByRest groups the series by their codes in the other dimensions, in the order in which they first come.
func groupByRest(t *Table, dimension int) (groups map[string][]int, order []string) {
	groups = map[string][]int{}
	key := make([]uint32, len(t.structure.Dimensions))
	for s := range t.tracks {
		copy(key, t.Key(s))
		key[dimension] = 0
		t.pack(key)
		if _, ok := groups[string(t.packed)]; !ok {
			order = append(order, string(t.packed))
		}
		groups[string(t.packed)] = append(groups[string(t.packed)], s)
	}
	return groups, order
}

// branch is the part of a hierarchy under which a group of series has figures.
type branch struct {
	table    *Table
	tree     *Hierarchy
	byCode   map[uint32]*Track // what is stored, by code of the table
	byNode   map[int]*Track    // what is stored, by position in the tree
	children map[int][]int     // only those with figures
	values   map[int]*Track    // what was worked out
}

func newBranch(t *Table, axis Axis, series []int, positions []int) *branch {
	b := &branch{
		table: t, tree: axis.Tree, byCode: map[uint32]*Track{},
		byNode: map[int]*Track{}, children: map[int][]int{}, values: map[int]*Track{},
	}
	linked := map[int]bool{}
	for _, s := range series {
		code := t.Key(s)[axis.Dimension]
		b.byCode[code] = &t.tracks[s]
		node := positions[code]
		if node < 0 {
			continue
		}
		b.byNode[node] = &t.tracks[s]
		for parent := b.tree.parents[node]; parent >= 0 && !linked[node]; node, parent = parent, b.tree.parents[parent] {
			linked[node] = true
			b.children[parent] = append(b.children[parent], node)
		}
	}
	return b
}

func (b *branch) stored(code uint32) *Track {
	if track := b.byCode[code]; track != nil {
		return track
	}
	return &Track{}
}

// value returns the figures of a node of the tree.
func (b *branch) value(node int) *Track {
	if track, ok := b.values[node]; ok {
		return track
	}
	track := &Track{}
	for _, child := range b.children[node] {
		part := b.value(child)
		for i, period := range part.Periods {
			if !b.covered(child, period) {
				b.addTo(track, period, part.Cells[i])
			}
		}
	}
	if stored := b.byNode[node]; stored != nil {
		if track.Len() == 0 {
			track = stored
		} else {
			for i, period := range stored.Periods {
				*track.slot(period) = stored.Cells[i]
			}
		}
	}
	b.values[node] = track
	return track
}

// covered reports whether a sibling that contains the node has a figure for the period.
func (b *branch) covered(node int, period int32) bool {
	for _, coverer := range b.tree.coverers[node] {
		if (b.byNode[coverer] != nil || len(b.children[coverer]) > 0) && b.value(coverer).At(period).Present() {
			return true
		}
	}
	return false
}

func (b *branch) addTo(track *Track, period int32, c Cell) {
	slot := track.slot(period)
	if !slot.Present() {
		*slot = c
		return
	}
	b.table.sumInto(slot, c)
}

// Calendar tells for which periods a provider has figures at all, so that a sum over time can say what is missing. A
// figure that a sparse table leaves out is no hole in a period for which there are others.
type Calendar func(key []uint32, period Period) bool

// RollUpTime returns the table in which all series have the given frequencies, each by itself. A figure that is stored
// with the frequency stays as it is; one that is not is the sum of those of the next finer frequency that has any in the
// period. A sum over a period of which the calendar has only some parts has the status U and says in its COMMENT how
// many of the parts there are.
func RollUpTime(t *Table, to []Frequency, has Calendar) *Table {
	rolled := t.Empty()
	groups, order := groupByRest(t, 0)
	parts := map[timePart][]Period{}
	for _, rest := range order {
		tracks := map[Frequency]*Track{}
		for _, s := range groups[rest] {
			tracks[t.Frequency(s)] = &t.tracks[s]
		}
		key := slices.Clone(t.Key(groups[rest][0]))
		for _, frequency := range to {
			key[0] = t.Code(0, string(frequency))
			track := sumOverTime(t, key, frequency, tracks, parts, has)
			if track.Len() > 0 {
				rolled.merge(rolled.Series(key), track)
			}
		}
	}
	return rolled
}

// timePart names the periods of a finer frequency in a period.
type timePart struct {
	whole Period
	finer Frequency
}

func sumOverTime(t *Table, key []uint32, frequency Frequency, tracks map[Frequency]*Track, parts map[timePart][]Period, has Calendar) *Track {
	result := &Track{}
	if stored := tracks[frequency]; stored != nil {
		result.Periods, result.Cells = slices.Clone(stored.Periods), slices.Clone(stored.Cells)
	}
	for _, finer := range finerThan(frequency) {
		track := tracks[finer]
		if track == nil {
			continue
		}
		sums := &Track{}
		for i, index := range track.Periods {
			whole, err := finer.Period(index).In(frequency)
			if err != nil || result.At(whole.Index).Present() { // only a year out of range has no whole
				continue
			}
			slot := sums.slot(whole.Index)
			if slot.Present() {
				t.sumInto(slot, track.Cells[i])
			} else {
				*slot = track.Cells[i]
			}
		}
		for i, index := range sums.Periods {
			cell := sums.Cells[i]
			all := partsOf(timePart{frequency.Period(index), finer}, parts)
			present := 0
			for _, part := range all {
				if has(key, part) {
					present++
				}
			}
			if present < len(all) {
				cell.ObsStatus = LowQuality
				cell.Attributes = t.withComment(fmt.Sprintf("%d of %d periods", present, len(all)))
			}
			*result.slot(index) = cell
		}
	}
	return result
}

// finerThan returns the frequencies finer than the one, the coarsest first.
func finerThan(frequency Frequency) []Frequency {
	i := slices.Index([]byte(period.Frequencies), byte(frequency))
	return []Frequency(period.Frequencies[i+1:])
}

// partsOf returns the periods of the finer frequency that count to the whole. known keeps what was found before.
func partsOf(of timePart, known map[timePart][]Period) []Period {
	parts, ok := known[of]
	if ok {
		return parts
	}
	first, errFirst := period.At(of.finer, of.whole.Start())
	last, errLast := period.At(of.finer, of.whole.End())
	for index := first.Index; errFirst == nil && errLast == nil && index <= last.Index; index++ {
		part := of.finer.Period(index)
		if whole, err := part.In(of.whole.Frequency); err == nil && whole == of.whole {
			parts = append(parts, part)
		}
	}
	known[of] = parts
	return parts
}
