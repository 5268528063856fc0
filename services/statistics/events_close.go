package statistics

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"time"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/services/fault"
)

// EventClosing is a closing of a part's counters while it runs.
type EventClosing interface {
	// Number returns that of the closing: one more than that of the last one that ended.
	Number() int64
	// Open gives the counters that changed since they were closed, in no order. It ends with the first error.
	Open(ctx context.Context) iter.Seq2[EventCell, error]
	// Close notes that the submission holds the cells as they were given. Those that have changed meanwhile stay open.
	Close(ctx context.Context, cells []EventCell, submission *Submission) error
}

// EventsClosed says what a closing wrote.
type EventsClosed struct {
	Cells      int
	Revision   int64  // 0 where nothing changed
	Submission string // the id; "" where there was nothing to write
}

// maxClosedCells is how many cells one revision writes: it is worked out in memory.
const maxClosedCells = 250_000

// CloseEvents turns what was counted since the last time into a revision: each cell is written as it is counted in all,
// also one that was taken back to 0. before is a date, such as "2023-02-01", and then only periods that end before it are
// written; "" is all. More than 250,000 cells make several revisions. Where it ends too early nothing is lost: what is not
// noted as closed is written again, which changes nothing.
func (s *Service) CloseEvents(ctx context.Context, dataflow Ref, before, submitter string) (EventsClosed, error) {
	var end time.Time
	if before != "" {
		var err error
		if end, err = time.Parse(time.DateOnly, before); err != nil {
			return EventsClosed{}, fault.InvalidField("before", "is no date such as 2023-02-01")
		}
	}
	catalogue, err := s.Catalogue(ctx)
	if err != nil {
		return EventsClosed{}, err
	}
	flow, err := catalogue.Flow(dataflow)
	if err != nil {
		return EventsClosed{}, err
	}
	var closed EventsClosed
	for more := true; more; {
		err := s.store.CloseEvents(ctx, Part{Dataflow: flow.Ref, Provider: s.state}, func(ctx context.Context, c EventClosing) error {
			cells, err := openCells(ctx, c, end)
			if err != nil || len(cells) == 0 {
				more = false
				return err
			}
			more = len(cells) == maxClosedCells
			submission, err := s.submitCells(ctx, flow, c.Number(), cells, submitter)
			if err != nil {
				return err
			}
			closed.Submission = submission.ID
			if submission.State != Accepted {
				more = false
				return c.Close(ctx, nil, submission)
			}
			closed.Cells += len(cells)
			closed.Revision = max(closed.Revision, submission.Revision)
			return c.Close(ctx, cells, submission)
		})
		if err != nil {
			return EventsClosed{}, err
		}
	}
	if closed.Submission != "" && closed.Cells == 0 {
		return EventsClosed{}, fault.New(fault.Precondition, "WRONG_STATE",
			"what was counted breaks a rule and is not written: submissions/%s says which", closed.Submission).
			With("submission", "submissions/"+closed.Submission)
	}
	return closed, nil
}

// openCells returns at most maxClosedCells of the cells to close.
func openCells(ctx context.Context, c EventClosing, end time.Time) ([]EventCell, error) {
	var cells []EventCell
	for cell, err := range c.Open(ctx) {
		if err != nil {
			return nil, err
		}
		if !end.IsZero() && !cell.period().End().Before(end) {
			continue
		}
		if cells = append(cells, cell); len(cells) == maxClosedCells {
			break
		}
	}
	slices.SortFunc(cells, compareEventCells)
	return cells, nil
}

// submitCells submits cells as they are counted. The idempotency key has the number of the closing, since the same cells
// may come again after others, and a digest, since others may come where the closing was broken off.
func (s *Service) submitCells(ctx context.Context, flow *Flow, number int64, cells []EventCell, submitter string) (*Submission, error) {
	digest := sha256.New()
	for _, cell := range cells {
		_, _ = fmt.Fprintf(digest, "%d:%s", len(cell.Key), cell.Key) // a hash never fails
		_ = binary.Write(digest, binary.BigEndian, []int64{int64(cell.Period), cell.Count})
	}
	header := Header{
		Dataflow: flow.Ref, IdempotencyKey: fmt.Sprintf("events/%d/%x", number, digest.Sum(nil)[:16]), Submitter: submitter,
	}
	submission, err := s.Submit(ctx, header, Content{Blocks: eventBlocks(flow, cells)})
	if err != nil {
		return nil, fmt.Errorf("submitting what was counted: %w", err)
	}
	return submission, nil
}

// eventBlocks gives cells as blocks of figures.
func eventBlocks(flow *Flow, cells []EventCell) iter.Seq2[*block.Block, error] {
	return func(yield func(*block.Block, error) bool) {
		builder := block.NewBuilder(append(flow.Structure.DimensionIDs(), block.TimePeriod), []string{block.ObsValue})
		for i := range cells {
			cell := &cells[i]
			builder.Append(append(cell.Codes(), cell.period().String()), []float64{float64(cell.Count)})
			if builder.Rows() == blockRows || i == len(cells)-1 {
				if !yield(builder.Block(), nil) {
					return
				}
				builder.Reset()
			}
		}
	}
}

// CloseEventsEvery closes the events of every dataflow each time the span has gone by, until ctx ends. What fails is
// logged and tried again the next time.
func (s *Service) CloseEventsEvery(ctx context.Context, span time.Duration, log *slog.Logger) error {
	return repeat(ctx, span, func() {
		if err := s.closeAll(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, ErrReadOnly) {
			log.ErrorContext(ctx, "closing events", "error", err)
		}
	})
}

func (s *Service) closeAll(ctx context.Context) error {
	parts, err := s.store.OpenEvents(ctx)
	if err != nil {
		return err
	}
	var failed []error
	for _, part := range parts {
		if _, err := s.CloseEvents(ctx, part.Dataflow, "", s.state+"/statistics"); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", part.Dataflow, err))
		}
	}
	return errors.Join(failed...)
}
