package sharing

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/services/disclosure/ledger"
	"github.com/comity-federation/comity/services/fault"
)

// Release is a table that passed policy and disclosure control. Its JSON is kept, and has a leaf in the log.
type Release struct {
	ID               ReleaseID   `json:"id"`
	Partner          StateCode   `json:"partner"`
	Agreement        AgreementID `json:"agreement"`
	AgreementVersion int         `json:"agreementVersion"`
	Dataflow         string      `json:"dataflow"`
	Indicators       []string    `json:"indicators"`
	Decision         DecisionID  `json:"decision"`
	PolicyRevision   string      `json:"policyRevision"`
	Revision         int64       `json:"revision"` // of the statistics
	Stream           string      `json:"stream"`
	Epoch            string      `json:"epoch"`
	Scope            Condition   `json:"scope"`          // what it replaces of what went before
	Whole            Condition   `json:"whole"`          // all that may go under the agreement; the scope is a part of it where there is a base
	Base             ReleaseID   `json:"base,omitempty"` // the release that it builds upon: it has what changed since; "": it has everything
	Content          []byte      `json:"content"`        // as SHA256, of the payloads that everything would be
	Tally
	Batches int       `json:"batches"`
	SHA256  []byte    `json:"sha256"` // over the SHA-256s of the payloads
	Created time.Time `json:"created"`
	Passed  *Passed   `json:"passed,omitempty"` // nil: it has this state's own figures
}

// draft is a release before it has its place in a stream.
type draft struct {
	release  Release
	decision Decision
	content  table
	terms    []byte   // SHA-256 of the agreement's document, where it lets the figures be passed on
	warrants [][]byte // of each payload that is passed on; none of this state's own
	batches
}

// batches are rows as they travel.
type batches struct {
	payloads [][]byte
	cells    []int  // of each payload
	sha256   []byte // over the SHA-256s of the payloads
}

// Releases returns a page of releases, the newest first, and the token of the next page; "" on the last.
func (s *Service) Releases(ctx context.Context, page Page) (releases []Release, next string, err error) {
	documents, next, err := s.Store.Releases(ctx, page)
	if err != nil {
		return nil, "", err
	}
	releases = make([]Release, len(documents))
	for i, document := range documents {
		if err := json.Unmarshal(document, &releases[i]); err != nil {
			return nil, "", fmt.Errorf("reading a release: %w", err)
		}
	}
	return releases, next, nil
}

// releaseAll makes the releases of every agreement in force that is not done, and notes it there: done again, it would be
// decided anew, and each decision stays in the log. It reports whether any waits for its schedule or the next period of its
// quota. One that fails does not keep the others back.
func (s *Service) releaseAll(ctx context.Context, done map[AgreementID]string) (waiting bool, err error) {
	if err := s.writable(ctx); err != nil {
		return true, err
	}
	active, err := s.refreshPolicy(ctx)
	if err != nil {
		return true, err
	}
	var failures []error
	for _, a := range active {
		if _, made := done[a.Terms.ID]; made {
			continue
		}
		if a.unspoken != nil {
			waiting, failures = true, append(failures, fmt.Errorf("releasing under %s: %w", a.Terms.ID, a.unspoken))
			continue
		}
		released, err := s.releaseWhenDue(ctx, a)
		if err != nil {
			failures = append(failures, fmt.Errorf("releasing under %s: %w", a.Terms.ID, err))
		}
		if released {
			done[a.Terms.ID] = flowOf(a.Terms.Dataflow)
			if a.Terms.Source != "" {
				done[a.Terms.ID] = passedFlow
			}
		}
		waiting = waiting || !released
	}
	return waiting, errors.Join(failures...)
}

