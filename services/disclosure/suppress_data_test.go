package disclosure_test

import (
	"compress/gzip"
	"context"
	"encoding/csv"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/comity-federation/comity/services/disclosure"
)

// published reads a file of the reference data without its header; it skips the test where there is none.
func published(t *testing.T, name string) [][]string {
	t.Helper()
	directory := os.Getenv("COMITY_SHARED")
	if directory == "" {
		directory = filepath.Join("..", "..", "..", "shared")
	}
	f, err := os.Open(filepath.Join(directory, "data", name))
	if err != nil {
		t.Skipf("the reference data are not here: %v", err)
	}
	defer f.Close()
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

// counts adds up figures by key, and remembers the order of the keys.
type counts struct {
	keys  []string
	count map[string]int64
}

func (c *counts) add(key []string, n int64) {
	name := strings.Join(key, "|")
	if _, ok := c.count[name]; !ok {
		c.keys = append(c.keys, name)
	}
	c.count[name] += n
}

// table lists the codes of each dimension under the total "_T".
func (c *counts) table(dimensions ...string) *disclosure.Table {
	t := &disclosure.Table{}
	seen := make([]map[string]bool, len(dimensions))
	for d, id := range dimensions {
		seen[d] = map[string]bool{"_T": true}
		t.Dimensions = append(t.Dimensions, disclosure.Dimension{ID: id, Codes: []disclosure.Code{{Code: "_T"}}})
	}
	for _, name := range c.keys {
		key := strings.Split(name, "|")
		for d, code := range key {
			if !seen[d][code] {
				seen[d][code] = true
				t.Dimensions[d].Codes = append(t.Dimensions[d].Codes, disclosure.Code{Code: code, Parent: "_T"})
			}
		}
		t.Cells = append(t.Cells, disclosure.Cell{Key: key, Value: c.count[name]})
	}
	return t
}

// referrals is the published chain of margins of the referrals of a quarter.
func referrals(t *testing.T) *disclosure.Table {
	c := counts{count: map[string]int64{}}
	for _, r := range published(t, "uk_home_office/nrm_referrals_government_2023_q4.csv.gz") {
		n, err := strconv.ParseInt(r[6], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		key := append([]string(nil), r[1:6]...)
		for d, code := range key {
			if code == "Total" || code == "Government agency total" {
				key[d] = "_T"
			}
		}
		if n > 0 {
			c.add(key, n)
		}
	}
	return c.table("responder", "exploitation", "age", "sex", "citizenship")
}

// detections is a year by month, route, type and citizenship, with the totals over one of these.
func detections(t *testing.T) *disclosure.Table {
	c := counts{count: map[string]int64{}}
	for _, r := range published(t, "iom_gdidata/frontex.csv.gz") {
		if !strings.HasPrefix(r[3], "2023") {
			continue
		}
		n, err := strconv.ParseInt(r[4], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		leaf := []string{r[3], r[0], r[1], r[2]}
		c.add(leaf, n)
		for d := range leaf {
			key := append([]string(nil), leaf...)
			key[d] = "_T"
			c.add(key, n)
		}
	}
	return c.table("month", "route", "type", "citizenship")
}

// The bounds are 1.05 times the best that is known of patterns without regard to single contributors.
func TestProtectKeepsItsCostOnPublishedTables(t *testing.T) {
	if os.Getenv("COMITY_LONG") == "" {
		t.Skip("it takes some 10 s; COMITY_LONG=1 runs it")
	}
	for name, c := range map[string]struct {
		table *disclosure.Table
		least int64
		bound int64
	}{
		"referrals":  {referrals(t), 5, 2112},
		"detections": {detections(t), 3, 67_898},
	} {
		t.Run(name, func(t *testing.T) {
			rules := disclosure.Rules{MinimumFrequency: c.least, RelativeWidth: 0.2}
			for _, ignore := range []bool{true, false} {
				r, err := disclosure.Protect(context.Background(), c.table, rules, disclosure.Options{IgnoreSingletons: ignore})
				if err != nil {
					t.Fatal(err)
				}
				t.Logf("%d cells, %d secondary, cost %d, %.1f %% kept, %d points; single contributors ignored: %v",
					len(c.table.Cells), r.SecondaryCount, r.SecondaryValue, 100*r.Kept, len(r.Points), ignore)
				if ignore && r.SecondaryValue > c.bound {
					t.Errorf("the cost is %d, the bound %d", r.SecondaryValue, c.bound)
				}
			}
		})
	}
}
