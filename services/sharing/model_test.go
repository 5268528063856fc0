package sharing_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/sharing"
)

// TestModel tells random stories of three states: they submit, agree, change and end agreements, forbid what they have agreed and
// permit it again, are taken off each other's trust lists and put on again, die in the middle of anything, and are cut off from each other, while the network loses, repeats and
// reorders what they send. Each story ends with everything put right. Then each state has of each other one just the figures that
// it may have, every release was stored once, and the logs verify and agree.
//
// With COMITY_LONG=1 many are told. A story that goes wrong is told as short as it can be, and again with -rapid.seed.
func TestModel(t *testing.T) {
	t.Parallel()
	stories := 4
	if os.Getenv("COMITY_LONG") != "" {
		stories = 100
	}
	w := newWorld(t, "cc")
	told, wrong := 0, false
	met := map[string]int{}
	rapid.Check(t, func(rt *rapid.T) {
		if told++; told > stories && !wrong {
			return
		}
		defer func() {
			if problem := recover(); problem != nil {
				wrong = true
				panic(problem)
			}
		}()
		m := newModel(t, w, met)
		m.open(rt)
		for range 60 {
			m.step(rt)
		}
		m.settle(rt)
		m.check(rt)
	})
	t.Logf("%v", met)
	if !wrong && (met["envelopes received"] == 0 || met["tables compared"] == 0) {
		t.Error("nothing was exchanged, which tests nothing")
	}
}

// model is a story so far.
type model struct {
	w      *world
	states []*state
	held   map[sharing.StateCode]*holdings
	had    map[string][]map[string]float64 // by provider and indicator: what could have gone at some time
	cut    map[string]bool                 // pairs between which nothing goes, by "aa-bb"
	mute   map[string]bool                 // pairs between which answers are lost
	flying []flying                        // what the network may bring again
	met    map[string]int                  // how often something happened
}

// flying is an envelope, or a receipt, on a network that repeats.
type flying struct {
	from, to *state
	envelope []byte
	receipt  *sharing.Signed
}

// holdings are the statistics of a state of a model: figures of its own, and those of its partners.
type holdings struct {
	*figures
	received map[sharing.StateCode]map[string]float64
	effects  map[string]int // by idempotency key
}

func (h *holdings) Submit(_ context.Context, submission sharing.Submission, blocks iter.Seq2[*block.Block, error]) (sharing.Submitted, error) {
	rows := map[string]float64{}
	dimensions := structures().Dimensions
	for b, err := range blocks {
		if err != nil {
			return sharing.Submitted{}, err
		}
		for i := range b.Rows {
			var codes []string
			for _, d := range dimensions {
				codes = append(codes, b.Column(d.ID).Text(i))
			}
			rows[strings.Join(append(codes, b.Column(block.TimePeriod).Text(i)), ",")] = b.Column(block.ObsValue).Numbers[i]
		}
	}
	if h.failing != nil {
		return sharing.Submitted{}, h.failing
	}
	if h.effects[submission.IdempotencyKey]++; h.effects[submission.IdempotencyKey] > 1 {
		return sharing.Submitted{Accepted: true}, nil
	}
	kept := h.received[submission.Provider]
	if kept == nil {
		kept = map[string]float64{}
		h.received[submission.Provider] = kept
	}
	maps.DeleteFunc(kept, func(key string, _ float64) bool {
		codes := strings.Split(key, ",")
		return submission.Scope.Match(func(component string) string {
			if component == block.TimePeriod {
				return codes[len(codes)-1]
			}
			return codes[slices.IndexFunc(dimensions, func(d sharing.Dimension) bool { return d.ID == component })]
		})
	})
	maps.Copy(kept, rows)
	return sharing.Submitted{Accepted: true}, nil
}

// post carries letters through the network of a model.
type post struct {
	m    *model
	from *state
}

func (p post) send(to sharing.StateCode, receive func(*state) error) error {
	s := p.m.state(to)
	if !p.m.reaches(p.from, s) {
		return errors.New("there is no way")
	}
	err := answered(receive(s))
	if p.m.mute[p.m.pair(p.from, s)] {
		return errors.New("the answer was lost")
	}
	return err
}

