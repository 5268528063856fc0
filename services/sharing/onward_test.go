package sharing_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/sharing"
	"github.com/comity-federation/comity/services/sharing/wire"
)

// chain is a world in which aa gives figures to bb, and bb passes them on to cc.
type chain struct {
	*world
	cc, dd *state
}

// newChain returns a chain with the figures of aa and without agreements.
func newChain(t *testing.T) *chain {
	t.Helper()
	c := &chain{world: newWorld(t, "cc", "dd")}
	c.cc, c.dd = c.others[0], c.others[1]
	c.withPolicies(t, "")
	for _, s := range c.states() {
		s.letters.to = nil
	}
	c.newFigures()
	return c
}

func (c *chain) states() []*state { return append([]*state{c.aa, c.bb}, c.others...) }

// granted are terms by which bb may pass figures of aa on to cc.
func (c *chain) granted() sharing.Terms {
	terms := c.terms()
	terms.Onward, terms.OnwardTo, terms.Afterwards, terms.RetentionDays = true, []sharing.StateCode{"cc"}, sharing.Withdraw, 30
	return terms
}

// passing are terms by which bb passes figures of aa on to a state.
func (c *chain) passing(to *state) sharing.Terms {
	terms := c.terms()
	terms.ID, terms.Provider, terms.Receiver, terms.Source = sharing.AgreementID("bb-"+to.code+"-aa"), "bb", to.code, "aa"
	terms.Afterwards, terms.RetentionDays = sharing.Withdraw, 30
	return terms
}

// sign makes both states sign the terms.
func (c *chain) sign(t *testing.T, terms sharing.Terms) {
	t.Helper()
	ctx := t.Context()
	all := c.aa.letters.states
	from, to := all[terms.Provider], all[terms.Receiver]
	must(t)(from.Draft(ctx, terms))
	for _, s := range []*state{from, to} {
		must(t)(s.Sign(ctx, terms.ID))
		must(t)(nil, s.Steps()[3](ctx))
	}
}

// flow lets everybody do all that they have to do, from aa to the end.
func (c *chain) flow(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	for _, s := range c.states() {
		for _, step := range s.Steps() {
			must(t)(nil, step(ctx))
		}
		for _, sender := range c.states() {
			if s == sender {
				continue
			}
			must(t)(nil, c.pull(ctx, s, sender))
		}
		must(t)(nil, s.Steps()[2](ctx))
		must(t)(nil, s.Steps()[3](ctx))
		must(t)(nil, s.Steps()[0](ctx))
		must(t)(nil, s.Steps()[1](ctx))
	}
}

// waiting returns the envelopes that bb has for the state from the first place of its epoch on.
func (c *chain) waiting(ctx context.Context, to *state) ([]sharing.Outgoing, error) {
	cursor, err := to.Cursor(ctx, "bb")
	if err != nil {
		return nil, err
	}
	for {
		outgoing, err := c.bb.Outgoing(ctx, to.code, cursor, 10)
		if resync := (*sharing.ResyncError)(nil); errors.As(err, &resync) {
			cursor = resync.From
			continue
		}
		return outgoing, err
	}
}

// opened is an envelope taken apart.
type opened struct {
	header  sharing.Header
	warrant sharing.Warrant
	payload []byte
}

