package sharing

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/comity-federation/comity/services/fault"
)

// NoticeID is a UUIDv7.
type NoticeID string

// NoticeKind says what a notice tells.
type NoticeKind uint8

// The kinds of notice, as they are kept.
const (
	NoticeWithdrawal   NoticeKind = iota + 1 // a publication was taken back
	NoticeCorrection                         // a publication took the place of a wrong one
	NoticeCancellation                       // an announced publication will not come at its minute
)

// Notice is what everybody is told about a publication. It stays. Its JSON is kept, and has a leaf in the log.
type Notice struct {
	ID           NoticeID       `json:"id"`
	Kind         NoticeKind     `json:"kind"`
	Announcement AnnouncementID `json:"announcement,omitempty"` // that was cancelled
	Publication  PublicationID  `json:"publication,omitempty"`  // that was taken back, or was wrong
	Replacement  PublicationID  `json:"replacement,omitempty"`  // that took the place of a wrong one
	Dataflow     string         `json:"dataflow"`
	Indicators   []string       `json:"indicators"` // none: all of the dataflow
	Text         string         `json:"text"`       // what
	Reason       string         `json:"reason"`     // why
	Created      time.Time      `json:"created"`
}

// Correction says what is wrong in what everybody sees, and why.
type Correction struct {
	Text   string `json:"text"`
	Reason string `json:"reason"`
}

// check fails for a correction that does not say what and why; nil is none.
func (c *Correction) check() error {
	if c == nil {
		return nil
	}
	if err := checkPublicText("correction.text", c.Text); err != nil {
		return err
	}
	return checkPublicText("correction.reason", c.Reason)
}

// checkPublicText fails for a text that everybody is to read and that says nothing, or too much.
func checkPublicText(field, text string) error {
	if strings.TrimSpace(text) == "" || len(text) > maxPublicText {
		return fault.InvalidField(field, "it must say something, in at most %d bytes: everybody reads it", maxPublicText)
	}
	return nil
}

// What follows the id in the subject of a leaf.
const (
	announcementSuffix = "/announcement"
	noticeSuffix       = "/notice"
)

// Notices returns a page of the notices about the dataflow, or about all with "", the newest first, and the token of the next
// page; "" on the last. A correction is among them once everybody can read the figures that it is about.
func (s *Service) Notices(ctx context.Context, dataflow string, page Page) (notices []Notice, next string, err error) {
	documents, next, err := s.Store.Notices(ctx, dataflow, page)
	if err != nil {
		return nil, "", err
	}
	notices = make([]Notice, len(documents))
	for i, document := range documents {
		if err := json.Unmarshal(document, &notices[i]); err != nil {
			return nil, "", fmt.Errorf("reading a notice: %w", err)
		}
	}
	return notices, next, nil
}

// giveNotice keeps a notice, with its id and time.
func (s *Service) giveNotice(ctx context.Context, tx Tx, notice *Notice) error {
	notice.Created = s.now()
	notice.ID = NoticeID(newID(notice.Created))
	document, err := json.Marshal(notice)
	if err != nil {
		return err
	}
	return tx.AddNotice(ctx, *notice, document, newLeaf(EntryPublication, string(notice.ID)+noticeSuffix, notice.Created, document))
}

// noteCorrection gives notice of what a publication that is kept already corrects. It is a fault where nobody sees anything of
// it.
func (s *Service) noteCorrection(ctx context.Context, tx Tx, correction Correction, p Publication) error {
	shown, err := s.shown(ctx, tx, p.Dataflow, p.ID)
	if err != nil {
		return err
	}
	var wrong PublicationID
	for _, code := range p.Indicators {
		wrong = max(wrong, shown[code]) // the newest
	}
	if wrong == "" {
		return fault.New(fault.Precondition, "WRONG_STATE", "there is nothing to correct: nothing of it is published")
	}
	return s.giveNotice(ctx, tx, &Notice{
		Kind: NoticeCorrection, Publication: wrong, Replacement: p.ID, Dataflow: p.Dataflow, Indicators: p.Indicators,
		Text: correction.Text, Reason: correction.Reason,
	})
}

// Withdraw takes back what everybody still sees of a publication, and says so in a notice that stays. What was published
// before does not come back. Everybody is taken to remember what was shown: the ledgers keep it.
//
// It is carried out as a publication without figures, in its turn among the others. One that still waits for the statistics
// never gets there.
func (s *Service) Withdraw(ctx context.Context, id PublicationID, reason string) (Notice, error) {
	if err := s.writable(ctx); err != nil {
		return Notice{}, err
	}
	if err := checkPublicText("reason", reason); err != nil {
		return Notice{}, err
	}
	withdrawn, err := s.Publication(ctx, id)
	if err != nil {
		return Notice{}, err
	}
	structures, err := s.structuresOf(ctx, withdrawn.Dataflow)
	if err != nil {
		return Notice{}, err
	}
	var notice Notice
	err = s.inTurn(ctx, func(ctx context.Context) error {
		return s.Store.Write(ctx, func(tx Tx) error {
			shown, err := s.shown(ctx, tx, withdrawn.Dataflow, "")
			if err != nil {
				return err
			}
			left := slices.DeleteFunc(slices.Clone(withdrawn.Indicators), func(code string) bool { return shown[code] != id })
			if len(left) == 0 {
				return fault.New(fault.Precondition, "WRONG_STATE", "nobody sees anything of it: a later publication took its place, or it was refused or withdrawn")
			}
			own, _ := s.Trust.State(s.State)
			nothing := Publication{
				ID: PublicationID(newID(s.now())), Dataflow: withdrawn.Dataflow, Indicators: left, Withdraws: id,
				Decision: withdrawn.Decision, PolicyRevision: withdrawn.PolicyRevision,
				Scope: Condition{scopeOf(structures, own.RefAreas, left)}, Reasons: []Reason{}, Created: s.now(),
			}
			payloads, err := s.fill(ctx, &nothing, structures, newTable())
			if err != nil {
				return err
			}
			notice = Notice{
				Kind: NoticeWithdrawal, Publication: id, Dataflow: withdrawn.Dataflow, Indicators: left,
				Text: "The figures are withdrawn.", Reason: reason,
			}
			if err := s.addPublication(ctx, tx, nothing, payloads); err != nil {
				return err
			}
			if err := tx.WithdrawPublication(ctx, id, nothing.Created); err != nil {
				return err
			}
			return s.giveNotice(ctx, tx, &notice)
		})
	})
	return notice, err
}

// shown returns by which publication everybody sees an indicator, or will once the statistics have it; "" where it was
// withdrawn. The publication except does not count.
func (s *Service) shown(ctx context.Context, r Reader, dataflow string, except PublicationID) (map[string]PublicationID, error) {
	shown := map[string]PublicationID{}
	for page := (Page{Limit: 100}); ; {
		kept, next, err := r.Publications(ctx, page)
		if err != nil {
			return nil, err
		}
		for _, k := range kept { // the newest first
			p, err := readPublication(k)
			if err != nil {
				return nil, err
			}
			if p.Dataflow != dataflow || k.State == PublicationRefused || p.ID == except {
				continue
			}
			for _, code := range p.Indicators {
				if _, later := shown[code]; later {
					continue
				}
				shown[code] = p.ID
				if p.Withdraws != "" {
					shown[code] = ""
				}
			}
		}
		if next == "" {
			return shown, nil
		}
		page.Token = next
	}
}
