package sharing

import (
	"context"
	"maps"
	"math"
	"slices"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/services/fault"
)

// ExplainRequest asks what would go to a partner.
type ExplainRequest struct {
	Partner   StateCode
	Indicator string
	Filter    filter.Filter // the cells asked for; True: all
	Purpose   string        // "": any that the agreement allows
}

// maxQuestion bounds the text of a request, in bytes: it is kept with the decision, and anybody reads it who audits.
const maxQuestion = 16 << 10

// check fails for a request that is none, or is larger than a decision has room for.
func (r ExplainRequest) check() error {
	if r.Indicator == "" {
		return fault.InvalidField("indicator", "it is missing")
	}
	if err := r.Filter.Check(); err != nil {
		return fault.InvalidField("filter", "%v", err)
	}
	size := len(r.Indicator) + len(r.Purpose)
	r.Filter.Walk(func(f filter.Filter) {
		for _, value := range f.Values {
			size += len(value)
		}
	})
	if size > maxQuestion {
		return fault.New(fault.Exhausted, "LIMIT_EXCEEDED", "the question has %d bytes, more than %d", size, maxQuestion)
	}
	return nil
}

// Explanation says what would go to a partner, and why not more.
type Explanation struct {
	Allowed        bool
	Reasons        []Reason
	Obligations    Obligations
	Detail         map[string]string // by dimension, the detail that goes
	Coarsened      map[string]string // the dimensions that would be rolled up, with the detail that goes
	PolicyRevision string
	Released       int // cells that would go
	Withheld       int // cells that policy's conditions refuse
	Suppressed     int // cells that disclosure control would not publish by themselves
}

// Explain says what would go to a partner, and why not more. Nothing is sent; the decision is kept like any other.
func (s *Service) Explain(ctx context.Context, request ExplainRequest) (Explanation, error) {
	if err := s.checkPartner(request.Partner); err != nil {
		return Explanation{}, err
	}
	if err := request.check(); err != nil {
		return Explanation{}, err
	}
	dataflow, minimum, err := s.dataflowFor(ctx, request)
	if err != nil {
		return Explanation{}, err
	}
	structures, err := s.structuresOf(ctx, dataflow)
	if err != nil {
		return Explanation{}, err
	}
	for _, component := range request.Filter.Components() {
		if !structures.releases(component) {
			return Explanation{}, fault.InvalidField("filter", "what goes of %s has no component %q", dataflow, component)
		}
	}
	decision, err := s.decide(ctx, "explain", []Question{{
		Partner: request.Partner, Dataflow: dataflow, Indicator: request.Indicator, Purpose: request.Purpose,
		Requested: requested(structures, request.Filter),
	}})
	if err != nil {
		return Explanation{}, err
	}
	if err := s.Store.Write(ctx, func(tx Tx) error { return s.keepDecision(ctx, tx, decision) }); err != nil {
		return Explanation{}, err
	}
	decided := decision.Indicators[0]
	explanation := Explanation{
		Allowed: decided.Ruling.Allow, Reasons: decided.Ruling.Reasons, PolicyRevision: decision.PolicyRevision,
	}
	if !decided.Ruling.Allow {
		return explanation, nil
	}
	decided.Ruling.Obligations.MinimumFrequency = max(decided.Ruling.Obligations.MinimumFrequency, minimum)
	explanation.Obligations, explanation.Detail = decided.Ruling.Obligations, decided.Ruling.Detail
	own, _ := s.Trust.State(s.State)
	made, err := s.tables(ctx, structures, decided, own.RefAreas, 0)
	if err != nil {
		return Explanation{}, err
	}
	explanation.Coarsened = made.coarsened
	for _, r := range made.rows {
		if !request.Filter.Match(func(component string) string { return r.component(structures, component) }) {
			continue
		}
		switch {
		case r.conf == free && !math.IsNaN(r.value):
			explanation.Released++
		case r.from != nil && r.from.cells[r.cell].refused:
			explanation.Withheld++
		case r.conf != free:
			explanation.Suppressed++
		}
	}
	return explanation, nil
}

// dataflowFor returns the dataflow that an agreement with the partner covers the indicator in, else the usual one, and
// the threshold that the agreement sets.
func (s *Service) dataflowFor(ctx context.Context, request ExplainRequest) (dataflow string, minimum int, err error) {
	active, err := s.refreshPolicy(ctx)
	if err != nil {
		return "", 0, err
	}
	for _, a := range active {
		if a.Terms.Receiver == request.Partner && slices.Contains(a.Terms.Indicators, request.Indicator) {
			return a.Terms.Dataflow, a.Terms.MinimumFrequency, nil
		}
	}
	return s.Dataflow, 0, nil
}

// requested returns the codes that a filter speaks of, by dimension, with their levels. A comparison other than with
// certain codes speaks of every code that passes it.
func requested(structures *Structures, f filter.Filter) map[string][]RequestedCode {
	asked := map[string]map[string]bool{}
	for _, dimension := range structures.Dimensions {
		asked[dimension.ID] = map[string]bool{}
	}
	speaksOf(structures, f, false, asked)
	codes := map[string][]RequestedCode{}
	for _, dimension := range structures.Dimensions {
		for _, code := range slices.Sorted(maps.Keys(asked[dimension.ID])) {
			codes[dimension.ID] = append(codes[dimension.ID], RequestedCode{Code: code, Level: dimension.Codes[code].Level})
		}
	}
	return codes
}

// speaksOf adds the codes that a filter, or what it denies, speaks of.
func speaksOf(structures *Structures, f filter.Filter, denied bool, asked map[string]map[string]bool) {
	for _, operand := range f.Operands {
		speaksOf(structures, operand, denied != (f.Op == filter.OpNot), asked)
	}
	i := slices.IndexFunc(structures.Dimensions, func(d Dimension) bool { return d.ID == f.Component })
	if i < 0 {
		return
	}
	if (f.Op == filter.OpEq || f.Op == filter.OpIn) && !denied {
		for _, code := range f.Values {
			asked[f.Component][code] = true
		}
		return
	}
	for code := range structures.Dimensions[i].Codes {
		if f.Match(func(string) string { return code }) != denied {
			asked[f.Component][code] = true
		}
	}
}

// releases reports whether the rows of a release have the component.
func (s *Structures) releases(component string) bool {
	if slices.Contains([]string{block.TimePeriod, block.ObsValue, block.ObsStatus, block.ConfStatus}, component) {
		return true
	}
	return slices.ContainsFunc(s.Dimensions, func(d Dimension) bool { return d.ID == component })
}
