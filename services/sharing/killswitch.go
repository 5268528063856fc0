package sharing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/comity-federation/comity/services/fault"
)

// SwitchID is a UUIDv7.
type SwitchID string

// Mode says what a switch stops.
type Mode string

// The modes.
const (
	// Kill lets nothing leave: no release is made, no envelope goes, nothing is published, no table is answered. Streams
	// under way are cut.
	Kill Mode = "KILL"
	// ReadOnly lets nothing be changed: no agreement is made, nothing is released, published, received or handed over. What
	// was released before still goes, an agreement can be ended, and whatever only reads is answered.
	ReadOnly Mode = "READ_ONLY"
)

// Switch says that something was stopped here, or that it goes on again. Its JSON is kept, and has a leaf in the log. Of
// the switches with the same mode, partner and indicator the newest counts.
type Switch struct {
	ID        SwitchID  `json:"id"`
	Mode      Mode      `json:"mode"`
	Partner   StateCode `json:"partner"`   // whom it concerns; "": everybody, and the public
	Indicator string    `json:"indicator"` // what it concerns; "": everything
	On        bool      `json:"on"`        // false: it goes on again
	By        string    `json:"by"`        // the subject of whoever did it
	Reason    string    `json:"reason"`
	Created   time.Time `json:"created"`
}

// SwitchRequest asks for something to be stopped, or to go on again.
type SwitchRequest struct {
	Mode      Mode
	Partner   StateCode // "": everybody, and the public
	Indicator string    // "": everything
	Lift      bool      // it goes on again
	By        string
	Reason    string
}

// maxSwitchReason bounds the reason of a switch, in bytes.
const maxSwitchReason = 4 << 10

// checkSwitch fails for a request that cannot be meant.
func (s *Service) checkSwitch(r SwitchRequest) error {
	if r.Mode != Kill && r.Mode != ReadOnly {
		return fault.InvalidField("mode", "%q is none", r.Mode)
	}
	if r.Mode == ReadOnly && (r.Partner != "" || r.Indicator != "") {
		return fault.InvalidField("mode", "a node is read-only as a whole, not for one partner or indicator")
	}
	if r.Partner != "" {
		if err := s.checkPartner(r.Partner); err != nil {
			return err
		}
	}
	if len(r.Indicator) > 64 || strings.ContainsFunc(r.Indicator, func(c rune) bool { return c <= ' ' }) {
		return fault.InvalidField("indicator", "it is no code")
	}
	if strings.TrimSpace(r.Reason) == "" {
		return fault.InvalidField("reason", "say why: others will read it in the log")
	}
	if len(r.Reason) > maxSwitchReason {
		return fault.InvalidField("reason", "it has %d bytes, more than %d", len(r.Reason), maxSwitchReason)
	}
	return nil
}

// Throw stops something, or lets it go on again, and keeps who did it and why. It holds for every process on the store
// from now on, and after a restart. What is so already stays as it is: the switch that made it so is returned.
func (s *Service) Throw(ctx context.Context, request SwitchRequest) (Switch, error) {
	if err := s.checkSwitch(request); err != nil {
		return Switch{}, err
	}
	if request.Lift && request.Partner == "" && request.Indicator == "" && s.held(request.Mode) != "" {
		return Switch{}, fault.New(fault.Precondition, "WRONG_STATE", "the operator of this node has stopped it on the spot: the file must go first")
	}
	var thrown Switch
	err := s.Store.Write(ctx, func(tx Tx) error {
		if err := tx.LockSwitches(ctx); err != nil {
			return err
		}
		switches, err := readSwitches(ctx, tx)
		if err != nil {
			return err
		}
		thrown = Switch{
			Mode: request.Mode, Partner: request.Partner, Indicator: request.Indicator, On: !request.Lift,
			By: request.By, Reason: request.Reason,
		}
		if i := slices.IndexFunc(switches, thrown.concernsTheSame); i >= 0 && switches[i].On == thrown.On {
			thrown = switches[i]
			return nil
		} else if i < 0 && request.Lift {
			return fault.New(fault.Precondition, "WRONG_STATE", "this was not stopped")
		}
		thrown.Created = s.now() // under the lock: what was released before it is older
		thrown.ID = SwitchID(newID(thrown.Created))
		document, err := json.Marshal(thrown)
		if err != nil {
			return err
		}
		if err := tx.AddSwitch(ctx, thrown, document, newLeaf(EntrySwitch, string(thrown.ID), thrown.Created, document)); err != nil {
			return err
		}
		return tx.Notify(ctx)
	})
	if err != nil {
		return Switch{}, err
	}
	s.changes.announce()
	wake(s.toRelease)
	s.Log.WarnContext(ctx, "a switch was thrown", "mode", thrown.Mode, "on", thrown.On, "partner", thrown.Partner,
		"indicator", thrown.Indicator, "by", thrown.By, "reason", thrown.Reason)
	return thrown, nil
}

