package statistics

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/services/fault"
)

const (
	ruleExisting  = "EXISTING_CELL"
	ruleNotStored = "NOT_STORED"
)

// maxToldCells is how many cells have a finding of their own, where one rule finds many.
const maxToldCells = 100

// change is what becomes of a part, and of those that are derived from it, in one transaction. It is worked out before
// anything is written.
type change struct {
	catalogue   *Catalogue
	flow        *Flow
	source      Part
	derivations []*derivation // from the dataflow
	fills       []*derivation // that fill it
	own         *Changes
	harvests    []*harvest
	reports     []Derivation
	findings    []func(*Report)
}

func newChange(catalogue *Catalogue, flow *Flow, provider string) (*change, error) {
	c := &change{catalogue: catalogue, flow: flow, source: Part{Dataflow: flow.Ref, Provider: provider}}
	var err error
	if c.derivations, err = catalogue.derivationsFrom(flow.Ref); err != nil {
		return nil, err
	}
	c.fills, err = catalogue.derivationsInto(flow.Ref)
	return c, err
}

func (c *change) parts() []Part {
	parts := []Part{c.source}
	for _, d := range c.derivations {
		parts = append(parts, Part{Dataflow: d.target.Ref, Provider: c.source.Provider})
	}
	return parts
}

// merge works out what the rows of an upload change in the part, and reports what the action does not allow.
func (c *change) merge(ctx context.Context, tx Transaction, upload *loader, header *Header) error {
	cells := upload.table
	if header.Action == Replace || header.Action == Delete && upload.rows == 0 {
		var err error
		if cells, err = c.sweep(ctx, tx, cells, header.Scope); err != nil {
			return err
		}
	}
	var err error
	if c.own, err = tx.Compare(ctx, c.flow, c.source.Provider, cells); err != nil {
		return fmt.Errorf("comparing %s of %s: %w", c.source.Dataflow, c.source.Provider, err)
	}
	switch header.Action {
	case Append:
		c.own.tell(upload.report, ruleExisting, Blocking, isRevised, func(was, is string) string {
			return fmt.Sprintf("the cell is stored already, as %s; with APPEND it cannot become %s", was, is)
		})
	case Delete:
		c.own.tell(upload.report, ruleNotStored, Note, isMissing, func(string, string) string {
			return "the cell is not stored, so it need not be taken away"
		})
	}
	return c.checkDirect(ctx, tx, upload.report)
}

// sweep returns the cells, and for each that is stored beside them and passes the scope, that it is to go.
func (c *change) sweep(ctx context.Context, tx Reader, cells *Table, scope filter.Filter) (*Table, error) {
	swept := cells.clone()
	dictionary, err := tx.Dictionary(ctx, c.flow)
	if err != nil {
		return nil, err
	}
	recode := newRecoder(dictionary, swept)
	gone := 0
	for series, err := range tx.Read(ctx, c.flow, []string{c.source.Provider}, Selector{Filter: withoutTime(scope)}) {
		if err != nil {
			return nil, err
		}
		codes := recode.key(series.Key)
		n, there := swept.number(codes)
		for _, period := range series.Track.Periods {
			if there && swept.At(n, period).Present() || !swept.within(scope, codes, period) {
				continue
			}
			if !there {
				n, there = swept.Series(codes), true
			}
			swept.Remove(n, period, 0)
			if gone++; gone > maxObservations {
				return nil, fault.New(fault.Exhausted, "LIMIT_EXCEEDED", "at most %d observations are taken away at once: narrow the scope", maxObservations)
			}
		}
	}
	return swept, nil
}

// within reports whether a cell passes a filter over dimensions and TIME_PERIOD.
func (t *Table) within(scope filter.Filter, key []uint32, period int32) bool {
	return scope.IsTrue() || scope.Match(func(component string) string {
		if component == block.TimePeriod {
			return Frequency(t.dictionary.Text(0, key[0])[0]).Period(period).String()
		}
		dimension := t.structure.Dimension(component)
		return t.dictionary.Text(dimension, key[dimension])
	})
}

