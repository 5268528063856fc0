package rpc_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/comity-federation/comity/proto/block"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/proto/wire"
	internalrpc "github.com/comity-federation/comity/services/internal/rpc"
)

// figures are rows of "key… period" with their figures.
type figures map[string]float64

func (n *node) putRows(t *testing.T, header *statisticspb.SubmissionHeader, dimensions []string, rows figures) *statisticspb.Submission {
	t.Helper()
	var texts [][]string
	var values []float64
	for _, row := range slices.Sorted(maps.Keys(rows)) { // the same content is in the same order
		texts, values = append(texts, append([]string{"M"}, strings.Fields(row)...)), append(values, rows[row])
	}
	n.caller.Service, n.caller.Person = "gateway", &internalrpc.Person{Subject: "somebody"}
	if header.GetAction() == replace { // which people may not
		n.caller.Service, n.caller.Person = "sharing", nil
	}
	s, err := n.submit(t, header, append(append([]string{"FREQ"}, dimensions...), block.TimePeriod), texts, values)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (n *node) putGates(t *testing.T, key string, action statisticspb.SubmissionHeader_Action, rows figures) *statisticspb.Submission {
	t.Helper()
	return n.putRows(t, &statisticspb.SubmissionHeader{Dataflow: gates, IdempotencyKey: key, Action: action}, []string{"GATE", "NATION"}, rows)
}

// twoYears are figures of three gates and three nations in 24 months, those of a year that passes.
func twoYears(pass func(gate, nation, month string) bool) figures {
	rows := figures{}
	for i, gate := range []string{"East", "West", "South"} {
		for j, nation := range []string{"Aland", "Bland", "Others"} {
			for month := range 24 {
				period := fmt.Sprintf("%d-%02d", 2022+month/12, month%12+1)
				if pass == nil || pass(gate, nation, period) {
					rows[gate+" "+nation+" "+period] = float64(100 + 31*i + 17*j + 7*(month%12))
				}
			}
		}
	}
	return rows
}

func (n *node) setRules(t *testing.T, dataflow string, rules ...*statisticspb.QualityRule) *statisticspb.QualityRules {
	t.Helper()
	response, err := n.SetQualityRules(t.Context(), &statisticspb.SetQualityRulesRequest{QualityRules: &statisticspb.QualityRules{Dataflow: dataflow, Rules: rules}})
	if err != nil {
		t.Fatal(err)
	}
	return response.GetQualityRules()
}

func (n *node) getRules(t *testing.T, dataflow string) *statisticspb.QualityRules {
	t.Helper()
	response, err := n.GetQualityRules(t.Context(), &statisticspb.GetQualityRulesRequest{Dataflow: dataflow})
	if err != nil {
		t.Fatal(err)
	}
	return response.GetQualityRules()
}

func TestQualityRules(t *testing.T) {
	t.Parallel()
	n := newMadeUp(t)
	t.Run("it answers with the default rules, which are in the form of its contract", func(t *testing.T) {
		got := n.getRules(t, gates)
		file, err := os.ReadFile("../rules.json")
		if err != nil {
			t.Fatal(err)
		}
		want := &statisticspb.QualityRules{}
		if err := protojson.Unmarshal(file, want); err != nil {
			t.Fatal(err)
		}
		want.Dataflow = gates
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Errorf("rules (-want +got):\n%s", diff)
		}
	})
	t.Run("it could store the default rules", func(t *testing.T) {
		set := n.setRules(t, harmonic, n.getRules(t, harmonic).GetRules()...)
		if set.GetVersion() != 1 || set.GetAuthor() != "somebody" || set.GetCreateTime() == nil {
			t.Errorf("set %v", set)
		}
	})
	t.Run("it keeps what was set, and counts versions where they differ", func(t *testing.T) {
		rule := &statisticspb.QualityRule{
			Id: "BOATS", Check: statisticspb.QualityRule_RELATION, Severity: statisticspb.Finding_WARNING, Dimensions: []string{"NATION"},
			Filter: wire.FilterToProto(filter.Eq("GATE", "East")), Thresholds: map[string]float64{"absolute": 2},
			Relation: &statisticspb.QualityRelation{Operator: statisticspb.QualityRelation_AT_MOST, Right: wire.FilterToProto(filter.Eq("GATE", "West")), Dataflow: gates},
			Note:     "Of those who come by one gate…",
		}
		first := n.setRules(t, gates, rule)
		if again := n.setRules(t, gates, rule); again.GetVersion() != first.GetVersion() {
			t.Errorf("version %d became %d", first.GetVersion(), again.GetVersion())
		}
		if diff := cmp.Diff([]*statisticspb.QualityRule{rule}, n.getRules(t, gates).GetRules(), protocmp.Transform()); diff != "" {
			t.Errorf("rules (-want +got):\n%s", diff)
		}
		if none := n.setRules(t, gates); none.GetVersion() != first.GetVersion()+1 || len(n.getRules(t, gates).GetRules()) != 0 {
			t.Errorf("none: %v", none)
		}
	})
	valid := func(change func(*statisticspb.QualityRule)) *statisticspb.QualityRule {
		r := &statisticspb.QualityRule{Id: "R", Check: statisticspb.QualityRule_TOTAL_CHANGE, Severity: statisticspb.Finding_NOTE}
		change(r)
		return r
	}
	for name, r := range map[string]*statisticspb.QualityRule{
		"without an id":                valid(func(r *statisticspb.QualityRule) { r.Id = "" }),
		"with an id in small letters":  valid(func(r *statisticspb.QualityRule) { r.Id = "boats" }),
		"without a check":              valid(func(r *statisticspb.QualityRule) { r.Check = 0 }),
		"with a check of the future":   valid(func(r *statisticspb.QualityRule) { r.Check = 99 }),
		"without a severity":           valid(func(r *statisticspb.QualityRule) { r.Severity = 0 }),
		"with an unknown threshold":    valid(func(r *statisticspb.QualityRule) { r.Thresholds = map[string]float64{"depth": 1} }),
		"with a negative threshold":    valid(func(r *statisticspb.QualityRule) { r.Thresholds = map[string]float64{"factor": -1} }),
		"by an unknown dimension":      valid(func(r *statisticspb.QualityRule) { r.Dimensions = []string{"SHOE_SIZE"} }),
		"by a dimension twice":         valid(func(r *statisticspb.QualityRule) { r.Dimensions = []string{"GATE", "GATE"} }),
		"by the frequency":             valid(func(r *statisticspb.QualityRule) { r.Dimensions = []string{"FREQ"} }),
		"of what is no dimension":      valid(func(r *statisticspb.QualityRule) { r.Filter = wire.FilterToProto(filter.Eq("OBS_VALUE", "1")) }),
		"with a relation out of place": valid(func(r *statisticspb.QualityRule) { r.Relation = &statisticspb.QualityRelation{} }),
		"without a relation":           valid(func(r *statisticspb.QualityRule) { r.Check = statisticspb.QualityRule_RELATION }),
		"related to an unknown dataflow": valid(func(r *statisticspb.QualityRule) {
			r.Check = statisticspb.QualityRule_RELATION
			r.Relation = &statisticspb.QualityRelation{Dataflow: "X:Y(1.0.0)"}
		}),
		"of releases, with a filter": valid(func(r *statisticspb.QualityRule) {
			r.Check = statisticspb.QualityRule_HOLES
			r.Filter = wire.FilterToProto(filter.Eq("GATE", "East"))
		}),
		"with more to say than people do": valid(func(r *statisticspb.QualityRule) { r.Note = strings.Repeat("a", 501) }),
	} {
		t.Run("it refuses a rule "+name, func(t *testing.T) {
			_, err := n.SetQualityRules(t.Context(), &statisticspb.SetQualityRulesRequest{QualityRules: &statisticspb.QualityRules{Dataflow: gates, Rules: []*statisticspb.QualityRule{r}}})
			if status.Code(err) != codes.InvalidArgument {
				t.Errorf("error %v", err)
			}
		})
	}
	t.Run("it refuses rules of a dataflow that there is not", func(t *testing.T) {
		_, err := n.SetQualityRules(t.Context(), &statisticspb.SetQualityRulesRequest{QualityRules: &statisticspb.QualityRules{Dataflow: "X:Y(1.0.0)"}})
		if status.Code(err) != codes.NotFound {
			t.Errorf("error %v", err)
		}
	})
}

