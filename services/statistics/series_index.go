package statistics

import (
	"hash/maphash"
	"slices"
)

// seriesIndex finds the number of a series by its codes, which stand one series after the other in a list of keys. It holds
// no more than a number a series. The zero seriesIndex is empty.
type seriesIndex struct {
	slots []int32 // numbers plus 1, 0: free; twice as many as series, or more
	count int
	seed  uint64 // unknown to who chooses codes
}

const leastSlots = 8

// slot returns that of the codes, or the free one where they belong.
func (x *seriesIndex) slot(keys, codes []uint32) int {
	hash := x.seed
	for _, code := range codes {
		hash = (hash ^ uint64(code)) * 0x9e3779b97f4a7c15
		hash ^= hash >> 29
	}
	mask := len(x.slots) - 1
	for at := int(hash>>32) & mask; ; at = (at + 1) & mask {
		n := int(x.slots[at]) - 1
		if n < 0 || slices.Equal(keys[n*len(codes):(n+1)*len(codes)], codes) {
			return at
		}
	}
}

func (x *seriesIndex) find(keys, codes []uint32) (n int, ok bool) {
	if x.count == 0 {
		return 0, false
	}
	n = int(x.slots[x.slot(keys, codes)]) - 1
	return n, n >= 0
}

// add gives the codes, which have none, a number. keys are those before.
func (x *seriesIndex) add(keys, codes []uint32, n int) {
	if x.seed == 0 {
		x.seed = maphash.Comparable(maphash.MakeSeed(), 0) | 1
	}
	if 2*(x.count+1) > len(x.slots) {
		x.slots = make([]int32, max(2*len(x.slots), leastSlots))
		for i := range x.count {
			x.slots[x.slot(keys, keys[i*len(codes):(i+1)*len(codes)])] = int32(i + 1)
		}
	}
	x.slots[x.slot(keys, codes)] = int32(n + 1) //nolint:gosec // as above
	x.count++
}

func (x *seriesIndex) clone() seriesIndex {
	return seriesIndex{slots: slices.Clone(x.slots), count: x.count, seed: x.seed}
}

// clear takes all series away.
func (x *seriesIndex) clear() {
	if x.count > 0 {
		clear(x.slots)
		x.count = 0
	}
}
