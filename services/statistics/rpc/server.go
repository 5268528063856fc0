// Package rpc answers the calls of comity.statistics.v1 with the statistics domain.
package rpc

import (
	"context"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/services/fault"
	internalrpc "github.com/comity-federation/comity/services/internal/rpc"
	"github.com/comity-federation/comity/services/statistics"
)

const submissionPrefix = "submissions/"

// Server is a StatisticsServiceServer.
type Server struct {
	statisticspb.UnimplementedStatisticsServiceServer
	service  *statistics.Service
	policies Policies
}

// NewServer returns a server of the service, whose policies say what each caller sees of the figures. Its errors are faults;
// internal/rpc turns them into statuses.
func NewServer(service *statistics.Service, policies Policies) *Server {
	return &Server{service: service, policies: policies}
}

// CreateLayout stores how a national file is read.
func (s *Server) CreateLayout(ctx context.Context, request *statisticspb.CreateLayoutRequest) (*statisticspb.CreateLayoutResponse, error) {
	layout, err := layoutFromProto(request.GetLayout())
	if err != nil {
		return nil, err
	}
	if err := s.service.CreateLayout(ctx, layout); err != nil {
		return nil, err
	}
	return &statisticspb.CreateLayoutResponse{Layout: layoutToProto(layout)}, nil
}

// ListLayouts lists the layouts.
func (s *Server) ListLayouts(ctx context.Context, _ *statisticspb.ListLayoutsRequest) (*statisticspb.ListLayoutsResponse, error) {
	layouts, err := s.service.Layouts(ctx)
	if err != nil {
		return nil, err
	}
	return &statisticspb.ListLayoutsResponse{Layouts: convert(layouts, layoutToProto)}, nil
}

// Submit takes an upload. Figures of another provider than the own state, and the release that they came in, are taken from
// this state's sharing service only.
func (s *Server) Submit(stream grpc.ClientStreamingServer[statisticspb.SubmitRequest, statisticspb.SubmitResponse]) error {
	message, err := receiveHeader(stream)
	if err != nil {
		return err
	}
	header, err := headerFromProto(message)
	if err != nil {
		return err
	}
	caller := internalrpc.CallerFrom(stream.Context())
	isSharing := caller.State == s.service.State() && caller.Service == "sharing"
	foreign := header.Provider != "" && header.Provider != s.service.State()
	if (foreign || header.Release != "" || header.KeepDays != 0) && !isSharing {
		return fault.New(fault.Denied, "ACCESS_DENIED", "only the sharing service hands over figures of another provider or of a release")
	}
	header.Submitter = submitter(caller)
	var content statistics.Content
	if header.Layout != "" {
		content.File = &file{stream: stream}
	} else {
		content.Blocks = blocks(stream)
	}
	submission, err := s.service.Submit(stream.Context(), header, content)
	if err != nil {
		return err
	}
	return stream.SendAndClose(&statisticspb.SubmitResponse{Submission: submissionToProto(submission)})
}

// submitter names who uploads: the person, else the workload.
func submitter(caller internalrpc.Caller) string {
	if caller.Person != nil {
		return caller.Person.Subject
	}
	return caller.State + "/" + caller.Service
}

// GetSubmission returns a submission with its quality report.
func (s *Server) GetSubmission(ctx context.Context, request *statisticspb.GetSubmissionRequest) (*statisticspb.GetSubmissionResponse, error) {
	id, ok := strings.CutPrefix(request.GetName(), submissionPrefix)
	if !ok {
		return nil, fault.InvalidField("name", "%q is not of the form submissions/{id}", request.GetName())
	}
	submission, err := s.service.Submission(ctx, id)
	if err != nil {
		return nil, err
	}
	return &statisticspb.GetSubmissionResponse{Submission: submissionToProto(&submission)}, nil
}

// ListSubmissions lists submissions, the newest first.
func (s *Server) ListSubmissions(ctx context.Context, request *statisticspb.ListSubmissionsRequest) (*statisticspb.ListSubmissionsResponse, error) {
	size, err := internalrpc.PageSize(request.GetPageSize())
	if err != nil {
		return nil, err
	}
	submissions, err := s.service.Submissions(ctx, size+1, request.GetPageToken())
	if err != nil {
		return nil, err
	}
	response := &statisticspb.ListSubmissionsResponse{}
	if len(submissions) > size {
		submissions = submissions[:size]
		response.NextPageToken = submissions[size-1].ID
	}
	response.Submissions = convert(submissions, func(s statistics.Submission) *statisticspb.Submission { return submissionToProto(&s) })
	return response, nil
}

// WatchRevisions tells of each revision in the order of commits.
func (s *Server) WatchRevisions(request *statisticspb.WatchRevisionsRequest, stream grpc.ServerStreamingServer[statisticspb.WatchRevisionsResponse]) error {
	return s.service.WatchRevisions(stream.Context(), request.GetCursor(), func(r *statistics.Revision) error {
		response := &statisticspb.WatchRevisionsResponse{
			Cursor: r.Cursor, Revision: r.Number, Dataflow: r.Part.Dataflow.String(), Provider: r.Part.Provider,
			CommitTime: timestamppb.New(r.CommitTime),
		}
		if r.Submission != "" {
			response.Submission = submissionPrefix + r.Submission
		}
		return stream.Send(response)
	})
}
