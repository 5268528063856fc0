package sharing

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	handOverEvery   = 5 * time.Second
	handOversAtOnce = 4 // senders whose releases are stored at a time
)

// HandOver stores partners' releases in this state's statistics once they are whole, each as one revision, until the
// context ends: those of a sender in turn, whatever becomes of those of others. It also serves the agencies of this state.
func (s *Service) HandOver(ctx context.Context) error {
	var loops sync.WaitGroup
	defer loops.Wait()
	loops.Go(func() {
		s.keep(ctx, "serving agencies", 0, func(ctx context.Context) error {
			await(ctx, s.toServe, handOverEvery)
			_, err := s.Store.Exclusively(ctx, "agencies", s.serveAgencies)
			return err
		})
	})
	atOnce := make(turns, handOversAtOnce)
	toStore := map[StateCode]chan struct{}{} // of each sender whose loop runs: has an element while that has something to do
	s.keep(ctx, "handing over", 0, func(ctx context.Context) error {
		await(ctx, s.toHandOver, handOverEvery)
		senders, err := s.sendersToHandOver(ctx)
		for _, sender := range senders {
			if toStore[sender] == nil {
				loop := make(chan struct{}, 1)
				toStore[sender] = loop
				loops.Go(func() {
					s.keep(ctx, "handing over what came from "+string(sender), 0, func(ctx context.Context) error {
						select {
						case <-ctx.Done():
							return ctx.Err()
						case <-loop:
						}
						end, err := atOnce.begin(ctx)
						if err != nil {
							return err
						}
						defer end()
						_, err = s.Store.Exclusively(ctx, "hand over from "+string(sender), func(ctx context.Context) error {
							return s.handOverFrom(ctx, sender)
						})
						return err
					})
				})
			}
			wake(toStore[sender])
		}
		return err
	})
	return nil
}

// sendersToHandOver returns whose releases are whole and not stored, and whose figures are to be taken out.
func (s *Service) sendersToHandOver(ctx context.Context) ([]StateCode, error) {
	if err := s.writable(ctx); err != nil {
		return nil, err
	}
	releases, err := s.Store.WholeReleases(ctx)
	if err != nil {
		return nil, err
	}
	senders := map[StateCode]bool{}
	for _, release := range releases {
		senders[release.Sender] = true
	}
	withdrawals, err := s.dueWithdrawals(ctx)
	if err != nil {
		return nil, err
	}
	for sender := range withdrawals {
		senders[sender] = true
	}
	return slices.Sorted(maps.Keys(senders)), nil
}

// handOverFrom hands over what is whole of a sender, the oldest first, and then takes out what is due. A release that fails
// keeps all of that back: it would bring back what was taken out.
func (s *Service) handOverFrom(ctx context.Context, sender StateCode) error {
	if err := s.writable(ctx); err != nil {
		return err
	}
	releases, err := s.Store.WholeReleases(ctx)
	if err != nil {
		return err
	}
	for _, release := range releases {
		if release.Sender != sender {
			continue
		}
		if err := s.handOverOne(ctx, release); err != nil {
			return fmt.Errorf("release %s of %s: %w", release.ID, release.Sender, err)
		}
	}
	due, err := s.dueWithdrawals(ctx)
	if err != nil {
		return err
	}
	return s.withdrawAll(ctx, due[sender])
}
