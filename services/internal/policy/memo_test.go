package policy

import (
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
)

func TestAnswersAreRememberedWhileTheDataAreTheSame(t *testing.T) {
	e := open(t, directory(t, map[string]string{"x.rego": "package x\nanswer := data.agreements + input.n\ninclude if input.cell.SEX in {\"F\", sprintf(\"%d\", [data.agreements])}"}))
	give := func(n int) {
		t.Helper()
		if err := e.SetData(t.Context(), "agreements", n); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(n, want int) {
		t.Helper()
		if got := evaluate[int](t, e, "data.x.answer", map[string]int{"n": n}); got != want {
			t.Errorf("%d, want %d", got, want)
		}
	}
	include := func(value string, want bool) {
		t.Helper()
		f, _, err := e.Condition(t.Context(), "data.x.include", map[string]int{"n": 1}, "input.cell")
		if err != nil || f.Match(func(string) string { return value }) != want {
			t.Errorf("%v, %v", f, err)
		}
	}
	give(1)
	for range 2 {
		ask(1, 2)
		ask(2, 3)
		include("1", true)
		include("2", false)
	}
	s := e.active.Load()
	if len(s.memo.answers) != 3 {
		t.Errorf("%d answers are remembered", len(s.memo.answers))
	}
	give(2)
	ask(1, 3)
	include("1", false)
	include("2", true)

	_, _, era := s.memo.recall("late")
	give(3)
	s.memo.remember("late", ast.Boolean(true), 1, era)
	if _, known, _ := s.memo.recall("late"); known {
		t.Error("an answer of data that are gone is remembered")
	}
	s.memo.remember("long", nil, maxQuestion+1, era+1)
	for i := range 3 * maxRemembered / maxQuestion {
		s.memo.remember(strings.Repeat("q", i+1), nil, maxQuestion-1000, era+1)
	}
	if s.memo.size > maxRemembered || len(s.memo.answers) > maxRemembered/(maxQuestion-1000) {
		t.Errorf("%d answers of %d bytes", len(s.memo.answers), s.memo.size)
	}
}
