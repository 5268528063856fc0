package sharing

import (
	"context"
	"errors"
)

// Steps are the passes of the loops, one at a time.
func (s *Service) Steps() []func(context.Context) error {
	release := func(ctx context.Context) error {
		_, err := s.releaseAll(ctx, map[AgreementID]string{})
		return err
	}
	handOver := func(ctx context.Context) error {
		senders, err := s.sendersToHandOver(ctx)
		failures := []error{err}
		for _, sender := range senders {
			failures = append(failures, s.handOverFrom(ctx, sender))
		}
		return errors.Join(failures...)
	}
	deliver := func(ctx context.Context) error {
		return errors.Join(s.deliverAll(ctx, attempts[letterKey]{}), s.confirmAll(ctx, attempts[letterKey]{}))
	}
	return []func(context.Context) error{release, s.sequenceAll, handOver, deliver}
}

func (s *Service) sequenceAll(ctx context.Context) error {
	for {
		more, err := s.sequence(ctx)
		if err != nil || !more {
			return err
		}
	}
}

// Sign signs as the service does.
func (k Keys) Sign(payloadType string, payload []byte) Signed { return k.sign(payloadType, payload) }

// PublishAll hands over what waits.
func (s *Service) PublishAll(ctx context.Context) error { return s.publishAll(ctx) }

// PublishDue publishes what is due.
func (s *Service) PublishDue(ctx context.Context) error { return s.publishDue(ctx) }

// KeepAmendments sends what waits, and puts into effect what is ratified.
func (s *Service) KeepAmendments(ctx context.Context) error {
	return s.keepAmendments(ctx, attempts[amendmentLetter]{})
}

// Needs returns how many of so many states have to sign.
func (g Governance) Needs(states int) (int, error) { return g.needs(states) }

// ServeAgencies stores what was released to agencies.
func (s *Service) ServeAgencies(ctx context.Context) error { return s.serveAgencies(ctx) }

// RemoveAll names what has expired, and empties what the log says is removed.
func (s *Service) RemoveAll(ctx context.Context) error { return s.removeAll(ctx) }

// InRange reports whether a dataflow is the one that terms name, or one of those.
func InRange(dataflow, named string) bool { return inRange(dataflow, named) }
