package statistics_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/period"
	"github.com/comity-federation/comity/services/statistics"
)

func hierarchy(t rapid.TB, codes ...statistics.Code) *statistics.Hierarchy {
	t.Helper()
	h, err := statistics.NewHierarchy(&statistics.Codelist{
		Ref: statistics.Ref{Agency: "X", ID: "CL", Version: "1.0.0"}, Levels: []string{"total", "region", "country"}, Codes: codes,
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// ages has a group that contains two others, and one beside them.
func ages(t rapid.TB) *statistics.Hierarchy {
	return hierarchy(t, statistics.Code{ID: "_T"},
		statistics.Code{ID: "LT18", Parent: "_T", Covers: []string{"LT14", "14T17"}}, statistics.Code{ID: "LT14", Parent: "_T"},
		statistics.Code{ID: "14T17", Parent: "_T"}, statistics.Code{ID: "GE18", Parent: "_T"})
}

// world has two regions of which one is stored beside its countries.
func world(t rapid.TB) *statistics.Hierarchy {
	return hierarchy(t, statistics.Code{ID: "_T"},
		statistics.Code{ID: "N", Parent: "_T"}, statistics.Code{ID: "N1", Parent: "N"}, statistics.Code{ID: "N2", Parent: "N"},
		statistics.Code{ID: "S", Parent: "_T"}, statistics.Code{ID: "S1", Parent: "S"}, statistics.Code{ID: "S2", Parent: "S"},
		statistics.Code{ID: "_O", Parent: "_T"})
}

func structure(dimensions ...string) *statistics.DataStructure {
	s := &statistics.DataStructure{Attributes: []statistics.Component{{ID: block.Comment}}}
	for _, id := range append([]string{"FREQ"}, dimensions...) {
		s.Dimensions = append(s.Dimensions, statistics.Component{ID: id})
	}
	return s
}

// put adds a figure to a table.
func put(t rapid.TB, table *statistics.Table, at string, value float64, codes ...string) {
	t.Helper()
	p, err := period.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	numbers := make([]uint32, len(codes))
	for i, code := range codes {
		numbers[i] = table.Code(i, code)
	}
	cell := statistics.Cell{Value: value, ObsStatus: statistics.NormalValue, ConfStatus: statistics.FreeToShow}
	if !table.Put(table.Series(numbers), p.Index, cell) {
		t.Fatalf("a second figure of %v in %s", codes, at)
	}
}

// figures returns the values of a table by key and period, with the status and comment where they are not usual.
func figures(table *statistics.Table) map[string]string {
	all := map[string]string{}
	for s := range table.SeriesCount() {
		key := ""
		for i, code := range table.Key(s) {
			key += table.Dictionary().Text(i, code) + "."
		}
		track := table.Track(s)
		for i, index := range track.Periods {
			cell := track.Cells[i]
			text := fmt.Sprint(cell.Value)
			if cell.ObsStatus != statistics.NormalValue {
				text += " " + string(cell.ObsStatus)
			}
			if cell.ConfStatus != statistics.FreeToShow {
				text += " " + string(cell.ConfStatus)
			}
			for _, attribute := range table.Attributes(cell.Attributes) {
				if attribute != "" {
					text += " " + attribute
				}
			}
			all[key+statistics.Period{Frequency: table.Frequency(s), Index: index}.String()] = text
		}
	}
	return all
}

func TestRollUp(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		tree   func(rapid.TB) *statistics.Hierarchy
		stored map[string]float64
		codes  []string
		want   map[string]string
	}{
		"it sums the parts of a code that is not stored": {
			world, map[string]float64{"N1": 1, "N2": 2, "S1": 4, "_O": 8}, []string{"_T", "N"}, map[string]string{"_T": "15", "N": "3"},
		},
		"it keeps a stored total, whatever its parts sum to": {
			world, map[string]float64{"_T": 100, "N1": 1}, []string{"_T"}, map[string]string{"_T": "100"},
		},
		"it does not add a stored region to its countries": {
			world, map[string]float64{"N": 10, "N1": 1, "N2": 2, "S1": 4}, []string{"_T", "N", "N1"}, map[string]string{"_T": "14", "N": "10", "N1": "1"},
		},
		"it does not add a group to one that covers it": {
			ages, map[string]float64{"LT18": 10, "LT14": 6, "GE18": 20}, []string{"_T"}, map[string]string{"_T": "30"},
		},
		"it adds covered groups where what covers them is not stored": {
			ages, map[string]float64{"LT14": 6, "14T17": 3, "GE18": 20}, []string{"_T", "LT18"}, map[string]string{"_T": "29"},
		},
		"it makes no figure where nothing is stored": {
			world, map[string]float64{"N1": 1}, []string{"S"}, map[string]string{},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			table := statistics.NewTable(structure("D"))
			for code, value := range test.stored {
				put(t, table, "2024-01", value, "M", code)
			}
			want := map[string]string{}
			for code, value := range test.want {
				want["M."+code+".2024-01"] = value
			}
			rolled := statistics.RollUp(table, statistics.Axis{Dimension: 1, Tree: test.tree(t), Codes: test.codes})
			if diff := cmp.Diff(want, figures(rolled)); diff != "" {
				t.Errorf("figures (-want +got):\n%s", diff)
			}
			if rolled.Len() != len(want) {
				t.Errorf("Len() = %d, want %d", rolled.Len(), len(want))
			}
		})
	}
	t.Run("it decides for each period and each other code by itself", func(t *testing.T) {
		t.Parallel()
		table := statistics.NewTable(structure("D", "E"))
		put(t, table, "2024-01", 100, "M", "_T", "a")
		put(t, table, "2024-01", 1, "M", "N1", "a")
		put(t, table, "2024-02", 2, "M", "N1", "a")
		put(t, table, "2024-01", 3, "M", "S1", "b")
		got := figures(statistics.RollUp(table, statistics.Axis{Dimension: 1, Tree: world(t), Codes: []string{"_T"}}))
		want := map[string]string{"M._T.a.2024-01": "100", "M._T.a.2024-02": "2", "M._T.b.2024-01": "3"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("figures (-want +got):\n%s", diff)
		}
	})
}

func TestRollUpKeepsSums(t *testing.T) {
	t.Parallel()
	leaves := []string{"N1", "N2", "S1", "S2", "_O"}
	rapid.Check(t, func(t *rapid.T) {
		table := statistics.NewTable(structure("D", "E"))
		total, topmost := map[string]float64{}, map[string]float64{}
		for _, other := range []string{"a", "b"} {
			for _, period := range []string{"2024-01", "2024-02"} {
				cell := other + period
				for _, leaf := range leaves {
					if rapid.Bool().Draw(t, "has "+cell+leaf) {
						value := float64(rapid.IntRange(0, 99).Draw(t, "value"))
						put(t, table, period, value, "M", leaf, other)
						total[cell] += value
						topmost[cell] += value
						if leaf[0] == 'N' {
							topmost[cell+"N"] += value
						}
					}
				}
				if rapid.Bool().Draw(t, "has N "+cell) {
					put(t, table, period, 1000, "M", "N", other)
					topmost[cell] += 1000 - topmost[cell+"N"]
				}
			}
		}
		tree := world(t)
		rolled := statistics.RollUp(table, statistics.Axis{Dimension: 1, Tree: tree, Codes: []string{"_T"}})
		regions := statistics.RollUp(table, statistics.Axis{Dimension: 1, Tree: tree, Codes: []string{"N", "S", "_O"}})
		twice := statistics.RollUp(regions, statistics.Axis{Dimension: 1, Tree: tree, Codes: []string{"_T"}})
		if diff := cmp.Diff(figures(rolled), figures(twice)); diff != "" {
			t.Fatalf("the sum in one step and in two (-one +two):\n%s", diff)
		}
		for s := range rolled.SeriesCount() {
			other := rolled.Dictionary().Text(2, rolled.Key(s)[2])
			track := rolled.Track(s)
			for i, index := range track.Periods {
				cell := other + statistics.Period{Frequency: 'M', Index: index}.String()
				if track.Cells[i].Value != topmost[cell] {
					t.Fatalf("%s: %v, want %v", cell, track.Cells[i].Value, topmost[cell])
				}
			}
		}
	})
}

func TestRollUpAlongSeveralAxes(t *testing.T) {
	t.Parallel()
	people := func(t rapid.TB) *statistics.Hierarchy {
		return hierarchy(t, statistics.Code{ID: "_T"}, statistics.Code{ID: "a", Parent: "_T"}, statistics.Code{ID: "b", Parent: "_T"})
	}
	axes := func(t rapid.TB, places, kinds []string) []statistics.Axis {
		return []statistics.Axis{{Dimension: 1, Tree: world(t), Codes: places}, {Dimension: 2, Tree: people(t), Codes: kinds}}
	}
	for name, test := range map[string]struct {
		stored map[string]float64
		want   map[string]string
	}{
		"it takes the total of one place for that place alone": {
			map[string]float64{"N1.a": 5, "N1.b": 7, "S1._T": 50}, map[string]string{"_T": "62", "N": "12", "S": "50"},
		},
		"it takes the total of one kind for that kind alone": {
			map[string]float64{"N1.a": 5, "S1.a": 7, "_T.b": 50}, map[string]string{"_T": "62", "N": "5", "S": "7"},
		},
		"it lets a stored total stand for its own parts, and the parts of others for them": {
			map[string]float64{"N1._T": 50, "N1.a": 5, "S1.a": 7}, map[string]string{"_T": "57", "N": "50", "S": "7"},
		},
		"it counts crossing totals once": {
			map[string]float64{"N1._T": 10, "S1._T": 20, "_T.a": 12, "_T.b": 18}, map[string]string{"_T": "30", "N": "10", "S": "20"},
		},
		"it prefers crossing totals that count more": {
			map[string]float64{"N1._T": 3, "_T.a": 12, "_T.b": 18}, map[string]string{"_T": "30", "N": "3"},
		},
		"it takes the parts of a crossing total that it leaves out": {
			map[string]float64{"N1._T": 12, "N1.a": 5, "N1.b": 7, "S1.a": 4, "_T.a": 9}, map[string]string{"_T": "16", "N": "12", "S": "4"},
		},
		"it keeps the grand total": {
			map[string]float64{"_T._T": 100, "N1._T": 3, "_T.a": 12, "N1.a": 1}, map[string]string{"_T": "100", "N": "3"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			table := statistics.NewTable(structure("D", "E"))
			for codes, value := range test.stored {
				place, kind, _ := strings.Cut(codes, ".")
				put(t, table, "2024-01", value, "M", place, kind)
			}
			want := map[string]string{}
			for place, value := range test.want {
				want["M."+place+"._T.2024-01"] = value
			}
			got := figures(statistics.RollUp(table, axes(t, []string{"_T", "N", "S"}, []string{"_T"})...))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("figures (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("it prefers the same of crossing totals whatever else is asked", func(t *testing.T) {
		t.Parallel()
		for _, places := range [][]string{{"_T"}, {"_T", "N"}, {"_T", "N", "S"}} {
			table := statistics.NewTable(structure("D", "E"))
			for codes, value := range map[string]float64{"N1._T": 20, "S1._T": 25, "_T.a": 12, "_T.b": 18} {
				place, kind, _ := strings.Cut(codes, ".")
				put(t, table, "2024-01", value, "M", place, kind)
			}
			got := figures(statistics.RollUp(table, axes(t, places, []string{"_T"})...))
			if total := got["M._T._T.2024-01"]; total != "45" {
				t.Errorf("asked for %v the total is %s, want 45", places, total)
			}
		}
	})
	t.Run("it finds the true sums whichever true totals are stored beside the parts", func(t *testing.T) {
		t.Parallel()
		rapid.Check(t, func(t *rapid.T) {
			parts := map[string][]string{"_T": {"N1", "N2", "S1", "S2"}, "N": {"N1", "N2"}, "S": {"S1", "S2"}}
			kinds := map[string][]string{"_T": {"a", "b"}, "a": {"a"}, "b": {"b"}}
			leaves := map[string]float64{}
			table := statistics.NewTable(structure("D", "E"))
			for _, place := range parts["_T"] {
				for _, kind := range kinds["_T"] {
					leaves[place+kind] = float64(rapid.IntRange(0, 9).Draw(t, place+kind))
					put(t, table, "2024-01", leaves[place+kind], "M", place, kind)
				}
			}
			sum := func(place, kind string) (sum float64) {
				within, ok := parts[place]
				if !ok {
					within = []string{place}
				}
				for _, p := range within {
					for _, k := range kinds[kind] {
						sum += leaves[p+k]
					}
				}
				return sum
			}
			for _, place := range []string{"_T", "N", "S", "N1", "N2", "S1", "S2"} {
				for _, kind := range []string{"_T", "a", "b"} {
					if _, leaf := leaves[place+kind]; !leaf && rapid.Bool().Draw(t, "stores "+place+kind) {
						put(t, table, "2024-01", sum(place, kind), "M", place, kind)
					}
				}
			}
			want := map[string]string{}
			for _, place := range []string{"_T", "N", "S", "N2"} {
				for _, kind := range []string{"_T", "b"} {
					want["M."+place+"."+kind+".2024-01"] = fmt.Sprint(sum(place, kind))
				}
			}
			got := figures(statistics.RollUp(table, axes(t, []string{"_T", "N", "S", "N2"}, []string{"_T", "b"})...))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("figures (-want +got):\n%s", diff)
			}
		})
	})
}

func TestRollUpTime(t *testing.T) {
	t.Parallel()
	always := func([]uint32, statistics.Period) bool { return true }
	t.Run("it keeps a stored year beside its months", func(t *testing.T) {
		t.Parallel()
		table := statistics.NewTable(structure())
		put(t, table, "2023", 100, "A")
		put(t, table, "2023-05", 1, "M")
		put(t, table, "2024-05", 2, "M")
		got := figures(statistics.RollUpTime(table, []statistics.Frequency{period.Annual}, always))
		if diff := cmp.Diff(map[string]string{"A.2023": "100", "A.2024": "2"}, got); diff != "" {
			t.Errorf("figures (-want +got):\n%s", diff)
		}
	})
	t.Run("it prefers quarters to months, and never adds both", func(t *testing.T) {
		t.Parallel()
		table := statistics.NewTable(structure())
		put(t, table, "2023-Q1", 10, "Q")
		put(t, table, "2023-02", 1, "M")
		put(t, table, "2024-02", 2, "M")
		got := figures(statistics.RollUpTime(table, []statistics.Frequency{period.Annual}, always))
		if diff := cmp.Diff(map[string]string{"A.2023": "10", "A.2024": "2"}, got); diff != "" {
			t.Errorf("figures (-want +got):\n%s", diff)
		}
	})
	t.Run("it says how many parts there are where some are missing", func(t *testing.T) {
		t.Parallel()
		table := statistics.NewTable(structure())
		put(t, table, "2023-W01", 1, "W")
		put(t, table, "2023-W52", 2, "W")
		first := func(_ []uint32, p statistics.Period) bool { return p.Start().Month() == 1 }
		got := figures(statistics.RollUpTime(table, []statistics.Frequency{period.Annual}, first))
		if diff := cmp.Diff(map[string]string{"A.2023": "3 U 5 of 52 periods"}, got); diff != "" {
			t.Errorf("figures (-want +got):\n%s", diff)
		}
	})
}

func TestSum(t *testing.T) {
	t.Parallel()
	cell := func(value float64, observed, confidential byte) statistics.Cell {
		return statistics.Cell{Value: value, ObsStatus: observed, ConfStatus: confidential}
	}
	tests := map[string]struct{ a, b, want statistics.Cell }{
		"it adds":                                 {cell(1, 'A', 'F'), cell(2, 'A', 'F'), cell(3, 'A', 'F')},
		"it keeps the status that warns more":     {cell(1, 'A', 'F'), cell(2, 'E', 'F'), cell(3, 'E', 'F')},
		"it is as confidential as a part":         {cell(1, 'A', 'F'), cell(2, 'A', 'N'), cell(3, 'A', 'N')},
		"it is confidential where parts disagree": {cell(1, 'A', 'D'), cell(2, 'A', 'N'), cell(3, 'A', 'C')},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := statistics.Sum(test.a, test.b); got != test.want {
				t.Errorf("Sum() = %v, want %v", got, test.want)
			}
			if got := statistics.Sum(test.b, test.a); got != test.want {
				t.Errorf("Sum() the other way = %v, want %v", got, test.want)
			}
		})
	}
}
