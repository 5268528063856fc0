package sharing

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/services/fault"
)

// Publication is a table that passed policy and disclosure control on its way to everybody. Its JSON is kept, and has a
// leaf in the log.
type Publication struct {
	ID             PublicationID     `json:"id"`
	Dataflow       string            `json:"dataflow"`
	Indicators     []string          `json:"indicators"`
	Decision       DecisionID        `json:"decision"`
	PolicyRevision string            `json:"policyRevision"`
	Revision       int64             `json:"revision"`   // of the statistics
	Scope          Condition         `json:"scope"`      // what it replaces of what was published before
	Candidates     int               `json:"candidates"` // cells with a value, at the published detail and coarser, before any is withheld
	Released       int               `json:"released"`   // cells that are shown with their value
	Withheld       int               `json:"withheld"`   // cells that policy's conditions refused
	Suppressed     int               `json:"suppressed"` // cells whose value disclosure control withheld
	ValueKept      float64           `json:"valueKept"`  // of the sum of the finest cells that are free here, the share that is shown
	Coarsened      map[string]string `json:"coarsened"`  // dimensions that were rolled up, with the detail that is shown
	Rules          map[string]int    `json:"rules"`      // by code of CL_CONF_STATUS, how many cells are shown without a value for that reason
	Reasons        []Reason          `json:"reasons"`    // why policy refuses some of what was asked for
	Notes          []Note            `json:"notes"`      // tables that are coarser than policy lets them, or left out
	Batches        int               `json:"batches"`
	SHA256         []byte            `json:"sha256"` // over the SHA-256s of the payloads
	Created        time.Time         `json:"created"`

	State     PublicationState `json:"-"`
	Problem   string           `json:"-"` // why the statistics refused it
	Published time.Time        `json:"-"` // when the statistics had it; zero: they have not
}

// PublicationState says how far a publication got.
type PublicationState uint8

// The states of a publication.
const (
	PublicationWaiting PublicationState = iota + 1 // everybody is taken to have seen it, but the statistics lack it
	PublicationStored                              // the statistics have it
	PublicationRefused                             // the statistics reject it
)

// PublishedToAll is the provider of the figures that everybody may see, in this state's statistics.
const PublishedToAll StateCode = "PUBLISHED:" + Public

// PublicationRequest asks for something to be published.
type PublicationRequest struct {
	Dataflow   string   // "": that of [Config]
	Indicators []string // none: all that policy lets be published
}

// Publish decides what everybody may see of the indicators, keeps it, and hands it to the statistics. It takes the place
// of what was published of the same indicators before. Where nothing has changed since, it returns the publication that
// is there. A publication that the statistics do not take at once waits, and is handed over later.
//
// Where policy lets nothing be published, it is a fault of kind Precondition with policy's first reason.
func (s *Service) Publish(ctx context.Context, request PublicationRequest) (Publication, error) {
	// One after the other, as the loop hands them over: what is decided later is of later figures, and takes the place of
	// what was decided before.
	var id PublicationID
	for ran := false; !ran; {
		var err error
		ran, err = s.Store.Exclusively(ctx, publishingName, func(ctx context.Context) (err error) {
			err = remade(func() (err error) {
				id, err = s.publish(ctx, request)
				return err
			})
			if err != nil {
				return err
			}
			if err := s.publishAll(ctx); err != nil {
				s.Log.WarnContext(ctx, "a publication waits for the statistics", "publication", id, "error", err)
			}
			return nil
		})
		if err != nil {
			return Publication{}, err
		}
		if !ran {
			await(ctx, nil, publishPause)
		}
	}
	return s.Publication(ctx, id)
}

// publish keeps a publication, or returns the one that says the same. It fails with errToldSince where an audience is told
// more in the meantime.
func (s *Service) publish(ctx context.Context, request PublicationRequest) (PublicationID, error) {
	structures, err := s.structuresOf(ctx, cmp.Or(request.Dataflow, s.Dataflow))
	if err != nil {
		return "", err
	}
	codes := request.Indicators
	if len(codes) == 0 {
		codes = codesOf(structures, indicator)
	}
	if len(codes) == 0 || repeats(codes) {
		return "", fault.InvalidField("indicators", "one is empty or stands twice, or %s has none", structures.Dataflow)
	}
	questions := make([]Question, len(codes))
	for i, code := range codes {
		questions[i] = Question{Direction: publishing, Dataflow: structures.Dataflow, Indicator: code}
	}
	decision, err := s.decide(ctx, "publish", questions)
	if err != nil {
		return "", err
	}
	if len(request.Indicators) == 0 {
		// Nobody asked for what is not for publication.
		decision.Indicators = slices.DeleteFunc(decision.Indicators, func(d DecidedRequest) bool {
			return slices.ContainsFunc(d.Ruling.Reasons, func(r Reason) bool { return r.Code == notCovered })
		})
	}
	p, made, err := s.draftPublication(ctx, structures, decision)
	if err != nil {
		return "", err
	}
	id := p.ID
	err = s.Store.Write(ctx, func(tx Tx) error {
		if err := s.keepDecision(ctx, tx, decision); err != nil || len(p.Indicators) == 0 {
			return err
		}
		audiences, err := tx.Ledgers(ctx)
		if err != nil {
			return err
		}
		if err := made.admit(ctx, audiences, string(p.ID)); err != nil {
			return err
		}
		payloads, err := s.fill(&p, structures, made)
		if err != nil {
			return err
		}
		last, known, err := publishedAlready(ctx, tx, p)
		if err != nil {
			return err
		}
		if known {
			id = last
			return errSaidAlready
		}
		document, err := json.Marshal(p)
		if err != nil {
			return err
		}
		return tx.AddPublication(ctx, p, document, payloads, newLeaf(EntryPublication, string(p.ID), p.Created, document))
	})
	if errors.Is(err, errSaidAlready) {
		err = s.Store.Write(ctx, func(tx Tx) error { return s.keepDecision(ctx, tx, decision) })
	}
	if err != nil {
		return "", err
	}
	if len(p.Indicators) == 0 {
		refusal := Reason{Code: notCovered, Text: "policy lets no indicator of " + structures.Dataflow + " be published"}
		if len(p.Reasons) > 0 {
			refusal = p.Reasons[0]
		}
		return "", fault.New(fault.Precondition, refusal.Code, "%s", refusal.Text)
	}
	return id, nil
}

