package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"

	"github.com/comity-federation/comity/proto/block"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/proto/wire"
)

// A made-up state counts by area and kind, and shares the sums of its sections.
const (
	countsFlow = "NA:COUNTS(1.0.0)"
	sharedFlow = "NA:SHARED(1.0.0)"
	eventsFlow = "NA:EVENTS(1.0.0)"

	areas    = 60
	kinds    = 5
	months   = 30
	sections = 12 // five areas each
)

// cell is a place in the counts.
type cell struct{ area, kind, month int }

func compare(a, b cell) int {
	return slices.Compare([]int{a.month, a.area, a.kind}, []int{b.month, b.area, b.kind})
}

// sum is a place in what is shared.
type sum struct{ section, month int }

// figures is what should be stored.
type figures map[cell]float64

// derived returns what should be shared of the figures.
func (f figures) derived() map[sum]float64 {
	sums := map[sum]float64{}
	for c, value := range f {
		sums[sum{c.area % sections, c.month}] += value
	}
	return sums
}

// upload is a submission.
type upload struct {
	action statisticspb.SubmissionHeader_Action
	rows   figures
}

// after returns the figures with an upload.
func (f figures) after(u upload) figures {
	switch u.action {
	case statisticspb.SubmissionHeader_REPLACE:
		return maps.Clone(u.rows)
	case statisticspb.SubmissionHeader_DELETE:
		left := maps.Clone(f)
		for c := range u.rows {
			delete(left, c)
		}
		return left
	default:
		merged := maps.Clone(f)
		maps.Copy(merged, u.rows)
		return merged
	}
}

// randomUpload makes an upload to figures: mostly some runs of some series, at times all of them anew, or some taken away.
func randomUpload(random *rand.Rand, f figures) upload {
	u := upload{action: statisticspb.SubmissionHeader_MERGE, rows: figures{}}
	choice := random.IntN(10)
	if choice == 99 && len(f) > 0 {
		u.action = statisticspb.SubmissionHeader_DELETE
		share := 1 + random.IntN(9)
		for _, c := range slices.SortedFunc(maps.Keys(f), compare) {
			if random.IntN(10) < share {
				u.rows[c] = 0
			}
		}
		if len(u.rows) > 0 {
			return u
		}
	}
	series := 1 + random.IntN(areas*kinds)
	if choice == 98 {
		u.action = statisticspb.SubmissionHeader_REPLACE
	}
	for range series {
		area, kind, month := random.IntN(areas), random.IntN(kinds), random.IntN(months)
		for m := month; m < min(month+1+random.IntN(months), months); m++ {
			u.rows[cell{area, kind, m}] = float64(random.IntN(1000))
		}
	}
	return u
}

// blocks returns the rows in blocks of a few hundred, month by month.
func (u upload) blocks() []*block.Block {
	const size = 500
	var blocks []*block.Block
	builder := block.NewBuilder([]string{"FREQ", "AREA", "KIND", block.TimePeriod}, []string{block.ObsValue})
	for _, c := range slices.SortedFunc(maps.Keys(u.rows), compare) {
		builder.Append([]string{"M", "area " + strconv.Itoa(c.area), "kind " + strconv.Itoa(c.kind), monthName(c.month)}, []float64{u.rows[c]})
		if builder.Rows() == size {
			blocks = append(blocks, builder.Block())
			builder.Reset()
		}
	}
	return append(blocks, builder.Block())
}

func monthName(month int) string { return fmt.Sprintf("%d-%02d", 2020+month/12, month%12+1) }

// structures returns the dataflows of the made-up state, with the map that leads from one to the other.
func structures() *statisticspb.Structures {
	dataflow := func(id, structure string) *statisticspb.Dataflow {
		return &statisticspb.Dataflow{Agency: "NA", Id: id, Version: "1.0.0", Structure: "NA:" + structure + "(1.0.0)"}
	}
	areaMap := &statisticspb.RepresentationMap{Agency: "NA", Id: "AREAS", Version: "1.0.0"}
	for area := range areas {
		areaMap.Mappings = append(areaMap.Mappings, &statisticspb.Mapping{
			Sources: []string{"area " + strconv.Itoa(area)}, Targets: []string{"section " + strconv.Itoa(area%sections)},
		})
	}
	return &statisticspb.Structures{
		DataStructures: []*statisticspb.DataStructure{
			{Agency: "NA", Id: "COUNTS", Version: "1.0.0", Dimensions: []*statisticspb.Component{{Id: "FREQ"}, {Id: "AREA"}, {Id: "KIND"}}},
			{Agency: "NA", Id: "SHARED", Version: "1.0.0", Dimensions: []*statisticspb.Component{{Id: "FREQ"}, {Id: "SECTION"}}},
		},
		Dataflows:          []*statisticspb.Dataflow{dataflow("COUNTS", "COUNTS"), dataflow("SHARED", "SHARED"), dataflow("EVENTS", "COUNTS")},
		RepresentationMaps: []*statisticspb.RepresentationMap{areaMap},
		StructureMaps: []*statisticspb.StructureMap{{
			Agency: "NA", Id: "SHARE", Version: "1.0.0", Source: countsFlow, Target: sharedFlow,
			ComponentMaps: []*statisticspb.ComponentMap{{Sources: []string{"AREA"}, Targets: []string{"SECTION"}, RepresentationMap: "NA:AREAS(1.0.0)"}},
		}},
	}
}

