package sharing

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/filter"
)

// A release after the first goes as a delta: what it replaces is not all of the agreement's figures, but boxes around those
// that have changed. A box is of one frequency, area and indicator, and of some codes of each other dimension and some
// periods. All figures in the boxes go; what was there and does not come is deleted. So the receiver's set equals the
// sender's after it, if it did before: a delta names the release that it builds upon, which the receiver must have stored.

const (
	// maxDeltaScope bounds the filter of the boxes, in bytes of its values.
	maxDeltaScope = 24 << 10
	// deltaShare is the share of all rows up to which rows go as a delta.
	deltaShare = 0.5
)

// box is codes of each dimension, and periods.
type box []map[string]bool // by place among the dimensions; the periods last

// boxes are the boxes around changed rows, by frequency, area and indicator.
type boxes struct {
	structures *Structures
	fixed      []int // the places of the dimensions that a box has one code of
	byFixed    map[string]box
}

func newBoxes(structures *Structures) *boxes {
	b := &boxes{structures: structures, byFixed: map[string]box{}}
	for i, d := range structures.Dimensions {
		if d.ID == freq || d.ID == refArea || d.ID == indicator {
			b.fixed = append(b.fixed, i)
		}
	}
	return b
}

// key returns the codes that all rows of a box have.
func (b *boxes) key(r row) string {
	var key strings.Builder
	for _, i := range b.fixed {
		key.WriteString(r.codes[i])
		key.WriteByte(0)
	}
	return key.String()
}

// add makes the boxes large enough for a row.
func (b *boxes) add(r row) {
	key := b.key(r)
	if b.byFixed[key] == nil {
		b.byFixed[key] = make(box, len(r.codes)+1)
	}
	for i, code := range append(slices.Clone(r.codes), r.period) {
		if b.byFixed[key][i] == nil {
			b.byFixed[key][i] = map[string]bool{}
		}
		b.byFixed[key][i][code] = true
	}
}

// has reports whether a row is in a box.
func (b *boxes) has(r row) bool {
	around := b.byFixed[b.key(r)]
	if around == nil || !around[len(r.codes)][r.period] {
		return false
	}
	for i, code := range r.codes {
		if !around[i][code] {
			return false
		}
	}
	return true
}

// filter returns the condition for what is in the boxes; false where it is too large for a header.
func (b *boxes) filter() (filter.Filter, bool) {
	size := 0
	var all []filter.Filter
	for _, key := range slices.Sorted(maps.Keys(b.byFixed)) {
		var one []filter.Filter
		for i, codes := range b.byFixed[key] {
			component := block.TimePeriod
			if i < len(b.structures.Dimensions) {
				component = b.structures.Dimensions[i].ID
			}
			values := slices.Sorted(maps.Keys(codes))
			for _, value := range values {
				size += len(value) + 4
			}
			one = append(one, filter.In(component, values...))
		}
		all = append(all, filter.And(one...))
	}
	return filter.Or(all...), size <= maxDeltaScope
}

// sameRow reports whether two rows with the same key say the same.
func sameRow(a, b row) bool {
	return a.status == b.status && a.conf == b.conf && (a.value == b.value || math.IsNaN(a.value) && math.IsNaN(b.value))
}

func compareKeys(a, b row) int {
	return cmp.Or(slices.Compare(a.codes, b.codes), cmp.Compare(a.period, b.period))
}

// changed returns the boxes around the rows that are not the same before and after. Both are sorted.
func changed(structures *Structures, before, after []row) *boxes {
	around := newBoxes(structures)
	for len(before) > 0 || len(after) > 0 {
		order := 0
		switch {
		case len(before) == 0:
			order = 1
		case len(after) == 0:
			order = -1
		default:
			order = compareKeys(before[0], after[0])
		}
		switch {
		case order < 0:
			around.add(before[0])
			before = before[1:]
		case order > 0:
			around.add(after[0])
			after = after[1:]
		default:
			if !sameRow(before[0], after[0]) {
				around.add(after[0])
			}
			before, after = before[1:], after[1:]
		}
	}
	return around
}

// asDelta makes a draft, whose whole content is encoded, one of what has changed since the last release, where that is less
// and the last one is known. The whole content is kept for the next one.
func (s *Service) asDelta(ctx context.Context, tx Tx, d *draft, structures *Structures, last *Release) error {
	whole := d.batches
	if last != nil && last.follows(d.release) {
		before, err := s.contentOf(ctx, tx, structures, *last)
		if err != nil {
			return err
		}
		if before != nil {
			if err := s.narrow(ctx, d, structures, before, last.ID); err != nil {
				return err
			}
		}
	}
	return tx.SaveContent(ctx, d.release.Agreement, whole.payloads)
}

// follows reports whether a release may build upon this one.
func (r Release) follows(next Release) bool {
	same, err := r.Whole.equal(next.Whole)
	return err == nil && same && r.Dataflow == next.Dataflow && r.Epoch == next.Epoch && r.AgreementVersion == next.AgreementVersion
}

