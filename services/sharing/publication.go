package sharing

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/services/fault"
)

// Publication is a table that passed policy and disclosure control on its way to everybody. Its JSON is kept, and has a
// leaf in the log.
type Publication struct {
	ID             PublicationID `json:"id"`
	Dataflow       string        `json:"dataflow"`
	Indicators     []string      `json:"indicators"`
	Decision       DecisionID    `json:"decision"`
	PolicyRevision string        `json:"policyRevision"`
	Revision       int64         `json:"revision"` // of the statistics
	Scope          Condition     `json:"scope"`    // what it replaces of what was published before
	Tally
	Reasons   []Reason      `json:"reasons"` // why policy refuses some of what was asked for
	Batches   int           `json:"batches"`
	SHA256    []byte        `json:"sha256"` // over the SHA-256s of the payloads
	Created   time.Time     `json:"created"`
	Withdraws PublicationID `json:"withdraws,omitempty"` // that this one takes back, and so has no figures; "": none

	State     PublicationState `json:"-"`
	Problem   string           `json:"-"` // why the statistics refused it
	Published time.Time        `json:"-"` // when the statistics had it; zero: they have not
	Withdrawn time.Time        `json:"-"` // when it was taken back; zero: it was not
}

// PublicationState says how far a publication got.
type PublicationState uint8

// The states of a publication.
const (
	PublicationWaiting   PublicationState = iota + 1 // everybody is taken to have seen it, but the statistics lack it
	PublicationStored                                // the statistics have it
	PublicationRefused                               // the statistics reject it
	PublicationWithdrawn                             // it was taken back
)

// PublishedToAll is the provider of the figures that everybody may see, in this state's statistics.
const PublishedToAll StateCode = "PUBLISHED:" + Public

// PublicationRequest asks for something to be published.
type PublicationRequest struct {
	Dataflow   string      `json:"dataflow"`             // "": that of [Config]
	Indicators []string    `json:"indicators"`           // none: all that policy lets be published
	Correction *Correction `json:"correction,omitempty"` // of what everybody sees; nil: none
}

// Publish decides what everybody may see of the indicators, keeps it, and hands it to the statistics. It takes the place
// of what was published of the same indicators before. Where nothing has changed since, it returns the publication that
// is there. A publication that the statistics do not take at once waits, and is handed over later.
//
// Where policy lets nothing be published, it is a fault of kind Precondition with policy's first reason; where something of
// it is announced for later, with the reason EMBARGO.
func (s *Service) Publish(ctx context.Context, request PublicationRequest) (Publication, error) {
	if err := s.writable(ctx); err != nil {
		return Publication{}, err
	}
	if err := request.Correction.check(); err != nil {
		return Publication{}, err
	}
	var id PublicationID
	err := s.inTurn(ctx, func(ctx context.Context) error {
		if err := s.checkEmbargo(ctx, request); err != nil {
			return err
		}
		return remade(func() (err error) {
			id, err = s.publish(ctx, request, func(Tx, PublicationID) error { return nil })
			return err
		})
	})
	if err != nil {
		return Publication{}, err
	}
	return s.Publication(ctx, id)
}

// inTurn runs work that decides about publications, and then hands over what waits. They are decided one after the other, as
// they are handed over: what is decided later is of later figures, and takes the place of what was decided before.
func (s *Service) inTurn(ctx context.Context, work func(context.Context) error) error {
	for {
		ran, err := s.Store.Exclusively(ctx, publishingName, func(ctx context.Context) error {
			if err := work(ctx); err != nil {
				return err
			}
			if err := s.publishAll(ctx); err != nil {
				s.Log.WarnContext(ctx, "publications wait for the statistics", "error", err)
			}
			return nil
		})
		if ran || err != nil {
			return err
		}
		await(ctx, nil, publishPause)
	}
}

// errPreviewed ends the transaction of a preview.
var errPreviewed = errors.New("it is a preview")

