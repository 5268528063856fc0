package rpc_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/internal/policy"
	"github.com/comity-federation/comity/services/internal/policy/policytest"
	"github.com/comity-federation/comity/services/internal/postgrestest"
	internalrpc "github.com/comity-federation/comity/services/internal/rpc"
	"github.com/comity-federation/comity/services/statistics/postgres"
)

func TestPolicySaysWhatIsSeen(t *testing.T) {
	t.Parallel()
	engine, err := policy.Open(t.Context(), []string{policytest.Untested(t, filepath.Join("..", "..", "..", "policies"))}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	n := newPlaces(t)
	n.put(t, false, "N1 2024-01 1", "N2 2024-01 2 N", "S1 2024-01 3 C", "S2 2024-01 4 F 2999-01-01")
	n.policies = engine
	all := []string{"N1 2024-01 1 A F", "N2 2024-01 2 A N", "S1 2024-01 3 A C"}
	withoutS1 := []string{all[0], all[1], "S1 2024-01 - Q C"}
	free := []string{all[0], "N2 2024-01 - Q N", withoutS1[2]}
	embargoed := append(append([]string{}, all...), "S2 2024-01 4 A F")
	person := func(roles ...string) internalrpc.Caller {
		return internalrpc.Caller{State: "x", Service: "gateway", Person: &internalrpc.Person{Subject: "somebody", Roles: roles}}
	}
	for name, test := range map[string]struct {
		caller internalrpc.Caller
		want   []string
	}{
		"a statistician":       {person("statistician"), embargoed},
		"an officer":           {person("officer"), embargoed},
		"an auditor":           {person("auditor"), all},
		"an analyst":           {person("analyst"), withoutS1},
		"who has no such role": {person("admin"), free},
		"sharing":              {internalrpc.Caller{State: "x", Service: "sharing"}, all},
		"risk":                 {internalrpc.Caller{State: "x", Service: "risk"}, withoutS1},
		"another state":        {internalrpc.Caller{State: "y", Service: "sharing"}, free},
		"anybody":              {internalrpc.Caller{State: "x", Service: "gateway"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			n.caller = test.caller
			n.wantLines(t, &statisticspb.QueryRequest{}, test.want...)
		})
	}
}

// noPolicy is a policy that cannot be evaluated.
type noPolicy struct{}

func (noPolicy) Evaluate(context.Context, string, any, any) (string, error) {
	return "", fault.New(fault.Denied, "POLICY_ERROR", "policy could not be evaluated, so the answer is no").Because(errors.New("broken"))
}

func TestNothingIsSeenWithoutPolicy(t *testing.T) {
	t.Parallel()
	n := newNodeOn(t, "x", postgrestest.New(t, postgres.Migrations))
	n.policies = noPolicy{}
	if _, err := n.lines(t, &statisticspb.QueryRequest{}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a query says %v", err)
	}
	if _, err := n.GetAvailability(t.Context(), &statisticspb.GetAvailabilityRequest{Dataflow: places}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("the availability says %v", err)
	}
	stream, err := n.CompareRevisions(t.Context(), &statisticspb.CompareRevisionsRequest{Dataflow: places})
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("a comparison says %v", err)
	}
}
