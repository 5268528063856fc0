package rpc

import (
	"context"
	"encoding/json"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/comity-federation/comity/proto/block"
	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/proto/wire"
	"github.com/comity-federation/comity/services/disclosure/cellkey"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/internal/rpc"
	"github.com/comity-federation/comity/services/sharing"
)

// tablesOf is all that a table is made of: statistics, policy, accounts and a store without agreements.
type tablesOf struct {
	sharing.Store
	statisticspb.StatisticsServiceClient
	parts    []*statisticspb.CountCellsResponse
	asked    *statisticspb.CountCellsRequest
	ruling   string // JSON
	question sharing.TableQuestion
	caller   string
}

func (f *tablesOf) AgreementChanges(context.Context) (int64, error) { return 0, nil }

func (f *tablesOf) Agreements(context.Context, sharing.AgreementID) ([]sharing.KeptAgreement, error) {
	return nil, nil
}

func (f *tablesOf) Switches(context.Context) ([][]byte, error) { return nil, nil }

func (f *tablesOf) GetStructures(context.Context, *statisticspb.GetStructuresRequest, ...grpc.CallOption) (*statisticspb.GetStructuresResponse, error) {
	code := func(id string) *statisticspb.Code { return &statisticspb.Code{Id: id} }
	part := func(id string) *statisticspb.Code { return &statisticspb.Code{Id: id, Parent: "_T"} }
	list := func(id string, codes ...*statisticspb.Code) *statisticspb.Codelist {
		return &statisticspb.Codelist{Agency: "X", Id: id, Version: "1.0.0", Codes: codes, Levels: []string{"total", "part"}}
	}
	return &statisticspb.GetStructuresResponse{Structures: &statisticspb.Structures{
		Codelists: []*statisticspb.Codelist{
			list("CL_FREQ", code("M")), list("CL_INDICATOR", code("1A")), list("CL_SEX", code("_T"), part("F"), part("M")),
		},
		DataStructures: []*statisticspb.DataStructure{{Agency: "X", Id: "S", Version: "1.0.0", Dimensions: []*statisticspb.Component{
			{Id: "FREQ", Codelist: "X:CL_FREQ(1.0.0)"}, {Id: "INDICATOR", Codelist: "X:CL_INDICATOR(1.0.0)"}, {Id: "SEX", Codelist: "X:CL_SEX(1.0.0)"},
		}}},
		Dataflows: []*statisticspb.Dataflow{{Agency: "X", Id: "F", Version: "1.0.0", Structure: "X:S(1.0.0)"}},
	}}, nil
}

// answers is a stream of them.
type answers struct {
	grpc.ClientStream
	parts []*statisticspb.CountCellsResponse
}

func (a *answers) Recv() (*statisticspb.CountCellsResponse, error) {
	if len(a.parts) == 0 {
		return nil, io.EOF
	}
	part := a.parts[0]
	a.parts = a.parts[1:]
	return part, nil
}

func (f *tablesOf) CountCells(_ context.Context, request *statisticspb.CountCellsRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[statisticspb.CountCellsResponse], error) {
	f.asked = request
	return &answers{parts: f.parts}, nil
}

func (f *tablesOf) SetData(context.Context, string, any) error { return nil }

func (f *tablesOf) Condition(context.Context, string, any, string) (filter.Filter, string, error) {
	return filter.False(), "r1", nil
}

func (f *tablesOf) Archive() (string, []byte, error) { return "r1", nil, nil }

func (f *tablesOf) Revision() string { return "r1" }

func (f *tablesOf) Evaluate(_ context.Context, _ string, input, output any) (string, error) {
	f.question = input.(sharing.TableQuestion)
	return "r1", json.Unmarshal([]byte(f.ruling), output)
}

func (f *tablesOf) Charge(_ context.Context, caller string, charge func(*cellkey.Account) error) error {
	f.caller = caller
	return charge(new(cellkey.Account))
}

func (f *tablesOf) server() *Server {
	figures := &Statistics{client: f}
	return NewServer(sharing.New(sharing.Config{
		State: "aa", Dataflow: "X:F(1.0.0)", Store: f, Policy: f, Accounts: f, Statistics: figures, Cells: figures,
	}))
}

// counted is a part of the statistics' answer: rows of sex, period and count.
func counted(keys []uint64, sexes, periods []string, counts ...float64) *statisticspb.CountCellsResponse {
	builder := block.NewBuilder([]string{"FREQ", "INDICATOR", "SEX", block.TimePeriod}, []string{block.ObsValue})
	for i, sex := range sexes {
		builder.Append([]string{"M", "1A", sex, periods[i]}, []float64{counts[i]})
	}
	return &statisticspb.CountCellsResponse{Block: wire.BlockToProto(builder.Block()), Keys: keys, Revision: 4}
}

