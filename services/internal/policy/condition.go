package policy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/rego/compile"

	"github.com/comity-federation/comity/proto/filter"
)

// Condition evaluates a rule such as "data.comity.exchange.include" as far as the input allows while unknown, such as
// "input.cell", stands for any row, and returns what remains as a filter over the row's components: input.cell.SEX is
// the component SEX. It returns the revision of the policies as well. A rule that no row can pass gives [filter.False], one that every row passes [filter.True].
//
// What can remain: ==, !=, <, <=, >, >= and `in` with constants, startswith, endswith, contains, `not` before one of
// these, and their conjunctions and disjunctions. Sets and objects of data are known and may be iterated, with `every`
// too. A rule that leaves anything else, such as a regular expression, `not` before a rule that iterates, `default` or
// `else`, is an error.
func (e *Engine) Condition(ctx context.Context, rule string, input any, unknown string) (f filter.Filter, revision string, err error) {
	active := e.active.Load()
	if active == nil {
		return filter.False(), "", refuse(ctx, rule, errInactive)
	}
	limited, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	if f, err = active.condition(limited, rule, input, unknown); err != nil {
		return filter.False(), active.revision, refuse(ctx, rule, err)
	}
	return f, active.revision, nil
}

// condition is a rule that is ready to be evaluated without the unknown.
type condition struct {
	field   string // what precedes a component in UCAST: "cell."
	unknown *ast.Term
	filters *compile.Prepared
	partial *rego.PreparedPartialQuery
}

func (s *set) condition(ctx context.Context, rule string, input any, unknown string) (f filter.Filter, err error) {
	asked, err := json.Marshal(input)
	if err != nil {
		return filter.False(), fmt.Errorf("encoding the input: %w", err)
	}
	question := rule + " without " + unknown + " " + string(asked)
	answer, known, era := s.memo.recall(question)
	if known {
		return answer.(filter.Filter), nil
	}
	c, err := s.prepareCondition(ctx, rule, unknown)
	if err != nil {
		return filter.False(), err
	}
	value, err := ast.ValueFromReader(bytes.NewReader(asked))
	if err != nil {
		return filter.False(), fmt.Errorf("encoding the input: %w", err)
	}
	if f, err = c.compile(ctx, value); err != nil {
		return filter.False(), err
	}
	size := 0
	f.Walk(func(f filter.Filter) {
		size += 100
		for _, value := range f.Values {
			size += len(value)
		}
	})
	s.memo.remember(question, f, size, era)
	return f, nil
}

func (s *set) prepareCondition(ctx context.Context, rule, unknown string) (*condition, error) {
	key := rule + " without " + unknown
	if c, ok := s.conditions.Load(key); ok {
		return c.(*condition), nil
	}
	body, err := parseRule(rule)
	if err != nil {
		return nil, err
	}
	term, err := ast.ParseTerm(unknown)
	if err != nil {
		return nil, fmt.Errorf("%q cannot be unknown: %w", unknown, err)
	}
	if ref, ok := term.Value.(ast.Ref); !ok || len(ref) != 2 || !ref.HasPrefix(ast.InputRootRef) || !ref.IsGround() {
		return nil, fmt.Errorf("%q cannot be unknown: it must be a field of the input", unknown)
	}
	c := &condition{unknown: term, field: strings.TrimPrefix(unknown, "input.") + "."}
	c.filters, err = compile.New(
		compile.Target("ucast", "all"),
		compile.ParsedUnknowns(term),
		compile.ParsedQuery(body),
		compile.Rego(s.options()...),
	).Prepare(ctx)
	if err != nil {
		return nil, fmt.Errorf("preparing the rule: %w", err)
	}
	partial, err := rego.New(append(s.options(), rego.ParsedQuery(body))...).PrepareForPartial(ctx)
	if err != nil {
		return nil, fmt.Errorf("preparing the rule: %w", err)
	}
	c.partial = &partial
	s.conditions.Store(key, c)
	return c, nil
}

func (c *condition) compile(ctx context.Context, input ast.Value) (f filter.Filter, err error) {
	// The translation to UCAST dereferences nil for some expressions that it does not know.
	defer func() {
		if r := recover(); r != nil {
			f, err = filter.False(), fmt.Errorf("the condition cannot be translated: %v", r)
		}
	}()
	filters, err := c.filters.Compile(ctx, rego.EvalParsedInput(input))
	if err != nil {
		return filter.False(), err
	}
	switch query := filters.For("ucast", "all").Query.(type) {
	case nil:
		return filter.False(), nil
	case map[string]any:
		if len(query) == 0 {
			return c.always(ctx, input)
		}
		f, err := c.fromUCAST(query)
		if err != nil {
			return filter.False(), err
		}
		if err := f.Check(); err != nil {
			return filter.False(), err
		}
		return f, nil
	default:
		return filter.False(), fmt.Errorf("the condition became a %T", query)
	}
}

