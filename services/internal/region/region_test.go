package region_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/comity-federation/comity/services/internal/region"
)

// files is a region that is right.
func files() map[string]string {
	return map[string]string{
		"region.yaml": `
name: Two shores
structures: [shared/*.yaml]
states:
  - code: na
    name: Northshore
    refAreas: [NO]
    layouts: [na.yaml]
    quality: [rules.yaml]
    submissions: [{file: na.csv, dataflow: "NA:CROSSINGS(1.0.0)", layout: na}]
    assumptions:
      - {id: by-boat, title: Five by boat, assumedRate: 5, strength: 1.5, tolerance: 0.25,
         evidence: {dataflow: "COMITY:BORDER(1.0.0)", key: Q.NO.1A, startPeriod: 2021, endPeriod: 2022-Q2}}
  - {code: so, name: Southshore, refAreas: [SO]}
agreements: [a.yaml]
`,
		"shared/codes.yaml": "codelists: [{agency: X, id: CL, version: 1.0.0, codes: [{id: 1}, {id: NO}, {id: 1E3}, {id: 2}]}]",
		"na.yaml":           "{id: na, dataflow: \"NA:CROSSINGS(1.0.0)\", period: {headers: [month], format: YYYY-MM}, duplicates: SUM}",
		"na.csv":            "month,n\n",
		"rules.yaml":        "{dataflow: \"NA:CROSSINGS(1.0.0)\", rules: [{id: R, check: TOTAL_CHANGE, severity: NOTE, thresholds: {factor: 1.5}}]}",
		"a.yaml":            "{id: na-so, version: 1, provider: na, receiver: so, validFrom: 2020-01-01, onward: false, detail: {FREQ: M}}",
	}
}

func load(t *testing.T, files map[string]string) (*region.Region, error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return region.Load(dir)
}

func TestLoad(t *testing.T) {
	t.Parallel()
	t.Run("it takes scalars as they are written", func(t *testing.T) {
		t.Parallel()
		r, err := load(t, files())
		if err != nil {
			t.Fatal(err)
		}
		var codes []string
		for _, c := range r.Structures[0].GetCodelists()[0].GetCodes() {
			codes = append(codes, c.GetId())
		}
		if got := strings.Join(codes, " "); got != "1 NO 1E3 2" {
			t.Errorf("codes %q", got)
		}
		a := r.State("na").Assumptions[0]
		if a.GetName() != "assumptions/by-boat" || a.GetStrength() != 1.5 || a.GetEvidence().GetStartPeriod() != "2021" {
			t.Errorf("assumption %v", a)
		}
		if rule := r.State("na").Quality[0].GetRules()[0]; rule.GetThresholds()["factor"] != 1.5 || rule.GetId() != "R" {
			t.Errorf("rule %v", rule)
		}
		if terms := r.Agreements[0]; terms.GetValidFrom() != "2020-01-01" || terms.GetVersion() != 1 {
			t.Errorf("terms %v", terms)
		}
		if sub := r.State("na").Submissions[0]; !filepath.IsAbs(sub.File) {
			t.Errorf("file %q", sub.File)
		}
	})

	for name, broken := range map[string]struct{ file, old, new, want string }{
		"it names the field that is unknown":      {"na.yaml", "duplicates", "duplicate", "na.yaml"},
		"it names the key that it does not know":  {"region.yaml", "refAreas: [SO]", "areas: [SO]", "areas"},
		"it names the pattern that nothing fits":  {"region.yaml", "shared/*", "other/*", "other/*.yaml"},
		"it names the file that is missing":       {"region.yaml", "file: na.csv", "file: nb.csv", "nb.csv"},
		"it names the state that is not there":    {"a.yaml", "receiver: so", "receiver: su", `"su"`},
		"it refuses an area with two speakers":    {"region.yaml", "refAreas: [SO]", "refAreas: [NO]", "speak for NO"},
		"it refuses a layout that is not there":   {"region.yaml", "layout: na}", "layout: nb}", `"nb"`},
		"it refuses two sets of rules for one":    {"region.yaml", "[rules.yaml]", "[rules.yaml, rules.yaml]", "two files"},
		"it refuses a key that stands twice":      {"na.yaml", "{id: na", "{id: nb, id: na", "twice"},
		"it refuses a state code in capitals":     {"region.yaml", "code: so", "code: SO", "lower-case"},
		"it refuses a wrong value, with its file": {"a.yaml", "version: 1", "version: one", "a.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := files()
			f[broken.file] = strings.Replace(f[broken.file], broken.old, broken.new, 1)
			_, err := load(t, f)
			if err == nil || !strings.Contains(err.Error(), broken.want) {
				t.Errorf("got %v, want something about %s", err, broken.want)
			}
		})
	}
}
