package sharing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Removal is figures that were removed from received envelopes since the agreement lets them stay no longer. What is left of
// an envelope is its signed header. Its JSON is kept, and has a leaf in the log.
type Removal struct {
	ID        string      `json:"id"` // a UUIDv7
	Agreement AgreementID `json:"agreement"`
	Version   int         `json:"version"`
	Days      int         `json:"days"` // that the agreement lets them stay
	Places    []Cursor    `json:"places"`
	Created   time.Time   `json:"created"`
}

// ExpirableEnvelope is a received envelope that still has its figures.
type ExpirableEnvelope struct {
	At       Cursor
	Envelope []byte
	Arrival  int64 // in which they are asked for
}

const (
	removeEvery = 10 * time.Minute
	removeMost  = 16 // envelopes that one transaction names
)

// RemoveExpired removes the figures from received envelopes whose retention is over, every ten minutes until the context
// ends. The statistics remove theirs themselves. A process that ends in between goes on where it was.
func (s *Service) RemoveExpired(ctx context.Context) error {
	s.keep(ctx, "removing what has expired from envelopes", removeEvery, func(ctx context.Context) error {
		_, err := s.Store.Exclusively(ctx, "remove", s.removeAll)
		return err
	})
	return nil
}

// removeAll names what has expired, and empties what the log says is removed.
func (s *Service) removeAll(ctx context.Context) error {
	agreements, err := s.agreements(ctx, "")
	if err != nil {
		return err
	}
	var failures []error
	for _, a := range agreements {
		if a.Terms.Receiver != s.State || a.Terms.RetentionDays == 0 {
			continue
		}
		if err := s.nameExpired(ctx, a.Terms); err != nil {
			failures = append(failures, fmt.Errorf("agreement %s, version %d: %w", a.Terms.ID, a.Terms.Version, err))
		}
	}
	return errors.Join(errors.Join(failures...), s.emptyNamed(ctx))
}

// nameExpired keeps removals of what has expired under the terms.
func (s *Service) nameExpired(ctx context.Context, terms Terms) error {
	until := s.now().AddDate(0, 0, -terms.RetentionDays)
	for after := int64(0); ; {
		found, err := s.Store.Expirable(ctx, terms.ID, until, after, removeMost)
		if err != nil || len(found) == 0 {
			return err
		}
		if err := s.name(ctx, terms, found); err != nil {
			return err
		}
		after = found[len(found)-1].Arrival
	}
}

// name keeps a removal of those of the envelopes that came under the terms.
func (s *Service) name(ctx context.Context, terms Terms, found []ExpirableEnvelope) error {
	removal := Removal{ID: newID(s.now()), Agreement: terms.ID, Version: terms.Version, Days: terms.RetentionDays, Created: s.now()}
	for _, e := range found {
		header, err := s.headerOf(e.Envelope)
		if err != nil {
			return err
		}
		if header.AgreementVersion == terms.Version {
			removal.Places = append(removal.Places, e.At)
		}
	}
	if len(removal.Places) == 0 {
		return nil
	}
	document, err := json.Marshal(removal)
	if err != nil {
		return err
	}
	return s.Store.Write(ctx, func(tx Tx) error {
		return tx.AddRemoval(ctx, removal, document, newLeaf(EntryRemoval, removal.ID, removal.Created, document))
	})
}

// emptyNamed takes the figures out of the envelopes of removals that have their place in the log.
func (s *Service) emptyNamed(ctx context.Context) error {
	documents, err := s.Store.OpenRemovals(ctx)
	if err != nil {
		return err
	}
	for _, document := range documents {
		var removal Removal
		if err := json.Unmarshal(document, &removal); err != nil {
			return fmt.Errorf("reading a removal: %w", err)
		}
		logged, err := s.Store.NamedEntries(ctx, []EntryName{{EntryRemoval, removal.ID}})
		if err != nil {
			return err
		}
		if len(logged) == 0 {
			continue // whoever reads the log now would not know why they are gone
		}
		err = s.Store.Write(ctx, func(tx Tx) error {
			for _, at := range removal.Places {
				if err := s.empty(ctx, tx, at); err != nil {
					return err
				}
			}
			return tx.RemovalDone(ctx, removal.ID)
		})
		if err != nil {
			return fmt.Errorf("removing figures under agreement %s: %w", removal.Agreement, err)
		}
		s.Log.InfoContext(ctx, "removed figures from envelopes: their time was over", "agreement", removal.Agreement,
			"version", removal.Version, "envelopes", len(removal.Places))
	}
	return nil
}

