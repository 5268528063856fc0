package specimen

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"

	"github.com/comity-federation/comity/services/disclosure"
)

// Total is the code of what is broken down, in every dimension.
const Total = "_T"

// Margins says which totals a table has.
type Margins int

// The kinds of margins.
const (
	Chain  Margins = iota // over the last dimension but one, over the last two but one, …, each with and without the last
	OneOut                // over one dimension at a time
	All                   // over all sets of dimensions
)

// Shape is what made-up tables are like.
type Shape struct {
	Sizes  []int   // how many codes each dimension has, without the total; the first are the most frequent
	Leaves int     // how many inner cells there are; others are 0
	Median float64 // of the inner cells
	Spread float64 // of their logarithms: the standard deviation
}

// MakeUp returns a table of the shape, the same for the same seed.
func (s Shape) MakeUp(margins Margins, seed uint64) *disclosure.Table {
	r := rand.New(rand.NewPCG(seed, 0x7ab1e)) //nolint:gosec // the same table every time
	c := newCounts(len(s.Sizes))
	ids := make([]string, len(s.Sizes))
	for d := range ids {
		ids[d] = fmt.Sprintf("D%d", d+1)
	}
	drawn := map[string]bool{}
	for len(drawn) < s.Leaves {
		key := make([]string, len(s.Sizes))
		for d, size := range s.Sizes {
			u := r.Float64()
			key[d] = fmt.Sprintf("%c%02d", 'A'+d, int(float64(size)*u*u))
		}
		name := strings.Join(key, "|")
		if drawn[name] {
			continue
		}
		drawn[name] = true
		n := math.Ceil(math.Min(s.Median*math.Exp(s.Spread*r.NormFloat64()), 500*s.Median))
		c.add(key, int64(n), margins, false)
	}
	return c.table(ids)
}

// counts adds up figures by key, and remembers the order of the keys.
type counts struct {
	dimensions int
	keys       [][]string
	count      map[string]int64
}

func newCounts(dimensions int) *counts { return &counts{dimensions, nil, map[string]int64{}} }

func (c *counts) put(key []string, n int64) {
	name := strings.Join(key, "|")
	if _, ok := c.count[name]; !ok {
		c.keys = append(c.keys, append([]string(nil), key...))
	}
	c.count[name] += n
}

// add adds a figure to its cell and to its totals. Of what is published, the totals of a chain come by themselves; other
// totals are computed, and those that come are left out.
func (c *counts) add(key []string, n int64, margins Margins, published bool) {
	if published && margins == Chain {
		c.put(key, n)
		return
	}
	for _, code := range key {
		if code == Total {
			return
		}
	}
	for over := range 1 << len(key) {
		if !margins.has(over, len(key)) {
			continue
		}
		total := append([]string(nil), key...)
		for d := range key {
			if over>>d&1 == 1 {
				total[d] = Total
			}
		}
		c.put(total, n)
	}
}

// has reports whether there are totals over a set of dimensions, as bits.
func (m Margins) has(over, dimensions int) bool {
	switch m {
	case OneOut:
		return over&(over-1) == 0
	case Chain:
		for from := range dimensions {
			if over&(1<<(dimensions-1)-1) == 1<<(dimensions-1)-1<<from {
				return true
			}
		}
		return false
	default:
		return true
	}
}

// table lists the codes of each dimension under its total.
func (c *counts) table(ids []string) *disclosure.Table {
	t := &disclosure.Table{}
	seen := make([]map[string]bool, c.dimensions)
	for d := range seen {
		seen[d] = map[string]bool{Total: true}
		t.Dimensions = append(t.Dimensions, disclosure.Dimension{ID: ids[d], Codes: []disclosure.Code{{Code: Total}}})
	}
	for _, key := range c.keys {
		for d, code := range key {
			if !seen[d][code] {
				seen[d][code] = true
				t.Dimensions[d].Codes = append(t.Dimensions[d].Codes, disclosure.Code{Code: code, Parent: Total})
			}
		}
		t.Cells = append(t.Cells, disclosure.Cell{Key: key, Value: c.count[strings.Join(key, "|")]})
	}
	return t
}