// Preview returns what Publish would show at this moment, also of what is under embargo, and the first batch of its rows. The
// decision is kept like any other; nobody is shown anything.
func (s *Service) Preview(ctx context.Context, request PublicationRequest) (preview Publication, rows *block.Block, err error) {
	err = remade(func() error {
		d, err := s.draftPublication(ctx, request, "preview")
		if err != nil {
			return err
		}
		err = s.Store.Write(ctx, func(tx Tx) error {
			if len(d.publication.Indicators) == 0 {
				return errPreviewed
			}
			payloads, err := s.admitPublication(ctx, tx, &d)
			if err != nil {
				return err
			}
			if rows, err = s.Codec.DecodePayload(payloads[0]); err != nil {
				return err
			}
			return errPreviewed // nothing of it is kept
		})
		if !errors.Is(err, errPreviewed) {
			return err
		}
		if err := s.Store.Write(ctx, func(tx Tx) error { return s.keepDecision(ctx, tx, d.decision) }); err != nil {
			return err
		}
		preview = d.publication
		preview.ID = ""
		return d.refusal()
	})
	return preview, rows, err
}

// publish keeps a publication, or returns the one that says the same, and settles in the same transaction what it is for. It
// fails with errToldSince where an audience is told more in the meantime.
func (s *Service) publish(ctx context.Context, request PublicationRequest, settle func(Tx, PublicationID) error) (PublicationID, error) {
	d, err := s.draftPublication(ctx, request, "publish")
	if err != nil {
		return "", err
	}
	id := d.publication.ID
	err = s.Store.Write(ctx, func(tx Tx) error {
		if err := s.keepDecision(ctx, tx, d.decision); err != nil || len(d.publication.Indicators) == 0 {
			return err
		}
		if err := s.stillLeaves(ctx, tx, "", d.publication.Indicators); err != nil {
			return err
		}
		payloads, err := s.admitPublication(ctx, tx, &d)
		if err != nil {
			return err
		}
		last, known, err := publishedAlready(ctx, tx, d.publication)
		if err != nil {
			return err
		}
		if known {
			id = last
			return errSaidAlready
		}
		if err := s.addPublication(ctx, tx, d.publication, payloads); err != nil {
			return err
		}
		if request.Correction != nil {
			if err := s.noteCorrection(ctx, tx, *request.Correction, d.publication); err != nil {
				return err
			}
		}
		return settle(tx, id)
	})
	if errors.Is(err, errSaidAlready) && request.Correction != nil {
		return "", fault.New(fault.Precondition, "WRONG_STATE", "there is nothing to correct: what would be published is published")
	}
	if errors.Is(err, errSaidAlready) {
		err = s.Store.Write(ctx, func(tx Tx) error {
			if err := s.keepDecision(ctx, tx, d.decision); err != nil {
				return err
			}
			return settle(tx, id)
		})
	}
	if err != nil {
		return "", err
	}
	return id, d.refusal()
}

// addPublication keeps a publication that waits.
func (s *Service) addPublication(ctx context.Context, tx Tx, p Publication, payloads [][]byte) error {
	document, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return tx.AddPublication(ctx, p, document, payloads, newLeaf(EntryPublication, string(p.ID), p.Created, document))
}

// publicationDraft is a publication before it is kept.
type publicationDraft struct {
	publication Publication // without indicators, policy allows nothing
	structures  *Structures
	decision    Decision
	content     table
}

// refusal returns the fault where policy allows nothing.
func (d publicationDraft) refusal() error {
	if len(d.publication.Indicators) > 0 {
		return nil
	}
	refusal := Reason{Code: notCovered, Text: "policy lets no indicator of " + d.structures.Dataflow + " be published"}
	if len(d.publication.Reasons) > 0 {
		refusal = d.publication.Reasons[0]
	}
	return fault.New(fault.Precondition, refusal.Code, "%s", refusal.Text)
}

