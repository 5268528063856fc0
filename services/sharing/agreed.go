package sharing

import (
	"slices"
	"sync"
)

// agreed are all agreements as they were read last. They are asked about with each batch that goes or comes, and seldom
// change.
type agreed struct {
	mu      sync.Mutex
	known   bool
	changes int64 // of the store, before they were read
	all     []Agreement
}

// at returns the agreements as they stand after so many changes; false where they were read at another time.
func (a *agreed) at(changes int64) ([]Agreement, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.known || a.changes != changes {
		return nil, false
	}
	return slices.Clone(a.all), true
}

// keep notes the agreements, which were read after so many changes at least.
func (a *agreed) keep(changes int64, all []Agreement) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.known, a.changes, a.all = true, changes, slices.Clone(all)
}
