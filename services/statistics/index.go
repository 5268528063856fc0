package statistics

import (
	"encoding/binary"
	"math/bits"

	"github.com/comity-federation/comity/proto/filter"
)

// Run says for which of up to 64 periods a series has a figure: bit i of the mask stands for the period First + i.
type Run struct {
	First int32
	Mask  uint64
}

// Index knows which series of a part have figures in which periods, and no figure: some twenty bytes for a year of months.
// It is kept in memory, so that what there is can be counted without reading it.
type Index struct {
	numbers map[string]int32 // by packed key: the position in what follows
	codes   [][]uint16       // by dimension and series
	runs    [][]Run          // by series
}

// NewIndex returns an empty index for so many dimensions.
func NewIndex(dimensions int) *Index {
	return &Index{numbers: map[string]int32{}, codes: make([][]uint16, dimensions)}
}

// Set says for which periods of a run a series has figures, in place of what was said before. key has the codes of the
// series as big-endian 16-bit numbers.
func (x *Index) Set(key []byte, run Run) { x.put(key, run, false) }

// Add is Set for a run of which other periods may be known already.
func (x *Index) Add(key []byte, run Run) { x.put(key, run, true) }

func (x *Index) put(key []byte, run Run, add bool) {
	n, ok := x.numbers[string(key)]
	if !ok {
		n = int32(len(x.runs)) //nolint:gosec // memory ends before
		x.numbers[string(key)] = n
		for d := range x.codes {
			x.codes[d] = append(x.codes[d], binary.BigEndian.Uint16(key[2*d:]))
		}
		x.runs = append(x.runs, nil)
	}
	for i := range x.runs[n] {
		if r := &x.runs[n][i]; r.First == run.First {
			if add {
				run.Mask |= r.Mask
			}
			r.Mask = run.Mask
			return
		}
	}
	x.runs[n] = append(x.runs[n], run)
}

// matcher returns whether a series passes a filter over dimensions. The filter is matched once with each code.
func (x *Index) matcher(f filter.Filter, s *DataStructure, d *Dictionary) func(series int) bool {
	switch f.Op {
	case filter.OpAnd, filter.OpOr:
		all := f.Op == filter.OpAnd
		var operands []func(int) bool
		for _, operand := range f.Operands {
			operands = append(operands, x.matcher(operand, s, d))
		}
		return func(series int) bool {
			for _, operand := range operands {
				if operand(series) != all {
					return !all
				}
			}
			return all
		}
	case filter.OpNot:
		operand := x.matcher(f.Operands[0], s, d)
		return func(series int) bool { return !operand(series) }
	}
	dimension := s.Dimension(f.Component)
	passing := make([]bool, d.Len(dimension))
	for code := range passing {
		text := d.Text(dimension, uint32(code))
		passing[code] = f.Match(func(string) string { return text })
	}
	codes := x.codes[dimension]
	return func(series int) bool { return passing[codes[series]] }
}

// within returns the part of a run that lies in the span.
func (r Run) within(span Span) Run {
	if below := int64(span.First) - int64(r.First); below >= 64 {
		r.Mask = 0
	} else if below > 0 {
		r.Mask &^= 1<<below - 1
	}
	if length := int64(span.Last) - int64(r.First) + 1; length <= 0 {
		r.Mask = 0
	} else if length < 64 {
		r.Mask &= 1<<length - 1
	}
	return r
}

// without returns the run without a period.
func (r Run) without(period int32) Run {
	if at := int64(period) - int64(r.First); at >= 0 && at < 64 {
		r.Mask &^= 1 << at
	}
	return r
}

// count returns how many periods there are.
func (r Run) count() int { return bits.OnesCount64(r.Mask) }

// ends returns the first and the last period; there is one.
func (r Run) ends() (first, last int32) {
	return r.First + int32(bits.TrailingZeros64(r.Mask)), r.First + int32(bits.Len64(r.Mask)) - 1 //nolint:gosec // below 64
}

// presence gives the periods for which any series has a figure, by its codes of at most three dimensions.
func (x *Index) presence(dimensions []int, give func(codes [3]uint16, periods map[int32]bool)) {
	masks := map[[3]uint16]map[int32]uint64{} // by first period of the run
	for series, runs := range x.runs {
		var codes [3]uint16
		for i, dimension := range dimensions {
			codes[i] = x.codes[dimension][series]
		}
		of := masks[codes]
		if of == nil {
			of = map[int32]uint64{}
			masks[codes] = of
		}
		for _, run := range runs {
			if run.Mask&^of[run.First] != 0 {
				of[run.First] |= run.Mask
			}
		}
	}
	for codes, of := range masks {
		periods := map[int32]bool{}
		for first, mask := range of {
			for ; mask != 0; mask &= mask - 1 {
				periods[first+int32(bits.TrailingZeros64(mask))] = true //nolint:gosec // below 64
			}
		}
		give(codes, periods)
	}
}