// admitPublication holds a draft against what every audience was told, which it adds to, and returns what is left as its
// content.
func (s *Service) admitPublication(ctx context.Context, tx Tx, d *publicationDraft) (payloads [][]byte, err error) {
	audiences, err := tx.Ledgers(ctx)
	if err != nil {
		return nil, err
	}
	if err := d.content.admit(ctx, audiences, string(d.publication.ID)); err != nil {
		return nil, err
	}
	return s.fill(ctx, &d.publication, d.structures, d.content)
}

// notCovered is policy's reason where an indicator is not named.
const notCovered = "INDICATOR_NOT_COVERED"

// draftPublication asks policy, and makes the tables of what it allows.
func (s *Service) draftPublication(ctx context.Context, request PublicationRequest, use string) (publicationDraft, error) {
	structures, err := s.structuresOf(ctx, cmp.Or(request.Dataflow, s.Dataflow))
	if err != nil {
		return publicationDraft{}, err
	}
	codes := request.Indicators
	if len(codes) == 0 {
		codes = structures.codes(indicator)
	}
	if len(codes) == 0 || repeats(codes) {
		return publicationDraft{}, fault.InvalidField("indicators", "one is empty or stands twice, or %s has none", structures.Dataflow)
	}
	questions := make([]Question, len(codes))
	for i, code := range codes {
		questions[i] = Question{Direction: publishing, Dataflow: structures.Dataflow, Indicator: code}
	}
	decision, err := s.decide(ctx, use, questions)
	if err != nil {
		return publicationDraft{}, err
	}
	if len(request.Indicators) == 0 {
		// Nobody asked for what is not for publication.
		decision.Indicators = slices.DeleteFunc(decision.Indicators, func(d DecidedRequest) bool {
			return slices.ContainsFunc(d.Ruling.Reasons, func(r Reason) bool { return r.Code == notCovered })
		})
	}
	p := Publication{
		ID: PublicationID(newID(s.now())), Dataflow: structures.Dataflow, Decision: decision.ID, PolicyRevision: decision.PolicyRevision,
		Reasons: []Reason{}, Created: s.now(),
	}
	var allowed []DecidedRequest
	codes = nil
	for _, decided := range decision.Indicators {
		codes = append(codes, decided.Question.Indicator)
		if !decided.Ruling.Allow {
			p.Reasons = append(p.Reasons, decided.Ruling.Reasons...)
			continue
		}
		allowed, p.Indicators = append(allowed, decided), append(p.Indicators, decided.Question.Indicator)
	}
	own, _ := s.Trust.State(s.State)
	audiences, err := s.everybody(ctx)
	if err != nil {
		return publicationDraft{}, err
	}
	all, err := s.tables(ctx, structures, allowed, own.RefAreas, codes, audiences)
	if err != nil {
		return publicationDraft{}, err
	}
	p.Scope = Condition{scopeOf(structures, own.RefAreas, p.Indicators)}
	return publicationDraft{publication: p, structures: structures, decision: decision, content: all}, nil
}

// fill says in the publication what is in the tables, and returns that as its content.
func (s *Service) fill(ctx context.Context, p *Publication, structures *Structures, t table) (payloads [][]byte, err error) {
	p.Revision, p.Tally = t.revision, t.tally()
	encoded, err := s.encodeBatches(ctx, structures, t.sorted())
	p.Batches, p.SHA256 = len(encoded.payloads), encoded.sha256
	return encoded.payloads, err
}

// Publication returns a publication; a fault of kind NotFound where there is none.
func (s *Service) Publication(ctx context.Context, id PublicationID) (Publication, error) {
	kept, found, err := s.Store.Publication(ctx, id)
	if err != nil {
		return Publication{}, err
	}
	if !found {
		return Publication{}, fault.Missing("there is no publication %q", id)
	}
	return readPublication(kept)
}

// Publications returns a page of publications, the newest first, and the token of the next page; "" on the last.
func (s *Service) Publications(ctx context.Context, page Page) (publications []Publication, next string, err error) {
	kept, next, err := s.Store.Publications(ctx, page)
	if err != nil {
		return nil, "", err
	}
	publications = make([]Publication, len(kept))
	for i, k := range kept {
		if publications[i], err = readPublication(k); err != nil {
			return nil, "", err
		}
	}
	return publications, next, nil
}

