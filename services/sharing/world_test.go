package sharing_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/mod/sumdb/note"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/internal/postgrestest"
	"github.com/comity-federation/comity/services/sharing"
	"github.com/comity-federation/comity/services/sharing/postgres"
	"github.com/comity-federation/comity/services/sharing/wire"
)

const dataflow = "TEST:CROSSINGS(1.0.0)"

// structures has one dimension of each kind.
func structures() *sharing.Structures {
	code := func(level string) sharing.Code { return sharing.Code{Parent: "_T", Level: level} }
	return &sharing.Structures{
		Dataflow: dataflow, Codelists: []string{"TEST:CL_SECTION(1.0.0)"},
		Dimensions: []sharing.Dimension{
			{ID: "FREQ", Levels: []string{"frequency"}, Codes: map[string]sharing.Code{"A": {Level: "frequency"}, "M": {Level: "frequency"}}},
			{ID: "REF_AREA", Levels: []string{"area"}, Codes: map[string]sharing.Code{
				"AA": {Level: "area"}, "AA1": {Parent: "AA", Level: "area"}, "AA2": {Parent: "AA", Level: "area"}, "BB": {Level: "area"}, "CC": {Level: "area"},
			}},
			{ID: "INDICATOR", Codes: map[string]sharing.Code{"1A": {}, "5": {}, "5A": {Parent: "5"}, "5B": {Parent: "5"}}},
			{ID: "SECTION", Levels: []string{"total", "section"}, Codes: map[string]sharing.Code{
				"_T": {Level: "total"}, "NORTH": code("section"), "SOUTH": code("section"), "EAST": code("section"), "_O": code("section"),
			}},
			{ID: "CITIZENSHIP", Levels: []string{"total", "country"}, Codes: map[string]sharing.Code{
				"_T": {Level: "total"}, "SYR": code("country"), "AFG": code("country"), "IRQ": code("country"), "_O": code("country"),
			}},
			{ID: "SEX", Levels: []string{"total", "sex"}, Codes: map[string]sharing.Code{"_T": {Level: "total"}, "F": code("sex"), "M": code("sex")}},
		},
	}
}

// figures are the statistics of a state in memory: values by "M,AA,1A,NORTH,SYR,_T,2023-01".
type figures struct {
	mu        sync.Mutex
	revision  int64
	own       map[string]float64
	before    map[int64]map[string]float64 // own, by earlier revision
	conf      map[string]string            // CONF_STATUS by key, where it is not F
	received  map[string]float64
	statuses  map[string]string // of what was received, OBS_STATUS and CONF_STATUS
	provider  sharing.StateCode // of what was received
	flow      string            // that it was received in
	emptied   []string          // other dataflows out of which something was taken
	submitted map[string]int    // by idempotency key, how often it had an effect
	asked     func()            // is called before each answer; nil: nothing is
	failing   error
	down      error  // what every submission fails with
	reject    string // why every submission is rejected

	others      []string // dataflows of the same figures
	derivations []sharing.Derivation
	unsure      error // what every question for them fails with
	constraints []sharing.Constraint

	personal string // a further component, that says who somebody is; "": none

	origins []sharing.Origin   // of what was received
	traced  sharing.TraceQuery // the last question for them

	mirror   *sharing.Mirror
	partners map[sharing.StateCode]map[string]float64 // what partners sent, as own
	lost     error                                    // what every question for it fails with
}

// fall has submissions fail from now on; nil: no more.
func (f *figures) fall(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = err
}

func (f *figures) set(key string, value float64) {
	f.revise(func(own map[string]float64) { own[key] = value })
}

// remove deletes figures.
func (f *figures) remove(keys ...string) {
	f.revise(func(own map[string]float64) {
		for _, key := range keys {
			delete(own, key)
		}
	})
}

func (f *figures) revise(change func(own map[string]float64)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.before == nil {
		f.before = map[int64]map[string]float64{}
	}
	f.before[f.revision] = maps.Clone(f.own)
	change(f.own)
	f.revision++
}

func (f *figures) Structures(_ context.Context, name string) (*sharing.Structures, error) {
	if strings.Contains(name, "+") {
		name = dataflow
	}
	if name != dataflow && !slices.Contains(f.others, name) {
		return nil, fault.Missing("there is no dataflow %s", name)
	}
	s := structures()
	s.Dataflow = name
	s.Mirror = f.mirror
	return s, nil
}