func TestTabulate(t *testing.T) {
	const ruling = `{"allow": true, "reasons": [], "perturbation": {"maximum": 2, "variance": 1.05, "smallestReleased": 1, "stayProbability": [0.5]},
		"rounding": 0, "budget": {"cells": 10, "hours": 24}}`
	request := read(t, &sharingpb.TabulateRequest{}, `{"indicator": "1A", "frequency": "M", "startPeriod": "2024-01", "endPeriod": "2024-02",
		"dimensions": [{"id": "SEX", "level": "part"}], "rounding": {"base": 3}}`)
	// Of keys that are nearly 0, the noise is the least that there is.
	f := &tablesOf{ruling: ruling, parts: []*statisticspb.CountCellsResponse{
		counted([]uint64{1, 1}, []string{"M", "F"}, []string{"2024-02", "2024-01"}, 101, 8),
		counted([]uint64{1}, []string{"F"}, []string{"2024-02"}, 1),
		{Revision: 4},
	}}
	ctx := rpc.WithCaller(t.Context(), rpc.Caller{State: "aa", Service: "gateway", Person: &rpc.Person{Subject: "ann", Roles: []string{"analyst"}}})
	got, err := f.server().Tabulate(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	want := read(t, &sharingpb.TabulateResponse{}, `{"dataflow": "X:F(1.0.0)", "dimensions": ["SEX"], "asked": 4,
		"cells": [{"key": ["F"], "period": "2024-01", "count": 6}, {"key": ["M"], "period": "2024-02", "count": 99}],
		"perturbation": {"maximum": 2, "variance": 1.05, "smallestReleased": 1, "stayProbability": 0.5, "monotone": true},
		"rounding": {"base": 3}, "budget": {"cells": 10, "left": 6, "hours": 24}}`)
	want.Note = noiseNote
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	asked := read(t, &statisticspb.CountCellsRequest{}, `{"dataflow": "X:F(1.0.0)", "startPeriod": "2024-01", "endPeriod": "2024-02", "dimensions": [
		{"dimension": "FREQ", "codes": ["M"]}, {"dimension": "INDICATOR", "codes": ["1A"]}, {"dimension": "SEX", "codes": ["F", "M"]}]}`)
	if diff := cmp.Diff(asked, f.asked, protocmp.Transform()); diff != "" {
		t.Errorf("asked of the statistics (-want +got):\n%s", diff)
	}
	if f.caller != "person/ann" || f.question.Person == nil || !cmp.Equal(f.question.Person.Roles, []string{"analyst"}) {
		t.Errorf("it is charged to %q, and policy is asked about %+v", f.caller, f.question.Person)
	}
	t.Run("takes a call without a person for one of everybody", func(t *testing.T) {
		if _, err := f.server().Tabulate(rpc.WithCaller(t.Context(), rpc.Caller{State: "aa", Service: "gateway"}), request); err != nil {
			t.Fatal(err)
		}
		if f.caller != "public" || f.question.Person != nil {
			t.Errorf("it is charged to %q, and policy is asked about %+v", f.caller, f.question.Person)
		}
	})
	t.Run("says where the budget is spent", func(t *testing.T) {
		poor := *f
		poor.ruling = `{"allow": true, "perturbation": {"maximum": 5, "variance": 3}, "budget": {"cells": 3, "hours": 24}}`
		poor.asked = nil
		if _, err := poor.server().Tabulate(ctx, request); !fault.Is(err, fault.Exhausted) || fault.Reason(err) != "LIMIT_EXCEEDED" || poor.asked != nil {
			t.Errorf("got %v, after asking for %v", err, poor.asked)
		}
	})
	bare := block.NewBuilder([]string{"FREQ", block.TimePeriod}, []string{block.ObsValue})
	bare.Append([]string{"M", "2024-01"}, []float64{8})
	for name, part := range map[string]*statisticspb.CountCellsResponse{
		"lacks keys":       counted(nil, []string{"F"}, []string{"2024-01"}, 8),
		"lacks dimensions": {Block: wire.BlockToProto(bare.Block()), Keys: []uint64{1}},
	} {
		t.Run("tells nothing of an answer that "+name, func(t *testing.T) {
			broken := *f
			broken.parts = []*statisticspb.CountCellsResponse{part}
			if got, err := broken.server().Tabulate(ctx, request); err == nil {
				t.Errorf("got %v", got)
			}
		})
	}
}
