package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The pair of states that exchange under kills, and what they count.
const (
	crossings   = "PAIR:CROSSINGS(1.0.0)"
	pairMonths  = 250   // as many as make a release of two batches
	pairInitial = 1_000 // of each origin in each month, before anything else
)

func pair() []string { return []string{"aa", "bb"} }

// origins are the finest codes of the figures.
func origins() []string {
	return []string{"AFG", "ALB", "DZA", "ERI", "GEO", "HTI", "IND", "IRN", "IRQ", "MAR", "PAK", "SDN", "SYR", "TUR", "VEN", "VNM"}
}

// pairKeys are the places of a state's figures: origin and month, as "AFG 2004-01".
func pairKeys() []string {
	var keys []string
	for _, origin := range origins() {
		for month := range pairMonths {
			keys = append(keys, fmt.Sprintf("%s %d-%02d", origin, 2000+month/12, month%12+1))
		}
	}
	return keys
}

// pairCSV returns figures of a state as SDMX-CSV 2.0.
func pairCSV(state string, figures map[string]float64) string {
	text := strings.Builder{}
	text.WriteString("STRUCTURE,STRUCTURE_ID,FREQ,REF_AREA,INDICATOR,CITIZENSHIP,TIME_PERIOD,OBS_VALUE\n")
	for _, key := range pairKeys() {
		if value, ok := figures[key]; ok {
			origin, month, _ := strings.Cut(key, " ")
			fmt.Fprintf(&text, "dataflow,%s,M,%s,1A,%s,%s,%.0f\n", crossings, strings.ToUpper(state), origin, month, value)
		}
	}
	return text.String()
}

// initialFigures are what a state of the pair has at first.
func initialFigures() map[string]float64 {
	figures := map[string]float64{}
	for _, key := range pairKeys() {
		figures[key] = pairInitial
	}
	return figures
}

// writePair describes a region of two states that provide each other with everything.
func writePair(directory string) error {
	var codes, states strings.Builder
	for _, origin := range origins() {
		fmt.Fprintf(&codes, "      - {id: %s, parent: _T, level: country}\n", origin)
	}
	files := map[string]string{
		"structures.yaml": `codelists:
  - {agency: PAIR, id: CL_FREQ, version: 1.0.0, codes: [{id: M}]}
  - {agency: PAIR, id: CL_REF_AREA, version: 1.0.0, codes: [{id: AA}, {id: BB}]}
  - {agency: PAIR, id: CL_INDICATOR, version: 1.0.0, codes: [{id: 1A}]}
  - agency: PAIR
    id: CL_CITIZENSHIP
    version: 1.0.0
    levels: [total, country]
    codes:
      - {id: _T, level: total}
` + codes.String() + `dataStructures:
  - agency: PAIR
    id: CROSSINGS
    version: 1.0.0
    dimensions:
      - {id: FREQ, codelist: PAIR:CL_FREQ(1.0.0)}
      - {id: REF_AREA, codelist: PAIR:CL_REF_AREA(1.0.0)}
      - {id: INDICATOR, codelist: PAIR:CL_INDICATOR(1.0.0)}
      - {id: CITIZENSHIP, codelist: PAIR:CL_CITIZENSHIP(1.0.0)}
dataflows:
  - {agency: PAIR, id: CROSSINGS, version: 1.0.0, structure: PAIR:CROSSINGS(1.0.0)}
`,
		"rules.yaml": "dataflow: " + crossings + "\n", // none that made-up figures could break
	}
	for i, code := range pair() {
		other := pair()[1-i]
		fmt.Fprintf(&states, "  - {code: %s, name: %s, refAreas: [%s], quality: [rules.yaml], submissions: [{file: %s.csv, dataflow: %q}]}\n",
			code, strings.ToUpper(code), strings.ToUpper(code), code, crossings)
		files[code+".csv"] = pairCSV(code, initialFigures())
		files["agreement-"+code+".yaml"] = fmt.Sprintf(`id: %s-%s
version: 1
provider: %s
receiver: %s
dataflow: %s
indicators: [1A]
detail: {FREQ: M, CITIZENSHIP: country}
purposes: [statistics]
minimumFrequency: 3
validFrom: 2022-01-01
text: Everything, every month.
`, code, other, code, other, crossings)
	}
	files["region.yaml"] = "name: Pair\nstructures: [structures.yaml]\nstates:\n" + states.String() + "agreements: [agreement-*.yaml]\n"
	if err := os.MkdirAll(directory, 0o755); err != nil { //nolint:gosec // nothing in it is secret
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(directory, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}
