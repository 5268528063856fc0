// Package rpc speaks gRPC for the risk register: to its callers, and to the statistics service.
package rpc

import (
	"context"
	"encoding/base64"
	"strings"

	riskpb "github.com/comity-federation/comity/proto/comity/risk/v1"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/internal/rpc"
	"github.com/comity-federation/comity/services/risk"
)

// Server is a RiskService.
type Server struct {
	riskpb.UnimplementedRiskServiceServer
	register *risk.Register
}

// NewServer returns a server on the register.
func NewServer(register *risk.Register) *Server { return &Server{register: register} }

// CreateAssumption registers an assumption. Where it names no author, its author is the person who calls.
func (s *Server) CreateAssumption(ctx context.Context, req *riskpb.CreateAssumptionRequest) (*riskpb.CreateAssumptionResponse, error) {
	if req.GetAssumption() == nil {
		return nil, fault.InvalidField("assumption", "is missing")
	}
	a := assumptionFromProto(req.GetAssumption())
	a.ID = risk.AssumptionID(req.GetAssumptionId())
	if person := rpc.CallerFrom(ctx).Person; a.Author == "" && person != nil {
		a.Author = person.Subject
	}
	created, err := s.register.Create(ctx, a)
	if err != nil {
		return nil, err
	}
	return &riskpb.CreateAssumptionResponse{Assumption: assumptionToProto(created)}, nil
}

// GetAssumption returns an assumption.
func (s *Server) GetAssumption(ctx context.Context, req *riskpb.GetAssumptionRequest) (*riskpb.GetAssumptionResponse, error) {
	id, err := assumptionID(req.GetName())
	if err != nil {
		return nil, err
	}
	a, err := s.register.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	return &riskpb.GetAssumptionResponse{Assumption: assumptionToProto(a)}, nil
}

// ListAssumptions returns a page of assumptions.
func (s *Server) ListAssumptions(ctx context.Context, req *riskpb.ListAssumptionsRequest) (*riskpb.ListAssumptionsResponse, error) {
	limit, err := rpc.PageSize(req.GetPageSize())
	if err != nil {
		return nil, err
	}
	after, err := fromPageToken(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	list, more, err := s.register.List(ctx, after, limit)
	if err != nil {
		return nil, err
	}
	resp := &riskpb.ListAssumptionsResponse{}
	for _, a := range list {
		resp.Assumptions = append(resp.Assumptions, assumptionToProto(a))
	}
	if more {
		resp.NextPageToken = toPageToken(list[len(list)-1].ID)
	}
	return resp, nil
}

// A page token is the last id of the page before, encoded so that nobody is tempted to make one.
func toPageToken(id risk.AssumptionID) string {
	return base64.RawURLEncoding.EncodeToString([]byte(id))
}

func fromPageToken(token string) (risk.AssumptionID, error) {
	if token == "" {
		return "", nil
	}
	if text, err := base64.RawURLEncoding.DecodeString(token); err == nil {
		if id, err := risk.ParseAssumptionID(string(text)); err == nil {
			return id, nil
		}
	}
	return "", fault.InvalidField("pageToken", "is not the nextPageToken of another page")
}

// JudgeAssumption judges an assumption by its evidence.
func (s *Server) JudgeAssumption(ctx context.Context, req *riskpb.JudgeAssumptionRequest) (*riskpb.JudgeAssumptionResponse, error) {
	id, err := assumptionID(req.GetName())
	if err != nil {
		return nil, err
	}
	judgement, err := s.register.Judge(ctx, id)
	if err != nil {
		return nil, err
	}
	return judgementToProto(judgement), nil
}

// assumptionID reads the name of an assumption.
func assumptionID(name string) (risk.AssumptionID, error) {
	text, ok := strings.CutPrefix(name, "assumptions/")
	if !ok {
		return "", fault.InvalidField("name", "%q is not of the form assumptions/{id}", name)
	}
	id, err := risk.ParseAssumptionID(text)
	if err != nil {
		return "", fault.InvalidField("name", "%v", err)
	}
	return id, nil
}
