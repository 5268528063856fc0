package postgres

import (
	"context"
	"fmt"
	"iter"
	"sync"

	"github.com/comity-federation/comity/services/statistics"
)

// restricted is the condition of the indexes cur_restricted and hist_restricted: a block with a figure that is not free, or
// has an embargo.
const restricted = `(btrim(conf, '\x0046'::bytea) <> ''::bytea OR strpos(notes, '"EMBARGO_TIME":') > 0)`

// Restricted gives series with figures that the sight does not show.
func (s *snapshot) Restricted(ctx context.Context, flow *statistics.Flow, providers []string, sight statistics.Sight) iter.Seq2[*statistics.Series, error] {
	return func(yield func(*statistics.Series, error) bool) {
		more := true
		give := func(series *statistics.Series) bool {
			more = yield(series, nil)
			return more
		}
		err := s.restricted(ctx, flow, providers, sight, give)
		if err == nil && s.past && more {
			newest := *s
			newest.past, newest.opened = false, nil // what is known of the dataflow is of the past
			err = newest.restricted(ctx, flow, providers, sight, give)
		}
		if err != nil {
			yield(nil, fmt.Errorf("reading what of %s is restricted: %w", flow.Ref, err))
		}
	}
}

func (s *snapshot) restricted(ctx context.Context, flow *statistics.Flow, providers []string, sight statistics.Sight, yield func(*statistics.Series) bool) error {
	parts, err := s.seen(ctx, flow.Ref, providers)
	if err != nil || len(parts) == 0 {
		return err
	}
	if !s.past && sight.Shows(statistics.FreeToShow) {
		if parts, err = s.marked(ctx, parts); err != nil || len(parts) == 0 {
			return err
		}
	}
	w, err := s.where(ctx, flow, statistics.Selector{})
	if err != nil {
		return err
	}
	hidden := hidden(w, sight)
	branches := make([]branch, len(parts))
	for i, part := range parts {
		branches[i] = s.branch(part, w.args)
		branches[i].from += fmt.Sprintf(`
		JOIN (
			SELECT DISTINCT key, blk
			FROM cur
			WHERE part = @part%[1]d AND %[2]s`, part.ID, hidden)
		if s.past {
			branches[i].from += fmt.Sprintf(`
			UNION
			SELECT key, blk
			FROM hist
			WHERE part = @part%[1]d AND %[2]s`, part.ID, hidden)
		}
		branches[i].from += `
		) hidden ON hidden.key = c.key AND hidden.blk = c.blk`
	}
	return s.readBranches(ctx, flow, branches, w, statistics.Selector{}, yield)
}

// marks remembers which parts had a restricted block, as of a revision of each: most have none, and every small query asks.
type marks struct {
	mu    sync.Mutex
	known map[int32]mark
}

type mark struct {
	rev int64
	any bool
}

func (m *marks) get(part seenPart) (found, known bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	last := m.known[part.ID]
	return last.any, last.rev == part.Rev && part.Rev > 0
}

func (m *marks) put(part seenPart, found bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known[part.ID].rev < part.Rev {
		m.known[part.ID] = mark{part.Rev, found}
	}
}

// marked returns those of the parts that have a restricted block in the newest state.
func (s *snapshot) marked(ctx context.Context, parts []seenPart) ([]seenPart, error) {
	var marked []seenPart
	for _, part := range parts {
		found, known := s.source.marks.get(part)
		if !known {
			err := s.db.QueryRow(ctx, `SELECT EXISTS (SELECT FROM cur WHERE part = $1 AND `+restricted+`)`, part.ID).Scan(&found)
			if err != nil {
				return nil, err
			}
			s.source.marks.put(part, found)
		}
		if found {
			marked = append(marked, part)
		}
	}
	return marked, nil
}

// hidden returns the condition for blocks with a figure that the sight does not show, which the index finds.
func hidden(w *where, sight statistics.Sight) string {
	if !sight.Shows(statistics.FreeToShow) {
		return "true" // what is free has no mark that could be looked for
	}
	condition := "false"
	if !sight.AnyStatus {
		w.args["shown"] = append([]byte{0}, sight.ConfStatus...)
		condition = `btrim(conf, @shown) <> ''::bytea`
	}
	if !sight.Embargoed {
		condition = `(` + condition + ` OR strpos(notes, '"EMBARGO_TIME":') > 0)`
	}
	return restricted + ` AND ` + condition
}
