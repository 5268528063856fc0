package main

import (
	"net/http"
	"net/url"
	"testing"
	"unicode/utf8"

	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"
	"google.golang.org/protobuf/proto"

	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
)

// FuzzAsked reads the parameters and headers of uploads: what is taken has a key, and can be sent on.
func FuzzAsked(f *testing.F) {
	f.Add("dataflow=COMITY:BORDER(1.0.0)&layout=l&action=REPLACE&c[SEX]=F,M&c%5BTIME_PERIOD%5D=ge:2020", "k 1")
	f.Add("action=DELETE&c[SEX]=ne:F", "")
	f.Add("dataflow=%ff&c[]=", "\x00")
	f.Add("batch=b&retracts=a&frequency=M&dataflow=X:Y(1.0)", "b")
	f.Fuzz(func(t *testing.T, query, key string) {
		r := &http.Request{URL: &url.URL{RawQuery: query}, Header: http.Header{"Idempotency-Key": {key}}}
		if a, err := readAsked(r); err == nil {
			if a.header.GetIdempotencyKey() != key {
				t.Errorf("the key %q became %q", key, a.header.GetIdempotencyKey())
			}
			sendable(t, a.header)
		} else if problemOf(err).HTTP >= 500 {
			t.Errorf("%q is a fault of the gateway: %v", query, err)
		}
		if header, err := eventsHeader(r); err == nil {
			if header.GetBatch() == "" {
				t.Error("a batch without an id")
			}
			sendable(t, header)
		} else if problemOf(err).HTTP >= 500 {
			t.Errorf("%q is a fault of the gateway: %v", query, err)
		}
	})
}

// sendable checks that a message can be sent, which one with texts that are no text cannot.
func sendable(t *testing.T, message proto.Message) {
	t.Helper()
	if _, err := proto.Marshal(message); err != nil {
		t.Errorf("%v cannot be sent: %v", message, err)
	}
}

// FuzzParameters reads query parameters of calls with page tokens, references and times.
func FuzzParameters(f *testing.F) {
	f.Add("pageSize=20&pageToken=a%2Bb")
	f.Add("partner=gb&asOf=2024-01-01T00:00:00Z&significance=0.05&revision=3&design.areaDimension=A")
	f.Add("kinds=CODELIST&versions=1.0%2B.0&references=PARENTS")
	f.Add("fromRevision=9223372036854775808&filter.operands=x&filter..=1")
	f.Fuzz(func(t *testing.T, query string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		for _, request := range []proto.Message{
			&statisticspb.ListRemovalsRequest{}, &statisticspb.ListSubmissionsRequest{}, &statisticspb.CompareMirrorRequest{},
			&statisticspb.ListStructuresRequest{}, &statisticspb.DeleteStructuresRequest{}, &statisticspb.GetAvailabilityRequest{},
			&statisticspb.CompareRevisionsRequest{}, &statisticspb.GetQualityRulesRequest{},
		} {
			if (&queryParser{}).Parse(request, values, utilities.NewDoubleArray(nil)) == nil && utf8.ValidString(query) {
				_, _ = proto.Marshal(request)
			}
		}
	})
}
