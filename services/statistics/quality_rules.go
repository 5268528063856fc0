package statistics

import (
	"context"

	"github.com/comity-federation/comity/services/fault"
)

// RuleStore keeps quality rules.
type RuleStore interface {
	// Rules returns the newest rules of a dataflow; NotFound where it never had any.
	Rules(ctx context.Context, dataflow Ref) (Rules, error)
	// PutRules stores rules as the newest of their dataflow, and sets their version.
	PutRules(ctx context.Context, rules *Rules) error
}

// QualityRules returns the rules that hold for a dataflow: its own, else the default ones, which have the version 0.
func (s *Service) QualityRules(ctx context.Context, dataflow Ref) (Rules, error) {
	catalogue, err := s.Catalogue(ctx)
	if err != nil {
		return Rules{}, err
	}
	flow, err := catalogue.Flow(dataflow)
	if err != nil {
		return Rules{}, err
	}
	return s.rulesOf(ctx, flow.Ref)
}

func (s *Service) rulesOf(ctx context.Context, dataflow Ref) (Rules, error) {
	rules, err := s.store.Rules(ctx, dataflow)
	if !fault.Is(err, fault.NotFound) {
		return rules, err
	}
	defaults, err := DefaultRules()
	return Rules{Dataflow: dataflow, Rules: defaults}, err
}

// SetQualityRules stores the rules of a dataflow, all of them, in place of those before, which are kept. With none, nothing
// but what every upload must keep is checked. What is wrong with them is a fault of kind Invalid.
func (s *Service) SetQualityRules(ctx context.Context, dataflow Ref, rules []Rule, author string) (Rules, error) {
	catalogue, err := s.Catalogue(ctx)
	if err != nil {
		return Rules{}, err
	}
	flow, err := catalogue.Flow(dataflow)
	if err != nil {
		return Rules{}, err
	}
	if err := catalogue.checkRules(flow, rules); err != nil {
		return Rules{}, err
	}
	before, err := s.rulesOf(ctx, flow.Ref)
	if err != nil {
		return Rules{}, err
	}
	if before.Version > 0 && sameArtefact(before.Rules, rules) {
		return before, nil
	}
	set := Rules{Dataflow: flow.Ref, Rules: rules, Author: author, CreateTime: s.moment()}
	if err := s.store.PutRules(ctx, &set); err != nil {
		return Rules{}, err
	}
	return set, nil
}
