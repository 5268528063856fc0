package sharing

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/comity-federation/comity/services/fault"
)

// AnnouncementID is a UUIDv7.
type AnnouncementID string

// Announcement is an entry of the release calendar: what will be published, and in which minute. Its JSON is kept, and has a
// leaf in the log, so that it can be proved to have been announced in advance.
type Announcement struct {
	ID      AnnouncementID     `json:"id"`
	Title   string             `json:"title"` // in words
	Request PublicationRequest `json:"request"`
	At      time.Time          `json:"at"` // a whole minute, by the clock of this node
	Created time.Time          `json:"created"`

	State       AnnouncementState `json:"-"`
	Publication PublicationID     `json:"-"` // that came of it; "": none yet
	Problem     string            `json:"-"` // why it was refused; for those who work here
}

// AnnouncementState says how an announcement stands.
type AnnouncementState uint8

// The states of an announcement.
const (
	Announced             AnnouncementState = iota + 1 // it is to come; after its minute, it is late
	AnnouncementPublished                              // everybody can read it
	AnnouncementRefused                                // policy, or the statistics, refused it at its minute
	AnnouncementCancelled                              // a notice says why
)

const (
	calendarEvery = time.Second // how late a publication may begin
	maxPublicText = 500         // bytes of a title, and of each text of a notice
)

// Announce puts a publication into the calendar, where everybody sees it at once. Until its minute the indicators are under
// embargo: they cannot be published by hand. Policy is asked at that minute, not before.
func (s *Service) Announce(ctx context.Context, a Announcement) (Announcement, error) {
	if err := s.writable(ctx); err != nil {
		return Announcement{}, err
	}
	structures, err := s.structuresOf(ctx, cmp.Or(a.Request.Dataflow, s.Dataflow))
	if err != nil {
		return Announcement{}, err
	}
	a.Request.Dataflow = structures.Dataflow
	a.Created, a.At = s.now(), a.At.UTC()
	if err := checkPublicText("title", a.Title); err != nil {
		return Announcement{}, err
	}
	if err := a.Request.Correction.check(); err != nil {
		return Announcement{}, err
	}
	if !a.At.Equal(a.At.Truncate(time.Minute)) || !a.At.After(a.Created) {
		return Announcement{}, fault.InvalidField("releaseTime", "it is not a whole minute in the future; the clock of this node says %s", a.Created.Format(time.RFC3339))
	}
	known := structures.codes(indicator)
	unknown := slices.IndexFunc(a.Request.Indicators, func(code string) bool { return !slices.Contains(known, code) })
	if unknown >= 0 || repeats(a.Request.Indicators) {
		return Announcement{}, fault.InvalidField("indicators", "one stands twice, or %s does not have it", structures.Dataflow)
	}
	a.ID, a.State = AnnouncementID(newID(a.Created)), Announced
	document, err := json.Marshal(a)
	if err != nil {
		return Announcement{}, err
	}
	leaf := newLeaf(EntryPublication, string(a.ID)+announcementSuffix, a.Created, document)
	return a, s.Store.Write(ctx, func(tx Tx) error { return tx.AddAnnouncement(ctx, a, document, leaf) })
}

// Announcements returns a page of the calendar, what was announced last first, and the token of the next page; "" on the
// last.
func (s *Service) Announcements(ctx context.Context, page Page) (announcements []Announcement, next string, err error) {
	kept, next, err := s.Store.Announcements(ctx, page)
	if err != nil {
		return nil, "", err
	}
	announcements, err = readAnnouncements(kept)
	return announcements, next, err
}

// CancelAnnouncement takes an announcement that is not published yet out of the plan. It stays in the calendar, as cancelled,
// and a notice says why.
func (s *Service) CancelAnnouncement(ctx context.Context, id AnnouncementID, reason string) (Notice, error) {
	if err := s.writable(ctx); err != nil {
		return Notice{}, err
	}
	if err := checkPublicText("reason", reason); err != nil {
		return Notice{}, err
	}
	var notice Notice
	err := s.Store.Write(ctx, func(tx Tx) error {
		kept, found, err := tx.Announcement(ctx, id)
		if err != nil {
			return err
		}
		if !found {
			return fault.Missing("there is no announcement %q", id)
		}
		a, err := readAnnouncement(kept)
		if err != nil {
			return err
		}
		settled, err := tx.CancelAnnouncement(ctx, id)
		if err != nil {
			return err
		}
		if !settled {
			return fault.New(fault.Precondition, "WRONG_STATE", "it is published, or cancelled already")
		}
		notice = Notice{
			Kind: NoticeCancellation, Announcement: id, Dataflow: a.Request.Dataflow, Indicators: a.Request.Indicators,
			Text: a.Title, Reason: reason,
		}
		return s.giveNotice(ctx, tx, &notice)
	})
	return notice, err
}