// concernsTheSame reports whether the other switch is about the same thing.
func (s Switch) concernsTheSame(other Switch) bool {
	return s.Mode == other.Mode && s.Partner == other.Partner && s.Indicator == other.Indicator
}

// Switches returns the newest switch of everything that was ever stopped, by mode, partner and indicator.
func (s *Service) Switches(ctx context.Context) ([]Switch, error) { return readSwitches(ctx, s.Store) }

// readSwitches reads the switches that are kept.
func readSwitches(ctx context.Context, store Reader) ([]Switch, error) {
	documents, err := store.Switches(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading what is stopped: %w", err)
	}
	switches := make([]Switch, len(documents))
	for i, document := range documents {
		if err := json.Unmarshal(document, &switches[i]); err != nil {
			return nil, fmt.Errorf("reading a switch: %w", err)
		}
	}
	return switches, nil
}

// stops are the switches that are on.
type stops []Switch

// stops returns what is stopped now, as the store and the operator on the spot say. Where it cannot be read, nothing may
// leave: that is an error.
func (s *Service) stops(ctx context.Context, store Reader) (stops, error) {
	switches, err := readSwitches(ctx, store)
	if err != nil {
		return nil, err
	}
	on := stops(slices.DeleteFunc(switches, func(w Switch) bool { return !w.On }))
	for _, mode := range []Mode{Kill, ReadOnly} {
		if reason := s.held(mode); reason != "" {
			on = append(on, Switch{Mode: mode, On: true, By: onTheSpot, Reason: reason})
		}
	}
	return on, nil
}

// kill returns the switch that keeps an indicator from a partner; false where there is none. The partner "" is the public,
// the indicator "" any.
func (o stops) kill(partner StateCode, indicator string) (Switch, bool) {
	i := slices.IndexFunc(o, func(w Switch) bool {
		return w.Mode == Kill && (w.Partner == "" || w.Partner == partner) && (w.Indicator == "" || w.Indicator == indicator)
	})
	if i < 0 {
		return Switch{}, false
	}
	return o[i], true
}

// overtook reports whether one of the indicators was kept from the partner after a release under terms with them was made,
// so that it may be in there; one that was made later is without it.
func (o stops) overtook(partner StateCode, indicators []string, released time.Time) bool {
	return slices.ContainsFunc(indicators, func(indicator string) bool {
		by, found := o.kill(partner, indicator)
		return found && !by.Created.Before(released)
	})
}

// mayLeave fails where one of the indicators may not go to the partner, or to the public.
func (o stops) mayLeave(partner StateCode, indicators ...string) error {
	for _, indicator := range append(indicators, "") {
		if by, found := o.kill(partner, indicator); found {
			return by.fault()
		}
	}
	return nil
}

