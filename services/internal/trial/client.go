package trial

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/comity-federation/comity/proto/block"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/proto/wire"
)

// maxAnswer is how many rows of an answer are looked at: more than there can be is a fault by itself.
const maxAnswer = 10 * areas * kinds * months

// Submit sends an upload to a dataflow under an idempotency key.
func Submit(ctx context.Context, client statisticspb.StatisticsServiceClient, dataflow string, u Upload, key string) (*statisticspb.Submission, error) {
	stream, err := client.Submit(ctx)
	if err != nil {
		return nil, err
	}
	header := &statisticspb.SubmissionHeader{Dataflow: dataflow, IdempotencyKey: key, Action: u.Action}
	if scope := u.Scope(); !scope.IsTrue() {
		header.Scope = wire.FilterToProto(scope)
	}
	err = stream.Send(&statisticspb.SubmitRequest{Part: &statisticspb.SubmitRequest_Header{Header: header}})
	for _, b := range u.Blocks() {
		if err != nil {
			break // the answer says why
		}
		err = stream.Send(&statisticspb.SubmitRequest{Part: &statisticspb.SubmitRequest_Block{Block: wire.BlockToProto(b)}})
	}
	answer, err := stream.CloseAndRecv()
	return answer.GetSubmission(), err
}

// Fate says what is wrong with what became of an upload: nil where it was stored, or was to be refused and was.
func (u Upload) Fate(s *statisticspb.Submission) error {
	want := statisticspb.Submission_ACCEPTED
	if u.Refused {
		want = statisticspb.Submission_REJECTED
	}
	if s.GetState() != want {
		return fmt.Errorf("it is %v and should be %v: %v", s.GetState(), want, s.GetFindings())
	}
	return nil
}

// Read returns the figures of a dataflow of counts or events of a provider; revision 0 is the newest.
func Read(ctx context.Context, client statisticspb.StatisticsServiceClient, provider, dataflow string, revision int64) (Figures, error) {
	return read(ctx, client, provider, dataflow, revision, func(b *block.Block, i int) (at Cell, err error) {
		if at.Area, err = number(b.Column("AREA").Text(i), areaPrefix); err != nil {
			return at, err
		}
		if at.Kind, err = number(b.Column("KIND").Text(i), kindPrefix); err != nil {
			return at, err
		}
		at.Month, err = month(b.Column(block.TimePeriod).Text(i))
		return at, err
	})
}

// ReadShared returns the figures of a dataflow that is shared.
func ReadShared(ctx context.Context, client statisticspb.StatisticsServiceClient, provider, dataflow string, revision int64) (map[Sum]float64, error) {
	return read(ctx, client, provider, dataflow, revision, func(b *block.Block, i int) (at Sum, err error) {
		if at.Section, err = number(b.Column("SECTION").Text(i), sectionPrefix); err != nil {
			return at, err
		}
		at.Month, err = month(b.Column(block.TimePeriod).Text(i))
		return at, err
	})
}

// read asks for all of a dataflow. A place that stands twice is an error.
func read[K comparable](
	ctx context.Context, client statisticspb.StatisticsServiceClient, provider, dataflow string, revision int64,
	place func(*block.Block, int) (K, error),
) (map[K]float64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := client.Query(ctx, &statisticspb.QueryRequest{Dataflow: dataflow, Providers: []string{provider}, Revision: revision})
	if err != nil {
		return nil, err
	}
	found := map[K]float64{}
	for {
		answer, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return nil, err
		}
		b, err := wire.BlockFromProto(answer.GetBlock())
		if err != nil {
			return nil, err
		}
		for i := range b.Rows {
			at, err := place(b, i)
			if err != nil {
				return nil, err
			}
			if _, twice := found[at]; twice || len(found) == maxAnswer {
				return nil, fmt.Errorf("%v stands twice in the answer, or there is no end to it", at)
			}
			found[at] = b.Column(block.ObsValue).Numbers[i]
		}
	}
}

// Prepare makes the structures, with n dataflows of counts and without rules that made-up figures could break, and the labels of
// events.
func Prepare(ctx context.Context, client statisticspb.StatisticsServiceClient, n int) error {
	if _, err := client.CreateStructures(ctx, &statisticspb.CreateStructuresRequest{Structures: Structures(n)}); err != nil {
		return fmt.Errorf("making the structures: %w", err)
	}
	dataflows := []string{Events}
	for i := range n {
		dataflows = append(dataflows, Counts(i), Shared(i))
	}
	for _, dataflow := range dataflows {
		rules := &statisticspb.QualityRules{Dataflow: dataflow}
		if _, err := client.SetQualityRules(ctx, &statisticspb.SetQualityRulesRequest{QualityRules: rules}); err != nil {
			return fmt.Errorf("removing the rules of %s: %w", dataflow, err)
		}
	}
	u := Zeros()
	submission, err := Submit(ctx, client, Events, u, "labels")
	if err == nil {
		err = u.Fate(submission)
	}
	if err != nil {
		return fmt.Errorf("making the labels of events: %w", err)
	}
	return nil
}
