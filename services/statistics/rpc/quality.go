package rpc

import (
	"context"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/proto/wire"
	"github.com/comity-federation/comity/services/fault"
	internalrpc "github.com/comity-federation/comity/services/internal/rpc"
	"github.com/comity-federation/comity/services/statistics"
)

// SetQualityRules stores the quality rules of a dataflow.
func (s *Server) SetQualityRules(ctx context.Context, request *statisticspb.SetQualityRulesRequest) (*statisticspb.SetQualityRulesResponse, error) {
	dataflow, err := statistics.ParseRef(request.GetQualityRules().GetDataflow())
	if err != nil {
		return nil, err
	}
	rules := make([]statistics.Rule, 0, len(request.GetQualityRules().GetRules()))
	for _, r := range request.GetQualityRules().GetRules() {
		rule, err := ruleFromProto(r)
		if err != nil {
			return nil, err
		}
		rules = append(rules, rule)
	}
	set, err := s.service.SetQualityRules(ctx, dataflow, rules, submitter(internalrpc.CallerFrom(ctx)))
	if err != nil {
		return nil, err
	}
	return &statisticspb.SetQualityRulesResponse{QualityRules: rulesToProto(&set)}, nil
}

// GetQualityRules returns the quality rules that hold for a dataflow.
func (s *Server) GetQualityRules(ctx context.Context, request *statisticspb.GetQualityRulesRequest) (*statisticspb.GetQualityRulesResponse, error) {
	dataflow, err := statistics.ParseRef(request.GetDataflow())
	if err != nil {
		return nil, err
	}
	rules, err := s.service.QualityRules(ctx, dataflow)
	if err != nil {
		return nil, err
	}
	return &statisticspb.GetQualityRulesResponse{QualityRules: rulesToProto(&rules)}, nil
}

// CommentFinding sets the provider's comment on a finding.
func (s *Server) CommentFinding(ctx context.Context, request *statisticspb.CommentFindingRequest) (*statisticspb.CommentFindingResponse, error) {
	id, err := submissionID(request.GetName())
	if err != nil {
		return nil, err
	}
	submission, err := s.service.CommentFinding(ctx, id, int(request.GetFinding()), request.GetComment())
	if err != nil {
		return nil, err
	}
	return &statisticspb.CommentFindingResponse{Submission: submissionToProto(submission)}, nil
}

// OverrideSubmission lets a rejected submission pass quality rules. Only a person can do so: the name stands in the record.
func (s *Server) OverrideSubmission(ctx context.Context, request *statisticspb.OverrideSubmissionRequest) (*statisticspb.OverrideSubmissionResponse, error) {
	id, err := submissionID(request.GetName())
	if err != nil {
		return nil, err
	}
	caller := internalrpc.CallerFrom(ctx)
	if caller.Person == nil || caller.Person.Subject == "" {
		return nil, fault.New(fault.Denied, "ACCESS_DENIED", "only a person can override rules")
	}
	submission, err := s.service.OverrideSubmission(ctx, id, request.GetRules(), request.GetReason(), caller.Person.Subject)
	if err != nil {
		return nil, err
	}
	return &statisticspb.OverrideSubmissionResponse{Submission: submissionToProto(submission)}, nil
}

func submissionID(name string) (string, error) {
	id, ok := strings.CutPrefix(name, submissionPrefix)
	if !ok {
		return "", fault.InvalidField("name", "%q is not of the form submissions/{id}", name)
	}
	return id, nil
}

func ruleFromProto(p *statisticspb.QualityRule) (statistics.Rule, error) {
	rule := statistics.Rule{
		ID: p.GetId(), Dimensions: texts(p.GetDimensions()), Thresholds: p.GetThresholds(), Note: p.GetNote(),
	}
	if name, known := statisticspb.QualityRule_Check_name[int32(p.GetCheck())]; known && p.GetCheck() != statisticspb.QualityRule_UNSPECIFIED {
		rule.Check = statistics.Check(name)
	}
	for severity, of := range severities {
		if of == p.GetSeverity() {
			rule.Severity = statistics.Severity(severity)
		}
	}
	var err error
	if rule.Filter, err = wire.FilterFromProto(p.GetFilter()); err != nil {
		return rule, fault.InvalidField("rules.filter", "%s: %v", valid(p.GetId()), err)
	}
	relation := p.GetRelation()
	if relation == nil {
		return rule, nil
	}
	rule.Relation = &statistics.RuleRelation{}
	switch relation.GetOperator() {
	case statisticspb.QualityRelation_UNSPECIFIED, statisticspb.QualityRelation_EQUAL:
	case statisticspb.QualityRelation_AT_MOST:
		rule.Relation.AtMost = true
	default:
		return rule, fault.InvalidField("rules.relation.operator", "%d is not known", relation.GetOperator())
	}
	if rule.Relation.Right, err = wire.FilterFromProto(relation.GetRight()); err != nil {
		return rule, fault.InvalidField("rules.relation.right", "%s: %v", valid(p.GetId()), err)
	}
	if relation.GetDataflow() != "" {
		if rule.Relation.Dataflow, err = statistics.ParseRef(relation.GetDataflow()); err != nil {
			return rule, err
		}
	}
	return rule, nil
}

func rulesToProto(r *statistics.Rules) *statisticspb.QualityRules {
	p := &statisticspb.QualityRules{
		Dataflow: r.Dataflow.String(), Version: count(r.Version), Author: r.Author, Rules: convert(r.Rules, ruleToProto),
	}
	if !r.CreateTime.IsZero() {
		p.CreateTime = timestamppb.New(r.CreateTime)
	}
	return p
}

func ruleToProto(r statistics.Rule) *statisticspb.QualityRule {
	p := &statisticspb.QualityRule{
		Id: r.ID, Check: statisticspb.QualityRule_Check(statisticspb.QualityRule_Check_value[string(r.Check)]), Severity: severities[r.Severity],
		Dimensions: r.Dimensions, Thresholds: r.Thresholds, Note: r.Note,
	}
	if !r.Filter.IsTrue() {
		p.Filter = wire.FilterToProto(r.Filter)
	}
	if r.Relation != nil {
		p.Relation = &statisticspb.QualityRelation{Operator: statisticspb.QualityRelation_EQUAL, Dataflow: refText(r.Relation.Dataflow)}
		if r.Relation.AtMost {
			p.Relation.Operator = statisticspb.QualityRelation_AT_MOST
		}
		if !r.Relation.Right.IsTrue() {
			p.Relation.Right = wire.FilterToProto(r.Relation.Right)
		}
	}
	return p
}
