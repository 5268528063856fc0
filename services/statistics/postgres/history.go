package postgres

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/services/statistics"
)

// Changes gives the series that differ between two states. The blocks that any revision between them changed are read in
// both.
func (s *snapshot) Changes(ctx context.Context, flow *statistics.Flow, providers []string, since int64, sel statistics.Selector, also [][]uint32) iter.Seq2[*statistics.Change, error] {
	return func(yield func(*statistics.Change, error) bool) {
		pair := pairs{yield: func(c *statistics.Change) bool { return yield(c, nil) }}
		if err := s.changes(ctx, flow, providers, since, sel, also, &pair); err != nil {
			yield(nil, fmt.Errorf("reading what changed of %s: %w", flow.Ref, err))
		}
	}
}

func (s *snapshot) changes(ctx context.Context, flow *statistics.Flow, providers []string, since int64, sel statistics.Selector, also [][]uint32, pair *pairs) error {
	parts, err := s.seen(ctx, flow.Ref, providers)
	if err != nil || len(parts) == 0 {
		return err
	}
	w, err := s.where(ctx, flow, sel)
	if err != nil {
		return err
	}
	keys := [][]byte{}
	for _, codes := range also {
		var key []byte
		for _, code := range codes {
			key = appendKey(key, uint16(code)) //nolint:gosec // codes fit a smallint
		}
		keys = append(keys, key)
	}
	w.args["also"] = keys
	before := *s
	before.past = true
	var branches []branch
	for _, part := range parts {
		then := part
		if then.Rev, err = s.revAt(ctx, part.ID, since); err != nil {
			return err
		}
		changed := s.changedBlocks(part, then.Rev, w.args)
		for _, state := range []struct {
			reader *reader
			part   seenPart
		}{{&before.reader, then}, {&s.reader, part}} {
			b := state.reader.branch(state.part, w.args)
			b.from += `
		JOIN (` + changed + `) changed ON changed.key = c.key AND changed.blk = c.blk`
			branches = append(branches, b)
		}
	}
	if err := s.readBranches(ctx, flow, branches, w, sel, pair.add); err != nil {
		return err
	}
	pair.flush()
	return nil
}

// revAt returns the revision of a part that the node's revision shows; 0 where it had none.
func (s *snapshot) revAt(ctx context.Context, part int32, number int64) (rev int64, err error) {
	err = s.db.QueryRow(ctx, `
		SELECT coalesce(max(rev), 0)
		FROM revision
		WHERE part = @part AND number <= @number`,
		pgx.NamedArgs{"part": part, "number": number}).Scan(&rev)
	if err != nil {
		return 0, fmt.Errorf("finding the revision of a part: %w", err)
	}
	return rev, nil
}

// changedBlocks returns the blocks that a revision changed which is in this state, and was not in that of the part's
// revision since, and those of the keys also.
func (s *snapshot) changedBlocks(part seenPart, since int64, args pgx.NamedArgs) string {
	args[fmt.Sprintf("part%d", part.ID)] = part.ID
	args[fmt.Sprintf("since%d", part.ID)] = since
	until, untilTo := "", ""
	if s.past {
		args[fmt.Sprintf("until%d", part.ID)] = part.Rev
		until = fmt.Sprintf(" AND (rev <= @until%d OR ages <> '')", part.ID)
		untilTo = fmt.Sprintf(" AND rev_to <= @until%d", part.ID)
	}
	return fmt.Sprintf(`
			SELECT key, blk
			FROM cur
			WHERE part = @part%[1]d AND (rev > @since%[1]d%[2]s OR key = ANY(@also::bytea[]))
			UNION
			SELECT key, blk
			FROM hist
			WHERE part = @part%[1]d AND rev_to > @since%[1]d%[3]s
			UNION
			SELECT key, blk
			FROM hist
			WHERE part = @part%[1]d AND rev > @since%[1]d%[2]s
			UNION
			SELECT key, blk
			FROM hist
			WHERE part = @part%[1]d AND key = ANY(@also::bytea[])`, part.ID, until, untilTo)
}

// pairs joins what comes of a series in the state before, then in the state after.
type pairs struct {
	yield  func(*statistics.Change) bool
	change *statistics.Change // nil: none waits
}

func (p *pairs) add(series *statistics.Series) bool {
	after := series.Place%2 == 1
	same := p.change != nil && p.change.After.Place/2 == series.Place/2 && slices.Equal(p.change.After.Key, series.Key)
	if !same {
		if !p.flush() {
			return false
		}
		empty := statistics.Series{Provider: series.Provider, Place: series.Place, Key: slices.Clone(series.Key)}
		p.change = &statistics.Change{Before: empty, After: empty}
	}
	kept := &p.change.Before
	if after {
		kept = &p.change.After
	}
	kept.Track = statistics.Track{Periods: slices.Clone(series.Track.Periods), Cells: slices.Clone(series.Track.Cells)}
	kept.Further = series.Further
	return true
}

// flush hands over the series that waits, and reports whether more are wanted.
func (p *pairs) flush() bool {
	change := p.change
	p.change = nil
	return change == nil || p.yield(change)
}
