package sharing

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/comity-federation/comity/proto/block"
)

// summary says what is in a batch.
type summary struct {
	RefAreas     []string `json:"refAreas"`
	Indicators   []string `json:"indicators"`
	Minimum      float64  `json:"minimum"` // the smallest count above zero; 0: there is none
	Components   []string `json:"components"`
	UnknownCodes []string `json:"unknownCodes"` // "DIMENSION=code"
	Frequencies  []string `json:"frequencies"`
	// Finest holds for each dimension but FREQ the levels that its codes are of, "_T" for the total.
	Finest map[string][]string `json:"finest"`
}

// with returns what is in the batches of both together.
func (a summary) with(b summary) summary {
	joined := func(one, other []string) []string {
		if slices.Equal(one, other) {
			return one
		}
		all := slices.Concat([]string{}, one, other)
		slices.Sort(all)
		return slices.Compact(all)
	}
	all := summary{
		RefAreas: joined(a.RefAreas, b.RefAreas), Indicators: joined(a.Indicators, b.Indicators), Minimum: min(a.Minimum, b.Minimum),
		Components: joined(a.Components, b.Components), UnknownCodes: joined(a.UnknownCodes, b.UnknownCodes),
		Frequencies: joined(a.Frequencies, b.Frequencies), Finest: map[string][]string{},
	}
	if a.Minimum == 0 || b.Minimum == 0 {
		all.Minimum = max(a.Minimum, b.Minimum)
	}
	for _, finest := range []map[string][]string{a.Finest, b.Finest} {
		for dimension, levels := range finest {
			all.Finest[dimension] = joined(all.Finest[dimension], levels)
		}
	}
	return all
}

// summarise checks the form of a batch and says what is in it.
func summarise(structures *Structures, b *block.Block, header Header) (summary, error) {
	about := summary{
		RefAreas: []string{}, Indicators: []string{}, Components: []string{}, UnknownCodes: []string{}, Frequencies: []string{},
		Finest: map[string][]string{},
	}
	for _, column := range b.Columns {
		about.Components = append(about.Components, column.Component)
	}
	periods, values := b.Column(block.TimePeriod), b.Column(block.ObsValue)
	if periods == nil || periods.IsNumber() || values == nil || !values.IsNumber() {
		return summary{}, errors.New("it has no periods or no values")
	}
	status := b.Column(block.ObsStatus)
	if status != nil && status.IsNumber() {
		return summary{}, errors.New("its statuses are numbers")
	}
	keys := []*block.Column{periods}
	for _, dimension := range structures.Dimensions {
		column := b.Column(dimension.ID)
		if column == nil || column.IsNumber() {
			return summary{}, fmt.Errorf("it has no codes of %s", dimension.ID)
		}
		keys = append(keys, column)
		about.dimension(dimension, usedCodes(column))
	}
	for i, value := range values.Numbers {
		switch {
		case value < 0:
			return summary{}, fmt.Errorf("row %d has a value below zero", i)
		case math.IsNaN(value) && (status == nil || !missing(status.Text(i))):
			return summary{}, fmt.Errorf("row %d has no value, and does not say why", i)
		case value > 0 && (about.Minimum == 0 || value < about.Minimum):
			about.Minimum = value
		}
	}
	if i, twice := repeated(keys, b.Rows); twice {
		return summary{}, fmt.Errorf("row %d stands twice", i)
	}
	if i, outside := outside(b, header); outside {
		return summary{}, fmt.Errorf("row %d is outside the scope of its release", i)
	}
	return about, nil
}

// dimension notes the codes of a dimension that rows have, sorted.
func (a *summary) dimension(dimension Dimension, used []string) {
	switch dimension.ID {
	case refArea:
		a.RefAreas = used
	case indicator:
		a.Indicators = used
	case freq:
		a.Frequencies = used
	}
	for _, code := range used {
		known, ok := dimension.Codes[code]
		level := known.Level
		switch {
		case !ok:
			a.UnknownCodes = append(a.UnknownCodes, dimension.ID+"="+code)
			continue
		case code == Total:
			level = Total
		}
		if dimension.ID != freq && !slices.Contains(a.Finest[dimension.ID], level) {
			a.Finest[dimension.ID] = append(a.Finest[dimension.ID], level)
		}
	}
}

// repeated returns the first row that says in all columns what one before it says; false where there is none.
func repeated(columns []*block.Column, rows int) (row int, twice bool) {
	ids := numbered(columns, rows)
	sorted := slices.Clone(ids)
	slices.Sort(sorted)
	if len(slices.Compact(sorted)) == rows {
		return 0, false
	}
	seen := make(map[uint64]bool, rows)
	for i, id := range ids {
		if seen[id] {
			return i, true
		}
		seen[id] = true
	}
	return 0, false
}

// numbered returns a number for each row: the same for two rows where they say the same in all columns.
func numbered(columns []*block.Column, rows int) []uint64 {
	ids, span := make([]uint64, rows), uint64(1) // each is below span
	for _, column := range columns {
		// A dictionary from outside may have a value twice.
		places, known := make([]uint64, len(column.Dictionary)), make(map[string]uint64, len(column.Dictionary))
		for i, value := range column.Dictionary {
			place, ok := known[value]
			if !ok {
				place = uint64(len(known))
				known[value] = place
			}
			places[i] = place
		}
		size := uint64(max(len(known), 1))
		if span > math.MaxUint64/size {
			span = renumber(ids)
		}
		for i, code := range column.Codes {
			ids[i] = ids[i]*size + places[code]
		}
		span *= size
	}
	return ids
}

// renumber gives ids the smallest numbers that tell them apart, and returns how many there are.
func renumber(ids []uint64) uint64 {
	known := make(map[uint64]uint64, len(ids))
	for i, id := range ids {
		next, ok := known[id]
		if !ok {
			next = uint64(len(known))
			known[id] = next
		}
		ids[i] = next
	}
	return uint64(max(len(known), 1))
}

// outside returns the first row that the scope of the batch's release does not have; false where there is none. Rows that say
// the same of what the scope is about are looked at once.
func outside(b *block.Block, header Header) (row int, found bool) {
	var columns []*block.Column
	for _, component := range header.Scope.Components() {
		if column := b.Column(component); column != nil && !column.IsNumber() {
			columns = append(columns, column)
		}
	}
	ids := numbered(columns, b.Rows)
	seen := map[uint64]bool{}
	for i, id := range ids {
		if seen[id] || i > 0 && id == ids[i-1] {
			continue
		}
		seen[id] = true
		inside := header.Scope.Match(func(component string) string {
			if column := b.Column(component); column != nil && !column.IsNumber() {
				return column.Text(i)
			}
			return ""
		})
		if !inside {
			return i, true
		}
	}
	return 0, false
}

// missing reports whether an OBS_STATUS says that there is no value (CL_OBS_STATUS).
func missing(status string) bool { return len(status) == 1 && strings.Contains("KHMLOQ", status) }

// usedCodes returns the codes that rows have, sorted.
func usedCodes(column *block.Column) []string {
	used := make([]bool, len(column.Dictionary))
	for _, code := range column.Codes {
		used[code] = true
	}
	codes := []string{}
	for i, code := range column.Dictionary {
		if used[i] {
			codes = append(codes, code)
		}
	}
	slices.Sort(codes)
	return slices.Compact(codes)
}