// empty leaves of the envelope at a place its header, and the proof whose figures they were.
func (s *Service) empty(ctx context.Context, tx Tx, at Cursor) error {
	kept, found, err := tx.ReceivedAt(ctx, at)
	if err != nil || !found {
		return err
	}
	envelope, err := s.Codec.DecodeEnvelope(kept.Envelope)
	if err != nil {
		return err
	}
	left, err := s.Codec.EncodeEnvelope(Envelope{Header: envelope.Header, Warrant: envelope.Warrant})
	if err != nil {
		return err
	}
	return tx.Empty(ctx, at, left)
}

// headerOf reads the header of an envelope that is kept.
func (s *Service) headerOf(data []byte) (Header, error) {
	envelope, err := s.Codec.DecodeEnvelope(data)
	if err != nil {
		return Header{}, err
	}
	return s.Codec.DecodeHeader(envelope.Header.Payload)
}

// gone is an envelope of a log whose figures are gone.
type gone struct {
	entry  LogEntry
	header Header
}

// emptied reports whether the entry is a received envelope of which the header alone is left, and takes note of it: a later
// entry must say why.
func (a *auditor) emptied(entry LogEntry) bool {
	if entry.Kind != EntryEnvelopeReceived || a.gone == nil {
		return false
	}
	envelope, err := a.codec.DecodeEnvelope(entry.Content)
	if err != nil || len(envelope.Payload) > 0 {
		return false
	}
	again, err := a.codec.EncodeEnvelope(envelope)
	if err != nil || string(again) != string(entry.Content) || len(entry.ContentSHA256) != len(Hash{}) {
		return false
	}
	header, err := a.codec.DecodeHeader(envelope.Header.Payload)
	if err != nil {
		return false
	}
	a.gone[entry.Subject] = gone{entry, header}
	return true
}

// removal holds an entry of figures that were removed against the agreement that they came under.
func (a *auditor) removal(entry LogEntry) error {
	var removal Removal
	if err := json.Unmarshal(entry.Content, &removal); err != nil {
		return fmt.Errorf("its removal cannot be read: %w", err)
	}
	document := a.documents[fmt.Sprintf("%s/%d", removal.Agreement, removal.Version)]
	if document == nil {
		return errors.New("its agreement is not in the log before it")
	}
	terms, err := ParseDocument(document)
	if err != nil {
		return err
	}
	if terms.RetentionDays == 0 || terms.RetentionDays != removal.Days {
		return fmt.Errorf("agreement %s, version %d, does not ask for removal after %d days", removal.Agreement, removal.Version, removal.Days)
	}
	for _, at := range removal.Places {
		g, known := a.gone[at.subject()]
		if !known {
			continue // not done yet
		}
		if g.header.Agreement != removal.Agreement || g.header.AgreementVersion != removal.Version {
			return fmt.Errorf("the envelope at %s is of another agreement", at.subject())
		}
		if entry.Created.Before(g.entry.Created.AddDate(0, 0, removal.Days)) {
			return fmt.Errorf("the figures at %s were removed before their time", at.subject())
		}
		delete(a.gone, at.subject())
	}
	return same(entry.Subject, removal.ID)
}

// unexplained fails where figures are gone and no entry says why; it names the first such entry.
func (a *auditor) unexplained() error {
	var left []LogEntry
	for _, g := range a.gone {
		left = append(left, g.entry)
	}
	if len(left) == 0 {
		return nil
	}
	first := slices.MinFunc(left, func(one, other LogEntry) int { return int(one.Index - other.Index) })
	return &BadEntryError{
		Index: first.Index, Kind: first.Kind, Subject: first.Subject,
		Problem: "its figures are gone, and no entry says that their time was over", Meaning: meansChanged,
	}
}
