package disclosure_test

import (
	"slices"
	"testing"

	"github.com/comity-federation/comity/services/disclosure"
	"github.com/comity-federation/comity/services/fault"
)

func TestRules(t *testing.T) {
	microdata := readCSV(t, "T5_rawdata.csv")
	for column, rules := range map[string]disclosure.Rules{
		"freq_le2": {MinimumFrequency: 3},
		"nk_2_75":  {Dominance: &disclosure.Dominance{N: 2, K: 75}},
		"p70":      {PPercent: &disclosure.PQ{P: 70, Q: 100}},
		"p10":      {PPercent: &disclosure.PQ{P: 10, Q: 100}},
		"pq60_80":  {PPercent: &disclosure.PQ{P: 60, Q: 80}},
	} {
		t.Run("find what sdcTable finds by "+column, func(t *testing.T) {
			for _, row := range readCSV(t, "T5_primary_rules.csv") {
				cell := disclosure.Cell{Key: []string{row["strID"]}, Value: number(t, row["freq"])}
				for _, record := range microdata {
					if (row["region_o"] == "total" || row["region_o"] == record["region"]) && (row["gender_o"] == "total" || row["gender_o"] == record["gender"]) {
						cell.Contributions = append(cell.Contributions, float64(number(t, record["val"])))
					}
				}
				if len(cell.Contributions) != int(cell.Value) {
					t.Fatalf("%v has %d records, and counts %d", cell.Key, len(cell.Contributions), cell.Value)
				}
				if got, want := rules.Broken(cell) != "", row[column] == "u"; got != want {
					t.Errorf("%v is primary: %v, want %v", cell.Key, got, want)
				}
			}
		})
	}
	all := disclosure.Rules{
		MinimumFrequency: 5, Dominance: &disclosure.Dominance{N: 1, K: 50}, PPercent: &disclosure.PQ{P: 10, Q: 100}, RelativeWidth: 0.2,
	}
	for name, c := range map[string]struct {
		cell   disclosure.Cell
		status disclosure.Status
		rule   disclosure.Rule
	}{
		"make a small count primary":                     {disclosure.Cell{Value: 4}, disclosure.Primary, disclosure.ByFrequency},
		"publish a count of the minimum":                 {disclosure.Cell{Value: 5}, disclosure.Published, ""},
		"leave nothing empty":                            {disclosure.Cell{}, disclosure.Empty, ""},
		"leave a zero that is published as it is":        {disclosure.Cell{Status: disclosure.Published}, disclosure.Published, ""},
		"make a dominated sum primary":                   {disclosure.Cell{Value: 9, Contributions: []float64{1, 3, 8, 2}}, disclosure.Primary, disclosure.ByDominance},
		"publish a sum that is dominated to the limit":   {disclosure.Cell{Value: 9, Contributions: []float64{8, 4, 2, 2}}, disclosure.Published, ""},
		"make a sum of two contributors primary":         {disclosure.Cell{Value: 9, Contributions: []float64{5, 5}}, disclosure.Primary, disclosure.ByPPercent},
		"publish a sum of nothings":                      {disclosure.Cell{Value: 9, Contributions: []float64{0, 0, 0}}, disclosure.Published, ""},
		"keep what the caller withholds":                 {disclosure.Cell{Value: 9, Status: disclosure.Primary}, disclosure.Primary, disclosure.ByCaller},
		"say by which rule the caller was right":         {disclosure.Cell{Value: 2, Status: disclosure.Primary}, disclosure.Primary, disclosure.ByFrequency},
		"do not publish what the caller may not publish": {disclosure.Cell{Value: 2, Status: disclosure.Published}, disclosure.Primary, disclosure.ByFrequency},
		"keep what is secondary":                         {disclosure.Cell{Value: 9, Status: disclosure.Secondary}, disclosure.Secondary, ""},
	} {
		t.Run(name, func(t *testing.T) {
			table := disclosure.Table{Cells: []disclosure.Cell{c.cell}}
			all.Apply(&table)
			if got := table.Cells[0]; got.Status != c.status || got.Rule != c.rule {
				t.Errorf("%v by %q, want %v by %q", got.Status, got.Rule, c.status, c.rule)
			}
		})
	}
	t.Run("ask for the wider of both widths", func(t *testing.T) {
		for value, want := range map[int64]int64{1: 5, 25: 5, 26: 6, 30: 6, 1000: 200} {
			if got := all.Width(value); got != want {
				t.Errorf("%d must be %d wide, want %d", value, got, want)
			}
		}
		if got := new(disclosure.Rules).Width(0); got != 1 {
			t.Errorf("without rules the width is %d", got)
		}
	})
	t.Run("leave contributions in their order", func(t *testing.T) {
		contributions := []float64{1, 3, 2}
		all.Broken(disclosure.Cell{Value: 9, Contributions: contributions})
		if !slices.Equal(contributions, []float64{1, 3, 2}) {
			t.Error(contributions)
		}
	})
	for name, rules := range map[string]disclosure.Rules{
		"a negative frequency":            {MinimumFrequency: -1},
		"a dominance of nobody":           {Dominance: &disclosure.Dominance{N: 0, K: 10}},
		"a dominance of more than all":    {Dominance: &disclosure.Dominance{N: 1, K: 101}},
		"a p of nothing":                  {PPercent: &disclosure.PQ{P: 0, Q: 100}},
		"a q below p":                     {PPercent: &disclosure.PQ{P: 20, Q: 10}},
		"a width without bounds":          {RelativeWidth: 11},
		"a width that is below 0":         {RelativeWidth: -0.1},
		"a frequency beyond every figure": {MinimumFrequency: 1 << 31},
	} {
		t.Run("refuse "+name, func(t *testing.T) {
			if err := rules.Check(); !fault.Is(err, fault.Invalid) {
				t.Error(err)
			}
		})
	}
}
