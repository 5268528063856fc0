package policy

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/services/fault"
)

// conditions are rules with the filters that they become, for the input {"yes": true, "codes": ["A", "B"], "text": "x"}.
var conditions = map[string]struct {
	rule string
	want filter.Filter
}{
	"always":                 {`r if input.yes`, filter.True()},
	"always, by one of two":  {"r if input.cell.A == \"x\"\n\nr if input.yes", filter.True()},
	"never":                  {`r if input.no`, filter.False()},
	"never, for any row":     {`r if { input.cell.A == "x"; input.no }`, filter.False()},
	"never, by missing data": {`r if input.cell.A in data.nothing`, filter.False()},
	"equal":                  {`r if input.cell.A == "x"`, filter.Eq("A", "x")},
	"equal, turned around":   {`r if "x" == input.cell.A`, filter.Eq("A", "x")},
	"equal to the input":     {`r if input.cell.A == input.text`, filter.Eq("A", "x")},
	"different":              {`r if input.cell.A != "x"`, filter.Compare(filter.OpNe, "A", "x")},
	"less":                   {`r if input.cell.A < 3`, filter.Compare(filter.OpLt, "A", "3")},
	"at most":                {`r if input.cell.A <= 3.5`, filter.Compare(filter.OpLe, "A", "3.5")},
	"greater, turned around": {`r if 3 < input.cell.A`, filter.Compare(filter.OpGt, "A", "3")},
	"at least, as text":      {`r if input.cell.A >= "2021-Q3"`, filter.Compare(filter.OpGe, "A", "2021-Q3")},
	"in constants":           {`r if input.cell.A in ["x", "y"]`, filter.In("A", "x", "y")},
	"in the input":           {`r if input.cell.A in input.codes`, filter.In("A", "A", "B")},
	"in nothing":             {`r if input.cell.A in []`, filter.In("A", []string{}...)},
	"starts":                 {`r if startswith(input.cell.A, "x")`, filter.Compare(filter.OpStartsWith, "A", "x")},
	"ends":                   {`r if endswith(input.cell.A, "x")`, filter.Compare(filter.OpEndsWith, "A", "x")},
	"contains":               {`r if contains(input.cell.A, "x")`, filter.Compare(filter.OpContains, "A", "x")},
	"not a comparison":       {`r if not input.cell.A in ["x"]`, filter.Not(filter.In("A", "x"))},
	"and":                    {`r if { input.cell.A == "x"; input.cell.B == "y" }`, filter.And(filter.Eq("A", "x"), filter.Eq("B", "y"))},
	"or":                     {"r if input.cell.A == \"x\"\n\nr if input.cell.B == \"y\"", filter.Or(filter.Eq("A", "x"), filter.Eq("B", "y"))},
	"through another rule":   {"r if { input.yes; other }\n\nother if input.cell.A == \"x\"", filter.Eq("A", "x")},
	"every of what is known": {
		`r if { every c in input.codes { not input.cell[c] == "x" } }`,
		filter.And(filter.Not(filter.Eq("A", "x")), filter.Not(filter.Eq("B", "x"))),
	},
	"not a rule of single comparisons": {
		"r if not other\n\nother if input.cell.A == \"x\"\n\nother if input.cell.B == \"y\"",
		filter.And(filter.Not(filter.Eq("A", "x")), filter.Not(filter.Eq("B", "y"))),
	},
	"every of nothing": {`r if { every c in [] { input.cell[c] == "x" } }`, filter.True()},
}

