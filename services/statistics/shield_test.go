package statistics

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/filter"
)

// leafTable draws a table whose totals are true: months × leaves of both trees, each leaf with a large number of its own, and some
// of the totals. It returns the values of the stored cells by "FREQ D E PERIOD".
func leafTable(t *rapid.T) (*memory, map[string]float64, map[string]Cell) {
	m := memoryOf(trees(t), EmbargoTime)
	d := map[string][]string{"_T": {"N1", "N2", "S1", "S2"}, "N": {"N1", "N2"}, "S": {"S1", "S2"}, "N1": {"N1"}, "N2": {"N2"}, "S1": {"S1"}, "S2": {"S2"}}
	e := map[string][]string{"_T": {"LT14", "15", "GE18"}, "LT18": {"LT14", "15"}, "LT14": {"LT14"}, "GE18": {"GE18"}}
	periods := map[string][]string{"2023": {"2023-11", "2023-12"}, "2023-11": {"2023-11"}, "2023-12": {"2023-12"}}
	leaves, random := map[string]float64{}, rand.New(rand.NewPCG(1, 2))
	for _, place := range d["_T"] {
		for _, age := range e["_T"] {
			for _, month := range periods["2023"] {
				leaves[place+" "+age+" "+month] = float64(random.IntN(1 << 44)) // two sums are not equal by chance
			}
		}
	}
	values, cells := map[string]float64{}, map[string]Cell{}
	leafConf := map[string]byte{}
	for _, leaf := range slices.Sorted(maps.Keys(leaves)) {
		leafConf[leaf] = rapid.SampledFrom([]byte("FFFFFFFCNN")).Draw(t, leaf+" confidentiality")
	}
	for _, place := range slices.Sorted(maps.Keys(d)) {
		for _, age := range slices.Sorted(maps.Keys(e)) {
			for _, at := range slices.Sorted(maps.Keys(periods)) {
				name := frequencyOf(at) + " " + place + " " + age + " " + at
				isLeaf := len(d[place]) == 1 && len(e[age]) == 1 && at != "2023"
				if !isLeaf && rapid.IntRange(0, 2).Draw(t, name) > 0 {
					continue
				}
				sum, restricted := 0.0, false
				for _, p := range d[place] {
					for _, a := range e[age] {
						for _, month := range periods[at] {
							sum += leaves[p+" "+a+" "+month]
							restricted = restricted || leafConf[p+" "+a+" "+month] == Confidential
						}
					}
				}
				values[name] = sum
				cell, further := Cell{Value: sum, ObsStatus: NormalValue, ConfStatus: FreeToShow}, []string{""}
				if isLeaf {
					cell.ConfStatus = leafConf[place+" "+age+" "+at]
					further[0] = rapid.SampledFrom([]string{"", "", "", "", "", "", "2030-01-01", "2020-01-01"}).Draw(t, name+" embargo")
				} else if restricted && rapid.IntRange(0, 3).Draw(t, name+" is confidential") == 0 {
					cell.ConfStatus = Confidential
				}
				cells[name] = cell
				if further[0] == "2030-01-01" {
					cell.Line = 1 // for the test: under embargo
					cells[name] = cell
					cell.Line = 0
				}
				m.put(t, "own", at, cell, further, frequencyOf(at), place, age)
			}
		}
	}
	return m, values, cells
}

// cuts are sets of codes that together are a total.
var cuts = []map[string][][]string{ //nolint:gochecknoglobals // of the trees of the tests
	{
		"_T": {{"N", "S"}, {"N1", "N2", "S"}, {"N", "S1", "S2"}, {"N1", "N2", "S1", "S2"}},
		"N":  {{"N1", "N2"}}, "S": {{"S1", "S2"}},
	},
	{"_T": {{"LT18", "GE18"}}},
}

