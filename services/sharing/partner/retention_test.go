package partner_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/comity-federation/comity/services/statistics"
)

// chunked is a store that removes a few blocks at a time, and is cut off after the first chunk where once is true.
type chunked struct {
	statistics.Store
	once bool
}

var errCutOff = errors.New("cut off")

func (c *chunked) RemoveExpired(ctx context.Context, part statistics.Part, id string, e *statistics.Expiry, cursor string, _ int) (string, error) {
	next, err := c.Store.RemoveExpired(ctx, part, id, e, cursor, 1)
	if err == nil && c.once && next != "" {
		err = errCutOff
	}
	return next, err
}

// TestTermsReachTheFigures shows that what an agreement says of keeping figures holds for those that it brought.
func TestTermsReachTheFigures(t *testing.T) {
	t.Parallel()
	states := newWorld(t, "aa", "bb")
	aa, bb := states[0], states[1]
	aa.start()
	bb.start()
	bb.submit(2, 100)
	aa.submit(2, 100)
	agree(aa, bb)
	eventually(t, "the figures arrive", func() bool { return arrived(aa, bb) })
	correct(t, aa, bb)
	all := len(bb.figures("aa"))
	remove := func(days int, once bool) error {
		clock := func() time.Time { return time.Now().AddDate(0, 0, days) }
		return statistics.NewService(&chunked{bb.figureStore, once}, "bb", clock, newID).RemoveExpired(t.Context())
	}
	t.Run("it says of each figure by what right it is there", func(t *testing.T) { tellsProvenance(t, aa, bb, int64(all)) })
	t.Run("it keeps them as long as was agreed", func(t *testing.T) {
		must(t, remove(keepDays-1, false))
		if left := len(bb.figures("aa")); left != all {
			t.Errorf("%d of %d figures are left", left, all)
		}
	})
	t.Run("it removes them in chunks, and answers in between", func(t *testing.T) {
		if err := remove(keepDays+1, true); !errors.Is(err, errCutOff) {
			t.Fatal(err)
		}
		if left := len(bb.figures("aa")); left == 0 || left >= all {
			t.Errorf("after a chunk, %d of %d figures are left", left, all)
		}
		must(t, remove(keepDays+1, false))
		if left := len(bb.figures("aa")); left != 0 {
			t.Errorf("%d of %d figures are left", left, all)
		}
	})
	t.Run("it leaves those of the state itself, and those that were sent where they come from", func(t *testing.T) {
		if own, there := len(bb.figures("bb")), len(aa.figures("aa")); own == 0 || there == 0 {
			t.Errorf("%d and %d are left", own, there)
		}
	})
	t.Run("it logs what was removed by the terms", func(t *testing.T) {
		removals, err := bb.statistics.Removals(t.Context(), 10, "")
		must(t, err)
		var figures int64
		chunks := 0
		for _, r := range removals {
			figures, chunks = figures+r.Figures, chunks+r.Chunks
			if r.Rule != nil || r.ByTerms != r.Figures+r.Superseded || r.Part.Provider != "aa" {
				t.Errorf("logged %+v", r)
			}
		}
		if len(removals) != 2 || figures != int64(all) || chunks < 3 {
			t.Errorf("%d entries of %d figures in %d chunks, want 2 of %d", len(removals), figures, chunks, all)
		}
	})
}
