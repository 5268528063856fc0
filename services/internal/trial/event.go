package trial

import (
	"context"
	"math/rand/v2"

	"github.com/comity-federation/comity/proto/block"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/proto/wire"
)

// Zeros returns an upload that has all cells, none of them counted. Its labels are those that events may have.
func Zeros() Upload {
	u := Upload{Action: statisticspb.SubmissionHeader_MERGE, Rows: Figures{}, Kind: -1}
	for area := range areas {
		for kind := range kinds {
			for month := range months {
				u.Rows[Cell{area, kind, month}] = 0
			}
		}
	}
	return u
}

// RandomEvents makes a batch: how many records it has of each cell, one to three.
func RandomEvents(random *rand.Rand) Figures {
	f := Figures{}
	for range 1 + random.IntN(300) {
		f[Cell{random.IntN(areas), random.IntN(kinds), random.IntN(months)}] = float64(1 + random.IntN(3))
	}
	return f
}

// Add counts a batch, sign 1, or takes it back, sign −1.
func (f Figures) Add(batch Figures, sign float64) {
	for c, n := range batch {
		f[c] += sign * n
	}
}

// Record sends a batch of events; retracts is the id of the batch with the same records that it takes back, or "".
func Record(
	ctx context.Context, client statisticspb.StatisticsServiceClient, id, retracts string, batch Figures,
) (*statisticspb.RecordEventsResponse, error) {
	stream, err := client.RecordEvents(ctx)
	if err != nil {
		return nil, err
	}
	builder := block.NewBuilder([]string{"FREQ", "AREA", "KIND", block.TimePeriod}, nil)
	for _, c := range batch.sorted() {
		for range int(batch[c]) {
			builder.Append([]string{"M", areaName(c.Area), kindName(c.Kind), monthName(c.Month)}, nil)
		}
	}
	header := &statisticspb.EventsHeader{Dataflow: Events, Batch: id, Retracts: retracts}
	err = stream.Send(&statisticspb.RecordEventsRequest{Part: &statisticspb.RecordEventsRequest_Header{Header: header}})
	if err == nil {
		// What is wrong with the stream, the answer says.
		_ = stream.Send(&statisticspb.RecordEventsRequest{Part: &statisticspb.RecordEventsRequest_Block{Block: wire.BlockToProto(builder.Block())}})
	}
	return stream.CloseAndRecv()
}
