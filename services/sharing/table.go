package sharing

import (
	"context"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/proto/period"
	"github.com/comity-federation/comity/services/fault"
)

// The dimensions that say when, whose and what a figure is. Agreements name the last two in other ways than by detail.
const (
	freq      = "FREQ"
	refArea   = "REF_AREA"
	indicator = "INDICATOR"
)

// frequencies that the statistics know, codes of SDMX CL_FREQ, from the lowest to the highest.
var frequencies = strings.Split(period.Frequencies, "")

// free is the CONF_STATUS of what may be published (SDMX CL_CONF_STATUS).
const free = "F"

// table is what of an indicator may go out, with what was held back.
type table struct {
	rows       []row
	revision   int64 // of the statistics
	candidates int
	withheld   int
	suppressed int
	sum        float64 // of the finest cells
	kept       float64 // of it, what goes under its own codes
	coarsened  map[string]string
	held       []row // cells that policy's condition refuses
	merged     []row // cells that do not go under their own codes
}

// row is a figure of a table.
type row struct {
	codes  []string // in the order of the structure's dimensions
	period string
	value  float64
	status string
}

// component returns the row's value of a component.
func (r row) component(s *Structures, component string) string {
	switch component {
	case block.TimePeriod:
		return r.period
	case block.ObsValue:
		return strconv.FormatFloat(r.value, 'f', -1, 64)
	case block.ObsStatus:
		return r.status
	case block.ConfStatus:
		return free
	}
	for i, dimension := range s.Dimensions {
		if dimension.ID == component {
			return r.codes[i]
		}
	}
	return ""
}

// maker makes tables of one dataflow under one ruling.
type maker struct {
	statistics Statistics
	state      StateCode
	structures *Structures
	ruling     Ruling
	include    filter.Filter
	revision   int64 // 0 until the first answer says which it is
	told       []int // places of the dimensions that are told apart, in key order
}

// tables returns what may go out of an indicator, for each of the areas that has any. The revision is that of the first
// answer where it is 0.
func (s *Service) tables(ctx context.Context, structures *Structures, decided DecidedRequest, areas []string, revision int64) (table, error) {
	m := maker{
		statistics: s.Statistics, state: s.State, structures: structures,
		ruling: decided.Ruling, include: decided.Include.Filter, revision: revision,
	}
	for i, dimension := range structures.Dimensions {
		if detail := m.detail(dimension.ID); detail != Total && !slices.Contains([]string{freq, refArea, indicator}, dimension.ID) {
			m.told = append(m.told, i)
		}
	}
	all := table{coarsened: map[string]string{}}
	if !m.has(refArea) {
		areas = []string{""}
	} else if fixed, ok := decided.Include.Fixed(refArea); ok {
		// A condition on whole areas is applied before anything is rolled up.
		areas = slices.DeleteFunc(slices.Clone(areas), func(area string) bool { return !slices.Contains(fixed, area) })
	}
	for _, area := range areas {
		one, err := m.area(ctx, area, decided.Question.Indicator)
		if err != nil {
			return table{}, err
		}
		all.add(one)
	}
	all.revision = m.revision
	return all, nil
}

func (t *table) add(other table) {
	t.rows = append(t.rows, other.rows...)
	t.held = append(t.held, other.held...)
	t.merged = append(t.merged, other.merged...)
	t.candidates += other.candidates
	t.withheld += other.withheld
	t.suppressed += other.suppressed
	t.sum += other.sum
	t.kept += other.kept
	for dimension, detail := range other.coarsened {
		t.coarsened[dimension] = detail
	}
}

func (m *maker) has(dimension string) bool {
	return slices.ContainsFunc(m.structures.Dimensions, func(d Dimension) bool { return d.ID == dimension })
}

// knows reports whether a code can stand in a dimension; in one that the structure lacks, any can.
func (m *maker) knows(dimension, code string) bool {
	for _, d := range m.structures.Dimensions {
		if d.ID == dimension && len(d.Codes) > 0 {
			_, ok := d.Codes[code]
			return ok
		}
	}
	return true
}

// detail returns the detail at which a dimension goes: what the ruling does not name goes as the total, and so does
// what it names by the level that only the total is on.
func (m *maker) detail(dimension string) string {
	detail := m.ruling.Detail[dimension]
	for _, d := range m.structures.Dimensions {
		if d.ID == dimension && d.Codes[Total].Level == detail {
			return Total
		}
	}
	if detail == "" {
		return Total
	}
	return detail
}