func (f *figures) Constraints(context.Context, string, sharing.StateCode) ([]sharing.Constraint, error) {
	return f.constraints, nil
}

func (f *figures) Derivations(context.Context) ([]sharing.Derivation, error) {
	return f.derivations, f.unsure
}

func (f *figures) Query(_ context.Context, query sharing.Query, each func(*block.Block) error) (int64, error) {
	if asked := f.asked; asked != nil {
		f.asked = nil // whoever is called asks as well
		asked()
		f.asked = asked
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failing != nil {
		return 0, f.failing
	}
	dimensions := structures().Dimensions
	revision, stored := f.revision, f.own
	if before, ok := f.before[query.Revision]; ok {
		revision, stored = query.Revision, before
	}
	if f.mirror != nil && query.Providers[0] != "aa" {
		if f.lost != nil {
			return 0, f.lost
		}
		stored = f.partners[query.Providers[0]]
	}
	sums := map[string]float64{}
	for key, value := range stored {
		for _, codes := range rolledUp(dimensions, query.Selections, strings.Split(key, ",")) {
			fits := query.Filter.Match(func(component string) string {
				return codes[slices.IndexFunc(dimensions, func(d sharing.Dimension) bool { return d.ID == component })]
			})
			if fits {
				sums[strings.Join(codes, ",")] += value
			}
		}
	}
	names := []string{}
	for _, d := range dimensions {
		names = append(names, d.ID)
	}
	names = append(names, block.TimePeriod, block.ObsStatus, block.ConfStatus)
	if f.personal != "" {
		names = append(names, f.personal)
	}
	builder := block.NewBuilder(names, []string{block.ObsValue})
	for _, key := range slices.Sorted(maps.Keys(sums)) {
		status := "A"
		if math.IsNaN(sums[key]) {
			status = "M"
		}
		conf := f.conf[key]
		if conf == "" {
			conf = "F"
		}
		codes := append(strings.Split(key, ","), status, conf)
		if f.personal != "" {
			codes = append(codes, "X1234567")
		}
		builder.Append(codes, []float64{sums[key]})
	}
	return revision, each(builder.Block())
}

// rolledUp returns the codes and the period of all cells of an answer that a stored row counts to.
func rolledUp(dimensions []sharing.Dimension, selections []sharing.Selection, row []string) [][]string {
	cells := [][]string{row}
	for _, selection := range selections {
		i := slices.IndexFunc(dimensions, func(d sharing.Dimension) bool { return d.ID == selection.Dimension })
		var next [][]string
		for _, cell := range cells {
			for _, code := range selection.Codes {
				target := slices.Clone(cell)
				target[i] = code
				switch {
				case i == 0 && code == "A" && cell[0] == "M":
					target[len(target)-1] = cell[len(cell)-1][:4]
				case !within(dimensions[i], cell[i], code):
					continue
				}
				next = append(next, target)
			}
		}
		cells = next
	}
	return cells
}

// within reports whether a code is another one, or a part of it.
func within(d sharing.Dimension, code, whole string) bool {
	for ; code != whole && code != ""; code = d.Codes[code].Parent {
	}
	return code == whole
}

func (f *figures) Trace(_ context.Context, query sharing.TraceQuery) ([]sharing.Origin, int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.traced = query
	return slices.Clone(f.origins), f.revision, f.failing
}

func (f *figures) Watch(ctx context.Context, _ string, _ func(sharing.Revision) error) error {
	<-ctx.Done()
	return ctx.Err()
}

func (f *figures) Submit(_ context.Context, submission sharing.Submission, blocks iter.Seq2[*block.Block, error]) (sharing.Submitted, error) {
	rows, statuses := map[string]float64{}, map[string]string{}
	for b, err := range blocks {
		if err != nil {
			return sharing.Submitted{}, err
		}
		for i := range b.Rows {
			var codes []string
			for _, d := range structures().Dimensions {
				codes = append(codes, b.Column(d.ID).Text(i))
			}
			key := strings.Join(append(codes, b.Column(block.TimePeriod).Text(i)), ",")
			rows[key] = b.Column(block.ObsValue).Numbers[i]
			statuses[key] = b.Column(block.ObsStatus).Text(i) + " " + b.Column(block.ConfStatus).Text(i)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failing != nil {
		return sharing.Submitted{}, f.failing
	}
	if f.down != nil {
		return sharing.Submitted{}, f.down
	}
	if f.reject != "" {
		return sharing.Submitted{Reason: f.reject}, nil
	}
	if len(rows) == 0 && f.flow != "" && submission.Dataflow != f.flow {
		f.emptied = append(f.emptied, submission.Dataflow)
		return sharing.Submitted{Accepted: true}, nil
	}
	if f.submitted[submission.IdempotencyKey]++; f.submitted[submission.IdempotencyKey] == 1 {
		if f.flow != submission.Dataflow {
			clear(f.received)
			clear(f.statuses)
		}
		replaced := func(key string) bool {
			codes := strings.Split(key, ",")
			return submission.Scope.Match(func(component string) string {
				if component == block.TimePeriod {
					return codes[len(codes)-1]
				}
				return codes[slices.IndexFunc(structures().Dimensions, func(d sharing.Dimension) bool { return d.ID == component })]
			})
		}
		maps.DeleteFunc(f.received, func(key string, _ float64) bool { return replaced(key) })
		maps.DeleteFunc(f.statuses, func(key, _ string) bool { return replaced(key) })
		maps.Copy(f.received, rows)
		maps.Copy(f.statuses, statuses)
		f.provider, f.flow = submission.Provider, submission.Dataflow
	}
	return sharing.Submitted{Accepted: true}, nil
}

// rules is policy in Go: it allows what an agreement covers.
type rules struct {
	mu        sync.Mutex
	agreed    map[sharing.StateCode]map[string][]sharing.Terms
	include   filter.Filter
	refuse    string          // a reason why nothing is accepted
	forbidden map[string]bool // to send, by partner and indicator: "bb 1A"
	failing   error
	questions []sharing.Question
	published map[string]sharing.Ruling // what everybody may see, by indicator
}

func (r *rules) SetData(_ context.Context, path string, value any) error {
	if path != "agreements" {
		return nil
	}
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.agreed = nil
	return json.Unmarshal(data, &r.agreed)
}

func (r *rules) Evaluate(_ context.Context, rule string, input, output any) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failing != nil {
		return "", r.failing
	}
	if rule == "data.comity.receive.decision" {
		verdict := map[string]any{"allow": r.refuse == "", "reasons": []sharing.Reason{}}
		if r.refuse != "" {
			verdict["reasons"] = []sharing.Reason{{Code: "RECEIVE_REFUSED", Text: r.refuse}}
		}
		return "r1", remarshal(verdict, output)
	}
	question := input.(sharing.Question)
	r.questions = append(r.questions, question)
	if question.Direction == "publish" {
		ruling, ok := r.published[question.Indicator]
		if !ok {
			ruling.Reasons = []sharing.Reason{{Code: "INDICATOR_NOT_COVERED", Text: question.Indicator + " is not published"}}
		}
		return "r1", remarshal(ruling, output)
	}
	ruling := sharing.Ruling{Reasons: []sharing.Reason{{Code: "NO_AGREEMENT", Text: "there is none"}}}
	for indicator, all := range r.agreed[question.Partner] {
		ruling.Reasons = []sharing.Reason{{Code: "INDICATOR_NOT_COVERED", Text: "it is not covered", Agreement: all[0].ID}}
		if indicator == question.Indicator && !r.forbidden[string(question.Partner)+" "+indicator] {
			ruling = sharing.Ruling{
				Allow: true, Reasons: []sharing.Reason{}, Detail: all[0].Detail,
				Agreement:   sharing.RuledAgreement{ID: all[0].ID, Version: all[0].Version},
				Obligations: sharing.Obligations{MinimumFrequency: all[0].MinimumFrequency},
			}
			break
		}
	}
	return "r1", remarshal(ruling, output)
}

func remarshal(from, to any) error {
	data, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, to)
}

func (r *rules) Condition(context.Context, string, any, string) (filter.Filter, string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.include, "r1", nil
}

func (r *rules) Archive() (string, []byte, error) { return "r1", []byte("r1"), nil }

func (r *rules) Revision() string { return "r1" }

// state is a node of the test's world.
type state struct {
	*sharing.Service
	code    sharing.StateCode
	pool    *pgxpool.Pool
	figures *figures
	rules   *rules
	crash   *crash
	letters *letters

	registry *registry
}

// world is two states that trust each other. Their network is a direct call.
type world struct {
	aa, bb *state
	others []*state
	now    func() time.Time
	mu     sync.Mutex
	ahead  time.Duration
}

// letters carries what a state says to the other one.
type letters struct {
	to   *state
	from sharing.StateCode
	down error

	carried int // how many

	states map[sharing.StateCode]*state // of the world
}

// at returns the state that letters for a partner go to.
func (l *letters) at(partner sharing.StateCode) *state {
	if l.to == nil {
		return l.states[partner]
	}
	return l.to
}

func (l *letters) Propose(ctx context.Context, partner sharing.StateCode, agreement sharing.Signed) error {
	l.carried++
	return errors.Join(l.down, answered(l.at(partner).ReceiveProposal(ctx, l.from, agreement)))
}

func (l *letters) Answer(ctx context.Context, partner sharing.StateCode, agreement sharing.Signed) error {
	l.carried++
	return errors.Join(l.down, answered(l.at(partner).ReceiveAnswer(ctx, l.from, agreement)))
}

func (l *letters) Terminate(ctx context.Context, partner sharing.StateCode, termination sharing.Signed) error {
	l.carried++
	if l.down != nil {
		return l.down
	}
	return answered(l.at(partner).ReceiveTermination(ctx, l.from, termination))
}

func (l *letters) Confirm(ctx context.Context, partner sharing.StateCode, withdrawal sharing.Signed) error {
	l.carried++
	if l.down != nil {
		return l.down
	}
	return answered(l.at(partner).ReceiveWithdrawal(ctx, l.from, withdrawal))
}

func (l *letters) Ratify(ctx context.Context, to sharing.StateCode, amendment sharing.Signed) error {
	if l.down != nil {
		return l.down
	}
	return answered(l.states[to].ReceiveAmendment(ctx, l.from, amendment))
}

// answered returns the error as the exchange does.
func answered(err error) error {
	for _, kind := range []fault.Kind{fault.Invalid, fault.NotFound, fault.Exists, fault.Precondition} {
		if fault.Is(err, kind) {
			return &sharing.Rejection{Code: fault.Reason(err), Text: err.Error()}
		}
	}
	return err
}

// crash fails one query of a pool, as if the process or the connection had died just before it.
type crash struct {
	mu    sync.Mutex
	in    int // queries until then; 0: never
	after int // queries seen
}

func (c *crash) arm(in int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.in, c.after = in, 0
}

func (c *crash) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.after++; c.after != c.in {
		return ctx
	}
	dead, cancel := context.WithCancel(ctx)
	cancel()
	return dead
}

