package main

import (
	"context"
	"log/slog"
	"net/http"
	"strings"

	"google.golang.org/grpc"

	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
)

// Services are the connections to the services of this state.
type Services struct{ Statistics, Risk, Sharing *grpc.ClientConn }

// newHandler returns everything that the gateway answers.
func newHandler(ctx context.Context, state string, services Services, log *slog.Logger) (http.Handler, error) {
	api, err := newAPI(ctx, services)
	if err != nil {
		return nil, err
	}
	pages, err := newPages()
	if err != nil {
		return nil, err
	}
	statistics := statisticspb.NewStatisticsServiceClient(services.Statistics)
	submissions := &submissions{statistics: statistics}
	sdmx := &sdmxHandler{state: state, statistics: statistics}
	metrics := newMetrics()

	national := http.NewServeMux()
	national.Handle("POST /v1/submissions", submissions)
	national.Handle("POST /v1/events:record", &events{statistics: statistics})
	national.Handle("/v1/", api)
	national.Handle(sdmxPath, sdmx)
	open := http.NewServeMux()
	open.Handle("/v1/", legible(authorized(national)))
	open.Handle(sdmxPath, legible(authorized(national)))
	open.Handle("GET /metrics", metrics.handler())
	open.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answerText(w, http.StatusOK, "ok\n") })
	open.Handle("GET /readyz", readiness(services))
	open.HandleFunc("GET /openapi.json", pages.document)
	open.HandleFunc("GET /docs", pages.page)
	open.HandleFunc("GET /{$}", pages.page)
	open.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { unrouted(open, r).write(w) })
	return calls(log, metrics, uncleaned(open)), nil
}

// uncleaned keeps http.ServeMux from redirecting: it answers a path such as //v1 with a redirect, which a client that
// sends a token does not follow. Such a path is nowhere here.
func uncleaned(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "*" && !strings.HasPrefix(r.URL.Path, sdmxPath) && strings.Contains(r.URL.Path, "//") {
			notFound(r).write(w)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// unrouted says whether there is nothing at the path, or something for another method.
func unrouted(mux *http.ServeMux, r *http.Request) *problem {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		other := r.Clone(r.Context())
		other.Method = http.MethodGet
		if _, pattern := mux.Handler(other); pattern != "/" && pattern != "" {
			return methodNotAllowed(r)
		}
	}
	return notFound(r)
}

func answerText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text))
}
