package main

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
)

// beginning is a client whose streamed answers have begun when they are returned: what is wrong with a call is answered as it
// is of any other, with its HTTP status, and not as a line of an answer.
type beginning struct {
	statisticspb.StatisticsServiceClient
}

// CompareRevisions calls the service, and waits for the first part of the answer.
func (b beginning) CompareRevisions(ctx context.Context, request *statisticspb.CompareRevisionsRequest, options ...grpc.CallOption) (grpc.ServerStreamingClient[statisticspb.CompareRevisionsResponse], error) {
	stream, err := b.StatisticsServiceClient.CompareRevisions(ctx, request, options...)
	if err != nil {
		return nil, err
	}
	first, err := stream.Recv()
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return &begun[statisticspb.CompareRevisionsResponse]{ServerStreamingClient: stream, first: first, err: err}, nil
}

// begun is a stream whose first message is there already.
type begun[T any] struct {
	grpc.ServerStreamingClient[T]
	first *T
	err   error
	given bool
}

// Recv returns the next message.
func (b *begun[T]) Recv() (*T, error) {
	if b.given {
		return b.ServerStreamingClient.Recv()
	}
	b.given = true
	return b.first, b.err
}

// lastLine returns the error that a streamed answer ends with, as a client may see it.
func lastLine(ctx context.Context, err error) *status.Status {
	p := problemOf(err)
	noteProblem(ctx, p)
	return p.Status
}
