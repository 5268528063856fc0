package statistics

import (
	"context"
	"strings"
	"time"

	"github.com/comity-federation/comity/services/fault"
)

// ReadOnly says that the statistics were closed to every change, or opened again. The newest one counts. While they are
// closed, nothing is submitted, recorded, derived, annotated, set or removed, and whatever only reads is answered.
type ReadOnly struct {
	On      bool // false: they are open
	By      string
	Reason  string
	Created time.Time // zero: they were never closed
}

// ReadOnlyStore keeps whether the statistics are read-only. Once they are, it fails with [ErrReadOnly] whatever would change
// anything.
type ReadOnlyStore interface {
	// ReadOnly returns the newest; the zero value where there was none.
	ReadOnly(ctx context.Context) (ReadOnly, error)
	// PutReadOnly keeps r as the newest. Where it closes the statistics, it returns when every change has ended that had
	// begun before; an error then says that one may be under way yet.
	PutReadOnly(ctx context.Context, r ReadOnly) error
}

// ErrReadOnly is the fault of what would change anything while the statistics are read-only.
var ErrReadOnly error = fault.New(fault.Unavailable, "READ_ONLY", "this node is read-only for now")

// onTheSpot is who has stopped a node without a call.
const onTheSpot = "operator on the spot"

// maxSwitchReason bounds why the statistics are closed or opened, in bytes.
const maxSwitchReason = 4 << 10

// SetReadOnly closes the statistics to every change, or opens them again, and keeps who did it and why. It holds for every
// process on the store, and after a restart. What is so already stays as it is: the one that made it so is returned.
func (s *Service) SetReadOnly(ctx context.Context, on bool, by, reason string) (ReadOnly, error) {
	if reason = strings.TrimSpace(reason); reason == "" || len(reason) > maxSwitchReason || !isText(reason) {
		return ReadOnly{}, fault.InvalidField("reason", "say why, in at most %d bytes", maxSwitchReason)
	}
	if !on && s.held.Load() {
		return ReadOnly{}, fault.New(fault.Precondition, "WRONG_STATE", "the operator of this node has stopped it on the spot: the file must go first")
	}
	before, err := s.store.ReadOnly(ctx)
	if err != nil || before.On == on {
		if err == nil && before.Created.IsZero() {
			err = fault.New(fault.Precondition, "WRONG_STATE", "this was not stopped")
		}
		return before, err
	}
	r := ReadOnly{On: on, By: by, Reason: reason, Created: s.moment()}
	return r, s.store.PutReadOnly(ctx, r)
}

// ReadOnly says whether the statistics are closed to changes, since when and why.
func (s *Service) ReadOnly(ctx context.Context) (ReadOnly, error) { return s.store.ReadOnly(ctx) }

// HoldReadOnly closes this process's statistics to changes at once, and then those of all. An empty reason ends the hold, and
// leaves what it closed: that is opened by [Service.SetReadOnly].
func (s *Service) HoldReadOnly(ctx context.Context, reason string) error {
	s.held.Store(reason != "")
	if reason == "" {
		return nil
	}
	_, err := s.SetReadOnly(ctx, true, onTheSpot, reason)
	return err
}

// writable fails while the statistics are read-only. The store holds them to it in any case; this spares who uploads much to
// no purpose.
func (s *Service) writable(ctx context.Context) error {
	if s.held.Load() {
		return ErrReadOnly
	}
	r, err := s.store.ReadOnly(ctx)
	if err == nil && r.On {
		err = ErrReadOnly
	}
	return err
}
