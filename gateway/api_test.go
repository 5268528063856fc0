package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
)

// errorBody is a google.rpc.Status as JSON.
type errorBody struct {
	Code    *int
	Message string
	Details []struct {
		Type            string `json:"@type"`
		Reason, Domain  string
		FieldViolations []struct{ Field, Description string }
	}
}

// readError checks that the body is a status of ours, and returns it with its reason.
func readError(t *testing.T, body string) (errorBody, string) {
	t.Helper()
	var e errorBody
	if err := json.Unmarshal([]byte(body), &e); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	for _, d := range e.Details {
		if strings.HasSuffix(d.Type, "google.rpc.ErrorInfo") && d.Domain == "comity" && e.Code != nil && e.Message != "" {
			return e, d.Reason
		}
	}
	t.Fatalf("no code, message or ErrorInfo in %s", body)
	return e, ""
}

func TestAPIAnswersTheResourceItself(t *testing.T) {
	n := newNode(t)
	n.statistics.submission = &statisticspb.Submission{Name: "submissions/s1", State: statisticspb.Submission_REJECTED, Revision: 12}
	for path, want := range map[string]string{
		"GET /v1/submissions/s1":                               `"state":"REJECTED"`,
		"GET /v1/submissions/s1#int64":                         `"revision":"12"`,
		"GET /v1/submissions/s1#default":                       `"findings":[]`,
		"GET /v1/agreements/us-gb":                             `"name":"agreements/us-gb"`,
		"POST /v1/agreements/us-gb:sign":                       `"name":"agreements/us-gb"`,
		"POST /v1/layouts {\"id\":\"l\"}":                      `"id":"l"`,
		"GET /v1/partners":                                     `"partners":[]`,
		"POST /v1/policy:explain {}":                           `"allowed":false`,
		"POST /v1/policy:replay {\"days\":2}":                  `"same":3`,
		"POST /v1/policy:shadow {\"bundle\":\"YWJj\"}":         `"policyRevision":"abc"`,
		"POST /v1/killswitch {\"reason\":\"x\"}":               `"on":true`,
		"POST /v1/risk/assumption:judge {\"assumedRate\":2.5}": `"verdict":"CONFIRMED"`,
	} {
		method, rest, _ := strings.Cut(path, " ")
		path, body, _ := strings.Cut(rest, " ")
		answer, text := n.do(t, method, strings.Split(path, "#")[0], body, "Content-Type", "application/json")
		text = strings.ReplaceAll(text, `": `, `":`) // protojson varies its spaces
		if answer.StatusCode != http.StatusOK || !strings.Contains(text, want) {
			t.Errorf("%s %s: %d %s, want %s", method, path, answer.StatusCode, text, want)
		}
		if strings.Contains(text, "createTime") {
			t.Errorf("%s: an absent message is printed: %s", path, text)
		}
	}
}

