package rpc_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	internalrpc "github.com/comity-federation/comity/services/internal/rpc"
)

// views is policy that shows everything, of the providers that it names.
type views struct {
	view   string
	inputs []map[string]any // of the questions for views
}

func (v *views) Evaluate(_ context.Context, rule string, input, output any) (string, error) {
	if rule != "data.comity.access.view" {
		return "", json.Unmarshal([]byte(`{"confStatus": ["*"], "embargoed": true}`), output)
	}
	data, err := json.Marshal(input)
	if err != nil {
		return "", err
	}
	asked := map[string]any{}
	if err := json.Unmarshal(data, &asked); err != nil {
		return "", err
	}
	v.inputs = append(v.inputs, asked)
	return "", json.Unmarshal([]byte(v.view), output)
}

func TestAgencies(t *testing.T) {
	t.Parallel()
	n := newPlaces(t)
	first := n.put(t, false, "N1 2024-01 5")
	policies := &views{view: `{"bound": true, "providers": ["PUBLISHED:PUBLIC", "` + n.caller.State + `/border"]}`}
	n.policies = policies
	n.caller.Person = &internalrpc.Person{Subject: "ada", Roles: []string{"analyst"}, Agency: "border"}
	ask := func(request *statisticspb.QueryRequest) (rows int, err error) {
		request.Dataflow = places
		stream, err := n.Query(t.Context(), request)
		if err != nil {
			return 0, err
		}
		for {
			answer, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return rows, nil
			}
			if err != nil {
				return 0, err
			}
			rows += int(answer.GetBlock().GetRows())
		}
	}
	t.Run("see no figures but those that policy names", func(t *testing.T) {
		if rows, err := ask(&statisticspb.QueryRequest{}); err != nil || rows != 0 {
			t.Errorf("%d rows, %v", rows, err)
		}
		seen, err := n.GetAvailability(t.Context(), &statisticspb.GetAvailabilityRequest{Dataflow: places})
		if err != nil || seen.GetObservations() != 0 {
			t.Errorf("%v, %v", seen, err)
		}
	})
	t.Run("may not ask for another provider's", func(t *testing.T) {
		if _, err := ask(&statisticspb.QueryRequest{Providers: []string{n.caller.State}}); status.Code(err) != codes.PermissionDenied {
			t.Errorf("%v", err)
		}
		_, err := n.GetAvailability(t.Context(), &statisticspb.GetAvailabilityRequest{Dataflow: places, Providers: []string{n.caller.State}})
		if status.Code(err) != codes.PermissionDenied {
			t.Errorf("%v", err)
		}
	})
	t.Run("see nothing of the past", func(t *testing.T) {
		if _, err := ask(&statisticspb.QueryRequest{Revision: first}); status.Code(err) != codes.PermissionDenied {
			t.Errorf("%v", err)
		}
	})
	t.Run("are told apart by their agency and the dataflow", func(t *testing.T) {
		found := slices.ContainsFunc(policies.inputs, func(input map[string]any) bool {
			person, _ := input["person"].(map[string]any)
			return person["agency"] == "border" && input["dataflow"] != ""
		})
		if !found {
			t.Errorf("%v", policies.inputs)
		}
	})
	for name, view := range map[string]string{"no view": `{}`, "an empty one": `{"bound": true, "providers": []}`, "none": `null`} {
		t.Run("see nothing where policy has "+name, func(t *testing.T) {
			policies.view = view
			if _, err := ask(&statisticspb.QueryRequest{}); status.Code(err) != codes.PermissionDenied {
				t.Errorf("%v", err)
			}
		})
	}
	t.Run("see what the state has where policy says that they provide it", func(t *testing.T) {
		policies.view = `{"bound": true, "providers": ["` + n.caller.State + `"]}`
		if rows, err := ask(&statisticspb.QueryRequest{}); err != nil || rows != 1 {
			t.Errorf("%d rows, %v", rows, err)
		}
	})
}