func TestNoAnswerGivesAwayWhatIsHidden(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		m, values, cells := leafTable(rt)
		sight := rapid.SampledFrom([]Sight{
			{ConfStatus: "F"}, {ConfStatus: "FN"}, {ConfStatus: "F", Embargoed: true}, {AnyStatus: true}, {},
		}).Draw(rt, "sight")
		q := Query{Dataflow: m.flow.Ref, Sight: sight}
		for dimension, codes := range [][]string{{"A", "M"}, firstCodes, secondCodes} {
			if rapid.Bool().Draw(rt, fmt.Sprint("selects ", dimension)) {
				id := m.flow.Structure.Dimensions[dimension].ID
				q.Selections = append(q.Selections, Selection{Dimension: id, Codes: rapid.SliceOfNDistinct(rapid.SampledFrom(codes), 1, len(codes), rapid.ID).Draw(rt, "codes")})
			}
		}
		if rapid.Bool().Draw(rt, "filters") {
			q.Filter = filter.Compare(filter.OpGe, block.ObsValue, "100")
		}
		if rapid.Bool().Draw(rt, "orders") {
			q.OrderBy = []string{"OBS_VALUE desc"}
		}
		hidden := map[string]float64{}
		for name, cell := range cells {
			if !sight.Shows(cell.ConfStatus) || cell.Line == 1 && !sight.Embargoed {
				hidden[name] = values[name]
			}
		}
		rows := map[string]float64{}
		got, _, err := answers(t, m.service(), q)
		if err != nil {
			rt.Fatal(err)
		}
		for key, value := range got {
			key = strings.TrimSuffix(key, " own")
			cell, stored := cells[key]
			if _, hides := hidden[key]; hides && !math.IsNaN(value) {
				rt.Fatalf("%s is shown as %v", key, value)
			}
			if stored && cell.Line == 1 && !sight.Embargoed {
				rt.Fatalf("%s is there", key)
			}
			if !math.IsNaN(value) {
				rows[key] = value
			}
		}
		secrets := map[float64]string{}
		for key, value := range hidden {
			secrets[value] = key
		}
		for key := range hidden {
			if adds(key, cells, hidden) {
				rt.Skip("the provider hides a total and shows its parts, which protects nothing")
			}
		}
		for key, total := range rows {
			for _, difference := range differencesFrom(key, total, rows) {
				if secret, found := secrets[difference]; found {
					rt.Fatalf("%s gives away %s = %v", key, secret, difference)
				}
			}
		}
	})
}

// adds reports whether a figure is the sum of stored ones that are shown.
func adds(key string, cells map[string]Cell, hidden map[string]float64) bool {
	if _, hides := hidden[key]; !hides {
		if _, stored := cells[key]; stored {
			return true
		}
	}
	for _, parts := range partsOfRow(key) {
		if !slices.ContainsFunc(parts, func(part string) bool { return !adds(part, cells, hidden) }) {
			return true
		}
	}
	return false
}

// partsOfRow returns the sets of rows that together are a row, on one axis or in time.
func partsOfRow(key string) [][]string {
	var all [][]string
	fields := strings.Fields(key)
	for axis, of := range cuts {
		for _, cut := range of[fields[axis+1]] {
			var parts []string
			for _, code := range cut {
				part := slices.Clone(fields)
				part[axis+1] = code
				parts = append(parts, strings.Join(part, " "))
			}
			all = append(all, parts)
		}
	}
	if fields[0] == "A" {
		var parts []string
		for _, month := range []string{"2023-11", "2023-12"} {
			parts = append(parts, strings.Join([]string{"M", fields[1], fields[2], month}, " "))
		}
		all = append(all, parts)
	}
	return all
}

// differencesFrom returns what is left of a row when another, or the rows that are its parts on one axis, are taken away.
func differencesFrom(key string, total float64, rows map[string]float64) []float64 {
	var all []float64
	for other, value := range rows {
		if other != key {
			all = append(all, total-value)
		}
	}
	for _, parts := range partsOfRow(key) {
		left := total
		for _, part := range parts {
			left -= rows[part]
		}
		all = append(all, left)
	}
	return all
}
