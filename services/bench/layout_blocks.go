package bench

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/services/statistics"
	"github.com/comity-federation/comity/services/statistics/postgres"
)

// blockArrangement is the store of the service, as the service uses it: what is read is unpacked and summed here.
type blockArrangement struct {
	cube
	store *postgres.Store
	flow  *statistics.Flow
}

func newBlockArrangement(pool *pgxpool.Pool, c cube) *blockArrangement {
	ref := statistics.Ref{Agency: "BENCH", ID: "CUBE", Version: "1.0.0"}
	structure := &statistics.DataStructure{Ref: ref}
	for _, id := range dimensions() {
		structure.Dimensions = append(structure.Dimensions, statistics.Component{ID: id})
	}
	structure.Attributes = []statistics.Component{{ID: "OBS_STATUS"}, {ID: "CONF_STATUS"}}
	return &blockArrangement{cube: c, store: postgres.New(pool), flow: &statistics.Flow{
		Dataflow:  statistics.Dataflow{Ref: ref, Structure: ref},
		Structure: structure, Dimensions: make([]*statistics.Hierarchy, len(structure.Dimensions)),
	}}
}

func (*blockArrangement) name() string { return "blocks" }

func (*blockArrangement) tables() []string { return []string{"series", "cur", "hist"} }

func (b *blockArrangement) put(r rows, _ int, _ bool) func(context.Context) error {
	table := statistics.NewTable(b.flow.Structure)
	codes := make([]uint32, len(b.flow.Structure.Dimensions))
	for i := r.from; i < r.from+r.series; i++ {
		for d, code := range r.key(i) {
			codes[d] = table.Code(d, code)
		}
		series := table.Series(codes)
		for month := r.month; month < r.month+r.months; month++ {
			table.Put(series, int32(monthNumber(month)), statistics.Cell{ //nolint:gosec // a few dozen
				Value: float64(r.value(i, month, r.edition)), ObsStatus: statistics.NormalValue, ConfStatus: statistics.FreeToShow,
			})
		}
	}
	return func(ctx context.Context) error {
		return b.store.Update(ctx, func(ctx context.Context, tx statistics.Transaction) error {
			part := statistics.Part{Dataflow: b.flow.Ref, Provider: state}
			if err := tx.Lock(ctx, part); err != nil {
				return err
			}
			changes, err := tx.Compare(ctx, b.flow, state, table)
			if err != nil {
				return err
			}
			if changes.Len() != r.count() {
				return fmt.Errorf("%d of %d figures are new or other ones", changes.Len(), r.count())
			}
			if err := tx.Apply(ctx, b.flow, state, changes); err != nil {
				return err
			}
			_, err = tx.Publish(ctx, "", []statistics.Part{part})
			return err
		})
	}
}

// read gives the series that pass the filter in the state of a revision, 0 being the newest.
func (b *blockArrangement) read(ctx context.Context, revision int, f filter.Filter, each func(*statistics.Series)) error {
	return b.store.ViewFlow(ctx, b.flow, statistics.Moment{Revision: int64(revision)}, func(ctx context.Context, view statistics.Snapshot) error {
		for series, err := range view.Read(ctx, b.flow, []string{state}, statistics.Selector{Filter: f}) {
			if err != nil {
				return err
			}
			each(series)
		}
		return nil
	})
}

func (b *blockArrangement) series(ctx context.Context, i int) (figures int, err error) {
	var all []filter.Filter
	for d, code := range b.key(i) {
		all = append(all, filter.Eq(dimensions()[d], code))
	}
	err = b.read(ctx, 0, filter.And(all...), func(s *statistics.Series) { figures += s.Track.Len() })
	return figures, err
}

func (b *blockArrangement) slice(ctx context.Context, wanted int) (sum float64, err error) {
	months := map[int32]float64{}
	err = b.read(ctx, 0, filter.Eq("CITIZENSHIP", citizenship(wanted)), func(s *statistics.Series) {
		for i, period := range s.Track.Periods {
			months[period] += s.Track.Cells[i].Value
		}
	})
	for _, month := range months {
		sum += month
	}
	return sum, err
}

func (b *blockArrangement) sums(ctx context.Context) (float64, error) { return b.sumsAsOf(ctx, 0) }

func (b *blockArrangement) sumsAsOf(ctx context.Context, revision int) (sum float64, err error) {
	years := map[[2]int32]float64{} // by citizenship and year
	err = b.read(ctx, revision, filter.True(), func(s *statistics.Series) {
		code := int32(s.Key[5]) //nolint:gosec // below 2^16
		for i, period := range s.Track.Periods {
			years[[2]int32{code, period / 12}] += s.Track.Cells[i].Value
		}
	})
	for _, year := range years {
		sum += year
	}
	return sum, err
}

func (b *blockArrangement) stream(ctx context.Context) error {
	return b.read(ctx, 0, filter.True(), func(*statistics.Series) {})
}
