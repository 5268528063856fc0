package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"

	"google.golang.org/grpc"

	"github.com/comity-federation/comity/proto/block"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/proto/wire"
	"github.com/comity-federation/comity/services/sharing"
)

// Statistics is the [sharing.Statistics] of this state's statistics service.
type Statistics struct {
	client statisticspb.StatisticsServiceClient
}

var _ sharing.Statistics = (*Statistics)(nil)

// NewStatistics returns the statistics behind a connection that turns the faults of their answers into faults again.
func NewStatistics(connection grpc.ClientConnInterface) *Statistics {
	return &Statistics{client: statisticspb.NewStatisticsServiceClient(connection)}
}

// Structures returns the structure of a dataflow.
func (s *Statistics) Structures(ctx context.Context, dataflow string) (*sharing.Structures, error) {
	answer, err := s.client.GetStructures(ctx, &statisticspb.GetStructuresRequest{Dataflow: dataflow})
	if err != nil {
		return nil, fmt.Errorf("asking for the structure of %s: %w", dataflow, err)
	}
	structures, err := structuresFromProto(answer.GetStructures())
	if err == nil {
		structures.Mirror = mirrorFromProto(answer.GetMirror())
	}
	return structures, err
}

// Derivations returns what the structure maps make of what.
func (s *Statistics) Derivations(ctx context.Context) ([]sharing.Derivation, error) {
	answer, err := s.client.ListStructures(ctx, &statisticspb.ListStructuresRequest{Kinds: []statisticspb.Artefact_Kind{statisticspb.Artefact_STRUCTURE_MAP}})
	if err != nil {
		return nil, fmt.Errorf("asking for the structure maps: %w", err)
	}
	var derivations []sharing.Derivation
	for _, m := range answer.GetStructures().GetStructureMaps() {
		derivations = append(derivations, sharing.Derivation{Source: m.GetSource(), Target: m.GetTarget()})
	}
	return derivations, nil
}

// Constraints returns the constraints that figures of a provider have to fit.
func (s *Statistics) Constraints(ctx context.Context, dataflow string, provider sharing.StateCode) ([]sharing.Constraint, error) {
	answer, err := s.client.GetStructures(ctx, &statisticspb.GetStructuresRequest{Dataflow: dataflow})
	if err != nil {
		return nil, fmt.Errorf("asking for the constraints of %s: %w", dataflow, err)
	}
	structures, err := structuresFromProto(answer.GetStructures())
	if err != nil {
		return nil, err
	}
	var constraints []sharing.Constraint
	for _, binding := range answer.GetConstraints() {
		if whom := binding.GetProvider(); whom != "" && whom != string(provider) {
			continue
		}
		constraint, err := constraintFromProto(binding.GetConstraint(), structures)
		if err != nil {
			return nil, fmt.Errorf("reading the constraint %s: %w", ref(binding.GetConstraint()), err)
		}
		constraints = append(constraints, constraint)
	}
	return constraints, nil
}

func mirrorFromProto(p *statisticspb.MirrorDesign) *sharing.Mirror {
	if p == nil {
		return nil
	}
	mirror := &sharing.Mirror{
		Area: p.GetAreaDimension(), Flow: p.GetFlowDimension(), Counterpart: p.GetCounterpartDimension(),
		Flows: map[string]string{}, Areas: map[string]string{},
	}
	for _, f := range p.GetFlows() {
		mirror.Flows[f.GetExits()], mirror.Flows[f.GetEntries()] = f.GetEntries(), f.GetExits()
	}
	for _, a := range p.GetAreas() {
		mirror.Areas[a.GetCode()] = a.GetArea()
	}
	return mirror
}

func structuresFromProto(p *statisticspb.Structures) (*sharing.Structures, error) {
	if len(p.GetDataflows()) != 1 || len(p.GetDataStructures()) != 1 {
		return nil, fmt.Errorf("the statistics answered %d dataflows and %d data structures, not one of each",
			len(p.GetDataflows()), len(p.GetDataStructures()))
	}
	lists := make(map[string]*statisticspb.Codelist, len(p.GetCodelists()))
	for _, list := range p.GetCodelists() {
		lists[ref(list)] = list
	}
	structures := &sharing.Structures{Dataflow: ref(p.GetDataflows()[0])}
	for _, component := range p.GetDataStructures()[0].GetDimensions() {
		dimension := sharing.Dimension{ID: component.GetId(), Codes: map[string]sharing.Code{}}
		if id := component.GetCodelist(); id != "" {
			list, ok := lists[id]
			if !ok {
				return nil, fmt.Errorf("the statistics answered no codelist %s for %s", id, component.GetId())
			}
			dimension.Levels = list.GetLevels()
			for _, code := range list.GetCodes() {
				dimension.Codes[code.GetId()] = sharing.Code{Parent: code.GetParent(), Level: code.GetLevel(), Covers: code.GetCovers()}
			}
			if !slices.Contains(structures.Codelists, id) {
				structures.Codelists = append(structures.Codelists, id)
			}
		}
		structures.Dimensions = append(structures.Dimensions, dimension)
	}
	return structures, nil
}

// artefact is a structural artefact.
type artefact interface {
	GetAgency() string
	GetId() string
	GetVersion() string
}

// ref returns "AGENCY:ID(VERSION)".
func ref(a artefact) string {
	return fmt.Sprintf("%s:%s(%s)", a.GetAgency(), a.GetId(), a.GetVersion())
}

