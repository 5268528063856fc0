package statistics

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/services/fault"
)

const maxIdempotencyKey = 128 // characters

// Submit reads an upload, checks it, and accepts or rejects it whole. An accepted one is stored in one transaction with
// what is derived from it; a rejected one is stored with its findings alone. Faults are of the request: what is wrong
// with the rows is in the findings of the submission.
func (s *Service) Submit(ctx context.Context, header Header, content Content) (*Submission, error) {
	if header.Provider == "" {
		header.Provider = s.state
	}
	catalogue, err := s.Catalogue(ctx)
	if err != nil {
		return nil, err
	}
	flow, layout, err := s.target(ctx, catalogue, &header, content)
	if err != nil {
		return nil, err
	}
	upload, err := load(flow, layout, &header, content)
	if err != nil {
		return nil, err
	}
	rules, err := s.rulesOf(ctx, flow.Ref)
	if err != nil {
		return nil, err
	}
	submission := upload.submission(&header)
	submission.ID = s.newID()
	err = s.store.Update(ctx, func(ctx context.Context, tx Transaction) error {
		change, err := newChange(catalogue, flow, header.Provider)
		if err != nil {
			return err
		}
		if err := hold(ctx, tx, catalogue, false); err != nil {
			return err
		}
		if err := tx.Lock(ctx, change.parts()...); err != nil {
			return err
		}
		if header.IdempotencyKey != "" {
			before, err := tx.SubmissionByKey(ctx, change.source, header.IdempotencyKey)
			if err == nil {
				return s.replay(before, submission)
			}
			if !fault.Is(err, fault.NotFound) {
				return err
			}
		}
		submission.CreateTime = s.moment()
		if submission.State == Accepted {
			if err := change.merge(ctx, tx, upload.table, &header); err != nil {
				return err
			}
			verdict, err := s.judge(ctx, tx, catalogue, change, upload, &header, rules.Rules, submission.Digest)
			if err != nil {
				return err
			}
			if upload.report.Blocking() {
				submission.State, submission.Observations = Rejected, 0
			} else {
				if err := change.derive(); err != nil {
					return err
				}
				change.describe(submission, upload.report)
				if submission.Revision, err = change.apply(ctx, tx, submission.ID); err != nil {
					return err
				}
				if err := verdict.keep(ctx, tx, submission); err != nil {
					return err
				}
			}
		}
		submission.Findings = upload.report.Findings()
		return tx.PutSubmission(ctx, submission)
	})
	if err != nil {
		return nil, err
	}
	return submission, nil
}

// replay makes submission the one that was stored with its idempotency key.
func (s *Service) replay(before Submission, submission *Submission) error {
	if before.Digest != submission.Digest {
		return fault.New(fault.Exists, "IDEMPOTENCY_CONFLICT", "the idempotency key %q was used for another upload", submission.IdempotencyKey).
			With("submission", "submissions/"+before.ID)
	}
	*submission = before
	return nil
}

// target checks the header and returns what it names.
func (s *Service) target(ctx context.Context, catalogue *Catalogue, header *Header, content Content) (*Flow, *Layout, error) {
	flow, err := catalogue.Flow(header.Dataflow)
	if err != nil {
		return nil, nil, err
	}
	if len([]rune(header.IdempotencyKey)) > maxIdempotencyKey {
		return nil, nil, fault.InvalidField("header.idempotencyKey", "is longer than %d characters", maxIdempotencyKey)
	}
	if header.Action != Replace && !header.Scope.IsTrue() {
		return nil, nil, fault.InvalidField("header.scope", "only REPLACE has a scope")
	}
	if err := header.Scope.Check(); err != nil {
		return nil, nil, fault.InvalidField("header.scope", "%v", err)
	}
	for _, component := range header.Scope.Components() {
		if component != block.TimePeriod && flow.Structure.Dimension(component) < 0 {
			return nil, nil, fault.InvalidField("header.scope", "%q is no dimension of %s", component, flow.Structure.Ref)
		}
	}
	if header.Layout == "" {
		if content.Blocks == nil {
			return nil, nil, fault.InvalidField("header.layout", "a national file needs one")
		}
		return flow, nil, nil
	}
	if content.File == nil {
		return nil, nil, fault.InvalidField("header.layout", "blocks have none")
	}
	layout, err := s.store.Layout(ctx, header.Layout)
	if err != nil {
		return nil, nil, err
	}
	if filled, err := catalogue.Flow(layout.Dataflow); err != nil || filled.Ref != flow.Ref {
		return nil, nil, fault.InvalidField("header.layout", "the layout %s fills %s, not %s", layout.ID, layout.Dataflow, flow.Ref)
	}
	return flow, &layout, nil
}

