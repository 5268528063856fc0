package statistics

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/services/fault"
)

// Ids of the columns that only blocks of events have.
const (
	RecordKeyColumn = "_RECORD_KEY" // a number from 0 to 2³²−1 that belongs to the record
	SignColumn      = "_SIGN"       // 1, or −1 for a record that is taken back
)

// EventHeader says what a batch of events is. An event is one record of something at the border, such as an entry; it
// says nothing of who it was. Events are counted and not kept.
type EventHeader struct {
	Dataflow  Ref
	Batch     string            // chosen by the caller; a batch of the same id with the same records counts once
	Retracts  string            // the id of a batch that this one takes back whole; "": none
	Frequency string            // the FREQ of all records, where they have no column of it
	Constants map[string]string // dimensions with the same code in every record
}

// EventReceipt says what became of a batch.
type EventReceipt struct {
	Batch     string
	Records   int
	Cells     int  // that the records count to
	Duplicate bool // the batch was counted before, and was not counted again
}

// EventBatch is what stays of a batch: not one of its records.
type EventBatch struct {
	Part        Part
	ID          string
	Digest      [32]byte // of its records in any order
	Records     int
	Cells       int
	Retracts    string // the batch that it takes back; "": none
	RetractedBy string // the batch that took it back; "": none
	Time        time.Time
}

// EventCell is a counter, or what is added to one.
type EventCell struct {
	Key       string // the codes in key order, see [EventKey]
	Period    int32
	Count     int64  // of records; where it is added, it may be negative
	RecordKey uint32 // the sum of the record keys modulo 2³²: the cell key of the cell key method
}

// eventKeySeparator stands between the codes of a key. No code has it: it is no text.
const eventKeySeparator = "\x1f"

// EventKey returns the codes in key order as the key of a counter.
func EventKey(codes []string) string { return strings.Join(codes, eventKeySeparator) }

// Codes returns the codes in key order.
func (c *EventCell) Codes() []string { return strings.Split(c.Key, eventKeySeparator) }

// period returns the period of the cell.
func (c *EventCell) period() Period { return Frequency(c.Key[0]).Period(c.Period) }

// EventStore keeps the counters of events.
type EventStore interface {
	// EventSecret returns the 32 bytes that record keys and digests of batches are made with. They are made at the first
	// use, and never change.
	EventSecret(ctx context.Context) ([]byte, error)
	// OpenEvents returns the parts with counters that changed since they were closed.
	OpenEvents(ctx context.Context) ([]Part, error)
	// EventCell returns a counter as it was when it was closed last; NotFound where it never was.
	EventCell(ctx context.Context, part Part, key string, period int32) (EventCell, error)
	// ClosedEvents calls each with the counters at the places of the cells as they were when they were closed last, in no
	// order, but for those that never were. It returns the revision of the last closing; 0 where there was none.
	ClosedEvents(ctx context.Context, part Part, cells iter.Seq[EventCell], each func(EventCell)) (revision int64, err error)
	// HoldCellSecret keeps the digest of the secret of cells where none is kept, and reports whether it is the one that is.
	HoldCellSecret(ctx context.Context, digest [32]byte) (same bool, err error)
	// AwaitClosing returns when all closings have ended that had begun before.
	AwaitClosing(ctx context.Context) error
	// CloseEvents runs do while no other closing runs. What it did is kept where do returns nil.
	CloseEvents(ctx context.Context, part Part, do func(ctx context.Context, c EventClosing) error) error
}

// EventTransaction counts events, in a transaction with what else must hold then.
type EventTransaction interface {
	// PutEventBatch stores a batch, but where the part has one of its id: that one it returns, and stores nothing.
	PutEventBatch(ctx context.Context, b *EventBatch) (before *EventBatch, err error)
	// HoldEventBatch returns a batch and keeps others from changing it; NotFound where there is none.
	HoldEventBatch(ctx context.Context, part Part, id string) (EventBatch, error)
	// RetractEventBatch notes that a batch was taken back by another.
	RetractEventBatch(ctx context.Context, part Part, id, by string) error
	// AddEvents adds to the counters. The cells stand once each, in the order of keys and periods. It returns some of those
	// that cannot be: that count less than no record, or no record but a record key.
	AddEvents(ctx context.Context, part Part, cells []EventCell) (impossible []EventCell, err error)
}

const (
	maxBatchID         = 128       // characters
	maxEventCells      = 500_000   // of a batch, which are held in memory until they are counted
	maxEventKeys       = 128 << 20 // bytes of their keys
	maxEventViolations = 20        // that a caller is told of
)

