package sharing

import (
	"context"
	"maps"
	"slices"
	"strings"
)

// strand is what sheets of all periods have in common.
type strand struct {
	flow                       string // "AGENCY:ID" of the dataflow
	frequency, area, indicator string
}

func (s *sheet) strand() strand { return strand{s.flow, s.frequency, s.area, s.indicator} }

// String names the strand.
func (s strand) String() string {
	return strings.Join([]string{s.flow, s.frequency, s.area, s.indicator}, " ")
}

// code returns the code of one of the dimensions REF_AREA and INDICATOR.
func (s strand) code(dimension string) string {
	if dimension == refArea {
		return s.area
	}
	return s.indicator
}

// with returns the strand of another code of the dimension.
func (s strand) with(dimension, code string) strand {
	if dimension == refArea {
		s.area = code
	} else {
		s.indicator = code
	}
	return s
}

// sortedStrands returns the strands in order.
func sortedStrands(relatives map[strand][]*sheet) []strand {
	strands := make([]strand, 0, len(relatives))
	for s := range relatives {
		strands = append(strands, s)
	}
	slices.SortFunc(strands, func(a, b strand) int { return strings.Compare(a.String(), b.String()) })
	return strands
}

// group names the tables that have to do with each other: those of a year, where there are relatives at other frequencies.
func group(period string, relatives map[strand][]*sheet) string {
	often := map[string]bool{}
	for s := range relatives {
		often[s.frequency] = true
	}
	if len(often) > 1 {
		return related(period, frequencies[0])[0]
	}
	return period
}

// holders returns the sheets whose periods hold that of a sheet.
func (s *sheet) holders(relatives map[strand][]*sheet) []*sheet {
	var sheets []*sheet
	for _, other := range sortedStrands(relatives) {
		for _, one := range inside(relatives[other], group(s.period, relatives)) {
			if !one.first.After(s.first) && !one.last.Before(s.last) {
				sheets = append(sheets, one)
			}
		}
	}
	return sheets
}

// nest finds out how areas and indicators contain each other.
func (m *maker) nest() {
	m.nested = map[string]tree{}
	for i, d := range m.structures.Dimensions {
		if d.ID != refArea && d.ID != indicator {
			continue
		}
		codes := map[string]bool{}
		for code := range d.Codes {
			codes[code] = true
		}
		m.nested[d.ID] = newTree(newAxis(i, d, len(d.Levels)), codes)
	}
}

// family returns the strands that a sheet's may add up with: at all frequencies, of all areas and of all indicators of which
// the audiences were told anything or are told with it, and of those between.
func (m *maker) family(ctx context.Context, own *sheet) ([]strand, error) {
	var kin []strand
	for _, frequency := range frequencies {
		if !m.knows(freq, frequency) {
			continue
		}
		for _, area := range m.nested[refArea].kin(own.area) {
			for _, code := range m.nested[indicator].kin(own.indicator) {
				kin = append(kin, strand{own.flow, frequency, area, code})
			}
		}
	}
	marks := make([]string, len(kin))
	for i, s := range kin {
		marks[i] = s.told()
	}
	told, err := marked(ctx, m.audiences, marks)
	if err != nil {
		return nil, err
	}
	often, areas, codes := map[string]bool{own.frequency: true}, map[string]bool{own.area: true}, map[string]bool{own.indicator: true}
	for i, s := range kin {
		switch {
		case told[marks[i]], m.together(s, own):
			often[s.frequency], areas[s.area], codes[s.indicator] = true, true, true
		case m.mirrored.coarser(s.frequency, own.frequency):
			often[s.frequency] = true
		}
	}
	var family []strand
	for _, frequency := range slices.Sorted(maps.Keys(often)) {
		for _, area := range m.nested[refArea].between(own.area, areas) {
			for _, code := range m.nested[indicator].between(own.indicator, codes) {
				family = append(family, strand{own.flow, frequency, area, code})
			}
		}
	}
	return family, nil
}

// together reports whether tables of a strand may go with a sheet: no finer than agreed, and at the frequency of the sheet,
// or a finer one that there are no figures of the sheet at.
func (m *maker) together(s strand, own *sheet) bool {
	at := slices.Index(frequencies, s.frequency)
	return slices.Contains(m.areas, s.area) && slices.Contains(m.indicators, s.indicator) &&
		at >= slices.Index(frequencies, own.frequency) && at <= slices.Index(frequencies, m.detail(freq))
}

// told names in ledgers that somebody was told of the strand.
func (s strand) told() string { return "told " + s.String() }