func (p post) Propose(ctx context.Context, partner sharing.StateCode, agreement sharing.Signed) error {
	return p.send(partner, func(s *state) error { return s.ReceiveProposal(ctx, p.from.code, agreement) })
}

func (p post) Answer(ctx context.Context, partner sharing.StateCode, agreement sharing.Signed) error {
	return p.send(partner, func(s *state) error { return s.ReceiveAnswer(ctx, p.from.code, agreement) })
}

func (p post) Terminate(ctx context.Context, partner sharing.StateCode, termination sharing.Signed) error {
	return p.send(partner, func(s *state) error { return s.ReceiveTermination(ctx, p.from.code, termination) })
}

func (p post) Confirm(ctx context.Context, partner sharing.StateCode, withdrawal sharing.Signed) error {
	return p.send(partner, func(s *state) error { return s.ReceiveWithdrawal(ctx, p.from.code, withdrawal) })
}

func (p post) Ratify(ctx context.Context, to sharing.StateCode, amendment sharing.Signed) error {
	return p.send(to, func(s *state) error { return s.ReceiveAmendment(ctx, p.from.code, amendment) })
}

// emptied brings a database back to what the migrations have made of it.
const emptied = `
	DO $$
	DECLARE
		all_tables text[] := ARRAY(SELECT tablename FROM pg_tables WHERE schemaname = 'public');
		name text;
	BEGIN
		IF to_regnamespace('kept') IS NULL THEN
			CREATE SCHEMA kept;
			FOREACH name IN ARRAY all_tables LOOP
				EXECUTE format('CREATE TABLE kept.%I AS TABLE public.%I', name, name);
			END LOOP;
		END IF;
		EXECUTE (SELECT 'TRUNCATE ' || string_agg(format('public.%I', n), ', ') FROM unnest(all_tables) n);
		FOREACH name IN ARRAY all_tables LOOP
			EXECUTE format('INSERT INTO public.%I OVERRIDING SYSTEM VALUE SELECT * FROM kept.%I', name, name);
		END LOOP;
	END $$`

// newModel begins a story, with the databases as they are at first.
func newModel(t *testing.T, w *world, met map[string]int) *model {
	m := &model{
		w: w, states: append([]*state{w.aa, w.bb}, w.others...), met: met,
		held: map[sharing.StateCode]*holdings{}, had: map[string][]map[string]float64{}, cut: map[string]bool{}, mute: map[string]bool{},
	}
	for _, s := range m.states {
		s.crash.arm(0)
		if _, err := s.pool.Exec(t.Context(), emptied); err != nil {
			t.Fatal(err)
		}
		h := &holdings{
			figures:  &figures{own: map[string]float64{}, conf: map[string]string{}, submitted: map[string]int{}, revision: 1},
			received: map[sharing.StateCode]map[string]float64{}, effects: map[string]int{},
		}
		m.held[s.code] = h
		s.rules = &rules{}
		config := s.Config
		list := *w.aa.Trust.List()
		config.Statistics, config.Policy, config.Courier, config.Trust = h, s.rules, post{m, s}, sharing.NewTrust(&list)
		config.Log = nil
		s.Service = sharing.New(config)
		for _, code := range []string{"1A", "5A"} {
			m.remember(s, code)
		}
	}
	return m
}

// open lets most states have figures, and agreements with each other, before the story begins.
func (m *model) open(rt *rapid.T) {
	for _, s := range m.states {
		for range 4 {
			m.submit(rt, s)
		}
		for _, other := range m.states {
			if other != s && rapid.IntRange(0, 3).Draw(rt, "agreed") < 3 {
				if err := m.agree(rt, s, other); err != nil {
					rt.Fatal(err)
				}
			}
		}
	}
	for range 2 {
		for _, s := range m.states {
			if err := errors.Join(s.Steps()[3](rt.Context()), m.sign(rt.Context(), s)); err != nil {
				rt.Fatal(err)
			}
		}
	}
}

