package sharing

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/services/fault"
)

// TraceQuery asks the statistics where figures come from.
type TraceQuery struct {
	Dataflow   string
	Provider   StateCode
	Filter     filter.Filter // over the dimensions
	Start, End string        // the first and the last period; "": no bound
}

// Origin is what brought some figures to the statistics.
type Origin struct {
	Revision          int64 // of the statistics
	Stored            time.Time
	Release           ReleaseID // "": they came in none
	KeepDays          int       // by the terms; 0: no limit
	Figures           int64
	FirstDay, LastDay string // "YYYY-MM-DD"
}

// Provenance is by what right some of a partner's figures are here.
type Provenance struct {
	Origin
	Provider       StateCode
	Agreement      AgreementID
	Version        int
	Decision       DecisionID // of the provider
	PolicyRevision string     // that decided
	Released       time.Time
	PassedOn       *PassedOn // nil: they came from the provider itself
	Batches        []ReceivedBatch
	Expires        time.Time // by the agreement; zero: it sets no limit
}

// PassedOn says by whom and under what figures of another state came here.
type PassedOn struct {
	State     StateCode
	Agreement AgreementID
	Version   int
	Release   ReleaseID
}

// ReceivedBatch is a batch of a partner's release.
type ReceivedBatch struct {
	At             Cursor
	EnvelopeSHA256 []byte
	Received       time.Time
}

// defaultProvenances is how many are answered where nobody says how many.
const defaultProvenances = 100

// Provenance says by what right a partner's figures are here, those of the newest release first: a page of it, the token of
// the next page, "" on the last, and the revision of the statistics that it is of.
func (s *Service) Provenance(ctx context.Context, query TraceQuery, page Page) (found []Provenance, next string, revision int64, err error) {
	if err := s.checkPartner(query.Provider); err != nil {
		return nil, "", 0, err
	}
	before := int64(1) << 62
	if page.Token != "" {
		if before, err = strconv.ParseInt(page.Token, 10, 64); err != nil {
			return nil, "", 0, fault.InvalidField("pageToken", "it is not the nextPageToken of a page")
		}
	}
	query.Dataflow = cmp.Or(query.Dataflow, s.Dataflow)
	origins, revision, err := s.Statistics.Trace(ctx, query)
	if err != nil {
		return nil, "", 0, err
	}
	origins = slices.DeleteFunc(origins, func(o Origin) bool { return o.Revision >= before })
	if limit := cmp.Or(page.Limit, defaultProvenances); len(origins) > limit {
		origins = origins[:limit]
		next = strconv.FormatInt(origins[limit-1].Revision, 10)
	}
	found = make([]Provenance, len(origins))
	for i, origin := range origins {
		if found[i], err = s.provenance(ctx, query.Provider, origin); err != nil {
			return nil, "", 0, err
		}
	}
	return found, next, revision, nil
}

// provenance adds to an origin what the exchange keeps of its release.
func (s *Service) provenance(ctx context.Context, provider StateCode, origin Origin) (Provenance, error) {
	p := Provenance{Origin: origin, Provider: provider}
	if origin.KeepDays > 0 {
		p.Expires = origin.Stored.Add(time.Duration(origin.KeepDays) * 24 * time.Hour)
	}
	if origin.Release == "" {
		return p, nil
	}
	var err error
	if p.Batches, err = s.Store.ReceivedBatches(ctx, origin.Release); err != nil || len(p.Batches) == 0 {
		return p, err
	}
	first, err := s.kept(ctx, InboundRelease{ID: origin.Release}, 0)
	if err != nil {
		return Provenance{}, err
	}
	header, err := s.Codec.DecodeHeader(first.Header.Payload)
	if err != nil {
		return Provenance{}, err
	}
	if len(first.Warrant) > 0 {
		warrant, err := readWarrant(s.Codec, first.Warrant)
		if err != nil {
			return Provenance{}, err
		}
		p.PassedOn = &PassedOn{State: header.Sender, Agreement: header.Agreement, Version: header.AgreementVersion, Release: header.Release}
		p.Release, header = warrant.header.Release, warrant.header
	}
	p.Agreement, p.Version = header.Agreement, header.AgreementVersion
	p.Decision, p.PolicyRevision, p.Released = header.Decision, header.PolicyRevision, header.Created
	return p, nil
}
