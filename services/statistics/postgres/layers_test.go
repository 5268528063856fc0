package postgres

import (
	"context"
	"fmt"
	"maps"
	"math"
	"math/bits"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/comity-federation/comity/services/internal/postgrestest"
	"github.com/comity-federation/comity/services/statistics"
)

// world is the cells of a part by series and period, and which revision each is from.
type world struct {
	cells map[string]string
	revs  map[string]int64
}

func (w world) clone() world { return world{maps.Clone(w.cells), maps.Clone(w.revs)} }

// lay returns the cells of a part as of a revision of it, from its rows as they are stored.
func lay(t rapid.TB, ctx context.Context, s *Store, upTo int64) world {
	t.Helper()
	rows, err := s.pool.Query(ctx, `
		SELECT c.key, c.blk, `+layerColumns+` FROM cur c
		UNION ALL
		SELECT c.key, c.blk, `+layerColumns+` FROM hist c WHERE c.rev_to > $1`, upTo)
	if err != nil {
		t.Fatal(err)
	}
	runs := map[string]*image{}
	for rows.Next() {
		raw := rows.RawValues()
		row := readLayer(raw[2:], true)
		if err := row.check(); err != nil {
			t.Fatal(err)
		}
		at := fmt.Sprintf("%x/%x", raw[0], raw[1])
		if runs[at] == nil {
			runs[at] = &image{}
		}
		if err := runs[at].lay(&row, upTo); err != nil {
			t.Fatal(err)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	w := world{map[string]string{}, map[string]int64{}}
	for run, m := range runs {
		for rest := m.mask; rest != 0; rest &= rest - 1 {
			at := bits.TrailingZeros64(rest)
			key := fmt.Sprintf("%s/%d", run, at)
			notes := ""
			for i := range m.notes {
				notes += m.notes[i].texts[at]
			}
			w.cells[key] = fmt.Sprintf("%v %c %c %s", m.vals[at], m.obs[at], m.conf[at], notes)
			w.revs[key] = m.revs[at]
		}
	}
	return w
}

func TestLayers(t *testing.T) {
	t.Parallel()
	structure := &statistics.DataStructure{Dimensions: []statistics.Component{{ID: "FREQ"}, {ID: "D"}}, Attributes: []statistics.Component{{ID: "COMMENT"}}}
	store := New(postgrestest.New(t, Migrations))
	kinds := []string{"a figure", "a figure", "a figure", "none"}
	figures := []float64{0, 1, 255, 256, 65535, 65536, math.MaxUint32, math.MaxUint32 + 1, 0.5, -1, math.NaN()}
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		ctx := t.Context()
		if _, err := store.pool.Exec(ctx, `TRUNCATE cur, hist, series, revision, part, code`); err != nil {
			rt.Fatal(err)
		}
		flow := &statistics.Flow{
			Dataflow:  statistics.Dataflow{Ref: statistics.Ref{Agency: "X", ID: fmt.Sprintf("F%d", run), Version: "1.0.0"}},
			Structure: structure, Dimensions: make([]*statistics.Hierarchy, 2),
		}
		part := statistics.Part{Dataflow: flow.Ref, Provider: "p"}
		now := world{map[string]string{}, map[string]int64{}}
		states := []world{now.clone()}
		for range rapid.IntRange(1, 12).Draw(rt, "revisions") {
			rev := int64(len(states))
			err := store.Update(ctx, func(ctx context.Context, tx statistics.Transaction) error {
				if err := tx.Lock(ctx, part); err != nil {
					return err
				}
				for range rapid.IntRange(1, 2).Draw(rt, "changes") {
					table := statistics.NewTable(structure)
					table.Code(1, "a") // codes are numbered in the order in which they come
					table.Code(1, "b")
					seen := map[string]bool{}
					for range rapid.IntRange(1, 8).Draw(rt, "cells") {
						d, month := rapid.IntRange(0, 1).Draw(rt, "series"), rapid.Int32Range(-3, 14).Draw(rt, "period")
						blk, at := place('M', month)
						key := fmt.Sprintf("0000%04x/%08x/%d", d, uint32(blk), at)
						if seen[key] {
							continue
						}
						seen[key] = true
						codes := []uint32{table.Code(0, "M"), uint32(d)}
						switch rapid.SampledFrom(kinds).Draw(rt, "kind") {
						case "none":
							table.Remove(table.Series(codes), month, 0)
							delete(now.cells, key)
							delete(now.revs, key)
						default:
							cell := statistics.Cell{
								Value: rapid.SampledFrom(figures).Draw(rt, "figure"), ObsStatus: rapid.SampledFrom([]byte("AAE")).Draw(rt, "status"),
								ConfStatus: rapid.SampledFrom([]byte("FFN")).Draw(rt, "confidentiality"),
							}
							comment := rapid.SampledFrom([]string{"", "", "x", "y"}).Draw(rt, "comment")
							cell.Attributes = table.AttributeSet([]string{comment})
							text := fmt.Sprintf("%v %c %c %s", cell.Value, cell.ObsStatus, cell.ConfStatus, comment)
							if now.cells[key] != text {
								now.cells[key], now.revs[key] = text, rev
							}
							table.Put(table.Series(codes), month, cell)
						}
					}
					changes, err := tx.Compare(ctx, flow, "p", table)
					if err != nil {
						return err
					}
					if err := tx.Apply(ctx, flow, "p", changes); err != nil {
						return err
					}
				}
				_, err := tx.Publish(ctx, "", []statistics.Part{part})
				return err
			})
			if err != nil {
				rt.Fatal(err)
			}
			states = append(states, now.clone())
		}
		for n, want := range states {
			got := lay(rt, ctx, store, int64(n))
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(world{})); diff != "" {
				rt.Fatalf("as of revision %d (-want +got):\n%s", n, diff)
			}
		}
		var most int
		err := store.pool.QueryRow(ctx, `SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM cur GROUP BY key, blk) runs`).Scan(&most)
		if err != nil || most > maxLayers {
			rt.Fatalf("a run of %d rows, %v", most, err)
		}
	})
}