// releaseWhenDue makes the release of an agreement, unless its schedule or its quota keeps it back: false.
func (s *Service) releaseWhenDue(ctx context.Context, a Agreement) (released bool, err error) {
	now := s.now()
	if held, ok := s.delays.get(a.Terms.ID); ok && now.Before(held.Until) {
		return false, nil
	}
	place, err := s.Store.Outbound(ctx, StreamName(s.State, a.Terms.Receiver))
	if err != nil {
		return false, err
	}
	due, err := s.mayGo(ctx, a, place.Epoch)
	if err != nil {
		return false, err
	}
	if !due {
		s.delays.set(Held{Agreement: a.Terms.ID, Partner: a.Terms.Receiver, Reason: "SCHEDULE"})
		return false, nil
	}
	refusal := ""
	if a.Terms.Source != "" {
		refusal, err = s.passOn(ctx, a)
	} else {
		err = s.releaseUnder(ctx, a)
	}
	if over, ok := errors.AsType[*fault.Error](err); ok && over.Kind == fault.Exhausted && over.RetryAfter > 0 {
		until := s.now().Add(over.RetryAfter)
		s.delays.set(Held{Agreement: a.Terms.ID, Partner: a.Terms.Receiver, Reason: "QUOTA", Until: until})
		s.Log.WarnContext(ctx, "a release waits: it does not fit into the quota", "partner", a.Terms.Receiver, "agreement", a.Terms.ID, "until", until)
		return false, nil
	}
	if err != nil {
		return false, err
	}
	s.delays.drop(a.Terms.ID)
	if refusal != "" {
		s.delays.set(Held{Agreement: a.Terms.ID, Partner: a.Terms.Receiver, Reason: refusal})
	}
	if place, err = s.Store.Outbound(ctx, StreamName(s.State, a.Terms.Receiver)); err != nil { // the first release begins an epoch
		return false, err
	}
	return true, s.looked(ctx, a, place.Epoch, now)
}

// releaseUnder makes the release of an agreement, unless it is what went last.
func (s *Service) releaseUnder(ctx context.Context, a Agreement) error {
	return remade(func() error { return s.tryRelease(ctx, a) })
}

// tryRelease makes the release of an agreement, unless the audience is told more in the meantime: errToldSince.
func (s *Service) tryRelease(ctx context.Context, a Agreement) error {
	d, err := s.draftRelease(ctx, a)
	if err != nil {
		return err
	}
	if len(d.content.rows) >= largeRelease {
		s.large.Store(true)
	}
	if d.release.ID == "" { // nothing is allowed
		return s.Store.Write(ctx, func(tx Tx) error { return s.keepDecision(ctx, tx, d.decision) })
	}
	structures, err := s.structuresOf(ctx, a.Terms.Dataflow)
	if err != nil {
		return err
	}
	err = s.Store.Write(ctx, func(tx Tx) error {
		if err := s.stillLeaves(ctx, tx, a.Terms.Receiver, d.release.Indicators); err != nil {
			return err
		}
		epoch := newID(s.now())
		stream := StreamName(s.State, a.Terms.Receiver)
		place, err := tx.LockOutbound(ctx, stream, a.Terms.Receiver, epoch)
		if err != nil {
			return err
		}
		if err := s.keepDecision(ctx, tx, d.decision); err != nil {
			return err
		}
		seen, err := tx.Ledger(ctx, string(a.Terms.tier()))
		if err != nil {
			return err
		}
		if err := d.content.admit(ctx, []ledger.Stack{seen}, string(d.release.ID)); err != nil {
			return err
		}
		d.release.Created = s.now() // only now it is decided
		if err := s.finish(ctx, &d, structures); err != nil {
			return err
		}
		d.release.Stream, d.release.Epoch = stream, place.Epoch
		last, err := lastRelease(ctx, tx, a.Terms.ID)
		if err != nil {
			return err
		}
		known, err := s.sentAlready(ctx, tx, d, last)
		if err != nil {
			return err
		}
		if known {
			return errSaidAlready
		}
		if len(a.Terms.OnwardTo) > 0 { // what is passed on goes whole
			document := sha256.Sum256(a.Document)
			d.terms, last = document[:], nil
		}
		if err := s.asDelta(ctx, tx, &d, structures, last); err != nil {
			return err
		}
		return s.put(ctx, tx, d, place, a.Terms)
	})
	if errors.Is(err, errSaidAlready) {
		return s.Store.Write(ctx, func(tx Tx) error { return s.keepDecision(ctx, tx, d.decision) })
	}
	if err != nil {
		return err
	}
	s.Log.InfoContext(ctx, "released", "partner", d.release.Partner, "agreement", d.release.Agreement, "release", d.release.ID,
		"cells", d.release.Released, "batches", d.release.Batches, "withheld", d.release.Withheld, "suppressed", d.release.Suppressed)
	return nil
}

// sentAlready reports whether the draft says what the last release under the agreement said in the same epoch; one
// that says nothing need not be the first.
func (s *Service) sentAlready(ctx context.Context, tx Tx, d draft, last *Release) (bool, error) {
	if last == nil {
		return len(d.content.rows) == 0, nil
	}
	if !last.follows(d.release) || !bytes.Equal(last.Content, d.release.Content) {
		return false, nil
	}
	return tx.HasContent(ctx, d.release.Agreement) // else the partner has asked for it again
}

