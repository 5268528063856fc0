package sharing_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/sharing"
)

func (s *state) kill(t *testing.T, request sharing.SwitchRequest) {
	t.Helper()
	if request.Mode == "" {
		request.Mode = sharing.Kill
	}
	request.By, request.Reason = "ada", "a test"
	must(t)(s.Throw(t.Context(), request))
}

// hears fails unless the error has the reason.
func hears(t *testing.T, what, reason string, err error) {
	t.Helper()
	if fault.Reason(err) != reason {
		t.Errorf("%s: %v, want %s", what, err, reason)
	}
}

func TestKillSwitch(t *testing.T) {
	t.Parallel()
	t.Run("keeps back what waits for everybody, and what would be made, until it is lifted", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.newFigures()
		w.aa.rules.published = map[string]sharing.Ruling{"1A": {Allow: true, Reasons: []sharing.Reason{}, Obligations: sharing.Obligations{MinimumFrequency: 3}}}
		ctx := t.Context()
		must(t)(w.aa.Draft(ctx, w.terms()))
		must(t)(w.aa.Sign(ctx, w.terms().ID))
		must(t)(nil, w.aa.Steps()[3](ctx))
		must(t)(w.bb.Sign(ctx, w.terms().ID))
		must(t)(nil, w.bb.Steps()[3](ctx))
		must(t)(nil, w.aa.Steps()[0](ctx))
		must(t)(nil, w.aa.Steps()[1](ctx))
		if len(w.next(t)) == 0 {
			t.Fatal("nothing waits for bb")
		}
		w.aa.kill(t, sharing.SwitchRequest{})

		cursor, err := w.bb.Cursor(ctx, "aa")
		must(t)(nil, err)
		_, err = w.aa.Outgoing(ctx, "bb", cursor, 1)
		hears(t, "sending", "KILL_SWITCH", err)
		_, err = w.aa.Publish(ctx, sharing.PublicationRequest{Dataflow: dataflow, Indicators: []string{"1A"}})
		hears(t, "publishing", "KILL_SWITCH", err)
		_, err = w.aa.Tabulate(ctx, sharing.TableRequest{
			Dataflow: dataflow, Indicator: "1A", Frequency: "M", Start: "2023-01", End: "2023-01",
		})
		hears(t, "a table", "KILL_SWITCH", err)
		explained, err := w.aa.Explain(ctx, sharing.ExplainRequest{Partner: "bb", Indicator: "1A"})
		must(t)(nil, err)
		if explained.Allowed || len(explained.Reasons) != 1 || explained.Reasons[0].Code != "KILL_SWITCH" {
			t.Errorf("it explains %+v", explained)
		}
		w.aa.figures.set("M,AA,1A,NORTH,SYR,_T,2023-01", 50)
		must(t)(nil, w.aa.Steps()[0](ctx))
		if releases, _, err := w.aa.Releases(ctx, sharing.Page{}); err != nil || len(releases) != 1 {
			t.Errorf("%d releases, %v", len(releases), err)
		}

		restarted := sharing.New(w.aa.Config)
		_, err = restarted.Outgoing(ctx, "bb", cursor, 1)
		hears(t, "sending after a restart", "KILL_SWITCH", err)

		w.aa.kill(t, sharing.SwitchRequest{Lift: true})
		w.run(t)
		if len(w.bb.figures.received) == 0 {
			t.Error("nothing arrives once it is lifted")
		}
		if _, err := w.aa.verify(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Run("keeps an indicator back that waits already, and lets the others go", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.newFigures()
		w.aa.figures.set("M,AA,5,NORTH,SYR,_T,2023-01", 60)
		terms := w.terms()
		terms.Indicators = []string{"1A", "5"}
		ctx := t.Context()
		must(t)(w.aa.Draft(ctx, terms))
		must(t)(w.aa.Sign(ctx, terms.ID))
		must(t)(nil, w.aa.Steps()[3](ctx))
		must(t)(w.bb.Sign(ctx, terms.ID))
		must(t)(nil, w.bb.Steps()[3](ctx))
		must(t)(nil, w.aa.Steps()[0](ctx))
		must(t)(nil, w.aa.Steps()[1](ctx))
		w.aa.kill(t, sharing.SwitchRequest{Partner: "bb", Indicator: "1A"})
		w.run(t)
		w.run(t)
		var others int
		for key := range w.bb.figures.received {
			if strings.Contains(key, ",1A,") {
				t.Errorf("%s went", key)
			}
			others++
		}
		if others == 0 {
			t.Error("the other indicator did not go")
		}
		w.aa.kill(t, sharing.SwitchRequest{Partner: "bb", Indicator: "1A", Lift: true})
		w.run(t)
		if _, there := w.bb.figures.received["M,AA,1A,NORTH,SYR,_T,2023-01"]; !there {
			t.Error("it does not go once that is lifted")
		}
	})
	t.Run("for one partner leaves the others alone", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, "cc")
		w.newFigures()
		w.aa.kill(t, sharing.SwitchRequest{Partner: "cc"})
		w.agree(t, w.terms())
		if len(w.bb.figures.received) == 0 {
			t.Error("nothing arrives at bb")
		}
		_, err := w.aa.Outgoing(t.Context(), "cc", sharing.Cursor{}, 1)
		hears(t, "sending to cc", "KILL_SWITCH", err)
	})
	t.Run("says who threw it and why, once, in the log", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.aa.kill(t, sharing.SwitchRequest{Indicator: "1A"})
		w.aa.kill(t, sharing.SwitchRequest{Indicator: "1A"})
		w.aa.kill(t, sharing.SwitchRequest{Indicator: "1A", Lift: true})
		must(t)(nil, w.aa.Steps()[1](t.Context()))
		entries, err := w.aa.LogEntries(t.Context(), 0, 10)
		must(t)(nil, err)
		if len(entries) != 2 {
			t.Fatalf("%d entries", len(entries))
		}
		for _, part := range []string{`"by":"ada"`, `"reason":"a test"`, `"on":true`, `"indicator":"1A"`} {
			if entries[0].Kind != sharing.EntrySwitch || !strings.Contains(string(entries[0].Content), part) {
				t.Errorf("%s: %s", entries[0].Kind, entries[0].Content)
			}
		}
		must(t)(w.aa.verify(t.Context()))
	})
	t.Run("refuses what cannot be meant", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		for name, request := range map[string]sharing.SwitchRequest{
			"no mode":                 {Reason: "x"},
			"no reason":               {Mode: sharing.Kill, Reason: " "},
			"a long reason":           {Mode: sharing.Kill, Reason: strings.Repeat("x", 5000)},
			"a stranger":              {Mode: sharing.Kill, Reason: "x", Partner: "zz"},
			"this state":              {Mode: sharing.Kill, Reason: "x", Partner: "aa"},
			"a partner, read-only":    {Mode: sharing.ReadOnly, Reason: "x", Partner: "bb"},
			"no code of an indicator": {Mode: sharing.Kill, Reason: "x", Indicator: "1 A"},
			"what was not stopped":    {Mode: sharing.Kill, Reason: "x", Lift: true},
		} {
			if thrown, err := w.aa.Throw(t.Context(), request); err == nil {
				t.Errorf("%s: %+v", name, thrown)
			}
		}
		if switches, err := w.aa.Switches(t.Context()); err != nil || len(switches) != 0 {
			t.Errorf("%v, %v", switches, err)
		}
	})
	t.Run("on the spot stops a node whose database takes nothing, and is kept when it does again", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		ctx := t.Context()
		w.aa.crash.arm(1)
		if err := w.aa.Hold(ctx, sharing.Kill, "smoke"); err == nil {
			t.Error("it claims to have kept the switch")
		}
		_, err := w.aa.Outgoing(ctx, "bb", sharing.Cursor{}, 1)
		hears(t, "sending", "KILL_SWITCH", err)
		must(t)(nil, w.aa.Hold(ctx, sharing.Kill, "smoke"))
		_, err = w.aa.Throw(ctx, sharing.SwitchRequest{Mode: sharing.Kill, Lift: true, By: "ada", Reason: "over"})
		hears(t, "lifting it by a call", "WRONG_STATE", err)
		must(t)(nil, w.aa.Hold(ctx, sharing.Kill, ""))
		_, err = w.aa.Outgoing(ctx, "bb", sharing.Cursor{}, 1)
		hears(t, "sending without the file", "KILL_SWITCH", err)
		w.aa.kill(t, sharing.SwitchRequest{Lift: true})
		must(t)(w.aa.Outgoing(ctx, "bb", sharing.Cursor{}, 1))
	})
	t.Run("thrown by another process is seen within a second, and cuts what is under way once", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		ctx, cancel := context.WithCancel(t.Context())
		cuts, ended := make(chan sharing.StateCode, 10), make(chan error, 1)
		go func() { ended <- w.aa.CutStopped(ctx, func(partner sharing.StateCode) { cuts <- partner }) }()
		other := &state{Service: sharing.New(w.aa.Config)}
		start := time.Now()
		other.kill(t, sharing.SwitchRequest{Partner: "bb"})
		select {
		case partner := <-cuts:
			if partner != "bb" || time.Since(start) > time.Second {
				t.Errorf("it cuts %q after %s", partner, time.Since(start))
			}
		case <-time.After(5 * time.Second):
			t.Error("it cuts nothing")
		}
		time.Sleep(600 * time.Millisecond)
		cancel()
		if err := <-ended; err != nil || len(cuts) > 0 {
			t.Errorf("%v; it cuts %d times more", err, len(cuts))
		}
	})
}

