package sharing_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/services/sharing"
)

// whole returns what aa takes bb to have, value and statuses by key.
func (w *world) whole(t *testing.T) (values map[string]float64, statuses map[string]string) {
	t.Helper()
	payloads, err := w.aa.Store.Content(t.Context(), "aa-bb-1a")
	if err != nil {
		t.Fatal(err)
	}
	values, statuses = map[string]float64{}, map[string]string{}
	for _, payload := range payloads {
		b, err := w.aa.Codec.DecodePayload(payload)
		if err != nil {
			t.Fatal(err)
		}
		for i := range b.Rows {
			var codes []string
			for _, d := range structures().Dimensions {
				codes = append(codes, b.Column(d.ID).Text(i))
			}
			key := strings.Join(append(codes, b.Column(block.TimePeriod).Text(i)), ",")
			values[key] = b.Column(block.ObsValue).Numbers[i]
			statuses[key] = b.Column(block.ObsStatus).Text(i) + " " + b.Column(block.ConfStatus).Text(i)
		}
	}
	return values, statuses
}

// equal fails the test unless bb has what aa takes it to have.
func (w *world) equal(t *testing.T) {
	t.Helper()
	values, statuses := w.whole(t)
	if diff := cmp.Diff(values, w.bb.figures.received, cmpopts.EquateNaNs()); diff != "" {
		t.Fatal(diff)
	}
	if diff := cmp.Diff(statuses, w.bb.figures.statuses); diff != "" {
		t.Fatal(diff)
	}
}

// year gives aa large figures of so many months.
func (w *world) year(months int) {
	for m := range months {
		for i, section := range []string{"NORTH", "SOUTH", "EAST"} {
			for k, country := range []string{"SYR", "AFG", "IRQ"} {
				w.aa.figures.set(fmt.Sprintf("M,AA,1A,%s,%s,_T,%d-%02d", section, country, 2020+m/12, 1+m%12), float64(500+100*i+10*k+m))
			}
		}
	}
}

func newest(t *testing.T, s *state) sharing.Release {
	t.Helper()
	releases, _, err := s.Releases(t.Context(), sharing.Page{Limit: 1})
	if err != nil || len(releases) != 1 {
		t.Fatalf("%d releases, %v", len(releases), err)
	}
	return releases[0]
}

func TestDelta(t *testing.T) {
	t.Parallel()
	ctx := t.Context()

	t.Run("carries what changed, and the receiver has everything", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.year(12)
		w.agree(t, w.terms())
		first := newest(t, w.aa)
		if first.Base != "" {
			t.Error("the first release builds upon another one")
		}
		w.equal(t)
		w.aa.figures.set("M,AA,1A,EAST,AFG,_T,2020-03", 9_000)
		w.run(t)
		w.equal(t)
		second := newest(t, w.aa)
		if second.Base != first.ID || w.bb.figures.received["M,AA,1A,EAST,AFG,_T,2020-03"] != 9_000 {
			t.Errorf("it builds upon %q", second.Base)
		}
		deliveries, _, err := w.bb.Deliveries(ctx, sharing.Page{Limit: 1})
		if err != nil || deliveries[0].Cells != 4 { // the cell, and its margins
			t.Errorf("%d cells went, %v", deliveries[0].Cells, err)
		}
	})
	t.Run("deletes what is gone", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.year(12)
		w.agree(t, w.terms())
		var keys []string
		for key := range w.aa.figures.own {
			if strings.HasSuffix(key, "2020-03") {
				keys = append(keys, key)
			}
		}
		w.aa.figures.remove(keys...)
		w.run(t)
		w.equal(t)
		if newest(t, w.aa).Base == "" {
			t.Error("everything went again")
		}
		for key := range w.bb.figures.received {
			if strings.HasSuffix(key, "2020-03") {
				t.Errorf("%s is still there", key)
			}
		}
	})
	t.Run("leaves the receiver with everything after any changes", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.year(10)
		w.agree(t, w.terms())
		deltas := 0
		for round := range 8 {
			for range 1 + rand.IntN(6) {
				key := fmt.Sprintf("M,AA,1A,%s,%s,_T,2020-%02d", []string{"NORTH", "SOUTH", "EAST"}[rand.IntN(3)], []string{"SYR", "AFG", "IRQ"}[rand.IntN(3)], 1+rand.IntN(12))
				if rand.IntN(3) == 0 {
					w.aa.figures.remove(key)
				} else {
					w.aa.figures.set(key, float64(rand.IntN(40)+1_000*rand.IntN(2)))
				}
			}
			w.run(t)
			w.equal(t)
			if newest(t, w.aa).Base != "" {
				deltas++
			}
			if t.Failed() {
				t.Fatalf("after round %d", round)
			}
		}
		if deltas == 0 {
			t.Error("nothing ever went as a delta")
		}
	})
	t.Run("is refused where the release before it was not stored, and everything comes again", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.year(12)
		w.agree(t, w.terms())
		w.bb.figures.reject = "too good to be true"
		w.aa.figures.set("M,AA,1A,EAST,AFG,_T,2020-03", 9_000)
		w.run(t)
		w.bb.figures.reject = ""
		w.aa.figures.set("M,AA,1A,EAST,AFG,_T,2020-05", 8_000)
		for _, step := range w.aa.Steps() {
			must(t)(nil, step(ctx))
		}
		must(t)(nil, w.pull(ctx, w.bb, w.aa))
		must(t)(nil, w.bb.Steps()[2](ctx))
		if got := w.bb.figures.received["M,AA,1A,EAST,AFG,_T,2020-05"]; got == 8_000 {
			t.Error("a delta was stored without what it builds upon")
		}
		lacking, err := w.bb.Incomplete(ctx, "aa")
		if err != nil || len(lacking) != 1 || lacking[0] != "aa-bb-1a" {
			t.Fatalf("it lacks %v, %v", lacking, err)
		}
		must(t)(nil, w.aa.ReleaseAnew(ctx, "cc", lacking)) // whose agreement it is not
		must(t)(nil, w.aa.Steps()[0](ctx))
		if newest(t, w.aa).Base == "" {
			t.Error("everything went again for somebody else")
		}
		w.run(t) // it asks
		w.run(t)
		w.equal(t)
		if lacking, err := w.bb.Incomplete(ctx, "aa"); err != nil || len(lacking) != 0 || newest(t, w.aa).Base != "" {
			t.Errorf("it lacks %v, %v", lacking, err)
		}
		id := newest(t, w.aa).ID
		if err := w.aa.ReleaseAnew(ctx, "bb", []sharing.AgreementID{"aa-bb-1a"}); err != nil {
			t.Fatal(err)
		}
		w.run(t)
		if newest(t, w.aa).ID != id {
			t.Error("everything went twice within a minute")
		}
		w.pass(2 * time.Minute)
		if err := w.aa.ReleaseAnew(ctx, "bb", []sharing.AgreementID{"aa-bb-1a"}); err != nil {
			t.Fatal(err)
		}
		w.run(t)
		if newest(t, w.aa).ID == id {
			t.Error("everything did not go again after two minutes")
		}
	})
	t.Run("is everything under a new version, and in a new epoch", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.year(12)
		w.agree(t, w.terms())
		terms := w.terms()
		terms.Version = 2
		w.agree(t, terms)
		w.equal(t)
		if r := newest(t, w.aa); r.Base != "" || r.AgreementVersion != 2 {
			t.Errorf("%+v", r)
		}
	})
}