// draftRelease decides and makes the tables of an agreement. What policy denies goes as nothing: so what went of it is taken
// back. Without an id, nothing is said of any indicator.
func (s *Service) draftRelease(ctx context.Context, a Agreement) (draft, error) {
	questions := make([]Question, len(a.Terms.Indicators))
	for i, code := range a.Terms.Indicators {
		questions[i] = Question{Partner: a.Terms.Receiver, Dataflow: a.Terms.Dataflow, Indicator: code}
	}
	decision, err := s.decide(ctx, "release", questions)
	if err != nil {
		return draft{}, err
	}
	structures, err := s.structuresOf(ctx, a.Terms.Dataflow)
	if err != nil {
		return draft{}, err
	}
	var allowed []DecidedRequest
	var indicators []string // that are allowed
	var covered []string    // and those that are not any more: what went of them is taken back
	for _, decided := range decision.Indicators {
		ruled := decided.Ruling.Agreement
		if decided.denied() {
			covered = append(covered, decided.Question.Indicator)
			continue
		}
		if !decided.Ruling.Allow || ruled.ID != a.Terms.ID || ruled.Version != a.Terms.Version {
			continue
		}
		// The agreement bounds what policy says.
		decided.Ruling.Obligations.MinimumFrequency = max(decided.Ruling.Obligations.MinimumFrequency, a.Terms.MinimumFrequency)
		decided.agreed = a.Terms.Periods
		allowed, indicators = append(allowed, decided), append(indicators, decided.Question.Indicator)
		covered = append(covered, decided.Question.Indicator)
	}
	if len(covered) == 0 {
		return draft{decision: decision}, nil
	}
	own, _ := s.Trust.State(s.State)
	readers, err := s.audience(ctx, string(a.Terms.tier()))
	if err != nil {
		return draft{}, err
	}
	all, err := s.tables(ctx, structures, allowed, own.RefAreas, a.Terms.Indicators, []audience{readers})
	if err != nil {
		return draft{}, err
	}
	return draft{decision: decision, content: all, release: Release{
		ID: ReleaseID(newID(s.now())), Partner: a.Terms.Receiver, Agreement: a.Terms.ID, AgreementVersion: a.Terms.Version,
		Dataflow: structures.Dataflow, Indicators: indicators, Decision: decision.ID, PolicyRevision: decision.PolicyRevision,
		Revision: all.revision, Scope: Condition{scopeOf(structures, own.RefAreas, covered)}, Whole: Condition{scopeOf(structures, own.RefAreas, covered)},
		Created: s.now(),
	}}, nil
}

// finish counts what goes, and encodes it.
func (s *Service) finish(ctx context.Context, d *draft, structures *Structures) error {
	r, all := &d.release, &d.content
	r.Tally = all.tally()
	var err error
	d.batches, err = s.encodeBatches(ctx, structures, all.sorted())
	r.Batches, r.SHA256, r.Content = len(d.payloads), d.sha256, d.sha256
	return err
}

// scopeOf returns the filter for what a release replaces: its areas and indicators, at every frequency. Months left from
// before beside a year of now would give away what the year keeps.
func scopeOf(structures *Structures, areas, indicators []string) filter.Filter {
	values := map[string][]string{refArea: areas, indicator: indicators}
	var conditions []filter.Filter
	for _, dimension := range structures.Dimensions {
		if codes := values[dimension.ID]; len(codes) > 0 {
			conditions = append(conditions, filter.In(dimension.ID, codes...))
		}
	}
	return filter.And(conditions...)
}

// encodeBatches writes the rows as payloads of at most [MaxBatch] rows and [MaxPayload] bytes, as many at a time as there are
// processors. There is at least one, if without rows.
func (s *Service) encodeBatches(ctx context.Context, structures *Structures, rows []row) (batches, error) {
	parts := slices.Collect(slices.Chunk(rows, MaxBatch))
	if len(parts) == 0 {
		parts = [][]row{nil}
	}
	encoded := make([]batches, len(parts))
	err := sideBySide(ctx, len(parts), func(_ context.Context, i int) (err error) {
		encoded[i], err = s.encodePart(structures, parts[i])
		return err
	})
	if err != nil {
		return batches{}, fmt.Errorf("encoding a batch: %w", err)
	}
	var done batches
	total := sha256.New()
	for _, part := range encoded {
		done.payloads = append(done.payloads, part.payloads...)
		done.cells = append(done.cells, part.cells...)
	}
	for _, payload := range done.payloads {
		sum := sha256.Sum256(payload)
		total.Write(sum[:])
	}
	done.sha256 = total.Sum(nil)
	return done, nil
}

