package sharing

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/proto/period"
	"github.com/comity-federation/comity/services/disclosure/ledger"
	"github.com/comity-federation/comity/services/fault"
)

// The codes that a codelist has for the whole and for what is not told apart.
const (
	Total = "_T"
	Other = "_O"
)

// maker makes tables of one dataflow, those of an indicator under one ruling.
type maker struct {
	statistics  Statistics
	state       StateCode
	structures  *Structures
	lineage     lineage
	constraints []Constraint // of the state's figures
	ruling      Ruling
	include     filter.Filter
	revision    int64  // 0 until the first answer says which it is
	told        []axis // the dimensions that are told apart, in key order
	patterns    *patterns
	audiences   []ledger.Reader // what those have seen whom the tables are for
	members     [][]StateCode   // of each of the audiences
	amount      ledger.ID       // how much the audiences were told before anything was asked
	unit        unit            // of the indicator
	mirrored    mirrored        // of the area

	periods     []Spans                  // each of which a period has to be in
	contributed map[string]contributions // to the cells of the area, by the dimension that tells contributors

	areas, indicators []string        // that tables are made of to go together
	nested            map[string]tree // the codes of REF_AREA and INDICATOR

	answers map[question][]*sheet // at the revision: sheets are asked for again where others add up with them
}

// question is what sheets are asked for by.
type question struct {
	strand strand
	detail string // the levels of the dimensions that are told apart
}

// figure is a cell of a table as the statistics answered it.
type figure struct {
	key    []string // of the dimensions told apart
	value  float64  // NaN: it is missing
	status string   // OBS_STATUS
	conf   string   // CONF_STATUS
}

// sheet is what the statistics have of an area, an indicator and a period.
type sheet struct {
	flow                               string // "AGENCY:ID" of the dataflow
	frequency, area, indicator, period string
	marks                              []string // that somebody was told of any of it, as ledgers name that
	figures                            []figure

	first, last time.Time // days of the period; zero where it is not known

	decimals int     // places that the figures need
	largest  float64 // of the figures
	problem  error   // why they cannot go in whatever unit; nil: they can
}

// tables makes the tables of what policy decided about indicators, for each of the areas that has any, and protects them. They
// go together, with those of other indicators beside them, and are all of one revision. Audiences are those whom they are for.
func (s *Service) tables(ctx context.Context, structures *Structures, decided []DecidedRequest, areas, indicators []string, audiences []audience) (table, error) {
	all := newTable()
	if len(decided) == 0 {
		told, err := amount(ctx, audiences)
		all.told = told
		return all, err
	}
	m, err := s.newMaker(ctx, structures, areas, indicators, audiences)
	if err != nil {
		return table{}, err
	}
	for _, d := range decided {
		one, err := m.tables(ctx, d)
		if err != nil {
			return table{}, err
		}
		all.add(one)
		m.revision = one.revision
	}
	all.revision = m.revision
	return all, nil
}

// newMaker returns a maker of tables of whatever is decided about indicators. It asks for what holds for all of these.
func (s *Service) newMaker(ctx context.Context, structures *Structures, areas, indicators []string, audiences []audience) (*maker, error) {
	m := &maker{
		statistics: s.Statistics, state: s.State, structures: structures, patterns: &s.patterns,
		areas: areas, indicators: indicators, answers: map[question][]*sheet{},
	}
	m.nest()
	for _, a := range audiences {
		m.audiences, m.members = append(m.audiences, a.Reader), append(m.members, a.members)
	}
	var err error
	if m.amount, err = amount(ctx, audiences); err != nil {
		return nil, err
	}
	if m.lineage, err = s.lineage(ctx, structures); err != nil {
		return nil, err
	}
	if m.constraints, err = s.Statistics.Constraints(ctx, structures.Dataflow, s.State); err != nil {
		return nil, fmt.Errorf("asking where %s has no figures: %w", structures.Dataflow, err)
	}
	return m, nil
}

