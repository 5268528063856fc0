package statistics

import (
	"context"
	"encoding/binary"
	"iter"
	"math"
	"slices"

	"github.com/comity-federation/comity/services/disclosure/cellkey"
)

// keyedFigure is a figure with its cell key.
type keyedFigure struct {
	value  float64 // NaN: it has none
	key    cellkey.Key
	hidden bool // not everybody may see it
}

// plus returns the sum of two figures.
func (f keyedFigure) plus(other keyedFigure) keyedFigure {
	return keyedFigure{value: f.value + other.value, key: f.key + other.key, hidden: f.hidden || other.hidden}
}

// baseSeries are the figures of one key, stored or summed. Periods ascend.
type baseSeries struct {
	key     []uint32
	periods []int32
	figures []keyedFigure

	containers []int // of a stored one: the stored series that contain it, ascending
	parts      []int // of a stored one: those that it contains by their hierarchies, not because a code covers another
	grain      int   // of a stored one: series of one grain are equally fine in every dimension
	resolved   bool  // of a stored one: its keys are those of its parts, where these add up to it
}

// at returns the figure of a period.
func (s *baseSeries) at(period int32) (keyedFigure, bool) {
	i, ok := slices.BinarySearch(s.periods, period)
	if !ok {
		return keyedFigure{}, false
	}
	return s.figures[i], true
}

// baseFigures are the stored figures that cells are made of.
type baseFigures struct {
	dictionary *Dictionary // the stored codes, and those asked for
	axes       []rolledAxis
	wholes     [][][]uint32 // by axis and code: the codes that it is a part of
	series     []baseSeries // in the order of keys
	grains     [][]int      // by number: how deep the codes of a grain stand in their hierarchies
}

// codes returns the codes of a key.
func (b *baseFigures) codes(key []uint32) []string {
	codes := make([]string, len(key))
	for dimension, code := range key {
		codes[dimension] = b.dictionary.Text(dimension, code)
	}
	return codes
}

// eventCells gives the places of the figures as counters of events have them.
func (b *baseFigures) eventCells() iter.Seq[EventCell] {
	return func(yield func(EventCell) bool) {
		for n := range b.series {
			key := EventKey(b.codes(b.series[n].key))
			for _, at := range b.series[n].periods {
				if !yield(EventCell{Key: key, Period: at}) {
					return
				}
			}
		}
	}
}

// connect finds out which of the series contain each other. The axes are those asked for.
func (b *baseFigures) connect(wanted []Axis) {
	wanted = slices.SortedFunc(slices.Values(wanted), func(x, y Axis) int { return x.Dimension - y.Dimension })
	for _, axis := range wanted {
		used := make([]bool, b.dictionary.Len(axis.Dimension))
		for n := range b.series {
			used[b.series[n].key[axis.Dimension]] = true
		}
		b.axes = append(b.axes, newRolledAxis(b.dictionary, axis, used))
		wholes := make([][]uint32, len(used))
		for code := range wholes {
			if used[code] {
				wholes[code], _ = axis.above(b.dictionary, uint32(code))
			}
		}
		b.wholes = append(b.wholes, wholes)
	}
	coarse := make([][]bool, len(b.axes)) // by code: it contains another that is stored
	for i := range b.axes {
		coarse[i] = make([]bool, len(b.axes[i].containers))
		for _, containers := range b.axes[i].containers {
			for _, code := range containers {
				coarse[i][code] = true
			}
		}
	}
	grains := map[string]int{}
	numbers, prefixes := map[string]int{}, map[string]bool{} // of series with a coarse code
	var packed []byte
	for n := range b.series {
		s := &b.series[n]
		packed = packed[:0]
		contains := false
		for i := range b.axes {
			code := s.key[b.axes[i].dimension]
			packed = binary.AppendUvarint(packed, uint64(b.axes[i].depths[code])) //nolint:gosec // not negative
			contains = contains || coarse[i][code]
		}
		grain, known := grains[string(packed)]
		if !known {
			grain = len(grains)
			grains[string(packed)] = grain
			depths := make([]int, len(b.axes))
			for i := range b.axes {
				depths[i] = b.axes[i].depths[s.key[b.axes[i].dimension]]
			}
			b.grains = append(b.grains, depths)
		}
		s.grain = grain
		if !contains {
			continue
		}
		for length := range s.key {
			prefixes[packKey(s.key[:length+1])] = true
		}
		numbers[packKey(s.key)] = n
	}
	if len(numbers) == 0 {
		return
	}
	for n := range b.series {
		containers := b.containing(b.series[n].key, numbers, prefixes)
		slices.Sort(containers)
		for _, container := range containers {
			if container == n {
				continue
			}
			b.series[n].containers = append(b.series[n].containers, container)
			if b.isPart(b.series[n].key, b.series[container].key) {
				b.series[container].parts = append(b.series[container].parts, n)
			}
		}
	}
}