func TestKillSwitchAndTheCalendar(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newCalendar(t)
	before, err := w.aa.Publish(ctx, sharing.PublicationRequest{Dataflow: dataflow, Indicators: []string{"1A"}})
	must(t)(nil, err)
	w.aa.figures.set("M,AA,1A,EAST,IRQ,_T,2023-01", 40)
	a := w.announce(t)
	w.aa.kill(t, sharing.SwitchRequest{Indicator: "1A"})
	w.reach(a.At)
	hears(t, "publishing what is due", "KILL_SWITCH", w.aa.PublishDue(ctx))
	if got := w.entry(t, a.ID); got.State != sharing.Announced {
		t.Errorf("what is due is not to come any more: %+v", got)
	}
	if _, err := w.aa.Withdraw(ctx, before.ID, "it was wrong"); err != nil || len(w.aa.figures.received) != 0 {
		t.Errorf("what everybody sees cannot be taken back while more is stopped: %v, %v", w.aa.figures.received, err)
	}
	w.aa.kill(t, sharing.SwitchRequest{Indicator: "1A", Lift: true})
	w.publishDue(t)
	if got := w.entry(t, a.ID); got.State != sharing.AnnouncementPublished || len(w.aa.figures.received) == 0 {
		t.Errorf("it is not published once that is lifted: %+v", got)
	}
}

func TestReadOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.newFigures()
	w.agree(t, w.terms())
	ctx := t.Context()
	w.aa.figures.set("M,AA,1A,NORTH,SYR,_T,2023-01", 55)
	must(t)(nil, w.aa.Steps()[0](ctx))
	must(t)(nil, w.aa.Steps()[1](ctx))
	w.aa.kill(t, sharing.SwitchRequest{Mode: sharing.ReadOnly})
	w.bb.kill(t, sharing.SwitchRequest{Mode: sharing.ReadOnly})
	t.Run("refuses whatever changes something", func(t *testing.T) {
		terms := w.terms()
		terms.ID = "aa-bb-new"
		_, err := w.aa.Draft(ctx, terms)
		hears(t, "drafting", "READ_ONLY", err)
		_, err = w.aa.Sign(ctx, w.terms().ID)
		hears(t, "signing", "READ_ONLY", err)
		_, err = w.aa.Publish(ctx, sharing.PublicationRequest{})
		hears(t, "publishing", "READ_ONLY", err)
		hears(t, "releasing", "READ_ONLY", w.aa.Steps()[0](ctx))
		_, err = w.bb.Receive(ctx, "aa", w.next(t)[0].Envelope)
		hears(t, "receiving", "READ_ONLY", err)
		hears(t, "a proposal", "READ_ONLY", w.bb.ReceiveProposal(ctx, "aa", sharing.Signed{}))
		hears(t, "an answer", "READ_ONLY", w.bb.ReceiveAnswer(ctx, "aa", sharing.Signed{}))
	})
	t.Run("answers what only reads, and sends what was released", func(t *testing.T) {
		must(t)(w.aa.Agreements(ctx, true))
		must(t)(w.aa.Partners(ctx))
		if explained, err := w.aa.Explain(ctx, sharing.ExplainRequest{Partner: "bb", Indicator: "1A"}); err != nil || !explained.Allowed {
			t.Errorf("%+v, %v", explained, err)
		}
		if len(w.next(t)) == 0 {
			t.Error("what was released does not go")
		}
	})
	t.Run("lets an agreement be ended", func(t *testing.T) {
		must(t)(w.aa.Terminate(ctx, w.terms().ID, "enough"))
	})
	t.Run("ends, and all goes on", func(t *testing.T) {
		for _, s := range []*state{w.aa, w.bb} {
			s.kill(t, sharing.SwitchRequest{Mode: sharing.ReadOnly, Lift: true})
		}
		terms := w.terms()
		terms.ID = "aa-bb-after"
		if _, err := w.aa.Draft(ctx, terms); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}