func TestOverride(t *testing.T) {
	t.Parallel()
	n := newMadeUp(t)
	if s := n.putGates(t, "first", merge, twoYears(nil)); s.GetState() != statisticspb.Submission_ACCEPTED || len(s.GetFindings()) != 0 {
		t.Fatalf("%v %v", s.GetState(), s.GetFindings())
	}
	lost := twoYears(func(_, _, month string) bool { return !strings.HasPrefix(month, "2022") })
	rejected := n.putGates(t, "second", replace, lost)
	if f := blocking(rejected)["PERIODS_LOST"]; f.GetPeriod() != "2022-01" || !cmp.Equal(f.GetValues(), []string{"2022-01", "2022-12"}) {
		t.Fatalf("findings %v", rejected.GetFindings())
	}
	override := func(name, reason string, rules ...string) (*statisticspb.Submission, error) {
		n.caller.Service, n.caller.Person = "gateway", &internalrpc.Person{Subject: "Olga Officer"}
		response, err := n.OverrideSubmission(t.Context(), &statisticspb.OverrideSubmissionRequest{Name: name, Rules: rules, Reason: reason})
		return response.GetSubmission(), err
	}
	const reason = "The year was moved to another dataflow by decree 12."
	duplicate := n.putTwice(t)

	for name, test := range map[string]struct {
		name, reason string
		rules        []string
		want         codes.Code
	}{
		"without a reason":                             {rejected.GetName(), "because", []string{"PERIODS_LOST"}, codes.InvalidArgument},
		"of no rule":                                   {rejected.GetName(), reason, nil, codes.InvalidArgument},
		"of a rule that is not broken":                 {rejected.GetName(), reason, []string{"PERIODS_LOST", "TOTAL_CHANGED"}, codes.InvalidArgument},
		"of a rule that keeps the store whole":         {duplicate.GetName(), reason, []string{"DUPLICATE_KEY"}, codes.InvalidArgument},
		"of a submission that there is not":            {"submissions/0192f0c4-0000-7000-8000-000000000000", reason, []string{"PERIODS_LOST"}, codes.NotFound},
		"of a submission that there could not even be": {"submissions/x", reason, []string{"PERIODS_LOST"}, codes.NotFound},
	} {
		t.Run("it refuses an override "+name, func(t *testing.T) {
			if _, err := override(test.name, test.reason, test.rules...); status.Code(err) != test.want {
				t.Errorf("error %v", err)
			}
		})
	}
	t.Run("it says that some rules are not for overriding", func(t *testing.T) {
		_, err := override(duplicate.GetName(), reason, "DUPLICATE_KEY")
		if !strings.Contains(fmt.Sprint(status.Convert(err).Details()), "keeps the store whole and cannot be overridden") {
			t.Errorf("error %v %v", err, status.Convert(err).Details())
		}
	})
	t.Run("it lets nobody override without a name", func(t *testing.T) {
		n.caller.Person = nil
		_, err := n.OverrideSubmission(t.Context(), &statisticspb.OverrideSubmissionRequest{Name: rejected.GetName(), Rules: []string{"PERIODS_LOST"}, Reason: reason})
		if status.Code(err) != codes.PermissionDenied {
			t.Errorf("error %v", err)
		}
	})
	t.Run("it rejects the same again as long as nobody overrides", func(t *testing.T) {
		if s := n.putGates(t, "third", replace, lost); s.GetState() != statisticspb.Submission_REJECTED {
			t.Errorf("%v", s)
		}
	})
	t.Run("it lets the same content pass, once, and says by whom and why", func(t *testing.T) {
		held, err := override(rejected.GetName(), reason, "PERIODS_LOST")
		if err != nil {
			t.Fatal(err)
		}
		if held.GetState() != statisticspb.Submission_REJECTED || len(held.GetOverrides()) != 1 {
			t.Errorf("held %v", held)
		}
		if s := n.putGates(t, "second", replace, lost); s.GetName() != rejected.GetName() || s.GetState() != statisticspb.Submission_REJECTED {
			t.Errorf("the same key is another submission: %v", s)
		}
		other := twoYears(func(_, _, month string) bool { return !strings.HasPrefix(month, "2022") && month != "2023-01" })
		if s := n.putGates(t, "other", replace, other); s.GetState() != statisticspb.Submission_REJECTED {
			t.Errorf("another content passes: %v", s)
		}
		passed := n.putGates(t, "fourth", replace, lost)
		o := passed.GetOverrides()
		if passed.GetState() != statisticspb.Submission_ACCEPTED || len(o) != 1 || o[0].GetOfficer() != "Olga Officer" || o[0].GetReason() != reason || !cmp.Equal(o[0].GetRules(), []string{"PERIODS_LOST"}) {
			t.Fatalf("passed %v", passed)
		}
		if f := find(passed, "PERIODS_LOST"); !f.GetOverridden() || f.GetSeverity() != statisticspb.Finding_BLOCKING {
			t.Errorf("finding %v", f)
		}
		stored, err := n.GetSubmission(t.Context(), &statisticspb.GetSubmissionRequest{Name: passed.GetName()})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(passed, stored.GetSubmission(), protocmp.Transform()); diff != "" {
			t.Errorf("stored (-want +got):\n%s", diff)
		}
		if s := n.putGates(t, "back", merge, twoYears(nil)); s.GetState() != statisticspb.Submission_ACCEPTED {
			t.Fatalf("back: %v", s)
		}
		if s := n.putGates(t, "fifth", replace, lost); s.GetState() != statisticspb.Submission_REJECTED {
			t.Error("it passes once more")
		}
		if _, err := override(passed.GetName(), reason, "PERIODS_LOST"); status.Code(err) != codes.FailedPrecondition {
			t.Errorf("an accepted one is overridden: %v", err)
		}
	})
	t.Run("it keeps the provider's comment on a finding", func(t *testing.T) {
		comment := func(finding int32, text string) (*statisticspb.Submission, error) {
			response, err := n.CommentFinding(t.Context(), &statisticspb.CommentFindingRequest{Name: rejected.GetName(), Finding: finding, Comment: text})
			return response.GetSubmission(), err
		}
		s, err := comment(0, " The year is in another dataflow. ")
		if err != nil || s.GetFindings()[0].GetComment() != "The year is in another dataflow." || s.GetState() != statisticspb.Submission_REJECTED {
			t.Errorf("%v, %v", s, err)
		}
		if s, err = comment(0, ""); err != nil || s.GetFindings()[0].GetComment() != "" {
			t.Errorf("%v, %v", s, err)
		}
		for finding, text := range map[int32]string{-1: "a", 1000: "a", 0: strings.Repeat("a", 2001)} {
			if _, err := comment(finding, text); status.Code(err) != codes.InvalidArgument {
				t.Errorf("finding %d: %v", finding, err)
			}
		}
	})
}

