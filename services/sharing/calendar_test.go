package sharing_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/sharing"
)

const total = "M,AA,1A,_T,_T,_T,2023-01" // a figure that the tests publish

// newCalendar returns a world in which 1A and 5 may be published, and has a figure of 1A.
func newCalendar(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	ruling := sharing.Ruling{Allow: true, Detail: map[string]string{"FREQ": "M", "CITIZENSHIP": "country"}, Obligations: sharing.Obligations{MinimumFrequency: 3}}
	w.aa.rules.published = map[string]sharing.Ruling{"1A": ruling, "5": ruling}
	w.aa.figures.set("M,AA,1A,EAST,IRQ,_T,2023-01", 30)
	return w
}

// announce announces 1A for the minute after next.
func (w *world) announce(t *testing.T) sharing.Announcement {
	t.Helper()
	a, err := w.aa.Announce(t.Context(), sharing.Announcement{
		Title: "Border figures", At: w.now().UTC().Truncate(time.Minute).Add(2 * time.Minute),
		Request: sharing.PublicationRequest{Indicators: []string{"1A"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// reach moves the clock to a minute.
func (w *world) reach(at time.Time) { w.pass(at.Sub(w.now())) }

// entry returns an announcement as the calendar has it.
func (w *world) entry(t *testing.T, id sharing.AnnouncementID) sharing.Announcement {
	t.Helper()
	all, _, err := w.aa.Announcements(t.Context(), sharing.Page{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(a sharing.Announcement) bool { return a.ID == id })
	if i < 0 {
		t.Fatalf("%s is not in the calendar", id)
	}
	return all[i]
}

func (w *world) publishDue(t *testing.T) {
	t.Helper()
	if err := w.aa.PublishDue(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestCalendar(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newCalendar(t)
	t.Run("shows nothing before the minute, and lets nobody publish it by hand", func(t *testing.T) {
		a := w.announce(t)
		w.reach(a.At.Add(-time.Second))
		w.publishDue(t)
		for _, request := range []sharing.PublicationRequest{{Indicators: []string{"1A", "5"}}, {}} {
			if _, err := w.aa.Publish(ctx, request); fault.Reason(err) != "EMBARGO" {
				t.Errorf("%v", err)
			}
		}
		if got := w.entry(t, a.ID); got.State != sharing.Announced || w.aa.figures.count() != 0 {
			t.Errorf("%+v, and %d figures", got, w.aa.figures.count())
		}
		w.reach(a.At)
		w.publishDue(t)
		w.publishDue(t)
		got := w.entry(t, a.ID)
		p, err := w.aa.Publication(ctx, got.Publication)
		if err != nil || got.State != sharing.AnnouncementPublished || p.State != sharing.PublicationStored || w.aa.figures.received[total] != 30 {
			t.Errorf("%+v, %+v, %v", got, p, err)
		}
	})
	t.Run("publishes a minute that was missed at once, also after a restart, and once", func(t *testing.T) {
		a := w.announce(t)
		w.aa.figures.set("M,AA,1A,EAST,IRQ,_T,2023-01", 31)
		w.reach(a.At.Add(26 * time.Hour))
		w.aa.Service = sharing.New(w.aa.Config)
		w.publishDue(t)
		if got := w.entry(t, a.ID); got.State != sharing.AnnouncementPublished || w.aa.figures.received[total] != 31 {
			t.Errorf("%+v", got)
		}
	})
	t.Run("publishes once where a clock goes back over the minute", func(t *testing.T) {
		a := w.announce(t)
		w.aa.figures.set("M,AA,1A,EAST,IRQ,_T,2023-01", 32)
		w.reach(a.At)
		w.publishDue(t)
		published := w.entry(t, a.ID).Publication
		w.reach(a.At.Add(-time.Hour))
		w.aa.figures.set("M,AA,1A,EAST,IRQ,_T,2023-01", 33)
		w.reach(a.At)
		w.publishDue(t)
		if got := w.entry(t, a.ID); got.Publication != published || w.aa.figures.received[total] != 32 {
			t.Errorf("%+v, %v", got, w.aa.figures.received[total])
		}
	})
	t.Run("asks policy again in the minute, and shows nothing where that refuses", func(t *testing.T) {
		a := w.announce(t)
		ruling := w.aa.rules.published["1A"]
		delete(w.aa.rules.published, "1A")
		w.reach(a.At)
		w.publishDue(t)
		w.aa.rules.published["1A"] = ruling
		w.publishDue(t)
		if got := w.entry(t, a.ID); got.State != sharing.AnnouncementRefused || got.Problem != "INDICATOR_NOT_COVERED: 1A is not published" ||
			w.aa.figures.received[total] != 32 {
			t.Errorf("%+v, %v", got, w.aa.figures.received[total])
		}
		if _, err := w.aa.CancelAnnouncement(ctx, a.ID, "It is not for publication."); err != nil {
			t.Error(err)
		}
	})
	t.Run("shows nothing where policy cannot be evaluated", func(t *testing.T) {
		a := w.announce(t)
		w.reach(a.At)
		w.aa.rules.failing = errors.New("broken")
		w.publishDue(t)
		w.aa.rules.failing = nil
		w.publishDue(t)
		if got := w.entry(t, a.ID); got.State != sharing.AnnouncementRefused || w.aa.figures.received[total] != 32 {
			t.Errorf("%+v", got)
		}
	})
	t.Run("publishes as soon as the statistics answer", func(t *testing.T) {
		a := w.announce(t)
		w.reach(a.At)
		w.aa.figures.failing = errors.New("down")
		if err := w.aa.PublishDue(ctx); err == nil {
			t.Error("it published")
		}
		w.aa.figures.failing = nil
		w.aa.figures.fall(errors.New("down"))
		if err := w.aa.PublishDue(ctx); err == nil {
			t.Error("it published")
		}
		if got := w.entry(t, a.ID); got.State != sharing.Announced {
			t.Errorf("what nobody can read is %+v", got)
		}
		w.aa.figures.fall(nil)
		if err := w.aa.PublishAll(ctx); err != nil {
			t.Error(err)
		}
		if got := w.entry(t, a.ID); got.State != sharing.AnnouncementPublished || w.aa.figures.received[total] != 33 {
			t.Errorf("%+v, %v", got, w.aa.figures.received[total])
		}
	})
	t.Run("publishes nothing that was cancelled, and says why to everybody", func(t *testing.T) {
		a := w.announce(t)
		w.aa.figures.set("M,AA,1A,EAST,IRQ,_T,2023-01", 34)
		notice, err := w.aa.CancelAnnouncement(ctx, a.ID, "The figures are not ready.")
		if err != nil || notice.Kind != sharing.NoticeCancellation || notice.Announcement != a.ID {
			t.Errorf("%+v, %v", notice, err)
		}
		if _, err := w.aa.CancelAnnouncement(ctx, a.ID, "Again."); !fault.Is(err, fault.Precondition) {
			t.Errorf("%v", err)
		}
		w.reach(a.At)
		w.publishDue(t)
		if got := w.entry(t, a.ID); got.State != sharing.AnnouncementCancelled || w.aa.figures.received[total] != 33 {
			t.Errorf("%+v", got)
		}
		if told, _, err := w.aa.Notices(ctx, dataflow, sharing.Page{Limit: 1}); err != nil || len(told) != 1 || told[0].ID != notice.ID {
			t.Errorf("%+v, %v", told, err)
		}
	})
	t.Run("publishes by itself", func(t *testing.T) {
		a := w.announce(t)
		w.reach(a.At)
		go w.aa.KeepCalendar(ctx) //nolint:errcheck // it returns none
		for deadline := time.Now().Add(30 * time.Second); w.entry(t, a.ID).State != sharing.AnnouncementPublished; {
			if time.Now().After(deadline) {
				t.Fatal("it does not")
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
	t.Run("is in the log", func(t *testing.T) {
		w.run(t)
		if n, err := w.aa.verify(ctx); err != nil {
			t.Errorf("after %d entries: %v", n, err)
		}
	})
	t.Run("refuses what is no announcement", func(t *testing.T) {
		next := w.now().UTC().Truncate(time.Minute).Add(time.Minute)
		for name, a := range map[string]sharing.Announcement{
			"no title":            {At: next},
			"a minute gone by":    {Title: "x", At: next.Add(-time.Minute)},
			"no whole minute":     {Title: "x", At: next.Add(time.Second)},
			"no minute":           {Title: "x"},
			"an unknown code":     {Title: "x", At: next, Request: sharing.PublicationRequest{Indicators: []string{"nothing"}}},
			"an empty reason":     {Title: "x", At: next, Request: sharing.PublicationRequest{Correction: &sharing.Correction{Text: "x", Reason: " "}}},
			"an unknown dataflow": {Title: "x", At: next, Request: sharing.PublicationRequest{Dataflow: "TEST:NOTHING(1.0.0)"}},
		} {
			if _, err := w.aa.Announce(ctx, a); !fault.Is(err, fault.Invalid) && !fault.Is(err, fault.NotFound) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// Before each query of a due publication in turn, until one gets through.
func TestCalendarCrash(t *testing.T) {
	t.Parallel()
	w := newCalendar(t)
	for n := 1; ; n++ {
		a := w.announce(t)
		w.aa.figures.set("M,AA,1A,EAST,IRQ,_T,2023-01", float64(30+n))
		w.reach(a.At)
		w.aa.crash.arm(n)
		err := w.aa.PublishDue(t.Context())
		reached := w.aa.crash.after >= n
		w.aa.crash.arm(0)
		// A connection that broke keeps its lock until the server has noticed, and nobody else publishes meanwhile.
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
			w.publishDue(t)
			if err := w.aa.PublishAll(t.Context()); err != nil {
				t.Fatal(err)
			}
			got := w.entry(t, a.ID)
			if got.State == sharing.AnnouncementPublished && w.aa.figures.received[total] == float64(30+n) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("after a crash before query %d: %+v, %v", n, got, w.aa.figures.received[total])
			}
		}
		if err == nil && !reached {
			break
		}
	}
	all, _, err := w.aa.Publications(t.Context(), sharing.Page{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[float64]bool{}
	for _, p := range all {
		if seen[float64(p.Revision)] {
			t.Errorf("the same is published twice: %+v", p)
		}
		seen[float64(p.Revision)] = true
	}
}