// encodePart writes rows as one payload, or as several where it would have more than [MaxPayload] bytes.
func (s *Service) encodePart(structures *Structures, rows []row) (done batches, err error) {
	for first := true; first || len(rows) > 0; first = false {
		size := len(rows)
		payload, err := s.Codec.EncodePayload(toBlock(structures, rows))
		for err == nil && len(payload) > MaxPayload && size > 1 {
			size /= 2
			payload, err = s.Codec.EncodePayload(toBlock(structures, rows[:size]))
		}
		if err != nil {
			return batches{}, err
		}
		if len(payload) > MaxPayload {
			return batches{}, fmt.Errorf("one row has %d bytes", len(payload))
		}
		done.payloads, done.cells = append(done.payloads, payload), append(done.cells, size)
		rows = rows[size:]
	}
	return done, nil
}

// contents returns the content of payloads, one by one.
func (s *Service) contents(batches int, payload func(batch int) ([]byte, error)) iter.Seq2[*block.Block, error] {
	return func(yield func(*block.Block, error) bool) {
		for batch := range batches {
			var rows *block.Block
			data, err := payload(batch)
			if err == nil {
				rows, err = s.Codec.DecodePayload(data)
			}
			if !yield(rows, err) || err != nil {
				return
			}
		}
	}
}

// submit stores figures in this state's statistics. What is wrong with them would be so again: they are rejected for it.
func (s *Service) submit(ctx context.Context, submission Submission, figures iter.Seq2[*block.Block, error]) (Submitted, error) {
	submitted, err := s.Statistics.Submit(ctx, submission, figures)
	if wrong, ok := errors.AsType[*fault.Error](err); ok && wrong.Kind == fault.Invalid {
		return Submitted{Reason: wrong.Message}, nil
	}
	return submitted, err
}

// toBlock returns rows as a block. Comments stay at home: nobody has looked at them with a partner in mind.
func toBlock(structures *Structures, rows []row) *block.Block {
	var coded []string
	for _, dimension := range structures.Dimensions {
		coded = append(coded, dimension.ID)
	}
	builder := block.NewBuilder(append(coded, block.TimePeriod, block.ObsStatus, block.ConfStatus), []string{block.ObsValue})
	for _, r := range rows {
		builder.Append(append(slices.Clone(r.codes), r.period, r.status, r.conf), []float64{r.value})
	}
	return builder.Block()
}

// put gives a draft its places in the stream.
func (s *Service) put(ctx context.Context, tx Tx, d draft, place Place, terms Terms) error {
	structures, err := s.structuresOf(ctx, d.release.Dataflow)
	if err != nil {
		return err
	}
	document, err := json.Marshal(d.release)
	if err != nil {
		return err
	}
	r := d.release
	if err := tx.AddRelease(ctx, r, document, newLeaf(EntryRelease, r.subject(), r.Created, document)); err != nil {
		return err
	}
	header := Header{
		Sender: s.State, Receiver: r.Partner, Agreement: r.Agreement, AgreementVersion: r.AgreementVersion,
		Decision: r.Decision, PolicyRevision: r.PolicyRevision,
		Stream: r.Stream, Epoch: place.Epoch, Sequence: place.Sequence, Previous: place.SHA256,
		Created: r.Created, Expires: r.Created.Add(s.Lifetime),
		Release: r.ID, BatchCount: r.Batches, ReleaseSHA256: r.SHA256, Base: r.Base,
		Dataflow: r.Dataflow, Scope: r.Scope.Filter, Codelists: structures.Codelists, TermsSHA256: d.terms,
	}
	var sealed []SentEnvelope
	for i, payload := range d.payloads {
		header.Sequence, header.BatchIndex = header.Sequence+1, i
		var warrant []byte
		if i < len(d.warrants) {
			warrant = d.warrants[i]
		}
		one, err := s.seal(header, payload, warrant, d.cells[i])
		if err != nil {
			return err
		}
		header.Previous = one.Leaf.ContentSHA256
		sealed = append(sealed, one)
	}
	if err := s.withinQuota(ctx, tx, terms, r.Created, sealed); err != nil {
		return err
	}
	for some := range slices.Chunk(sealed, maxOutgoing) {
		if err := tx.AddEnvelopes(ctx, r.Stream, place.Epoch, some); err != nil {
			return err
		}
	}
	return nil
}

// subject names the release in the log.
func (r Release) subject() string {
	return fmt.Sprintf("%s/%s/%d/%s", r.Partner, r.Agreement, r.AgreementVersion, r.ID)
}

// subject names the place in the log.
func (c Cursor) subject() string { return fmt.Sprintf("%s/%s/%d", c.Stream, c.Epoch, c.Sequence) }