// area makes the table of one area: one tree for each period.
func (m *maker) area(ctx context.Context, area, code string) (table, error) {
	t := table{coarsened: map[string]string{}}
	agreed := slices.Index(frequencies, m.detail(freq))
	if agreed < 0 {
		return table{}, fault.New(fault.Precondition, "DETAIL_NOT_COVERED", "the agreement names no frequency that is known")
	}
	if !m.knows(refArea, area) || !m.knows(indicator, code) {
		return t, nil // then there are no figures of it
	}
	// Where nothing is stored as fine as agreed, the next coarser is sent.
	for i := agreed; i >= 0; i-- {
		if !m.knows(freq, frequencies[i]) {
			continue
		}
		trees, err := m.trees(ctx, area, code, frequencies[i])
		if err != nil {
			return table{}, err
		}
		if m.revision == 0 {
			return t, nil // the statistics hold nothing yet; what comes in the meantime is of another revision
		}
		if len(trees) == 0 {
			continue
		}
		m.protect(&t, trees, func(path []string, period string, n *node) row {
			return m.row(frequencies[i], area, code, path, period, n.value, n.status)
		})
		if err := m.coarsened(ctx, &t, area, code, i); err != nil {
			return table{}, err
		}
		return t, nil
	}
	return t, nil
}

// row returns a cell as a row: the codes of the dimensions told apart as far as the path goes, the total elsewhere.
func (m *maker) row(frequency, area, code string, path []string, period string, value float64, status string) row {
	codes := make([]string, len(m.structures.Dimensions))
	for i, dimension := range m.structures.Dimensions {
		switch dimension.ID {
		case freq:
			codes[i] = frequency
		case refArea:
			codes[i] = area
		case indicator:
			codes[i] = code
		default:
			codes[i] = Total
		}
	}
	for level, part := range path {
		codes[m.told[level]] = part
	}
	return row{codes: codes, period: period, value: value, status: status}
}

// trees asks for the tree of each period, level by level: a level fixes one dimension more.
func (m *maker) trees(ctx context.Context, area, code, frequency string) (map[string]*node, error) {
	index := map[string]*node{} // by period and path
	roots := map[string]*node{}
	for level := 0; level <= len(m.told); level++ {
		query := Query{Dataflow: m.structures.Dataflow, Providers: []StateCode{m.state}, Revision: m.revision}
		for i, dimension := range m.structures.Dimensions {
			selection := Selection{Dimension: dimension.ID, Codes: []string{Total}}
			switch place := slices.Index(m.told, i); {
			case dimension.ID == freq:
				selection.Codes = []string{frequency}
			case dimension.ID == refArea:
				selection.Codes = []string{area}
			case dimension.ID == indicator:
				selection.Codes = []string{code}
			case place >= 0 && place < level:
				selection = Selection{Dimension: dimension.ID, Level: m.detail(dimension.ID)}
			}
			query.Selections = append(query.Selections, selection)
		}
		err := m.query(ctx, query, func(b *block.Block) error {
			return m.read(b, func(codes []string, period string, n *node) {
				path := make([]string, level)
				for k := range path {
					path[k] = codes[m.told[k]]
				}
				if slices.Contains(path, Total) {
					return // a whole, not a part
				}
				if level == 0 {
					roots[period], index[period] = n, n
					return
				}
				n.code = path[level-1]
				above := index[strings.Join(append([]string{period}, path[:level-1]...), "\x00")]
				if above == nil {
					return // parts of what is not there
				}
				above.children = append(above.children, n)
				index[strings.Join(append([]string{period}, path...), "\x00")] = n
			})
		})
		if err != nil {
			return nil, err
		}
		if len(roots) == 0 {
			return nil, nil
		}
	}
	return roots, nil
}

// query asks the statistics, always for the same revision.
func (m *maker) query(ctx context.Context, query Query, each func(*block.Block) error) error {
	revision, err := m.statistics.Query(ctx, query, each)
	if err != nil {
		return err
	}
	if m.revision == 0 {
		m.revision = revision
	}
	return nil
}