// tables makes the tables of an indicator. The revision is that of the first answer where the maker has none.
func (m *maker) tables(ctx context.Context, decided DecidedRequest) (table, error) {
	one := *m
	m = &one
	code := decided.Question.Indicator
	m.ruling, m.include, m.indicators = decided.Ruling, decided.Include.Filter, append([]string{code}, m.indicators...)
	m.periods = []Spans{decided.Ruling.Periods, decided.agreed}
	if err := m.tell(); err != nil {
		return table{}, err
	}
	all := newTable()
	all.told = m.amount
	areas := m.areas
	if !m.has(refArea) {
		areas = []string{""}
	} else if fixed, ok := decided.Include.Fixed(refArea); ok {
		// A condition on whole areas is applied before anything is rolled up.
		areas = slices.DeleteFunc(slices.Clone(areas), func(area string) bool { return !slices.Contains(fixed, area) })
	}
	var every []*sheet
	var byArea [][]*sheet
	for _, area := range areas {
		for _, kin := range m.nested[indicator].kin(code) {
			if !slices.Contains(m.indicators, kin) {
				continue
			}
			sheets, err := m.find(ctx, area, kin)
			if err != nil {
				return table{}, err
			}
			every = append(every, sheets...)
			if kin == code && len(sheets) > 0 {
				byArea = append(byArea, sheets)
			}
		}
	}
	for _, sheets := range byArea {
		about := []string{sheets[0].area}
		if !m.has(refArea) {
			about = m.areas
		}
		problem, err := m.lineage.elsewhere(ctx, m.audiences, about, code)
		if err != nil {
			return table{}, err
		}
		for _, one := range sheets {
			one.problem = cmp.Or(problem, one.problem)
		}
	}
	if err := m.decideUnit(ctx, &all, code, every); err != nil {
		return table{}, err
	}
	for _, sheets := range byArea {
		if err := m.area(ctx, &all, sheets); err != nil {
			return table{}, err
		}
	}
	if len(all.made) == 0 {
		all.units = nil // it stays open until something goes
	}
	all.revision = m.revision
	return all, nil
}

// tell finds out which dimensions are told apart.
func (m *maker) tell() error {
	for i, dimension := range m.structures.Dimensions {
		detail := m.detail(dimension.ID)
		if detail == Total || slices.Contains([]string{freq, refArea, indicator}, dimension.ID) {
			continue
		}
		finest := slices.Index(dimension.Levels, detail)
		if finest < 0 {
			return fault.New(fault.Precondition, "DETAIL_NOT_COVERED", "%s has no level %q", dimension.ID, detail)
		}
		m.told = append(m.told, newAxis(i, dimension, finest))
	}
	return nil
}

func (m *maker) has(dimension string) bool { return m.structures.has(dimension) }

// knows reports whether a code can stand in a dimension; in one that the structure lacks, any can.
func (m *maker) knows(dimension, code string) bool {
	codes := m.structures.dimension(dimension).Codes
	_, known := codes[code]
	return known || len(codes) == 0
}

// detail returns the detail at which a dimension goes: what the ruling does not name goes as the total, and so does
// what it names by the level that only the total is on.
func (m *maker) detail(dimension string) string {
	detail := m.ruling.Detail[dimension]
	if detail == "" || detail == m.structures.dimension(dimension).Codes[Total].Level {
		return Total
	}
	return detail
}

// find asks for the sheets of an area, one for each period, none where nothing is stored. Where nothing is stored as fine as
// agreed, they are of the next coarser frequency.
func (m *maker) find(ctx context.Context, area, code string) ([]*sheet, error) {
	agreed := slices.Index(frequencies, m.detail(freq))
	if agreed < 0 {
		return nil, fault.New(fault.Precondition, "DETAIL_NOT_COVERED", "the agreement names no frequency that is known")
	}
	if !m.knows(refArea, area) || !m.knows(indicator, code) {
		return nil, nil // then there are no figures of it
	}
	for i := agreed; i >= 0; i-- {
		if !m.knows(freq, frequencies[i]) {
			continue
		}
		sheets, err := m.sheets(ctx, area, code, frequencies[i])
		if err != nil {
			return nil, err
		}
		if m.revision == 0 {
			return nil, nil // the statistics hold nothing yet; what comes in the meantime is of another revision
		}
		if len(sheets) > 0 {
			return sheets, nil
		}
	}
	return nil, nil
}

// area adds the tables of the sheets of one area.
func (m *maker) area(ctx context.Context, t *table, sheets []*sheet) error {
	area, code, frequency := sheets[0].area, sheets[0].indicator, sheets[0].frequency
	restricted, err := m.stored(ctx, t, area, code, frequency)
	if err != nil {
		return err
	}
	if err := m.contribute(ctx, sheets); err != nil {
		return err
	}
	if err := m.mirror(ctx, area, code, frequency); err != nil {
		return err
	}
	before := len(t.made)
	if err := m.protect(ctx, t, m.covered(t, sheets), restricted); err != nil {
		return err
	}
	return m.join(ctx, t, t.made[before:], sheets)
}

// cells returns the query for all cells of an indicator that may go, totals and all.
func (m *maker) cells(area, code, frequency string) Query {
	query := Query{Dataflow: m.structures.Dataflow, Providers: []StateCode{m.state}, Revision: m.revision}
	for i, dimension := range m.structures.Dimensions {
		selection := Selection{Dimension: dimension.ID, Codes: []string{Total}}
		switch at := slices.IndexFunc(m.told, func(a axis) bool { return a.place == i }); {
		case dimension.ID == freq:
			selection.Codes = []string{frequency}
		case dimension.ID == refArea:
			selection.Codes = []string{area}
		case dimension.ID == indicator:
			selection.Codes = []string{code}
		case at >= 0:
			selection.Codes = m.told[at].codes()
		}
		query.Selections = append(query.Selections, selection)
	}
	return query
}

