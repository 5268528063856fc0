// Package disclosuretest has published tables that disclosure control is tried and measured on.
//
// Their files are not part of the repository: a directory of them is named by COMITY_SHARED, or lies beside the
// repository. A test that asks for one that is not there is skipped.
package disclosuretest

import (
	"compress/gzip"
	"encoding/csv"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/comity-federation/comity/services/disclosure"
)

// Published is a table with the rules that go with it.
type Published struct {
	Name  string
	Read  func(testing.TB) *disclosure.Table
	Rules disclosure.Rules
}

// Tables returns all published tables, the smaller ones first.
func Tables() []Published {
	five := disclosure.Rules{MinimumFrequency: 5, RelativeWidth: 0.2}
	three := disclosure.Rules{MinimumFrequency: 3, RelativeWidth: 0.2}
	return []Published{
		{"referrals, chain of margins", ReferralChain, five},
		{"detections, one-out margins", DetectionsOneOut, three},
		{"detections, all margins", DetectionMargins, three},
		{"encounters, all margins", EncounterMargins, three},
		{"referrals, all margins", ReferralMargins, five},
	}
}

// ReferralChain returns the referrals of victims of trafficking in a quarter, by first responder, exploitation, age, sex
// and citizenship, with the totals that are published: each over one dimension more than the one before.
func ReferralChain(t testing.TB) *disclosure.Table {
	c := newCounts("responder", "exploitation", "age", "sex", "citizenship")
	for _, r := range referrals(t) {
		if n := number(t, r[6]); n > 0 {
			c.add(n, r[1:6]...)
		}
	}
	return c.table()
}

// ReferralMargins returns the same referrals with the totals over all sets of dimensions.
func ReferralMargins(t testing.TB) *disclosure.Table {
	c := newCounts("responder", "exploitation", "age", "sex", "citizenship")
	for _, r := range referrals(t) {
		leaf := true
		for _, code := range r[1:6] {
			leaf = leaf && code != total
		}
		if n := number(t, r[6]); leaf && n > 0 {
			c.addWithTotals(n, len(c.ids), r[1:6]...)
		}
	}
	return c.table()
}

// DetectionsOneOut returns the detections of a year at borders by month, route, type of border and citizenship, with the
// totals over one of these.
func DetectionsOneOut(t testing.TB) *disclosure.Table { return detections(t, 1) }

// DetectionMargins returns the same detections with the totals over all sets of dimensions.
func DetectionMargins(t testing.TB) *disclosure.Table { return detections(t, 4) }

// EncounterMargins returns the encounters of a fiscal year at borders by month, sector, demographic and citizenship, with
// the totals over all sets of dimensions.
func EncounterMargins(t testing.TB) *disclosure.Table {
	c := newCounts("month", "sector", "demographic", "citizenship")
	for _, r := range read(t, "iom_gdidata/irreg_usa.csv.gz") {
		if n := number(t, r[8]); n > 0 && strings.HasPrefix(r[1], "2023") {
			c.addWithTotals(n, len(c.ids), r[0], r[3], r[6], r[7])
		}
	}
	return c.table()
}

func detections(t testing.TB, most int) *disclosure.Table {
	c := newCounts("month", "route", "type", "citizenship")
	for _, r := range read(t, "iom_gdidata/frontex.csv.gz") {
		if n := number(t, r[4]); n > 0 && strings.HasPrefix(r[3], "2023") {
			c.addWithTotals(n, most, r[3], r[0], r[1], r[2])
		}
	}
	return c.table()
}

// referrals returns the rows of a quarter, with one name for all totals.
func referrals(t testing.TB) [][]string {
	rows := read(t, "uk_home_office/nrm_referrals_government_2023_q4.csv.gz")
	for _, r := range rows {
		for k, code := range r[1:6] {
			if code == "Total" || code == "Government agency total" {
				r[1+k] = total
			}
		}
	}
	return rows
}

// read returns the rows of a file behind its header.
func read(t testing.TB, name string) [][]string {
	t.Helper()
	directory := os.Getenv("COMITY_SHARED")
	if directory == "" {
		_, here, _, _ := runtime.Caller(0)
		directory = filepath.Join(filepath.Dir(here), "..", "..", "..", "..", "shared")
	}
	f, err := os.Open(filepath.Join(directory, "data", filepath.FromSlash(name))) //nolint:gosec // as tests ask
	if err != nil {
		t.Skipf("the published tables are not here: %v", err)
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(z).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows[1:]
}

func number(t testing.TB, text string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// total is the code of what is broken down, in every dimension.
const total = "_T"

// counts adds up figures by key, and remembers the order of the keys.
type counts struct {
	ids   []string // of the dimensions
	keys  [][]string
	count map[string]int64
}

func newCounts(ids ...string) *counts { return &counts{ids: ids, count: map[string]int64{}} }

func (c *counts) add(n int64, key ...string) {
	name := strings.Join(key, "|")
	if _, ok := c.count[name]; !ok {
		c.keys = append(c.keys, append([]string(nil), key...))
	}
	c.count[name] += n
}

// addWithTotals adds a figure to its cell and to the totals over at most so many dimensions.
func (c *counts) addWithTotals(n int64, most int, leaf ...string) {
	key := append([]string(nil), leaf...)
	var sum func(d, left int)
	sum = func(d, left int) {
		if d == len(leaf) {
			c.add(n, key...)
			return
		}
		sum(d+1, left)
		if left > 0 {
			key[d] = total
			sum(d+1, left-1)
			key[d] = leaf[d]
		}
	}
	sum(0, most)
}

// table lists the codes of each dimension under its total.
func (c *counts) table() *disclosure.Table {
	t := &disclosure.Table{}
	seen := make([]map[string]bool, len(c.ids))
	for d, id := range c.ids {
		seen[d] = map[string]bool{total: true}
		t.Dimensions = append(t.Dimensions, disclosure.Dimension{ID: id, Codes: []disclosure.Code{{Code: total}}})
	}
	for _, key := range c.keys {
		for d, code := range key {
			if !seen[d][code] {
				seen[d][code] = true
				t.Dimensions[d].Codes = append(t.Dimensions[d].Codes, disclosure.Code{Code: code, Parent: total})
			}
		}
		t.Cells = append(t.Cells, disclosure.Cell{Key: key, Value: c.count[strings.Join(key, "|")]})
	}
	return t
}
