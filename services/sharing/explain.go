package sharing

import (
	"context"
	"maps"
	"math"
	"slices"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/services/disclosure"
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
	Periods        Spans             // of which figures go; none: of all
	Coarsened      map[string]string // the dimensions that would be rolled up, with the detail that goes
	PolicyRevision string
	Released       int            // cells that would go with their value
	Withheld       int            // cells that policy's conditions refuse
	Suppressed     int            // cells that disclosure control would withhold
	Rules          map[string]int // by code of CL_CONF_STATUS, how many would be withheld for that reason
	Cells          []WithheldCell // the first maxExplained of those that would be withheld
	Notes          []Note         // tables that would go coarser than agreed, or not at all
}

// maxExplained is of how many cells an explanation says one by one why they are withheld.
const maxExplained = 100

// WithheldCell says why a cell would go without its value. It gives no figure away.
type WithheldCell struct {
	Codes      map[string]string // by dimension
	Period     string
	ConfStatus string            // as it is kept inside (CL_CONF_STATUS)
	Text       string            // why
	Protects   map[string]string // of what kind the cell is that it protects: by dimension told apart, the level; nil: it is withheld for its own sake
}

// Explain says what would go to a partner, and why not more. Nothing is sent; the decision is kept like any other.
func (s *Service) Explain(ctx context.Context, request ExplainRequest) (Explanation, error) {
	if err := s.checkPartner(request.Partner); err != nil {
		return Explanation{}, err
	}
	if err := request.check(); err != nil {
		return Explanation{}, err
	}
	terms, err := s.termsFor(ctx, request)
	if err != nil {
		return Explanation{}, err
	}
	structures, err := s.structuresOf(ctx, terms.Dataflow)
	if err != nil {
		return Explanation{}, err
	}
	for _, component := range request.Filter.Components() {
		if component == block.ObsValue { // who may not see a figure here would find it by asking often enough
			return Explanation{}, fault.InvalidField("filter", "cells cannot be asked for by their value")
		}
		if !structures.releases(component) {
			return Explanation{}, fault.InvalidField("filter", "what goes of %s has no component %q", terms.Dataflow, component)
		}
	}
	decision, err := s.decide(ctx, "explain", []Question{{
		Partner: request.Partner, Dataflow: terms.Dataflow, Indicator: request.Indicator, Purpose: request.Purpose,
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
	decided.Ruling.Obligations.MinimumFrequency = max(decided.Ruling.Obligations.MinimumFrequency, terms.MinimumFrequency)
	decided.agreed = terms.Periods
	explanation.Obligations, explanation.Detail, explanation.Periods = decided.Ruling.Obligations, decided.Ruling.Detail, terms.Periods
	own, _ := s.Trust.State(s.State)
	readers, err := s.audience(ctx, string(terms.tier()))
	if err != nil {
		return Explanation{}, err
	}
	made, err := s.tables(ctx, structures, []DecidedRequest{decided}, own.RefAreas, nil, []audience{readers})
	if err != nil {
		return Explanation{}, err
	}
	made.settle()
	explanation.Coarsened, explanation.Notes = made.Coarsened, made.Notes
	return explanation, explanation.count(structures, decided.Ruling.Obligations, made, request.Filter)
}

// count counts the cells of a table that were asked for, and says of the first why they are withheld.
func (e *Explanation) count(structures *Structures, obligations Obligations, made table, asked filter.Filter) error {
	e.Rules = map[string]int{}
	known := map[*sheet]*reasons{}
	for _, r := range made.rows {
		switch {
		case !asked.Match(func(component string) string { return r.component(structures, component) }):
			continue
		case r.conf == free && !math.IsNaN(r.value):
			e.Released++
			continue
		case r.from == nil || r.from.refusal != nil:
			if r.conf != free {
				e.Suppressed++
			}
			continue
		case r.from.cells[r.cell].refused:
			e.Withheld++
		default:
			e.Suppressed++
		}
		code := r.from.confStatus(obligations, r.cell)
		e.Rules[code]++
		if len(e.Cells) == maxExplained {
			continue
		}
		of := known[r.from.sheet]
		if of == nil {
			var err error
			if of, err = newReasons(r.from, obligations); err != nil {
				return err
			}
			known[r.from.sheet] = of
		}
		cell := of.of(r.cell)
		cell.Codes, cell.Period, cell.ConfStatus = map[string]string{}, r.period, code
		for i, dimension := range structures.Dimensions {
			cell.Codes[dimension.ID] = r.codes[i]
		}
		e.Cells = append(e.Cells, cell)
	}
	return nil
}

// reasons says why the cells of a table are withheld.
type reasons struct {
	made     *made
	words    []string
	protects []int
}

func newReasons(m *made, obligations Obligations) (*reasons, error) {
	told := m.table.Clone()
	for i := range told.Cells {
		if c := &told.Cells[i]; c.Status == disclosure.Primary {
			c.Rule = m.rule(i)
		}
	}
	words, err := disclosure.Explain(told, obligations.rules()) // whose minimum is in ones, as people count
	if err != nil {
		return nil, err
	}
	protects, err := disclosure.Protects(m.table)
	return &reasons{made: m, words: words, protects: protects}, err
}

// of says why a cell is withheld.
func (r *reasons) of(i int) WithheldCell {
	cell := WithheldCell{Text: r.words[i]}
	if c := r.made.table.Cells[i]; c.Status == disclosure.Primary && r.made.rule(i) == disclosure.ByCaller {
		cell.Text = "It is restricted here."
		if r.made.cells[i].refused {
			cell.Text = "Policy refuses it."
		}
	}
	if p := r.protects[i]; p >= 0 {
		cell.Protects = map[string]string{}
		for d, code := range r.made.key(p) {
			cell.Protects[r.made.axes[d].dimension.ID] = r.made.axes[d].level(code)
		}
	}
	return cell
}

// termsFor returns the terms of an agreement with the partner that covers the indicator; where there is none, terms of
// nothing but the usual dataflow.
func (s *Service) termsFor(ctx context.Context, request ExplainRequest) (Terms, error) {
	active, err := s.refreshPolicy(ctx)
	if err != nil {
		return Terms{}, err
	}
	for _, a := range active {
		if a.unspoken == nil && a.Terms.Receiver == request.Partner && slices.Contains(a.Terms.Indicators, request.Indicator) {
			return a.Terms, nil
		}
	}
	return Terms{Dataflow: s.Dataflow}, nil
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
	i := structures.place(f.Component)
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

// releases reports whether the rows of a release have the component, besides the value.
func (s *Structures) releases(component string) bool {
	return slices.Contains([]string{block.TimePeriod, block.ObsStatus, block.ConfStatus}, component) || s.has(component)
}
