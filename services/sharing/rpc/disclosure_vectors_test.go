package rpc

import (
	"cmp"
	"encoding/csv"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
)

// The tables, patterns and answers of sdcTable and τ-ARGUS are those that the methods are tested with.
var vectors = filepath.Join("..", "..", "disclosure", "testdata", "sdctable")

// records returns the lines of a file by column.
func records(t *testing.T, name string) []map[string]string {
	t.Helper()
	file, err := os.Open(filepath.Join(vectors, name))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	lines, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var records []map[string]string
	for _, line := range lines[1:] {
		record := map[string]string{}
		for i, column := range lines[0] {
			record[column] = line[i]
		}
		records = append(records, record)
	}
	return records
}

func whole(t *testing.T, text string) float64 {
	t.Helper()
	n, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// flat is a table of dimensions without levels between the total and the parts.
type flat struct {
	dimensions []*sharingpb.DisclosureDimension
	cells      []*sharingpb.DisclosureCell
}

func newFlat(total string, ids ...string) *flat {
	f := &flat{}
	for _, id := range ids {
		f.dimensions = append(f.dimensions, &sharingpb.DisclosureDimension{Id: id, Codes: []*sharingpb.DisclosureDimension_Code{{Code: total}}})
	}
	return f
}

func (f *flat) add(c *sharingpb.DisclosureCell) {
	for d, code := range c.GetKey() {
		codes := &f.dimensions[d].Codes
		if !slices.ContainsFunc(*codes, func(o *sharingpb.DisclosureDimension_Code) bool { return o.GetCode() == code }) {
			*codes = append(*codes, &sharingpb.DisclosureDimension_Code{Code: code, Parent: (*codes)[0].GetCode()})
		}
	}
	f.cells = append(f.cells, c)
}

// patterns returns a table with the statuses of a column of its patterns.
func patterns(t *testing.T, name, total, column string, dimensions ...string) *flat {
	t.Helper()
	f := newFlat(total, dimensions...)
	for _, r := range records(t, name+"_patterns.csv") {
		c := &sharingpb.DisclosureCell{Frequency: whole(t, r["freq"]), Status: map[string]sharingpb.DisclosureCell_Status{
			"u": sharingpb.DisclosureCell_PRIMARY, "x": sharingpb.DisclosureCell_SECONDARY, "s": sharingpb.DisclosureCell_PUBLISHED,
		}[r[column]]}
		for _, d := range dimensions {
			c.Key = append(c.Key, r[d])
		}
		f.add(c)
	}
	return f
}

func TestDisclosureAuditsThePatternsOfSdcTable(t *testing.T) {
	for _, p := range [][]string{{"T1_microdata1", "total", "region_o", "gender_o"}, {"T2_trap4x4", "tot", "v1_o", "v2_o"}} {
		for _, column := range []string{"primary", "OPT", "HITAS", "HYPERCUBE", "GAUSS", "SIMPLEHEURISTIC", "SIMPLEHEURISTIC_OLD"} {
			t.Run(p[0]+" by "+column, func(t *testing.T) {
				f := patterns(t, p[0], p[1], column, p[2:]...)
				got, err := NewDisclosure().Audit(t.Context(), &sharingpb.AuditRequest{Dimensions: f.dimensions, Cells: f.cells})
				if err != nil {
					t.Fatal(err)
				}
				computable := map[string]bool{}
				for _, c := range got.GetComputable() {
					computable[strings.Join(c.GetKey(), ".")] = true
				}
				file := p[0] + "_audit_" + cmp.Or(map[string]string{"primary": "primary_only"}[column], column) + ".csv"
				for _, r := range records(t, file) {
					c := got.GetCells()[int(whole(t, r["id"]))-1]
					if c.GetLower() != whole(t, r["low"]) || c.GetUpper() != whole(t, r["up"]) || !c.GetExact() {
						t.Errorf("%v is in %v … %v, want %s … %s", c.GetKey(), c.GetLower(), c.GetUpper(), r["low"], r["up"])
					}
					if key := strings.Join(c.GetKey(), "."); computable[key] != (r["protected"] != "TRUE") {
						t.Errorf("%s is computable: %v", key, computable[key])
					}
				}
			})
		}
	}
}

func TestDisclosureProtectsAsCheaplyAsTheOptimum(t *testing.T) {
	for _, p := range []struct {
		name, total string
		dimensions  []string
	}{{"T1_microdata1", "total", []string{"region_o", "gender_o"}}, {"T2_trap4x4", "tot", []string{"v1_o", "v2_o"}}} {
		t.Run(p.name, func(t *testing.T) {
			f := patterns(t, p.name, p.total, "primary", p.dimensions...)
			var want float64
			for _, c := range patterns(t, p.name, p.total, "OPT", p.dimensions...).cells {
				if c.GetStatus() == sharingpb.DisclosureCell_SECONDARY {
					want += c.GetFrequency()
				}
			}
			for _, c := range f.cells {
				if c.GetStatus() == sharingpb.DisclosureCell_PUBLISHED {
					c.Status = sharingpb.DisclosureCell_UNSPECIFIED
				}
			}
			protects(t, f, nil, want)
		})
	}
	t.Run("the example of τ-ARGUS", func(t *testing.T) {
		f := newFlat("Total", "region", "gender")
		text, err := os.ReadFile(filepath.Join(vectors, "tabdata_ex1.tab"))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			fields := strings.Split(line, ",")
			c := &sharingpb.DisclosureCell{Key: []string{strings.TrimSpace(fields[0]), strings.TrimSpace(fields[1])}, Frequency: whole(t, fields[2])}
			if fields[3] == "U" {
				c.Status = sharingpb.DisclosureCell_PRIMARY
			}
			f.add(c)
		}
		// Its pattern withholds B by sex and the men of A too.
		protects(t, f, nil, 486+569+895)
	})
	t.Run("a table of few", func(t *testing.T) {
		f := newFlat("total", "region", "gender")
		for _, r := range records(t, "T5_primary_rules.csv") {
			f.add(&sharingpb.DisclosureCell{Key: []string{r["region_o"], r["gender_o"]}, Frequency: whole(t, r["freq"])})
		}
		got := protects(t, f, &sharingpb.DisclosureRules{MinimumFrequency: 3}, 40)
		for i, r := range records(t, "T5_primary_rules.csv") {
			if c := got.GetCells()[i]; (c.GetStatus() == sharingpb.DisclosureCell_PRIMARY) != (r["freq_le2"] == "u") {
				t.Errorf("%v is %v", c.GetKey(), c.GetStatus())
			}
		}
	})
}

