package sdmx

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/proto/period"
)

// Condition is a c[COMPONENT]=… parameter: it holds where all terms of one of the alternatives do.
type Condition struct {
	Component    string
	Alternatives [][]Term
}

// Term compares the component with a value.
type Term struct {
	Op    filter.Op
	Value string
}

var operators = map[string]filter.Op{
	"eq": filter.OpEq, "ne": filter.OpNe, "lt": filter.OpLt, "le": filter.OpLe, "gt": filter.OpGt, "ge": filter.OpGe,
	"co": filter.OpContains, "nc": filter.OpNotContains, "sw": filter.OpStartsWith, "ew": filter.OpEndsWith,
}

// operatorPrefix is a prefix that means to be an operator. A code such as "1A: detections" does not look like one.
var operatorPrefix = regexp.MustCompile(`^[a-z]{2}:`)

// ParseCondition reads the value of a c[component] parameter. "," is OR and "+" is AND, which binds closer; each value
// may have an operator before it, else it is compared with eq:
//
//	ge:2020-01+le:2020-12,2023-01
func ParseCondition(component, text string) (Condition, error) {
	c := Condition{Component: component}
	terms := 0
	for alternative := range strings.SplitSeq(text, ",") {
		var all []Term
		for part := range strings.SplitSeq(alternative, "+") {
			term := Term{Op: filter.OpEq, Value: part}
			if operatorPrefix.MatchString(part) {
				op, ok := operators[part[:2]]
				if !ok {
					return Condition{}, badRequest("c[%s]: %q is no operator; there are eq, ne, lt, le, gt, ge, co, nc, sw and ew.", component, part[:2])
				}
				term = Term{Op: op, Value: part[3:]}
			}
			if term.Value == "" {
				return Condition{}, badRequest("c[%s]=%s holds an empty value.", component, text)
			}
			all = append(all, term)
			if terms++; terms > maxTerms {
				return Condition{}, badRequest("c[%s] has more than %d values.", component, maxTerms)
			}
		}
		c.Alternatives = append(c.Alternatives, all)
	}
	return c, nil
}

const maxTerms = 1000

// codes returns the values of a condition that only says which ones the component may have.
func (c Condition) codes() ([]string, bool) {
	var codes []string
	for _, terms := range c.Alternatives {
		if len(terms) != 1 || terms[0].Op != filter.OpEq {
			return nil, false
		}
		codes = append(codes, terms[0].Value)
	}
	return codes, true
}

// span returns the first and last period of a condition on TIME_PERIOD that says no more than these; "" is open.
func (c Condition) span() (start, end string, ok bool) {
	if len(c.Alternatives) != 1 {
		return "", "", false
	}
	for _, term := range c.Alternatives[0] {
		p, err := period.Parse(term.Value)
		if err != nil {
			return "", "", false
		}
		var bound *string
		switch term.Op {
		case filter.OpGe:
			bound = &start
		case filter.OpGt:
			bound, p = &start, p.Next()
		case filter.OpLe:
			bound = &end
		case filter.OpLt:
			bound, p = &end, p.Previous()
		}
		if bound == nil || *bound != "" {
			return "", "", false
		}
		*bound = p.String()
	}
	return start, end, true
}

// Filter returns the conditions, all of which have to hold, as a filter over the rows of the structure. Its errors name what
// the structure does not have.
func (s *Structure) Filter(conditions []Condition) (filter.Filter, error) {
	filters := make([]filter.Filter, len(conditions))
	for i, c := range conditions {
		var err error
		if filters[i], err = s.condition(c); err != nil {
			return filter.Filter{}, err
		}
	}
	whole := all(filters)
	if err := whole.Check(); err != nil {
		return filter.Filter{}, badRequest("The filter is too large: %v.", err)
	}
	return whole, nil
}

// condition returns a condition as a filter over the rows of the structure.
func (s *Structure) condition(c Condition) (filter.Filter, error) {
	switch {
	case c.Component == block.TimePeriod || s.dimension(c.Component) >= 0 || s.hasAttribute(c.Component):
	case c.Component == block.ObsValue:
		for _, terms := range c.Alternatives {
			for i := range terms {
				v, err := strconv.ParseFloat(terms[i].Value, 64)
				if err != nil {
					return filter.Filter{}, badRequest("c[%s]: %q is no number.", c.Component, terms[i].Value)
				}
				terms[i].Value = formatNumber(v)
			}
		}
	default:
		return filter.Filter{}, badRequest("%s has no component %s.", s.Dataflow, c.Component)
	}
	return c.filter(s.Dimensions[0].ID)
}

// filter returns the condition as a filter over rows.
func (c Condition) filter(frequency string) (filter.Filter, error) {
	if codes, ok := c.codes(); ok && c.Component != block.TimePeriod {
		return oneOf(c.Component, codes), nil
	}
	alternatives := make([]filter.Filter, len(c.Alternatives))
	for i, terms := range c.Alternatives {
		conditions := make([]filter.Filter, len(terms))
		for j, term := range terms {
			var err error
			if conditions[j], err = term.filter(c.Component, frequency); err != nil {
				return filter.Filter{}, err
			}
		}
		alternatives[i] = all(conditions)
	}
	if len(alternatives) == 1 {
		return alternatives[0], nil
	}
	return filter.Or(alternatives...), nil
}

func (t Term) filter(component, frequency string) (filter.Filter, error) {
	if component != block.TimePeriod {
		return filter.Compare(t.Op, component, t.Value), nil
	}
	switch t.Op {
	case filter.OpContains, filter.OpNotContains, filter.OpStartsWith, filter.OpEndsWith:
		return filter.Compare(t.Op, component, t.Value), nil
	}
	p, err := period.Parse(t.Value)
	if err != nil {
		return filter.Filter{}, badRequest("c[%s]: %v.", component, err)
	}
	switch t.Op {
	case filter.OpEq, filter.OpNe:
		return filter.Compare(t.Op, component, p.String()), nil
	}
	return boundary(t.Op, p, frequency)
}

// rowFrequencies are those that a row may have.
const rowFrequencies = period.Frequencies + string(period.Semestral) + string(period.Trimestral)

// boundary compares TIME_PERIOD with a period that may be of another frequency than the row: a row is at or after it
// where its first day is, and at or before it where its last day is. Within one frequency that is a comparison of
// texts, so there is an alternative for each.
func boundary(op filter.Op, p period.Period, frequency string) (filter.Filter, error) {
	var alternatives []filter.Filter
	for _, f := range []period.Frequency(rowFrequencies) {
		from, errFrom := period.At(f, p.Start())
		to, errTo := period.At(f, p.End())
		if errFrom != nil || errTo != nil { // a week may begin or end in a year that is none
			return filter.Filter{}, badRequest("%s is too early or too late to be compared with.", p)
		}
		bound, compare := from, filter.OpGe
		switch {
		case op == filter.OpGe && from.Start().Before(p.Start()):
			bound = from.Next()
		case op == filter.OpGt:
			bound = to.Next()
		case op == filter.OpLt:
			bound, compare = from.Previous(), filter.OpLe
		case op == filter.OpLe && to.End().After(p.End()):
			bound, compare = to.Previous(), filter.OpLe
		case op == filter.OpLe:
			bound, compare = to, filter.OpLe
		}
		alternatives = append(alternatives, filter.And(
			filter.Eq(frequency, string(f)),
			filter.Compare(compare, block.TimePeriod, bound.String()),
		))
	}
	return filter.Or(alternatives...), nil
}

func all(conditions []filter.Filter) filter.Filter {
	if len(conditions) == 1 {
		return conditions[0]
	}
	return filter.And(conditions...)
}