// KeepCalendar publishes what is announced in its minute, until the context ends. What could not be published then goes as
// soon as it can.
func (s *Service) KeepCalendar(ctx context.Context) error {
	s.keep(ctx, "keeping the calendar", calendarEvery, s.publishDue)
	return nil
}

// publishDue publishes what is announced for this minute, or an earlier one.
func (s *Service) publishDue(ctx context.Context) error {
	open, err := s.upcoming(ctx)
	if err != nil || len(open) == 0 || open[0].At.After(s.now()) {
		return err
	}
	if err := s.writable(ctx); err != nil {
		return err
	}
	_, err = s.Store.Exclusively(ctx, publishingName, func(ctx context.Context) error {
		open, err := s.upcoming(ctx) // another process may have been faster
		if err != nil {
			return err
		}
		var failures []error
		for _, a := range open {
			if a.At.After(s.now()) {
				break
			}
			if err := s.publishAnnounced(ctx, a); err != nil {
				failures = append(failures, fmt.Errorf("announcement %s: %w", a.ID, err))
			}
		}
		return errors.Join(append(failures, s.publishAll(ctx))...)
	})
	return err
}

// errSettled ends a transaction that would publish what was cancelled in the meantime.
var errSettled = errors.New("the announcement is cancelled")

// publishAnnounced publishes what was announced, or keeps why it may not be: that is for those who work here. What may
// succeed later is an error.
func (s *Service) publishAnnounced(ctx context.Context, a Announcement) error {
	err := remade(func() error {
		_, err := s.publish(ctx, a.Request, func(tx Tx, id PublicationID) error {
			settled, err := tx.PublishAnnouncement(ctx, a.ID, id)
			if err == nil && !settled {
				err = errSettled
			}
			return err
		})
		return err
	})
	if errors.Is(err, errSettled) {
		return nil
	}
	refusal, ok := errors.AsType[*fault.Error](err)
	if !ok || refusal.Kind == fault.Unavailable || refusal.Kind == fault.Exhausted || refusal.Reason == killed {
		return err
	}
	s.Log.ErrorContext(ctx, "an announced publication is refused", "announcement", a.ID, "reason", refusal.Reason, "error", refusal)
	problem := refusal.Reason + ": " + refusal.Message
	return s.Store.Write(ctx, func(tx Tx) error { return tx.RefuseAnnouncement(ctx, a.ID, problem) })
}

// upcoming returns the announcements that are to come, the soonest first.
func (s *Service) upcoming(ctx context.Context) ([]Announcement, error) {
	kept, err := s.Store.OpenAnnouncements(ctx)
	if err != nil {
		return nil, err
	}
	return readAnnouncements(kept)
}

// checkEmbargo fails where something of the request is announced for later.
func (s *Service) checkEmbargo(ctx context.Context, request PublicationRequest) error {
	open, err := s.upcoming(ctx)
	if err != nil {
		return err
	}
	for _, a := range open {
		common := len(request.Indicators) == 0 || len(a.Request.Indicators) == 0 ||
			slices.ContainsFunc(request.Indicators, func(code string) bool { return slices.Contains(a.Request.Indicators, code) })
		if common && cmp.Or(request.Dataflow, s.Dataflow) == a.Request.Dataflow {
			return fault.New(fault.Precondition, "EMBARGO", "it is announced for %s, and under embargo until then", a.At.Format(time.RFC3339)).
				With("announcement", string(a.ID))
		}
	}
	return nil
}

func readAnnouncements(kept []KeptAnnouncement) ([]Announcement, error) {
	announcements := make([]Announcement, len(kept))
	for i, k := range kept {
		var err error
		if announcements[i], err = readAnnouncement(k); err != nil {
			return nil, err
		}
	}
	return announcements, nil
}

func readAnnouncement(kept KeptAnnouncement) (Announcement, error) {
	var a Announcement
	if err := json.Unmarshal(kept.Document, &a); err != nil {
		return a, fmt.Errorf("reading announcement %s: %w", kept.ID, err)
	}
	a.State, a.Publication, a.Problem = kept.State, kept.Publication, kept.Problem
	if a.State != AnnouncementPublished {
		return a, nil
	}
	switch kept.Became { // it is published once everybody can read it
	case PublicationWaiting:
		a.State = Announced
	case PublicationRefused:
		a.State, a.Problem = AnnouncementRefused, kept.BecameProblem
	}
	return a, nil
}
