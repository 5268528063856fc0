package statistics

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/period"
)

// ruleUnmapped is the rule of the finding about a label that no map knows.
const ruleUnmapped = "UNMAPPED_LABEL"

// ruleLeftOut is the rule of the note about a label that a map leaves out.
const ruleLeftOut = "LEFT_OUT"

// ruleMerged is the rule of the note about labels that a map counts as one.
const ruleMerged = "MERGED_LABELS"

// Deriver derives the figures of one dataflow from blocks of another, as a structure map says. Source figures that fall
// on one key and period of the target are summed, as [Sum] says: where one of them has no value, the sum has none. A target dimension or attribute that no component map fills is copied
// from the source's of the same id; FREQ, TIME_PERIOD and OBS_VALUE always are. A copied value that is no code of the
// target's codelist is a label that no map knows.
type Deriver struct {
	table    *Table
	fills    []fill
	unmapped map[string]*Unmapped
	leftOut  int
}

// fill makes one or more components of the target.
type fill struct {
	sources  []string // ids in the block; none for a constant
	targets  []string
	mapper   *mapper // nil for a constant
	constant string
	optional bool // an absent source value makes an absent target value
}

// Unmapped is a label, or a tuple of labels, that no mapping knows, or that one leaves out.
type Unmapped struct {
	Map        Ref      // the zero Ref where the value was to be copied
	Components []string // of the source
	Labels     []string // one for each of the components
	Known      bool     // a mapping says that the rows are left out
	Targets    []string // what the map makes of what it does not know; none: the rows are left out
	Rows       int
	Value      float64 // the sum of OBS_VALUE, where there is one
	Line       int     // of the first such row; 0 where unknown
}

// NewDeriver checks the structure map, its representation maps and its structures against one another: every target
// dimension is filled exactly once, the sources exist, every target code is one of its codelist. The error is a fault
// with a violation for each field that is wrong. maps and codelists hold at least those that m and target refer to.
func NewDeriver(m StructureMap, source, target DataStructure, maps map[Ref]RepresentationMap, codelists map[Ref]*Codelist) (*Deriver, error) {
	c := compiler{source: source, target: target, maps: maps, codelists: codelists, filledBy: map[string]string{}}
	for i, component := range m.Components {
		c.add(fmt.Sprintf("componentMaps[%d]", i), component)
	}
	c.copyRest()
	if err := c.violations.fault("structure map " + m.Ref.String()); err != nil {
		return nil, err
	}
	return &Deriver{table: NewTable(&target), fills: c.fills, unmapped: map[string]*Unmapped{}}, nil
}

// compiler makes the fills of a structure map.
type compiler struct {
	source, target DataStructure
	maps           map[Ref]RepresentationMap
	codelists      map[Ref]*Codelist
	filledBy       map[string]string // field of the component map by target
	fills          []fill
	violations     violations
}

func (c *compiler) add(field string, m ComponentMap) {
	if len(m.Targets) == 0 {
		c.violations.add(field+".targets", "is empty")
	}
	codelists := make([]*Codelist, len(m.Targets))
	for i, target := range m.Targets {
		codelists[i] = c.checkTarget(fmt.Sprintf("%s.targets[%d]", field, i), target)
		if before, twice := c.filledBy[target]; twice {
			c.violations.add(fmt.Sprintf("%s.targets[%d]", field, i), "%s is filled by %s already", target, before)
		}
		c.filledBy[target] = field
	}
	for i, source := range m.Sources {
		if _, ok := c.source.component(source); !ok {
			c.violations.add(fmt.Sprintf("%s.sources[%d]", field, i), "%q is no component of %s", source, c.source.Ref)
		}
	}
	made := fill{sources: m.Sources, targets: m.Targets, constant: m.Constant}
	switch {
	case len(m.Sources) == 0:
		if m.RepresentationMap != (Ref{}) || len(m.Targets) != 1 {
			c.violations.add(field, "without sources, there is one target and a constant")
		} else if set := codelists[0].set(); m.Constant == "" || set != nil && !set[m.Constant] {
			c.violations.add(field+".constant", "%q is no value of %s", m.Constant, m.Targets[0])
		}
	case m.Constant != "":
		c.violations.add(field+".constant", "there are sources already")
	case m.RepresentationMap == (Ref{}):
		if len(m.Sources) != 1 || len(m.Targets) != 1 {
			c.violations.add(field, "without a representation map, there is one source and one target")
		} else {
			made.mapper = copier(codelists[0])
		}
	default:
		representation, ok := c.maps[m.RepresentationMap]
		if !ok {
			c.violations.add(field+".representationMap", "there is no %s", m.RepresentationMap)
			return
		}
		made.mapper = newMapper(representation, len(m.Sources), codelists, &c.violations)
	}
	c.fills = append(c.fills, made)
}