// always confirms an empty UCAST. It means yes without a condition; but the translation says the same of an expression
// that it does not know, such as input.cell[0] == "F". Partial evaluation tells them apart: a yes is an empty query.
func (c *condition) always(ctx context.Context, input ast.Value) (filter.Filter, error) {
	partial, err := c.partial.Partial(ctx, rego.EvalParsedInput(input), rego.EvalParsedUnknowns([]*ast.Term{c.unknown}))
	if err != nil {
		return filter.False(), err
	}
	for _, query := range partial.Queries {
		if len(query) == 0 {
			return filter.True(), nil
		}
	}
	return filter.False(), errors.New("the condition cannot be translated")
}

var componentID = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`)

var fieldOperators = map[string]filter.Op{
	"eq": filter.OpEq, "ne": filter.OpNe, "lt": filter.OpLt, "lte": filter.OpLe, "gt": filter.OpGt, "gte": filter.OpGe,
	"startswith": filter.OpStartsWith, "endswith": filter.OpEndsWith, "contains": filter.OpContains,
}

// fromUCAST translates a node of UCAST as JSON has it: {"type": "compound", "operator": "and", "value": […nodes]} or
// {"type": "field", "operator": "eq", "field": "cell.SEX", "value": "F"}.
func (c *condition) fromUCAST(node map[string]any) (filter.Filter, error) {
	operator, _ := node["operator"].(string)
	switch node["type"] {
	case "compound":
		values, ok := node["value"].([]any)
		if !ok || len(values) == 0 {
			return filter.False(), fmt.Errorf("%q without operands", operator)
		}
		operands := make([]filter.Filter, len(values))
		for i, value := range values {
			below, ok := value.(map[string]any)
			if !ok {
				return filter.False(), fmt.Errorf("%q of %v", operator, value)
			}
			operand, err := c.fromUCAST(below)
			if err != nil {
				return filter.False(), err
			}
			operands[i] = operand
		}
		switch {
		case operator == "and":
			return filter.And(operands...), nil
		case operator == "or":
			return filter.Or(operands...), nil
		case operator == "not" && len(operands) == 1:
			return filter.Not(operands[0]), nil
		}
	case "field":
		return c.fromField(operator, node)
	}
	return filter.False(), fmt.Errorf("%v %q is no condition on rows", node["type"], operator)
}

func (c *condition) fromField(operator string, node map[string]any) (filter.Filter, error) {
	field, _ := node["field"].(string)
	component, found := strings.CutPrefix(field, c.field)
	if !found || !componentID.MatchString(component) {
		return filter.False(), fmt.Errorf("%q names no component of a row", field)
	}
	if operator == "in" {
		members, ok := node["value"].([]any)
		if !ok {
			return filter.False(), fmt.Errorf("%s in %v: no list", component, node["value"])
		}
		values := make([]string, len(members))
		for i, member := range members {
			value, err := scalar(member)
			if err != nil {
				return filter.False(), fmt.Errorf("%s in: %w", component, err)
			}
			values[i] = value
		}
		return filter.In(component, values...), nil
	}
	op, ok := fieldOperators[operator]
	if !ok {
		return filter.False(), fmt.Errorf("%q is no condition on rows", operator)
	}
	value, err := scalar(node["value"])
	if err != nil {
		return filter.False(), fmt.Errorf("%s %s: %w", component, op, err)
	}
	switch op {
	case filter.OpLt, filter.OpLe, filter.OpGt, filter.OpGe:
		// Rego orders text by its bytes, a filter orders text that is a number by the number.
		if _, err := strconv.ParseFloat(value, 64); err == nil && isText(node["value"]) {
			return filter.False(), fmt.Errorf("%s %s %q: compare with a number, not with its text", component, op, value)
		}
	case filter.OpStartsWith, filter.OpEndsWith, filter.OpContains:
		if !isText(node["value"]) {
			return filter.False(), fmt.Errorf("%s %s %v: no text", component, op, node["value"])
		}
	}
	return filter.Compare(op, component, value), nil
}

func isText(value any) bool {
	_, ok := value.(string)
	return ok
}

// scalar returns the text of a constant. Booleans, null, other components and collections are none.
func scalar(value any) (string, error) {
	switch value := value.(type) {
	case string:
		return value, nil
	case float64:
		return strconv.FormatFloat(value, 'f', -1, 64), nil
	default:
		return "", fmt.Errorf("%v is neither text nor a number", value)
	}
}
