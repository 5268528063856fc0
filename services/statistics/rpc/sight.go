package rpc

import (
	"context"
	"slices"

	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/services/fault"
	internalrpc "github.com/comity-federation/comity/services/internal/rpc"
	"github.com/comity-federation/comity/services/statistics"
)

// Policies evaluates a rule, such as data.comity.access.sight, and writes its result to output. An error is a refusal.
type Policies interface {
	Evaluate(ctx context.Context, rule string, input, output any) (revision string, err error)
}

// sightRule says what a caller sees of the figures.
const sightRule = "data.comity.access.sight"

// anyStatus stands in the rule's answer for every CONF_STATUS.
const anyStatus = "*"

// sight asks policy what the caller sees.
func (s *Server) sight(ctx context.Context, method string) (statistics.Sight, error) {
	var shown struct {
		ConfStatus []string `json:"confStatus"`
		Embargoed  bool     `json:"embargoed"`
	}
	input := internalrpc.NewAccessInput(s.service.State(), internalrpc.CallerFrom(ctx), statisticspb.StatisticsService_ServiceDesc.ServiceName, method)
	if _, err := s.policies.Evaluate(ctx, sightRule, input, &shown); err != nil {
		return statistics.Sight{}, err
	}
	sight := statistics.Sight{Embargoed: shown.Embargoed}
	for _, code := range shown.ConfStatus {
		switch {
		case code == anyStatus:
			sight.AnyStatus = true
		case len(code) == 1:
			sight.ConfStatus += code
		}
	}
	return sight, nil
}

// viewRule says whose figures a caller gets.
const viewRule = "data.comity.access.view"

// viewInput is the input of the rule.
type viewInput struct {
	internalrpc.AccessInput
	Dataflow string `json:"dataflow"` // "AGENCY:ID"
}

// providers returns whose figures of a dataflow the caller gets who asks for these; none: everybody's. A caller without a
// person behind it that comes through the gateway is anybody: it sees what was published to all, and nothing else. For a person
// of an agency policy says whose they are; to ask for others is a fault of kind Denied, and so is to ask for the past.
func (s *Server) providers(ctx context.Context, method string, dataflow statistics.Ref, asked []string, at statistics.Moment) ([]string, error) {
	if err := checkPast(ctx, at); err != nil {
		return nil, err
	}
	if isAnybody(ctx) {
		return []string{statistics.PublishedToAll}, nil
	}
	caller := internalrpc.CallerFrom(ctx)
	if caller.Person == nil || caller.Person.Agency == "" {
		return asked, nil
	}
	var view struct {
		Bound     bool     `json:"bound"`
		Providers []string `json:"providers"`
	}
	input := viewInput{
		internalrpc.NewAccessInput(s.service.State(), caller, statisticspb.StatisticsService_ServiceDesc.ServiceName, method),
		dataflow.Agency + ":" + dataflow.ID,
	}
	if _, err := s.policies.Evaluate(ctx, viewRule, input, &view); err != nil {
		return nil, err
	}
	if !view.Bound || len(view.Providers) == 0 {
		return nil, fault.New(fault.Denied, "ACCESS_DENIED", "people of %s see no figures here", caller.Person.Agency)
	}
	if at != (statistics.Moment{}) {
		return nil, fault.New(fault.Denied, "ACCESS_DENIED", "people of %s see figures as they are now, not as they were", caller.Person.Agency)
	}
	for _, provider := range asked {
		if !slices.Contains(view.Providers, provider) {
			return nil, fault.New(fault.Denied, "ACCESS_DENIED", "people of %s see no figures of %s in %s", caller.Person.Agency, provider, dataflow)
		}
	}
	if len(asked) == 0 {
		return view.Providers, nil
	}
	return asked, nil
}

func isAnybody(ctx context.Context) bool {
	caller := internalrpc.CallerFrom(ctx)
	return caller.Service == "gateway" && caller.Person == nil
}

// checkPast fails where anybody asks for figures as they were: what was published and taken back would be among them.
func checkPast(ctx context.Context, at statistics.Moment) error {
	if isAnybody(ctx) && at != (statistics.Moment{}) {
		return fault.New(fault.Denied, "ACCESS_DENIED", "without a token, what is published can be read as it is now, not as it was")
	}
	return nil
}