// checkTarget returns the codelist of a target component; nil where any text may stand, or where it is wrong.
func (c *compiler) checkTarget(field, target string) *Codelist {
	component, ok := c.target.component(target)
	if !ok {
		c.violations.add(field, "%q is no component of %s", target, c.target.Ref)
		return nil
	}
	if target == frequencyID {
		c.violations.add(field, "%s is copied, as the periods are", target)
	}
	return c.codelist(field, component)
}

func (c *compiler) codelist(field string, component Component) *Codelist {
	if component.Codelist == (Ref{}) {
		return nil
	}
	codelist := c.codelists[component.Codelist]
	if codelist == nil {
		c.violations.add(field, "there is no codelist %s", component.Codelist)
	}
	return codelist
}

// copyRest fills what no component map fills from the component of the same id. The two statuses are those of every
// figure, whether the structures name them or not.
func (c *compiler) copyRest() {
	rest := slices.Concat(c.target.Dimensions, c.target.Attributes)
	for _, id := range []string{block.ObsStatus, block.ConfStatus} {
		if _, there := c.target.component(id); !there {
			rest = append(rest, Component{ID: id})
		}
	}
	for i, component := range rest {
		isDimension := i < len(c.target.Dimensions)
		if c.filledBy[component.ID] != "" {
			continue
		}
		_, there := c.source.component(component.ID)
		switch {
		case there || component.ID == block.ObsStatus || component.ID == block.ConfStatus:
			mapper := copier(c.codelist("target."+component.ID, component))
			id := []string{component.ID}
			c.fills = append(c.fills, fill{sources: id, targets: id, mapper: mapper, optional: !isDimension})
		case isDimension:
			c.violations.add("componentMaps", "nothing fills the dimension %s of %s", component.ID, c.target.Ref)
		}
	}
}

// component returns the dimension or attribute of the id.
func (s *DataStructure) component(id string) (Component, bool) {
	for _, c := range slices.Concat(s.Dimensions, s.Attributes) {
		if c.ID == id {
			return c, true
		}
	}
	return Component{}, false
}

// Table returns what was derived so far.
func (d *Deriver) Table() *Table { return d.table }

// LeftOut returns how many source rows were not derived: those with a label that no map knows and counts to something
// else, or that a map leaves out.
func (d *Deriver) LeftOut() int { return d.leftOut }

// Add derives the rows of a block of the source: the dimensions, TIME_PERIOD, OBS_VALUE, the attributes that are there,
// and [block.Line] where it is known, else 0. The error says that it is no such block; nothing of it is derived then.
func (d *Deriver) Add(b *block.Block) error {
	rows, err := newSourceRows(b)
	if err != nil {
		return err
	}
	made := make(map[string]*block.Column, len(d.fills))
	for _, f := range d.fills {
		if err := rows.fill(f, made); err != nil {
			return err
		}
	}
	d.sum(rows, made)
	d.note(rows)
	return nil
}

// sourceRows are the rows of a block while they are being derived.
type sourceRows struct {
	block    *block.Block
	time     *block.Column
	periods  []Period // by code of time
	values   []float64
	lines    []float64 // nil where unknown
	dropped  []bool    // rows with a label that is left out
	unmapped []Unmapped
}

