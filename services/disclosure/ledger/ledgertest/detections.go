package ledgertest

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/comity-federation/comity/services/disclosure"
	"github.com/comity-federation/comity/services/disclosure/ledger"
)

// Detections are counts by month, such as "2024-01", and by route, type of border and citizenship.
type Detections map[string]map[[3]string]int64

// Synthetic returns months of detections of about the size and shape of those at the outer borders of the Schengen area:
// eight routes, two types of border, a hundred citizenships, half of the counts below 5.
func Synthetic(months int) Detections {
	r := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // nothing is kept secret by it
	d := Detections{}
	for m := range months {
		counts := map[[3]string]int64{}
		for range 190 {
			nat := int(100 * r.Float64() * r.Float64())
			route := (nat + int(8*r.Float64()*r.Float64()*r.Float64())) % 8
			size := math.Exp(r.NormFloat64()*1.8+1.6) * (1 + 3*math.Exp(-float64(nat)/10))
			counts[[3]string{fmt.Sprintf("R%d", route), []string{"LAND", "SEA"}[(route+r.IntN(5)/4)%2], fmt.Sprintf("N%02d", nat)}] = int64(size) + 1
		}
		d[fmt.Sprintf("%04d-%02d", 2000+m/12, 1+m%12)] = counts
	}
	return d
}

// Release returns the table of a period with all its margins, and with primary cells withheld and nothing else.
func (d Detections) Release(period string, revision int64, rules disclosure.Rules) (ledger.Release, error) {
	sums := map[[3]string]int64{}
	seen := [3]map[string]bool{{}, {}, {}}
	for at, counts := range d {
		if !strings.HasPrefix(at, period) {
			continue
		}
		for key, n := range counts {
			if n == 0 {
				continue
			}
			for mask := range 8 {
				k := key
				for i := range k {
					seen[i][key[i]] = true
					if mask>>i&1 == 1 {
						k[i] = "T"
					}
				}
				sums[k] += n
			}
		}
	}
	table := &disclosure.Table{}
	for i, id := range []string{"ROUTE", "TYPE", "NAT"} {
		codes := []disclosure.Code{{Code: "T"}}
		for _, code := range slices.Sorted(maps.Keys(seen[i])) {
			codes = append(codes, disclosure.Code{Code: code, Parent: "T"})
		}
		table.Dimensions = append(table.Dimensions, disclosure.Dimension{ID: id, Codes: codes})
	}
	for key, n := range sums {
		table.Cells = append(table.Cells, disclosure.Cell{Key: key[:], Value: n})
	}
	slices.SortFunc(table.Cells, func(a, b disclosure.Cell) int { return slices.Compare(a.Key, b.Key) })
	rules.Apply(table)
	release, err := ledger.FromTable(table, nil, rules, revision, func(c disclosure.Cell) string { return period + "." + c.Name() })
	release.ID = fmt.Sprintf("%s@%d", period, revision)
	return release, err
}

// Year returns the table of a year, joined with those of its months.
func (d Detections) Year(year string, revision int64, rules disclosure.Rules) (ledger.Release, error) {
	release, err := d.Release(year, revision, rules)
	if err != nil {
		return ledger.Release{}, err
	}
	cells := map[string]bool{}
	for at := range d {
		if !strings.HasPrefix(at, year) {
			continue
		}
		month, err := d.Release(at, revision, rules)
		if err != nil {
			return ledger.Release{}, err
		}
		for _, c := range month.Cells {
			cells[c.Key] = true
		}
	}
	for _, c := range release.Cells {
		e := ledger.Equation{Total: c.Key}
		for m := 1; m <= 12; m++ {
			if part := fmt.Sprintf("%s-%02d%s", year, m, strings.TrimPrefix(c.Key, year)); cells[part] {
				e.Parts = append(e.Parts, part)
			}
		}
		release.Equations = append(release.Equations, e)
	}
	return release, nil
}
