package sharing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/comity-federation/comity/services/fault"
)

// New returns the service made of config.
func New(config Config) *Service {
	if config.Clock == nil {
		config.Clock = time.Now
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	if config.Lifetime == 0 {
		config.Lifetime = 90 * 24 * time.Hour
	}
	if config.Notice == 0 {
		config.Notice = 60
	}
	return &Service{
		Config:     config,
		structures: map[string]*Structures{},
		tabulating: make(turns, tablesAtOnce),
		toRelease:  make(chan struct{}, 1),
		toHandOver: make(chan struct{}, 1),
		toServe:    make(chan struct{}, 1),
		toDeliver:  make(chan struct{}, 1),
	}
}

// keep runs work again and again until the context ends, each time after the pause. Work that fails is logged once for
// each kind of failure in a row, and tried again, after a second at least.
func (s *Service) keep(ctx context.Context, what string, pause time.Duration, work func(context.Context) error) {
	last := ""
	for {
		wait := pause
		err := work(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			last = ""
		default:
			wait = max(pause, time.Second)
			if err.Error() != last {
				s.Log.ErrorContext(ctx, "failed, and is tried again", "task", what, "error", err)
			}
			last = err.Error()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// wake makes the loop behind the channel run at once.
func wake(loop chan struct{}) {
	select {
	case loop <- struct{}{}:
	default: // it will run anyway
	}
}

// await waits for a wake, at most for the pause.
func await(ctx context.Context, loop chan struct{}, pause time.Duration) {
	select {
	case <-ctx.Done():
	case <-loop:
	case <-time.After(pause):
	}
}

// changes tells any number of listeners that something changed.
type changes struct {
	mu   sync.Mutex
	next chan struct{}
}

// announce closes the channel that listeners have.
func (c *changes) announce() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next != nil {
		close(c.next)
		c.next = nil
	}
}

// listen returns a channel that the next announce closes.
func (c *changes) listen() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next == nil {
		c.next = make(chan struct{})
	}
	return c.next
}

// checkPartner fails unless the code is that of a state on the trust list other than this one, or of an agency of this one.
func (s *Service) checkPartner(code StateCode) error {
	if _, ok := s.Trust.State(code); (!ok || code == s.State) && !s.isAgency(code) {
		return fault.Missing("there is no partner state %q", code)
	}
	return nil
}

// Partners returns the states that this one trusts, by code.
func (s *Service) Partners(ctx context.Context) ([]Partner, error) {
	standings, err := s.Store.Standings(ctx)
	if err != nil {
		return nil, err
	}
	var partners []Partner
	for _, state := range s.Trust.List().States {
		if state.Code == s.State {
			continue
		}
		standing := standings[state.Code]
		known, err := s.Store.Witnessed(ctx, state.Code)
		if err != nil {
			return nil, fmt.Errorf("reading what was seen of the log of %s: %w", state.Code, err)
		}
		fork, err := s.fork(ctx, state, known)
		if err != nil {
			return nil, err
		}
		partners = append(partners, Partner{
			Code: state.Code, Name: state.Name, Address: state.Address,
			LastContact: standing.LastContact, LastError: standing.LastError,
			ReceivedSequence: standing.ReceivedSequence, ReceiptedSequence: standing.ReceiptedSequence, Waiting: standing.Waiting,
			Quarantined: standing.Quarantined, Fork: fork, Objection: known.Objection,
		})
	}
	slices.SortFunc(partners, func(a, b Partner) int { return cmp.Compare(a.Code, b.Code) })
	return partners, nil
}

// Contact keeps that the partner answered just now, or what went wrong.
func (s *Service) Contact(ctx context.Context, partner StateCode, problem error) error {
	text := ""
	if problem != nil {
		text = foreignText(problem.Error())
	}
	return s.Store.SaveContact(ctx, partner, s.now(), text)
}

// structuresOf returns the structure of a dataflow, which is asked for once: a version never changes.
func (s *Service) structuresOf(ctx context.Context, dataflow string) (*Structures, error) {
	s.mu.Lock()
	known := s.structures[dataflow]
	s.mu.Unlock()
	if known != nil {
		return known, nil
	}
	structures, err := s.Statistics.Structures(ctx, dataflow)
	if err != nil {
		return nil, err
	}
	if structures == nil {
		return nil, errors.New("the statistics answered no structure")
	}
	if isRange(dataflow) {
		return structures, nil // another version may be the latest next time
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.structures[dataflow] = structures
	return structures, nil
}
