package postgres

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/comity-federation/comity/proto/period"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/internal/postgrestest"
	"github.com/comity-federation/comity/services/risk"
	"github.com/comity-federation/comity/services/risk/belief"
)

func assumption(id risk.AssumptionID) risk.Assumption {
	return risk.Assumption{
		ID: id, Title: "250 a quarter", Rationale: "as in the year before", Author: "analysis unit",
		AssumedRate: 250.1, Strength: 1e-6, Tolerance: 0.25,
		Evidence: risk.Evidence{
			Dataflow: "COMITY:BORDER(1.0.0)", Key: "Q.GB.1A", Provider: "gb", Start: "2021-Q3", End: "2022-Q2",
		},
		CreateTime: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC),
	}
}

func create(t *testing.T, s *Store, a risk.Assumption) risk.Assumption {
	t.Helper()
	stored, err := s.CreateAssumption(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	return stored
}

func TestCreateAssumptionReturnsWhatIsStored(t *testing.T) {
	s := NewStore(postgrestest.New(t, Migrations))
	first := assumption("boats")
	if diff := cmp.Diff(first, create(t, s, first)); diff != "" {
		t.Error(diff)
	}
	second := first
	second.Title, second.CreateTime = "300 a quarter", first.CreateTime.Add(time.Hour)
	if diff := cmp.Diff(first, create(t, s, second)); diff != "" {
		t.Errorf("the second of the same id was not answered with the first: %s", diff)
	}
	if read, err := s.Assumption(t.Context(), "boats"); err != nil || read != first {
		t.Errorf("read %+v: %v", read, err)
	}
}

func TestAssumptionSaysWhichIsMissing(t *testing.T) {
	s := NewStore(postgrestest.New(t, Migrations))
	if _, err := s.Assumption(t.Context(), "none"); !fault.Is(err, fault.NotFound) {
		t.Errorf("error is %v, want not found", err)
	}
}

func TestAssumptionsAreListedInTheByteOrderOfIds(t *testing.T) {
	s := NewStore(postgrestest.New(t, Migrations))
	for _, id := range []risk.AssumptionID{"a-b", "ab", "a", "0", "b"} {
		create(t, s, assumption(id))
	}
	for _, c := range []struct {
		after risk.AssumptionID
		limit int
		want  []risk.AssumptionID
	}{
		{"", 10, []risk.AssumptionID{"0", "a", "a-b", "ab", "b"}},
		{"a", 2, []risk.AssumptionID{"a-b", "ab"}},
		{"b", 2, nil},
	} {
		list, err := s.Assumptions(t.Context(), c.after, c.limit)
		if err != nil {
			t.Fatal(err)
		}
		var ids []risk.AssumptionID
		for _, a := range list {
			ids = append(ids, a.ID)
		}
		if diff := cmp.Diff(c.want, ids); diff != "" {
			t.Errorf("%d after %q: %s", c.limit, c.after, diff)
		}
	}
}

func TestCreateJudgementKeepsAllThatItRestsOn(t *testing.T) {
	pool := postgrestest.New(t, Migrations)
	s := NewStore(pool)
	a := create(t, s, assumption("boats"))
	result, err := belief.Judge(belief.Question{AssumedRate: 250, Strength: 10, Events: 3, Exposure: 0.01, Tolerance: 0.25})
	if err != nil {
		t.Fatal(err)
	}
	quarter, err := period.Parse("2021-Q3")
	if err != nil {
		t.Fatal(err)
	}
	j := risk.Judgement{
		ID: uuid.Must(uuid.NewV7()).String(), Assumption: a, Events: 3, Exposure: 0.01, Revision: 7, Method: belief.Method,
		Evidence: []risk.Count{{Period: quarter, Events: 3, Provider: "gb", Status: "A"}},
		Result:   result, Time: a.CreateTime,
	}
	if err := s.CreateJudgement(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	var evidence, outcome string
	var needed *float64
	read := func(ctx context.Context) error {
		return pool.QueryRow(ctx, `SELECT evidence::text, outcome, exposure_needed FROM judgement WHERE revision = 7`).
			Scan(&evidence, &outcome, &needed)
	}
	if err := read(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := `[{"events": 3, "period": "2021-Q3", "status": "A", "provider": "gb"}]`; evidence != want {
		t.Errorf("evidence is %s, want %s", evidence, want)
	}
	if outcome != string(result.Outcome) || (needed == nil) != (result.ExposureNeeded == 0) {
		t.Errorf("outcome is %s with %v needed, want %s with %v", outcome, needed, result.Outcome, result.ExposureNeeded)
	}
	j.ID, j.Assumption.ID = uuid.Must(uuid.NewV7()).String(), "unknown"
	if err := s.CreateJudgement(t.Context(), j); err == nil {
		t.Error("a judgement of an unknown assumption was stored")
	}
}