// isPart reports whether each code of a key is that of the other, or a part of it.
func (b *baseFigures) isPart(key, whole []uint32) bool {
	for i := range b.axes {
		part, of := key[b.axes[i].dimension], whole[b.axes[i].dimension]
		if part != of && !slices.Contains(b.wholes[i][part], of) {
			return false
		}
	}
	return true
}

// containing returns the numbered series that contain a key, itself included where it is one.
func (b *baseFigures) containing(key []uint32, numbers map[string]int, prefixes map[string]bool) []int {
	var found []int
	packed := make([]byte, 0, 4*len(key))
	var walk func(dimension int)
	walk = func(dimension int) {
		if dimension == len(key) {
			found = append(found, numbers[string(packed)])
			return
		}
		try := func(code uint32) {
			packed = binary.BigEndian.AppendUint32(packed, code)
			if prefixes[string(packed)] {
				walk(dimension + 1)
			}
			packed = packed[:4*dimension]
		}
		try(key[dimension])
		if dimension > 0 { // the axes are all dimensions but FREQ
			for _, container := range b.axes[dimension-1].containers[key[dimension]] {
				try(container)
			}
		}
	}
	walk(0)
	return found
}

// resolve gives the figures of a series the keys of their parts, where these add up to them: then they are the same records.
func (b *baseFigures) resolve(n int) {
	s := &b.series[n]
	if s.resolved {
		return
	}
	s.resolved = true
	if len(s.parts) == 0 {
		return
	}
	for _, part := range s.parts {
		b.resolve(part)
	}
	tallies := b.tally(s.parts, func(container int) bool {
		_, inside := slices.BinarySearch(b.series[container].containers, n)
		return inside
	})
	for i, at := range s.periods {
		if slot, there := tallies.find(at); there {
			if parts, ok := b.addUpTo(tallies.sums[slot], s.figures[i].value); ok {
				s.figures[i].key = parts.key
			}
		}
	}
}

// grainSum is the sum of the figures of one grain.
type grainSum struct {
	grain int
	keyedFigure
}

// tallies are sums by period and grain, but for figures that lie in others.
type tallies struct {
	periods []int32 // ascending
	sums    []tally
}

// tally is the sums of a period: of the first grain, and of others where there are some.
type tally struct {
	grainSum
	others []grainSum
}

// find returns the place of a period, or where it would be.
func (t *tallies) find(at int32) (slot int, there bool) {
	if n := len(t.periods); n == 0 || at > t.periods[n-1] {
		return n, false
	}
	return slices.BinarySearch(t.periods, at)
}

// add adds a figure to the sum of its grain.
func (t *tally) add(figure grainSum) {
	if t.grain == figure.grain {
		t.keyedFigure = t.plus(figure.keyedFigure)
		return
	}
	for i := range t.others {
		if t.others[i].grain == figure.grain {
			t.others[i].keyedFigure = t.others[i].plus(figure.keyedFigure)
			return
		}
	}
	t.others = append(t.others, figure)
}

// tally sums the figures of the series that are in no other of them. inside tells of a container whether it is one of them.
func (b *baseFigures) tally(members []int, inside func(container int) bool) *tallies {
	t := &tallies{}
	for _, n := range members {
		s := &b.series[n]
		above := b.above(s, inside)
		for i, at := range s.periods {
			if b.covered(above, at, nil) {
				continue
			}
			figure := grainSum{s.grain, s.figures[i]}
			slot, there := t.find(at)
			if there {
				t.sums[slot].add(figure)
				continue
			}
			t.periods = slices.Insert(t.periods, slot, at)
			t.sums = slices.Insert(t.sums, slot, tally{grainSum: figure})
		}
	}
	return t
}

