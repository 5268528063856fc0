package sharing

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// SeenCheckpoint is a checkpoint of a log that one state has shown to another.
type SeenCheckpoint struct {
	Log     StateCode // whose log
	Partner StateCode // that has shown it, or has co-signed it where the log is this state's
	Size    int64     // entries
	Note    string    // the signed note
	Created time.Time // when it came

	// Acceptance is the word of officers that the log goes on from it though it does not extend the one before, as
	// [ReadAcceptance] reads it; none: it did, or was refused.
	Acceptance []byte
}

// SeenCheckpoints returns a page of the checkpoints that were shown in sessions with partners, of this log and of theirs,
// the oldest first, and the token of the next page; "" on the last.
func (s *Service) SeenCheckpoints(ctx context.Context, page Page) (seen []SeenCheckpoint, next string, err error) {
	return s.Store.SeenCheckpoints(ctx, page)
}

// open returns what a checkpoint says, which the log's own state must have signed.
func (c SeenCheckpoint) open(trust *TrustList) (checkpoint, error) {
	owner, ok := trust.State(c.Log)
	if !ok {
		return checkpoint{}, fmt.Errorf("a checkpoint is of the log of %q, which is not on the trust list", c.Log)
	}
	opened, _, _, err := openCheckpointBy(c.Note, LogName(c.Log), owner.LogKeys())
	if err != nil {
		return checkpoint{}, fmt.Errorf("a checkpoint of %s that came with %s: %w", c.Log, c.Partner, err)
	}
	return opened, nil
}

// SplitViews says of which logs checkpoints of one size have several roots, each signed by the log's own state: it has shown
// several logs. Whoever has the two checkpoints can prove it. One that the state has not signed proves nothing, and is left; so is
// one that officers have accepted to be of another log.
func SplitViews(trust *TrustList, seen []SeenCheckpoint) []string {
	type place struct {
		log  StateCode
		size int64
	}
	roots := map[place]tlog.Hash{}
	var found []string
	accepted := acceptances(trust, seen)
	for _, c := range seen {
		opened, err := c.open(trust)
		if err != nil || settled(accepted, c, opened) {
			continue
		}
		at := place{c.Log, opened.size}
		if root, known := roots[at]; known && root != opened.root {
			found = append(found, fmt.Sprintf("%s has signed two checkpoints of %d entries with different roots: it has shown several logs", c.Log, opened.size))
		}
		roots[at] = opened.root
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// expected is a checkpoint that the entries must lead to.
type expected struct {
	checkpoint
	by      StateCode // that has seen it
	settled bool      // officers have accepted that it may be of another log
}

// expect takes note of the checkpoints of the log that somebody has seen.
func (a *auditor) expect(seen []SeenCheckpoint) error {
	accepted := acceptances(a.trust, seen)
	for _, c := range seen {
		if c.Log != a.state {
			continue
		}
		opened, err := c.open(a.trust)
		if err != nil {
			return err
		}
		a.expected = append(a.expected, expected{opened, c.Partner, settled(accepted, c, opened)})
	}
	slices.SortFunc(a.expected, func(one, other expected) int { return cmp.Compare(one.size, other.size) })
	return nil
}

// meet holds the entries so far against the checkpoints of as many.
func (a *auditor) meet() error {
	for ; len(a.expected) > 0 && a.expected[0].size == a.next; a.expected = a.expected[1:] {
		root, err := tlog.TreeHash(a.next, a.reader)
		if err != nil {
			return fmt.Errorf("computing the root of %d entries: %w", a.next, err)
		}
		switch {
		case root == a.expected[0].root:
			a.good = a.next
		case !a.expected[0].settled:
			which := "it"
			if last := a.next - 1; last > a.good {
				which = fmt.Sprintf("it, or one of those up to entry %d,", last)
			}
			return &BadEntryError{
				Index: a.good, Problem: fmt.Sprintf("%s is not the one that %s has seen", which, a.expected[0].by), Meaning: meansAnew,
			}
		}
	}
	return nil
}

// met fails where somebody has seen more entries than there are.
func (a *auditor) met() error {
	left := slices.DeleteFunc(slices.Clone(a.expected), func(e expected) bool { return e.settled })
	if len(left) == 0 {
		return nil
	}
	last := left[len(left)-1]
	return &BadEntryError{
		Index: a.next, Problem: fmt.Sprintf("it is missing: %s has seen %d entries", last.by, last.size), Meaning: meansCut,
	}
}