// submit sends an upload under an idempotency key.
func (c *client) submit(ctx context.Context, u upload, key string) (*statisticspb.Submission, error) {
	stream, err := c.Submit(ctx)
	if err != nil {
		return nil, err
	}
	message := &statisticspb.SubmitRequest{Part: &statisticspb.SubmitRequest_Header{
		Header: &statisticspb.SubmissionHeader{Dataflow: countsFlow, IdempotencyKey: key, Action: u.action},
	}}
	err = stream.Send(message)
	for _, b := range u.blocks() {
		if err != nil {
			break // the answer says why
		}
		err = stream.Send(&statisticspb.SubmitRequest{Part: &statisticspb.SubmitRequest_Block{Block: wire.BlockToProto(b)}})
	}
	answer, err := stream.CloseAndRecv()
	return answer.GetSubmission(), err
}

// counts returns the figures of a dataflow with the structure of the counts; revision 0 is the newest.
func (c *client) counts(ctx context.Context, dataflow string, revision int64) (figures, error) {
	found := figures{}
	err := c.rows(ctx, dataflow, revision, func(b *block.Block, i int) error {
		at := cell{}
		var err error
		if _, err = fmt.Sscanf(b.Column("AREA").Text(i), "area %d", &at.area); err != nil {
			return err
		}
		if _, err = fmt.Sscanf(b.Column("KIND").Text(i), "kind %d", &at.kind); err != nil {
			return err
		}
		at.month, err = monthOf(b.Column(block.TimePeriod).Text(i))
		found[at] = b.Column(block.ObsValue).Numbers[i]
		return err
	})
	return found, err
}

// shared returns what is shared.
func (c *client) shared(ctx context.Context, revision int64) (map[sum]float64, error) {
	found := map[sum]float64{}
	err := c.rows(ctx, sharedFlow, revision, func(b *block.Block, i int) error {
		at := sum{}
		var err error
		if _, err = fmt.Sscanf(b.Column("SECTION").Text(i), "section %d", &at.section); err != nil {
			return err
		}
		at.month, err = monthOf(b.Column(block.TimePeriod).Text(i))
		found[at] = b.Column(block.ObsValue).Numbers[i]
		return err
	})
	return found, err
}

func monthOf(name string) (int, error) {
	var year, month int
	_, err := fmt.Sscanf(name, "%d-%d", &year, &month)
	return 12*(year-2020) + month - 1, err
}

// rows gives each row of a dataflow. A key and period that stands twice is an error of the answer's, and of no other place.
func (c *client) rows(ctx context.Context, dataflow string, revision int64, take func(*block.Block, int) error) error {
	stream, err := c.Query(ctx, &statisticspb.QueryRequest{Dataflow: dataflow, Providers: []string{"na"}, Revision: revision})
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for {
		answer, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		b, err := wire.BlockFromProto(answer.GetBlock())
		if err != nil {
			return err
		}
		for i := range b.Rows {
			id := b.Column(block.TimePeriod).Text(i)
			for _, dimension := range []string{"AREA", "KIND", "SECTION"} {
				if column := b.Column(dimension); column != nil {
					id += "|" + column.Text(i)
				}
			}
			if seen[id] {
				return fmt.Errorf("%s stands twice in the answer", id)
			}
			seen[id] = true
			if err := take(b, i); err != nil {
				return err
			}
		}
	}
}

// difference says how two tables differ, in a line; "": they do not.
func difference[K comparable](got, want map[K]float64) string {
	var lines []string
	for k, v := range want {
		if g, ok := got[k]; !ok || g != v {
			lines = append(lines, fmt.Sprintf("%v: stored %v (%t), want %v", k, g, ok, v))
		}
	}
	for k, v := range got {
		if _, ok := want[k]; !ok {
			lines = append(lines, fmt.Sprintf("%v: stored %v, want none", k, v))
		}
	}
	if len(lines) == 0 {
		return ""
	}
	slices.Sort(lines)
	return fmt.Sprintf("%d figures of %d differ, for example %s", len(lines), len(want), lines[0])
}