// reseal returns an envelope that bb has signed after a change, as the next one of its stream to the receiver.
func (c *chain) reseal(t *testing.T, to *state, envelope []byte, change func(*opened)) []byte {
	t.Helper()
	var codec wire.Codec
	read, err := codec.DecodeEnvelope(envelope)
	must(t)(nil, err)
	o := opened{payload: read.Payload}
	o.header, err = codec.DecodeHeader(read.Header.Payload)
	must(t)(nil, err)
	o.warrant, err = codec.DecodeWarrant(read.Warrant)
	must(t)(nil, err)
	place, err := to.Store.Inbound(t.Context(), o.header.Stream)
	must(t)(nil, err)
	o.header.Stream = sharing.StreamName("bb", to.code)
	o.header.Receiver = to.code
	if place.Epoch != "" {
		o.header.Epoch = place.Epoch
	}
	o.header.Sequence, o.header.Previous = place.Sequence+1, place.SHA256
	o.header.Release = sharing.ReleaseID(uuid.NewString())
	change(&o)
	warrant, err := codec.EncodeWarrant(o.warrant)
	must(t)(nil, err)
	sum, proof := sha256.Sum256(o.payload), sha256.Sum256(warrant)
	o.header.PayloadSHA256, o.header.WarrantSHA256 = sum[:], proof[:]
	if o.warrant.Header == nil {
		o.header.ReleaseSHA256 = nil
	}
	if o.header.ReleaseSHA256 == nil {
		whole := sha256.Sum256(sum[:])
		o.header.ReleaseSHA256 = whole[:]
	}
	data, err := codec.EncodeHeader(o.header)
	must(t)(nil, err)
	sealed, err := codec.EncodeEnvelope(sharing.Envelope{
		Header: c.bb.Keys.Current().Sign(sharing.HeaderType, data), Payload: o.payload, Warrant: warrant,
	})
	must(t)(nil, err)
	return sealed
}

// refusedBecause returns why a state refuses an envelope of bb; "" where it does not.
func refusedBecause(t *testing.T, s *state, envelope []byte) string {
	t.Helper()
	_, err := s.Receive(t.Context(), "bb", envelope)
	if wrong := (*fault.Error)(nil); errors.As(err, &wrong) && wrong.Reason == "RECEIVE_REFUSED" {
		return wrong.Metadata["code"]
	}
	if err != nil {
		t.Fatal(err)
	}
	return ""
}