// agree has a state propose the first or the next version of its agreement with another.
func (m *model) agree(rt *rapid.T, s, other *state) error {
	ctx := rt.Context()
	terms := m.w.terms()
	terms.ID, terms.Provider, terms.Receiver = sharing.AgreementID(fmt.Sprintf("%s-%s", s.code, other.code)), s.code, other.code
	newest, err := s.newest(ctx, terms.ID)
	if err != nil {
		return err
	}
	terms.Version = newest + 1
	terms.Detail = map[string]string{"FREQ": "M", "CITIZENSHIP": "country"}
	terms.Indicators = rapid.SampledFrom([][]string{{"1A"}, {"5A"}, {"1A", "5A"}}).Draw(rt, "indicators")
	if rapid.Bool().Draw(rt, "withdraws") {
		terms.Afterwards = sharing.Withdraw
	}
	if _, err = s.Draft(ctx, terms); err == nil {
		_, err = s.Accept(ctx, terms.ID, terms.Version)
	}
	return tolerated(err)
}

func (m *model) state(code sharing.StateCode) *state {
	return m.states[slices.IndexFunc(m.states, func(s *state) bool { return s.code == code })]
}

func (m *model) pair(a, b *state) string {
	return string(min(a.code, b.code)) + "-" + string(max(a.code, b.code))
}

// reaches reports whether the states are connected, and each has the other on its list.
func (m *model) reaches(a, b *state) bool {
	_, here := a.Trust.State(b.code)
	_, there := b.Trust.State(a.code)
	return here && there && !m.cut[m.pair(a, b)]
}

// may returns what of a state's figures of an indicator may go under the agreements of the model: by month and citizenship.
func (m *model) may(s *state, indicator string) map[string]float64 {
	sums := map[string]float64{}
	for key, value := range m.held[s.code].own {
		parts := strings.Split(key, ",")
		if parts[2] != indicator {
			continue
		}
		for _, citizenship := range []string{parts[4], "_T"} {
			sums[strings.Join([]string{"M", parts[1], indicator, "_T", citizenship, "_T", parts[6]}, ",")] += value
		}
	}
	return sums
}

func (m *model) remember(s *state, indicator string) {
	at := string(s.code) + " " + indicator
	m.had[at] = append(m.had[at], m.may(s, indicator))
}

// restart lets a state's process begin anew, with what its database holds.
func (m *model) restart(s *state) { s.Service = sharing.New(s.Config) }

// dying has the process of a state die before one of the next queries of its work, if it makes as many, and begin anew.
func (m *model) dying(rt *rapid.T, s *state, work func() error) error {
	in := 0
	if rapid.IntRange(0, 3).Draw(rt, "dies") == 0 {
		in = rapid.IntRange(1, 50).Draw(rt, "before query")
	}
	s.crash.arm(in)
	err := work()
	died := in > 0 && s.crash.after >= in
	s.crash.arm(0)
	if died {
		m.met["deaths"]++
		m.restart(s)
		return nil
	}
	return tolerated(err)
}

// tolerated leaves out what a state may say while not all is right.
func tolerated(err error) error {
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return nil
	}
	return err
}