func readPublication(kept KeptPublication) (Publication, error) {
	var p Publication
	if err := json.Unmarshal(kept.Document, &p); err != nil {
		return p, fmt.Errorf("reading publication %s: %w", kept.ID, err)
	}
	p.State, p.Problem = kept.State, kept.Problem
	if p.State == PublicationStored {
		p.Published = kept.Updated
	}
	if !kept.Withdrawn.IsZero() {
		p.State, p.Withdrawn = PublicationWithdrawn, kept.Withdrawn
	}
	return p, nil
}

const (
	publishEvery   = 5 * time.Second
	publishPause   = 50 * time.Millisecond
	publishingName = "publications"
)

// HandOverPublications stores publications in this state's statistics, each as one revision, in the order in which they
// were decided, until the context ends.
func (s *Service) HandOverPublications(ctx context.Context) error {
	s.keep(ctx, "publishing", publishEvery, func(ctx context.Context) error {
		_, err := s.Store.Exclusively(ctx, publishingName, s.publishAll)
		return err
	})
	return nil
}

// publishAll hands over what waits, the oldest first, up to the first that fails: a later one takes an earlier one's place.
// What a switch keeps back waits on.
func (s *Service) publishAll(ctx context.Context) error {
	waiting, err := s.Store.WaitingPublications(ctx)
	if err != nil || len(waiting) == 0 {
		return err
	}
	stopped, err := s.stops(ctx, s.Store)
	if err != nil {
		return err
	}
	if err := stopped.writable(); err != nil {
		return err
	}
	var kept error
	for _, next := range waiting {
		p, err := readPublication(next)
		if err != nil {
			return err
		}
		if err := stopped.mayLeave("", p.Indicators...); err != nil && p.Withdraws == "" {
			kept = errors.Join(kept, fmt.Errorf("publication %s: %w", p.ID, err)) // what takes another one back still goes
			continue
		}
		if err := s.publishOne(ctx, p); err != nil {
			return fmt.Errorf("publication %s: %w", p.ID, err)
		}
	}
	return kept
}

// publishOne stores a publication, and marks it as stored, or as refused by the statistics.
func (s *Service) publishOne(ctx context.Context, p Publication) error {
	submitted, err := s.submit(ctx, Submission{
		Dataflow: p.Dataflow, Provider: PublishedToAll, Scope: p.Scope.Filter,
		Release: ReleaseID(p.ID), IdempotencyKey: string(p.ID),
	}, s.contents(p.Batches, func(batch int) ([]byte, error) { return s.Store.PublicationPayload(ctx, p.ID, batch) }))
	if err != nil {
		return err
	}
	state, problem := PublicationStored, ""
	if !submitted.Accepted {
		state, problem = PublicationRefused, "the statistics reject it: "+submitted.Reason
	}
	if err := s.Store.Write(ctx, func(tx Tx) error { return tx.SavePublication(ctx, p.ID, state, problem, s.now()) }); err != nil {
		return err
	}
	if state == PublicationRefused {
		s.Log.ErrorContext(ctx, "the statistics reject a publication", "publication", p.ID, "reason", submitted.Reason)
		return nil
	}
	s.Log.InfoContext(ctx, "published", "publication", p.ID, "indicators", p.Indicators, "cells", p.Released,
		"withheld", p.Withheld, "suppressed", p.Suppressed)
	return nil
}

// publishedAlready returns the newest publication of the dataflow, if it says what p says.
func publishedAlready(ctx context.Context, tx Tx, p Publication) (PublicationID, bool, error) {
	kept, found, err := tx.LastPublication(ctx, p.Dataflow)
	if err != nil || !found || kept.State == PublicationRefused || !kept.Withdrawn.IsZero() {
		return "", false, err
	}
	last, err := readPublication(kept)
	if err != nil {
		return "", false, err
	}
	same, err := last.Scope.equal(p.Scope)
	return last.ID, same && bytes.Equal(last.SHA256, p.SHA256), err
}