func newSourceRows(b *block.Block) (*sourceRows, error) {
	r := &sourceRows{block: b, time: b.Column(block.TimePeriod), dropped: make([]bool, b.Rows)}
	value, frequency := b.Column(block.ObsValue), b.Column(frequencyID)
	if r.time == nil || r.time.IsNumber() || value == nil || !value.IsNumber() || frequency == nil || frequency.IsNumber() {
		return nil, fmt.Errorf("a block without %s, %s or %s cannot be derived from", frequencyID, block.TimePeriod, block.ObsValue)
	}
	r.values = value.Numbers
	if line := b.Column(block.Line); line != nil && line.IsNumber() {
		r.lines = line.Numbers
	}
	r.periods = make([]Period, len(r.time.Dictionary))
	for i, text := range r.time.Dictionary {
		p, err := period.Parse(text)
		if err != nil {
			return nil, err
		}
		r.periods[i] = p
	}
	for i := range b.Rows {
		if p := r.period(i); frequency.Text(i) != string(p.Frequency) {
			return nil, fmt.Errorf("%s is no period of frequency %q", p, frequency.Text(i))
		}
	}
	return r, nil
}

func (r *sourceRows) period(row int) Period { return r.periods[r.time.Codes[row]] }

// fill makes the target columns of f. Every distinct tuple of source values is mapped once.
func (r *sourceRows) fill(f fill, made map[string]*block.Column) error {
	if f.mapper == nil {
		made[f.targets[0]] = &block.Column{Dictionary: []string{f.constant}, Codes: make([]uint32, r.block.Rows)}
		return nil
	}
	columns := make([]*block.Column, len(f.sources), len(f.sources)+1)
	for i, source := range f.sources {
		columns[i] = r.block.Column(source)
		switch {
		case columns[i] == nil && f.optional:
			return nil
		case columns[i] == nil || columns[i].IsNumber():
			return fmt.Errorf("a block without %s cannot be derived from", source)
		}
	}
	by := columns
	if f.mapper.timed {
		by = append(columns, r.time)
	}
	ids, first := groups(r.block.Rows, by)
	outcomes := make([][]string, len(first))
	var unknown map[uint32]int // position in r.unmapped by group
	for group, row := range first {
		labels := make([]string, len(columns))
		for i, column := range columns {
			labels[i] = column.Text(row)
		}
		if f.optional && labels[0] == "" {
			outcomes[group] = labels
			continue
		}
		targets, known := f.mapper.apply(labels, r.period(row))
		outcomes[group] = targets
		if !known || len(targets) == 0 {
			if unknown == nil {
				unknown = map[uint32]int{}
			}
			unknown[uint32(group)] = len(r.unmapped)
			r.unmapped = append(r.unmapped, Unmapped{Map: f.mapper.ref, Components: f.sources, Labels: labels, Known: known, Targets: targets})
		}
	}
	for i, target := range f.targets {
		column := &block.Column{Component: target, Dictionary: make([]string, len(first)), Codes: ids}
		for group, outcome := range outcomes {
			if len(outcome) > 0 {
				column.Dictionary[group] = outcome[i]
			}
		}
		made[target] = column
	}
	if unknown != nil {
		r.count(ids, unknown, outcomes)
	}
	return nil
}

// count adds up the rows with a label that is unknown or left out, and marks those that are left out.
func (r *sourceRows) count(ids []uint32, unknown map[uint32]int, outcomes [][]string) {
	for row, group := range ids {
		at, ok := unknown[group]
		if !ok {
			continue
		}
		u := &r.unmapped[at]
		u.Rows++
		u.Value += finite(r.values[row])
		if r.lines != nil {
			u.Line = earlier(u.Line, int(r.lines[row]))
		}
		if len(outcomes[group]) == 0 {
			r.dropped[row] = true
		}
	}
}