// change is what becomes of a part, and of those that are derived from it, in one transaction.
type change struct {
	flow        *Flow
	source      Part
	derivations []*derivation
	old, now    *Table   // the cells of the part in the periods that may be touched, before and after
	own         *Changes // from old to now
	edits       []edit
	reports     []Derivation
	findings    []func(*Report)
}

// edit is what changes in one part.
type edit struct {
	flow    *Flow
	part    Part
	changes *Changes
}

func newChange(catalogue *Catalogue, flow *Flow, provider string) (*change, error) {
	derivations, err := catalogue.derivationsFrom(flow.Ref)
	if err != nil {
		return nil, err
	}
	return &change{flow: flow, source: Part{Dataflow: flow.Ref, Provider: provider}, derivations: derivations}, nil
}

func (c *change) parts() []Part {
	parts := []Part{c.source}
	for _, d := range c.derivations {
		parts = append(parts, Part{Dataflow: d.target.Ref, Provider: c.source.Provider})
	}
	return parts
}

// merge works out what the rows of an upload change in the part.
func (c *change) merge(ctx context.Context, tx Transaction, rows *Table, header *Header) error {
	selector := Selector{Spans: rows.spans()}
	if header.Action == Replace {
		selector.Spans = nil
	}
	c.old = rows.Empty()
	if err := loadStored(ctx, tx, c.flow, c.source.Provider, selector, c.old); err != nil {
		return err
	}
	c.now = rows.Empty()
	c.now.add(rows)
	if header.Action == Merge {
		c.now.add(c.old)
	} else {
		c.now.add(outside(c.old, header.Scope))
	}
	c.own = Diff(c.old, c.now)
	return nil
}

// derive works out the edits: those of the part, and those of what is derived from it.
//
// What is derived of a period is a function of all the part's cells in that period, so it is worked out for all of them,
// as they were and as they are, and the difference is what changes.
func (c *change) derive() error {
	if c.own.Len() > 0 {
		c.edits = append(c.edits, edit{c.flow, c.source, c.own})
	}
	touched := c.own.table.periods()
	old, now := c.old.within(touched), c.now.within(touched)
	for _, d := range c.derivations {
		made, deriver, err := d.run(now)
		if err != nil {
			return err
		}
		replaced, _, err := d.run(old)
		if err != nil {
			return err
		}
		c.editDerived(d, replaced, made)
		c.reports = append(c.reports, Derivation{
			StructureMap: d.structureMap.Ref, Dataflow: d.target.Ref, Observations: made.Len(),
			UnmappedLabels: len(deriver.Unmapped()), LeftOut: deriver.LeftOut(),
		})
		c.findings = append(c.findings, deriver.Report)
	}
	return nil
}

// editDerived puts one derived table in the place of another.
func (c *change) editDerived(d *derivation, old, now *Table) {
	replaced := now.Empty()
	replaced.add(old)
	if changes := Diff(replaced, now); changes.Len() > 0 {
		c.edits = append(c.edits, edit{d.target, Part{Dataflow: d.target.Ref, Provider: c.source.Provider}, changes})
	}
}

