package main

import (
	"context"
	"crypto/rand"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/codes"

	typespb "github.com/comity-federation/comity/proto/comity/types/v1"
)

// call is what the gateway knows of a request while it is answered.
type call struct {
	ID            string // X-Request-Id
	Authorization string // "Bearer …", or "" for an anonymous call
	problem       *problem
}

type callKey struct{}

func callFrom(ctx context.Context) *call {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		return c
	}
	return &call{}
}

// noteProblem remembers p for the log.
func noteProblem(ctx context.Context, p *problem) { callFrom(ctx).problem = p }

// saneRequestID is an id that may be taken from a client into logs and headers.
var saneRequestID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// calls gives each request its id and its token, logs it, and turns a panic into an answer.
func calls(log *slog.Logger, metrics *metrics, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := time.Now()
		c := &call{ID: r.Header.Get("X-Request-Id")}
		if !saneRequestID.MatchString(c.ID) {
			c.ID = rand.Text()
		}
		r = r.WithContext(context.WithValue(r.Context(), callKey{}, c))
		w.Header().Set("X-Request-Id", c.ID)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		recorder := &recorder{ResponseWriter: w}
		finished := false
		defer func() {
			cause := recover()
			if cause != nil && cause != http.ErrAbortHandler { //nolint:errorlint // a panic's value, compared as net/http does
				log.LogAttrs(r.Context(), slog.LevelError, "a handler panicked",
					slog.String("request_id", c.ID), slog.Any("panic", cause), slog.String("stack", string(debug.Stack())))
				if recorder.status == 0 {
					fixedProblem(codes.Internal).write(recorder)
				} else {
					cause = http.ErrAbortHandler
				}
			}
			logCall(log, r, c, recorder, begin, finished)
			metrics.observe(r, recorder, time.Since(begin))
			if cause == http.ErrAbortHandler { //nolint:errorlint // as above
				panic(cause)
			}
		}()
		next.ServeHTTP(recorder, r)
		finished = true
	})
}

// authorized refuses a request whose Authorization header is no bearer token in form. Whether the token is good, the
// services decide.
func authorized(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, ok := bearer(r.Header.Values("Authorization"))
		if !ok {
			refuse(w, r, newProblem(http.StatusUnauthorized, codes.Unauthenticated, typespb.ErrorReason_TOKEN_INVALID,
				"The Authorization header must be one bearer token."))
			return
		}
		callFrom(r.Context()).Authorization = token
		next.ServeHTTP(w, r)
	})
}

// legible refuses a URL that says something other than text: no message to a service can carry it, and no name holds it.
func legible(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query, err := url.PathUnescape(r.URL.RawQuery)
		if err != nil {
			query = "" // whoever reads the query says where it is wrong
		}
		if text := r.URL.Path + query; !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
			refuse(w, r, newProblem(http.StatusBadRequest, codes.InvalidArgument, typespb.ErrorReason_INVALID_REQUEST,
				"The URL must be UTF-8 text without U+0000."))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// refuse answers with a problem in the form that the path's clients read.
func refuse(w http.ResponseWriter, r *http.Request, p *problem) {
	if strings.HasPrefix(r.URL.Path, sdmxPath) {
		writeSDMXProblem(w, r, p)
		return
	}
	p.write(w)
}

func logCall(log *slog.Logger, r *http.Request, c *call, recorder *recorder, begin time.Time, finished bool) {
	level := slog.LevelInfo
	attributes := []slog.Attr{
		slog.String("request_id", c.ID), slog.String("method", r.Method), slog.String("path", r.URL.Path),
		slog.Int("status", recorder.code()), slog.Int64("bytes", recorder.bytes), slog.Duration("took", time.Since(begin)),
	}
	if !finished {
		attributes = append(attributes, slog.Bool("broken_off", true))
	}
	if c.problem != nil && c.problem.HTTP >= http.StatusInternalServerError {
		level = slog.LevelError
		attributes = append(attributes, slog.String("error", c.problem.Error()))
	}
	log.LogAttrs(r.Context(), level, "answered", attributes...)
}

// recorder notes the status and the size of an answer.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

// WriteHeader notes the status.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write notes the size.
func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(p)
	r.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *recorder) code() int {
	if r.status == 0 {
		return http.StatusOK
	}
	return r.status
}

// mediaType returns the media type of the body in lower case, without parameters; "" where none is given.
func mediaType(r *http.Request) string {
	header := r.Header.Get("Content-Type")
	t, _, err := mime.ParseMediaType(header)
	if err != nil {
		t, _, _ = strings.Cut(header, ";")
	}
	return strings.ToLower(strings.TrimSpace(t))
}