// Query calls each with the blocks of the answer.
func (s *Statistics) Query(ctx context.Context, query sharing.Query, each func(*block.Block) error) (int64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // also ends a stream that each did not want to the end
	request := &statisticspb.QueryRequest{
		Dataflow: query.Dataflow, Filter: wire.FilterToProto(query.Filter), Revision: query.Revision,
	}
	for _, provider := range query.Providers {
		request.Providers = append(request.Providers, string(provider))
	}
	for _, selection := range query.Selections {
		request.Selections = append(request.Selections, &statisticspb.Selection{
			Dimension: selection.Dimension, Codes: selection.Codes, Level: selection.Level,
		})
	}
	stream, err := s.client.Query(ctx, request)
	if err != nil {
		return 0, fmt.Errorf("asking for figures: %w", err)
	}
	revision := int64(0)
	for first := true; ; first = false {
		answer, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			if first {
				return 0, errors.New("asking for figures: the answer has no part")
			}
			return revision, nil
		}
		if err != nil {
			return 0, fmt.Errorf("asking for figures: %w", err)
		}
		revision = answer.GetRevision()
		if answer.GetBlock() == nil {
			continue
		}
		rows, err := wire.BlockFromProto(answer.GetBlock())
		if err != nil {
			return 0, fmt.Errorf("reading figures: %w", err)
		}
		if err := each(rows); err != nil {
			return 0, err
		}
	}
}

// Trace returns what brought figures.
func (s *Statistics) Trace(ctx context.Context, query sharing.TraceQuery) ([]sharing.Origin, int64, error) {
	answer, err := s.client.TraceFigures(ctx, &statisticspb.TraceFiguresRequest{
		Dataflow: query.Dataflow, Provider: string(query.Provider), Filter: wire.FilterToProto(query.Filter),
		StartPeriod: query.Start, EndPeriod: query.End,
	})
	if err != nil {
		return nil, 0, fmt.Errorf("asking where figures come from: %w", err)
	}
	return each(answer.GetOrigins(), func(o *statisticspb.FigureOrigin) sharing.Origin {
		return sharing.Origin{
			Revision: o.GetRevision(), Stored: o.GetCommitTime().AsTime(), Release: sharing.ReleaseID(o.GetRelease()),
			KeepDays: int(o.GetKeepDays()), Figures: o.GetFigures(), FirstDay: o.GetFirstDay(), LastDay: o.GetLastDay(),
		}
	}), answer.GetRevision(), nil
}

// Watch calls each with the revisions after the cursor.
func (s *Statistics) Watch(ctx context.Context, cursor string, each func(sharing.Revision) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := s.client.WatchRevisions(ctx, &statisticspb.WatchRevisionsRequest{Cursor: cursor})
	if err != nil {
		return fmt.Errorf("watching the revisions: %w", err)
	}
	for {
		news, err := stream.Recv()
		if err != nil {
			return fmt.Errorf("watching the revisions: %w", err)
		}
		if err := each(sharing.Revision{
			Cursor: news.GetCursor(), Revision: news.GetRevision(), Dataflow: news.GetDataflow(),
			Provider: sharing.StateCode(news.GetProvider()),
		}); err != nil {
			return err
		}
	}
}

// Submit stores a partner's figures.
func (s *Statistics) Submit(ctx context.Context, submission sharing.Submission, blocks iter.Seq2[*block.Block, error]) (sharing.Submitted, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := s.client.Submit(ctx)
	if err != nil {
		return sharing.Submitted{}, fmt.Errorf("handing over a release: %w", err)
	}
	send := func(part *statisticspb.SubmitRequest) error {
		// The reason why a server stops listening is in its answer.
		if err := stream.Send(part); err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("handing over a release: %w", err)
		}
		return nil
	}
	if err := send(&statisticspb.SubmitRequest{Part: &statisticspb.SubmitRequest_Header{Header: &statisticspb.SubmissionHeader{
		Dataflow: submission.Dataflow, IdempotencyKey: submission.IdempotencyKey, Action: statisticspb.SubmissionHeader_REPLACE,
		Provider: string(submission.Provider), Scope: wire.FilterToProto(submission.Scope), Release: string(submission.Release),
		KeepDays: count(submission.KeepDays),
	}}}); err != nil {
		return sharing.Submitted{}, err
	}
	for rows, err := range blocks {
		if err != nil {
			return sharing.Submitted{}, err
		}
		if err := send(&statisticspb.SubmitRequest{Part: &statisticspb.SubmitRequest_Block{Block: wire.BlockToProto(rows)}}); err != nil {
			return sharing.Submitted{}, err
		}
	}
	answer, err := stream.CloseAndRecv()
	if err != nil {
		return sharing.Submitted{}, fmt.Errorf("handing over a release: %w", err)
	}
	return submitted(answer.GetSubmission()), nil
}

func submitted(p *statisticspb.Submission) sharing.Submitted {
	if p.GetState() == statisticspb.Submission_ACCEPTED {
		return sharing.Submitted{Accepted: true}
	}
	for _, finding := range p.GetFindings() {
		if finding.GetSeverity() == statisticspb.Finding_BLOCKING {
			return sharing.Submitted{Reason: finding.GetRule() + ": " + finding.GetMessage()}
		}
	}
	return sharing.Submitted{Reason: "the statistics rejected it without a finding"}
}
