package statistics

import (
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/comity-federation/comity/proto/period"
)

// shield knows the figures of a provider that a caller may not see, and which others would give one of them away.
//
// A figure contains another where, in every dimension, its code is the other's, or has it as a part, or covers it;
// for FREQ, where the other's period lies in its own. Of the hidden figures that it contains, those count that no other of
// them contains. The figure is withheld where, along some dimension or in time, what is left of it after all has been taken
// away that is shown would be exactly one of them. Where it would be two or more, their sum is all that it tells. What it may
// tell does not depend on which figures are stored beside it, nor on what a query asks for. (This is the least that secondary
// suppression has to do, see Hundepool et al., Statistical Disclosure Control, 2012, section 4.2; what follows from several
// crossing totals together is for the provider to protect, with CONF_STATUS D.)
//
//	_T 30   N 10   S 20      N1 is hidden, N2 is not, both are parts of N
//	then N and _T are withheld; where S1 is hidden too, N and S are, and _T is shown;
//	where N1, N2 and S1 are, N is shown, and S and _T are withheld: _T less N less S2 would be S1
type shield struct {
	flow       *Flow
	dictionary *Dictionary // the stored codes, and those that contain a hidden one, be they stored or not
	hidden     []hiddenSeries
	numbers    map[string]int            // by packed key: the position in hidden
	within     []map[uint32]bitset       // by dimension and code: which of the hidden have the code, or one that it contains
	known      map[string]map[int32]bool // by packed key: what withheld found
	branches   []map[uint32][]uint32     // by dimension and code: its largest parts, of those that contain something hidden
}

type hiddenSeries struct {
	key        []uint32
	frequency  Frequency
	periods    []int32 // ascending
	containers []int   // those of the hidden that contain it
}

// bitset is a set of positions.
type bitset []uint64

func (b bitset) has(i int) bool { return i/64 < len(b) && b[i/64]&(1<<(i%64)) != 0 }

// newShield returns a shield without hidden figures, whose keys the dictionary numbers.
func newShield(flow *Flow, dictionary *Dictionary) *shield {
	return &shield{flow: flow, dictionary: dictionary.Clone(), numbers: map[string]int{}, known: map[string]map[int32]bool{}}
}

// add notes that the figures of a series in the periods are hidden.
func (g *shield) add(key []uint32, periods []int32) {
	packed := packKey(key)
	if at, ok := g.numbers[packed]; ok { // hidden in two states of the data
		merged := slices.Concat(g.hidden[at].periods, periods)
		slices.Sort(merged)
		g.hidden[at].periods = slices.Compact(merged)
		return
	}
	h := hiddenSeries{key: slices.Clone(key), frequency: Frequency(g.dictionary.Text(0, key[0])[0]), periods: periods}
	g.numbers[packed] = len(g.hidden)
	g.hidden = append(g.hidden, h)
	for d, code := range key {
		for _, container := range g.containers(d, code) {
			g.dictionary.Add(d, container)
		}
	}
}

func packKey(key []uint32) string {
	packed := make([]byte, 0, 4*len(key))
	for _, code := range key {
		packed = binary.BigEndian.AppendUint32(packed, code)
	}
	return string(packed)
}

// containers returns the codes that contain a code, itself left out.
func (g *shield) containers(dimension int, code uint32) []string {
	text := g.dictionary.Text(dimension, code)
	if dimension == 0 {
		var coarser []string
		for i := 0; i < len(period.Frequencies) && period.Frequencies[i] != text[0]; i++ {
			coarser = append(coarser, period.Frequencies[i:i+1])
		}
		return coarser
	}
	tree := g.flow.Dimensions[dimension]
	if tree == nil {
		return nil
	}
	return tree.containers(text)
}

// close makes the shield ready, after the last add.
func (g *shield) close() {
	dimensions := len(g.flow.Structure.Dimensions)
	g.within, g.branches = make([]map[uint32]bitset, dimensions), make([]map[uint32][]uint32, dimensions)
	words := (len(g.hidden) + 63) / 64
	above := make([]map[uint32]bitset, dimensions) // which of the hidden have the code, or one that contains it
	for d := range dimensions {
		rows := map[uint32]bitset{}
		for n, h := range g.hidden {
			code := h.key[d]
			if rows[code] == nil {
				rows[code] = make(bitset, words)
			}
			rows[code][n/64] |= 1 << (n % 64)
		}
		g.within[d], g.branches[d], above[d] = map[uint32]bitset{}, map[uint32][]uint32{}, map[uint32]bitset{}
		for code, row := range rows {
			join(g.within[d], code, row)
			join(above[d], code, row)
			for _, text := range g.containers(d, code) {
				container, _ := g.dictionary.Find(d, text)
				join(g.within[d], container, row)
				if rows[container] != nil {
					join(above[d], code, rows[container])
				}
			}
		}
		g.branch(d)
	}
	for n := range g.hidden {
		of := intersection(above, g.hidden[n].key)
		for other := range of.all() {
			if other != n {
				g.hidden[n].containers = append(g.hidden[n].containers, other)
			}
		}
	}
}

// branch finds the largest parts of each code.
func (g *shield) branch(dimension int) {
	for code := range g.within[dimension] {
		if dimension == 0 {
			continue
		}
		containers := g.containers(dimension, code)
		for _, text := range containers {
			container, _ := g.dictionary.Find(dimension, text)
			// The code is a branch where nothing stands between.
			between := slices.ContainsFunc(containers, func(other string) bool {
				n, _ := g.dictionary.Find(dimension, other)
				return n != container && slices.Contains(g.containers(dimension, n), text)
			})
			if !between {
				g.branches[dimension][container] = append(g.branches[dimension][container], code)
			}
		}
	}
}

