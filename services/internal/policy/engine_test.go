package policy

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/comity-federation/comity/services/fault"
)

// directory writes files, by their path, to a new directory.
func directory(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		put(t, filepath.Join(root, name), content)
	}
	return root
}

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// passed is what passed its tests in any test: the shared policies need it once.
var passed Tested //nolint:gochecknoglobals // as long as the program

func open(t *testing.T, directories ...string) *Engine {
	t.Helper()
	e, err := passed.Open(t.Context(), directories, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func evaluate[T any](t *testing.T, e *Engine, rule string, input any) T {
	t.Helper()
	var output T
	if _, err := e.Evaluate(t.Context(), rule, input, &output); err != nil {
		t.Fatal(err)
	}
	return output
}

const greeting = `package comity.greeting

default allow := false

allow if input.name in data.greeting.names

answer := {"text": concat(" ", ["hello", input.name]), "count": count(data.greeting.names)}
`

func TestEvaluateDecodesTheResult(t *testing.T) {
	e := open(t, directory(t, map[string]string{
		"greeting/greeting.rego": greeting, "greeting/data.yaml": "names: [Ada, Grace]", "notes.txt": "no policy", ".hidden/x.rego": "no policy",
	}))
	type input struct {
		Name string `json:"name"`
	}
	if !evaluate[bool](t, e, "data.comity.greeting.allow", input{"Ada"}) || evaluate[bool](t, e, "data.comity.greeting.allow", input{"Bob"}) {
		t.Error("allow is not as the policy says")
	}
	type answer struct {
		Text  string
		Count int
	}
	if diff := cmp.Diff(answer{"hello Ada", 2}, evaluate[answer](t, e, "data.comity.greeting.answer", input{"Ada"})); diff != "" {
		t.Error(diff)
	}
}

func TestEvaluateRefusesInDoubt(t *testing.T) {
	e := open(t, directory(t, map[string]string{"x.rego": `package x

undefined if input.nothing

number := 1

none := null

too_small if to_number(input.text) < 3

strict_error if not too_small

conflict := 1 if input.text

conflict := 2 if input.text

slow if {
	some i in numbers.range(1, 20000)
	some j in numbers.range(1, 20000)
	i * j == -1
}
`}))
	e.timeout = 200 * time.Millisecond
	for _, rule := range []string{
		"data.x.undefined", "data.x.number", "data.x.none", "data.x.strict_error", "data.x.conflict", "data.x.missing",
		"data.x.slow", "input.text", "true", "data", "data.x[_]", "data.x.number; true", "",
	} {
		allowed := false
		_, err := e.Evaluate(t.Context(), rule, map[string]any{"text": "abc"}, &allowed)
		if !fault.Is(err, fault.Denied) || fault.Reason(err) != "POLICY_ERROR" || allowed {
			t.Errorf("%q gives %v, %v", rule, allowed, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var allowed bool
	if _, err := e.Evaluate(ctx, "data.x.slow", map[string]any{}, &allowed); !errors.Is(err, context.Canceled) {
		t.Errorf("for a caller who gave up it says %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		files map[string]string
		want  string
	}{
		"no policies":              {map[string]string{"data.yaml": "a: 1"}, "hold no policy"},
		"what does not parse":      {map[string]string{"x.rego": "package x\nallow if"}, "x.rego"},
		"Rego of the old version":  {map[string]string{"x.rego": "package x\nallow { true }"}, "if"},
		"an unused import":         {map[string]string{"x.rego": "package x\nimport data.y\nallow := true"}, "unused"},
		"the network":              {map[string]string{"x.rego": `package x` + "\n" + `allow if http.send({"method": "get", "url": "http://127.0.0.1"}).ok`}, "http.send"},
		"the clock":                {map[string]string{"x.rego": "package x\nallow if time.now_ns() > 0"}, "time.now_ns"},
		"randomness":               {map[string]string{"x.rego": `package x` + "\n" + `allow if rand.intn("x", 2) == 1`}, "rand.intn"},
		"the environment":          {map[string]string{"x.rego": "package x\nallow if opa.runtime().env.HOME"}, "opa.runtime"},
		"a test that fails":        {map[string]string{"x.rego": "package x\nallow := true", "x_test.rego": "package x_test\nimport data.x\ntest_it if not x.allow"}, "test_it does not hold"},
		"a case that fails":        {map[string]string{"x.rego": "package x\nallow := true", "x_test.rego": "package x_test\ntest_it[n] if { some n in [1, 2]; n < 2 }"}, "test_it does not hold: 2"},
		"a test with an error":     {map[string]string{"x_test.rego": "package x_test\ntest_it if not to_number(\"abc\") == 1"}, "test_it"},
		"data in a rule's place":   {map[string]string{"x.rego": "package x\nallow := true", "x/data.json": `{"allow": false}`}, "conflict"},
		"data that is no object":   {map[string]string{"x.rego": "package x\nallow := true", "data.json": `[1]`}, "must be an object"},
		"data that does not parse": {map[string]string{"x.rego": "package x\nallow := true", "data.json": `{`}, "data.json"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(t.Context(), []string{directory(t, test.files)}, slog.New(slog.DiscardHandler))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("it says %v, want %q", err, test.want)
			}
		})
	}
	if _, err := Open(t.Context(), []string{filepath.Join(t.TempDir(), "nowhere")}, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("it opens a directory that is not there")
	}
	if _, err := Open(t.Context(), nil, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("it opens nothing")
	}
}

func TestALaterDirectoryAddsRulesAndData(t *testing.T) {
	first := directory(t, map[string]string{
		"law/law.rego":  "package comity.law\ndeny contains \"shared\" if input.x == 1",
		"law/data.yaml": "names: [a, b]\nlimits: {low: 1, high: 9}",
	})
	second := directory(t, map[string]string{
		"law/law.rego":      "package comity.law\ndeny contains \"own\" if input.x == 1",
		"law/law_test.rego": "package comity.law_test\nimport data.comity.law\ntest_it if \"own\" in law.deny with input.x as 1",
		"law/data.json":     `{"names": ["c"], "limits": {"high": 5}}`,
	})
	e := open(t, first, second)
	if diff := cmp.Diff([]string{"own", "shared"}, evaluate[[]string](t, e, "data.comity.law.deny", map[string]int{"x": 1})); diff != "" {
		t.Error(diff)
	}
	want := map[string]any{"names": []any{"a", "b", "c"}, "limits": map[string]any{"low": 1.0, "high": 5.0}}
	if diff := cmp.Diff(want, evaluate[map[string]any](t, e, "data.law", nil)); diff != "" {
		t.Error(diff)
	}
}

func TestSuppliedDataAreSeenAndStay(t *testing.T) {
	root := directory(t, map[string]string{"x.rego": "package x\nhas if input.id in data.agreements.ids\nfixed := true", "y/data.yaml": "a: 1"})
	e := open(t, root)
	input := map[string]string{"id": "us-gb"}
	var has bool
	if _, err := e.Evaluate(t.Context(), "data.x.has", input, &has); err == nil {
		t.Error("it is defined before the data are there")
	}
	if err := e.SetData(t.Context(), "agreements", map[string][]string{"ids": {"us-gb"}}); err != nil {
		t.Fatal(err)
	}
	if !evaluate[bool](t, e, "data.x.has", input) {
		t.Error("the rule does not see the data")
	}
	revision := e.Revision()
	put(t, filepath.Join(root, "x.rego"), "package x\nhas if input.id in data.agreements.ids\nfixed := false")
	if err := e.reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if e.Revision() == revision || evaluate[bool](t, e, "data.x.fixed", nil) {
		t.Error("the changed policies are not active")
	}
	if !evaluate[bool](t, e, "data.x.has", input) {
		t.Error("the data did not survive the reload")
	}
	if err := e.SetData(t.Context(), "agreements", map[string][]string{"ids": {}}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Evaluate(t.Context(), "data.x.has", input, &has); err == nil {
		t.Error("the old data are still there")
	}
	for _, name := range []string{"x", "y", "", "a/b", "a.b", "A", "system\n"} {
		if err := e.SetData(t.Context(), name, 1); err == nil {
			t.Errorf("it takes data as %q", name)
		}
	}
	if err := e.SetData(t.Context(), "z", func() {}); err == nil {
		t.Error("it takes a function for data")
	}
}

func TestWatchActivatesOnlyWhatIsValid(t *testing.T) {
	root := directory(t, map[string]string{"x.rego": "package x\nanswer := 1"})
	e := open(t, root)
	watching := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { watching <- e.Watch(ctx) }()
	eventually := func(what string, holds func() bool) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("it never happened that ", what)
			}
		}
	}
	first := e.Revision()

	put(t, filepath.Join(root, "x.rego"), "package x\nanswer := ")
	eventually("the failure shows", func() bool { return e.Err() != nil })
	if e.Revision() != first || evaluate[int](t, e, "data.x.answer", nil) != 1 {
		t.Error("the last good set did not stay")
	}

	put(t, filepath.Join(root, "x.rego"), "package x\nanswer := 2")
	eventually("the repaired set is active", func() bool { return e.Err() == nil })
	if e.Revision() == first || evaluate[int](t, e, "data.x.answer", nil) != 2 {
		t.Error("the repaired set is not active")
	}

	put(t, filepath.Join(root, "x_test.rego"), "package x_test\nimport data.x\ntest_it if x.answer == 1")
	eventually("the failing test shows", func() bool { return e.Err() != nil })
	if err := os.Remove(filepath.Join(root, "x_test.rego")); err != nil {
		t.Fatal(err)
	}
	eventually("going back to what is active is good again", func() bool { return e.Err() == nil })

	away := root + ".away"
	if err := os.Rename(root, away); err != nil {
		t.Fatal(err)
	}
	eventually("the missing directory shows", func() bool { return e.Err() != nil })
	if err := os.Rename(away, root); err != nil {
		t.Fatal(err)
	}
	eventually("the directory is back", func() bool { return e.Err() == nil })

	cancel()
	if err := <-watching; err != nil {
		t.Error(err)
	}
}

func BenchmarkEvaluate(b *testing.B) {
	e, err := Open(b.Context(), []string{shared}, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	input := map[string]any{
		"state": "us", "workload": map[string]string{"state": "us", "service": "gateway"},
		"person":  map[string]any{"subject": "s", "roles": []string{"analyst"}},
		"service": "comity.statistics.v1.StatisticsService", "method": "Query",
	}
	for b.Loop() {
		var allowed bool
		if _, err := e.Evaluate(b.Context(), "data.comity.access.allow", input, &allowed); err != nil || !allowed {
			b.Fatal(allowed, err)
		}
	}
}