// step lets one thing happen.
func (m *model) step(rt *rapid.T) {
	ctx := rt.Context()
	s := rapid.SampledFrom(m.states).Draw(rt, "state")
	other := rapid.SampledFrom(slices.DeleteFunc(slices.Clone(m.states), func(o *state) bool { return o == s })).Draw(rt, "other")
	what := rapid.SampledFrom([]string{
		"submit", "submit", "submit", "work", "work", "work", "work", "work", "work", "work", "pull", "pull", "pull", "pull", "pull", "pull", "agree", "agree", "sign", "sign",
		"terminate", "repeat", "repeat", "cut", "mend", "mend", "mute", "distrust", "trust", "trust", "restart", "wait", "refuse", "forbid",
	}).Draw(rt, "what")
	m.met[what]++
	var err error
	switch what {
	case "submit":
		m.submit(rt, s)
	case "work":
		step := rapid.SampledFrom([]int{0, 1, 2, 3}).Draw(rt, "loop")
		err = m.dying(rt, s, func() error { return s.Steps()[step](ctx) })
		if err != nil && (m.held[s.code].failing != nil || step == 3) {
			err = nil // the statistics, or a partner, cannot be reached
		}
	case "pull":
		err = m.dying(rt, s, func() error {
			return m.dying(rt, other, func() error { return m.pull(rt, s, other) })
		})
	case "agree":
		err = m.agree(rt, s, other)
	case "sign":
		err = tolerated(m.sign(ctx, s))
	case "terminate":
		_, err = s.Terminate(ctx, sharing.AgreementID(fmt.Sprintf("%s-%s", s.code, other.code)), "enough")
		err = tolerated(err)
	case "repeat":
		if len(m.flying) > 0 {
			err = tolerated(m.repeat(ctx, m.flying[rapid.IntRange(0, len(m.flying)-1).Draw(rt, "which")]))
		}
	case "cut":
		m.cut[m.pair(s, other)] = true
	case "mend":
		delete(m.cut, m.pair(s, other))
		m.held[s.code].failing, s.rules.failing = nil, nil
	case "mute":
		m.mute[m.pair(s, other)] = !m.mute[m.pair(s, other)]
	case "distrust":
		list := *s.Trust.List()
		list.States = slices.DeleteFunc(slices.Clone(list.States), func(x sharing.TrustedState) bool { return x.Code == other.code })
		s.Trust.Replace(&list)
	case "trust":
		list := *s.Trust.List()
		list.States = m.everybody()
		s.Trust.Replace(&list)
	case "restart":
		m.restart(s)
	case "wait":
		m.w.pass(time.Duration(rapid.IntRange(1, 120).Draw(rt, "minutes")) * time.Minute)
	case "forbid":
		m.forbid(s, other, rapid.SampledFrom([]string{"1A", "5A"}).Draw(rt, "indicator"))
	case "refuse":
		if rapid.Bool().Draw(rt, "the statistics") {
			m.held[s.code].failing = errors.New("down")
		} else {
			s.rules.failing = errors.New("broken")
		}
	}
	if err != nil {
		rt.Fatalf("%s of %s and %s: %v", what, s.code, other.code, err)
	}
}

// forbid has the law of a state forbid what it permitted to send to another, or permit it again.
func (m *model) forbid(s, to *state, indicator string) {
	s.rules.mu.Lock()
	defer s.rules.mu.Unlock()
	what := string(to.code) + " " + indicator
	if s.rules.forbidden == nil {
		s.rules.forbidden = map[string]bool{}
	}
	s.rules.forbidden[what] = !s.rules.forbidden[what]
}

// everybody are the states as all trust lists have them at first.
func (m *model) everybody() []sharing.TrustedState {
	var all []sharing.TrustedState
	for _, s := range m.states {
		for _, o := range m.states {
			if trusted, ok := o.Trust.State(s.code); ok { // each has itself
				all = append(all, trusted)
				break
			}
		}
	}
	return all
}

func (m *model) submit(rt *rapid.T, s *state) {
	indicator := rapid.SampledFrom([]string{"1A", "5A"}).Draw(rt, "indicator")
	key := strings.Join([]string{
		"M", strings.ToUpper(string(s.code)), indicator, rapid.SampledFrom([]string{"NORTH", "SOUTH"}).Draw(rt, "section"),
		rapid.SampledFrom([]string{"SYR", "AFG", "IRQ"}).Draw(rt, "citizenship"), "_T", rapid.SampledFrom([]string{"2024-01", "2024-02"}).Draw(rt, "month"),
	}, ",")
	value := 1_000 * rapid.IntRange(0, 9).Draw(rt, "value")
	if value == 0 {
		m.held[s.code].remove(key)
	} else {
		m.held[s.code].set(key, float64(value))
	}
	m.remember(s, indicator)
}

// sign has a state sign everything that waits for it.
func (m *model) sign(ctx context.Context, s *state) error {
	all, err := s.Agreements(ctx, false)
	if err != nil {
		return err
	}
	var problems []error
	for _, a := range all {
		if a.State == sharing.Proposed && a.Terms.Receiver == s.code {
			_, err := s.Accept(ctx, a.Terms.ID, a.Terms.Version)
			problems = append(problems, tolerated(err))
		}
	}
	return errors.Join(problems...)
}

