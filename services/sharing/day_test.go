package sharing_test

import (
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/comity-federation/comity/services/sharing"
	sharingrpc "github.com/comity-federation/comity/services/sharing/rpc"
)

// gauges returns what a gauge of the state's says of each partner.
func (s *state) gauges(t *testing.T, name string) map[string]float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(sharingrpc.NewTransferMetrics(s.Service, slog.New(slog.DiscardHandler)))
	gathered, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range gathered {
		for _, metric := range family.GetMetric() {
			if family.GetName() == name {
				values[metric.GetLabel()[0].GetValue()] = metric.GetGauge().GetValue()
			}
		}
	}
	return values
}

// TestADaysCut cuts one of two partners off for a day, in which something changes every two hours.
func TestADaysCut(t *testing.T) {
	t.Parallel()
	const quota, step = 30, 2 * time.Hour
	w := newWorld(t, "cc")
	w.newFigures() // 13 cells
	terms := w.terms()
	terms.Quota = &sharing.Quota{Observations: quota, Period: "P1D"}
	w.agree(t, terms)
	free := w.terms()
	free.ID, free.Receiver = "aa-cc-1a", "cc"
	reached := w.beside(w.others[0])
	reached.agree(t, free)
	before, err := w.bb.Cursor(t.Context(), "aa")
	if err != nil {
		t.Fatal(err)
	}

	const cell = "M,AA,1A,EAST,AFG,_T,2024-01"
	last, held := time.Duration(0), 0
	for round := range int(24 * time.Hour / step) {
		w.pass(step)
		value := float64(100 * (round + 2))
		w.aa.figures.set(cell, value)
		reached.run(t) // in which bb draws nothing
		if got := reached.bb.figures.received[cell]; got != value {
			t.Fatalf("after %s, the other partner has %v of what changed", time.Duration(round+1)*step, got)
		}
		oldest := w.aa.gauges(t, "comity_sharing_waiting_oldest_seconds")
		age := time.Duration(oldest["bb"] * float64(time.Second))
		if round > 0 && age < last+step || oldest["cc"] != 0 {
			t.Errorf("after %s the oldest has waited for %s, and %v for the one that is reached", time.Duration(round+1)*step, age, oldest["cc"])
		}
		last, held = age, held+len(w.aa.gauges(t, "comity_sharing_release_held"))
	}
	if waiting := w.aa.gauges(t, "comity_sharing_waiting_batches"); waiting["bb"] == 0 || waiting["cc"] != 0 {
		t.Errorf("what waits: %v", waiting)
	}
	if held == 0 {
		t.Error("the quota keeps nothing back, so this shows nothing of it")
	}
	byDay := map[string]int{}
	all, _, err := w.aa.Deliveries(t.Context(), sharing.Page{Partner: "bb", Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		byDay[d.Created.UTC().Format(time.DateOnly)] += d.Cells
	}
	for day, cells := range byDay {
		if cells > quota {
			t.Errorf("on %s, %d cells were put out for the one that is cut off", day, cells)
		}
	}

	w.run(t) // the cut is over
	if oldest := w.aa.gauges(t, "comity_sharing_waiting_oldest_seconds"); oldest["bb"] != 0 {
		t.Errorf("when all is caught up with, the oldest has waited for %v s", oldest["bb"])
	}
	came, _, err := w.bb.Deliveries(t.Context(), sharing.Page{Partner: "aa", Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(came) // the oldest first
	for i, d := range came {
		if d.Sequence != uint64(i+1) || d.Epoch != before.Epoch || d.State != sharing.Stored {
			t.Errorf("what came as number %d: %+v", i+1, d)
		}
	}
	w.pass(24 * time.Hour) // what the quota had no room for
	w.run(t)
	reached.run(t)
	same := cmp.Diff(reached.bb.figures.received, w.bb.figures.received, cmpopts.EquateNaNs())
	if same != "" || len(w.bb.figures.received) == 0 {
		t.Errorf("it has something else than the other, %s:\n%s", slices.Sorted(maps.Keys(byDay)), same)
	}
	for release, times := range w.bb.figures.submitted {
		if times != 1 {
			t.Errorf("%s was stored %d times", release, times)
		}
	}
}
