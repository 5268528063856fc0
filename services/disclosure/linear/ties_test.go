package linear_test

import (
	"errors"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/comity-federation/comity/services/disclosure/linear"
)

func TestTies(t *testing.T) {
	t.Run("finds the two that are left of a sum, and none among three", func(t *testing.T) {
		s := &linear.System{Unknowns: 8, Equations: []linear.Equation{
			{{0, 1}, {1, -1}, {2, -1}}, // 0 is known
			{{3, 1}, {4, -1}, {5, -1}, {6, -1}},
			{{7, 1}, {0, -1}},
		}}
		got, err := s.Ties([]int{4, 1, 5, 2, 6, 7}, seeded(1))
		if diff := cmp.Diff([]int{1, 2, 3, 2, 4, 0}, got); diff != "" || err != nil {
			t.Error(diff, err)
		}
	})
	t.Run("ties what rational rank ties", rapid.MakeCheck(func(t *rapid.T) {
		s := systems().Draw(t, "system")
		open := subset(s.Unknowns).Draw(t, "open")
		ties, err := s.Ties(open, seeded(rapid.Byte().Draw(t, "seed")))
		if err != nil {
			t.Fatal(err)
		}
		rank := rationalRank(dense(s, open))
		for i, a := range open {
			if (ties[i] == 0) != (rationalRank(dense(s, open, a)) == rank) {
				t.Errorf("unknown %d of %v has tie %d", a, open, ties[i])
			}
			for j, b := range open {
				if ties[i] == 0 || ties[j] == 0 {
					continue
				}
				tied := rationalRank(dense(s, open, a, b)) == rationalRank(dense(s, open, a))
				if tied != (ties[i] == ties[j]) {
					t.Errorf("unknowns %d and %d of %v have ties %d and %d", a, b, open, ties[i], ties[j])
				}
			}
		}
	}))
	t.Run("tells that it has no random bytes", func(t *testing.T) {
		broken := errors.New("broken")
		if _, err := (&linear.System{Unknowns: 1}).Ties([]int{0}, iotest.ErrReader(broken)); !errors.Is(err, broken) {
			t.Error(err)
		}
	})
}
