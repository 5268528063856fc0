package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	riskgw "github.com/comity-federation/comity/gateway/comity/risk/v1"
	sharinggw "github.com/comity-federation/comity/gateway/comity/sharing/v1"
	statisticsgw "github.com/comity-federation/comity/gateway/comity/statistics/v1"
	riskpb "github.com/comity-federation/comity/proto/comity/risk/v1"
	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	typespb "github.com/comity-federation/comity/proto/comity/types/v1"
)

// newAPI returns the handler of the calls that routes.yaml maps to RPCs.
func newAPI(ctx context.Context, services Services) (http.Handler, error) {
	none := func(string) (string, bool) { return "", false }
	mux := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, newCodec()),
		runtime.WithIncomingHeaderMatcher(none),
		runtime.WithOutgoingHeaderMatcher(none),
		runtime.WithOutgoingTrailerMatcher(none),
		runtime.WithErrorHandler(answerError),
		runtime.WithStreamErrorHandler(lastLine),
		runtime.WithRoutingErrorHandler(answerNoRoute),
		runtime.WithDisablePathLengthFallback(),
		runtime.WithDisableHTTPMethodOverride(),
		runtime.WithUnescapingMode(runtime.UnescapingModeAllExceptReserved),
		runtime.WithWriteContentLength(),
		runtime.SetQueryParameterParser(&queryParser{}),
	)
	err := statisticsgw.RegisterStatisticsServiceHandlerClient(ctx, mux, beginning{statisticspb.NewStatisticsServiceClient(services.Statistics)})
	if err == nil {
		err = riskgw.RegisterRiskServiceHandlerClient(ctx, mux, riskpb.NewRiskServiceClient(services.Risk))
	}
	if err == nil {
		err = riskgw.RegisterMethodsServiceHandlerClient(ctx, mux, riskpb.NewMethodsServiceClient(services.Risk))
	}
	if err == nil {
		err = sharinggw.RegisterSharingServiceHandlerClient(ctx, mux, sharingpb.NewSharingServiceClient(services.Sharing))
	}
	if err == nil {
		err = sharinggw.RegisterDisclosureServiceHandlerClient(ctx, mux, sharingpb.NewDisclosureServiceClient(services.Sharing))
	}
	if err == nil {
		err = sharinggw.RegisterGovernanceServiceHandlerClient(ctx, mux, sharingpb.NewGovernanceServiceClient(services.Sharing))
	}
	if err != nil {
		return nil, fmt.Errorf("registering the routes: %w", err)
	}
	return jsonBodies(mux), nil
}

// answerError answers with an error of an RPC, or with one of reading the request.
func answerError(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
	if body, ok := r.Body.(*limitedBody); ok && body.exceeded {
		tooLarge(maxJSON).write(w)
		return
	}
	s := status.Convert(err)
	_, ours := publicStatus(s)
	if !ours && s.Code() == codes.InvalidArgument && r.Context().Err() == nil {
		// Services give a reason with each error, so this one was found here, before the call.
		p := badBody(s.Message())
		noteProblem(r.Context(), p)
		p.write(w)
		return
	}
	p := problemOf(err)
	noteProblem(r.Context(), p)
	p.write(w)
}

func answerNoRoute(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, httpStatus int) {
	switch httpStatus {
	case http.StatusMethodNotAllowed:
		methodNotAllowed(r).write(w)
	case http.StatusBadRequest:
		invalid("path", "is not percent-encoded correctly").write(w)
	default:
		notFound(r).write(w)
	}
}

func notFound(r *http.Request) *problem {
	return newProblem(http.StatusNotFound, codes.NotFound, typespb.ErrorReason_NOT_FOUND,
		fmt.Sprintf("There is nothing at %s. The calls are listed at /docs.", shownPath(r)))
}

func methodNotAllowed(r *http.Request) *problem {
	return newProblem(http.StatusMethodNotAllowed, codes.Unimplemented, typespb.ErrorReason_INVALID_REQUEST,
		fmt.Sprintf("%s is not offered at %s. The calls are listed at /docs.", r.Method, shownPath(r)))
}

// shownPath returns the path as a message may show it.
func shownPath(r *http.Request) string {
	const most = 200
	path := r.URL.EscapedPath()
	if len(path) > most {
		return path[:most] + "…"
	}
	return path
}

// Metadata is what the gateway tells the services about a call: the token of the person and the id of the request.
// Everything else that a client sends, or that a library would add, stays behind.
const (
	authorizationKey = "authorization"
	requestIDKey     = "x-request-id"
)

// outgoing returns ctx with the metadata of the call, in place of all that was there.
func outgoing(ctx context.Context) context.Context {
	call := callFrom(ctx)
	md := metadata.Pairs(requestIDKey, call.ID)
	if call.Authorization != "" {
		md.Set(authorizationKey, call.Authorization)
	}
	return metadata.NewOutgoingContext(ctx, md)
}

// unaryMetadata and streamMetadata see to it that nothing but that metadata leaves on a connection.
func unaryMetadata(ctx context.Context, method string, request, answer any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
	return invoke(outgoing(ctx), method, request, answer, conn, options...)
}

func streamMetadata(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer, options ...grpc.CallOption) (grpc.ClientStream, error) {
	return open(outgoing(ctx), desc, conn, method, options...)
}

// bearer reports whether the header is empty or a bearer token in form (RFC 6750, section 2.1).
func bearer(header []string) (string, bool) {
	if len(header) == 0 {
		return "", true
	}
	scheme, token, _ := strings.Cut(header[0], " ")
	if len(header) > 1 || !strings.EqualFold(scheme, "Bearer") || token == "" || len(token) > maxToken {
		return "", false
	}
	token = strings.TrimLeft(token, " ")
	body := strings.TrimRight(token, "=")
	ok := body != "" && strings.IndexFunc(body, func(r rune) bool {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		return !letter && !strings.ContainsRune("-._~+/", r)
	}) < 0
	return "Bearer " + token, ok
}

// maxToken is the longest token taken, in bytes.
const maxToken = 16 << 10
