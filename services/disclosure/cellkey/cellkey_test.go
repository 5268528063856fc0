package cellkey_test

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comity-federation/comity/services/disclosure/cellkey"
	"github.com/comity-federation/comity/services/fault"
)

func TestCellsArePerturbedInTheirOrder(t *testing.T) {
	got, table, err := cellkey.Perturb(mixed(), []cellkey.Question{{120, 0.172809880000003}, {0, 0.9}, {0, math.NaN()}, {1, 0.61116916}, {2, 0.85192145}})
	if err != nil {
		t.Fatal(err)
	}
	want := []cellkey.Answer{{120, 119, -1}, {0, 0, 0}, {0, 0, 0}, {1, 2, 1}, {2, 3, 1}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if len(table.Transitions()) != 17 {
		t.Errorf("the table has %d entries, want 17", len(table.Transitions()))
	}
}

func TestQuestionsThatAreWrongAreRefusedByTheirFields(t *testing.T) {
	for _, c := range []struct {
		cell  cellkey.Question
		field string
	}{
		{cellkey.Question{1.5, 0.5}, "cells[1].count"},
		{cellkey.Question{-1, 0.5}, "cells[1].count"},
		{cellkey.Question{math.NaN(), 0.5}, "cells[1].count"},
		{cellkey.Question{math.Inf(1), 0.5}, "cells[1].count"},
		{cellkey.Question{1 << 54, 0.5}, "cells[1].count"},
		{cellkey.Question{1, 1}, "cells[1].cellKey"},
		{cellkey.Question{1, -0.1}, "cells[1].cellKey"},
		{cellkey.Question{1, math.NaN()}, "cells[1].cellKey"},
	} {
		_, _, err := cellkey.Perturb(mixed(), []cellkey.Question{{1, 0}, c.cell})
		if !fault.Is(err, fault.Invalid) || !strings.HasPrefix(err.Error(), c.field+": ") {
			t.Errorf("%+v: %v", c.cell, err)
		}
	}
	if _, _, err := cellkey.Perturb(cellkey.Parameters{}, nil); !fault.Is(err, fault.Invalid) {
		t.Error(err)
	}
}
