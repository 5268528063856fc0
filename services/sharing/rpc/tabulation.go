package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/comity-federation/comity/proto/block"
	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/proto/wire"
	"github.com/comity-federation/comity/services/disclosure/cellkey"
	internalrpc "github.com/comity-federation/comity/services/internal/rpc"
	"github.com/comity-federation/comity/services/sharing"
)

// noiseNote goes with every table.
const noiseNote = "Each figure has random noise of its own, so that nobody can be told by it: figures do not add up to their totals, " +
	"and a total is nearer to the truth than the sum of its parts. A cell has the same noise in every table."

// Tabulate answers a table of counts with noise.
func (s *Server) Tabulate(ctx context.Context, r *sharingpb.TabulateRequest) (*sharingpb.TabulateResponse, error) {
	request := sharing.TableRequest{
		Dataflow: r.GetDataflow(), Indicator: r.GetIndicator(), Frequency: r.GetFrequency(),
		Start: r.GetStartPeriod(), End: r.GetEndPeriod(), Rounding: int64(r.GetRounding().GetBase()),
		Dimensions: each(r.GetDimensions(), func(d *sharingpb.TableDimension) sharing.Selection {
			return sharing.Selection{Dimension: d.GetId(), Level: d.GetLevel(), Codes: d.GetCodes()}
		}),
	}
	if person := internalrpc.CallerFrom(ctx).Person; person != nil {
		request.Caller, request.Roles = person.Subject, person.Roles
	}
	table, err := s.service.Tabulate(ctx, request)
	if err != nil {
		return nil, err
	}
	return noisyTable(table)
}

func noisyTable(t sharing.NoisyTable) (*sharingpb.TabulateResponse, error) {
	perturbation, err := perturbationToProto(t.Perturbation)
	if err != nil {
		return nil, err
	}
	response := &sharingpb.TabulateResponse{
		Dataflow: t.Dataflow, Dimensions: t.Dimensions, Asked: count(t.Asked), Perturbation: perturbation, Note: noiseNote,
		Budget: &sharingpb.TableBudget{Cells: count(t.Budget.Cells), Left: count(t.Left), Hours: t.Budget.Hours},
		Cells: each(t.Cells, func(c sharing.NoisyCell) *sharingpb.TableCell {
			return &sharingpb.TableCell{Key: c.Key, Period: c.Period, Count: float64(c.Count)}
		}),
	}
	if t.Rounding != 0 {
		response.Rounding = &sharingpb.TableRounding{Base: int32(t.Rounding)} //nolint:gosec // 3 or 5
	}
	return response, nil
}

func perturbationToProto(p cellkey.Parameters) (*sharingpb.Perturbation, error) {
	made := &sharingpb.Perturbation{
		Maximum: count(p.Maximum), Variance: p.Variance, SmallestReleased: count(p.SmallestReleased), Monotone: structpb.NewBoolValue(true),
	}
	var err error
	if len(p.Stay) > 0 {
		if made.StayProbability, err = listToProto(p.Stay); err != nil {
			return nil, err
		}
	}
	if len(p.Monotone) > 0 {
		if made.Monotone, err = listToProto(p.Monotone); err != nil {
			return nil, err
		}
	}
	return made, nil
}

// listToProto returns the values as the request of Perturb takes them: one alone, or a list.
func listToProto[T any](values []T) (*structpb.Value, error) {
	list := make([]any, len(values))
	for i, value := range values {
		list[i] = value
	}
	if len(list) == 1 {
		return structpb.NewValue(list[0])
	}
	return structpb.NewValue(list)
}

var _ sharing.CellCounter = (*Statistics)(nil)

// CountCells calls each with the cells.
func (s *Statistics) CountCells(ctx context.Context, query sharing.CellQuery, each func(sharing.KeyedCell) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	request := &statisticspb.CountCellsRequest{Dataflow: query.Dataflow, StartPeriod: query.Start, EndPeriod: query.End}
	for _, selection := range query.Dimensions {
		request.Dimensions = append(request.Dimensions, &statisticspb.CodeSet{Dimension: selection.Dimension, Codes: selection.Codes})
	}
	stream, err := s.client.CountCells(ctx, request)
	if err != nil {
		return fmt.Errorf("asking for counts: %w", err)
	}
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("asking for counts: %w", err)
		}
		if part.GetBlock() == nil {
			continue
		}
		rows, err := wire.BlockFromProto(part.GetBlock())
		if err != nil {
			return fmt.Errorf("reading counts: %w", err)
		}
		if err := keyedCells(rows, part.GetKeys(), query, each); err != nil {
			return err
		}
	}
}

// keyedCells calls each with the cells of a block.
func keyedCells(b *block.Block, keys []uint64, query sharing.CellQuery, each func(sharing.KeyedCell) error) error {
	if b.Rows == 0 {
		return nil
	}
	columns := make([]*block.Column, len(query.Dimensions))
	for i, dimension := range query.Dimensions {
		if columns[i] = b.Column(dimension.Dimension); columns[i] == nil || columns[i].IsNumber() {
			return fmt.Errorf("reading counts: there is no column %s", dimension.Dimension)
		}
	}
	periods, counts := b.Column(block.TimePeriod), b.Column(block.ObsValue)
	if periods == nil || periods.IsNumber() || counts == nil || !counts.IsNumber() || len(keys) != b.Rows {
		return errors.New("reading counts: there are no periods, counts or keys")
	}
	for row := range b.Rows {
		cell := sharing.KeyedCell{
			Codes: make([]string, len(columns)), Period: periods.Text(row), Count: int64(counts.Numbers[row]), Key: cellkey.Key(keys[row]),
		}
		for i, column := range columns {
			cell.Codes[i] = column.Text(row)
		}
		if err := each(cell); err != nil {
			return err
		}
	}
	return nil
}