// stillLeaves fails where one of the indicators may not go to the partner, or to the public, and keeps that from changing
// until the transaction ends: what is written in it is older than any switch that does not keep it back here.
func (s *Service) stillLeaves(ctx context.Context, tx Tx, partner StateCode, indicators []string) error {
	if err := tx.ShareSwitches(ctx); err != nil {
		return err
	}
	on, err := s.stops(ctx, tx)
	if err != nil {
		return err
	}
	return on.mayLeave(partner, indicators...)
}

// killed is the reason of what the kill switch stops.
const killed = "KILL_SWITCH"

// fault is what is told of a switch to who runs into it.
func (s Switch) fault() error {
	reason, kind := s.reason(), fault.Precondition
	if s.Mode == ReadOnly {
		kind = fault.Unavailable // a partner comes again
	}
	return fault.New(kind, reason.Code, "%s", reason.Text)
}

// reason says that a switch stops something. Why is for the log of this state, not for partners.
func (s Switch) reason() Reason {
	what := "whatever would leave this node"
	switch {
	case s.Mode == ReadOnly:
		return Reason{Code: "READ_ONLY", Text: "this node is read-only for now"}
	case s.Partner != "" && s.Indicator != "":
		what = fmt.Sprintf("%s for %s", s.Indicator, s.Partner)
	case s.Partner != "":
		what = fmt.Sprintf("whatever would go to %s", s.Partner)
	case s.Indicator != "":
		what = s.Indicator
	}
	return Reason{Code: killed, Text: "the kill switch stops " + what}
}

// writable fails while this node is read-only.
func (s *Service) writable(ctx context.Context) error {
	on, err := s.stops(ctx, s.Store)
	if err != nil {
		return err
	}
	return on.writable()
}

// writable fails while this node is read-only.
func (o stops) writable() error {
	for _, w := range o {
		if w.Mode == ReadOnly {
			return w.fault()
		}
	}
	return nil
}

// onTheSpot is who has stopped a node without a call.
const onTheSpot = "operator on the spot"

// Hold stops this process at once, whatever else answers or does not, and then throws the switch for good. An empty reason
// ends the hold, and leaves the switch: that is lifted by a call. An error means that the switch is not kept yet; the hold
// is there all the same.
func (s *Service) Hold(ctx context.Context, mode Mode, reason string) error {
	if mode != Kill && mode != ReadOnly {
		return fmt.Errorf("%q is no mode", mode)
	}
	s.holdMu.Lock()
	before := s.holds[mode]
	if s.holds == nil {
		s.holds = map[Mode]string{}
	}
	s.holds[mode] = reason
	s.holdMu.Unlock()
	if before != reason {
		s.changes.announce()
	}
	if reason == "" {
		return nil
	}
	_, err := s.Throw(ctx, SwitchRequest{Mode: mode, By: onTheSpot, Reason: reason})
	return err
}

// held returns why this process is stopped on the spot; "": it is not.
func (s *Service) held(mode Mode) string {
	s.holdMu.Lock()
	defer s.holdMu.Unlock()
	return s.holds[mode]
}

// cutEvery is how long another process may have thrown a switch before this one sees it, where no news of it comes.
const cutEvery = 250 * time.Millisecond

// CutStopped calls cut for each partner that something is newly kept from, or with "" where it is kept from all, so that
// not even what is on its way already gets through; until the context ends.
func (s *Service) CutStopped(ctx context.Context, cut func(partner StateCode)) error {
	var known stops
	for ctx.Err() == nil {
		changed := s.changes.listen()
		on, err := s.stops(ctx, s.Store)
		if err != nil && s.held(Kill) != "" {
			on, err = stops{{Mode: Kill, On: true, By: onTheSpot}}, nil
		}
		if err == nil {
			for _, w := range on {
				if w.Mode == Kill && !slices.ContainsFunc(known, func(k Switch) bool { return k.ID == w.ID && k.By == w.By }) {
					cut(w.Partner)
				}
			}
			known = on
		} else if !errors.Is(err, context.Canceled) {
			s.Log.ErrorContext(ctx, "it cannot be read what is stopped", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-time.After(cutEvery):
		}
	}
	return nil
}
