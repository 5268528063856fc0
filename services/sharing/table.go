package sharing

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/period"
	"github.com/comity-federation/comity/services/disclosure"
	"github.com/comity-federation/comity/services/disclosure/ledger"
)

// The dimensions that say when, whose and what a figure is. Agreements name the last two in other ways than by detail.
const (
	freq      = "FREQ"
	refArea   = "REF_AREA"
	indicator = "INDICATOR"
)

// frequencies that the statistics know, codes of SDMX CL_FREQ, from the lowest to the highest.
var frequencies = strings.Split(period.Frequencies, "")

// What SDMX calls what may be published, and what may not (CL_CONF_STATUS), and a value that is missing since it was
// suppressed (CL_OBS_STATUS). Whatever is withheld looks like this from outside, for whatever reason.
const (
	free       = "F"
	secret     = "C"
	suppressed = "Q"
)

// table is what of indicators goes out, and what is withheld.
type table struct {
	Tally
	rows     []row            // what goes, cells without a value among them
	made     []*made          // the tables that the rows are from, one for each area, indicator and period
	units    []ledger.Cell    // what the ledgers do not say yet of the units that the tables are counted in
	told     ledger.ID        // how much the audiences were told before the tables were made
	read     []known          // of their ledgers, since then; none: it was too much
	past     []*past          // what the ledgers need of earlier revisions
	held     map[string]*past // of it, by the mark that ledgers get with it
	closing  []closing        // marks of the present revision, of tables that tell all that holds in it
	revision int64            // of the statistics
	sum      float64          // of the finest cells that are free here: what is restricted shall not follow from the rest
	kept     float64          // of it, what goes
}

// Tally says of tables how much of them goes, and why not more.
type Tally struct {
	Candidates int               `json:"candidates"` // cells with a value, at the agreed detail and coarser, before any is withheld
	Released   int               `json:"released"`   // cells that go with their value
	Withheld   int               `json:"withheld"`   // cells that policy's conditions refuse: they go without a value
	Suppressed int               `json:"suppressed"` // cells that disclosure control withholds: they go without a value, or not at all
	Rules      map[string]int    `json:"rules"`      // by code of CL_CONF_STATUS, how many cells go without a value for that reason
	ValueKept  float64           `json:"valueKept"`  // of the sum of the finest cells that are free here, the share that goes
	Coarsened  map[string]string `json:"coarsened"`  // dimensions that were rolled up, with the detail that goes
	Notes      []Note            `json:"notes"`      // tables that go coarser than agreed, or not at all
}

// sorted returns the rows in order.
func (t *table) sorted() []row {
	slices.SortFunc(t.rows, func(a, b row) int {
		return cmp.Or(slices.Compare(a.codes, b.codes), cmp.Compare(a.period, b.period))
	})
	return t.rows
}

// tally returns the tally of what is in the table now; where there are no cells that are free here, all of them go.
func (t *table) tally() Tally {
	tally := t.Tally
	if tally.ValueKept = 1; t.sum > 0 {
		tally.ValueKept = t.kept / t.sum
	}
	return tally
}

func newTable() table {
	return table{Tally: Tally{Rules: map[string]int{}, Coarsened: map[string]string{}}, held: map[string]*past{}}
}

// row is a cell as it goes.
type row struct {
	codes  []string // in the order of the structure's dimensions
	period string
	value  float64 // NaN: without a value
	status string  // OBS_STATUS
	conf   string  // CONF_STATUS
	from   *made   // the table that it is from; nil: it has no value here either, or nothing of its table goes
	cell   int     // its place there
}

// Note says of tables that they went coarser than agreed, or not at all.
type Note struct {
	Area      string            `json:"area"`
	Indicator string            `json:"indicator"`
	Periods   []string          `json:"periods"`
	Detail    map[string]string `json:"detail"` // of the dimensions that were rolled up, what went; null: nothing
	Reason    string            `json:"reason"`
}

