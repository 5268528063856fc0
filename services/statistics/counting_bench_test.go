package statistics

import (
	"fmt"
	"testing"
)

// BenchmarkCountCells counts 96,000 cells, of as many stored figures, and of those with all their totals stored as well.
func BenchmarkCountCells(b *testing.B) {
	list := func(groups, parts int) *Hierarchy {
		codes := []Code{{ID: "_T"}}
		for g := range groups {
			group := fmt.Sprint("G", g)
			codes = append(codes, Code{ID: group, Parent: "_T"})
			for p := range parts {
				codes = append(codes, Code{ID: fmt.Sprint(group, "P", p), Parent: group})
			}
		}
		tree, err := NewHierarchy(&Codelist{Ref: Ref{"X", "CL", "1.0.0"}, Codes: codes})
		if err != nil {
			b.Fatal(err)
		}
		return tree
	}
	trees := []*Hierarchy{list(10, 10), list(2, 4), list(2, 1)}
	for _, totals := range []bool{false, true} {
		m := memoryOf(trees)
		var asked [3][]string // the finest codes
		var walk func(codes []string, value float64)
		walk = func(codes []string, value float64) {
			if len(codes) == 4 {
				for month := range 60 {
					m.put(b, "own", fmt.Sprintf("%d-%02d", 2020+month/12, month%12+1), free(value), nil, codes...)
				}
				return
			}
			tree := trees[len(codes)-1]
			for _, code := range tree.list.Codes {
				leaves := 0.
				for _, part := range tree.Within(code.ID) {
					if tree.IsLeaf(part) {
						leaves++
					}
				}
				if totals || tree.IsLeaf(code.ID) {
					walk(append(codes[:len(codes):len(codes)], code.ID), value*leaves)
				}
			}
		}
		walk([]string{"M"}, 1)
		for i, tree := range trees {
			for _, code := range tree.list.Codes {
				if tree.IsLeaf(code.ID) {
					asked[i] = append(asked[i], code.ID)
				}
			}
		}
		s, _ := m.counter(b)
		for name, codes := range map[string][3][]string{"finest": asked, "total": {{"_T"}, {"_T"}, {"_T"}}} {
			q := CellQuery{Dataflow: m.flow.Ref, Start: "2020", End: "2024", Selections: []Selection{{Dimension: frequencyID, Codes: []string{"M"}}}}
			for i, dimension := range []string{"D", "E", "F"} {
				q.Selections = append(q.Selections, Selection{Dimension: dimension, Codes: codes[i]})
			}
			b.Run(fmt.Sprintf("%s/totals=%v", name, totals), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					cells := 0
					if _, err := s.CountCells(b.Context(), q, func(CountedCell) error { cells++; return nil }); err != nil {
						b.Fatal(err)
					}
					b.ReportMetric(float64(cells), "cells")
				}
			})
		}
	}
}
