package sharing

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"sync"

	"github.com/comity-federation/comity/services/disclosure"
	"github.com/comity-federation/comity/services/fault"
)

// patterns keeps how tables were protected. What has not changed is not protected anew.
type patterns struct {
	mu           sync.Mutex
	recent, past map[[sha256.Size]byte]*pattern
	size         int // of the recent ones
}

// pattern is how a table was protected, or why it could not be.
type pattern struct {
	ready  chan struct{} // closed when the rest is there
	result *disclosure.Result
	err    error
}

// size is about how many cells, and moves of cells, are kept of a pattern.
func (p *pattern) size() int {
	if p.result == nil {
		return 1
	}
	size := len(p.result.Table.Cells)
	for _, point := range p.result.Points {
		size += len(point.Cells)
	}
	return size
}

// maxPatterns bounds the size of all patterns that are kept, half of it.
const maxPatterns = 2_000_000

// protect is [disclosure.Protect] for a table that it may have seen before.
func (p *patterns) protect(ctx context.Context, t *disclosure.Table, rules disclosure.Rules, pinned []bool, kept float64) (*disclosure.Result, error) {
	text, err := json.Marshal([]any{t, rules, pinned, kept})
	if err != nil {
		return nil, err
	}
	key := sha256.Sum256(text)
	for {
		one, mine := p.take(key)
		if mine {
			one.result, one.err = disclosure.Protect(ctx, t, rules, disclosure.Options{MinimumKept: kept, Pinned: pinned, Quick: len(t.Cells) > thoroughCells})
			if one.err != nil && !fault.Is(one.err, fault.Precondition) {
				p.forget(key)
			}
			p.grow(one.size())
			close(one.ready)
			return one.result, one.err
		}
		select {
		case <-one.ready:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if one.err == nil || fault.Is(one.err, fault.Precondition) {
			return one.result, one.err
		}
		// Whoever was at it gave up.
	}
}

// take returns the pattern of a table, and whether it is for the caller to find it.
func (p *patterns) take(key [sha256.Size]byte) (one *pattern, mine bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if one = p.recent[key]; one != nil {
		return one, false
	}
	if p.recent == nil {
		p.recent = map[[sha256.Size]byte]*pattern{}
	}
	if one = p.past[key]; one == nil {
		one, mine = &pattern{ready: make(chan struct{})}, true
	}
	p.recent[key] = one
	select {
	case <-one.ready:
		p.size += one.size()
	default: // whoever is at it adds it
	}
	return one, mine
}

// grow notes that a pattern was found. Where there are too many, the recent ones become past ones, and the past is
// forgotten.
func (p *patterns) grow(size int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.size += size; p.size > maxPatterns {
		p.past, p.recent, p.size = p.recent, nil, 0
	}
}

func (p *patterns) forget(key [sha256.Size]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.recent, key)
	delete(p.past, key)
}