// sheets returns the sheets of each period, in their order. They are the caller's: what is found out about them there is not
// known here.
func (m *maker) sheets(ctx context.Context, area, code, frequency string) ([]*sheet, error) {
	about := question{strand{m.structures.flow(), frequency, area, code}, strings.Join(levels(m.told), " ")}
	answer, known := m.answers[about]
	if !known {
		var err error
		if answer, err = m.ask(ctx, about.strand); err != nil {
			return nil, err
		}
		if m.revision > 0 { // what is asked before there is a revision is answered for none
			m.answers[about] = answer
		}
	}
	sheets := make([]*sheet, len(answer))
	for i, one := range answer {
		own := *one
		sheets[i] = &own
	}
	return sheets, nil
}

// ask asks for the cells of each period in one query.
func (m *maker) ask(ctx context.Context, s strand) ([]*sheet, error) {
	byPeriod := map[string]*sheet{}
	err := m.query(ctx, m.cells(s.area, s.indicator, s.frequency), func(b *block.Block) error {
		return m.read(b, func(codes []string, period string, f figure) {
			one := byPeriod[period]
			if one == nil {
				one = &sheet{flow: s.flow, frequency: s.frequency, area: s.area, indicator: s.indicator, period: period, marks: m.lineage.marks(s.area, s.indicator)}
				byPeriod[period] = one
			}
			f.key = m.key(codes)
			one.figures = append(one.figures, f)
		})
	})
	if err != nil {
		return nil, err
	}
	sheets := make([]*sheet, 0, len(byPeriod))
	for _, one := range byPeriod {
		slices.SortFunc(one.figures, func(a, b figure) int { return slices.Compare(a.key, b.key) })
		one.measure()
		if p, err := period.Parse(one.period); err == nil {
			one.first, one.last = p.Start(), p.End()
		}
		sheets = append(sheets, one)
	}
	slices.SortFunc(sheets, func(a, b *sheet) int { return cmp.Or(a.first.Compare(b.first), cmp.Compare(a.period, b.period)) })
	return sheets, nil
}

// key returns the codes of the dimensions told apart.
func (m *maker) key(codes []string) []string {
	key := make([]string, len(m.told))
	for k, a := range m.told {
		key[k] = codes[a.place]
	}
	return key
}

// codes returns the codes of all dimensions: the total where nothing is told apart.
func (m *maker) codes(s *sheet, key []string) []string {
	codes := make([]string, len(m.structures.Dimensions))
	for i, dimension := range m.structures.Dimensions {
		switch dimension.ID {
		case freq:
			codes[i] = s.frequency
		case refArea:
			codes[i] = s.area
		case indicator:
			codes[i] = s.indicator
		default:
			codes[i] = Total
		}
	}
	for k, a := range m.told {
		codes[a.place] = key[k]
	}
	return codes
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

// read calls each with the rows of b, but for their keys.
func (m *maker) read(b *block.Block, each func(codes []string, period string, f figure)) error {
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
	codes := make([]string, len(columns))
	for i := range b.Rows {
		for k, column := range columns {
			codes[k] = column.Text(i)
		}
		f := figure{value: values.Numbers[i], conf: free}
		if status != nil && !status.IsNumber() {
			f.status = status.Text(i)
		}
		if conf != nil && !conf.IsNumber() && conf.Text(i) != "" {
			f.conf = conf.Text(i)
		}
		each(codes, periods.Text(i), f)
	}
	return nil
}

// stored looks at all that is stored of an indicator in an area. It notes the dimensions that are stored in more detail
// than they go in, and returns the cells that are themselves stored as restricted, by period and key: of a sum it cannot
// be told whether only a part of it is.
func (m *maker) stored(ctx context.Context, t *table, area, code, frequency string) (restricted map[string]bool, err error) {
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
	restricted = map[string]bool{}
	err = m.query(ctx, query, func(b *block.Block) error {
		m.noteDetail(t, b, frequency)
		return m.read(b, func(codes []string, period string, f figure) {
			key := m.key(codes)
			if f.conf != free && slices.Equal(codes, m.codes(&sheet{frequency: frequency, area: area, indicator: code}, key)) {
				restricted[cellName(period, key)] = true
			}
		})
	})
	return restricted, err
}

func cellName(period string, key []string) string { return period + "\x00" + name(key) }

// noteDetail notes the dimensions that are stored in more detail than they go in.
func (m *maker) noteDetail(t *table, b *block.Block, frequency string) {
	for _, dimension := range m.structures.Dimensions {
		column := b.Column(dimension.ID)
		if column == nil || column.IsNumber() || dimension.ID == refArea || dimension.ID == indicator {
			continue
		}
		detail := m.detail(dimension.ID)
		if dimension.ID == freq {
			detail = frequency
		}
		for _, stored := range column.Dictionary {
			if finer(dimension, stored, detail) {
				t.Coarsened[dimension.ID] = detail
				break
			}
		}
	}
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
