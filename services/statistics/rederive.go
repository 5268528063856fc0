package statistics

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/comity-federation/comity/services/fault"
)

// rederivedCells is how many source cells are derived anew at a time.
const rederivedCells = 500_000

// rederivation is a structure map that makes something else than before.
type rederivation struct {
	now, was *derivation // was is nil where it is new
}

// rederive derives anew, from the state's own figures, what the structures now make otherwise: some periods at a time, since
// what is derived of a period depends on no other.
func (s *Service) rederive(ctx context.Context, tx Transaction, before, after *Catalogue) error {
	was, err := before.derivations()
	if err != nil {
		return err
	}
	is, err := after.derivations()
	if err != nil {
		return err
	}
	var changed []rederivation
	var parts []Part
	fill := map[Ref]int{} // how many of them fill a dataflow
	for _, id := range slices.SortedFunc(maps.Keys(is), compareRefs) {
		if r := (rederivation{is[id], was[id]}); !r.now.same(r.was) {
			changed = append(changed, r)
			fill[r.now.target.Ref]++
			parts = append(parts, Part{Dataflow: r.now.source.Ref, Provider: s.state}, Part{Dataflow: r.now.target.Ref, Provider: s.state})
		}
	}
	if err := tx.Lock(ctx, parts...); err != nil {
		return err
	}
	w := &rederiver{tx: tx, provider: s.state, after: after}
	// A figure may go from one map to another, so where several fill a dataflow, first goes what is to go.
	for _, r := range changed {
		if r.was != nil && fill[r.now.target.Ref] > 1 {
			if err := w.derive(ctx, r, true); err != nil {
				return err
			}
		}
	}
	for _, r := range changed {
		if err := w.derive(ctx, r, false); err != nil {
			return err
		}
	}
	if len(w.parts) == 0 {
		return nil
	}
	_, err = tx.Publish(ctx, "", w.parts)
	return err
}

type rederiver struct {
	tx       Transaction
	provider string
	after    *Catalogue
	parts    []Part // that changed
}

// derive makes anew what a structure map makes; goneOnly: it only takes away what the map does not make any more.
func (w *rederiver) derive(ctx context.Context, r rederivation, goneOnly bool) error {
	chunks, err := w.chunks(ctx, r.now.source)
	if err != nil {
		return err
	}
	for _, spans := range chunks {
		if err := w.deriveChunk(ctx, r, spans, goneOnly); err != nil {
			return fmt.Errorf("deriving anew by %s: %w", r.now.structureMap.Ref, err)
		}
	}
	return nil
}

func (w *rederiver) deriveChunk(ctx context.Context, r rederivation, spans []Span, goneOnly bool) error {
	deriver, err := r.now.deriver()
	if err != nil {
		return err
	}
	h := &harvest{flow: r.now.target, cells: deriver.table, had: deriver.table.Empty()}
	if h.fills, err = w.after.derivationsInto(h.flow.Ref); err != nil {
		return err
	}
	dictionary, err := w.tx.Dictionary(ctx, r.now.source)
	if err != nil {
		return err
	}
	scratch := NewTable(r.now.source.Structure)
	recode := newRecoder(dictionary, scratch)
	derivers := []*seriesDeriver{newSeriesDeriver(deriver, scratch, false)}
	var recodeOld *recoder
	if r.was != nil {
		old, err := r.was.deriver()
		if err != nil {
			return err
		}
		derivers = append(derivers, newSeriesDeriver(old, scratch, false))
		recodeOld = newRecoder(old.table.dictionary, h.cells)
	}
	all := func(int) bool { return true }
	for series, err := range w.tx.Read(ctx, r.now.source, []string{w.provider}, Selector{Spans: spans}) {
		if err != nil {
			return err
		}
		scratch.clear()
		recode.put(series)
		derivers[0].derive(0, all, func(codes []uint32, period int32, c Cell) { h.cells.Sum(h.cells.Series(codes), period, c) })
		for _, old := range derivers[1:] {
			old.derive(0, all, func(codes []uint32, period int32, _ Cell) {
				codes = recodeOld.key(codes)
				h.cells.tracks[h.cells.Series(codes)].slot(period)
				h.had.Set(h.had.Series(codes), period, Cell{ObsStatus: NormalValue})
			})
		}
	}
	h.made = []made{{by: r.now, cells: h.cells, had: h.had}}
	if goneOnly {
		h.cells = h.cells.gone()
	}
	return w.apply(ctx, h)
}

// gone returns the zero cells of a table.
func (t *Table) gone() *Table {
	gone := t.Empty()
	for s := range t.tracks {
		for i, period := range t.tracks[s].Periods {
			if !t.tracks[s].Cells[i].Present() {
				gone.Remove(gone.Series(t.Key(s)), period, 0)
			}
		}
	}
	return gone
}

func (w *rederiver) apply(ctx context.Context, h *harvest) error {
	changes, err := w.tx.Compare(ctx, h.flow, w.provider, h.cells)
	if err != nil {
		return err
	}
	h.changes = changes
	found, err := h.occupied(ctx, w.tx, w.provider)
	if err != nil {
		return err
	}
	var report Report
	tellOccupied(&report, found[:min(len(found), 1)])
	h.checkAllowed(w.provider, &report)
	if wrong := report.Findings(); len(wrong) > 0 {
		return fault.New(fault.Precondition, "WRONG_STATE", "%s", wrong[0].Message)
	}
	if changes.Len() == 0 {
		return nil
	}
	if part := (Part{Dataflow: h.flow.Ref, Provider: w.provider}); !slices.Contains(w.parts, part) {
		w.parts = append(w.parts, part)
	}
	return w.tx.Apply(ctx, h.flow, w.provider, changes)
}

// chunks cuts the periods of which a dataflow has figures into runs with not too many of them.
func (w *rederiver) chunks(ctx context.Context, flow *Flow) (chunks [][]Span, err error) {
	dictionary, err := w.tx.Dictionary(ctx, flow)
	if err != nil {
		return nil, err
	}
	counts := map[Frequency]map[int32]int{}
	for series, err := range w.tx.Read(ctx, flow, []string{w.provider}, Selector{}) {
		if err != nil {
			return nil, err
		}
		frequency := Frequency(dictionary.Text(0, series.Key[0])[0])
		if counts[frequency] == nil {
			counts[frequency] = map[int32]int{}
		}
		for _, period := range series.Track.Periods {
			counts[frequency][period]++
		}
	}
	for _, frequency := range slices.SortedFunc(maps.Keys(counts), cmp.Compare[Frequency]) {
		cells := rederivedCells
		for _, period := range slices.Sorted(maps.Keys(counts[frequency])) {
			if cells += counts[frequency][period]; cells > rederivedCells {
				chunks = append(chunks, []Span{{Frequency: frequency, First: period, Last: period}})
				cells = counts[frequency][period]
			}
			chunks[len(chunks)-1][0].Last = period
		}
	}
	return chunks, nil
}