// addUpTo returns the sum of one grain that is the value: of several the one whose depths come first.
func (b *baseFigures) addUpTo(t tally, value float64) (parts keyedFigure, ok bool) {
	var depths []int
	for _, sum := range append([]grainSum{t.grainSum}, t.others...) {
		if sum.value == value && (!ok || slices.Compare(b.grains[sum.grain], depths) < 0) {
			parts, ok, depths = sum.keyedFigure, true, b.grains[sum.grain]
		}
	}
	return parts, ok
}

// fold sums the figures of the series, period by period, but for those that lie in another of them.
func (b *baseFigures) fold(members []int, inside func(container int) bool) baseSeries {
	t := b.tally(members, inside)
	sums := baseSeries{periods: t.periods, figures: make([]keyedFigure, len(t.sums))}
	var aboves [][]int
	for slot := range t.sums {
		if len(t.sums[slot].others) == 0 {
			sums.figures[slot] = t.sums[slot].keyedFigure
			continue
		}
		if aboves == nil {
			for _, n := range members {
				aboves = append(aboves, b.above(&b.series[n], inside))
			}
		}
		sums.figures[slot] = b.choose(members, aboves, t.periods[slot])
	}
	return sums
}

// above returns those containers of a series that are inside.
func (b *baseFigures) above(s *baseSeries, inside func(int) bool) []int {
	var above []int
	for _, container := range s.containers {
		if inside(container) {
			above = append(above, container)
		}
	}
	return above
}

// covered reports whether one of the series above has a figure in the period, other than those left out.
func (b *baseFigures) covered(above []int, at int32, out map[int]bool) bool {
	return slices.ContainsFunc(above, func(container int) bool {
		_, there := b.series[container].at(at)
		return there && !out[container]
	})
}

// choose sums in a period where figures may cross: as [RollUp] does, of those that cross the ones of a grain count that count
// most together. Of grains that count the same the one whose depths come first counts.
func (b *baseFigures) choose(members []int, aboves [][]int, at int32) keyedFigure {
	out := map[int]bool{}
	for {
		families := map[int]*grainFamily{}
		var order []*grainFamily
		for i, n := range members {
			s := &b.series[n]
			figure, there := s.at(at)
			if !there || out[n] || b.covered(aboves[i], at, out) {
				continue
			}
			f := families[s.grain]
			if f == nil {
				f = &grainFamily{depths: b.grains[s.grain]}
				families[s.grain] = f
				order = append(order, f)
			}
			f.members = append(f.members, n)
			if !math.IsNaN(figure.value) {
				f.sum += figure.value
			}
		}
		slices.SortFunc(order, func(x, y *grainFamily) int {
			switch {
			case x.sum > y.sum:
				return -1
			case x.sum < y.sum:
				return 1
			}
			return slices.Compare(x.depths, y.depths)
		})
		var chosen []int
		crossed := false
		for _, f := range order {
			before := chosen // members of one family do not cross
			for _, n := range f.members {
				if slices.ContainsFunc(before, func(other int) bool { return crossing(b.axes, b.series[n].key, b.series[other].key) }) {
					out[n], crossed = true, true // what it contains takes its place
				} else {
					chosen = append(chosen, n)
				}
			}
		}
		if !crossed {
			var sum keyedFigure
			for _, n := range chosen {
				figure, _ := b.series[n].at(at)
				sum = sum.plus(figure)
			}
			return sum
		}
	}
}

// grainFamily is the series of a grain that count to a sum.
type grainFamily struct {
	depths  []int
	members []int
	sum     float64
}