func (c *crash) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// newWorld returns a world of aa and bb, and of more states that they trust.
func newWorld(t *testing.T, more ...sharing.StateCode) *world {
	t.Helper()
	w := &world{}
	w.now = func() time.Time {
		w.mu.Lock()
		defer w.mu.Unlock()
		return time.Now().Add(w.ahead)
	}
	trust := &sharing.TrustList{}
	keys := map[sharing.StateCode]sharing.Keys{}
	for _, code := range append([]sharing.StateCode{"aa", "bb"}, more...) {
		public, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		secret, verifier, err := note.GenerateKey(rand.Reader, sharing.LogName(code))
		if err != nil {
			t.Fatal(err)
		}
		signer, err := note.NewSigner(secret)
		if err != nil {
			t.Fatal(err)
		}
		keys[code] = sharing.Keys{Signing: private, Log: signer, LogVerifier: verifier}
		trust.States = append(trust.States, sharing.TrustedState{
			Code: code, Name: strings.ToUpper(string(code)), Address: "127.0.0.1:1", RefAreas: []string{strings.ToUpper(string(code))},
			SigningKeys: []sharing.SigningKey{{ID: sharing.KeyID(public), PublicKey: public}}, LogKey: verifier,
		})
	}
	w.aa, w.bb = w.newState(t, "aa", trust, keys["aa"]), w.newState(t, "bb", trust, keys["bb"])
	w.aa.letters.to, w.bb.letters.to = w.bb, w.aa
	for _, code := range more {
		w.others = append(w.others, w.newState(t, code, trust, keys[code]))
	}
	states := map[sharing.StateCode]*state{}
	for _, s := range append([]*state{w.aa, w.bb}, w.others...) {
		states[s.code], s.letters.states = s, states
	}
	return w
}