// newest returns the newest version of an agreement that the state knows; 0: none.
func (s *state) newest(ctx context.Context, id sharing.AgreementID) (int, error) {
	versions, err := s.Versions(ctx, id)
	if fault.Is(err, fault.NotFound) || len(versions) == 0 {
		return 0, nil
	}
	return versions[len(versions)-1].Terms.Version, err
}

// pull draws envelopes as the exchange does, over a network that may lose any of what is said, and remembers all of it.
func (m *model) pull(rt *rapid.T, receiver, sender *state) error {
	if !m.reaches(receiver, sender) {
		return nil
	}
	ctx := rt.Context()
	cursor, err := begin(ctx, receiver, sender)
	if err != nil {
		return err
	}
	for range 10 {
		outgoing, err := sender.Outgoing(ctx, receiver.code, cursor, window)
		if resync, ok := errors.AsType[*sharing.ResyncError](err); ok {
			cursor = resync.From
			continue
		}
		if err != nil || len(outgoing) == 0 {
			return err
		}
		for _, out := range outgoing {
			m.flying = append(m.flying, flying{from: sender, to: receiver, envelope: out.Envelope})
			fate := 0
			if rt != nil && m.mute[m.pair(receiver, sender)] {
				fate = rapid.IntRange(0, 3).Draw(rt, "fate")
			}
			if fate == 1 {
				m.met["envelopes lost"]++
				return nil
			}
			receipt, err := receiver.Receive(ctx, sender.code, out.Envelope)
			switch {
			case fault.Reason(err) == "RECEIVE_REFUSED":
				m.met["envelopes refused"]++
			case err != nil:
				return err
			default:
				m.flying = append(m.flying, flying{from: receiver, to: sender, receipt: &receipt})
				if fate == 2 {
					m.met["receipts lost"]++
					return nil
				}
				if err := sender.AcceptReceipt(ctx, receiver.code, receipt); err != nil {
					return err
				}
			}
			m.met["envelopes received"]++
			cursor.Epoch, cursor.Sequence = "", 0
			if cursor, err = receiver.Cursor(ctx, sender.code); err != nil {
				return err
			}
		}
	}
	return nil
}

// repeat brings something again that was sent before.
func (m *model) repeat(ctx context.Context, f flying) error {
	if !m.reaches(f.from, f.to) {
		return nil
	}
	if f.receipt != nil {
		return f.to.AcceptReceipt(ctx, f.from.code, *f.receipt)
	}
	_, err := f.to.Receive(ctx, f.from.code, f.envelope)
	return err
}

// settle puts everything right, and lets all work until nothing is left to do.
func (m *model) settle(rt *rapid.T) {
	clear(m.cut)
	clear(m.mute)
	everybody := m.everybody()
	for _, s := range m.states {
		list := *s.Trust.List()
		list.States = everybody
		s.Trust.Replace(&list)
		m.held[s.code].failing, s.rules.failing = nil, nil
		m.restart(s)
	}
	ctx := rt.Context()
	var last error
	for quiet := 0; quiet < 2; {
		before := m.met["envelopes received"] + m.met["envelopes refused"]
		last = nil
		for _, s := range m.states {
			for i, step := range s.Steps() {
				if err := step(ctx); err != nil {
					last = errors.Join(last, fmt.Errorf("loop %d of %s: %w", i, s.code, err))
				}
			}
		}
		for _, receiver := range m.states {
			for _, sender := range m.states {
				if receiver == sender {
					continue
				}
				if err := errors.Join(m.pull(rt, receiver, sender), m.w.ask(ctx, receiver, sender)); err != nil {
					last = errors.Join(last, fmt.Errorf("%s pulling from %s: %w", receiver.code, sender.code, err))
				}
			}
		}
		if quiet++; before != m.met["envelopes received"]+m.met["envelopes refused"] || last != nil {
			quiet = 0
		}
		if m.met["rounds"]++; m.met["rounds"]%1000 == 0 || last != nil && m.met["rounds"]%20 == 0 {
			rt.Fatalf("it does not come to rest: %v", last)
		}
		m.w.pass(2 * time.Minute)
	}
	for _, s := range m.states {
		if err := errors.Join(s.Steps()[2](ctx), s.Steps()[1](ctx)); err != nil {
			rt.Fatal(err)
		}
	}
}