// earlier returns the smaller of two line numbers, where 0 is unknown.
func earlier(a, b int) int {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

// groups numbers the distinct tuples of codes from 0, in the order of the rows. ids has the number of each row, first
// the first row of each number.
func groups(rows int, columns []*block.Column) (ids []uint32, first []int) {
	ids = make([]uint32, rows)
	count := min(rows, 1)
	for _, column := range columns {
		pairs := make(map[uint64]uint32, count)
		for row, code := range column.Codes {
			pair := uint64(ids[row])<<32 | uint64(code)
			id, ok := pairs[pair]
			if !ok {
				id = uint32(len(pairs)) //nolint:gosec // no more pairs than rows
				pairs[pair] = id
			}
			ids[row] = id
		}
		count = len(pairs)
	}
	first = make([]int, 0, count)
	for row, id := range ids {
		if int(id) == len(first) {
			first = append(first, row)
		}
	}
	return ids, first
}

// sum adds the rows to the table, looking up each distinct key once.
func (d *Deriver) sum(r *sourceRows, made map[string]*block.Column) {
	structure := d.table.Structure()
	keyColumns := make([]*block.Column, len(structure.Dimensions))
	for i, dimension := range structure.Dimensions {
		keyColumns[i] = made[dimension.ID]
	}
	furtherColumns := make([]*block.Column, 0, len(d.table.FurtherAttributes()))
	for _, id := range d.table.FurtherAttributes() {
		column := made[id]
		if column == nil {
			column = &block.Column{Dictionary: []string{""}, Codes: make([]uint32, r.block.Rows)}
		}
		furtherColumns = append(furtherColumns, column)
	}
	keys, firstOfKey := groups(r.block.Rows, keyColumns)
	series := make([]int, len(firstOfKey))
	codes := make([]uint32, len(keyColumns))
	for key, row := range firstOfKey {
		if r.dropped[row] {
			// The other rows of the key are dropped too where the label is a part of it; where it is not, they are met below.
			series[key] = -1
			continue
		}
		series[key] = d.series(keyColumns, row, codes)
	}
	sets, firstOfSet := groups(r.block.Rows, furtherColumns)
	attributes := make([]uint32, len(firstOfSet))
	for set, row := range firstOfSet {
		attributes[set] = d.table.AttributeSet(textsOf(furtherColumns, row))
	}
	for row := range r.block.Rows {
		if r.dropped[row] {
			d.leftOut++
			continue
		}
		if series[keys[row]] < 0 {
			series[keys[row]] = d.series(keyColumns, row, codes)
		}
		was := status(r.block.Column(block.ObsStatus), row, MissingValue)
		d.table.Sum(series[keys[row]], r.period(row).Index, stillMissing(was, Cell{
			Value: r.values[row], Attributes: attributes[sets[row]],
			ObsStatus:  status(made[block.ObsStatus], row, NormalValue),
			ConfStatus: status(made[block.ConfStatus], row, FreeToShow),
		}))
	}
}

// stillMissing returns a derived cell that says, where it has no value, why: as the source does by its status was, whatever the
// map makes of that.
func stillMissing(was byte, c Cell) Cell {
	if math.IsNaN(c.Value) && !saysMissing(c.ObsStatus) {
		c.ObsStatus = missing(was)
	}
	return c
}

func (d *Deriver) series(columns []*block.Column, row int, codes []uint32) int {
	for i, text := range textsOf(columns, row) {
		codes[i] = d.table.Code(i, text)
	}
	return d.table.Series(codes)
}

func textsOf(columns []*block.Column, row int) []string {
	texts := make([]string, len(columns))
	for i, column := range columns {
		texts[i] = column.Text(row)
	}
	return texts
}

// status returns the status of a row; absent ones are the usual.
func status(column *block.Column, row int, usual byte) byte {
	if column == nil {
		return usual
	}
	if text := column.Text(row); len(text) == 1 {
		return text[0]
	}
	return usual
}

// note adds what the rows had of unknown labels to what is known of them.
func (d *Deriver) note(r *sourceRows) {
	for _, u := range r.unmapped {
		key := joined(slices.Concat([]string{u.Map.String()}, u.Components, u.Labels))
		before := d.unmapped[key]
		if before == nil {
			d.unmapped[key] = &u
			continue
		}
		before.Rows += u.Rows
		before.Value += u.Value
		before.Line = earlier(before.Line, u.Line)
	}
}

// Unmapped returns the labels that no map knows, by component and label.
func (d *Deriver) Unmapped() []Unmapped { return d.labels(false) }

// LeftOutLabels returns the labels that a map leaves out, by component and label.
func (d *Deriver) LeftOutLabels() []Unmapped { return d.labels(true) }

func (d *Deriver) labels(known bool) []Unmapped {
	labels := make([]Unmapped, 0, len(d.unmapped))
	for _, u := range d.unmapped {
		if u.Known == known {
			labels = append(labels, *u)
		}
	}
	slices.SortFunc(labels, func(a, b Unmapped) int {
		if c := slices.Compare(a.Components, b.Components); c != 0 {
			return c
		}
		return slices.Compare(a.Labels, b.Labels)
	})
	return labels
}

// Report adds a warning UNMAPPED_LABEL for each label that no map knows, and a note LEFT_OUT for each that a map leaves
// out, with how many rows and what sum it stands for.
func (d *Deriver) Report(report *Report) {
	for _, u := range d.Unmapped() {
		by := u.Map.String()
		if u.Map == (Ref{}) {
			by = "the target's codelist"
		}
		fate := "left out"
		if len(u.Targets) > 0 {
			fate = "counted as " + strings.Join(u.Targets, ", ")
		}
		u.report(report, ruleUnmapped, Warning, fmt.Sprintf("is not known to %s: %s, %s", by, u.extent(), fate))
	}
	for _, u := range d.LeftOutLabels() {
		u.report(report, ruleLeftOut, Note, fmt.Sprintf("is left out by %s: %s", u.Map, u.extent()))
	}
	for _, f := range d.fills {
		f.reportMerged(report)
	}
}

// reportMerged adds a note MERGED_LABELS where the map counts several labels as one.
func (f fill) reportMerged(report *Report) {
	if f.mapper == nil {
		return
	}
	targets, sources := f.mapper.merged()
	var merged, codes []string
	more := 0
	for i, labels := range sources {
		switch {
		case len(labels) < 2:
		case len(merged) == maxNamed:
			more++
		default:
			merged = append(merged, fmt.Sprintf("%s as %s", shownList(labels), targets[i]))
			codes = append(codes, targets[i])
		}
	}
	if len(merged) == 0 {
		return
	}
	message := fmt.Sprintf("%s counts several labels as one: %s", f.mapper.ref, strings.Join(merged, "; "))
	if more > 0 {
		message += fmt.Sprintf("; and so for %d codes more", more)
	}
	report.Add(Finding{Rule: ruleMerged, Severity: Note, Column: strings.Join(f.sources, ", "), Values: codes, Message: message})
}

func (u Unmapped) report(report *Report, rule string, severity Severity, what string) {
	quoted := make([]string, len(u.Labels))
	for i, label := range u.Labels {
		quoted[i] = strconv.Quote(shown(label))
	}
	report.Add(Finding{
		Rule: rule, Severity: severity, Line: u.Line, Column: strings.Join(u.Components, ", "), Values: u.Labels,
		Message: strings.Join(quoted, ", ") + " " + what,
	})
}

// extent says how many rows have the label, and what they sum to.
func (u Unmapped) extent() string {
	rows := "1 row"
	if u.Rows != 1 {
		rows = strconv.Itoa(u.Rows) + " rows"
	}
	return fmt.Sprintf("%s with a sum of %s", rows, figureText(u.Value))
}

// figureText writes a figure as short as it can be without an exponent.
func figureText(figure float64) string {
	if math.IsNaN(figure) {
		return "no value"
	}
	return strconv.FormatFloat(figure, 'f', -1, 64)
}
