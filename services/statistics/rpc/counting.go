package rpc

import (
	"google.golang.org/grpc"

	"github.com/comity-federation/comity/proto/block"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/proto/wire"
	"github.com/comity-federation/comity/services/statistics"
)

// countedRows is how many cells a part of an answer has.
const countedRows = 4096

// CountCells answers counts with cell keys.
func (s *Server) CountCells(request *statisticspb.CountCellsRequest, stream grpc.ServerStreamingServer[statisticspb.CountCellsResponse]) error {
	dataflow, err := statistics.ParseRef(request.GetDataflow())
	if err != nil {
		return err
	}
	q := statistics.CellQuery{
		Dataflow: dataflow, Start: request.GetStartPeriod(), End: request.GetEndPeriod(),
		Selections: convert(request.GetDimensions(), func(c *statisticspb.CodeSet) statistics.Selection {
			return statistics.Selection{Dimension: c.GetDimension(), Codes: c.GetCodes()}
		}),
	}
	structures, err := s.service.Structures(stream.Context(), dataflow)
	if err != nil {
		return err
	}
	components := append(structures.DataStructures[0].DimensionIDs(), block.TimePeriod)
	rows, keys := block.NewBuilder(components, []string{block.ObsValue}), []uint64{}
	send := func(revision int64) error {
		err := stream.Send(&statisticspb.CountCellsResponse{Block: wire.BlockToProto(rows.Block()), Keys: keys, Revision: revision})
		rows.Reset()
		keys = nil // what was sent may still be read
		return err
	}
	revision, err := s.service.CountCells(stream.Context(), q, func(cell statistics.CountedCell) error {
		rows.Append(append(cell.Codes, cell.Period.String()), []float64{float64(cell.Count)})
		if keys = append(keys, uint64(cell.Key)); len(keys) < countedRows {
			return nil
		}
		return send(0)
	})
	if err != nil {
		return err
	}
	return send(revision)
}
