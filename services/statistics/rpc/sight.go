package rpc

import (
	"context"

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

// providers returns whose figures the caller gets who asks for these. A caller without a person behind it that comes through
// the gateway is anybody: it sees what was published to all, and nothing else.
func providers(ctx context.Context, asked []string) []string {
	if isAnybody(ctx) {
		return []string{statistics.PublishedToAll}
	}
	return asked
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