// check holds the end of a story against what it should be.
func (m *model) check(rt *rapid.T) {
	ctx := rt.Context()
	var logs sharing.Comparison
	for _, s := range m.states {
		if n, err := s.verify(ctx); err != nil {
			rt.Errorf("the log of %s, after %d entries: %v", s.code, n, err)
		}
		for from := int64(0); ; {
			entries, err := s.LogEntries(ctx, from, 500)
			if err != nil {
				rt.Fatal(err)
			}
			for _, entry := range entries {
				logs.Add(entry)
			}
			if len(entries) == 0 {
				break
			}
			from += int64(len(entries))
		}
		deliveries, _, err := s.Deliveries(ctx, sharing.Page{Limit: 1000})
		if err != nil {
			rt.Fatal(err)
		}
		for _, d := range deliveries {
			if d.State == sharing.Waiting || d.State == sharing.Staged {
				rt.Errorf("%s: a batch hangs: %+v", s.code, d)
			}
			if d.Direction == sharing.Received && d.State == sharing.Stored && m.held[s.code].effects[string(d.Release)] == 0 {
				rt.Errorf("%s: a release is not stored: %+v", s.code, d)
			}
		}
		partners, err := s.Partners(ctx)
		if err != nil {
			rt.Fatal(err)
		}
		for _, p := range partners {
			if p.Quarantined {
				rt.Errorf("%s has quarantined %s", s.code, p.Code)
			}
		}
	}
	if found := logs.Contradictions(); len(found) > 0 {
		rt.Errorf("%q", found)
	}
	for _, receiver := range m.states {
		for _, provider := range m.states {
			if provider != receiver {
				m.checkPair(rt, provider, receiver)
			}
		}
	}
}

// checkPair compares what a receiver has of a provider with what it may have.
func (m *model) checkPair(rt *rapid.T, provider, receiver *state) {
	id := sharing.AgreementID(fmt.Sprintf("%s-%s", provider.code, receiver.code))
	versions, err := receiver.Versions(rt.Context(), id)
	if err != nil && !fault.Is(err, fault.NotFound) {
		rt.Fatal(err)
	}
	theirs, err := provider.Versions(rt.Context(), id)
	if err != nil && !fault.Is(err, fault.NotFound) {
		rt.Fatal(err)
	}
	active := func(all []sharing.Agreement) int {
		return slices.IndexFunc(all, func(a sharing.Agreement) bool { return a.State == sharing.Active })
	}
	at, there := active(versions), active(theirs)
	if (at < 0) != (there < 0) || at >= 0 && versions[at].Terms.Version != theirs[there].Terms.Version {
		rt.Errorf("%s and %s disagree about agreement %s", provider.code, receiver.code, id)
	}
	for _, indicator := range []string{"1A", "5A"} {
		got := map[string]float64{}
		for key, value := range m.held[receiver.code].received[provider.code] {
			if strings.Split(key, ",")[2] == indicator {
				if math.IsNaN(value) {
					value = -1
				}
				got[key] = value
			}
		}
		covered := at >= 0 && slices.Contains(versions[at].Terms.Indicators, indicator)
		afterwards := sharing.Withdraw // of what was never agreed nothing is there
		for _, a := range versions {
			if len(a.Signatures) == 2 && slices.Contains(a.Terms.Indicators, indicator) {
				afterwards = a.Terms.Afterwards
			}
		}
		forbidden, ever := provider.rules.forbidden[string(receiver.code)+" "+indicator]
		want := m.may(provider, indicator)
		switch {
		case covered && forbidden:
			want = nil
		case covered:
		case afterwards == sharing.Withdraw:
			want = nil
		case ever && len(got) == 0: // it was taken back before the agreement ended
			want = nil
		default: // it stays as it was at some time
			for _, before := range m.had[string(provider.code)+" "+indicator] {
				if maps.Equal(before, got) {
					want = before
				}
			}
		}
		if len(got) == 0 && len(want) == 0 {
			continue
		}
		m.met["tables compared"]++
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Errorf("%s has of %s of %s, covered %t (-may have +has):\n%s", receiver.code, indicator, provider.code, covered, diff)
		}
	}
}