func join(sets map[uint32]bitset, code uint32, row bitset) {
	joined := sets[code]
	if joined == nil {
		joined = make(bitset, len(row))
		sets[code] = joined
	}
	for i, word := range row {
		joined[i] |= word
	}
}

// intersection returns what is in the sets of all codes of a key; nil where that is nothing.
func intersection(sets []map[uint32]bitset, key []uint32) bitset {
	var common bitset
	for d, code := range key {
		set := sets[d][code]
		if set == nil {
			return nil
		}
		if d == 0 {
			common = slices.Clone(set)
			continue
		}
		left := uint64(0)
		for i, word := range set {
			common[i] &= word
			left |= common[i]
		}
		if left == 0 {
			return nil
		}
	}
	return common
}

// all gives the positions in their order.
func (b bitset) all() func(func(int) bool) {
	return func(yield func(int) bool) {
		for i, word := range b {
			for ; word != 0; word &= word - 1 {
				if !yield(64*i + bits.TrailingZeros64(word)) {
					return
				}
			}
		}
	}
}

// withheldSum returns what withheld does for a key whose codes another dictionary numbers.
func (g *shield) withheldSum(key []uint32, d *Dictionary) map[int32]bool {
	own := make([]uint32, len(key))
	for i, code := range key {
		var ok bool
		if own[i], ok = g.dictionary.Find(i, d.Text(i, code)); !ok {
			return nil // it contains nothing hidden
		}
	}
	return g.withheld(own)
}

// withheld returns the periods for which the figure of a key is not shown: it is hidden, or would give one away.
func (g *shield) withheld(key []uint32) map[int32]bool {
	packed := packKey(key)
	if known, ok := g.known[packed]; ok {
		return known
	}
	contained := intersection(g.within, key)
	if contained == nil {
		return nil
	}
	self, hides := g.numbers[packed]
	frequency := g.frequency(key)
	inside := map[int32]int{} // by period, how many hidden figures are in no other
	for n := range contained.all() {
		if hides && n == self {
			continue
		}
		for _, at := range g.hidden[n].periods {
			in, ok := periodIn(g.hidden[n].frequency, at, frequency)
			if ok && !g.inAnother(n, at, contained, self, hides) {
				inside[in]++
			}
		}
	}
	out := map[int32]bool{}
	g.known[packed] = out
	for period, count := range inside {
		if count == 1 || len(g.hidden) > maxTraced || g.givesAway(key, period) {
			out[period] = true
		}
	}
	if hides {
		for _, period := range g.hidden[self].periods {
			out[period] = true
		}
	}
	return out
}

// maxTraced is of how many hidden series it is traced what follows from totals. Where there are more, everything is withheld
// that contains one.
const maxTraced = 2000

func (g *shield) frequency(key []uint32) Frequency {
	return Frequency(g.dictionary.Text(0, key[0])[0])
}

// isHidden reports whether the figure itself is hidden.
func (g *shield) isHidden(key []uint32, period int32) bool {
	n, ok := g.numbers[packKey(key)]
	if !ok {
		return false
	}
	_, ok = slices.BinarySearch(g.hidden[n].periods, period)
	return ok
}

// givesAway reports whether one figure is what is left of another along some dimension, or in time, when all is taken away
// that is shown.
func (g *shield) givesAway(key []uint32, period int32) bool {
	for d := 1; d < len(key); d++ {
		if g.left(d, key, period) == 1 {
			return true
		}
	}
	for _, finer := range finerThan(g.frequency(key)) {
		if g.leftInTime(key, period, finer) == 1 {
			return true
		}
	}
	return false
}

// left returns how many of the parts of a figure along a dimension are not shown, nor are the sum of parts that are; two
// stands for more.
func (g *shield) left(dimension int, key []uint32, period int32) int {
	left := 0
	part := slices.Clone(key)
	for _, branch := range g.branches[dimension][key[dimension]] {
		part[dimension] = branch
		switch {
		case !g.withheld(part)[period]:
		case g.isHidden(part, period) || len(g.branches[dimension][branch]) == 0:
			left++
		default:
			left += g.left(dimension, part, period)
		}
		if left > 1 {
			return left
		}
	}
	return left
}

// leftInTime is left for the periods of a finer frequency.
func (g *shield) leftInTime(key []uint32, period int32, finer Frequency) int {
	code, ok := g.dictionary.Find(0, string(finer))
	if !ok {
		return 0
	}
	part := slices.Clone(key)
	part[0] = code
	left := 0
	for at := range g.withheld(part) {
		if in, ok := periodIn(finer, at, g.frequency(key)); !ok || in != period {
			continue
		}
		known := !g.isHidden(part, at) && slices.ContainsFunc(finerThan(finer), func(still Frequency) bool {
			_, stored := g.dictionary.Find(0, string(still))
			return stored && g.leftInTime(part, at, still) == 0
		})
		if !known {
			left++
		}
	}
	return left
}

// periodIn returns the period of a frequency that another lies in.
func periodIn(from Frequency, at int32, to Frequency) (int32, bool) {
	if from == to {
		return at, true
	}
	whole, err := from.Period(at).In(to) // only a year out of range has no whole
	return whole.Index, err == nil
}

// inAnother reports whether a hidden figure lies in another hidden one of those contained, itself left out.
func (g *shield) inAnother(n int, at int32, contained bitset, self int, hides bool) bool {
	for _, c := range g.hidden[n].containers {
		if !contained.has(c) || hides && c == self {
			continue
		}
		if in, ok := periodIn(g.hidden[n].frequency, at, g.hidden[c].frequency); ok {
			if _, found := slices.BinarySearch(g.hidden[c].periods, in); found {
				return true
			}
		}
	}
	return false
}
