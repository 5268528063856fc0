package postgres

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/services/statistics"
)

// where turns a filter over dimensions into SQL over the columns of series. A comparison is made with each code that is
// stored, and becomes the set of those that pass: the SQL then says exactly what [filter.Filter.Match] does, and no
// text of the caller's is in it.
type where struct {
	structure  *statistics.DataStructure
	dictionary *statistics.Dictionary
	args       pgx.NamedArgs
	condition  string // on c, the blocks, and s, the series
	series     string // the join of series, where the condition speaks of it
}

// where returns the condition for what the selector selects.
func (r *reader) where(ctx context.Context, flow *statistics.Flow, s statistics.Selector) (*where, error) {
	dictionary, err := r.Dictionary(ctx, flow)
	if err != nil {
		return nil, err
	}
	w := &where{structure: flow.Structure, dictionary: dictionary, args: pgx.NamedArgs{}, condition: "true"}
	if s.Spans != nil {
		w.condition = w.spans(s.Spans)
	}
	if s.Filter.IsTrue() {
		return w, nil
	}
	if w.byKey(s.Filter) {
		return w, nil
	}
	passes, err := w.sql(s.Filter)
	if err != nil {
		return nil, err
	}
	w.series = `
		JOIN series s ON s.part = c.part AND s.key = c.key`
	w.condition += ` AND ` + passes
	return w, nil
}

const (
	mostKeys   = 1024 // that are looked up one by one
	mostRanges = 32   // of keys
)

// byKey narrows the condition to keys, where the filter allows few codes in the first dimensions, and reports whether that
// is all that the filter says: then it need not be asked of the series.
func (w *where) byKey(f filter.Filter) bool {
	allowed := make([][]uint16, len(w.structure.Dimensions)) // by dimension: nil where any
	for _, conjunct := range conjuncts(f, make([]filter.Filter, 0, len(allowed))) {
		components := conjunct.Components()
		if len(components) != 1 {
			continue
		}
		dimension := w.structure.Dimension(components[0])
		if dimension < 0 {
			continue
		}
		codes := []uint16{}
		for code := range w.dictionary.Len(dimension) {
			text := w.dictionary.Text(dimension, uint32(code))
			known := allowed[dimension] == nil || slices.Contains(allowed[dimension], uint16(code))
			if known && conjunct.Match(func(string) string { return text }) {
				codes = append(codes, uint16(code))
			}
		}
		allowed[dimension] = codes
	}
	prefixes, dimensions := [][]byte{{}}, 0
	for ; dimensions < len(allowed) && allowed[dimensions] != nil && len(prefixes)*len(allowed[dimensions]) <= mostKeys; dimensions++ {
		var longer [][]byte
		for _, prefix := range prefixes {
			for _, code := range allowed[dimensions] {
				longer = append(longer, appendKey(bytes.Clone(prefix), code))
			}
		}
		prefixes = longer
	}
	if len(prefixes) == 0 {
		w.condition = "false"
		return true
	}
	if dimensions == len(allowed) {
		keys := slices.DeleteFunc(prefixes, func(key []byte) bool { return !w.passes(f, key) })
		if len(keys) == 1 { // of which the server keeps the plan
			w.args["key"] = keys[0]
			w.condition += ` AND c.key = @key`
			return true
		}
		w.args["keys"] = keys
		w.condition += ` AND c.key = ANY(@keys)`
		return true
	}
	if dimensions > 0 && len(prefixes) <= mostRanges {
		ranges := make([]string, len(prefixes))
		for i, prefix := range prefixes {
			w.args[fmt.Sprintf("from%d", i)], w.args[fmt.Sprintf("until%d", i)] = prefix, after(prefix)
			ranges[i] = fmt.Sprintf("c.key >= @from%[1]d AND c.key < @until%[1]d", i)
		}
		w.condition += ` AND (` + strings.Join(ranges, " OR ") + `)`
	}
	return false
}

// conjuncts appends what has to hold all at once.
func conjuncts(f filter.Filter, all []filter.Filter) []filter.Filter {
	if f.Op != filter.OpAnd {
		return append(all, f)
	}
	for _, operand := range f.Operands {
		all = conjuncts(operand, all)
	}
	return all
}

// passes reports whether a key passes the filter.
func (w *where) passes(f filter.Filter, key []byte) bool {
	return f.Match(func(component string) string {
		dimension := w.structure.Dimension(component)
		return w.dictionary.Text(dimension, uint32(binary.BigEndian.Uint16(key[2*dimension:])))
	})
}

// after returns the first key that does not begin with a prefix. Its last code is below the largest number, see addCodes.
func after(prefix []byte) []byte {
	next := bytes.Clone(prefix)
	last := len(next) - 2
	binary.BigEndian.PutUint16(next[last:], binary.BigEndian.Uint16(next[last:])+1)
	return next
}

func (w *where) sql(f filter.Filter) (string, error) {
	switch f.Op {
	case filter.OpAnd:
		return w.join(f.Operands, " AND ", "true")
	case filter.OpOr:
		return w.join(f.Operands, " OR ", "false")
	case filter.OpNot:
		operand, err := w.sql(f.Operands[0])
		return "NOT " + operand, err
	}
	dimension := w.structure.Dimension(f.Component)
	if dimension < 0 {
		return "", fmt.Errorf("the filter's component %s is no dimension of %s", f.Component, w.structure.Ref)
	}
	passing := []int16{}
	for code := range w.dictionary.Len(dimension) {
		text := w.dictionary.Text(dimension, uint32(code))
		if f.Match(func(string) string { return text }) {
			passing = append(passing, int16(code))
		}
	}
	name := fmt.Sprintf("f%d", len(w.args))
	w.args[name] = passing
	return fmt.Sprintf("s.d%d = ANY(@%s)", dimension+1, name), nil
}

func (w *where) join(operands []filter.Filter, between, none string) (string, error) {
	if len(operands) == 0 {
		return none, nil
	}
	parts := make([]string, len(operands))
	for i, operand := range operands {
		part, err := w.sql(operand)
		if err != nil {
			return "", err
		}
		parts[i] = part
	}
	return "(" + strings.Join(parts, between) + ")", nil
}

// spans turns runs of periods into SQL over keys, whose first code is FREQ, and blocks.
func (w *where) spans(spans []statistics.Span) string {
	var runs []string
	for _, span := range spans {
		code, ok := w.dictionary.Find(0, string(span.Frequency))
		if !ok {
			continue
		}
		first, _ := place(span.Frequency, span.First)
		last, _ := place(span.Frequency, span.Last)
		n := len(w.args)
		w.args[fmt.Sprintf("low%d", n)] = appendKey(nil, uint16(code))    //nolint:gosec // codes fit a smallint
		w.args[fmt.Sprintf("high%d", n)] = appendKey(nil, uint16(code+1)) //nolint:gosec // as above
		w.args[fmt.Sprintf("first%d", n)] = first
		w.args[fmt.Sprintf("last%d", n)] = last
		runs = append(runs, fmt.Sprintf("c.key >= @low%[1]d AND c.key < @high%[1]d AND c.blk BETWEEN @first%[1]d AND @last%[1]d", n))
	}
	if len(runs) == 0 {
		return "false"
	}
	return "(" + strings.Join(runs, " OR ") + ")"
}