func TestAPIAnswersEveryErrorWithAReason(t *testing.T) {
	n := newNode(t)
	for _, test := range []struct {
		name, method, path, body string
		headers                  []string
		status                   int
		reason                   string
	}{
		{"no route", "GET", "/v1/nothing", "", nil, 404, "NOT_FOUND"},
		{"no route at all", "GET", "/elsewhere", "", nil, 404, "NOT_FOUND"},
		{"a doubled slash", "GET", "//v1/partners", "", nil, 404, "NOT_FOUND"},
		{"a wrong method", "DELETE", "/v1/partners", "", nil, 405, "INVALID_REQUEST"},
		{"a wrong method on a page", "POST", "/docs", "", nil, 405, "INVALID_REQUEST"},
		{"a body that is no JSON", "POST", "/v1/layouts", "{", []string{"Content-Type", "application/json"}, 400, "INVALID_REQUEST"},
		{"an unknown field", "POST", "/v1/layouts", `{"nothing":1}`, nil, 400, "INVALID_REQUEST"},
		{"something after the body", "POST", "/v1/layouts", `{} {}`, nil, 400, "INVALID_REQUEST"},
		{"a field of another type", "POST", "/v1/risk/assumption:judge", `{"strength":"much"}`, nil, 400, "INVALID_REQUEST"},
		{"a name that is no text", "GET", "/v1/agreements/%ff", "", nil, 400, "INVALID_REQUEST"},
		{"a parameter that is no text", "GET", "/v1/releases?partner=%ff", "", nil, 400, "INVALID_REQUEST"},
		{"an unknown parameter", "GET", "/v1/submissions?nothing=1", "", nil, 400, "INVALID_REQUEST"},
		{"a body that is too large", "POST", "/v1/layouts", `{"id":"` + strings.Repeat("x", maxJSON) + `"}`, nil, 413, "LIMIT_EXCEEDED"},
		{"a body of another format", "POST", "/v1/layouts", "a=b", []string{"Content-Type", "application/xml"}, 415, "INVALID_REQUEST"},
		{"a packed body", "POST", "/v1/layouts", "{}", []string{"Content-Encoding", "gzip"}, 415, "INVALID_REQUEST"},
		{"another scheme", "GET", "/v1/partners", "", []string{"Authorization", "Basic YTpi"}, 401, "TOKEN_INVALID"},
		{"a token with a space", "GET", "/v1/partners", "", []string{"Authorization", "Bearer a b"}, 401, "TOKEN_INVALID"},
		{"no token behind the scheme", "GET", "/v1/partners", "", []string{"Authorization", "Bearer"}, 401, "TOKEN_INVALID"},
		{"two tokens", "GET", "/v1/partners", "", []string{"Authorization", "Bearer a", "Authorization", "Bearer b"}, 401, "TOKEN_INVALID"},
		{"a call nobody offers", "GET", "/v1/releases", "", nil, 501, "UNAVAILABLE"},
	} {
		t.Run(test.name, func(t *testing.T) {
			answer, body := n.do(t, test.method, test.path, test.body, test.headers...)
			_, reason := readError(t, body)
			if answer.StatusCode != test.status || reason != test.reason {
				t.Errorf("%d %s, want %d %s: %s", answer.StatusCode, reason, test.status, test.reason, body)
			}
			if answer.Header.Get("X-Request-Id") == "" || answer.Header.Get("Content-Type") != "application/json" {
				t.Errorf("headers %v", answer.Header)
			}
			if (answer.StatusCode == 401) != (answer.Header.Get("WWW-Authenticate") != "") {
				t.Errorf("WWW-Authenticate is %q", answer.Header.Get("WWW-Authenticate"))
			}
		})
	}
}

func TestAPISaysWhichFieldIsWrong(t *testing.T) {
	n := newNode(t)
	_, body := n.do(t, "POST", "/v1/layouts", `{"nothing":1}`)
	e, _ := readError(t, body)
	for _, d := range e.Details {
		if len(d.FieldViolations) == 1 && d.FieldViolations[0].Field == "nothing" {
			return
		}
	}
	t.Errorf("no violation names the field: %s", body)
}

