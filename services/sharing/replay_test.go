package sharing_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/internal/policy"
	"github.com/comity-federation/comity/services/internal/policy/policytest"
	"github.com/comity-federation/comity/services/sharing"
)

// archives opens policies of the past.
type archives struct{}

func (archives) OpenArchive(ctx context.Context, archive []byte) (sharing.Policy, error) {
	return policy.OpenArchive(ctx, archive, slog.New(slog.DiscardHandler))
}

func (archives) OpenCandidate(ctx context.Context, bundle []byte) (sharing.Policy, error) {
	return policy.OpenCandidate(ctx, bundle, slog.New(slog.DiscardHandler))
}

// underLaw gives aa the project's policies with a law of its own, from now on.
func (w *world) underLaw(t *testing.T, law string) {
	t.Helper()
	engine, err := policy.Open(t.Context(), w.directories(t, law), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	config := w.aa.Config
	config.Policy, config.Past = engine, archives{}
	w.aa.Service = sharing.New(config)
}

// directories returns those of the project's policies with a law.
func (w *world) directories(t *testing.T, law string) []string {
	t.Helper()
	own := t.TempDir()
	if err := os.MkdirAll(filepath.Join(own, "law"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(own, "law", "aa.rego"), []byte("package comity.law\n\n"+law), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{policytest.Untested(t, filepath.Join("..", "..", "policies")), own}
}

// replay makes all decisions of aa again.
func (w *world) replay(t *testing.T) map[sharing.ReplayOutcome][]sharing.Replayed {
	t.Helper()
	all := map[sharing.ReplayOutcome][]sharing.Replayed{}
	err := w.aa.ReplaySince(t.Context(), time.Time{}, func(r sharing.Replayed) error {
		all[r.Outcome] = append(all[r.Outcome], r)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestReplay(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	w.withPolicies(t, "")
	w.newFigures()
	w.underLaw(t, `excluded contains {"CITIZENSHIP": {"IRQ", "SYR"}, "SECTION": {"NORTH"}}`)
	w.agree(t, w.terms())
	for _, indicator := range []string{"1A", "5"} {
		if _, err := w.aa.Explain(ctx, sharing.ExplainRequest{Partner: "bb", Indicator: indicator}); err != nil {
			t.Fatal(err)
		}
	}
	var first sharing.Replayed
	t.Run("makes every decision again, bit for bit", func(t *testing.T) {
		all := w.replay(t)
		if len(all) != 1 || len(all[sharing.ReplaySame]) < 3 {
			t.Fatalf("%+v", all)
		}
		first = all[sharing.ReplaySame][0]
		if !bytes.Equal(first.Kept, first.Again) || !bytes.Contains(first.Kept, []byte(`"policyData":"`)) {
			t.Errorf("%s\n%s", first.Kept, first.Again)
		}
	})
	t.Run("also when law, agreements and the day are others by now", func(t *testing.T) {
		before := len(w.replay(t)[sharing.ReplaySame])
		w.underLaw(t, `deny contains {"code": "LAW", "text": "nothing goes any more"} if input.direction == "send"`)
		again, err := w.aa.Explain(ctx, sharing.ExplainRequest{Partner: "bb", Indicator: "1A"})
		if err != nil || again.Allowed {
			t.Fatalf("the law does not hold: %+v, %v", again, err)
		}
		if _, err := w.aa.Terminate(ctx, "aa-bb-1a", "over"); err != nil {
			t.Fatal(err)
		}
		w.pass(400 * 24 * time.Hour)
		if _, err := w.aa.Explain(ctx, sharing.ExplainRequest{Partner: "bb", Indicator: "1A"}); err != nil {
			t.Fatal(err)
		}
		if all := w.replay(t); len(all) != 1 || len(all[sharing.ReplaySame]) < before+2 {
			t.Errorf("%+v", all)
		}
		one, err := w.aa.ReplayDecision(ctx, first.Decision)
		if err != nil || one.Outcome != sharing.ReplaySame {
			t.Errorf("%+v, %v", one, err)
		}
	})
	t.Run("takes what a switch has stopped as it is", func(t *testing.T) {
		if _, err := w.aa.Throw(ctx, sharing.SwitchRequest{Mode: sharing.Kill, By: "ada", Reason: "a test"}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.aa.Explain(ctx, sharing.ExplainRequest{Partner: "bb", Indicator: "1A"}); err != nil {
			t.Fatal(err)
		}
		if all := w.replay(t); len(all) != 1 {
			t.Errorf("%+v", all)
		}
	})
	t.Run("says which decision was changed since, and where", func(t *testing.T) {
		edit(t, w, `UPDATE decision SET document = replace(convert_from(document, 'UTF8'), '"minimumFrequency":3', '"minimumFrequency":2')::bytea WHERE id = '`+string(first.Decision)+`'`)
		all := w.replay(t)
		different := all[sharing.ReplayDifferent]
		if len(all) != 2 || len(different) != 1 || different[0].Decision != first.Decision || !strings.Contains(different[0].Text, `minimumFrequency`) {
			t.Errorf("%+v", all)
		}
	})
	t.Run("says of which decision the policy or its data are gone, or are others", func(t *testing.T) {
		edit(t, w, `UPDATE decision SET document = replace(convert_from(document, 'UTF8'), '"policyData":"', '"policyData":"00')::bytea WHERE id = '`+string(first.Decision)+`'`)
		one, err := w.aa.ReplayDecision(ctx, first.Decision)
		if err != nil || one.Outcome != sharing.ReplayNotKept || !strings.Contains(one.Text, "data") {
			t.Errorf("%+v, %v", one, err)
		}
		edit(t, w, `UPDATE policy_set SET archive = (SELECT archive FROM policy_set ORDER BY revision LIMIT 1)`)
		outcomes := w.replay(t)
		if len(outcomes[sharing.ReplayNotKept]) == 0 {
			t.Errorf("%+v", outcomes)
		}
		edit(t, w, `DELETE FROM policy_set`)
		if all := w.replay(t); len(all) != 1 || len(all[sharing.ReplayNotKept]) == 0 {
			t.Errorf("%+v", all)
		}
	})
	t.Run("knows no decision that there is not", func(t *testing.T) {
		if _, err := w.aa.ReplayDecision(ctx, "0190a0a0-0000-7000-8000-000000000000"); !fault.Is(err, fault.NotFound) {
			t.Errorf("%v", err)
		}
		if _, err := w.aa.ReplayDecision(ctx, "x'"); !fault.Is(err, fault.Invalid) {
			t.Errorf("%v", err)
		}
	})
}

func edit(t *testing.T, w *world, sql string) {
	t.Helper()
	if tag, err := w.aa.pool.Exec(t.Context(), sql); err != nil || tag.RowsAffected() == 0 {
		t.Fatalf("%v, %v", tag, err)
	}
}

// TestPolicyErrorTimeoutUndefinedOrNonBooleanDenyWithPolicyError is that whatever is wrong with a policy lets nothing go.
func TestPolicyErrorTimeoutUndefinedOrNonBooleanDenyWithPolicyError(t *testing.T) {
	t.Parallel()
	const allows = `{"allow": true, "reasons": [], "agreement": {"id": "aa-bb-1a", "version": 1}, "detail": {"FREQ": "M"}, "obligations": {"minimumFrequency": 3}}`
	w := newWorld(t)
	w.newFigures()
	w.agree(t, w.terms())
	for name, rules := range map[string]string{
		"an error of a function":               "decision := " + allows + " if to_number(input.indicator) > 0\ninclude := true",
		"two values at once":                   "decision := " + allows + "\ndecision := {\"allow\": true} if input.state\ninclude := true",
		"undefined":                            "decision := " + allows + " if input.nothing\ninclude := true",
		"no rule at all":                       "other := 1",
		"null":                                 "decision := null\ninclude := true",
		"not boolean":                          "decision := " + strings.Replace(allows, "true", `"yes"`, 1) + "\ninclude := true",
		"a number in place of true":            "decision := " + strings.Replace(allows, "true", "1", 1) + "\ninclude := true",
		"no document":                          "decision := true\ninclude := true",
		"no reason for a no":                   `decision := {"allow": false, "reasons": []}` + "\ninclude := true",
		"a condition that is an error":         "decision := " + allows + "\ninclude if to_number(input.indicator) > 0",
		"a condition that is no filter":        "decision := " + allows + "\ninclude if regex.match(\"S.*\", input.cell.CITIZENSHIP)",
		"a rule that takes longer than it may": "decision := " + allows + " if {\n\tsome i in numbers.range(1, 20000)\n\tsome j in numbers.range(1, 20000)\n\ti * j == -1\n}\ninclude := true",
	} {
		t.Run(name, func(t *testing.T) {
			own := t.TempDir()
			if err := os.WriteFile(filepath.Join(own, "exchange.rego"), []byte("package comity.exchange\n\n"+rules+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			engine, err := policy.Open(t.Context(), []string{own}, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			engine.Limit(200 * time.Millisecond)
			config := w.aa.Config
			config.Policy = engine
			service := sharing.New(config)
			got, err := service.Explain(t.Context(), sharing.ExplainRequest{Partner: "bb", Indicator: "1A"})
			if err != nil || got.Allowed || len(got.Reasons) != 1 || got.Reasons[0].Code != "POLICY_ERROR" || got.Released != 0 {
				t.Errorf("%+v, %v", got, err)
			}
			documents, err := config.Store.Decisions(t.Context(), time.Time{}, "", 1000)
			if err != nil || len(documents) == 0 {
				t.Fatal(len(documents), err)
			}
			var kept sharing.Decision
			if err := json.Unmarshal(documents[len(documents)-1], &kept); err != nil || kept.Indicators[0].Ruling.Allow || kept.Indicators[0].Include.Match(func(string) string { return "" }) {
				t.Errorf("%s, %v", documents[len(documents)-1], err)
			}
		})
	}
}

func TestShadow(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	w.withPolicies(t, "")
	w.newFigures()
	w.underLaw(t, `deny contains {"code": "LAW", "text": "no"} if input.indicator == "5"`)
	w.agree(t, w.terms())
	for range 2 {
		for _, indicator := range []string{"1A", "5"} {
			if _, err := w.aa.Explain(ctx, sharing.ExplainRequest{Partner: "bb", Indicator: indicator}); err != nil {
				t.Fatal(err)
			}
		}
	}
	candidate := func(law string) []byte {
		t.Helper()
		bundle, err := policy.Build(w.directories(t, law), 1, time.Now().Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		return bundle
	}
	shadow := func(law string) sharing.ShadowReport {
		t.Helper()
		report, err := w.aa.Shadow(ctx, candidate(law), time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	before := len(w.replay(t)[sharing.ReplaySame])
	find := func(report sharing.ShadowReport, use string, change sharing.PolicyChange) *sharing.PolicyDifference {
		for _, d := range report.Differences {
			if d.Use == use && d.Change == change && d.Partner == "bb" && d.Indicator == "1A" {
				return &d
			}
		}
		return nil
	}
	t.Run("the same policies change nothing", func(t *testing.T) {
		report := shadow(`deny contains {"code": "LAW", "text": "no"} if input.indicator == "5"`)
		if len(report.Differences) != 0 || report.Same != report.Questions || report.Decisions != before || report.Revision == "" {
			t.Errorf("%+v", report)
		}
	})
	t.Run("a stricter law withholds what was released", func(t *testing.T) {
		report := shadow(`deny contains {"code": "LAW", "text": "nothing"} if input.partner == "bb"`)
		release, explain := find(report, "release", sharing.ChangeWithheld), find(report, "explain", sharing.ChangeWithheld)
		if release == nil || explain == nil || explain.Questions != 2 || !strings.Contains(explain.After, "nothing") || explain.Example == "" || !explain.First.Before(explain.Last) {
			t.Errorf("%+v", report)
		}
	})
	t.Run("a law that leaves other cells out says which", func(t *testing.T) {
		report := shadow(`excluded contains {"CITIZENSHIP": {"IRQ"}}`)
		if d := find(report, "release", sharing.ChangeCells); d == nil || !strings.Contains(d.After, "IRQ") || strings.Contains(d.Before, "IRQ") {
			t.Errorf("%+v", report)
		}
	})
	t.Run("another threshold is another obligation", func(t *testing.T) {
		report := shadow(`protection contains {"minimum_frequency": 30}`)
		if d := find(report, "release", sharing.ChangeObligations); d == nil || !strings.Contains(d.After, `"minimumFrequency":30`) {
			t.Errorf("%+v", report)
		}
	})
	t.Run("a law that has no answer is seen before anybody activates it", func(t *testing.T) {
		report := shadow(`deny contains {"code": "LAW", "text": "no"} if to_number(input.indicator) > 9`)
		if d := find(report, "release", sharing.ChangeUnanswered); d == nil || !strings.Contains(d.After, "POLICY_ERROR") {
			t.Errorf("%+v", report)
		}
	})
	t.Run("what was refused, and would go, comes first", func(t *testing.T) {
		w.underLaw(t, `deny contains {"code": "LAW", "text": "nothing"} if input.partner == "bb"`)
		if _, err := w.aa.Explain(ctx, sharing.ExplainRequest{Partner: "bb", Indicator: "1A"}); err != nil {
			t.Fatal(err)
		}
		report := shadow(`excluded contains {"CITIZENSHIP": {"IRQ"}}`)
		if len(report.Differences) < 2 || report.Differences[0].Change != sharing.ChangeReleased || !strings.Contains(report.Differences[0].Before, "nothing") {
			t.Errorf("%+v", report)
		}
	})
	t.Run("what does not compile, or is no bundle, is refused", func(t *testing.T) {
		for _, bundle := range [][]byte{nil, []byte("x"), candidate("deny contains x")} {
			if _, err := w.aa.Shadow(ctx, bundle, time.Time{}); !fault.Is(err, fault.Invalid) {
				t.Errorf("%v", err)
			}
		}
	})
	t.Run("nothing is kept of it, and nothing is in force but what was", func(t *testing.T) {
		if all := w.replay(t); len(all) != 1 || len(all[sharing.ReplaySame]) != before+1 {
			t.Errorf("%d before, %d after", before, len(all[sharing.ReplaySame]))
		}
	})
}
