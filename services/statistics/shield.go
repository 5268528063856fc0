package statistics

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/comity-federation/comity/proto/period"
)

// shield knows the figures of a provider that a caller may not see, and which others would give one of them away.
//
// A stored figure contains another where, in every dimension, its code is the other's, or has it as a part, or covers it;
// for FREQ, where the other's period lies in its own. Of the hidden figures that it contains, those count that no other of
// them contains. Where that is exactly one, the figure is withheld: the difference from its other parts would be the value.
// Where there are two or more, it tells only their sum. (This is the least that secondary suppression has to do, see
// Hundepool et al., Statistical Disclosure Control, 2012, section 4.2; what follows from several totals together is for the
// provider to protect, with CONF_STATUS D.)
//
//	_T 30   N 10   S 20      N1 is confidential, N2 is not, both are parts of N
//	then N and _T are withheld; if S1 is confidential too, N and S are, and _T is shown
type shield struct {
	flow       *Flow
	dictionary *Dictionary
	hidden     []hiddenSeries
	numbers    map[string]int      // by packed key: the position in hidden
	rows       []map[uint32]bitset // by dimension and code: which of the hidden have the code
	within     []map[uint32]bitset // by dimension and code: which of the hidden have the code, or one that it contains
}

type hiddenSeries struct {
	key       []uint32
	frequency Frequency
	periods   []int32 // ascending
	above     int     // how many codes contain one of its own
}

// bitset is a set of positions.
type bitset []uint64

func (b bitset) has(i int) bool { return i/64 < len(b) && b[i/64]&(1<<(i%64)) != 0 }

func newShield(flow *Flow, dictionary *Dictionary) *shield {
	return &shield{flow: flow, dictionary: dictionary, numbers: map[string]int{}}
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
	for i, code := range key {
		h.above += len(g.containers(i, code))
	}
	g.numbers[packed] = len(g.hidden)
	g.hidden = append(g.hidden, h)
}

func packKey(key []uint32) string {
	packed := make([]byte, 0, 4*len(key))
	for _, code := range key {
		packed = append(packed, byte(code>>24), byte(code>>16), byte(code>>8), byte(code))
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

// close makes the shield ready, after the last add. Those that contain others come first.
func (g *shield) close() {
	slices.SortStableFunc(g.hidden, func(a, b hiddenSeries) int { return cmp.Compare(a.above, b.above) })
	dimensions := len(g.flow.Structure.Dimensions)
	g.rows, g.within = make([]map[uint32]bitset, dimensions), make([]map[uint32]bitset, dimensions)
	words := (len(g.hidden) + 63) / 64
	for d := range dimensions {
		g.rows[d], g.within[d] = map[uint32]bitset{}, map[uint32]bitset{}
		for n, h := range g.hidden {
			code := h.key[d]
			if g.rows[d][code] == nil {
				g.rows[d][code] = make(bitset, words)
			}
			g.rows[d][code][n/64] |= 1 << (n % 64)
		}
		// A code contains what it is among the containers of.
		for code, row := range g.rows[d] {
			g.join(d, code, row)
			for _, text := range g.containers(d, code) {
				if container, ok := g.dictionary.Find(d, text); ok {
					g.join(d, container, row)
				}
			}
		}
	}
	for n, h := range g.hidden {
		g.numbers[packKey(h.key)] = n
	}
}

func (g *shield) join(dimension int, code uint32, row bitset) {
	joined := g.within[dimension][code]
	if joined == nil {
		joined = make(bitset, len(row))
		g.within[dimension][code] = joined
	}
	for i, word := range row {
		joined[i] |= word
	}
}

// withheld returns the periods for which the figure of a series is not shown: it is hidden, or would give one away.
func (g *shield) withheld(key []uint32) map[int32]bool {
	var contained bitset
	for d, code := range key {
		row := g.within[d][code]
		if row == nil {
			return nil
		}
		if d == 0 {
			contained = slices.Clone(row)
			continue
		}
		left := uint64(0)
		for i, word := range row {
			contained[i] &= word
			left |= contained[i]
		}
		if left == 0 {
			return nil
		}
	}
	frequency := Frequency(g.dictionary.Text(0, key[0])[0])
	self, hidden := g.numbers[packKey(key)]
	out := map[int32]bool{}
	found := map[int32]found{}
	for i, word := range contained {
		for ; word != 0; word &= word - 1 {
			n := 64*i + bits.TrailingZeros64(word)
			if hidden && n == self {
				continue
			}
			g.count(found, n, frequency)
		}
	}
	for period, f := range found {
		if !f.several {
			out[period] = true
		}
	}
	if hidden {
		for _, period := range g.hidden[self].periods {
			out[period] = true
		}
	}
	return out
}

// found is what of the hidden lies in a figure.
type found struct {
	series  int
	period  int32
	several bool
}

// count counts the hidden figures of a series for the periods of a frequency that they lie in.
func (g *shield) count(all map[int32]found, n int, frequency Frequency) {
	h := &g.hidden[n]
	for _, at := range h.periods {
		in := at
		if h.frequency != frequency {
			whole, err := h.frequency.Period(at).In(frequency)
			if err != nil {
				continue // a year that no period has
			}
			in = whole.Index
		}
		first, ok := all[in]
		switch {
		case !ok:
			all[in] = found{series: n, period: at}
		case !first.several && !g.contains(first.series, first.period, n, at):
			first.several = true
			all[in] = first
		}
	}
}

// contains reports whether one hidden figure contains another.
func (g *shield) contains(a int, aPeriod int32, b int, bPeriod int32) bool {
	first, second := &g.hidden[a], &g.hidden[b]
	for d, code := range first.key {
		if !g.within[d][code].has(b) {
			return false
		}
	}
	if first.frequency == second.frequency {
		return aPeriod == bPeriod
	}
	whole, err := second.frequency.Period(bPeriod).In(first.frequency)
	return err == nil && whole.Index == aPeriod
}