// contentOf returns the rows that the receiver has after a release; nil where they are not known.
func (s *Service) contentOf(ctx context.Context, tx Tx, structures *Structures, last Release) ([]row, error) {
	payloads, err := tx.Content(ctx, last.Agreement)
	if err != nil || len(payloads) == 0 {
		return nil, err
	}
	total := sha256.New()
	rows := []row{}
	for _, payload := range payloads {
		sum := sha256.Sum256(payload)
		total.Write(sum[:])
		b, err := s.Codec.DecodePayload(payload)
		if err != nil {
			return nil, fmt.Errorf("reading what went last: %w", err)
		}
		if rows, err = appendRows(rows, structures, b); err != nil {
			return nil, fmt.Errorf("reading what went last: %w", err)
		}
	}
	if !bytes.Equal(total.Sum(nil), last.Content) {
		return nil, nil // it is of another release
	}
	return rows, nil
}

// appendRows appends the rows of a block.
func appendRows(rows []row, structures *Structures, b *block.Block) ([]row, error) {
	columns := make([]*block.Column, 0, len(structures.Dimensions)+3)
	for _, d := range structures.Dimensions {
		columns = append(columns, b.Column(d.ID))
	}
	columns = append(columns, b.Column(block.TimePeriod), b.Column(block.ObsStatus), b.Column(block.ConfStatus))
	values := b.Column(block.ObsValue)
	if values == nil || slices.Contains(columns, nil) {
		return nil, errors.New("it lacks a column")
	}
	n := len(structures.Dimensions)
	for i := range b.Rows {
		r := row{codes: make([]string, n), value: values.Numbers[i]}
		for k := range n {
			r.codes[k] = columns[k].Text(i)
		}
		r.period, r.status, r.conf = columns[n].Text(i), columns[n+1].Text(i), columns[n+2].Text(i)
		rows = append(rows, r)
	}
	return rows, nil
}

// narrow makes a draft one of what has changed since the rows before, where that is less.
func (s *Service) narrow(ctx context.Context, d *draft, structures *Structures, before []row, base ReleaseID) error {
	after := d.content.sorted()
	around := changed(structures, before, after)
	if len(around.byFixed) == 0 {
		return errSaidAlready // in other bytes
	}
	scope, fits := around.filter()
	if !fits {
		return nil
	}
	var rows []row
	for _, r := range after {
		if around.has(r) {
			rows = append(rows, r)
		}
	}
	if float64(len(rows)) > deltaShare*float64(len(after)) {
		return nil
	}
	narrowed, err := s.encodeBatches(ctx, structures, rows)
	if err != nil {
		return err
	}
	d.batches = narrowed
	d.release.Base, d.release.Scope = base, Condition{filter.And(d.release.Whole.Filter, scope)}
	d.release.Batches, d.release.SHA256 = len(narrowed.payloads), narrowed.sha256
	return nil
}

// renewAgain is how long a partner that asks for everything again waits for it, at least.
const renewAgain = time.Minute

// ReleaseAnew makes the next release under each of the agreements go as a whole, and at once: the partner says that it lacks the
// release that the last ones built upon. It is asked again while that is so; what went as a whole a moment ago goes only once.
func (s *Service) ReleaseAnew(ctx context.Context, partner StateCode, agreements []AgreementID) error {
	renewed := false
	for _, id := range agreements {
		err := s.Store.Write(ctx, func(tx Tx) error {
			last, err := lastRelease(ctx, tx, id)
			if err != nil || last == nil || last.Partner != partner || last.Base == "" && s.now().Sub(last.Created) < renewAgain {
				return err
			}
			renewed = true
			return tx.SaveContent(ctx, id, nil)
		})
		if err != nil {
			return err
		}
	}
	if !renewed {
		return nil
	}
	s.Log.WarnContext(ctx, "a partner lacks a release and gets everything again", "partner", partner, "agreements", agreements)
	if err := s.Store.SaveProgress(ctx, renewProgress, newID(s.now())); err != nil {
		return err
	}
	wake(s.toRelease)
	return nil
}

// renewProgress changes whenever something is to go as a whole again.
const renewProgress = "renewals"

// Incomplete returns the agreements with the partner whose newest release could not be stored because the one that it builds
// upon was not.
func (s *Service) Incomplete(ctx context.Context, partner StateCode) ([]AgreementID, error) {
	return s.Store.Incomplete(ctx, partner, baseMissing)
}

// baseMissing is how the reason begins why a delta is refused.
const baseMissing = "BASE_MISSING"

// lastRelease returns the newest release under an agreement; nil where there is none.
func lastRelease(ctx context.Context, reader Reader, id AgreementID) (*Release, error) {
	document, err := reader.LastRelease(ctx, id)
	if err != nil || document == nil {
		return nil, err
	}
	last := &Release{}
	if err := json.Unmarshal(document, last); err != nil {
		return nil, fmt.Errorf("reading the last release: %w", err)
	}
	return last, nil
}