// component returns the row's value of a component. A value that is missing is "".
func (r row) component(s *Structures, component string) string {
	switch component {
	case block.TimePeriod:
		return r.period
	case block.ObsValue:
		if math.IsNaN(r.value) {
			return ""
		}
		return strconv.FormatFloat(r.value, 'f', -1, 64)
	case block.ObsStatus:
		return r.status
	case block.ConfStatus:
		return r.conf
	}
	if i := s.place(component); i >= 0 {
		return r.codes[i]
	}
	return ""
}

func (t *table) add(other table) {
	t.rows = append(t.rows, other.rows...)
	t.made = append(t.made, other.made...)
	t.told = cmp.Or(t.told, other.told)
	if other.read != nil {
		t.keep(other.read)
	}
	t.addUnits(other)
	t.past = append(t.past, other.past...)
	t.closing = append(t.closing, other.closing...)
	t.Notes = append(t.Notes, other.Notes...)
	t.Candidates += other.Candidates
	t.Released += other.Released
	t.Withheld += other.Withheld
	t.Suppressed += other.Suppressed
	t.sum += other.sum
	t.kept += other.kept
	for rule, n := range other.Rules {
		t.Rules[rule] += n
	}
	for dimension, detail := range other.Coarsened {
		t.Coarsened[dimension] = detail
	}
}

// note adds that the table of a period went coarser, or not at all.
func (t *table) note(n Note) {
	i := slices.IndexFunc(t.Notes, func(o Note) bool { return o.about(n) })
	if i < 0 {
		t.Notes = append(t.Notes, n)
		return
	}
	t.Notes[i].Periods = append(t.Notes[i].Periods, n.Periods...)
}

// about reports whether two notes say the same, but for the periods.
func (n Note) about(o Note) bool {
	if n.Area != o.Area || n.Indicator != o.Indicator || n.Reason != o.Reason || (n.Detail == nil) != (o.Detail == nil) || len(n.Detail) != len(o.Detail) {
		return false
	}
	for dimension, detail := range n.Detail {
		if o.Detail[dimension] != detail {
			return false
		}
	}
	return true
}

// made is the table of an area, an indicator and a period, with what was decided about each cell.
type made struct {
	sheet  *sheet
	axes   []axis             // as fine as it goes
	table  *disclosure.Table  // in units; cells that are Absent do not go
	rules  disclosure.Rules   // in units
	points []disclosure.Point // that prove its intervals
	cells  []cell             // what each cell of the table is
	names  []string           // of each cell, in ledgers
	sums   []sum              // that join it with other periods, areas and indicators
	known  bool               // the audiences know all of it already
	// mirrored is what members of the audiences counted themselves, and deduced what each audience can compute from that.
	mirrored mirrored
	deduced  []map[string]bool
	news     bool // they were not told of some of its figures
	// refusal says why it does not go, with what the audiences have seen; nil: it may, as far as it was asked.
	refusal *ledger.Refusal
}

// cell says where a cell of a table comes from.
type cell struct {
	figure  int    // its place in the sheet; -1: it is what the parts of a whole leave of it
	refused bool   // by policy's condition
	conf    string // CONF_STATUS
	finest  bool   // it has no parts
	silent  bool   // it is a structural zero that goes as if it were withheld
}

// toProtect is the code of CL_CONF_STATUS for what is withheld to protect other cells, as it is kept inside.
const toProtect = "D"

// confStatus returns the code of CL_CONF_STATUS that says inside why a cell is withheld.
func (m *made) confStatus(obligations Obligations, i int) string {
	c, own := m.table.Cells[i], m.cells[i].conf
	if c.Status == disclosure.Secondary {
		return toProtect
	}
	if m.cells[i].refused {
		own = ""
	}
	return obligations.confStatus(m.rule(i), own)
}

// rule returns what made a primary cell so, as it may be told inside. Of one that is restricted here that is never its
// size, which not everybody may know who asks why it does not go.
func (m *made) rule(i int) disclosure.Rule {
	if m.cells[i].conf != free {
		return disclosure.ByCaller
	}
	return m.table.Cells[i].Rule
}
