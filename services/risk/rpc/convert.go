package rpc

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	riskpb "github.com/comity-federation/comity/proto/comity/risk/v1"
	"github.com/comity-federation/comity/services/risk"
	"github.com/comity-federation/comity/services/risk/belief"
)

// assumptionFromProto reads what a caller may set.
func assumptionFromProto(p *riskpb.Assumption) risk.Assumption {
	return risk.Assumption{
		Title:       p.GetTitle(),
		Rationale:   p.GetRationale(),
		Author:      p.GetAuthor(),
		AssumedRate: p.GetAssumedRate(),
		Strength:    p.GetStrength(),
		Tolerance:   p.GetTolerance(),
		Evidence: risk.Evidence{
			Dataflow: p.GetEvidence().GetDataflow(),
			Key:      p.GetEvidence().GetKey(),
			Provider: p.GetEvidence().GetProvider(),
			Start:    p.GetEvidence().GetStartPeriod(),
			End:      p.GetEvidence().GetEndPeriod(),
		},
	}
}

func assumptionToProto(a risk.Assumption) *riskpb.Assumption {
	return &riskpb.Assumption{
		Name:        "assumptions/" + string(a.ID),
		Title:       a.Title,
		Rationale:   a.Rationale,
		Author:      a.Author,
		AssumedRate: a.AssumedRate,
		Strength:    a.Strength,
		Tolerance:   a.Tolerance,
		Evidence: &riskpb.Evidence{
			Dataflow:    a.Evidence.Dataflow,
			Key:         a.Evidence.Key,
			Provider:    a.Evidence.Provider,
			StartPeriod: a.Evidence.Start,
			EndPeriod:   a.Evidence.End,
		},
		CreateTime: timestamppb.New(a.CreateTime),
	}
}

func judgementToProto(j risk.Judgement) *riskpb.JudgeAssumptionResponse {
	p := &riskpb.JudgeAssumptionResponse{
		Assumption: assumptionToProto(j.Assumption),
		Judgement:  resultToProto(j.Result),
		Revision:   j.Revision,
		JudgeTime:  timestamppb.New(j.Time),
		Events:     j.Events,
		Exposure:   j.Exposure,
	}
	for _, c := range j.Evidence {
		p.Evidence = append(p.Evidence, &riskpb.EvidenceCount{
			Period: c.Period.String(), Count: c.Events, Provider: c.Provider, Status: c.Status, LeftOut: c.LeftOut,
		})
	}
	return p
}

func resultToProto(j belief.Judgement) *riskpb.JudgeRateResponse {
	p := &riskpb.JudgeRateResponse{
		PosteriorShape: j.Posterior.Shape,
		PosteriorRate:  j.Posterior.Rate,
		Mean:           j.Mean,
		Q05:            j.Q05,
		Q50:            j.Q50,
		Q95:            j.Q95,
		UnderEstimated: j.UnderEstimated,
		OverEstimated:  j.OverEstimated,
		Within:         j.Within,
		SurpriseUpper:  j.SurpriseUpper,
		SurpriseLower:  j.SurpriseLower,
		LogBayesFactor: j.LogBayesFactor,
		Verdict:        outcomeToProto(j.Outcome),
	}
	if j.ExposureNeeded > 0 {
		p.ExposureNeeded = &j.ExposureNeeded
	}
	return p
}

func outcomeToProto(o belief.Outcome) riskpb.Verdict_Outcome {
	switch o {
	case belief.UnderEstimated:
		return riskpb.Verdict_UNDER_ESTIMATED
	case belief.OverEstimated:
		return riskpb.Verdict_OVER_ESTIMATED
	case belief.Confirmed:
		return riskpb.Verdict_CONFIRMED
	case belief.Ambiguous:
		return riskpb.Verdict_AMBIGUOUS
	case belief.Insufficient:
		return riskpb.Verdict_INSUFFICIENT
	default:
		return riskpb.Verdict_UNSPECIFIED
	}
}