func TestConditionBecomesAFilter(t *testing.T) {
	for name, test := range conditions {
		t.Run(name, func(t *testing.T) {
			e := open(t, directory(t, map[string]string{"p.rego": "package p\n\n" + test.rule}))
			input := map[string]any{"yes": true, "codes": []string{"A", "B"}, "text": "x"}
			got, _, err := e.Condition(t.Context(), "data.p.r", input, "input.cell")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestConditionThatCannotBeTranslatedIsARefusal(t *testing.T) {
	for name, rule := range map[string]string{
		"not before a rule that iterates": "r if not other\n\nother if { some e in excluded; input.cell[e.id] in e.codes }\n\nexcluded contains {\"id\": \"A\", \"codes\": {\"x\"}}",
		"default":                         "default r := false\n\nr if input.cell.A == \"x\"",
		"else":                            "r if { input.cell.A == \"x\" } else if { input.cell.B == \"y\" }",
		"a regular expression":            `r if regex.match("x", input.cell.A)`,
		"another function":                `r if upper(input.cell.A) == "X"`,
		"a count":                         `r if count(input.cell) > 3`,
		"a negated index":                 `r if not input.cell[0] == "x"`,
		"an index":                        `r if input.cell[0] == "x"`,
		"an index beside a component":     `r if { input.cell[0] == "x"; input.cell.A == "x" }`,
		"any component":                   `r if input.cell[_] == "x"`,
		"a named component":               "r if {\n\tsome c\n\tinput.cell[c] == \"x\"\n}",
		"a part of a component":           `r if input.cell.A.B == "x"`,
		"the whole row":                   `r if input.cell == {"A": "x"}`,
		"a component itself":              `r if input.cell.A`,
		"another component":               `r if input.cell.A == input.cell.B`,
		"the start of another component":  `r if startswith(input.cell.A, input.cell.B)`,
		"null":                            `r if input.cell.A == null`,
		"a boolean":                       `r if input.cell.A == true`,
		"a list with null":                `r if input.cell.A in ["x", null]`,
		"the values of an object":         `r if input.cell.A in {"x": "y"}`,
		"the order of numbers as text":    `r if input.cell.A < "10"`,
		"a component that is no id":       `r if input.cell["x y"] == "x"`,
		"every of the row":                `r if { every c in input.cell { c == "x" } }`,
		"an error on the way":             `r if { to_number(input.text) == 1; input.cell.A == "x" }`,
	} {
		t.Run(name, func(t *testing.T) {
			e := open(t, directory(t, map[string]string{"p.rego": "package p\n\n" + rule}))
			got, _, err := e.Condition(t.Context(), "data.p.r", map[string]any{"text": "abc"}, "input.cell")
			if !fault.Is(err, fault.Denied) || fault.Reason(err) != "POLICY_ERROR" {
				t.Errorf("it says %v", err)
			}
			if diff := cmp.Diff(filter.False(), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestConditionRefusesOtherUnknowns(t *testing.T) {
	e := open(t, directory(t, map[string]string{"p.rego": "package p\nr if input.cell.A == 1"}))
	for _, unknown := range []string{"", "input", "data.x", "input.cell.A", "input[_]", "cell", "input.cell; true"} {
		if _, _, err := e.Condition(t.Context(), "data.p.r", nil, unknown); fault.Reason(err) != "POLICY_ERROR" {
			t.Errorf("with %q unknown it says %v", unknown, err)
		}
	}
	if _, _, err := e.Condition(t.Context(), "data.p.missing", nil, "input.cell"); err != nil {
		t.Errorf("a rule that is not there is no error, but passed by no row: %v", err)
	}
}

// exchanging is the shared policies with an agreement and a state's own law.
func exchanging(t *testing.T, law map[string]string) *Engine {
	t.Helper()
	e := open(t, shared, directory(t, law))
	agreements := map[string]any{"gb": map[string]any{"1A": []any{map[string]any{
		"id": "us-gb-1a", "version": 1, "provider": "us", "receiver": "gb", "dataflow": "COMITY:BORDER(1.0.0)",
		"indicators": []string{"1A"}, "detail": map[string]string{"FREQ": "M", "CITIZENSHIP": "country"},
		"purposes": []string{}, "minimumFrequency": 3, "validFrom": "2026-01-01",
	}}}}
	if err := e.SetData(t.Context(), "agreements", agreements); err != nil {
		t.Fatal(err)
	}
	if err := e.SetData(t.Context(), "levels", map[string][]string{"CITIZENSHIP": {"total", "country"}, "SEX": {}}); err != nil {
		t.Fatal(err)
	}
	return e
}

func request(indicator string) map[string]any {
	return map[string]any{
		"state": "us", "partner": "gb", "direction": "send", "dataflow": "COMITY:BORDER(1.0.0)", "indicator": indicator,
		"purpose": "", "date": "2026-06-30", "requested": map[string]any{},
	}
}

func TestLawOfAStateBecomesAFilterOnCells(t *testing.T) {
	ownData := map[string]string{"law/data.yaml": `
excluded:
  - {partners: [gb], cells: {CITIZENSHIP: [VEN, CUB]}}
  - {partners: [eu], cells: {CITIZENSHIP: [HTI]}}
`}
	ownRule := map[string]string{"law/own.rego": `package comity.law

excluded contains {"CITIZENSHIP": {"VEN"}, "SEX": {"F"}} if input.partner == "gb"
`}
	for name, test := range map[string]struct {
		law       map[string]string
		indicator string
		want      filter.Filter
	}{
		"none":              {nil, "1A", filter.True()},
		"none, but refused": {nil, "5", filter.False()},
		"data":              {ownData, "1A", filter.Not(filter.In("CITIZENSHIP", "VEN", "CUB"))},
		"data, but refused": {ownData, "5", filter.False()},
		"a rule on two components": {ownRule, "1A", filter.Or(
			filter.Not(filter.In("CITIZENSHIP", "VEN")), filter.Not(filter.In("SEX", "F")),
		)},
	} {
		t.Run(name, func(t *testing.T) {
			e := exchanging(t, test.law)
			got, _, err := e.Condition(t.Context(), "data.comity.exchange.include", request(test.indicator), "input.cell")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The filter and the rule say the same of every cell.
func TestConditionAgreesWithTheRule(t *testing.T) {
	e := exchanging(t, map[string]string{
		"law/data.yaml": "excluded: [{cells: {CITIZENSHIP: [VEN, CUB]}}, {cells: {CITIZENSHIP: [MEX], SEX: [F]}}]",
	})
	f, _, err := e.Condition(t.Context(), "data.comity.exchange.include", request("1A"), "input.cell")
	if err != nil {
		t.Fatal(err)
	}
	for _, citizenship := range []string{"VEN", "CUB", "MEX", "_T", "_O"} {
		for _, sex := range []string{"F", "M", "_T"} {
			cell := map[string]string{"CITIZENSHIP": citizenship, "SEX": sex}
			input := request("1A")
			input["cell"] = cell
			var included bool
			_, err := e.Evaluate(t.Context(), "data.comity.exchange.include", input, &included)
			if err != nil && fault.Reason(err) != "POLICY_ERROR" {
				t.Fatal(err)
			}
			if matches := f.Match(func(component string) string { return cell[component] }); matches != included {
				t.Errorf("%v: the rule says %v, the filter %v", cell, included, matches)
			}
		}
	}
}