// RecordEvents counts a batch of events, all or none, and exactly once for its id. Each block is counted as it comes and
// dropped. What is wrong with the records is a fault of kind Invalid that names records and columns, and never what stands
// in them. A batch that would leave a cell with less than no records is a fault of kind Precondition.
func (s *Service) RecordEvents(ctx context.Context, header EventHeader, blocks iter.Seq2[*block.Block, error]) (EventReceipt, error) {
	if err := s.writable(ctx); err != nil {
		return EventReceipt{}, err
	}
	if err := checkBatchIDs(&header); err != nil {
		return EventReceipt{}, err
	}
	catalogue, err := s.Catalogue(ctx)
	if err != nil {
		return EventReceipt{}, err
	}
	flow, err := catalogue.Flow(header.Dataflow)
	if err != nil {
		return EventReceipt{}, err
	}
	counter, err := s.newEventCounter(ctx, flow, &header)
	if err != nil {
		return EventReceipt{}, err
	}
	for b, err := range blocks {
		if err != nil {
			return EventReceipt{}, fmt.Errorf("reading the events: %w", err)
		}
		if err := counter.add(b); err != nil {
			return EventReceipt{}, err
		}
	}
	if counter.records == 0 {
		return EventReceipt{}, fault.InvalidField("batch", "has no records")
	}
	cells := counter.cells(header.Retracts != "")
	batch := EventBatch{
		Part: Part{Dataflow: flow.Ref, Provider: s.state}, ID: header.Batch, Digest: counter.digest.sum(),
		Records: counter.records, Cells: len(counter.sums), Retracts: header.Retracts,
		Time: s.now().UTC().Truncate(time.Microsecond),
	}
	receipt := EventReceipt{Batch: batch.ID, Records: batch.Records, Cells: batch.Cells}
	err = s.steadily(ctx, catalogue, flow, func(catalogue *Catalogue, _ *Flow) error {
		return s.store.Update(ctx, func(ctx context.Context, tx Transaction) error {
			receipt.Duplicate = false
			if err := hold(ctx, tx, catalogue, false); err != nil {
				return err
			}
			before, err := tx.PutEventBatch(ctx, &batch)
			if err != nil {
				return err
			}
			if before != nil {
				receipt.Duplicate = true
				return sameBatch(before, &batch)
			}
			if err := retract(ctx, tx, &batch); err != nil {
				return err
			}
			impossible, err := tx.AddEvents(ctx, batch.Part, cells)
			if err != nil {
				return err
			}
			return notBelowZero(impossible)
		})
	})
	if err != nil {
		return EventReceipt{}, err
	}
	return receipt, nil
}

func checkBatchIDs(header *EventHeader) error {
	for _, id := range []struct{ field, text string }{{"batch", header.Batch}, {"retracts", header.Retracts}} {
		if n := utf8.RuneCountInString(id.text); n > maxBatchID || !isText(id.text) {
			return fault.InvalidField(id.field, "must be text of at most %d characters", maxBatchID)
		}
	}
	if header.Batch == "" {
		return fault.InvalidField("batch", "is missing: an id is what makes a batch count once")
	}
	if header.Batch == header.Retracts {
		return fault.InvalidField("retracts", "a batch cannot take itself back")
	}
	return nil
}

// sameBatch wants the batch that was counted under an id to be the one that came now.
func sameBatch(before, now *EventBatch) error {
	if before.Digest != now.Digest || before.Records != now.Records || before.Retracts != now.Retracts {
		return fault.New(fault.Exists, "IDEMPOTENCY_CONFLICT", "the batch id %q was used for other records", now.ID).With("batch", now.ID)
	}
	return nil
}

// retract notes what a batch takes back, if anything.
func retract(ctx context.Context, tx Transaction, by *EventBatch) error {
	if by.Retracts == "" {
		return nil
	}
	batch, err := tx.HoldEventBatch(ctx, by.Part, by.Retracts)
	switch {
	case err != nil:
		return err
	case batch.Retracts != "":
		return fault.New(fault.Precondition, "WRONG_STATE", "the batch %q takes another one back; record its events again instead", batch.ID).With("batch", batch.ID)
	case batch.RetractedBy != "":
		return fault.New(fault.Precondition, "WRONG_STATE", "the batch %q was taken back already, by %q", batch.ID, batch.RetractedBy).With("batch", batch.ID)
	case batch.Digest != by.Digest || batch.Records != by.Records:
		return fault.New(fault.Precondition, "WRONG_STATE", "the records are not those of the batch %q", batch.ID).With("batch", batch.ID)
	}
	return tx.RetractEventBatch(ctx, by.Part, batch.ID, by.ID)
}

// notBelowZero names the cells that cannot be.
func notBelowZero(impossible []EventCell) error {
	if len(impossible) == 0 {
		return nil
	}
	refusal := fault.New(fault.Precondition, "WRONG_STATE", "the batch takes back records that were never counted")
	for _, cell := range impossible {
		what := fmt.Sprintf("would count %d records", cell.Count)
		if cell.Count == 0 {
			what = "would count no record, but not all record keys are those that were counted"
		}
		name := fmt.Sprintf("%s %s", strings.Join(cell.Codes(), "."), cell.period())
		refusal.Violations = append(refusal.Violations, fault.Violation{Field: name, Description: what})
	}
	first := refusal.Violations[0]
	refusal.Message += fmt.Sprintf(": %s %s", first.Field, first.Description)
	return refusal
}

// ClosedCell returns the counter of a cell as it was closed last: how many records it counts, and the sum of their keys,
// which is the cell key of the cell key method (Fraser and Wooton, 2005). codes are in key order.
func (s *Service) ClosedCell(ctx context.Context, dataflow Ref, codes []string, at Period) (EventCell, error) {
	catalogue, err := s.Catalogue(ctx)
	if err != nil {
		return EventCell{}, err
	}
	flow, err := catalogue.Flow(dataflow)
	if err != nil {
		return EventCell{}, err
	}
	return s.store.EventCell(ctx, Part{Dataflow: flow.Ref, Provider: s.state}, EventKey(codes), at.Index)
}

// newEventCounter returns a counter of records of the dataflow.
func (s *Service) newEventCounter(ctx context.Context, flow *Flow, header *EventHeader) (*eventCounter, error) {
	secret, err := s.store.EventSecret(ctx)
	if err != nil {
		return nil, err
	}
	var known *Dictionary
	if slices.Contains(flow.Dimensions, nil) {
		err := s.store.View(ctx, Moment{}, func(ctx context.Context, view Snapshot) (err error) {
			known, err = view.Dictionary(ctx, flow)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return countEvents(flow, header, known, secret, s.now())
}
