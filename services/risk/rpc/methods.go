package rpc

import (
	"context"

	riskpb "github.com/comity-federation/comity/proto/comity/risk/v1"
	"github.com/comity-federation/comity/services/risk/belief"
)

// Methods is a MethodsService. It keeps nothing.
type Methods struct {
	riskpb.UnimplementedMethodsServiceServer
}

// JudgeRate judges an assumed rate by the figures in the request.
func (Methods) JudgeRate(_ context.Context, req *riskpb.JudgeRateRequest) (*riskpb.JudgeRateResponse, error) {
	result, err := belief.Judge(belief.Question{
		AssumedRate: req.GetAssumedRate(),
		Strength:    req.GetStrength(),
		Events:      req.GetEvents(),
		Exposure:    req.GetExposure(),
		Tolerance:   req.GetTolerance(),
	})
	if err != nil {
		return nil, err
	}
	return resultToProto(result), nil
}
