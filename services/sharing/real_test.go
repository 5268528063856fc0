package sharing

import (
	"compress/gzip"
	"encoding/csv"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestProtectRealFigures protects the published detections of Frontex: month, then route, then citizenship.
func TestProtectRealFigures(t *testing.T) {
	file, err := os.Open(filepath.Join("..", "..", "deploy", "sandbox", "data", "frontex.csv.gz"))
	if err != nil {
		t.Skipf("the figures are not there: %v", err)
	}
	defer file.Close()
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	records, err := csv.NewReader(unpacked).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	column := func(name string) int { return slices.Index(records[0], name) }
	roots := map[string]*node{}
	for _, record := range records[1:] {
		value, err := strconv.ParseFloat(record[column("n")], 64)
		if err != nil {
			t.Fatal(err)
		}
		month := record[column("t")][:7]
		if roots[month] == nil {
			roots[month] = &node{own: true}
		}
		route := roots[month].child(record[column("route")])
		leaf := route.child(record[column("nat")])
		for _, n := range []*node{roots[month], route, leaf} {
			n.value += value
			n.stored, n.own = n.value, true
		}
	}
	const minimum = 3
	p := protection{minimum: minimum, other: []bool{true, true}, refuses: nothingRefused}
	sum, kept := 0.0, 0.0
	for month, root := range roots {
		parts := map[string]float64{}
		cells := p.protect(root)
		for _, c := range cells {
			if c.value > 0 && c.value < minimum {
				t.Errorf("%s %v is published with %g", month, c.path, c.value)
			}
			if len(c.path) > 0 {
				parts[strings.Join(c.path[:len(c.path)-1], "/")] += c.value
			}
			if len(c.path) == 2 && c.own && strings.HasPrefix(month, "2023") {
				kept += c.stored
			}
		}
		for _, c := range cells {
			if got, has := parts[strings.Join(c.path, "/")]; has && got != c.value {
				t.Errorf("%s %v is %g, its parts sum to %g", month, c.path, c.value, got)
			}
		}
		if strings.HasPrefix(month, "2023") {
			sum += root.value
		}
	}
	if sum != 381_319 {
		t.Errorf("2023 counts %g", sum)
	}
	if kept < 0.99*sum {
		t.Errorf("of 2023, %.2f %% is kept", 100*kept/sum)
	}
	t.Logf("of 2023, %.2f %% is kept", 100*kept/sum)
}