// withoutTime returns a filter over dimensions alone that passes at least what f does.
func withoutTime(f filter.Filter) filter.Filter {
	if !slices.Contains(f.Components(), block.TimePeriod) {
		return f
	}
	var operands []filter.Filter
	if f.Op == filter.OpAnd {
		for _, operand := range f.Operands {
			operands = append(operands, withoutTime(operand))
		}
	}
	return filter.And(operands...)
}

// tell adds a finding for each cell with the fate, but for many.
func (c *Changes) tell(report *Report, rule string, severity Severity, of fate, message func(was, is string) string) {
	told := 0
	for s, i := range c.each(func(f fate) bool { return f == of }) {
		if told++; told > maxToldCells {
			continue
		}
		cell := c.cells.tracks[s].Cells[i]
		report.Add(Finding{
			Rule: rule, Severity: severity, Line: int(cell.Line), Values: c.key(s, i), Message: message(cellText(c.was(s, i)), cellText(cell)),
		})
	}
	if told > maxToldCells {
		report.Add(Finding{Rule: rule, Severity: severity, Message: fmt.Sprintf("the same of %d further cells", told-maxToldCells)})
	}
}

// cellText writes a cell's figure and statuses as a finding shows them.
func cellText(c Cell) string {
	if !c.Present() {
		return "none"
	}
	return fmt.Sprintf("%s (%c, %c)", figureText(c.Value), c.ObsStatus, c.ConfStatus)
}

// describe adds to the submission and its report what was derived.
func (c *change) describe(s *Submission, report *Report) {
	s.Changes = c.own.Counts()
	s.Derivations = c.reports
	for _, find := range c.findings {
		find(report)
	}
}

// apply makes the changes, and returns the number of the revision, 0 where there are none.
func (c *change) apply(ctx context.Context, tx Transaction, submission string) (int64, error) {
	var parts []Part
	apply := func(flow *Flow, changes *Changes) error {
		if changes.Len() == 0 {
			return nil
		}
		parts = append(parts, Part{Dataflow: flow.Ref, Provider: c.source.Provider})
		if err := tx.Apply(ctx, flow, c.source.Provider, changes); err != nil {
			return fmt.Errorf("changing %s of %s: %w", flow.Ref, c.source.Provider, err)
		}
		return nil
	}
	if err := apply(c.flow, c.own); err != nil {
		return 0, err
	}
	for _, h := range c.harvests {
		if err := apply(h.flow, h.changes); err != nil {
			return 0, err
		}
	}
	if len(parts) == 0 {
		return 0, nil
	}
	return tx.Publish(ctx, submission, parts)
}

// recoder puts series with the codes of a dictionary into a table with its own.
type recoder struct {
	from  *Dictionary
	into  *Table
	known [][]uint32 // by dimension and code of from: the table's code, plus 1
	codes []uint32
}

func newRecoder(from *Dictionary, into *Table) *recoder {
	r := &recoder{from: from, into: into, codes: make([]uint32, len(from.texts)), known: make([][]uint32, len(from.texts))}
	for i := range r.known {
		r.known[i] = make([]uint32, from.Len(i))
	}
	return r
}

// key returns the table's codes for a key. It is valid until the next call.
func (r *recoder) key(key []uint32) []uint32 {
	for i, code := range key {
		for int(code) >= len(r.known[i]) {
			r.known[i] = append(r.known[i], 0)
		}
		if r.known[i][code] == 0 {
			r.known[i][code] = r.into.Code(i, r.from.Text(i, code)) + 1
		}
		r.codes[i] = r.known[i][code] - 1
	}
	return r.codes
}

// put adds a series to the table.
func (r *recoder) put(series *Series) {
	n := r.into.Series(r.key(series.Key))
	for i, period := range series.Track.Periods {
		cell := series.Track.Cells[i]
		if further, ok := series.Further[period]; ok {
			set := make([]string, len(r.into.further))
			copy(set, further)
			cell.Attributes = r.into.AttributeSet(set)
		}
		r.into.Put(n, period, cell)
	}
}

// keyText writes the key and period of a cell as SDMX does.
func keyText(texts []string) string {
	last := len(texts) - 1
	return strings.Join(texts[:last], ".") + " " + texts[last]
}
