package rpc

import (
	"context"
	"encoding/json"
	"testing"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
	"github.com/comity-federation/comity/services/fault"
	internalrpc "github.com/comity-federation/comity/services/internal/rpc"
	"github.com/comity-federation/comity/services/sharing"
)

// calendarStore is a store that holds nothing but a calendar.
type calendarStore struct {
	sharing.Store
	kept []sharing.KeptAnnouncement
}

func (s *calendarStore) Announcements(context.Context, sharing.Page) ([]sharing.KeptAnnouncement, string, error) {
	return s.kept, "", nil
}

func TestListAnnouncements(t *testing.T) {
	document, err := json.Marshal(sharing.Announcement{ID: "a", Title: "Arrivals"})
	if err != nil {
		t.Fatal(err)
	}
	store := &calendarStore{kept: []sharing.KeptAnnouncement{
		{Document: document, State: sharing.AnnouncementRefused, Problem: "LAW: no"},
		{Document: document, State: sharing.AnnouncementPublished, Publication: "p", Became: sharing.PublicationWaiting},
		{Document: document, State: sharing.AnnouncementPublished, Publication: "p", Became: sharing.PublicationRefused, BecameProblem: "odd"},
		{Document: document, State: sharing.AnnouncementPublished, Publication: "p", Became: sharing.PublicationStored},
	}}
	server := NewServer(sharing.New(sharing.Config{Store: store}))
	list := func(t *testing.T, caller internalrpc.Caller) []*sharingpb.Announcement {
		t.Helper()
		listed, err := server.ListAnnouncements(internalrpc.WithCaller(t.Context(), caller), &sharingpb.ListAnnouncementsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return listed.GetAnnouncements()
	}
	t.Run("tells of a refusal inside", func(t *testing.T) {
		got := list(t, internalrpc.Caller{Service: "gateway", Person: &internalrpc.Person{Subject: "somebody"}})
		if got[0].GetState() != sharingpb.Announcement_REFUSED || got[0].GetProblem() != "LAW: no" || got[1].GetState() != sharingpb.Announcement_ANNOUNCED ||
			got[2].GetState() != sharingpb.Announcement_REFUSED || got[2].GetProblem() != "odd" || got[3].GetPublication() != "publications/p" {
			t.Errorf("got %v", got)
		}
	})
	t.Run("tells nobody outside", func(t *testing.T) {
		got := list(t, internalrpc.Caller{Service: "gateway"})
		for _, a := range got[:3] {
			if a.GetState() != sharingpb.Announcement_ANNOUNCED || a.GetProblem() != "" || a.GetPublication() != "" {
				t.Errorf("got %v", a)
			}
		}
		if got[3].GetState() != sharingpb.Announcement_PUBLISHED {
			t.Errorf("got %v", got[3])
		}
	})
	t.Run("refuses what is no request", func(t *testing.T) {
		ctx := t.Context()
		for name, err := range map[string]error{
			"a cancellation of nothing":        second(server.CancelAnnouncement(ctx, &sharingpb.CancelAnnouncementRequest{Name: "publications/p"})),
			"a withdrawal of nothing":          second(server.WithdrawPublication(ctx, &sharingpb.WithdrawPublicationRequest{Name: "announcements/a"})),
			"an announcement without a minute": second(server.CreateAnnouncement(ctx, &sharingpb.CreateAnnouncementRequest{})),
			"a page of less than nothing":      second(server.ListNotices(ctx, &sharingpb.ListNoticesRequest{PageSize: -1})),
		} {
			if !fault.Is(err, fault.Invalid) {
				t.Errorf("%s: got %v", name, err)
			}
		}
	})
}

func second[T any](_ T, err error) error { return err }