// putTwice submits a row twice, which is rejected for what no officer may override.
func (n *node) putTwice(t *testing.T) *statisticspb.Submission {
	t.Helper()
	n.caller.Service, n.caller.Person = "gateway", &internalrpc.Person{Subject: "somebody"}
	row := []string{"M", "East", "Aland", "2022-01"}
	s, err := n.submit(t, &statisticspb.SubmissionHeader{Dataflow: gates}, []string{"FREQ", "GATE", "NATION", block.TimePeriod}, [][]string{row, row}, []float64{1, 2})
	if err != nil || s.GetState() != statisticspb.Submission_REJECTED {
		t.Fatalf("%v, %v", s, err)
	}
	return s
}

func TestJudgement(t *testing.T) {
	t.Parallel()
	n := newMadeUp(t)
	if s := n.putGates(t, "", merge, twoYears(nil)); s.GetState() != statisticspb.Submission_ACCEPTED {
		t.Fatal(s.GetFindings())
	}
	change := func(figure func(gate, nation, month string, value float64) (string, float64)) figures {
		changed := figures{}
		for row, value := range twoYears(nil) {
			parts := strings.Fields(row)
			to, value := figure(parts[0], parts[1], parts[2], value)
			changed[to+" "+parts[2]] += value
		}
		return changed
	}
	for name, test := range map[string]struct {
		rows           figures
		replace, merge string // the rule that stops it
	}{
		"loses a month":           {twoYears(func(_, _, month string) bool { return month != "2022-07" }), "PERIODS_LOST", "PERIODS_LOST"},
		"loses its last year":     {twoYears(func(_, _, month string) bool { return month < "2023" }), "PERIODS_LOST", "PERIODS_LOST"},
		"loses a gate":            {twoYears(func(gate, _, _ string) bool { return gate != "West" }), "CODES_LOST", ""},
		"loses every other row":   {twoYears(func(gate, nation, month string) bool { return (len(gate)+len(nation)+int(month[6]))%2 == 0 }), "TOTAL_CHANGED", "ROWS_LOST"},
		"loses its gates":         {change(func(_, nation, _ string, v float64) (string, float64) { return "All " + nation, v }), "BREAKDOWN_LOST", "BREAKDOWN_LOST"},
		"is in thousandths":       {change(func(gate, nation, _ string, v float64) (string, float64) { return gate + " " + nation, 1000 * v }), "TOTAL_CHANGED", "TOTAL_CHANGED"},
		"is in thousands":         {change(func(gate, nation, _ string, v float64) (string, float64) { return gate + " " + nation, v / 1000 }), "TOTAL_CHANGED", "TOTAL_CHANGED"},
		"has its columns swapped": {change(func(gate, nation, _ string, v float64) (string, float64) { return nation + " " + gate, v }), "CODES_SWAPPED", "CODES_SWAPPED"},
		"has other names":         {change(func(gate, nation, _ string, v float64) (string, float64) { return gate + "gate " + nation, v }), "", "COUNTED_TWICE"},
	} {
		for action, want := range map[statisticspb.SubmissionHeader_Action]string{replace: test.replace, merge: test.merge} {
			if want == "" {
				continue
			}
			t.Run(fmt.Sprintf("it stops a release that %s, to %s", name, strings.ToLower(action.String())), func(t *testing.T) {
				s := n.putGates(t, "", action, test.rows)
				if s.GetState() != statisticspb.Submission_REJECTED || blocking(s)[want] == nil {
					t.Errorf("%v, findings %v", s.GetState(), s.GetFindings())
				}
			})
		}
	}
	t.Run("it stays at ten findings of a rule", func(t *testing.T) {
		s := n.putGates(t, "", merge, change(func(gate, nation, _ string, v float64) (string, float64) { return gate + " " + nation, 10 * v }))
		of := 0
		for _, f := range s.GetFindings() {
			if f.GetRule() == "TOTAL_CHANGED" {
				of++
			}
		}
		if of != 11 {
			t.Errorf("%d findings", of)
		}
	})
	t.Run("it takes what comes of further gates", func(t *testing.T) {
		further := change(func(_, nation, _ string, v float64) (string, float64) { return "Southern " + nation, 2.5 * v })
		if s := n.putGates(t, "", merge, further); s.GetState() != statisticspb.Submission_ACCEPTED {
			t.Error(s.GetFindings())
		}
	})
	t.Run("it takes a partner's figures as they come", func(t *testing.T) {
		header := func(key string) *statisticspb.SubmissionHeader {
			return &statisticspb.SubmissionHeader{Dataflow: gates, Provider: "y", Release: "r" + key, IdempotencyKey: key, Action: replace}
		}
		for key, rows := range map[string]figures{"a": twoYears(nil), "b": twoYears(func(_, _, month string) bool { return month < "2023" })} {
			if s := n.putRows(t, header(key), []string{"GATE", "NATION"}, rows); s.GetState() != statisticspb.Submission_ACCEPTED {
				t.Errorf("%v", s.GetFindings())
			}
		}
	})
}

