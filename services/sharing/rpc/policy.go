package rpc

import (
	"context"
	"time"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/sharing"
)

const (
	maxDays     = 366
	maxReplayed = 100 // decisions that a replay tells of
)

// ReplayDecisions makes decisions again.
func (s *Server) ReplayDecisions(ctx context.Context, r *sharingpb.ReplayDecisionsRequest) (*sharingpb.ReplayDecisionsResponse, error) {
	answer := &sharingpb.ReplayDecisionsResponse{}
	tell := func(replayed sharing.Replayed) error {
		answer.Decisions++
		if replayed.Outcome == sharing.ReplaySame {
			answer.Same++
		}
		if len(answer.Replayed) < maxReplayed && (r.GetDecision() != "" || replayed.Outcome != sharing.ReplaySame) {
			answer.Replayed = append(answer.Replayed, replayedDecision(replayed))
		}
		return nil
	}
	if id := r.GetDecision(); id != "" {
		if r.GetDays() != 0 {
			return nil, fault.InvalidField("days", "one decision is asked for already")
		}
		replayed, err := s.service.ReplayDecision(ctx, sharing.DecisionID(id))
		if err != nil {
			return nil, err
		}
		return answer, tell(replayed)
	}
	since, err := daysAgo(r.GetDays())
	if err != nil {
		return nil, err
	}
	if err := s.service.ReplaySince(ctx, since, tell); err != nil {
		return nil, err
	}
	return answer, nil
}

// ShadowPolicy says what a candidate would have decided otherwise.
func (s *Server) ShadowPolicy(ctx context.Context, r *sharingpb.ShadowPolicyRequest) (*sharingpb.ShadowPolicyResponse, error) {
	since, err := daysAgo(r.GetDays())
	if err != nil {
		return nil, err
	}
	report, err := s.service.Shadow(ctx, r.GetBundle(), since)
	if err != nil {
		return nil, err
	}
	return &sharingpb.ShadowPolicyResponse{
		PolicyRevision: report.Revision, Decisions: count(report.Decisions), Questions: count(report.Questions), Same: count(report.Same),
		Stopped: count(report.Stopped), NotKept: count(report.NotKept), Differences: each(report.Differences, policyDifference),
	}, nil
}

func daysAgo(days int32) (time.Time, error) {
	if days < 0 || days > maxDays {
		return time.Time{}, fault.InvalidField("days", "%d is not from 1 to %d", days, maxDays)
	}
	return time.Now().Add(-24 * time.Hour * time.Duration(max(days, 1))), nil
}

func replayedDecision(r sharing.Replayed) *sharingpb.ReplayedDecision {
	outcome := map[sharing.ReplayOutcome]sharingpb.ReplayedDecision_Outcome{
		sharing.ReplaySame: sharingpb.ReplayedDecision_SAME, sharing.ReplayDifferent: sharingpb.ReplayedDecision_DIFFERENT,
		sharing.ReplayNotKept: sharingpb.ReplayedDecision_NOT_KEPT, sharing.ReplayUnanswered: sharingpb.ReplayedDecision_UNANSWERED,
	}[r.Outcome]
	return &sharingpb.ReplayedDecision{
		Decision: string(r.Decision), CreateTime: timestamp(r.Created), Outcome: outcome, Text: r.Text, Kept: string(r.Kept), Again: string(r.Again),
	}
}

func policyDifference(d sharing.PolicyDifference) *sharingpb.PolicyDifference {
	return &sharingpb.PolicyDifference{
		Partner: string(d.Partner), Indicator: d.Indicator, Use: d.Use,
		Change:    sharingpb.PolicyDifference_Change(sharingpb.PolicyDifference_Change_value[string(d.Change)]),
		Questions: count(d.Questions), FirstTime: timestamp(d.First), LastTime: timestamp(d.Last), Example: string(d.Example),
		Before: d.Before, After: d.After,
	}
}
