package postgres

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/bits"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/services/statistics"
)

// tally counts figures of one revision of a part.
type tally struct {
	figures     int64
	first, last time.Time // days
}

// Trace returns what brought the figures of the provider that are selected, the newest first.
func (s *snapshot) Trace(ctx context.Context, flow *statistics.Flow, provider string, selector statistics.Selector) ([]statistics.Origin, error) {
	parts, err := s.seen(ctx, flow.Ref, []string{provider})
	if err != nil || len(parts) == 0 {
		return nil, err
	}
	tallies := map[int64]*tally{}
	for _, part := range parts {
		if err := s.count(ctx, flow, part, selector, tallies); err != nil {
			return nil, fmt.Errorf("reading where figures of %s come from: %w", flow.Ref, err)
		}
	}
	return s.origins(ctx, parts[0], flow.Ref, provider, tallies)
}

// count counts the figures of a part by the revision that they are from.
func (s *snapshot) count(ctx context.Context, flow *statistics.Flow, part seenPart, selector statistics.Selector, tallies map[int64]*tally) error {
	w, err := s.where(ctx, flow, selector)
	if err != nil {
		return err
	}
	from := s.branch(part, w.args)
	spans := map[statistics.Frequency]statistics.Span{}
	for _, span := range selector.Spans {
		spans[span.Frequency] = span
	}
	rows, err := s.db.Query(ctx, `
		SELECT c.key, c.blk, `+layerColumns+`
		FROM `+from.from+w.series+`
		WHERE `+w.condition+`
		ORDER BY c.key, c.blk`, w.args)
	if err != nil {
		return err
	}
	defer rows.Close()
	var (
		cells image // of a run
		key   []byte
		blk   int32
	)
	end := func() {
		if key == nil {
			return
		}
		frequency := statistics.Frequency(w.dictionary.Text(0, uint32(binary.BigEndian.Uint16(key)))[0])
		span, bounded := spans[frequency]
		runLength := run(frequency)
		for rest := cells.mask; rest != 0; rest &= rest - 1 {
			at := bits.TrailingZeros64(rest)
			index := blk*runLength + int32(at) //nolint:gosec // a place in a run
			if bounded && (index < span.First || index > span.Last) {
				continue
			}
			t := tallies[cells.revs[at]]
			if t == nil {
				t = &tally{}
				tallies[cells.revs[at]] = t
			}
			t.add(frequency.Period(index).Start(), frequency.Period(index).End())
		}
		cells.reset()
	}
	for rows.Next() {
		raw := rows.RawValues()
		if next := int32(binary.BigEndian.Uint32(raw[1])); string(raw[0]) != string(key) || next != blk || key == nil { //nolint:gosec // an int4
			end()
			key, blk = append([]byte{}, raw[0]...), next
		}
		row := readLayer(raw[2:], false)
		if err := row.check(); err != nil {
			return err
		}
		if err := cells.lay(&row, from.upTo()); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	end()
	return nil
}

func (t *tally) add(first, last time.Time) {
	if t.figures++; t.figures == 1 || first.Before(t.first) {
		t.first = first
	}
	if last.After(t.last) {
		t.last = last
	}
}

// origins says of each revision what it came from.
func (s *snapshot) origins(ctx context.Context, part seenPart, dataflow statistics.Ref, provider string, tallies map[int64]*tally) ([]statistics.Origin, error) {
	revs := make([]int64, 0, len(tallies))
	for rev := range tallies {
		revs = append(revs, rev)
	}
	rows, err := s.db.Query(ctx, `
		SELECT v.rev, v.number, v.committed_at, coalesce(t.keep_days, 0), coalesce(u.id::text, ''), coalesce(u.release, '')
		FROM revision v
		LEFT JOIN terms t ON t.part = v.part AND t.rev = v.rev
		LEFT JOIN news n ON n.number = v.number AND n.dataflow = @dataflow AND n.provider = @provider
		LEFT JOIN submission u ON u.id = n.submission
		WHERE v.part = @part AND v.rev = ANY(@revs)
		ORDER BY v.rev DESC`,
		pgx.NamedArgs{"part": part.ID, "revs": revs, "dataflow": dataflow.String(), "provider": provider})
	if err != nil {
		return nil, fmt.Errorf("reading the revisions of %s: %w", dataflow, err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (o statistics.Origin, err error) {
		var rev int64
		err = row.Scan(&rev, &o.Revision, &o.CommitTime, &o.KeepDays, &o.Submission, &o.Release)
		if err == nil {
			t := tallies[rev]
			o.Figures, o.FirstDay, o.LastDay = t.figures, t.first, t.last
			o.CommitTime = o.CommitTime.UTC()
		}
		return o, err
	})
}