func TestOnward(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c := newChain(t)
	c.sign(t, c.passing(c.cc))
	c.sign(t, c.terms())
	c.flow(t)
	t.Run("goes to nobody unless it is granted", func(t *testing.T) {
		if c.bb.figures.count() == 0 || c.cc.figures.count() != 0 {
			t.Errorf("bb has %d, cc has %d", c.bb.figures.count(), c.cc.figures.count())
		}
	})
	granted := c.granted()
	granted.Version = 2
	c.sign(t, granted)
	c.flow(t)
	t.Run("goes as it came where it is granted", func(t *testing.T) {
		if diff := cmp.Diff(c.bb.figures.received, c.cc.figures.received, cmpopts.EquateNaNs()); diff != "" || c.cc.figures.count() == 0 || c.cc.figures.provider != "aa" {
			t.Errorf("%s of %s", diff, c.cc.figures.provider)
		}
	})
	t.Run("goes once", func(t *testing.T) {
		before := len(c.cc.figures.submitted)
		c.flow(t)
		if len(c.cc.figures.submitted) != before {
			t.Errorf("%v", c.cc.figures.submitted)
		}
	})
	t.Run("says whose it is, by what right, and who passed it on", func(t *testing.T) {
		theirs, _, err := c.aa.Releases(ctx, sharing.Page{})
		must(t)(nil, err)
		passed, _, err := c.bb.Releases(ctx, sharing.Page{})
		must(t)(nil, err)
		c.cc.figures.origins = []sharing.Origin{{Release: passed[0].ID, Figures: 1, Revision: 1}}
		got, _, _, err := c.cc.Provenance(ctx, sharing.TraceQuery{Provider: "aa"}, sharing.Page{})
		must(t)(nil, err)
		want := sharing.PassedOn{State: "bb", Agreement: "bb-cc-aa", Version: 1, Release: passed[0].ID}
		if len(got) != 1 || got[0].Provider != "aa" || got[0].Agreement != "aa-bb-1a" || got[0].Version != 2 || got[0].Release != theirs[0].ID ||
			got[0].Decision != theirs[0].Decision || got[0].PassedOn == nil || *got[0].PassedOn != want {
			t.Errorf("%+v", got)
		}
	})
	t.Run("brings corrections along", func(t *testing.T) {
		c.aa.figures.set("M,AA,1A,NORTH,SYR,_T,2023-01", 77)
		c.flow(t)
		if got := c.cc.figures.received["M,AA,1A,_T,SYR,_T,2023-01"]; got != 78 {
			t.Errorf("%v", got)
		}
	})
	t.Run("brings deletions along", func(t *testing.T) {
		c.aa.figures.set("M,AA,1A,NORTH,SYR,_T,2023-02", 50)
		c.flow(t)
		with := c.cc.figures.count()
		c.aa.figures.remove("M,AA,1A,NORTH,SYR,_T,2023-02")
		c.flow(t)
		if diff := cmp.Diff(c.bb.figures.received, c.cc.figures.received, cmpopts.EquateNaNs()); diff != "" || c.cc.figures.count() >= with {
			t.Error(diff)
		}
	})
	t.Run("can be verified by who reads the logs", func(t *testing.T) {
		for _, s := range []*state{c.aa, c.bb, c.cc} {
			if _, err := s.verify(ctx); err != nil {
				t.Errorf("%s: %v", s.code, err)
			}
		}
	})
	t.Run("is taken back while a correction of it may not go", func(t *testing.T) {
		small := c.passing(c.cc)
		small.Version, small.MinimumFrequency = 2, 7
		c.sign(t, small)
		c.flow(t)
		if got := c.cc.figures.received["M,AA,1A,_T,SYR,_T,2023-01"]; got != 78 {
			t.Errorf("%v", got)
		}
		c.aa.figures.set("M,AA,1A,NORTH,SYR,_T,2023-02", 5)
		c.flow(t)
		c.flow(t)
		if c.bb.figures.received["M,AA,1A,_T,SYR,_T,2023-02"] != 5 || c.cc.figures.count() != 0 {
			t.Errorf("%v at bb, %v at cc", c.bb.figures.received, c.cc.figures.received)
		}
		c.aa.figures.set("M,AA,1A,NORTH,SYR,_T,2023-02", 50)
		c.flow(t)
		if got := c.cc.figures.received["M,AA,1A,_T,SYR,_T,2023-02"]; got != 50 {
			t.Errorf("%v", got)
		}
	})
	t.Run("is taken back where the law of who passes it on forbids it, and comes again where it does no more", func(t *testing.T) {
		c.bb.withPolicies(t, "package comity.law\n\ndeny contains {\"code\": \"LAW\", \"text\": \"Not theirs.\"} if input.source == \"aa\"\n")
		c.aa.figures.set("M,AA,1A,NORTH,SYR,_T,2023-02", 60)
		c.flow(t)
		if got := c.cc.figures.count(); got != 0 {
			t.Errorf("%d figures are left", got)
		}
		c.bb.withPolicies(t, "")
		c.flow(t)
		if got := c.cc.figures.received["M,AA,1A,_T,SYR,_T,2023-02"]; got != 60 {
			t.Errorf("%v", got)
		}
	})
	t.Run("stops before the next batch, and is taken back, when the grant ends", func(t *testing.T) {
		c.aa.figures.set("M,AA,1A,NORTH,SYR,_T,2023-01", 99)
		for _, step := range []func(context.Context) error{c.aa.Steps()[0], c.aa.Steps()[1]} {
			must(t)(nil, step(ctx))
		}
		must(t)(nil, c.pull(ctx, c.bb, c.aa))
		for _, i := range []int{2, 0, 1} {
			must(t)(nil, c.bb.Steps()[i](ctx))
		}
		if waiting, err := c.waiting(ctx, c.cc); err != nil || len(waiting) != 1 {
			t.Fatalf("%d, %v", len(waiting), err)
		}
		must(t)(c.aa.Terminate(ctx, "aa-bb-1a", "it was misused"))
		must(t)(nil, c.aa.Steps()[3](ctx))
		if waiting, err := c.waiting(ctx, c.cc); err != nil || len(waiting) != 0 {
			t.Errorf("%d, %v", len(waiting), err)
		}
		c.flow(t)
		if got := c.cc.figures.count(); got != 0 {
			t.Errorf("%d figures are left", got)
		}
		if _, err := c.cc.verify(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Run("comes again when it is granted anew", func(t *testing.T) {
		again := c.granted()
		again.Version = 3
		c.sign(t, again)
		c.flow(t)
		c.flow(t)
		if got := c.cc.figures.received["M,AA,1A,_T,SYR,_T,2023-01"]; got != 100 {
			t.Errorf("%v", got)
		}
	})
	t.Run("is taken out where the agreement with who passes it on ends", func(t *testing.T) {
		must(t)(c.bb.Terminate(ctx, "bb-cc-aa", "no longer needed"))
		c.flow(t)
		if c.cc.figures.count() != 0 || c.bb.figures.count() == 0 {
			t.Errorf("cc has %d, bb %d", c.cc.figures.count(), c.bb.figures.count())
		}
	})
}

func TestOnward_is_refused_by_its_receiver(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c := newChain(t)
	c.sign(t, c.granted())
	c.sign(t, c.passing(c.cc))
	c.sign(t, c.passing(c.dd))
	for _, s := range []*state{c.aa} {
		must(t)(nil, s.Steps()[0](ctx))
		must(t)(nil, s.Steps()[1](ctx))
	}
	must(t)(nil, c.pull(ctx, c.bb, c.aa))
	for _, i := range []int{2, 0, 1} {
		must(t)(nil, c.bb.Steps()[i](ctx))
	}
	waiting, err := c.waiting(ctx, c.cc)
	if err != nil || len(waiting) != 1 {
		t.Fatalf("%d, %v", len(waiting), err)
	}
	good := waiting[0].Envelope
	t.Run("who was not granted it", func(t *testing.T) {
		if waiting, err := c.waiting(ctx, c.dd); err != nil || len(waiting) != 0 {
			t.Errorf("bb sends %d, %v", len(waiting), err)
		}
		got := refusedBecause(t, c.dd, c.reseal(t, c.dd, good, func(o *opened) { o.header.Agreement = "bb-dd-aa" }))
		if got != "ONWARD_NOT_GRANTED" || c.dd.figures.count() != 0 {
			t.Errorf("%s", got)
		}
	})
	other := c.granted()
	other.ID, other.OnwardTo, other.Indicators = "aa-bb-more", []sharing.StateCode{"cc"}, []string{"1A"}
	forged, err := other.Document()
	must(t)(nil, err)
	small, err := wire.Codec{}.EncodePayload(alter(t, good, 2))
	must(t)(nil, err)
	altered, err := wire.Codec{}.EncodePayload(alter(t, good, 1000))
	must(t)(nil, err)
	for name, test := range map[string]struct {
		change func(*opened)
		want   string
	}{
		"a figure that was altered":          {func(o *opened) { o.payload, o.header.ReleaseSHA256 = altered, nil }, "ENVELOPE_INVALID"},
		"a cell that is too small":           {func(o *opened) { o.payload, o.header.ReleaseSHA256 = small, nil }, "ENVELOPE_INVALID"},
		"a release that is not the source's": {func(o *opened) { o.header.ReleaseSHA256 = make([]byte, 32) }, "ENVELOPE_INVALID"},
		"a scope that is not the source's":   {func(o *opened) { o.header.Scope.Operands = nil }, "ENVELOPE_INVALID"},
		"a header that bb has signed": {func(o *opened) {
			mine := c.bb.Keys.Current().Sign(sharing.HeaderType, o.warrant.Header.Payload)
			o.warrant.Header = &mine
		}, "UNTRUSTED_SIGNER"},
		"an agreement that aa has not signed": {func(o *opened) {
			mine := c.bb.Keys.Current().Sign(sharing.AgreementType, forged)
			o.warrant.Agreement = mine
		}, "UNTRUSTED_SIGNER"},
		"an agreement that bb has not signed": {func(o *opened) {
			o.warrant.Agreement = c.aa.Keys.Current().Sign(sharing.AgreementType, o.warrant.Agreement.Payload)
		}, "UNTRUSTED_SIGNER"},
		"another agreement than aa gave it under": {func(o *opened) {
			signed := c.aa.Keys.Current().Sign(sharing.AgreementType, forged)
			signed.Signatures = append(signed.Signatures, c.bb.Keys.Current().Sign(sharing.AgreementType, forged).Signatures...)
			o.warrant.Agreement = signed
		}, "ENVELOPE_INVALID"},
		"figures that are said to be taken back": {func(o *opened) { o.warrant.Header = nil }, "ENVELOPE_INVALID"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := refusedBecause(t, c.cc, c.reseal(t, c.cc, good, test.change)); got != test.want || c.cc.figures.count() != 0 {
				t.Errorf("%s, %d figures", got, c.cc.figures.count())
			}
		})
	}
	t.Run("figures without a proof, and a proof that the header does not name", func(t *testing.T) {
		read, err := wire.Codec{}.DecodeEnvelope(good)
		must(t)(nil, err)
		read.Warrant = nil
		bare, err := wire.Codec{}.EncodeEnvelope(read)
		must(t)(nil, err)
		if _, err := c.cc.Receive(ctx, "bb", bare); fault.Reason(err) != "ENVELOPE_INVALID" {
			t.Errorf("%v", err)
		}
	})
	t.Run("anything by a key of the source that is not valid any more", func(t *testing.T) {
		trusted := c.cc.Trust.List()
		defer c.cc.Trust.Replace(trusted)
		ended := *trusted
		ended.States = slices.Clone(trusted.States)
		ended.States[0].SigningKeys = slices.Clone(trusted.States[0].SigningKeys)
		ended.States[0].SigningKeys[0].NotAfter = c.now().Add(-time.Hour)
		c.cc.Trust.Replace(&ended)
		if got := refusedBecause(t, c.cc, c.reseal(t, c.cc, good, func(*opened) {})); got != "UNTRUSTED_SIGNER" {
			t.Errorf("%s", got)
		}
	})
	version := 1
	for name, test := range map[string]struct {
		change func(*sharing.Terms)
		want   string
	}{
		"a cell that is smaller than it takes": {func(t *sharing.Terms) { t.MinimumFrequency = 42 }, "RECEIVE_REFUSED"},
		"what is finer than it takes":          {func(t *sharing.Terms) { t.Detail = map[string]string{"FREQ": "M"} }, "DETAIL_NOT_COVERED"},
		"what is of other times":               {func(t *sharing.Terms) { t.Periods = sharing.Spans{{To: "2022"}} }, "PERIOD_NOT_COVERED"},
		"what is for other purposes":           {func(t *sharing.Terms) { t.Purposes = []string{"BORDER_CONTROL"} }, "ONWARD_NOT_GRANTED"},
		"what it would keep for longer":        {func(t *sharing.Terms) { t.RetentionDays = 0 }, "ONWARD_NOT_GRANTED"},
		"what it would not take out":           {func(t *sharing.Terms) { t.Afterwards = sharing.Keep }, "ONWARD_NOT_GRANTED"},
		"what is of another indicator":         {func(t *sharing.Terms) { t.Indicators = []string{"5"} }, "ONWARD_NOT_GRANTED"},
		"nothing where all is as it should be": {func(*sharing.Terms) {}, ""},
	} {
		version++
		passing := c.passing(c.cc)
		passing.Version = version
		test.change(&passing)
		c.sign(t, passing)
		if got := refusedBecause(t, c.cc, c.reseal(t, c.cc, good, func(o *opened) { o.header.AgreementVersion = version })); got != test.want {
			t.Errorf("%s: %s", name, got)
		}
	}
	passing := c.passing(c.cc)
	passing.Version = version + 1
	c.sign(t, passing)
	sealed := func(envelope []byte) []byte {
		return c.reseal(t, c.cc, envelope, func(o *opened) { o.header.AgreementVersion = passing.Version })
	}
	t.Run("nothing that is as it should be", func(t *testing.T) {
		if got := refusedBecause(t, c.cc, sealed(good)); got != "" {
			t.Errorf("%s", got)
		}
		must(t)(nil, c.cc.Steps()[2](ctx))
		if c.cc.figures.received["M,AA,1A,_T,SYR,_T,2023-01"] != 41 {
			t.Errorf("%v", c.cc.figures.received)
		}
	})
	t.Run("an earlier release after a later one", func(t *testing.T) {
		c.pass(time.Minute)
		c.aa.figures.set("M,AA,1A,NORTH,SYR,_T,2023-01", 77)
		for _, i := range []int{0, 1} {
			must(t)(nil, c.aa.Steps()[i](ctx))
		}
		must(t)(nil, c.pull(ctx, c.bb, c.aa))
		for _, i := range []int{2, 0, 1} {
			must(t)(nil, c.bb.Steps()[i](ctx))
		}
		// What bb has sent by itself does not follow what was sent in its name: it is taken from its database.
		kept, err := c.bb.Store.Envelopes(ctx, sharing.Cursor{Stream: "bb-cc", Epoch: c.epoch(t)}, 10, 1<<20)
		if err != nil || len(kept) == 0 {
			t.Fatalf("%d, %v", len(kept), err)
		}
		if got := refusedBecause(t, c.cc, sealed(kept[len(kept)-1].Envelope)); got != "" {
			t.Errorf("the later one: %s", got)
		}
		if got := refusedBecause(t, c.cc, sealed(good)); got != "OUT_OF_SEQUENCE" {
			t.Errorf("the earlier one: %s", got)
		}
	})
}

// epoch returns the epoch of the stream from bb to cc.
func (c *chain) epoch(t *testing.T) string {
	t.Helper()
	head, err := c.bb.Head(t.Context(), "cc")
	must(t)(nil, err)
	return head.Epoch
}

func TestOnward_is_kept_back_by_who_would_pass_it_on(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c := newChain(t)
	granted := c.granted()
	granted.OnwardTo = []sharing.StateCode{"cc", "dd"}
	c.sign(t, granted)
	version := 0
	for name, change := range map[string]func(granted, passing *sharing.Terms){
		"where a cell is smaller than its receiver takes": func(_, passing *sharing.Terms) { passing.MinimumFrequency = 42 },
		"where its receiver would see less detail":        func(_, passing *sharing.Terms) { passing.Detail = map[string]string{"FREQ": "M"} },
		"where it is for other purposes":                  func(_, passing *sharing.Terms) { passing.Purposes = []string{"BORDER_CONTROL"} },
		"where it would be kept for longer":               func(_, passing *sharing.Terms) { passing.RetentionDays = 31 },
		"where it would not be taken out afterwards":      func(_, passing *sharing.Terms) { passing.Afterwards = sharing.Keep },
		"where its receiver has another clearance":        func(_, passing *sharing.Terms) { passing.ID, passing.Receiver, passing.Tier = "bb-dd", "dd", "ALLIES" },
		"where it is of other times":                      func(_, passing *sharing.Terms) { passing.Periods = sharing.Spans{{To: "2022"}} },
		"where it has other indicators":                   func(granted, _ *sharing.Terms) { granted.Indicators = []string{"1A", "5"} },
	} {
		version++
		now, passing := granted, c.passing(c.cc)
		now.Version, passing.Version = version+1, version
		change(&now, &passing)
		c.sign(t, now)
		c.sign(t, passing)
		c.flow(t)
		if c.bb.figures.count() == 0 || c.cc.figures.count()+c.dd.figures.count() != 0 {
			t.Errorf("%s: bb has %d, cc has %d, dd has %d", name, c.bb.figures.count(), c.cc.figures.count(), c.dd.figures.count())
		}
		if !slices.ContainsFunc(c.bb.Held(), func(h sharing.Held) bool { return h.Agreement == passing.ID && h.Reason != "" }) {
			t.Errorf("%s: %+v", name, c.bb.Held())
		}
	}
	for name, request := range map[string]sharing.SwitchRequest{
		"where a switch stops the source":    {Mode: sharing.Kill, Partner: "aa"},
		"where a switch stops the receiver":  {Mode: sharing.Kill, Partner: "cc"},
		"where a switch stops the indicator": {Mode: sharing.Kill, Indicator: "1A"},
	} {
		version++
		now, passing := granted, c.passing(c.cc)
		now.Version, passing.Version = version+1, version
		request.By, request.Reason = "ada", "for a test"
		must(t)(c.bb.Throw(ctx, request))
		c.sign(t, now)
		c.sign(t, passing)
		for _, step := range slices.Concat(c.aa.Steps()[:2]) {
			must(t)(nil, step(ctx))
		}
		must(t)(nil, c.pull(ctx, c.bb, c.aa))
		for _, i := range []int{2, 0, 1} {
			must(t)(nil, c.bb.Steps()[i](ctx))
		}
		if waiting, err := c.waiting(ctx, c.cc); len(waiting) > 0 {
			t.Errorf("%s: %d wait, %v", name, len(waiting), err)
		}
		request.Lift = true
		must(t)(c.bb.Throw(ctx, request))
	}
	trusted := c.bb.Trust.List()
	within := *trusted
	within.States = slices.Clone(trusted.States)
	within.States[1].RefAreas = []string{"BB", "AA1"}
	c.bb.Trust.Replace(&within)
	c.flow(t)
	if c.cc.figures.count() != 0 {
		t.Error("cc has figures that add up with those of bb")
	}
	c.bb.Trust.Replace(trusted)
	c.flow(t)
	if c.cc.figures.count() == 0 {
		t.Error("cc has nothing where nothing stands against it")
	}
}

func TestOnward_has_terms_that_make_sense(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "cc")
	for name, change := range map[string]func(*sharing.Terms){
		"names a third state":               func(t *sharing.Terms) { t.Onward, t.OnwardTo = true, []sharing.StateCode{"zz"} },
		"does not name a party":             func(t *sharing.Terms) { t.Onward, t.OnwardTo = true, []sharing.StateCode{"bb"} },
		"names nobody twice":                func(t *sharing.Terms) { t.Onward, t.OnwardTo = true, []sharing.StateCode{"cc", "cc"} },
		"says that it lets it be passed on": func(t *sharing.Terms) { t.OnwardTo = []sharing.StateCode{"cc"} },
		"has a third state for a source":    func(t *sharing.Terms) { t.Source = "aa" },
		"passes on only once":               func(t *sharing.Terms) { t.Source, t.Onward, t.OnwardTo = "cc", true, []sharing.StateCode{"cc"} },
		"names one version":                 func(t *sharing.Terms) { t.Source, t.Dataflow = "cc", "TEST:CROSSINGS(1.0+.0)" },
	} {
		t.Run(name, func(t *testing.T) {
			terms := w.terms()
			change(&terms)
			if _, err := w.aa.Draft(t.Context(), terms); !fault.Is(err, fault.Invalid) {
				t.Errorf("%v", err)
			}
		})
	}
	t.Run("has all who read in one tier", func(t *testing.T) {
		for _, s := range []*state{w.aa, w.bb, w.others[0]} {
			s.letters.to = nil
		}
		c := &chain{world: w, cc: w.others[0]}
		c.sign(t, c.granted())
		direct := c.terms()
		direct.ID, direct.Receiver, direct.Tier = "aa-cc", "cc", "ALLIES"
		if _, err := w.aa.Draft(t.Context(), direct); !fault.Is(err, fault.Precondition) {
			t.Errorf("%v", err)
		}
	})
}

func TestOnward_yields_to_what_the_source_gives_itself(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	direct := c.terms()
	direct.ID, direct.Receiver = "aa-cc", "cc"
	c.sign(t, direct)
	c.sign(t, c.granted())
	c.sign(t, c.passing(c.cc))
	c.flow(t)
	had := maps.Clone(c.cc.figures.received)
	deliveries, _, err := c.cc.Deliveries(t.Context(), sharing.Page{Partner: "bb"})
	if err != nil || len(deliveries) != 1 || deliveries[0].State != sharing.Refused || !strings.Contains(deliveries[0].Reason, "ONWARD_NOT_GRANTED") {
		t.Errorf("%+v, %v", deliveries, err)
	}
	if diff := cmp.Diff(had, c.cc.figures.received, cmpopts.EquateNaNs()); diff != "" || len(had) == 0 {
		t.Error(diff)
	}
}

// alter returns the figures of an envelope with another value for the first of them that has any.
func alter(t *testing.T, envelope []byte, value float64) *block.Block {
	t.Helper()
	read, err := wire.Codec{}.DecodeEnvelope(envelope)
	must(t)(nil, err)
	figures, err := wire.Codec{}.DecodePayload(read.Payload)
	must(t)(nil, err)
	values := figures.Column(block.ObsValue).Numbers
	i := slices.IndexFunc(values, func(v float64) bool { return v > 0 })
	values[i] = value
	return figures
}