// describe adds to the submission and its report what was derived.
func (c *change) describe(s *Submission, report *Report) {
	s.Derivations = c.reports
	for _, find := range c.findings {
		find(report)
	}
}

// apply makes the edits, and returns the number of the revision, 0 where there are none.
func (c *change) apply(ctx context.Context, tx Transaction, submission string) (int64, error) {
	var parts []Part
	for _, e := range c.edits {
		if err := tx.Apply(ctx, e.flow, e.part.Provider, e.changes); err != nil {
			return 0, fmt.Errorf("changing %s of %s: %w", e.part.Dataflow, e.part.Provider, err)
		}
		if !slices.Contains(parts, e.part) {
			parts = append(parts, e.part)
		}
	}
	if len(parts) == 0 {
		return 0, nil
	}
	return tx.Publish(ctx, submission, parts)
}

// rederive derives anew, from the state's own figures, what the structures now make otherwise.
func (s *Service) rederive(ctx context.Context, tx Transaction, before, after *Catalogue) error {
	was, err := before.derivations()
	if err != nil {
		return err
	}
	is, err := after.derivations()
	if err != nil {
		return err
	}
	var changes []*change
	var parts []Part
	for _, id := range slices.SortedFunc(maps.Keys(is), compareRefs) {
		d := is[id]
		if d.same(was[id]) {
			continue
		}
		c := &change{flow: d.source, source: Part{Dataflow: d.source.Ref, Provider: s.state}, derivations: []*derivation{d}}
		changes, parts = append(changes, c), append(parts, c.parts()...)
	}
	if err := tx.Lock(ctx, parts...); err != nil {
		return err
	}
	total := &change{}
	for _, c := range changes {
		native := NewTable(c.flow.Structure)
		if err := loadStored(ctx, tx, c.flow, s.state, Selector{}, native); err != nil {
			return err
		}
		d := c.derivations[0]
		made, _, err := d.run(native)
		if err != nil {
			return err
		}
		replaced := made.Empty()
		if old := was[Ref{Agency: d.structureMap.Ref.Agency, ID: d.structureMap.Ref.ID}]; old != nil && old.target.Ref == d.target.Ref {
			if replaced, _, err = old.run(native); err != nil {
				return err
			}
		}
		c.editDerived(d, replaced, made)
		total.edits = append(total.edits, c.edits...)
	}
	_, err = total.apply(ctx, tx, "")
	return err
}

// loadStored adds the stored cells of a provider to a table.
func loadStored(ctx context.Context, r Reader, flow *Flow, provider string, selector Selector, into *Table) error {
	dictionary, err := r.Dictionary(ctx, flow)
	if err != nil {
		return err
	}
	recode := newRecoder(dictionary, into)
	for series, err := range r.Read(ctx, flow, []string{provider}, selector) {
		if err != nil {
			return err
		}
		recode.put(series)
	}
	return nil
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

func (r *recoder) put(series *Series) {
	for i, code := range series.Key {
		if r.known[i][code] == 0 {
			r.known[i][code] = r.into.Code(i, r.from.Text(i, code)) + 1
		}
		r.codes[i] = r.known[i][code] - 1
	}
	n := r.into.Series(r.codes)
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

// outside returns the cells that do not pass the filter.
func outside(t *Table, scope filter.Filter) *Table {
	rest := t.Empty()
	if scope.IsTrue() {
		return rest
	}
	for s := range t.tracks {
		key, frequency := t.Key(s), t.Frequency(s)
		for i, period := range t.tracks[s].Periods {
			inside := scope.Match(func(component string) string {
				if component == block.TimePeriod {
					return frequency.Period(period).String()
				}
				dimension := t.structure.Dimension(component)
				return t.dictionary.Text(dimension, key[dimension])
			})
			if !inside {
				rest.Put(rest.Series(key), period, t.tracks[s].Cells[i])
			}
		}
	}
	return rest
}
