package rpc_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/comity-federation/comity/proto/block"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/services/internal/policy"
	"github.com/comity-federation/comity/services/internal/policy/policytest"
	internalrpc "github.com/comity-federation/comity/services/internal/rpc"
	"github.com/comity-federation/comity/services/statistics"
)

func TestRetentionIsForThoseWhoseRoleItIs(t *testing.T) {
	t.Parallel()
	engine, err := policy.Open(t.Context(), []string{policytest.Untested(t, filepath.Join("..", "..", "..", "policies"))}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	reads := []string{"ListRetention", "ListRemovals"}
	person := func(roles ...string) *internalrpc.Person { return &internalrpc.Person{Subject: "p", Roles: roles} }
	for name, test := range map[string]struct {
		caller internalrpc.Caller
		may    []string
	}{
		"an admin":                    {internalrpc.Caller{State: "x", Service: "gateway", Person: person("admin")}, append(reads, "SetRetention")},
		"an officer":                  {internalrpc.Caller{State: "x", Service: "gateway", Person: person("officer")}, reads},
		"an auditor":                  {internalrpc.Caller{State: "x", Service: "gateway", Person: person("auditor")}, reads},
		"an analyst":                  {internalrpc.Caller{State: "x", Service: "gateway", Person: person("analyst")}, nil},
		"a statistician":              {internalrpc.Caller{State: "x", Service: "gateway", Person: person("statistician")}, nil},
		"somebody without a role":     {internalrpc.Caller{State: "x", Service: "gateway", Person: person()}, nil},
		"nobody":                      {internalrpc.Caller{State: "x", Service: "gateway"}, nil},
		"the sharing service":         {internalrpc.Caller{State: "x", Service: "sharing"}, nil},
		"an admin of another state":   {internalrpc.Caller{State: "y", Service: "gateway", Person: person("admin")}, nil},
		"another state's exchange":    {internalrpc.Caller{State: "y", Service: "sharing"}, nil},
		"a role that there is not":    {internalrpc.Caller{State: "x", Service: "gateway", Person: person("keeper")}, nil},
		"an admin by another service": {internalrpc.Caller{State: "x", Service: "risk", Person: person("admin")}, nil},
	} {
		for _, method := range []string{"ListRetention", "ListRemovals", "SetRetention"} {
			allowed := false
			input := internalrpc.NewAccessInput("x", test.caller, "comity.statistics.v1.StatisticsService", method)
			if _, err := engine.Evaluate(t.Context(), "data.comity.access.allow", input, &allowed); err != nil {
				t.Fatal(err)
			}
			want := strings.Contains(strings.Join(test.may, " "), method)
			if allowed != want {
				t.Errorf("%s may %s: %v", name, method, allowed)
			}
		}
	}
}

func (n *node) setRetention(t *testing.T, rule *statisticspb.RetentionRule) *statisticspb.RetentionRule {
	t.Helper()
	response, err := n.SetRetention(t.Context(), &statisticspb.SetRetentionRequest{Rule: rule})
	if err != nil {
		t.Fatal(err)
	}
	return response.GetRule()
}

func TestRetentionRules(t *testing.T) {
	t.Parallel()
	n := newMadeUp(t)
	listed := func() []*statisticspb.RetentionRule {
		t.Helper()
		response, err := n.ListRetention(t.Context(), &statisticspb.ListRetentionRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return response.GetRules()
	}
	if rules := listed(); len(rules) != 0 {
		t.Errorf("before any, there are %v", rules)
	}
	of := n.setRetention(t, &statisticspb.RetentionRule{Dataflow: "X:GATES(1.0+.0)", Provider: "y", AfterPeriod: "P1Y6M"})
	all := n.setRetention(t, &statisticspb.RetentionRule{AfterReceived: "90", AfterSuperseded: "P2W"})
	t.Run("it lists them by dataflow and provider, with who set them and when", func(t *testing.T) {
		if of.GetDataflow() != gates || of.GetAuthor() != "somebody" || time.Since(of.GetCreateTime().AsTime()) > time.Minute {
			t.Errorf("set %v", of)
		}
		if diff := cmp.Diff([]*statisticspb.RetentionRule{all, of}, listed(), protocmp.Transform()); diff != "" {
			t.Errorf("rules (-want +got):\n%s", diff)
		}
	})
	t.Run("it puts another in the place of one for the same", func(t *testing.T) {
		n.caller.Person = &internalrpc.Person{Subject: "another"}
		again := n.setRetention(t, &statisticspb.RetentionRule{Dataflow: gates, Provider: "y", AfterReceived: "P2Y"})
		if got := listed(); len(got) != 2 || got[1].GetAuthor() != "another" || got[1].GetAfterPeriod() != "" || !cmp.Equal(got[1], again, protocmp.Transform()) {
			t.Errorf("rules %v", got)
		}
	})
	t.Run("it takes one away, once", func(t *testing.T) {
		remove := &statisticspb.SetRetentionRequest{Rule: &statisticspb.RetentionRule{Dataflow: gates, Provider: "y"}, Remove: true}
		if response, err := n.SetRetention(t.Context(), remove); err != nil || response.GetRule() != nil || len(listed()) != 1 {
			t.Errorf("%v, %v", response, err)
		}
		if _, err := n.SetRetention(t.Context(), remove); status.Code(err) != codes.NotFound {
			t.Errorf("again: %v", err)
		}
	})
	for name, test := range map[string]struct {
		rule *statisticspb.RetentionRule
		want codes.Code
		says string
	}{
		"of no time":                   {&statisticspb.RetentionRule{AfterReceived: "P0D"}, codes.InvalidArgument, "rule.afterReceived"},
		"of a negative time":           {&statisticspb.RetentionRule{AfterPeriod: "-5"}, codes.InvalidArgument, "rule.afterPeriod"},
		"of hours":                     {&statisticspb.RetentionRule{AfterSuperseded: "PT5H"}, codes.InvalidArgument, "rule.afterSuperseded"},
		"of words":                     {&statisticspb.RetentionRule{AfterPeriod: "two years"}, codes.InvalidArgument, "rule.afterPeriod"},
		"of a thousand and more years": {&statisticspb.RetentionRule{AfterPeriod: "P9999Y"}, codes.InvalidArgument, "rule.afterPeriod"},
		"of a number without end":      {&statisticspb.RetentionRule{AfterPeriod: strings.Repeat("9", 5000)}, codes.InvalidArgument, "rule.afterPeriod"},
		"of a dataflow in another form": {
			&statisticspb.RetentionRule{Dataflow: "GATES", AfterPeriod: "P1Y"}, codes.InvalidArgument, "",
		},
		"of a dataflow that there is not": {
			&statisticspb.RetentionRule{Dataflow: "X:NOTHING(1.0.0)", AfterPeriod: "P1Y"}, codes.NotFound, "",
		},
		"of a provider with a space":   {&statisticspb.RetentionRule{Provider: " y", AfterPeriod: "P1Y"}, codes.InvalidArgument, "rule.provider"},
		"of a provider without an end": {&statisticspb.RetentionRule{Provider: strings.Repeat("y", 501)}, codes.InvalidArgument, "rule.provider"},
		"of a provider that is no text": {
			&statisticspb.RetentionRule{Provider: "y\x00"}, codes.InvalidArgument, "rule.provider",
		},
	} {
		t.Run("it refuses a rule "+name, func(t *testing.T) {
			_, err := n.SetRetention(t.Context(), &statisticspb.SetRetentionRequest{Rule: test.rule})
			if status.Code(err) != test.want || !strings.Contains(fmt.Sprint(status.Convert(err).Details()), test.says) {
				t.Errorf("%v %v", err, status.Convert(err).Details())
			}
		})
	}
	t.Run("it refuses to take a rule away whose provider is no text", func(t *testing.T) {
		_, err := n.SetRetention(t.Context(), &statisticspb.SetRetentionRequest{Rule: &statisticspb.RetentionRule{Provider: "y\x00"}, Remove: true})
		if status.Code(err) != codes.InvalidArgument {
			t.Error(err)
		}
	})
}

// receive hands over a release of a partner's gates, which is to be kept for so many days.
func (n *node) receive(t *testing.T, provider, release string, keepDays int32, rows ...string) (*statisticspb.Submission, error) {
	t.Helper()
	before := n.caller
	n.caller = internalrpc.Caller{State: "x", Service: "sharing"}
	defer func() { n.caller = before }()
	var texts [][]string
	figures := make([]float64, len(rows))
	for i, row := range rows {
		texts, figures[i] = append(texts, append([]string{"M"}, strings.Fields(row)...)), float64(i+1)
	}
	return n.submit(t, &statisticspb.SubmissionHeader{Dataflow: gates, Provider: provider, Release: release, KeepDays: keepDays},
		[]string{"FREQ", "GATE", "NATION", block.TimePeriod}, texts, figures)
}

// after returns the service as it is some days from now.
func (n *node) after(days int) *statistics.Service {
	return statistics.NewService(n.store, "x", func() time.Time { return time.Now().AddDate(0, 0, days) }, func() string { return uuid.Must(uuid.NewV7()).String() })
}

func TestTermsOfRetention(t *testing.T) {
	t.Parallel()
	n := newMadeUp(t)
	n.gate(t, "own", map[string]float64{"East Aland 2024-01": 3})
	for provider, days := range map[string]int32{"y": 10, "z": 20, "w": 0} {
		if s, err := n.receive(t, provider, "r", days, "East Aland 2024-01", "East Bland 2024-02"); err != nil || s.GetState() != statisticspb.Submission_ACCEPTED {
			t.Fatalf("%v, %v", s, err)
		}
	}
	left := func() string {
		t.Helper()
		rows, _, err := n.rows(t, &statisticspb.QueryRequest{Dataflow: gates, Providers: []string{"w", "x", "y", "z"}})
		if err != nil {
			t.Fatal(err)
		}
		providers := make([]string, len(rows))
		for i, r := range rows {
			providers[i] = r.Provider
		}
		slices.Sort(providers)
		return strings.Join(providers, "")
	}
	for _, step := range []struct {
		days int
		left string
	}{{9, "wwxyyzz"}, {11, "wwxzz"}, {21, "wwx"}} {
		if err := n.after(step.days).RemoveExpired(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := left(); got != step.left {
			t.Errorf("after %d days there are figures of %s, want %s", step.days, got, step.left)
		}
	}
	t.Run("it logs what was removed by terms, and pages through it", func(t *testing.T) {
		var got []string
		token := ""
		for {
			response, err := n.ListRemovals(t.Context(), &statisticspb.ListRemovalsRequest{PageSize: 3, PageToken: token})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range response.GetRemovals() {
				if r.GetRule() != nil || r.GetByTerms() != r.GetFigures() || !strings.HasPrefix(r.GetName(), "removals/") || r.GetChunks() != 1 || r.GetEndTime() == nil {
					t.Errorf("the entry is %v", r)
				}
				got = append(got, fmt.Sprintf("%s %s %d %d %s %s", r.GetDataflow(), r.GetProvider(), r.GetFigures(), r.GetSeries(), r.GetFirstDay(), r.GetLastDay()))
			}
			if token = response.GetNextPageToken(); token == "" {
				break
			}
			if len(response.GetRemovals()) != 3 {
				t.Errorf("a page has %d entries", len(response.GetRemovals()))
			}
		}
		want := []string{ // what was derived of the figures goes with them
			harmonic + " z 2 2 2024-01-01 2024-02-29", gates + " z 2 2 2024-01-01 2024-02-29",
			harmonic + " y 2 2 2024-01-01 2024-02-29", gates + " y 2 2 2024-01-01 2024-02-29",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("removals, the newest first (-want +got):\n%s", diff)
		}
	})
	t.Run("it refuses a page of another list, and one of fewer than none", func(t *testing.T) {
		for _, request := range []*statisticspb.ListRemovalsRequest{{PageToken: "x"}, {PageToken: "'; DROP TABLE removal"}, {PageSize: -1}} {
			if _, err := n.ListRemovals(t.Context(), request); status.Code(err) != codes.InvalidArgument {
				t.Errorf("%v: %v", request, err)
			}
		}
	})
	t.Run("it takes terms from the sharing service alone, and none that are below nothing", func(t *testing.T) {
		if _, err := n.receive(t, "y", "s", -1, "East Aland 2024-01"); status.Code(err) != codes.InvalidArgument {
			t.Errorf("negative terms: %v", err)
		}
		_, err := n.submit(t, &statisticspb.SubmissionHeader{Dataflow: gates, KeepDays: 3}, []string{"FREQ", "GATE", "NATION", block.TimePeriod},
			[][]string{{"M", "East", "Aland", "2024-01"}}, []float64{1})
		if status.Code(err) != codes.PermissionDenied {
			t.Errorf("terms of the state's own figures: %v", err)
		}
	})
}

func TestRemovalAndQueriesDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	n := newMadeUp(t)
	const series = 4_500 // of which one transaction removes 2,000
	rows := make([]string, series)
	for i := range rows {
		rows[i] = fmt.Sprintf("G%d Others 2024-01", i)
	}
	if s, err := n.receive(t, "y", "r", 10, rows...); err != nil || s.GetState() != statisticspb.Submission_ACCEPTED {
		t.Fatalf("%v, %v", s, err)
	}
	stream, err := n.Query(t.Context(), &statisticspb.QueryRequest{Dataflow: gates, Providers: []string{"y"}})
	if err != nil {
		t.Fatal(err)
	}
	first, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.after(11).RemoveExpired(t.Context()); err != nil {
		t.Fatal(err)
	}
	count := first.GetBlock().GetRows()
	for {
		response, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		count += response.GetBlock().GetRows()
	}
	if count != series {
		t.Errorf("a query that was under way has %d figures, want %d", count, series)
	}
	if left, _, err := n.rows(t, &statisticspb.QueryRequest{Dataflow: gates, Providers: []string{"y"}}); err != nil || len(left) != 0 {
		t.Errorf("%d figures are left, %v", len(left), err)
	}
	removals, err := n.ListRemovals(t.Context(), &statisticspb.ListRemovalsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range removals.GetRemovals() {
		if r.GetDataflow() == gates && (r.GetFigures() != series || r.GetByTerms() != series || r.GetSeries() != series || r.GetChunks() != 3) {
			t.Errorf("logged %v", r)
		}
	}
}
