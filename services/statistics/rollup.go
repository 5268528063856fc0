package statistics

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/comity-federation/comity/proto/period"
)

// Axis is a dimension that is rolled up: to codes of its hierarchy, each by itself.
type Axis struct {
	Dimension int
	Tree      *Hierarchy // nil: the codes have no parts
	Codes     []string
}

// RollUp returns the table in which the dimensions of the axes have only the axes' codes. A code counts to every code of
// its axis that it is, or is a part of. Period by period, an answer is the sum of the stored cells that count to it, but for
// those that are contained in another of them: so a code that is stored stays as it is, whatever its parts say, and a total
// that is stored for one section stands for the parts of that section and of no other. A cell contains another where none of
// its codes is finer: it is the same, has the other as a part, or covers it.
//
// Stored cells can also cross: the total of a section and the total of a citizenship have a part in common that neither
// tells. Of such, those of one granularity count that count most together; the others are as if they were not stored. Sums
// are as [Sum] says. Where nothing stored counts to an answer, there is none.
func RollUp(t *Table, axes ...Axis) *Table {
	r := &roller{stored: t, rolled: t.Empty(), axes: make([]rolledAxis, len(axes))}
	nested := 0 // axes on which one stored code contains another
	for i, axis := range axes {
		for _, code := range axis.Codes {
			t.Code(axis.Dimension, code)
		}
		used := make([]bool, t.dictionary.Len(axis.Dimension))
		for s := range t.tracks {
			used[t.Key(s)[axis.Dimension]] = true
		}
		r.axes[i] = newRolledAxis(t.dictionary, axis, used)
		if r.axes[i].nested {
			nested++
		}
	}
	if nested > 1 {
		r.contributors = map[int][]contributor{}
	}
	for s := range t.tracks {
		r.eachTarget(s, 0, slices.Clone(t.Key(s)))
	}
	r.resolve()
	return r.rolled
}

// rolledAxis is an axis, by the codes of a table.
type rolledAxis struct {
	dimension  int
	targets    [][]uint32 // by code: the codes of the axis that it counts to
	containers [][]uint32 // by code: those with figures that contain it, itself left out
	depths     []int      // by code: how many codes of the hierarchy stand above it
	nested     bool       // some code with figures contains another one
}

// newRolledAxis returns an axis by the codes of a dictionary, which has those of the axis. used says which codes may have
// figures.
func newRolledAxis(d *Dictionary, axis Axis, used []bool) rolledAxis {
	wanted := make([]uint32, len(axis.Codes))
	for i, text := range axis.Codes {
		wanted[i], _ = d.Find(axis.Dimension, text)
	}
	codes := d.Len(axis.Dimension)
	a := rolledAxis{
		dimension: axis.Dimension,
		targets:   make([][]uint32, codes), containers: make([][]uint32, codes), depths: make([]int, codes),
	}
	for code := range uint32(codes) { //nolint:gosec // the dictionary numbers codes so
		if !used[code] {
			continue
		}
		wholes, coverers := axis.above(d, code)
		a.depths[code] = axis.depth(d.Text(axis.Dimension, code))
		for _, target := range append([]uint32{code}, wholes...) {
			if slices.Contains(wanted, target) {
				a.targets[code] = append(a.targets[code], target)
			}
		}
		for _, container := range append(wholes, coverers...) {
			if used[container] {
				a.containers[code] = append(a.containers[code], container)
				a.nested = true
			}
		}
	}
	return a
}

// above returns the codes of the dictionary that contain a code: those that it is a part of, and those that cover it or one
// of these.
func (a Axis) above(d *Dictionary, code uint32) (wholes, coverers []uint32) {
	if a.Tree == nil {
		return nil, nil
	}
	node, ok := a.Tree.positions[d.Text(a.Dimension, code)]
	for first := true; ok && node >= 0; first, node = false, a.Tree.parents[node] {
		if whole, known := d.Find(a.Dimension, a.Tree.list.Codes[node].ID); known && !first {
			wholes = append(wholes, whole)
		}
		for _, coverer := range a.Tree.coverers[node] {
			if covering, known := d.Find(a.Dimension, a.Tree.list.Codes[coverer].ID); known {
				coverers = append(coverers, covering)
			}
		}
	}
	return wholes, coverers
}

// depth returns how many codes of the hierarchy stand above one.
func (a Axis) depth(text string) int {
	if a.Tree == nil {
		return 0
	}
	depth := 0
	if node, ok := a.Tree.positions[text]; ok {
		for node = a.Tree.parents[node]; node >= 0; node = a.Tree.parents[node] {
			depth++
		}
	}
	return depth
}

// roller sums the cells of a table.
type roller struct {
	stored, rolled *Table
	axes           []rolledAxis
	contributors   map[int][]contributor // by series of the answer, what counts to it; nil where nothing can cross
}

// contributor is a stored series that counts to an answer, with those that contain it and count to it too.
type contributor struct {
	series     int
	containers []int
}

// eachTarget adds a series to each of the answers that it counts to. The axes before the given one are in target already.
func (r *roller) eachTarget(series, axis int, target []uint32) {
	if axis == len(r.axes) {
		r.add(series, target)
		return
	}
	dimension := r.axes[axis].dimension
	for _, code := range r.axes[axis].targets[r.stored.Key(series)[dimension]] {
		target[dimension] = code
		r.eachTarget(series, axis+1, target)
	}
}

// add adds the cells of a series that are in no other that counts to the target too.
func (r *roller) add(series int, target []uint32) {
	c := contributor{series, r.containers(nil, 0, slices.Clone(r.stored.Key(series)), target, false)}
	answer := r.rolled.Series(target)
	if r.contributors != nil {
		r.contributors[answer] = append(r.contributors[answer], c)
		return
	}
	track := &r.stored.tracks[series]
	for i, period := range track.Periods {
		if !r.contained(c, period, nil) {
			r.rolled.Sum(answer, period, track.Cells[i])
		}
	}
}