func TestAPIHidesWhatServicesDoNotMeanForClients(t *testing.T) {
	n := newNode(t)
	n.sharing.err = status.Error(codes.Internal, "pq: connection to 10.0.0.7 refused")
	answer, body := n.do(t, "GET", "/v1/partners", "")
	if _, reason := readError(t, body); answer.StatusCode != 500 || reason != "INTERNAL" || strings.Contains(body, "10.0") {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
	n.sharing.err = status.Error(codes.InvalidArgument, "the secret")
	s, err := status.New(codes.ResourceExhausted, "Slower, please.").WithDetails(
		&errdetails.ErrorInfo{Reason: "LIMIT_EXCEEDED", Domain: "comity"},
		&errdetails.RetryInfo{RetryDelay: durationpb.New(1500e6)},
		&errdetails.DebugInfo{Detail: "the secret"},
	)
	if err != nil {
		t.Fatal(err)
	}
	n.sharing.err = s.Err()
	answer, body = n.do(t, "GET", "/v1/partners", "")
	if _, reason := readError(t, body); answer.StatusCode != 429 || reason != "LIMIT_EXCEEDED" || strings.Contains(body, "secret") {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
	if retry := answer.Header.Get("Retry-After"); retry != "2" {
		t.Errorf("Retry-After is %q", retry)
	}
	n.stop["sharing"]()
	answer, body = n.do(t, "GET", "/v1/partners", "")
	if _, reason := readError(t, body); answer.StatusCode != 503 || reason != "UNAVAILABLE" || strings.Contains(body, "bufconn") || strings.Contains(body, "dial") {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
}

func TestAPIKeepsReasonsOfServices(t *testing.T) {
	n := newNode(t)
	n.sharing.err = reasoned(codes.PermissionDenied, "ACCESS_DENIED", "Officers only.")
	answer, body := n.do(t, "GET", "/v1/partners", "")
	if e, reason := readError(t, body); answer.StatusCode != 403 || reason != "ACCESS_DENIED" || e.Message != "Officers only." {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
}

func TestGatewayForwardsTheTokenAndNothingElse(t *testing.T) {
	n := newNode(t)
	answer, _ := n.do(t, "GET", "/v1/partners", "",
		"Authorization", "bearer abc.def-_~+/==",
		"X-Request-Id", "mine-1",
		"Grpc-Metadata-Authorization", "Bearer forged",
		"Grpc-Metadata-X-Comity-State", "gb",
		"Grpc-Timeout", "1n",
		"X-Forwarded-For", "10.1.1.1",
		"X-Forwarded-Host", "elsewhere",
		"X-Forwarded-Client-Cert", "URI=comity://us/operator",
		"Forwarded", "for=10.1.1.1",
		"Cookie", "a=b",
		"X-Http-Method-Override", "DELETE",
	)
	if answer.StatusCode != http.StatusOK || answer.Header.Get("X-Request-Id") != "mine-1" {
		t.Errorf("%d, id %q", answer.StatusCode, answer.Header.Get("X-Request-Id"))
	}
	md := n.received()
	for _, key := range []string{":authority", "content-type", "user-agent", "grpc-accept-encoding"} {
		delete(md, key) // of the connection, not of the call
	}
	if len(md) != 2 || strings.Join(md["authorization"], ";") != "Bearer abc.def-_~+/==" || strings.Join(md["x-request-id"], ";") != "mine-1" {
		t.Errorf("metadata %v", md)
	}
	for name := range answer.Header {
		if strings.HasPrefix(name, "Grpc-") {
			t.Errorf("the answer has the header %s", name)
		}
	}
}

func TestGatewayMakesARequestIDWhereThereIsNoSaneOne(t *testing.T) {
	n := newNode(t)
	answer, _ := n.do(t, "GET", "/v1/partners", "", "X-Request-Id", "a b\"c")
	if id := answer.Header.Get("X-Request-Id"); !saneRequestID.MatchString(id) || n.received().Get("x-request-id")[0] != id {
		t.Errorf("id %q", id)
	}
	if token := n.received().Get("authorization"); token != nil {
		t.Errorf("an anonymous call carries %v", token)
	}
}

func TestReadinessNamesTheServiceThatDoesNotServe(t *testing.T) {
	n := newNode(t)
	if answer, body := n.do(t, "GET", "/readyz", ""); answer.StatusCode != 200 {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
	n.health["risk"].SetServingStatus("", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	n.stop["sharing"]()
	answer, body := n.do(t, "GET", "/readyz", "")
	if want := "statistics: serving\nrisk: not serving\nsharing: does not answer\n"; answer.StatusCode != 503 || body != want {
		t.Errorf("%d %q, want %q", answer.StatusCode, body, want)
	}
	if answer, _ := n.do(t, "GET", "/healthz", ""); answer.StatusCode != 200 {
		t.Errorf("healthz %d", answer.StatusCode)
	}
	if _, body := n.do(t, "GET", "/metrics", ""); !strings.Contains(body, `comity_http_requests_total{method="GET",part="ops",status="503"} 1`) {
		t.Error("the metrics do not count the answer")
	}
}

func TestPlainHTTPIsForLoopbackOnly(t *testing.T) {
	for listen, ok := range map[string]bool{
		"127.0.0.1:8401": true, "[::1]:8401": true, "localhost:8401": true,
		":8401": false, "0.0.0.0:8401": false, "192.0.2.1:8401": false, "example.org:8401": false, "8401": false,
	} {
		if err := checkListen(Config{Listen: listen}); (err == nil) != ok {
			t.Errorf("%s: %v", listen, err)
		}
	}
	if err := checkListen(Config{Listen: ":8401", TLSCertificate: "c", TLSKey: "k"}); err != nil {
		t.Error(err)
	}
	if err := checkListen(Config{Listen: ":8401", TLSCertificate: "c"}); err == nil {
		t.Error("a certificate without a key is taken")
	}
}