// read calls each with the rows of b that have a value: what is missing, or not shown, is no figure.
func (m *maker) read(b *block.Block, each func(codes []string, period string, n *node)) error {
	columns := make([]*block.Column, len(m.structures.Dimensions))
	for i, dimension := range m.structures.Dimensions {
		if columns[i] = b.Column(dimension.ID); columns[i] == nil || columns[i].IsNumber() {
			return fault.New(fault.Unavailable, "UNAVAILABLE", "the statistics answered no column %s", dimension.ID)
		}
	}
	periods, values := b.Column(block.TimePeriod), b.Column(block.ObsValue)
	if periods == nil || periods.IsNumber() || values == nil || !values.IsNumber() {
		return fault.New(fault.Unavailable, "UNAVAILABLE", "the statistics answered no periods or values")
	}
	status, conf := b.Column(block.ObsStatus), b.Column(block.ConfStatus)
	for i := range b.Rows {
		value := values.Numbers[i]
		if math.IsNaN(value) {
			continue
		}
		codes := make([]string, len(columns))
		for k, column := range columns {
			codes[k] = column.Text(i)
		}
		n := &node{value: value, own: true, stored: value}
		if status != nil && !status.IsNumber() {
			n.status = status.Text(i)
		}
		if conf != nil && !conf.IsNumber() && conf.Text(i) != "" && conf.Text(i) != free {
			n.secret = true
		}
		each(codes, periods.Text(i), n)
	}
	return nil
}

// protect adds to t what may be seen of the trees.
func (m *maker) protect(t *table, trees map[string]*node, toRow func(path []string, period string, n *node) row) {
	p := protection{minimum: float64(m.ruling.Obligations.MinimumFrequency)}
	for _, place := range m.told {
		_, can := m.structures.Dimensions[place].Codes[Other]
		p.other = append(p.other, can)
	}
	passes := func(r row) bool {
		return m.include.Match(func(component string) string { return r.component(m.structures, component) })
	}
	for period, root := range trees {
		p.refuses = func(path []string, n *node) bool { return !passes(toRow(path, period, n)) }
		refused := map[string]bool{}
		root.walk(nil, func(path []string, n *node) {
			t.candidates++
			if len(path) == len(m.told) {
				t.sum += n.value
			}
			if p.refuses(path, n) {
				n.secret = true
				refused[strings.Join(path, "\x00")] = true
			}
		})
		own := map[string]bool{}
		for _, c := range p.protect(root) {
			r := toRow(c.path, period, &node{value: c.value, status: c.status})
			t.rows = append(t.rows, r)
			if !c.own {
				continue
			}
			own[strings.Join(c.path, "\x00")] = true
			if len(c.path) == len(m.told) {
				t.kept += c.stored
			}
		}
		root.walk(nil, func(path []string, n *node) {
			switch key := strings.Join(path, "\x00"); {
			case refused[key]:
				t.withheld++
				t.held = append(t.held, toRow(path, period, n))
			case !own[key]:
				t.suppressed++
				t.merged = append(t.merged, toRow(path, period, n))
			}
		})
	}
}

// coarsened notes the dimensions that are stored in more detail than they go in.
func (m *maker) coarsened(ctx context.Context, t *table, area, code string, frequency int) error {
	var conditions []filter.Filter
	if m.has(refArea) {
		conditions = append(conditions, filter.Eq(refArea, area))
	}
	if m.has(indicator) {
		conditions = append(conditions, filter.Eq(indicator, code))
	}
	query := Query{
		Dataflow: m.structures.Dataflow, Providers: []StateCode{m.state}, Filter: filter.And(conditions...), Revision: m.revision,
	}
	return m.query(ctx, query, func(b *block.Block) error {
		for _, dimension := range m.structures.Dimensions {
			column := b.Column(dimension.ID)
			if column == nil || column.IsNumber() || dimension.ID == refArea || dimension.ID == indicator {
				continue
			}
			detail := m.detail(dimension.ID)
			if dimension.ID == freq {
				detail = frequencies[frequency]
			}
			for _, stored := range column.Dictionary {
				if finer(dimension, stored, detail) {
					t.coarsened[dimension.ID] = detail
					break
				}
			}
		}
		return nil
	})
}

// finer reports whether a code says more than the detail.
func finer(dimension Dimension, code, detail string) bool {
	if dimension.ID == freq {
		return slices.Index(frequencies, code) > slices.Index(frequencies, detail)
	}
	if detail == Total {
		return code != Total && code != ""
	}
	return slices.Index(dimension.Levels, dimension.Codes[code].Level) > slices.Index(dimension.Levels, detail)
}
