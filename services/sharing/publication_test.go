package sharing_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/internal/policy"
	"github.com/comity-federation/comity/services/internal/policy/policytest"
	"github.com/comity-federation/comity/services/sharing"
)

// publish has aa's policies let the indicator 1A be published by months and citizenships, no figure below 4.
func (w *world) publish(t *testing.T) {
	t.Helper()
	own := t.TempDir()
	if err := os.MkdirAll(filepath.Join(own, "publication"), 0o700); err != nil {
		t.Fatal(err)
	}
	data := "dataflow: " + dataflow + "\nindicators: {1A: {detail: {FREQ: M, CITIZENSHIP: country}, minimumFrequency: 4}}\n"
	if err := os.WriteFile(filepath.Join(own, "publication", "data.yaml"), []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	engine, err := policy.Open(t.Context(), []string{policytest.Untested(t, filepath.Join("..", "..", "policies")), own}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	config := w.aa.Config
	config.Policy = engine
	w.aa.Service = sharing.New(config)
}

func TestPublish(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	w.publish(t)
	for key, value := range map[string]float64{
		"M,AA,1A,NORTH,SYR,_T,2023-01": 40, "M,AA,1A,NORTH,AFG,_T,2023-01": 2, "M,AA,1A,EAST,IRQ,_T,2023-01": 30,
		"M,AA,5,NORTH,SYR,_T,2023-01": 70,
	} {
		w.aa.figures.set(key, value)
	}
	var first sharing.Publication
	t.Run("shows everybody what policy lets be published", func(t *testing.T) {
		var err error
		if first, err = w.aa.Publish(ctx, sharing.PublicationRequest{Indicators: []string{"1A"}}); err != nil {
			t.Fatal(err)
		}
		if first.State != sharing.PublicationStored || first.Published.IsZero() || !slices.Equal(first.Indicators, []string{"1A"}) ||
			len(first.Reasons) > 0 || first.Candidates != 4 || first.Dataflow != dataflow {
			t.Errorf("%+v", first)
		}
		published := w.aa.figures.received
		if published["M,AA,1A,_T,_T,_T,2023-01"] != 72 || published["M,AA,1A,_T,AFG,_T,2023-01"] == 2 {
			t.Errorf("%v", published)
		}
	})
	t.Run("says which publication it is where nothing has changed", func(t *testing.T) {
		again, err := w.aa.Publish(ctx, sharing.PublicationRequest{})
		if err != nil || again.ID != first.ID {
			t.Errorf("%+v, %v", again, err)
		}
	})
	t.Run("says what of the request is not published", func(t *testing.T) {
		mixed, err := w.aa.Publish(ctx, sharing.PublicationRequest{Indicators: []string{"1A", "5"}})
		if err != nil || mixed.ID != first.ID {
			t.Errorf("%+v, %v", mixed, err)
		}
		_, err = w.aa.Publish(ctx, sharing.PublicationRequest{Indicators: []string{"5"}})
		if !fault.Is(err, fault.Precondition) || fault.Reason(err) != "INDICATOR_NOT_COVERED" {
			t.Errorf("%v", err)
		}
	})
	t.Run("says that nothing is published where policy names nothing", func(t *testing.T) {
		_, err := w.bb.Publish(ctx, sharing.PublicationRequest{})
		if !fault.Is(err, fault.Precondition) || fault.Reason(err) != "INDICATOR_NOT_COVERED" {
			t.Errorf("%v", err)
		}
	})
	t.Run("refuses what is no request", func(t *testing.T) {
		for _, request := range []sharing.PublicationRequest{
			{Indicators: []string{"1A", "1A"}}, {Indicators: []string{""}}, {Dataflow: "TEST:NOTHING(1.0.0)"},
		} {
			if _, err := w.aa.Publish(ctx, request); !fault.Is(err, fault.Invalid) && !fault.Is(err, fault.NotFound) {
				t.Errorf("%+v: %v", request, err)
			}
		}
	})
	t.Run("takes the place of what was published before", func(t *testing.T) {
		w.aa.figures.set("M,AA,1A,NORTH,SYR,_T,2023-01", 44)
		second, err := w.aa.Publish(ctx, sharing.PublicationRequest{Indicators: []string{"1A"}})
		if err != nil || second.ID == first.ID || w.aa.figures.received["M,AA,1A,_T,_T,_T,2023-01"] != 76 {
			t.Errorf("%+v, %v", second, err)
		}
		all, next, err := w.aa.Publications(ctx, sharing.Page{Limit: 1})
		if err != nil || len(all) != 1 || all[0].ID != second.ID || next == "" {
			t.Fatalf("%+v, %q, %v", all, next, err)
		}
		all, next, err = w.aa.Publications(ctx, sharing.Page{Limit: 1, Token: next})
		if err != nil || len(all) != 1 || all[0].ID != first.ID || next != "" {
			t.Errorf("%+v, %q, %v", all, next, err)
		}
	})
	t.Run("waits for statistics that do not answer, and then is there once", func(t *testing.T) {
		w.aa.figures.set("M,AA,1A,NORTH,SYR,_T,2023-01", 48)
		w.aa.figures.fall(errors.New("down"))
		waiting, err := w.aa.Publish(ctx, sharing.PublicationRequest{Indicators: []string{"1A"}})
		if err != nil || waiting.State != sharing.PublicationWaiting || !waiting.Published.IsZero() {
			t.Fatalf("%+v, %v", waiting, err)
		}
		w.aa.figures.fall(nil)
		// The statistics have it, but sharing dies before it can say so.
		w.aa.crash.arm(4)
		if err := w.aa.PublishAll(ctx); err == nil {
			t.Fatal("it did not crash")
		}
		w.aa.crash.arm(0)
		for range 2 {
			if err := w.aa.PublishAll(ctx); err != nil {
				t.Fatal(err)
			}
		}
		stored, err := w.aa.Publication(ctx, waiting.ID)
		if err != nil || stored.State != sharing.PublicationStored || w.aa.figures.submitted[string(waiting.ID)] != 2 ||
			w.aa.figures.received["M,AA,1A,_T,_T,_T,2023-01"] != 80 {
			t.Errorf("%+v, %v, %v", stored, w.aa.figures.submitted, err)
		}
	})
	t.Run("is refused for good where the statistics refuse", func(t *testing.T) {
		w.aa.figures.set("M,AA,1A,NORTH,SYR,_T,2023-01", 50)
		w.aa.figures.reject = "a figure is odd"
		refused, err := w.aa.Publish(ctx, sharing.PublicationRequest{Indicators: []string{"1A"}})
		w.aa.figures.reject = ""
		if err != nil || refused.State != sharing.PublicationRefused || refused.Problem != "the statistics reject it: a figure is odd" {
			t.Fatalf("%+v, %v", refused, err)
		}
		again, err := w.aa.Publish(ctx, sharing.PublicationRequest{Indicators: []string{"1A"}})
		if err != nil || again.ID == refused.ID || again.State != sharing.PublicationStored {
			t.Errorf("%+v, %v", again, err)
		}
	})
	t.Run("is handed over by itself", func(t *testing.T) {
		w.aa.figures.set("M,AA,1A,NORTH,SYR,_T,2023-01", 52)
		w.aa.figures.fall(errors.New("down"))
		waiting, err := w.aa.Publish(ctx, sharing.PublicationRequest{Indicators: []string{"1A"}})
		if err != nil {
			t.Fatal(err)
		}
		w.aa.figures.fall(nil)
		go w.aa.HandOverPublications(ctx) //nolint:errcheck // it returns none
		for deadline := time.Now().Add(30 * time.Second); ; {
			p, err := w.aa.Publication(ctx, waiting.ID)
			if err != nil || time.Now().After(deadline) {
				t.Fatalf("%+v, %v", p, err)
			}
			if p.State == sharing.PublicationStored {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
	t.Run("is one, whoever asks for it at once", func(t *testing.T) {
		w.aa.figures.set("M,AA,1A,NORTH,SYR,_T,2023-01", 54)
		ids := make([]sharing.PublicationID, 4)
		var group sync.WaitGroup
		for i := range ids {
			group.Go(func() {
				p, err := w.aa.Publish(ctx, sharing.PublicationRequest{Indicators: []string{"1A"}})
				if err != nil {
					t.Error(err)
				}
				ids[i] = p.ID
			})
		}
		group.Wait()
		if slices.Sort(ids); len(slices.Compact(ids)) != 1 {
			t.Errorf("%v", ids)
		}
	})
	t.Run("is in the log", func(t *testing.T) {
		w.run(t)
		if n, err := w.aa.verify(ctx); err != nil {
			t.Errorf("after %d entries: %v", n, err)
		}
	})
	t.Run("is not found under another id", func(t *testing.T) {
		if _, err := w.aa.Publication(ctx, "1A"); !fault.Is(err, fault.NotFound) {
			t.Errorf("%v", err)
		}
	})
}

func TestPublishCrash(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	w.aa.rules.published = map[string]sharing.Ruling{"1A": {
		Allow: true, Detail: map[string]string{"FREQ": "M", "CITIZENSHIP": "country"}, Obligations: sharing.Obligations{MinimumFrequency: 3},
	}}
	w.aa.figures.set("M,AA,1A,EAST,IRQ,_T,2023-01", 30)
	// Before each query in turn, until one publication gets through.
	for n := 1; ; n++ {
		w.aa.figures.set("M,AA,1A,NORTH,SYR,_T,2023-01", float64(100+n))
		w.aa.crash.arm(n)
		_, err := w.aa.Publish(ctx, sharing.PublicationRequest{Indicators: []string{"1A"}})
		reached := w.aa.crash.after >= n
		w.aa.crash.arm(0)
		if err == nil && !reached {
			break
		}
		if err := w.aa.PublishAll(ctx); err != nil {
			t.Fatal(err)
		}
		published, err := w.aa.Publish(ctx, sharing.PublicationRequest{Indicators: []string{"1A"}})
		if err != nil || published.State != sharing.PublicationStored {
			t.Fatalf("after a crash before query %d: %+v, %v", n, published, err)
		}
		if got := w.aa.figures.received["M,AA,1A,_T,_T,_T,2023-01"]; got != float64(130+n) {
			t.Errorf("after a crash before query %d everybody reads %v", n, got)
		}
	}
	all, _, err := w.aa.Publications(ctx, sharing.Page{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if p.State != sharing.PublicationStored {
			t.Errorf("%+v", p)
		}
	}
	w.run(t)
	if n, err := w.aa.verify(ctx); err != nil {
		t.Errorf("after %d entries: %v", n, err)
	}
}
