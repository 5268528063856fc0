// Package filter holds one expression tree over the components of a row. SDMX keys and c[…] parameters, conditions of
// policy and quality rules are all of this type; `statistics` turns it into SQL, `sharing` matches cells with it.
//
//	filter.And(filter.Eq("REF_AREA", "US"), filter.In("CITIZENSHIP", "SYR", "AFG"))
package filter

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Op says what a node of the tree does.
type Op uint8

// The operators. The zero Filter is an AND of nothing, which every row passes.
const (
	OpAnd Op = iota
	OpOr
	OpNot
	OpEq
	OpNe
	OpIn
	OpLt
	OpLe
	OpGt
	OpGe
	OpContains
	OpNotContains
	OpStartsWith
	OpEndsWith
)

var names = [...]string{"and", "or", "not", "eq", "ne", "in", "lt", "le", "gt", "ge", "contains", "not contains", "starts with", "ends with"}

// String returns the operator in words.
func (o Op) String() string {
	if int(o) < len(names) {
		return names[o]
	}
	return "operator " + strconv.Itoa(int(o))
}

// Filter is a node of the tree. And, Or and Not have operands; the comparisons have a component and values.
type Filter struct {
	Op        Op
	Component string
	Values    []string
	Operands  []Filter
}

// True is passed by every row.
func True() Filter { return Filter{Op: OpAnd} }

// False is passed by no row.
func False() Filter { return Filter{Op: OpOr} }

// And is passed where every operand is.
func And(operands ...Filter) Filter { return Filter{Op: OpAnd, Operands: operands} }

// Or is passed where an operand is.
func Or(operands ...Filter) Filter { return Filter{Op: OpOr, Operands: operands} }

// Not is passed where the operand is not.
func Not(operand Filter) Filter { return Filter{Op: OpNot, Operands: []Filter{operand}} }

// Eq is passed where the component has the value.
func Eq(component, value string) Filter { return Compare(OpEq, component, value) }

// In is passed where the component has one of the values.
func In(component string, values ...string) Filter {
	return Filter{Op: OpIn, Component: component, Values: values}
}

// Compare is a comparison of the component with one value.
func Compare(op Op, component, value string) Filter {
	return Filter{Op: op, Component: component, Values: []string{value}}
}

// IsTrue reports whether f is [True] as written; it does not look for tautologies.
func (f Filter) IsTrue() bool { return f.Op == OpAnd && len(f.Operands) == 0 }

// MaxNodes and MaxDepth bound a tree that came from outside.
const (
	MaxNodes = 10_000
	MaxDepth = 64
)

// Check reports the first way in which f is not a filter, or that it is larger than [MaxNodes] or deeper than [MaxDepth].
func (f Filter) Check() error {
	nodes := 0
	return f.check(&nodes, 1)
}

func (f Filter) check(nodes *int, depth int) error {
	if *nodes++; *nodes > MaxNodes {
		return fmt.Errorf("filter has more than %d nodes", MaxNodes)
	}
	if depth > MaxDepth {
		return fmt.Errorf("filter is more than %d levels deep", MaxDepth)
	}
	switch f.Op {
	case OpAnd, OpOr, OpNot:
		if f.Component != "" || len(f.Values) > 0 {
			return fmt.Errorf("%q takes operands, not a component or values", f.Op)
		}
		if f.Op == OpNot && len(f.Operands) != 1 {
			return fmt.Errorf("%q takes one operand, has %d", f.Op, len(f.Operands))
		}
		for _, operand := range f.Operands {
			if err := operand.check(nodes, depth+1); err != nil {
				return err
			}
		}
		return nil
	case OpEq, OpNe, OpIn, OpLt, OpLe, OpGt, OpGe, OpContains, OpNotContains, OpStartsWith, OpEndsWith:
		if f.Component == "" {
			return fmt.Errorf("%q needs a component", f.Op)
		}
		if len(f.Operands) > 0 {
			return fmt.Errorf("%q on %s takes values, not operands", f.Op, f.Component)
		}
		if f.Op != OpIn && len(f.Values) != 1 {
			return fmt.Errorf("%q on %s takes one value, has %d", f.Op, f.Component, len(f.Values))
		}
		return nil
	default:
		return fmt.Errorf("unknown %s", f.Op)
	}
}

// Match reports whether a row passes. value returns the row's value of a component, "" where absent.
func (f Filter) Match(value func(component string) string) bool {
	switch f.Op {
	case OpAnd:
		return !slices.ContainsFunc(f.Operands, func(o Filter) bool { return !o.Match(value) })
	case OpOr:
		return slices.ContainsFunc(f.Operands, func(o Filter) bool { return o.Match(value) })
	case OpNot:
		return !f.Operands[0].Match(value)
	case OpIn:
		return slices.Contains(f.Values, value(f.Component))
	}
	have, want := value(f.Component), f.Values[0]
	switch f.Op {
	case OpEq:
		return have == want
	case OpNe:
		return have != want
	case OpLt:
		return order(have, want) < 0
	case OpLe:
		return order(have, want) <= 0
	case OpGt:
		return order(have, want) > 0
	case OpGe:
		return order(have, want) >= 0
	case OpContains:
		return strings.Contains(have, want)
	case OpNotContains:
		return !strings.Contains(have, want)
	case OpStartsWith:
		return strings.HasPrefix(have, want)
	case OpEndsWith:
		return strings.HasSuffix(have, want)
	}
	return false
}

// order compares by number where both are numbers, else by byte order.
func order(a, b string) int {
	x, errA := strconv.ParseFloat(a, 64)
	y, errB := strconv.ParseFloat(b, 64)
	if errA != nil || errB != nil {
		return strings.Compare(a, b)
	}
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

// Components returns the ids of the components that f speaks of, sorted, each once.
func (f Filter) Components() []string {
	var ids []string
	f.Walk(func(node Filter) {
		if node.Component != "" {
			ids = append(ids, node.Component)
		}
	})
	slices.Sort(ids)
	return slices.Compact(ids)
}

// Walk calls visit for f and every node below it.
func (f Filter) Walk(visit func(Filter)) {
	visit(f)
	for _, operand := range f.Operands {
		operand.Walk(visit)
	}
}

// Fixed returns the values that f allows a component to have, if f is a conjunction that says so with eq or in.
func (f Filter) Fixed(component string) ([]string, bool) {
	switch f.Op {
	case OpEq, OpIn:
		if f.Component == component {
			return f.Values, true
		}
	case OpAnd:
		var values []string
		found := false
		for _, operand := range f.Operands {
			more, ok := operand.Fixed(component)
			if !ok {
				continue
			}
			if !found {
				values, found = more, true
				continue
			}
			values = slices.DeleteFunc(slices.Clone(values), func(v string) bool { return !slices.Contains(more, v) })
		}
		return values, found
	}
	return nil, false
}
