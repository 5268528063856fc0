package rpc

import (
	"context"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
	"github.com/comity-federation/comity/services/fault"
	internalrpc "github.com/comity-federation/comity/services/internal/rpc"
	"github.com/comity-federation/comity/services/sharing"
)

// CreateAnnouncement announces a publication.
func (s *Server) CreateAnnouncement(ctx context.Context, r *sharingpb.CreateAnnouncementRequest) (*sharingpb.CreateAnnouncementResponse, error) {
	asked := r.GetAnnouncement()
	if err := asked.GetReleaseTime().CheckValid(); err != nil {
		return nil, fault.InvalidField("announcement.releaseTime", "%v", err)
	}
	announced, err := s.service.Announce(ctx, sharing.Announcement{
		Title: asked.GetTitle(), At: asked.GetReleaseTime().AsTime(),
		Request: sharing.PublicationRequest{
			Dataflow: asked.GetDataflow(), Indicators: asked.GetIndicators(), Correction: correctionFromProto(asked.GetCorrection()),
		},
	})
	if err != nil {
		return nil, err
	}
	return &sharingpb.CreateAnnouncementResponse{Announcement: announcement(announced)}, nil
}

// ListAnnouncements lists the calendar.
func (s *Server) ListAnnouncements(ctx context.Context, r *sharingpb.ListAnnouncementsRequest) (*sharingpb.ListAnnouncementsResponse, error) {
	asked, err := page("", r.GetPageSize(), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	announcements, next, err := s.service.Announcements(ctx, asked)
	if err != nil {
		return nil, err
	}
	convert := announcement
	if internalrpc.CallerFrom(ctx).Person == nil {
		convert = announcementOutside
	}
	return &sharingpb.ListAnnouncementsResponse{Announcements: each(announcements, convert), NextPageToken: next}, nil
}

// CancelAnnouncement cancels an announcement.
func (s *Server) CancelAnnouncement(ctx context.Context, r *sharingpb.CancelAnnouncementRequest) (*sharingpb.CancelAnnouncementResponse, error) {
	id, err := idIn("announcements", r.GetName())
	if err != nil {
		return nil, err
	}
	given, err := s.service.CancelAnnouncement(ctx, sharing.AnnouncementID(id), r.GetReason())
	if err != nil {
		return nil, err
	}
	return &sharingpb.CancelAnnouncementResponse{Notice: notice(given)}, nil
}

// ListNotices lists what everybody is told about publications.
func (s *Server) ListNotices(ctx context.Context, r *sharingpb.ListNoticesRequest) (*sharingpb.ListNoticesResponse, error) {
	asked, err := page("", r.GetPageSize(), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	notices, next, err := s.service.Notices(ctx, r.GetDataflow(), asked)
	if err != nil {
		return nil, err
	}
	return &sharingpb.ListNoticesResponse{Notices: each(notices, notice), NextPageToken: next}, nil
}

var announcementStates = map[sharing.AnnouncementState]sharingpb.Announcement_State{
	sharing.Announced:             sharingpb.Announcement_ANNOUNCED,
	sharing.AnnouncementPublished: sharingpb.Announcement_PUBLISHED,
	sharing.AnnouncementRefused:   sharingpb.Announcement_REFUSED,
	sharing.AnnouncementCancelled: sharingpb.Announcement_CANCELLED,
}

func announcement(a sharing.Announcement) *sharingpb.Announcement {
	return &sharingpb.Announcement{
		Name: nameIn("announcements", a.ID), State: announcementStates[a.State], Title: a.Title,
		Dataflow: a.Request.Dataflow, Indicators: a.Request.Indicators, ReleaseTime: timestamp(a.At),
		Correction: correction(a.Request.Correction), CreateTime: timestamp(a.Created),
		Publication: nameIn("publications", a.Publication), Problem: a.Problem,
	}
}

// announcementOutside is an announcement for who does not work here: of a refusal, and of what is decided but not to be read
// yet, there is nothing in it.
func announcementOutside(a sharing.Announcement) *sharingpb.Announcement {
	a.Problem = ""
	if a.State == sharing.AnnouncementRefused {
		a.State = sharing.Announced
	}
	if a.State != sharing.AnnouncementPublished {
		a.Publication = ""
	}
	return announcement(a)
}

var noticeKinds = map[sharing.NoticeKind]sharingpb.Notice_Kind{
	sharing.NoticeWithdrawal:   sharingpb.Notice_WITHDRAWAL,
	sharing.NoticeCorrection:   sharingpb.Notice_CORRECTION,
	sharing.NoticeCancellation: sharingpb.Notice_CANCELLATION,
}

func notice(n sharing.Notice) *sharingpb.Notice {
	subject := nameIn("publications", n.Publication)
	if n.Kind == sharing.NoticeCancellation {
		subject = nameIn("announcements", n.Announcement)
	}
	return &sharingpb.Notice{
		Name: nameIn("notices", n.ID), Kind: noticeKinds[n.Kind], Subject: subject, Replacement: nameIn("publications", n.Replacement),
		Dataflow: n.Dataflow, Indicators: n.Indicators, Text: n.Text, Reason: n.Reason, CreateTime: timestamp(n.Created),
	}
}

func correction(c *sharing.Correction) *sharingpb.Correction {
	if c == nil {
		return nil
	}
	return &sharingpb.Correction{Text: c.Text, Reason: c.Reason}
}

func correctionFromProto(c *sharingpb.Correction) *sharing.Correction {
	if c == nil {
		return nil
	}
	return &sharing.Correction{Text: c.GetText(), Reason: c.GetReason()}
}
