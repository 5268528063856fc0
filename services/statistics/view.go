package statistics

import (
	"context"
	"errors"

	"github.com/comity-federation/comity/services/fault"
)

// errOtherStructures says that the structures are not those that a view or a change was begun with.
var errOtherStructures = errors.New("the structures are others than were known")

// viewTries is how often a view is begun anew where what it rests on has changed meanwhile.
const viewTries = 10

// view runs do on the state of a dataflow at the moment, with its structure. It asks the store for the structures only where
// the state shows that they changed, so that a small query costs no more than it has to. do runs again where it ends with
// [ErrNewerIndex].
func (s *Service) view(ctx context.Context, dataflow Ref, at Moment, do func(context.Context, *Flow, Snapshot) error) error {
	s.mu.Lock()
	catalogue := s.catalogue
	s.mu.Unlock()
	for range viewTries {
		var flow *Flow
		var err error
		if catalogue != nil {
			flow, err = catalogue.Flow(dataflow)
		}
		if catalogue == nil || err != nil {
			if catalogue, err = s.Catalogue(ctx); err != nil {
				return err
			}
			if flow, err = catalogue.Flow(dataflow); err != nil {
				return err
			}
		}
		known := catalogue.change
		err = s.store.ViewFlow(ctx, flow, at, func(ctx context.Context, snapshot Snapshot) error {
			if snapshot.StructuresChange() != known {
				return errOtherStructures
			}
			return do(ctx, flow, snapshot)
		})
		switch {
		case errors.Is(err, errOtherStructures):
			catalogue = nil
		case !errors.Is(err, ErrNewerIndex):
			return err
		}
	}
	return fault.New(fault.Unavailable, "UNAVAILABLE", "what is asked for is changing: try again")
}
