package sharing

import (
	"slices"
	"testing"
	"time"
)

func TestRound_makes_at_once_what_has_changed_and_the_rest_when_it_is_quiet(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 1, 5, 6, 0, 0, 0, time.UTC)
	var r round
	r.renew()
	release := func() []AgreementID {
		var made []AgreementID
		for id, flow := range map[AgreementID]string{"one": "A:X", "two": "A:Y", "three": "A:X"} {
			if _, done := r.done[id]; r.open && !done {
				r.done[id] = flow
				made = append(made, id)
			}
		}
		r.open = false
		slices.Sort(made)
		return made
	}
	all, ofX := []AgreementID{"one", "three", "two"}, []AgreementID{"one", "three"}
	if got := release(); !slices.Equal(got, all) {
		t.Fatalf("at first it makes %v", got)
	}
	for _, step := range []struct {
		after time.Duration
		fresh []string
		want  []AgreementID
	}{
		{0, nil, nil},
		{0, []string{"A:X"}, ofX},
		{5 * time.Second, []string{"A:X"}, ofX},
		{14 * time.Second, nil, nil},
		{15 * time.Second, nil, []AgreementID{"two"}},
		{16 * time.Second, nil, nil},
		{time.Minute, []string{"A:Z"}, nil},
		{time.Minute + 5*time.Second, []string{"A:X", "A:Y"}, all},
		{time.Minute + 15*time.Second, nil, nil},
		{2 * time.Minute, []string{"A:Z"}, nil},
		{2*time.Minute + 10*time.Second, nil, all},
	} {
		fresh := map[string]bool{}
		for _, flow := range step.fresh {
			fresh[flow] = true
		}
		r.note(fresh, begin.Add(step.after))
		if got := release(); !slices.Equal(got, step.want) {
			t.Errorf("after %v with news of %v it makes %v, want %v", step.after, step.fresh, got, step.want)
		}
	}
	for after := time.Hour; ; after += time.Second { // it is never quiet
		r.note(map[string]bool{"A:X": true}, begin.Add(after))
		if got := release(); slices.Equal(got, all) {
			if waited := after - time.Hour; waited != quietMost {
				t.Errorf("what has not changed waits for %v", waited)
			}
			break
		}
		if after > 2*time.Hour {
			t.Fatal("what has not changed is never looked at")
		}
	}
}