// protects protects a table, and expects the secondary cells to be worth as much and the audit to be clean.
func protects(t *testing.T, f *flat, rules *sharingpb.DisclosureRules, want float64) *sharingpb.ProtectResponse {
	t.Helper()
	got, err := NewDisclosure().Protect(t.Context(), &sharingpb.ProtectRequest{Dimensions: f.dimensions, Cells: f.cells, Rules: rules})
	if err != nil {
		t.Fatal(err)
	}
	if !got.GetAuditClean() || got.GetSecondaryValue() != want {
		t.Errorf("clean: %v, secondary cells worth %v, want %v", got.GetAuditClean(), got.GetSecondaryValue(), want)
	}
	for _, c := range got.GetCells() {
		if !c.GetExact() || c.GetUpper()-c.GetLower() < c.GetRequiredWidth() {
			t.Errorf("%v is in %v … %v, exactly: %v", c.GetKey(), c.GetLower(), c.GetUpper(), c.GetExact())
		}
	}
	return got
}

func TestDisclosureFindsThePrimaryCellsOfSdcTable(t *testing.T) {
	people := records(t, "T5_rawdata.csv")
	seventy, ten, sixty, eighty := 70.0, 10.0, 60.0, 80.0
	for column, rules := range map[string]*sharingpb.DisclosureRules{
		"freq_le2": {MinimumFrequency: 3},
		"nk_2_75":  {Dominance: &sharingpb.DisclosureRules_Dominance{N: 2, K: 75}},
		"p70":      {PPercent: &seventy},
		"p10":      {PPercent: &ten},
		"pq60_80":  {PPercent: &sixty, PriorPercent: &eighty},
	} {
		t.Run("by "+column, func(t *testing.T) {
			f := newFlat("total", "region", "gender")
			for _, r := range records(t, "T5_primary_rules.csv") {
				c := &sharingpb.DisclosureCell{Key: []string{r["region_o"], r["gender_o"]}, Frequency: whole(t, r["freq"])}
				for _, p := range people {
					if (r["region_o"] == "total" || r["region_o"] == p["region"]) && (r["gender_o"] == "total" || r["gender_o"] == p["gender"]) {
						c.Contributions = append(c.Contributions, whole(t, p["val"]))
					}
				}
				f.add(c)
			}
			got, err := NewDisclosure().Protect(t.Context(), &sharingpb.ProtectRequest{Dimensions: f.dimensions, Cells: f.cells, Rules: rules})
			if err != nil {
				t.Fatal(err)
			}
			for i, r := range records(t, "T5_primary_rules.csv") {
				if c := got.GetCells()[i]; (c.GetStatus() == sharingpb.DisclosureCell_PRIMARY) != (r[column] == "u") {
					t.Errorf("%v is %v, want %s", c.GetKey(), c.GetStatus(), r[column])
				}
			}
			if !got.GetAuditClean() {
				t.Errorf("the audit finds %v", got.GetFindings())
			}
		})
	}
}
