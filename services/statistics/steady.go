package statistics

import (
	"context"
	"errors"
	"reflect"

	"github.com/comity-federation/comity/services/fault"
)

// holdTries is how often a change that rests on the structures is begun anew where others were stored meanwhile.
const holdTries = 20

// again runs do until it does not end with [errOtherStructures]. It is a fault of kind Unavailable where it always does.
func again(do func() error) error {
	for range holdTries {
		if err := do(); !errors.Is(err, errOtherStructures) {
			return err
		}
	}
	return fault.New(fault.Unavailable, "UNAVAILABLE", "the structures are changing: try again")
}

// steadily runs do, which begins with [hold], for a dataflow. Where other structures were stored meanwhile, it runs do again
// with those, so long as the dataflow is what it was: an upload that took long is not lost because somebody stored a codelist
// that has nothing to do with it. Else it is a fault of kind Unavailable.
func (s *Service) steadily(ctx context.Context, catalogue *Catalogue, flow *Flow, do func(*Catalogue, *Flow) error) error {
	return again(func() error {
		err := do(catalogue, flow)
		if !errors.Is(err, errOtherStructures) {
			return err
		}
		newer, renewed := s.Catalogue(ctx)
		if renewed != nil {
			return renewed
		}
		same, _ := newer.Flow(flow.Ref) // that it is gone is a difference too
		if !reflect.DeepEqual(same, flow) {
			return fault.New(fault.Unavailable, "UNAVAILABLE", "the structures of %s changed meanwhile: try again", flow.Ref)
		}
		catalogue, flow = newer, same
		return err
	})
}