func TestOwnRules(t *testing.T) {
	t.Parallel()
	n := newMadeUp(t)
	rule := func(check statisticspb.QualityRule_Check, change func(*statisticspb.QualityRule)) *statisticspb.QualityRule {
		r := &statisticspb.QualityRule{Id: "OURS", Check: check, Severity: statisticspb.Finding_BLOCKING}
		change(r)
		return r
	}
	n.setRules(t, gates)
	n.putGates(t, "", merge, twoYears(nil))
	n.setRules(t, harmonic, rule(statisticspb.QualityRule_PARTS, func(*statisticspb.QualityRule) {}))
	for _, test := range []struct {
		name string
		rule *statisticspb.QualityRule
		rows figures
		want string // in the message of the first finding; "" where it is accepted
	}{
		{
			"it compares the groups that a rule names",
			rule(statisticspb.QualityRule_TOTAL_CHANGE, func(r *statisticspb.QualityRule) { r.Dimensions = []string{"NATION"} }),
			figures{"East Aland 2022-05": 1000},
			"the sum of 2022-05 of Aland changes by +",
		},
		{
			"it compares groups by several dimensions, and the figures that a rule chooses",
			rule(statisticspb.QualityRule_TOTAL_CHANGE, func(r *statisticspb.QualityRule) {
				r.Dimensions, r.Filter = []string{"NATION", "GATE"}, wire.FilterToProto(filter.Eq("GATE", "East"))
				r.Thresholds = map[string]float64{"cells": 0}
			}),
			figures{"East Aland 2022-05": 1000, "West Aland 2022-05": 5000},
			"the sum of 2022-05 of Aland.East changes by +",
		},
		{
			"it finds an outlier in the group that has it",
			rule(statisticspb.QualityRule_HAMPEL, func(r *statisticspb.QualityRule) { r.Dimensions = []string{"GATE"} }),
			figures{"South Aland 2023-06": 9000},
			"the sum of 2023-06 of South, ",
		},
		{
			"it finds an unlikely season",
			rule(statisticspb.QualityRule_SEASONAL_RATIO, func(*statisticspb.QualityRule) {}),
			figures{"South Aland 2023-06": 9000},
			"the sum of 2023-06, ",
		},
		{
			"it finds a score that is too high",
			rule(statisticspb.QualityRule_MODIFIED_Z, func(*statisticspb.QualityRule) {}),
			figures{"South Aland 2023-06": 90000},
			"modified z-score",
		},
		{
			"it finds a run of zeros in the group that has it",
			rule(statisticspb.QualityRule_ZERO_RUN, func(r *statisticspb.QualityRule) { r.Dimensions = []string{"GATE", "NATION"} }),
			figures{"South Aland 2023-06": 0, "South Aland 2023-07": 0, "South Aland 2023-08": 0},
			"2023-06 to 2023-08 (3 periods)",
		},
		{
			"it wants one sum to be another",
			rule(statisticspb.QualityRule_RELATION, func(r *statisticspb.QualityRule) {
				r.Filter = wire.FilterToProto(filter.Eq("NATION", "Bland"))
				r.Relation = &statisticspb.QualityRelation{Right: wire.FilterToProto(filter.Eq("GATE", "Sum"))}
			}),
			figures{"Sum Any 2022-01": 443},
			"one sum is 444 and the other 443",
		},
		{
			"it lets sums differ by what a rule allows",
			rule(statisticspb.QualityRule_RELATION, func(r *statisticspb.QualityRule) {
				r.Filter, r.Thresholds = wire.FilterToProto(filter.Eq("NATION", "Bland")), map[string]float64{"absolute": 1}
				r.Relation = &statisticspb.QualityRelation{Right: wire.FilterToProto(filter.Eq("GATE", "Sum"))}
			}),
			figures{"Sum Any 2022-01": 443},
			"",
		},
		{
			"it wants one sum to be at most another, of another dataflow",
			rule(statisticspb.QualityRule_RELATION, func(r *statisticspb.QualityRule) {
				r.Relation = &statisticspb.QualityRelation{
					Operator: statisticspb.QualityRelation_AT_MOST, Dataflow: harmonic, Right: wire.FilterToProto(filter.Eq("WHO", "AAA")),
				}
			}),
			figures{"East Aland 2022-03": 1},
			"should be at most the other",
		},
		{
			"it finds figures that were rounded",
			rule(statisticspb.QualityRule_HEAPING, func(r *statisticspb.QualityRule) { r.Thresholds = map[string]float64{"count": 5, "probability": 0.01} }),
			figures{"a Aland 2022-01": 100, "b Aland 2022-01": 105, "c Aland 2022-01": 110, "d Aland 2022-01": 20, "e Aland 2022-01": 25, "f Aland 2022-01": 7},
			"of 5 figures from 10 on, 100.0 % end in 0 or 5",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			n.setRules(t, gates, test.rule)
			s := n.putGates(t, "", merge, test.rows)
			if accepted := s.GetState() == statisticspb.Submission_ACCEPTED; accepted != (test.want == "") {
				t.Fatalf("%v, findings %v", s.GetState(), s.GetFindings())
			}
			if test.want != "" && !strings.Contains(s.GetFindings()[0].GetMessage(), test.want) {
				t.Errorf("findings %v", s.GetFindings())
			}
		})
	}
	t.Run("it compares totals with the sum of their parts", func(t *testing.T) {
		put := func(rows figures) *statisticspb.Submission {
			return n.putRows(t, &statisticspb.SubmissionHeader{Dataflow: harmonic}, []string{"WHO"}, rows)
		}
		s := put(figures{"_T 2020-01": 100, "NORTH 2020-01": 70, "AAA 2020-01": 50, "BBB 2020-01": 30, "CCC 2020-01": 35})
		if f := find(s, "OURS"); f.GetSeverity() != statisticspb.Finding_BLOCKING || f.GetAfter() != 80 || f.GetBefore() != 70 || !cmp.Equal(f.GetValues(), []string{"M.NORTH", "2020-01"}) {
			t.Errorf("findings %v", s.GetFindings())
		}
		if len(s.GetFindings()) != 2 { // 70 + 35 are more than 100, too
			t.Errorf("findings %v", s.GetFindings())
		}
		if s := put(figures{"_T 2020-01": 100, "NORTH 2020-01": 70, "AAA 2020-01": 50, "CCC 2020-01": 30}); s.GetState() != statisticspb.Submission_ACCEPTED {
			t.Errorf("findings %v", s.GetFindings())
		}
	})
}
