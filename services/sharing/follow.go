package sharing

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

const (
	releaseEvery     = 2 * time.Second
	revisionProgress = "revisions"

	// Agreements of dataflows that have not changed are looked at when none has for quietAfter, or after quietMost.
	quietAfter = 10 * time.Second
	quietMost  = 10 * time.Minute

	// largeRelease is from how many cells on the memory that a release took is given back to the system once it is made. Left
	// alone, the garbage collector would look at it when as much was used again, which may be never.
	largeRelease = 50_000
)

// news is what the statistics have told since the last releases.
type news struct {
	mu     sync.Mutex
	cursor string
	fresh  map[string]bool // "AGENCY:ID" of the dataflows of which this state's own figures have changed
}

// tell notes a revision.
func (n *news) tell(revision Revision, own bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cursor = revision.Cursor
	if own {
		if n.fresh == nil {
			n.fresh = map[string]bool{}
		}
		n.fresh[flowOf(revision.Dataflow)] = true
	}
}

// take returns what was told, and forgets that it was.
func (n *news) take() (cursor string, fresh map[string]bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	cursor, fresh, n.fresh = n.cursor, n.fresh, nil
	return cursor, fresh
}

// round says under which agreements releases are still to be made.
type round struct {
	open bool                   // whether there are any
	done map[AgreementID]string // those that are made, with the dataflow "AGENCY:ID"

	// Where figures have changed, those of other dataflows may have too, as they are seen here: some are free from a moment on
	// that nobody is told of. Those can wait a little.
	changed time.Time            // when any figures changed last
	others  map[AgreementID]bool // of those that are made, which were before that
	waiting time.Time            // since when others wait; zero: there are none
}

// renew has all releases made.
func (r *round) renew() {
	*r = round{open: true, done: map[AgreementID]string{}, others: map[AgreementID]bool{}}
}

// note has the releases of dataflows made at once that have changed, and the others later.
func (r *round) note(fresh map[string]bool, now time.Time) {
	if len(fresh) > 0 {
		r.open, r.changed = true, now
		for id, flow := range r.done {
			switch {
			case fresh[flow]:
				r.again(id)
			case flow != passedFlow:
				r.others[id] = true
			}
		}
	}
	if len(r.others) == 0 {
		r.waiting = time.Time{}
		return
	}
	if r.waiting.IsZero() {
		r.waiting = now
	}
	if now.Sub(r.changed) >= quietAfter || now.Sub(r.waiting) >= quietMost {
		r.open = true
		for id := range r.others {
			r.again(id)
		}
		r.waiting = time.Time{}
	}
}

// again has the release under an agreement made again.
func (r *round) again(id AgreementID) {
	delete(r.done, id)
	delete(r.others, id)
}

// pass has it looked again what is passed on.
func (r *round) pass() {
	r.open = true
	for id, flow := range r.done {
		if flow == passedFlow {
			r.again(id)
		}
	}
}

// passedFlow stands for the dataflow of what is passed on: it does not change with this state's figures.
const passedFlow = ""

// FollowRevisions makes the releases that news of the statistics, of agreements and of policy call for, until the
// context ends. A table that has not changed since it went last does not go again.
//
// A change of this state's own figures is a reason to look at the agreements of their dataflow at once, and at all the others
// as soon as there is time.
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
	seen := ""    // the circumstances of the last releases
	sources := "" // and those of what is passed on
	var r round
	s.keep(ctx, "releasing", 0, func(ctx context.Context) error {
		await(ctx, s.toRelease, releaseEvery)
		circumstances, toPass, err := s.circumstances(ctx)
		if err != nil {
			return err
		}
		cursor, fresh := n.take()
		r.note(fresh, s.now())
		if circumstances != seen {
			seen = circumstances
			r.renew()
		}
		if toPass != sources {
			sources = toPass
			r.pass()
		}
		if !r.open {
			return nil
		}
		ran, err := s.Store.Exclusively(ctx, "releases", func(ctx context.Context) error {
			r.open, err = s.releaseAll(ctx, r.done)
			return err
		})
		if s.large.Swap(false) {
			debug.FreeOSMemory()
		}
		if err != nil || !ran {
			r.open = true
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
// policy, the agreements in force, and the epochs of the streams. Another one changes whenever something else may be passed on.
func (s *Service) circumstances(ctx context.Context) (text, sources string, err error) {
	active, err := s.refreshPolicy(ctx)
	if err != nil {
		return "", "", err
	}
	text = s.now().Format(time.DateOnly) + " " + s.Policy.Revision()
	switches, err := s.Switches(ctx)
	if err != nil {
		return "", "", err
	}
	for _, w := range switches {
		text += fmt.Sprintf(" %s", w.ID)
	}
	renewed, err := s.Store.Progress(ctx, renewProgress)
	if err != nil {
		return "", "", err
	}
	text += " " + renewed
	for _, a := range active {
		place, err := s.Store.Outbound(ctx, StreamName(s.State, a.Terms.Receiver))
		if err != nil {
			return "", "", err
		}
		text += fmt.Sprintf(" %s/%d/%s/%s", a.Terms.ID, a.Terms.Version, place.Epoch, a.Terms.Dataflow)
		if a.Terms.Source != "" {
			of, err := s.sourceCircumstances(ctx, a.Terms)
			if err != nil {
				return "", "", err
			}
			sources += of
		}
	}
	return text, sources, nil
}
