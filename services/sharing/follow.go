package sharing

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	releaseEvery     = 2 * time.Second
	revisionProgress = "revisions"
)

// news is what the statistics have told since the last releases.
type news struct {
	mu     sync.Mutex
	cursor string
	fresh  bool // this state's own figures have changed
}

// tell notes a revision.
func (n *news) tell(revision Revision, own bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cursor = revision.Cursor
	n.fresh = n.fresh || own
}

// take returns what was told, and forgets that it was.
func (n *news) take() (cursor string, fresh bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	cursor, fresh, n.fresh = n.cursor, n.fresh, false
	return cursor, fresh
}

// FollowRevisions makes the releases that news of the statistics, of agreements and of policy call for, until the
// context ends. A table that has not changed since it went last does not go again.
//
// Every change of this state's own figures is a reason to look at every agreement, whatever its dataflow: one dataflow
// is derived from another.
func (s *Service) FollowRevisions(ctx context.Context) error {
	var n news
	started := false
	var watcher sync.WaitGroup
	defer watcher.Wait()
	watcher.Go(func() {
		s.keep(ctx, "watching the statistics", 0, func(ctx context.Context) error {
			if !started {
				cursor, err := s.Store.Progress(ctx, revisionProgress)
				if err != nil {
					return err
				}
				n.tell(Revision{Cursor: cursor}, false)
				started = true
			}
			n.mu.Lock()
			from := n.cursor
			n.mu.Unlock()
			return s.Statistics.Watch(ctx, from, func(revision Revision) error {
				n.tell(revision, revision.Provider == s.State)
				wake(s.toRelease)
				return nil
			})
		})
	})
	seen := ""                     // the circumstances of the last releases
	open := false                  // whether some of those are still to be made
	done := map[AgreementID]bool{} // those that are made
	s.keep(ctx, "releasing", 0, func(ctx context.Context) error {
		await(ctx, s.toRelease, releaseEvery)
		circumstances, err := s.circumstances(ctx)
		if err != nil {
			return err
		}
		cursor, fresh := n.take()
		if fresh || circumstances != seen {
			seen, open = circumstances, true
			clear(done)
		}
		if !open {
			return nil
		}
		ran, err := s.Store.Exclusively(ctx, "releases", func(ctx context.Context) error {
			open, err = s.releaseAll(ctx, done)
			return err
		})
		if err != nil || !ran {
			open = true
			return err // tried again, when the other process is done or what failed is mended
		}
		if cursor == "" {
			return nil
		}
		return s.Store.SaveProgress(ctx, revisionProgress, cursor)
	})
	return nil
}

// circumstances returns a text that changes whenever releases may change for another reason than the figures: the day,
// policy, the agreements in force, and the epochs of the streams.
func (s *Service) circumstances(ctx context.Context) (string, error) {
	active, err := s.refreshPolicy(ctx)
	if err != nil {
		return "", err
	}
	text := s.now().Format(time.DateOnly) + " " + s.Policy.Revision()
	switches, err := s.Switches(ctx)
	if err != nil {
		return "", err
	}
	for _, w := range switches {
		text += fmt.Sprintf(" %s", w.ID)
	}
	renewed, err := s.Store.Progress(ctx, renewProgress)
	if err != nil {
		return "", err
	}
	text += " " + renewed
	for _, a := range active {
		place, err := s.Store.Outbound(ctx, StreamName(s.State, a.Terms.Receiver))
		if err != nil {
			return "", err
		}
		text += fmt.Sprintf(" %s/%d/%s/%s", a.Terms.ID, a.Terms.Version, place.Epoch, a.Terms.Dataflow)
	}
	return text, nil
}
