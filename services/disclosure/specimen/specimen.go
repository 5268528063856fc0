// Package specimen has tables that disclosure control is tried and measured on: published ones, where their files are at
// hand, and tables of the same shape that are made up, the same ones every time.
package specimen

import (
	"io/fs"

	"github.com/comity-federation/comity/services/disclosure"
)

// Example is a table with the rules that go with it.
type Example struct {
	Name  string
	Rules disclosure.Rules

	source  source
	shape   Shape
	margins Margins
}

// The rules that the examples are protected by.
var (
	five  = disclosure.Rules{MinimumFrequency: 5, RelativeWidth: 0.2}
	three = disclosure.Rules{MinimumFrequency: 3, RelativeWidth: 0.2}
)

// Tables returns the examples, the smaller ones first.
func Tables() []Example {
	referrals := source{
		file:    "uk_home_office/nrm_referrals_government_2023_q4.csv.gz",
		columns: []string{"First responder", "Exploitation type", "Age at exploitation", "Gender", "Nationality"}, value: "People",
		totals: []string{"Total", "Government agency total"},
	}
	referred := Shape{Sizes: []int{4, 18, 3, 2, 104}, Leaves: 626, Median: 1, Spread: 1.3}
	detected := Shape{Sizes: []int{12, 9, 2, 108}, Leaves: 2393, Median: 9, Spread: 2.5}
	encounters := source{
		file:    "iom_gdidata/irreg_usa.csv.gz",
		columns: []string{"t", "area", "demog", "nat"}, value: "n", where: "t_fy", prefix: "2023",
	}
	encountered := Shape{Sizes: []int{12, 13, 4, 22}, Leaves: 6294, Median: 31, Spread: 2.3}
	return []Example{
		{"referrals, chain of margins", five, referrals, referred, Chain},
		{"detections, one-out margins", three, detections("2023"), detected, OneOut},
		{"detections, all margins", three, detections("2023"), detected, All},
		{"encounters, all margins", three, encounters, encountered, All},
		{"referrals, all margins", five, referrals, referred, All},
	}
}

// detections are counts at borders by month, route, type of border and citizenship, of the months with a prefix.
func detections(prefix string) source {
	return source{
		file:    "iom_gdidata/frontex.csv.gz",
		columns: []string{"t", "route", "type", "nat"}, value: "n", where: "t", prefix: prefix,
	}
}

// Read returns the published table. Data has the files; the error wraps [fs.ErrNotExist] where they are not there.
func (s Example) Read(data fs.FS) (*disclosure.Table, error) {
	c := newCounts(len(s.source.columns))
	err := s.source.read(data, func(key []string, n int64) { c.add(key, n, s.margins, true) })
	if err != nil {
		return nil, err
	}
	return c.table(s.source.columns), nil
}

// MakeUp returns a table of the same shape.
func (s Example) MakeUp() *disclosure.Table { return s.shape.MakeUp(s.margins, 1) }

// Months returns tables of successive months with all their margins: those of ten years and of one month more. They are
// published ones if data has them, and otherwise made up. It returns the rules that go with them too.
func Months(data fs.FS) (months []*disclosure.Table, rules disclosure.Rules, published bool, err error) {
	const count = 121
	by := map[string]*counts{}
	s := detections("")
	err = s.read(data, func(key []string, n int64) {
		if by[key[0]] == nil {
			by[key[0]] = newCounts(len(key) - 1)
		}
		by[key[0]].add(key[1:], n, All, true)
	})
	if err != nil {
		for m := range count {
			months = append(months, Shape{Sizes: []int{8, 2, 66}, Leaves: 160, Median: 6, Spread: 2.3}.MakeUp(All, uint64(m)))
		}
		return months, three, false, ignoreMissing(err)
	}
	for _, month := range sorted(by)[:count] {
		months = append(months, by[month].table(s.columns[1:]))
	}
	return months, three, true, nil
}