// cells returns the cells of the codes asked for, of one frequency, in the order of their codes.
func (b *baseFigures) cells(ctx context.Context, asked Frequency) ([]baseSeries, error) {
	for n := range b.series {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		b.resolve(n)
	}
	members := map[string][]int{} // by packed key of a cell, FREQ first
	for n := range b.series {
		b.eachCell(b.series[n].key, func(packed string) { members[packed] = append(members[packed], n) })
	}
	grouped := map[string]map[Frequency]*baseSeries{} // by packed key without FREQ
	for packed, counting := range members {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		cell := unpackKey(packed)
		sums := b.fold(counting, func(container int) bool { return b.within(b.series[container].key, cell) })
		sums.key = cell
		rest := packed[4:]
		if grouped[rest] == nil {
			grouped[rest] = map[Frequency]*baseSeries{}
		}
		grouped[rest][Frequency(b.dictionary.Text(0, cell[0])[0])] = &sums
	}
	cells := make([]baseSeries, 0, len(grouped))
	frequency := b.dictionary.Add(0, string(asked))
	for _, tracks := range grouped {
		cell := sumPeriods(tracks, asked)
		for _, track := range tracks {
			cell.key = slices.Clone(track.key)
			break
		}
		cell.key[0] = frequency
		cells = append(cells, cell)
	}
	slices.SortFunc(cells, func(x, y baseSeries) int { return slices.Compare(x.key, y.key) })
	return cells, nil
}

// eachCell calls do with the packed key of each cell asked for that a stored key lies in, with its own FREQ.
func (b *baseFigures) eachCell(key []uint32, do func(packed string)) {
	cell := slices.Clone(key)
	var walk func(axis int)
	walk = func(axis int) {
		if axis == len(b.axes) {
			do(packKey(cell))
			return
		}
		dimension := b.axes[axis].dimension
		for _, code := range b.axes[axis].targets[key[dimension]] {
			cell[dimension] = code
			walk(axis + 1)
		}
	}
	walk(0)
}

// within reports whether a stored key lies in a cell.
func (b *baseFigures) within(key, cell []uint32) bool {
	for i := range b.axes {
		if dimension := b.axes[i].dimension; !slices.Contains(b.axes[i].targets[key[dimension]], cell[dimension]) {
			return false
		}
	}
	return true
}

// sumPeriods returns the figures of the frequency asked for: those that there are, else sums of the next finer frequency that
// has any in the period. A figure whose parts add up to it has their key.
func sumPeriods(tracks map[Frequency]*baseSeries, asked Frequency) baseSeries {
	order := append([]Frequency{asked}, finerThan(asked)...)
	for at := len(order) - 2; at >= 0; at-- { // the finest ones have no parts
		frequency := order[at]
		track := tracks[frequency]
		if track == nil && frequency != asked {
			continue
		}
		result := baseSeries{}
		if track != nil {
			result = *track
		}
		known := map[int32]bool{} // periods that have parts of a frequency nearer to this one
		for _, finer := range order[at+1:] {
			if tracks[finer] == nil {
				continue
			}
			sums := tracks[finer].in(finer, frequency)
			for i, whole := range sums.periods {
				if known[whole] {
					continue
				}
				known[whole] = true
				slot, there := slices.BinarySearch(result.periods, whole)
				switch {
				case there && result.figures[slot].value == sums.figures[i].value:
					result.figures[slot].key = sums.figures[i].key
				case !there && frequency == asked:
					result.periods = slices.Insert(result.periods, slot, whole)
					result.figures = slices.Insert(result.figures, slot, sums.figures[i])
				}
			}
		}
		if frequency == asked {
			return result
		}
		tracks[frequency] = &result
	}
	if track := tracks[asked]; track != nil { // the finest frequency that there is
		return *track
	}
	return baseSeries{}
}

// in returns the sums over the periods of a coarser frequency.
func (s *baseSeries) in(own, coarser Frequency) baseSeries {
	var sums baseSeries
	for i, at := range s.periods {
		whole, err := own.Period(at).In(coarser)
		if err != nil {
			continue // a year out of range has no whole
		}
		slot, there := slices.BinarySearch(sums.periods, whole.Index)
		if there {
			sums.figures[slot] = sums.figures[slot].plus(s.figures[i])
			continue
		}
		sums.periods = slices.Insert(sums.periods, slot, whole.Index)
		sums.figures = slices.Insert(sums.figures, slot, s.figures[i])
	}
	return sums
}
