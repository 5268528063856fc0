package statistics

import (
	"context"
	"time"

	"github.com/comity-federation/comity/proto/filter"
)

// TraceQuery asks where the figures of the newest state come from.
type TraceQuery struct {
	Dataflow   Ref
	Provider   string
	Filter     filter.Filter // over the dimensions
	Start, End string        // the first and the last period; "": no bound
}

// Origin is what brought some of the figures: a revision of their part.
type Origin struct {
	Revision   int64 // of the node
	CommitTime time.Time
	Submission string // the id; "" where a change of a map brought them
	Release    string // of a partner; "": it is none's
	KeepDays   int    // after which the terms want them removed; 0: no limit
	Figures    int64
	FirstDay   time.Time // of the first period of them
	LastDay    time.Time // of the last one
}

// Trace returns what brought the figures, the newest first, and the revision that the answer is of.
func (s *Service) Trace(ctx context.Context, q TraceQuery) (origins []Origin, revision int64, err error) {
	err = s.view(ctx, q.Dataflow, Moment{}, func(ctx context.Context, flow *Flow, snapshot Snapshot) (err error) {
		p := &plan{flow: flow, filter: q.Filter}
		var wrong violations
		p.between(&Query{Start: q.Start, End: q.End}, &wrong)
		checkDimensions(flow, q.Filter, &wrong)
		if err := wrong.fault("the query is not valid"); err != nil {
			return err
		}
		revision, _ = snapshot.Revision()
		origins, err = snapshot.Trace(ctx, flow, q.Provider, Selector{Filter: q.Filter, Spans: p.spans()})
		return err
	})
	return origins, revision, err
}
