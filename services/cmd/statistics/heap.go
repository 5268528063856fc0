package main

import (
	"math"
	"runtime/debug"
)

const (
	heapFloor = 128 << 20 // bytes of heap below which garbage is left alone
	heapLimit = 448 << 20 // bytes of heap above which it is collected as often as it takes
)

// settleHeap tells the garbage collector which heap is small. It starts when the heap has doubled, which a submission does ten
// times from nothing, and small queries wait each time. What is returned takes no memory, since nothing is written to it, but
// counts as heap as long as it is kept. GOMEMLIMIT in the environment has its way.
func settleHeap() (ballast []byte) {
	if debug.SetMemoryLimit(-1) == math.MaxInt64 {
		debug.SetMemoryLimit(heapFloor + heapLimit)
	}
	return make([]byte, heapFloor)
}
