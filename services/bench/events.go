package bench

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/proto/block"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/proto/wire"
)

// records is how many events a batch has.
const records = 2 * million

// kinds is how many cells they count to.
const kinds = 3000

// events measures how fast events are counted, as Blocks and as NDJSON, against inserting the same as rows.
func (b *bench) events(ctx context.Context) error {
	batch := b.scaled(records)
	columns := dimensions()
	blocks := b.eventBlocks(batch, columns)
	messages := make([]*statisticspb.RecordEventsRequest, len(blocks))
	for i, each := range blocks {
		messages[i] = &statisticspb.RecordEventsRequest{Part: &statisticspb.RecordEventsRequest_Block{Block: wire.BlockToProto(each)}}
	}
	b.node.forgetPeaks()
	computed := 0.0
	took, err := b.median(func(round int) (time.Duration, error) {
		before, err := b.node.cpu()
		if err != nil {
			return 0, err
		}
		begin := time.Now()
		if err := b.node.record(ctx, fmt.Sprintf("blocks-%d", round), messages, batch); err != nil {
			return 0, err
		}
		spent := time.Since(begin)
		after, err := b.node.cpu()
		computed += after - before
		return spent, err
	})
	if err != nil {
		return err
	}
	each := float64(batch*b.Rounds) / max(computed, 0.01)
	b.table.add(Row{
		What:   fmt.Sprintf("events as Blocks, a core (%.0f/s in all)", perSecond(batch, took)),
		Figure: fmt.Sprintf("%.0f/s", each), Limit: "≥ 1000000/s", Ratio: fmt.Sprintf("%.2f", each/million), Kept: each >= million,
		Memory: b.node.peak(),
	})
	inserted, err := b.insertEvents(ctx, columns, blocks, batch)
	if err != nil {
		return err
	}
	ratio := inserted.Seconds() / took.Seconds()
	b.table.add(Row{
		What: "events as Blocks, against inserting them as rows", Figure: fmt.Sprintf("%.0f/s", perSecond(batch, took)),
		Limit: fmt.Sprintf("≥ 5 × %.0f/s", perSecond(batch, inserted)), Ratio: fmt.Sprintf("%.2f", ratio), Kept: ratio >= 5,
	})
	return b.linesOfEvents(ctx, blocks[:max(len(blocks)/4, 1)])
}

// eventBlocks returns records of one month, of kinds some of which are a hundred times as frequent as others.
func (b *bench) eventBlocks(n int, columns []string) []*block.Block {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same events in every run
	builder := block.NewBuilder(append(append([]string{}, columns...), block.TimePeriod), nil)
	var blocks []*block.Block
	texts := make([]string, len(columns)+1)
	for i := range n {
		kind := min(int(random.ExpFloat64()*kinds/5), kinds-1)
		copy(texts, b.key(kind*97%b.series()))
		texts[len(columns)] = period(0)
		builder.Append(texts, nil)
		if builder.Rows() == block.MaxRows || i == n-1 {
			blocks = append(blocks, builder.Block())
			builder.Reset()
		}
	}
	return blocks
}

// record sends a batch over gRPC.
func (n *node) record(ctx context.Context, id string, messages []*statisticspb.RecordEventsRequest, batch int) error {
	stream, err := n.statistics.RecordEvents(as(ctx, n.token))
	if err != nil {
		return err
	}
	header := &statisticspb.RecordEventsRequest{Part: &statisticspb.RecordEventsRequest_Header{
		Header: &statisticspb.EventsHeader{Dataflow: counted, Batch: id},
	}}
	if err := stream.Send(header); err == nil {
		for _, message := range messages {
			if err := stream.Send(message); err != nil {
				break // the answer says why
			}
		}
	}
	answer, err := stream.CloseAndRecv()
	if err == nil && int(answer.GetRecords()) != batch {
		err = fmt.Errorf("%d records of %d were counted", answer.GetRecords(), batch)
	}
	return err
}

// insertEvents puts the records into a table that has an index on its codes, with COPY in its binary form: nothing inserts faster.
func (b *bench) insertEvents(ctx context.Context, columns []string, blocks []*block.Block, batch int) (time.Duration, error) {
	return b.median(func(round int) (time.Duration, error) {
		table := fmt.Sprintf("events%d", round)
		_, err := b.node.plain.Exec(ctx, `
			CREATE TABLE `+table+` (
				id int8 GENERATED ALWAYS AS IDENTITY,
				`+strings.Join(columns, " text, ")+` text, time_period text
			);
			CREATE INDEX ON `+table+` (section, citizenship)`)
		if err != nil {
			return 0, err
		}
		at, i := 0, -1
		row := make([]any, len(columns)+1)
		source := pgx.CopyFromFunc(func() ([]any, error) {
			if i++; i == blocks[at].Rows {
				at, i = at+1, 0
			}
			if at == len(blocks) {
				return nil, nil
			}
			for c := range row {
				row[c] = blocks[at].Columns[c].Text(i)
			}
			return row, nil
		})
		names := append(lower(columns), "time_period")
		begin := time.Now()
		n, err := b.node.plain.CopyFrom(ctx, pgx.Identifier{table}, names, source)
		took := time.Since(begin)
		if err == nil && int(n) != batch {
			err = fmt.Errorf("%d rows of %d were inserted", n, batch)
		}
		if err != nil {
			return 0, err
		}
		return took, b.node.drop(ctx, table)
	})
}

func lower(names []string) []string {
	lowered := make([]string, len(names))
	for i, name := range names {
		lowered[i] = strings.ToLower(name)
	}
	return lowered
}

// linesOfEvents measures the same as NDJSON through REST.
func (b *bench) linesOfEvents(ctx context.Context, blocks []*block.Block) error {
	text, n := &bytes.Buffer{}, 0
	for _, each := range blocks {
		for i := range each.Rows {
			for c := range each.Columns {
				separator := ","
				if c == 0 {
					separator = "{"
				}
				fmt.Fprintf(text, "%s%q:%q", separator, each.Columns[c].Component, each.Columns[c].Text(i))
			}
			text.WriteString("}\n")
			n++
		}
	}
	b.node.forgetPeaks()
	took, err := b.median(func(round int) (time.Duration, error) {
		answer := &statisticspb.RecordEventsResponse{}
		begin := time.Now()
		err := b.node.post(ctx, fmt.Sprintf("/v1/events:record?dataflow=%s&batch=lines-%d", counted, round), "application/x-ndjson", text.Bytes(), answer)
		if err == nil && int(answer.GetRecords()) != n {
			err = fmt.Errorf("%d records of %d were counted", answer.GetRecords(), n)
		}
		return time.Since(begin), err
	})
	if err != nil {
		return fmt.Errorf("as NDJSON: %w", err)
	}
	b.table.add(Row{What: "events as NDJSON through REST", Figure: fmt.Sprintf("%.0f/s", perSecond(n, took)), Kept: true, Memory: b.node.peak()})
	return nil
}