// notCovered is policy's reason where an indicator is not named.
const notCovered = "INDICATOR_NOT_COVERED"

// draftPublication makes the tables of what was decided. Without indicators, policy allows nothing.
func (s *Service) draftPublication(ctx context.Context, structures *Structures, decision Decision) (Publication, table, error) {
	p := Publication{
		ID: PublicationID(newID(s.now())), Dataflow: structures.Dataflow, Decision: decision.ID, PolicyRevision: decision.PolicyRevision,
		Reasons: []Reason{}, Created: s.now(),
	}
	own, _ := s.Trust.State(s.State)
	audiences, err := s.everybody(ctx)
	if err != nil {
		return Publication{}, table{}, err
	}
	all := newTable()
	var codes []string
	for _, decided := range decision.Indicators {
		codes = append(codes, decided.Question.Indicator)
	}
	for _, decided := range decision.Indicators {
		if !decided.Ruling.Allow {
			p.Reasons = append(p.Reasons, decided.Ruling.Reasons...)
			continue
		}
		one, err := s.tables(ctx, structures, decided, own.RefAreas, codes, audiences, all.revision)
		if err != nil {
			return Publication{}, table{}, err
		}
		all.add(one)
		all.revision = one.revision
		p.Indicators = append(p.Indicators, decided.Question.Indicator)
	}
	p.Scope = Condition{scopeOf(structures, own.RefAreas, p.Indicators)}
	return p, all, nil
}

// fill says in the publication what is in the tables, and returns that as its content.
func (s *Service) fill(p *Publication, structures *Structures, t table) (payloads [][]byte, err error) {
	p.Revision, p.Rules, p.Notes, p.Coarsened = t.revision, t.rules, t.notes, t.coarsened
	p.Candidates, p.Released, p.Withheld, p.Suppressed, p.ValueKept = t.candidates, t.released, t.withheld, t.suppressed, t.valueKept()
	encoded, err := s.encodeBatches(structures, t.sorted())
	p.Batches, p.SHA256 = len(encoded.payloads), encoded.sha256
	return encoded.payloads, err
}

// codesOf returns the codes of a dimension, sorted.
func codesOf(structures *Structures, id string) []string {
	for _, d := range structures.Dimensions {
		if d.ID == id {
			return slices.Sorted(maps.Keys(d.Codes))
		}
	}
	return nil
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
func (s *Service) publishAll(ctx context.Context) error {
	waiting, err := s.Store.WaitingPublications(ctx)
	if err != nil {
		return err
	}
	for _, kept := range waiting {
		if err := s.publishOne(ctx, kept); err != nil {
			return fmt.Errorf("publication %s: %w", kept.ID, err)
		}
	}
	return nil
}

// publishOne stores a publication, and marks it as stored, or as refused by the statistics.
func (s *Service) publishOne(ctx context.Context, kept KeptPublication) error {
	p, err := readPublication(kept)
	if err != nil {
		return err
	}
	submitted, err := s.Statistics.Submit(ctx, Submission{
		Dataflow: p.Dataflow, Provider: PublishedToAll, Scope: p.Scope.Filter,
		Release: ReleaseID(p.ID), IdempotencyKey: string(p.ID),
	}, s.published(ctx, p))
	if wrong, ok := errors.AsType[*fault.Error](err); ok && wrong.Kind == fault.Invalid {
		submitted.Reason = wrong.Message // and would be so again
	} else if err != nil {
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

// published returns the content of a publication, batch by batch.
func (s *Service) published(ctx context.Context, p Publication) iter.Seq2[*block.Block, error] {
	return func(yield func(*block.Block, error) bool) {
		for batch := range p.Batches {
			payload, err := s.Store.PublicationPayload(ctx, p.ID, batch)
			if err != nil {
				yield(nil, err)
				return
			}
			rows, err := s.Codec.DecodePayload(payload)
			if !yield(rows, err) || err != nil {
				return
			}
		}
	}
}

// publishedAlready returns the newest publication of the dataflow, if it says what p says.
func publishedAlready(ctx context.Context, tx Tx, p Publication) (PublicationID, bool, error) {
	kept, found, err := tx.LastPublication(ctx, p.Dataflow)
	if err != nil || !found || kept.State == PublicationRefused {
		return "", false, err
	}
	last, err := readPublication(kept)
	if err != nil {
		return "", false, err
	}
	same, err := last.Scope.equal(p.Scope)
	return last.ID, same && bytes.Equal(last.SHA256, p.SHA256), err
}
