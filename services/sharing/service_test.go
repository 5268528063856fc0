package sharing_test

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/sharing"
)

func TestExchange(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.newFigures()
	w.agree(t, w.terms())

	t.Run("stores at the receiver what was released, and what was withheld without a value", func(t *testing.T) {
		hole := math.NaN()
		want := map[string]float64{
			"M,AA,1A,_T,_T,_T,2023-01": 92, "M,AA,1A,_T,SYR,_T,2023-01": 41, "M,AA,1A,_T,AFG,_T,2023-01": 14, "M,AA,1A,_T,IRQ,_T,2023-01": 37,
			"M,AA,1A,NORTH,_T,_T,2023-01": 49, "M,AA,1A,SOUTH,_T,_T,2023-01": hole, "M,AA,1A,EAST,_T,_T,2023-01": hole,
			"M,AA,1A,NORTH,SYR,_T,2023-01": hole, "M,AA,1A,NORTH,AFG,_T,2023-01": hole, "M,AA,1A,NORTH,IRQ,_T,2023-01": hole,
			"M,AA,1A,SOUTH,SYR,_T,2023-01": hole, "M,AA,1A,EAST,AFG,_T,2023-01": hole, "M,AA,1A,EAST,IRQ,_T,2023-01": hole,
		}
		if diff := cmp.Diff(want, w.bb.figures.received, cmpopts.EquateNaNs()); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("makes all that is withheld look alike", func(t *testing.T) {
		for key, value := range w.bb.figures.received {
			want := "A F"
			if math.IsNaN(value) {
				want = "Q C"
			}
			if got := w.bb.figures.statuses[key]; got != want {
				t.Errorf("%s has the statuses %s", key, got)
			}
		}
	})
	t.Run("says what was withheld, and why", func(t *testing.T) {
		releases, next, err := w.aa.Releases(ctx, sharing.Page{})
		if err != nil || len(releases) != 1 || next != "" {
			t.Fatalf("%d releases, next %q, %v", len(releases), next, err)
		}
		r := releases[0]
		if r.Candidates != 13 || r.Released != 5 || r.Withheld != 0 || r.Suppressed != 8 || r.ValueKept != 0 {
			t.Errorf("%+v", r)
		}
		if diff := cmp.Diff(map[string]int{"A": 3, "D": 5}, r.Rules); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("has a verified receipt at the sender", func(t *testing.T) {
		deliveries, _, err := w.aa.Deliveries(ctx, sharing.Page{})
		if err != nil || len(deliveries) != 1 || deliveries[0].State != sharing.Receipted || !deliveries[0].ReceiptVerified {
			t.Errorf("%+v, %v", deliveries, err)
		}
		deliveries, _, err = w.bb.Deliveries(ctx, sharing.Page{Partner: "aa"})
		if err != nil || len(deliveries) != 1 || deliveries[0].State != sharing.Stored || deliveries[0].Cells != 13 {
			t.Errorf("%+v, %v", deliveries, err)
		}
	})
	t.Run("does not release again what has not changed", func(t *testing.T) {
		w.run(t)
		if releases, _, err := w.aa.Releases(ctx, sharing.Page{}); err != nil || len(releases) != 1 {
			t.Errorf("%d releases, %v", len(releases), err)
		}
	})
	t.Run("releases what has changed, and the receiver has it", func(t *testing.T) {
		w.aa.figures.set("M,AA,1A,EAST,AFG,_T,2023-02", 500)
		w.run(t)
		if got := w.bb.figures.received["M,AA,1A,EAST,AFG,_T,2023-02"]; got != 500 {
			t.Errorf("the receiver has %v", got)
		}
	})
	t.Run("says of a figure that is missing that it is, and of the sums over it", func(t *testing.T) {
		w.aa.figures.set("M,AA,1A,NORTH,SYR,_T,2023-03", 50)
		w.aa.figures.set("M,AA,1A,EAST,AFG,_T,2023-03", math.NaN())
		w.run(t)
		for cell, want := range map[string]string{"_T,_T": "M F", "EAST,AFG": "M F", "_T,AFG": "M F", "NORTH,SYR": "A F", "NORTH,_T": "A F"} {
			if got := w.bb.figures.statuses["M,AA,1A,"+cell+",_T,2023-03"]; got != want {
				t.Errorf("%s has the statuses %q, want %q", cell, got, want)
			}
		}
	})
	t.Run("leaves logs that verify at both states", func(t *testing.T) {
		for _, s := range []*state{w.aa, w.bb} {
			if n, err := s.verify(ctx); err != nil || n == 0 {
				t.Errorf("%s: %d entries, %v", s.code, n, err)
			}
		}
	})
	t.Run("counts how the streams stand", func(t *testing.T) {
		partners, err := w.aa.Partners(ctx)
		if err != nil || len(partners) != 1 || partners[0].ReceiptedSequence != 3 || partners[0].Waiting != 0 {
			t.Errorf("%+v, %v", partners, err)
		}
	})
	t.Run("pages releases, the newest first", func(t *testing.T) {
		first, next, err := w.aa.Releases(ctx, sharing.Page{Limit: 1})
		if err != nil || len(first) != 1 || next == "" {
			t.Fatalf("%d releases, next %q, %v", len(first), next, err)
		}
		second, _, err := w.aa.Releases(ctx, sharing.Page{Limit: 1, Token: next})
		if err != nil || len(second) != 1 || second[0].ID >= first[0].ID {
			t.Errorf("%d releases, next %q, %v", len(second), next, err)
		}
	})
}

func TestRelease(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	t.Run("treats a cell that policy refuses as one that must not be seen", func(t *testing.T) {
		w := newWorld(t)
		w.newFigures()
		w.aa.rules.include = filter.Compare(filter.OpNe, "CITIZENSHIP", "IRQ")
		w.agree(t, w.terms())
		for key, value := range w.bb.figures.received {
			if strings.Contains(key, "IRQ") && !math.IsNaN(value) {
				t.Errorf("%s was received", key)
			}
		}
		releases, _, err := w.aa.Releases(ctx, sharing.Page{})
		if err != nil || len(releases) != 1 || releases[0].Withheld != 3 || releases[0].Rules["N"] != 3 {
			t.Errorf("%+v, %v", releases, err)
		}
	})
	t.Run("goes at a coarser frequency where that is agreed", func(t *testing.T) {
		w := newWorld(t)
		w.newFigures()
		w.aa.figures.set("M,AA,1A,EAST,AFG,_T,2023-02", 500)
		terms := w.terms()
		terms.Detail = map[string]string{"FREQ": "A"}
		w.agree(t, terms)
		if diff := cmp.Diff(map[string]float64{"A,AA,1A,_T,_T,_T,2023": 592}, w.bb.figures.received); diff != "" {
			t.Error(diff)
		}
		releases, _, err := w.aa.Releases(ctx, sharing.Page{})
		want := map[string]string{"FREQ": "A", "SECTION": "_T", "CITIZENSHIP": "_T"}
		if err != nil || len(releases) != 1 {
			t.Fatalf("%d releases, %v", len(releases), err)
		}
		if diff := cmp.Diff(want, releases[0].Coarsened); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("goes as it is stored where that is coarser than agreed", func(t *testing.T) {
		w := newWorld(t)
		w.aa.figures.set("A,AA,1A,EAST,AFG,_T,2023", 500)
		w.agree(t, w.terms())
		if w.bb.figures.received["A,AA,1A,EAST,AFG,_T,2023"] != 500 {
			t.Errorf("%v", w.bb.figures.received)
		}
	})
	t.Run("leaves out an indicator that the codelist does not have", func(t *testing.T) {
		w := newWorld(t)
		w.newFigures()
		terms := w.terms()
		terms.Indicators = []string{"1A", "NEW"}
		w.agree(t, terms)
		if len(w.bb.figures.received) == 0 {
			t.Error("nothing was received")
		}
	})
	t.Run("withdraws everything once there is nothing left", func(t *testing.T) {
		w := newWorld(t)
		w.newFigures()
		w.agree(t, w.terms())
		clear(w.aa.figures.own)
		w.run(t)
		if len(w.bb.figures.received) != 0 || len(w.bb.figures.submitted) != 2 {
			t.Errorf("%v, %v", w.bb.figures.received, w.bb.figures.submitted)
		}
	})
	t.Run("goes nowhere while policy cannot be evaluated", func(t *testing.T) {
		w := newWorld(t)
		w.newFigures()
		w.aa.rules.failing = errors.New("broken")
		w.agree(t, w.terms())
		if releases, _, err := w.aa.Releases(ctx, sharing.Page{}); err != nil || len(releases) != 0 {
			t.Errorf("%+v, %v", releases, err)
		}
	})
	t.Run("travels in batches that are stored together", func(t *testing.T) {
		w := newWorld(t)
		for year := 1000; year < 1900; year++ {
			for _, month := range []string{"01", "02", "03"} {
				w.aa.figures.own["M,AA,1A,EAST,AFG,_T,"+time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC).Format("2006")+"-"+month] = 9
			}
		}
		w.agree(t, w.terms())
		deliveries, _, err := w.bb.Deliveries(ctx, sharing.Page{})
		if err != nil || len(deliveries) != 3 || deliveries[0].State != sharing.Stored || deliveries[2].State != sharing.Stored {
			t.Errorf("%+v, %v", deliveries, err)
		}
		if len(w.bb.figures.received) != 10_800 {
			t.Errorf("%d rows", len(w.bb.figures.received))
		}
	})
}

func TestSignRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	for name, change := range map[string]func(*sharing.Terms){
		"a level that its dimension does not have": func(terms *sharing.Terms) { terms.Detail["SECTION"] = "village" },
		"a dimension that there is not":            func(terms *sharing.Terms) { terms.Detail["RELIGION"] = "_T" },
		"a frequency that there is not":            func(terms *sharing.Terms) { terms.Detail["FREQ"] = "Z" },
	} {
		t.Run(name, func(t *testing.T) {
			terms := w.terms()
			terms.ID = sharing.AgreementID("aa-bb-" + strings.ReplaceAll(name, " ", "-"))
			terms.Detail = maps.Clone(terms.Detail)
			change(&terms)
			must(t)(w.aa.Draft(ctx, terms))
			if _, err := w.aa.Sign(ctx, terms.ID); !fault.Is(err, fault.Precondition) {
				t.Errorf("it was signed: %v", err)
			}
		})
	}
}

func TestAgreement(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	stands := func(t *testing.T, s *state, want sharing.AgreementState) {
		t.Helper()
		a, err := s.Agreement(ctx, "aa-bb-1a")
		if err != nil || a.State != want {
			t.Errorf("at %s it is %d, %v", s.code, a.State, err)
		}
	}
	t.Run("names every term that is wrong", func(t *testing.T) {
		_, err := w.aa.Draft(ctx, sharing.Terms{ID: "Not An Id", Provider: "zz", Receiver: "zz"})
		wrong := (*fault.Error)(nil)
		if !errors.As(err, &wrong) || wrong.Kind != fault.Invalid || len(wrong.Violations) < 7 {
			t.Errorf("%+v", err)
		}
	})
	t.Run("is proposed until both have signed, and then active at both", func(t *testing.T) {
		must(t)(w.aa.Draft(ctx, w.terms()))
		must(t)(w.aa.Draft(ctx, w.terms()))
		stands(t, w.aa, sharing.Proposed)
		must(t)(w.aa.Sign(ctx, "aa-bb-1a"))
		w.aa.letters.down = errors.New("no line")
		w.run(t)
		w.aa.letters.down = nil
		w.run(t)
		stands(t, w.bb, sharing.Proposed)
		must(t)(w.bb.Sign(ctx, "aa-bb-1a"))
		stands(t, w.bb, sharing.Active)
		w.run(t)
		stands(t, w.aa, sharing.Active)
	})
	t.Run("is not signed where nobody knows what it is of", func(t *testing.T) {
		terms := w.terms()
		terms.ID, terms.Dataflow = "unknown", "X:NONE(1.0.0)"
		must(t)(w.aa.Draft(ctx, terms))
		if _, err := w.aa.Sign(ctx, terms.ID); !fault.Is(err, fault.Precondition) {
			t.Errorf("%v", err)
		}
		must(t)(w.aa.Terminate(ctx, terms.ID, "it was a mistake"))
	})
	t.Run("cannot be changed under the same version", func(t *testing.T) {
		terms := w.terms()
		terms.Onward = true
		if _, err := w.aa.Draft(ctx, terms); !fault.Is(err, fault.Exists) {
			t.Errorf("%v", err)
		}
	})
	t.Run("is superseded by a higher version that both have signed", func(t *testing.T) {
		terms := w.terms()
		terms.Version = 2
		w.agree(t, terms)
		all, err := w.bb.Agreements(ctx, true)
		if err != nil || len(all) != 2 || all[0].State != sharing.Superseded || all[1].State != sharing.Active {
			t.Errorf("%+v, %v", all, err)
		}
	})
	t.Run("ends at both when one ends it", func(t *testing.T) {
		if _, err := w.bb.Terminate(ctx, "aa-bb-1a", strings.Repeat("why? ", 1000)); !fault.Is(err, fault.Invalid) {
			t.Errorf("with a long reason: %v", err)
		}
		must(t)(w.bb.Terminate(ctx, "aa-bb-1a", "no longer needed"))
		w.run(t)
		stands(t, w.aa, sharing.Terminated)
		stands(t, w.bb, sharing.Terminated)
		if open, err := w.aa.Agreements(ctx, false); err != nil || len(open) != 0 {
			t.Errorf("%+v, %v", open, err)
		}
		if _, err := w.aa.Terminate(ctx, "aa-bb-1a", "again"); !fault.Is(err, fault.Precondition) {
			t.Errorf("%v", err)
		}
	})
	t.Run("is not taken from a state that has not signed it", func(t *testing.T) {
		terms := w.terms()
		terms.ID = "other"
		document, err := terms.Document()
		if err != nil {
			t.Fatal(err)
		}
		unsigned := sharing.Signed{PayloadType: sharing.AgreementType, Payload: document}
		if err := w.bb.ReceiveProposal(ctx, "aa", unsigned); fault.Reason(err) != "UNTRUSTED_SIGNER" {
			t.Errorf("%v", err)
		}
	})
	t.Run("leaves logs that verify", func(t *testing.T) {
		for _, s := range []*state{w.aa, w.bb} {
			if _, err := s.verify(ctx); err != nil {
				t.Errorf("%s: %v", s.code, err)
			}
		}
	})
}

func TestExplain_knows_what_was_told_before(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, month := range []string{"2023-01", "2023-02"} {
		for i, cell := range []string{"NORTH,SYR", "NORTH,AFG", "SOUTH,SYR", "SOUTH,AFG"} {
			w.aa.figures.set("M,AA,1A,"+cell+",_T,"+month, float64(20+i))
		}
	}
	terms := w.terms()
	delete(terms.Detail, "CITIZENSHIP")
	w.agree(t, terms)
	told := w.aa.figures.revision
	w.aa.figures.set("M,AA,1A,NORTH,SYR,_T,2023-02", 40)
	maps.DeleteFunc(w.aa.figures.before[told], func(key string, _ float64) bool { return strings.HasSuffix(key, "2023-01") })
	terms = w.terms()
	terms.Version = 2
	w.agree(t, terms)
	shown := 0
	for _, value := range w.bb.figures.received {
		if !math.IsNaN(value) {
			shown++
		}
	}
	got, err := w.aa.Explain(t.Context(), sharing.ExplainRequest{Partner: "bb", Indicator: "1A"})
	if err != nil || got.Released != shown || got.Suppressed != 1 || len(got.Cells) != 0 || shown != 9 {
		t.Errorf("%d figures went; %+v, %v", shown, got, err)
	}
	if len(got.Notes) != 1 || !slices.Equal(got.Notes[0].Periods, []string{"2023-01"}) {
		t.Errorf("%+v", got.Notes)
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.newFigures()
	w.agree(t, w.terms())
	t.Run("says what would go, and sends nothing", func(t *testing.T) {
		got, err := w.aa.Explain(ctx, sharing.ExplainRequest{Partner: "bb", Indicator: "1A"})
		if err != nil || !got.Allowed || got.Released != 5 || got.Suppressed != 8 || got.PolicyRevision != "r1" {
			t.Errorf("%+v, %v", got, err)
		}
	})
	t.Run("counts the cells asked for", func(t *testing.T) {
		got, err := w.aa.Explain(ctx, sharing.ExplainRequest{Partner: "bb", Indicator: "1A", Filter: filter.Eq("SECTION", "NORTH")})
		if err != nil || got.Released != 1 || got.Suppressed != 3 {
			t.Errorf("%+v, %v", got, err)
		}
		asked := w.aa.rules.questions[len(w.aa.rules.questions)-1].Requested
		if diff := cmp.Diff(map[string][]sharing.RequestedCode{"SECTION": {{Code: "NORTH", Level: "section"}}}, asked); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("says why cells would be withheld, and of what kind those are that others protect", func(t *testing.T) {
		got, err := w.aa.Explain(ctx, sharing.ExplainRequest{Partner: "bb", Indicator: "1A", Filter: filter.In("SECTION", "SOUTH", "EAST")})
		if err != nil || len(got.Cells) != 5 {
			t.Fatalf("%+v, %v", got, err)
		}
		if diff := cmp.Diff(map[string]int{"A": 2, "D": 3}, got.Rules); diff != "" {
			t.Error(diff)
		}
		for _, cell := range got.Cells {
			switch cell.ConfStatus {
			case "A":
				if cell.Text != "It counts fewer than 3." || cell.Protects != nil {
					t.Errorf("%+v", cell)
				}
			case "D":
				if cell.Protects["SECTION"] != "section" || cell.Protects["CITIZENSHIP"] == "" {
					t.Errorf("%+v", cell)
				}
			default:
				t.Errorf("%+v", cell)
			}
		}
	})
	t.Run("is not asked for cells by their values", func(t *testing.T) {
		for _, asked := range []filter.Filter{filter.Compare(filter.OpGe, "OBS_VALUE", "3"), filter.Not(filter.Eq("OBS_VALUE", "9"))} {
			got, err := w.aa.Explain(ctx, sharing.ExplainRequest{Partner: "bb", Indicator: "1A", Filter: filter.And(filter.Eq("SECTION", "EAST"), asked)})
			if !fault.Is(err, fault.Invalid) {
				t.Errorf("%+v, %v", got, err)
			}
		}
	})
	t.Run("names the reason why not", func(t *testing.T) {
		got, err := w.aa.Explain(ctx, sharing.ExplainRequest{Partner: "bb", Indicator: "5"})
		if err != nil || got.Allowed || got.Reasons[0].Code != "INDICATOR_NOT_COVERED" || got.Reasons[0].Agreement != "aa-bb-1a" {
			t.Errorf("%+v, %v", got, err)
		}
		got, err = w.bb.Explain(ctx, sharing.ExplainRequest{Partner: "aa", Indicator: "5"})
		if err != nil || got.Allowed || got.Reasons[0].Code != "NO_AGREEMENT" {
			t.Errorf("%+v, %v", got, err)
		}
	})
	t.Run("knows no partner that is not trusted", func(t *testing.T) {
		for _, partner := range []sharing.StateCode{"zz", "aa", ""} {
			if _, err := w.aa.Explain(ctx, sharing.ExplainRequest{Partner: partner, Indicator: "5"}); !fault.Is(err, fault.NotFound) {
				t.Errorf("%q: %v", partner, err)
			}
		}
	})
	t.Run("refuses what it could not keep, or does not release", func(t *testing.T) {
		codes := make([]string, 5000)
		for i := range codes {
			codes[i] = fmt.Sprintf("C%d", i)
		}
		for name, request := range map[string]sharing.ExplainRequest{
			"no indicator":         {Partner: "bb"},
			"a large indicator":    {Partner: "bb", Indicator: strings.Repeat("1", 20_000)},
			"a large purpose":      {Partner: "bb", Indicator: "1A", Purpose: strings.Repeat("x", 20_000)},
			"many codes":           {Partner: "bb", Indicator: "1A", Filter: filter.And(filter.In("SECTION", codes...))},
			"an unknown component": {Partner: "bb", Indicator: "1A", Filter: filter.Eq("PASSPORT", "X1")},
			"no filter":            {Partner: "bb", Indicator: "1A", Filter: filter.Filter{Op: 99}},
		} {
			if _, err := w.aa.Explain(ctx, request); !fault.Is(err, fault.Invalid) && !fault.Is(err, fault.Exhausted) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	t.Run("refuses while policy cannot be evaluated", func(t *testing.T) {
		w.aa.rules.failing = errors.New("broken")
		defer func() { w.aa.rules.failing = nil }()
		got, err := w.aa.Explain(ctx, sharing.ExplainRequest{Partner: "bb", Indicator: "1A"})
		if err != nil || got.Allowed || got.Reasons[0].Code != "POLICY_ERROR" {
			t.Errorf("%+v, %v", got, err)
		}
	})
}