// beside returns a world in which another state stands for bb.
func (w *world) beside(other *state) *world {
	w.aa.letters.to, other.letters.to = other, w.aa
	return &world{aa: w.aa, bb: other, now: w.now}
}

func (w *world) newState(t *testing.T, code sharing.StateCode, trust *sharing.TrustList, keys sharing.Keys) *state {
	t.Helper()
	s := &state{
		code: code,
		figures: &figures{
			own: map[string]float64{}, conf: map[string]string{}, submitted: map[string]int{}, revision: 1,
			received: map[string]float64{}, statuses: map[string]string{},
		},
		rules: &rules{}, crash: &crash{}, letters: &letters{from: code}, registry: newRegistry(),
	}
	config := postgrestest.New(t, postgres.Migrations).Config()
	config.ConnConfig.Tracer = s.crash
	config.MaxConns = 8 // as the service has
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	s.pool = pool
	s.Service = sharing.New(sharing.Config{
		State: code, Dataflow: dataflow, Store: postgres.NewStore(pool), Statistics: s.figures, Policy: s.rules, Registry: s.registry,
		Trust: sharing.NewTrust(trust), Keys: keys, Codec: wire.Codec{}, Courier: s.letters, Clock: w.now,
		Log: slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	return s
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(line []byte) (int, error) {
	w.t.Log(string(bytes.TrimSpace(line)))
	return len(line), nil
}

// pass moves the clock on.
func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ahead += d
}

func (w *world) terms() sharing.Terms {
	return sharing.Terms{
		ID: "aa-bb-1a", Version: 1, Provider: "aa", Receiver: "bb", Dataflow: dataflow, Indicators: []string{"1A"},
		Detail:   map[string]string{"FREQ": "M", "SECTION": "section", "CITIZENSHIP": "country"},
		Purposes: []string{"STATISTICS"}, MinimumFrequency: 3, ValidFrom: "2020-01-01", Text: "As agreed.",
	}
}

// agree makes both states sign the terms.
func (w *world) agree(t *testing.T, terms sharing.Terms) {
	t.Helper()
	ctx := t.Context()
	must(t)(w.aa.Draft(ctx, terms))
	must(t)(w.aa.Sign(ctx, terms.ID))
	w.run(t)
	must(t)(w.bb.Sign(ctx, terms.ID))
	w.run(t)
}

// must fails the test on an error.
func must(t *testing.T) func(any, error) {
	t.Helper()
	return func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
}

// run lets both states do all that they have to do, and fails on any error.
func (w *world) run(t *testing.T) {
	t.Helper()
	for range 2 {
		for _, s := range []*state{w.aa, w.bb} {
			for _, step := range s.Steps() {
				if err := step(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := w.pull(t.Context(), w.bb, w.aa); err != nil {
			t.Fatal(err)
		}
		if err := w.bb.Steps()[2](t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := w.ask(t.Context(), w.bb, w.aa); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.bb.Steps()[2](t.Context()); err != nil {
		t.Fatal(err)
	}
}

// ask has the receiver ask for what it lacks, as the exchange does.
func (w *world) ask(ctx context.Context, receiver, sender *state) error {
	lacking, err := receiver.Incomplete(ctx, sender.code)
	if err != nil || len(lacking) == 0 {
		return err
	}
	return sender.ReleaseAnew(ctx, receiver.code, lacking)
}

// window is how many envelopes may be on their way without their receipts.
const window = 2

// begin opens a session as the exchange does: with the receipts that may have been lost. It returns where to go on.
func begin(ctx context.Context, receiver, sender *state) (sharing.Cursor, error) {
	receipts, err := receiver.Receipts(ctx, sender.code, window)
	if err != nil {
		return sharing.Cursor{}, err
	}
	for _, receipt := range receipts {
		// What means nothing to the sender is left.
		if err := sender.AcceptReceipt(ctx, receiver.code, receipt); err != nil && !fault.Is(err, fault.Invalid) {
			return sharing.Cursor{}, err
		}
	}
	return receiver.Cursor(ctx, sender.code)
}

// pull brings everything that waits from the sender to the receiver, as the exchange does.
func (w *world) pull(ctx context.Context, receiver, sender *state) error {
	cursor, err := begin(ctx, receiver, sender)
	if err != nil {
		return err
	}
	for {
		outgoing, err := sender.Outgoing(ctx, receiver.code, cursor, window)
		if resync := (*sharing.ResyncError)(nil); errors.As(err, &resync) {
			cursor = resync.From
			continue
		}
		if err != nil || len(outgoing) == 0 {
			return err
		}
		for _, out := range outgoing {
			receipt, err := receiver.Receive(ctx, sender.code, out.Envelope)
			switch {
			case fault.Reason(err) == "RECEIVE_REFUSED":
			case err != nil:
				return fmt.Errorf("receiving %d: %w", out.Sequence, err)
			default:
				if err := sender.AcceptReceipt(ctx, receiver.code, receipt); err != nil {
					return fmt.Errorf("accepting the receipt for %d: %w", out.Sequence, err)
				}
			}
			cursor.Sequence = out.Sequence
		}
	}
}

// next returns the envelopes that wait for bb.
func (w *world) next(t *testing.T) []sharing.Outgoing {
	t.Helper()
	cursor, err := w.bb.Cursor(t.Context(), "aa")
	if err != nil {
		t.Fatal(err)
	}
	outgoing, err := w.aa.Outgoing(t.Context(), "bb", cursor, 100)
	if err != nil {
		t.Fatal(err)
	}
	return outgoing
}

// verify checks the log of a state as an auditor does.
func (s *state) verify(ctx context.Context) (int64, error) { return s.verifyFrom(ctx, s.Store) }

// verifyIn checks the log as it is in a transaction.
func (s *state) verifyIn(ctx context.Context, tx pgx.Tx) (int64, error) {
	return s.verifyFrom(ctx, postgres.In(tx))
}

func (s *state) verifyFrom(ctx context.Context, store sharing.Reader) (int64, error) {
	checkpoint, err := store.Checkpoint(ctx)
	if err != nil {
		return 0, err
	}
	log := sharing.Log{State: s.code, Checkpoint: checkpoint, VerifierKey: s.Keys.Current().LogVerifier, Cosigned: map[sharing.StateCode]string{}}
	for _, partner := range s.Trust.List().States {
		seen, err := store.Witnessed(ctx, partner.Code)
		if err != nil {
			return 0, err
		}
		if seen.Cosigned != "" {
			log.Cosigned[partner.Code] = seen.Cosigned
		}
	}
	log.Entries = func(yield func(sharing.LogEntry, error) bool) {
		for from := int64(0); ; {
			entries, err := store.LogEntries(ctx, from, 100)
			if err != nil {
				yield(sharing.LogEntry{}, err)
				return
			}
			for _, entry := range entries {
				if !yield(entry, nil) {
					return
				}
				from = entry.Index + 1
			}
			if len(entries) == 0 {
				return
			}
		}
	}
	return sharing.Verify(ctx, s.Trust.List(), s.Codec, log)
}

// withKeys returns the configuration of aa with the keys and the trust list of another world's.
func (w *world) withKeys(other *state) sharing.Config {
	config := w.aa.Config
	config.Keys = other.Keys
	trust := *config.Trust.List()
	trust.States = slices.Clone(trust.States)
	theirs, _ := other.Trust.State(other.code)
	trust.States[0] = theirs
	config.Trust = sharing.NewTrust(&trust)
	w.bb.Trust.List().States[0] = theirs
	return config
}

// newFigures gives aa figures of one month in which some cells are small.
func (w *world) newFigures() {
	for key, value := range map[string]float64{
		"M,AA,1A,NORTH,SYR,_T,2023-01": 40, "M,AA,1A,NORTH,AFG,_T,2023-01": 2, "M,AA,1A,NORTH,IRQ,_T,2023-01": 7,
		"M,AA,1A,SOUTH,SYR,_T,2023-01": 1, "M,AA,1A,EAST,AFG,_T,2023-01": 12, "M,AA,1A,EAST,IRQ,_T,2023-01": 30,
	} {
		w.aa.figures.set(key, value)
	}
}

// count returns how many figures of the partner are stored.
func (f *figures) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.received)
}

// refill returns an envelope that aa has signed over one figure.
func (w *world) refill(t *testing.T, envelope []byte, key string, value float64) []byte {
	t.Helper()
	var names []string
	for _, d := range structures().Dimensions {
		names = append(names, d.ID)
	}
	builder := block.NewBuilder(append(names, block.TimePeriod), []string{block.ObsValue})
	builder.Append(strings.Split(key, ","), []float64{value})
	payload, err := wire.Codec{}.EncodePayload(builder.Block())
	if err != nil {
		t.Fatal(err)
	}
	opened, err := wire.Codec{}.DecodeEnvelope(envelope)
	if err != nil {
		t.Fatal(err)
	}
	opened.Payload = payload
	data, err := wire.Codec{}.EncodeEnvelope(opened)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(payload)
	release := sha256.Sum256(sum[:])
	return w.forge(t, data, func(h *sharing.Header) { h.PayloadSHA256, h.ReleaseSHA256 = sum[:], release[:] })
}
