package statistics

import (
	"cmp"
	"slices"
	"strings"

	"github.com/comity-federation/comity/services/statistics/quality"
)

// mirrorFits makes a fit of coverage for each flow and key. Keys come sorted by these.
type mirrorFits struct {
	mirror *mirror
	key    mirrorKey // of the fit that is being made
	begun  bool
	sums   map[[2]MirrorEnd]*quality.Corridor
}

func newMirrorFits(m *mirror) *mirrorFits {
	return &mirrorFits{mirror: m, sums: map[[2]MirrorEnd]*quality.Corridor{}}
}

// begin tells of the next key.
func (f *mirrorFits) begin(k mirrorKey) {
	if f.begun && (k.flow != f.key.flow || k.rest != f.key.rest) {
		f.end()
	}
	f.key, f.begun = k, true
}

// add adds a period of a corridor.
func (f *mirrorFits) add(k mirrorKey, exits, entries reported) {
	ends := [2]MirrorEnd{{exits.provider, k.origin}, {entries.provider, k.destination}}
	if f.sums[ends] == nil {
		f.sums[ends] = &quality.Corridor{From: ends[0].text(), To: ends[1].text()}
	}
	f.sums[ends].Exits += exits.value
	f.sums[ends].Entries += entries.value
}

// end makes the fit of what was added since the last one.
func (f *mirrorFits) end() {
	if len(f.sums) == 0 {
		return
	}
	corridors := make([]quality.Corridor, 0, len(f.sums))
	for _, c := range f.sums {
		corridors = append(corridors, *c)
	}
	clear(f.sums)
	slices.SortFunc(corridors, func(a, b quality.Corridor) int {
		return cmp.Or(strings.Compare(a.From, b.From), strings.Compare(a.To, b.To))
	})
	fit := quality.FitCoverage(corridors, f.mirror.query.Confidence)
	coverage := MirrorCoverage{Flow: f.mirror.design.Flows[f.key.flow], Key: f.mirror.keyOf(f.key), CoverageFit: fit}
	for _, factor := range fit.Factors {
		provider, area, _ := strings.Cut(factor.Reporter, keySeparator)
		coverage.Factors = append(coverage.Factors, MirrorFactor{MirrorEnd{provider, area}, factor})
	}
	f.mirror.answer.Coverage = append(f.mirror.answer.Coverage, coverage)
}

// text names the end as a reporter of coverage.
func (e MirrorEnd) text() string { return e.Provider + keySeparator + e.Area }