// containers appends the series that contain the one with the key, and count to the target too. The axes before the given
// one are chosen already; coarser says that one of them is.
func (r *roller) containers(all []int, axis int, key, target []uint32, coarser bool) []int {
	if axis == len(r.axes) {
		if !coarser {
			return all
		}
		if series, ok := r.stored.number(key); ok {
			all = append(all, series)
		}
		return all
	}
	a := &r.axes[axis]
	code := key[a.dimension]
	all = r.containers(all, axis+1, key, target, coarser)
	for _, container := range a.containers[code] {
		if slices.Contains(a.targets[container], target[a.dimension]) {
			key[a.dimension] = container
			all = r.containers(all, axis+1, key, target, true)
		}
	}
	key[a.dimension] = code
	return all
}

// contained reports whether a container of the series has a cell in the period, other than those left out.
func (r *roller) contained(c contributor, period int32, out map[int]bool) bool {
	return slices.ContainsFunc(c.containers, func(series int) bool {
		return !out[series] && r.stored.At(series, period).Present()
	})
}

// resolve sums where cells may cross each other.
func (r *roller) resolve() {
	for answer, contributors := range r.contributors {
		byPeriod := map[int32][]contributor{}
		for _, c := range contributors {
			for _, period := range r.stored.tracks[c.series].Periods {
				byPeriod[period] = append(byPeriod[period], c)
			}
		}
		for period, contributors := range byPeriod {
			for _, series := range r.choose(contributors, period) {
				r.rolled.Sum(answer, period, r.stored.At(series, period))
			}
		}
	}
}

// choose returns the series that are summed: those that no other contains and that do not cross.
func (r *roller) choose(contributors []contributor, period int32) []int {
	out := map[int]bool{}
	for {
		var topmost []int
		for _, c := range contributors {
			if !out[c.series] && !r.contained(c, period, out) {
				topmost = append(topmost, c.series)
			}
		}
		crossed := r.crossed(topmost, period)
		if len(crossed) == 0 {
			return topmost
		}
		for _, series := range crossed {
			out[series] = true // what it contains takes its place
		}
	}
}

// crossed returns the series that cross others which count more.
func (r *roller) crossed(series []int, period int32) []int {
	type family struct {
		members []int
		sum     float64
	}
	families := map[string]*family{}
	var order []*family
	for _, s := range series {
		granularity := ""
		for i := range r.axes {
			granularity += fmt.Sprint(r.axes[i].depths[r.stored.Key(s)[r.axes[i].dimension]], " ")
		}
		f := families[granularity]
		if f == nil {
			f = &family{}
			families[granularity] = f
			order = append(order, f)
		}
		f.members = append(f.members, s)
		if value := r.stored.At(s, period).Value; !math.IsNaN(value) {
			f.sum += value
		}
	}
	slices.SortStableFunc(order, func(a, b *family) int { return cmp.Compare(b.sum, a.sum) })
	var chosen, crossed []int
	for _, f := range order {
		before := chosen // members of one family do not cross
		for _, s := range f.members {
			if slices.ContainsFunc(before, func(other int) bool { return r.cross(s, other) }) {
				crossed = append(crossed, s)
			} else {
				chosen = append(chosen, s)
			}
		}
	}
	return crossed
}

// cross reports whether two series have a part in common.
func (r *roller) cross(a, b int) bool { return crossing(r.axes, r.stored.Key(a), r.stored.Key(b)) }

// Calendar tells for which periods a provider has figures at all, so that a sum over time can say what is missing. A
// figure that a sparse table leaves out is no hole in a period for which there are others.
type Calendar func(key []uint32, period Period) bool

// RollUpTime returns the table in which all series have the given frequencies, each by itself. A figure that is stored
// with the frequency stays as it is; one that is not is the sum of those of the next finer frequency that has any in the
// period. A sum over a period of which the calendar has only some parts has the status U and says in its COMMENT how
// many of the parts there are.
func RollUpTime(t *Table, to []Frequency, has Calendar) *Table {
	rolled := t.Empty()
	groups, order := groupByRest(t)
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
			cell = t.complete(cell, key, frequency.Period(index), finer, parts, has)
			*result.slot(index) = cell
		}
	}
	return result
}

// complete returns a sum over the periods of a finer frequency, which says where some of them are missing.
func (t *Table) complete(sum Cell, key []uint32, whole Period, finer Frequency, parts map[timePart][]Period, has Calendar) Cell {
	all, present := partsOf(timePart{whole, finer}, parts), 0
	for _, part := range all {
		if has(key, part) {
			present++
		}
	}
	if present < len(all) && !math.IsNaN(sum.Value) {
		sum.ObsStatus = LowQuality
		sum.Attributes = t.withComment(sum.Attributes, fmt.Sprintf("%d of %d periods", present, len(all)))
	}
	return sum
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

// merge puts a track into a series that has no cells yet.
func (t *Table) merge(series int, track *Track) {
	t.tracks[series] = *track
	t.cells += track.Len()
}

// groupByRest groups the series that differ in FREQ alone, in the order in which they first come.
func groupByRest(t *Table) (groups map[string][]int, order []string) {
	groups = map[string][]int{}
	var packed []byte
	for s := range t.tracks {
		packed = packed[:0]
		for _, code := range t.Key(s)[1:] {
			packed = binary.BigEndian.AppendUint32(packed, code)
		}
		if _, ok := groups[string(packed)]; !ok {
			order = append(order, string(packed))
		}
		groups[string(packed)] = append(groups[string(packed)], s)
	}
	return groups, order
}
