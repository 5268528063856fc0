package postgres

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/services/statistics"
)

// indexes remembers what the parts hold, as of a revision of each.
type indexes struct {
	mu    sync.Mutex
	known map[int32]*partIndex
}

// partIndex is the index of a part. Its lock is held while it is brought up to date, and shared while it is read.
type partIndex struct {
	mu    sync.RWMutex
	rev   int64 // of the part, that it is of
	index *statistics.Index
}

func (i *indexes) of(part int32) *partIndex {
	i.mu.Lock()
	defer i.mu.Unlock()
	found := i.known[part]
	if found == nil {
		found = &partIndex{}
		i.known[part] = found
	}
	return found
}

// Index calls do with the index of what a provider has in this state. That of the newest state is brought up to date with
// the blocks that changed since it was read last; that of an older one is read anew.
func (s *snapshot) Index(ctx context.Context, flow *statistics.Flow, provider string, do func(*statistics.Index) error) error {
	if err := s.ensure(ctx); err != nil { // the index may be in memory
		return err
	}
	parts, err := s.seen(ctx, flow.Ref, []string{provider})
	if err != nil {
		return err
	}
	for _, part := range parts {
		if err := s.indexPart(ctx, flow, part, do); err != nil {
			return fmt.Errorf("reading what there is of %s: %w", flow.Ref, err)
		}
	}
	return nil
}

func (s *snapshot) indexPart(ctx context.Context, flow *statistics.Flow, part seenPart, do func(*statistics.Index) error) error {
	if s.past {
		index, err := s.indexPast(ctx, flow, part)
		if err != nil {
			return err
		}
		return do(index)
	}
	dictionary, err := s.Dictionary(ctx, flow)
	if err != nil {
		return err
	}
	dimensions := len(flow.Structure.Dimensions)
	known := s.source.indexes.of(part.ID)
	known.mu.RLock()
	for known.rev != part.Rev {
		if known.rev > part.Rev {
			known.mu.RUnlock()
			return statistics.ErrNewerIndex
		}
		known.mu.RUnlock()
		if err := s.catchUp(ctx, dictionary, dimensions, part, known); err != nil {
			return err
		}
		known.mu.RLock()
	}
	defer known.mu.RUnlock()
	if known.index == nil {
		return nil // the part has nothing yet
	}
	return do(known.index)
}

// indexPast reads an older state.
func (s *snapshot) indexPast(ctx context.Context, flow *statistics.Flow, part seenPart) (*statistics.Index, error) {
	index := statistics.NewIndex(len(flow.Structure.Dimensions))
	w, err := s.where(ctx, flow, statistics.Selector{})
	if err != nil {
		return nil, err
	}
	var key []byte
	branches := []branch{s.branch(part, w.args)}
	err = s.readBranches(ctx, flow, branches, w, statistics.Selector{}, func(series *statistics.Series) bool {
		key = key[:0]
		for _, code := range series.Key {
			key = appendKey(key, uint16(code)) //nolint:gosec // codes fit a smallint
		}
		frequency := statistics.Frequency(w.dictionary.Text(0, series.Key[0])[0])
		for _, period := range series.Track.Periods {
			blk, at := place(frequency, period)
			index.Add(key, statistics.Run{First: blk * run(frequency), Mask: 1 << at})
		}
		return true
	})
	return index, err
}

// catchUp brings an index to the state that is read.
func (s *snapshot) catchUp(ctx context.Context, dictionary *statistics.Dictionary, dimensions int, part seenPart, known *partIndex) error {
	known.mu.Lock()
	defer known.mu.Unlock()
	if known.rev >= part.Rev {
		return nil
	}
	args := pgx.NamedArgs{"part": part.ID, "rev": known.rev}
	if known.index != nil {
		removed, err := s.removedSince(ctx, part, known.rev)
		if err != nil {
			return err
		}
		if removed { // no row is left that would tell of it
			known.index, known.rev = nil, 0
		}
	}
	if known.index == nil {
		index := statistics.NewIndex(dimensions)
		err := s.fillIndex(ctx, dictionary, `
			SELECT key, blk, mask
			FROM cur
			WHERE part = @part`, args, index.Add)
		if err != nil {
			return err
		}
		known.index, known.rev = index, part.Rev
		return nil
	}
	err := s.fillIndex(ctx, dictionary, `
			SELECT changed.key, changed.blk, coalesce(bit_or(c.mask), 0)
			FROM (
				SELECT key, blk
				FROM cur
				WHERE part = @part AND rev > @rev
				UNION
				SELECT key, blk
				FROM hist
				WHERE part = @part AND rev_to > @rev
			) changed
			LEFT JOIN cur c ON c.part = @part AND c.key = changed.key AND c.blk = changed.blk
			GROUP BY changed.key, changed.blk`, args, known.index.Set)
	if err != nil {
		known.index, known.rev = nil, 0 // it may have a part of the changes
		return err
	}
	known.rev = part.Rev
	return nil
}

// fillIndex reads rows of key, blk and mask.
func (s *snapshot) fillIndex(ctx context.Context, dictionary *statistics.Dictionary, statement string, args pgx.NamedArgs, put func([]byte, statistics.Run)) error {
	rows, err := s.db.Query(ctx, statement, args)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		raw := rows.RawValues()
		key, blk := raw[0], int32(binary.BigEndian.Uint32(raw[1])) //nolint:gosec // an int4
		frequency := statistics.Frequency(dictionary.Text(0, uint32(binary.BigEndian.Uint16(key)))[0])
		put(key, statistics.Run{First: blk * run(frequency), Mask: binary.BigEndian.Uint64(raw[2])})
	}
	return rows.Err()
}
