package sharing

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/comity-federation/comity/proto/period"
	"github.com/comity-federation/comity/services/disclosure/cellkey"
	"github.com/comity-federation/comity/services/fault"
)

// TableRequest asks for a table of counts with noise.
type TableRequest struct {
	Caller     string // the subject of who asks; "": anybody
	Roles      []string
	Dataflow   string // "": that of [Config]
	Indicator  string
	Dimensions []Selection // those that are told apart; of the others the total is meant
	Frequency  string      // of CL_FREQ
	Start, End string      // the first and the last period
	Rounding   int64       // 3 or 5; 0: as policy wants it
}

// NoisyTable is a table of counts with noise. What is not in it is 0, or so little that its noise made it 0, or withheld.
type NoisyTable struct {
	Dataflow     string
	Dimensions   []string // that are told apart, in key order
	Cells        []NoisyCell
	Perturbation cellkey.Parameters
	Rounding     int64
	Budget       TableBudget
	Asked        int // how many cells the request asked for
	Left         int // how many other cells the caller may ask for now
}

// NoisyCell is a count with noise, above 0.
type NoisyCell struct {
	Key    []string // a code of each dimension that is told apart
	Period string
	Count  int64
}

// CellCounter is what tables ask of this state's statistics.
type CellCounter interface {
	// CountCells calls each with the cells, in no order. Counts and keys are exact: they are for nobody but the one who adds
	// noise.
	CountCells(ctx context.Context, query CellQuery, each func(KeyedCell) error) error
}

// CellQuery asks for counts with cell keys.
type CellQuery struct {
	Dataflow   string
	Dimensions []Selection // every dimension, by codes
	Start, End string
}

// KeyedCell is a count with its cell key.
type KeyedCell struct {
	Codes  []string // in the order of the structure's dimensions
	Period string
	Count  int64
	Key    cellkey.Key
}

// Accounts keep what callers were told.
type Accounts interface {
	// Charge runs charge on the account of a caller while nobody else does, and keeps the account where it returns nil.
	Charge(ctx context.Context, caller string, charge func(*cellkey.Account) error) error
}

// TableBudget is how many different cells a caller may ask for within some hours.
type TableBudget struct {
	Cells int     `json:"cells"`
	Hours float64 `json:"hours"`
}

// tablesAtOnce is how many tables are made at a time, since each is held in memory.
const tablesAtOnce = 2

// maxAskedCells is how many cells a table may have, empty ones counted.
const maxAskedCells = 100_000

// Who asks: anybody without a token has one account together with all others.
const (
	accountOfAll = "public"
	personPrefix = "person/"
)

// Tabulate answers a table whose counts have noise, the same for the same cell in every table and at every time, so long as no
// figure in it is revised. Figures do not add up to their totals. What the table may tell is policy's to say, and is charged to
// the caller's budget before anything is counted: by the cells that are asked for, not by those that there are.
//
// Where policy refuses, it is a fault of kind Denied with policy's first reason; where the budget is spent, one of kind
// Exhausted that says when it renews. Without an answer of the store or the statistics there is no table.
func (s *Service) Tabulate(ctx context.Context, request TableRequest) (NoisyTable, error) {
	structures, err := s.structuresOf(ctx, cmp.Or(request.Dataflow, s.Dataflow))
	if err != nil {
		return NoisyTable{}, err
	}
	asked, err := s.cellsAsked(structures, request)
	if err != nil {
		return NoisyTable{}, err
	}
	stopped, err := s.stops(ctx, s.Store)
	if err != nil {
		return NoisyTable{}, err
	}
	if err := stopped.mayLeave("", request.Indicator); err != nil {
		return NoisyTable{}, err
	}
	ruling, err := s.ruleTable(ctx, asked)
	if err != nil {
		return NoisyTable{}, err
	}
	rounding, err := ruling.rounding(request.Rounding)
	if err != nil {
		return NoisyTable{}, err
	}
	noise, err := s.noise.table(ruling.Perturbation.parameters())
	if err != nil {
		return NoisyTable{}, err
	}
	end, err := s.tabulating.begin(ctx)
	if err != nil {
		return NoisyTable{}, err
	}
	defer end()
	table := NoisyTable{
		Dataflow: structures.Dataflow, Dimensions: asked.toldApart(), Perturbation: noise.Parameters(), Rounding: rounding.Base,
		Budget: ruling.Budget, Asked: asked.size(),
	}
	budget := cellkey.Budget{Capacity: ruling.Budget.Cells, Window: time.Duration(ruling.Budget.Hours * float64(time.Hour))}
	addresses, now := asked.addresses(), s.now()
	err = s.Accounts.Charge(ctx, asked.account, func(account *cellkey.Account) error {
		err := account.Charge(budget, now, addresses)
		table.Left = account.Left(budget, now)
		return err
	})
	if err != nil {
		return NoisyTable{}, err
	}
	err = s.Cells.CountCells(ctx, asked.query(), func(cell KeyedCell) error {
		if figure := rounding.Round(noise.Perturb(cell.Count, cell.Key), cell.Key); figure > 0 {
			table.Cells = append(table.Cells, NoisyCell{Key: asked.key(cell.Codes), Period: cell.Period, Count: figure})
		}
		return nil
	})
	if err != nil {
		return NoisyTable{}, err
	}
	asked.sort(table.Cells)
	return table, nil
}

// ruleTables is the rule of policy about tables with noise.
const ruleTables = "data.comity.cells.decision"

// TableQuestion is what policy is asked of a table.
type TableQuestion struct {
	State     StateCode                  `json:"state"`
	Partner   StateCode                  `json:"partner"`   // "": what leaves the state goes to nobody in particular
	Direction string                     `json:"direction"` // "publish"
	Dataflow  string                     `json:"dataflow"`
	Indicator string                     `json:"indicator"`
	Date      string                     `json:"date"`      // the day of the evaluation, "YYYY-MM-DD"
	Requested map[string][]RequestedCode `json:"requested"` // every dimension: a code of each level, of REF_AREA every code
	Person    *TablePerson               `json:"person"`    // nil: anybody
}

// TablePerson is who asks, as policy needs to know it.
type TablePerson struct {
	Roles []string `json:"roles"`
}

// TableRuling is what policy says to a [TableQuestion].
type TableRuling struct {
	Allow        bool              `json:"allow"`
	Reasons      []Reason          `json:"reasons"`
	Perturbation TablePerturbation `json:"perturbation"`
	Rounding     int64             `json:"rounding"` // 3 or 5; 0: the caller may choose
	Budget       TableBudget       `json:"budget"`
}

// TablePerturbation says how noise is made: see [cellkey.Parameters].
type TablePerturbation struct {
	Maximum          int       `json:"maximum"`
	Variance         float64   `json:"variance"`
	SmallestReleased int       `json:"smallestReleased"`
	StayProbability  []float64 `json:"stayProbability"`
	Monotone         []bool    `json:"monotone"`
}

func (p TablePerturbation) parameters() cellkey.Parameters {
	return cellkey.Parameters{
		Maximum: p.Maximum, Variance: p.Variance, SmallestReleased: p.SmallestReleased, Stay: p.StayProbability, Monotone: p.Monotone,
	}
}

// The bounds of a budget.
const (
	maxBudgetCells = 1_000_000 // an account is held in memory while it is charged
	maxBudgetHours = 10 * 366 * 24
)

// ruleTable asks policy about a table. What it cannot say is refused.
func (s *Service) ruleTable(ctx context.Context, asked *askedCells) (TableRuling, error) {
	if _, err := s.refreshPolicy(ctx); err != nil {
		return TableRuling{}, err
	}
	question := asked.question
	question.State, question.Direction, question.Date = s.State, publishing, s.now().Format(time.DateOnly)
	var ruling TableRuling
	_, err := s.Policy.Evaluate(ctx, ruleTables, question, &ruling)
	if err := ctx.Err(); err != nil {
		return TableRuling{}, err
	}
	b := ruling.Budget
	if err == nil && ruling.Allow && (b.Cells < 1 || b.Cells > maxBudgetCells || !(b.Hours > 0 && b.Hours <= maxBudgetHours)) {
		err = fmt.Errorf("a budget of %d cells in %v hours is none", b.Cells, b.Hours)
	}
	if err != nil {
		s.Log.ErrorContext(ctx, "policy could not be evaluated", "rule", ruleTables, "indicator", question.Indicator, "error", err)
		ruling = TableRuling{}
	}
	if ruling.Allow {
		return ruling, nil
	}
	reasons := append(ruling.Reasons, policyError().Reasons...)
	return TableRuling{}, fault.New(fault.Denied, reasons[0].Code, "%s", reasons[0].Text)
}

// rounding returns how figures are rounded where a base is asked for; 0: none is.
func (r TableRuling) rounding(asked int64) (cellkey.Rounding, error) {
	rounding := cellkey.Rounding{Base: cmp.Or(asked, r.Rounding), Unbiased: true}
	if err := rounding.Check(); err != nil {
		return rounding, err
	}
	if r.Rounding != 0 && asked != 0 && asked != r.Rounding {
		// Two bases together tell more than either.
		return rounding, fault.InvalidField("rounding.base", "is %d: your figures are rounded to multiples of %d", asked, r.Rounding)
	}
	return rounding, nil
}

// noiseTables are the perturbation tables that were made, by their parameters. The zero value has none.
type noiseTables struct {
	mu    sync.Mutex
	known map[string]*cellkey.Table
}

// maxNoiseTables is how many tables are kept; a policy names few.
const maxNoiseTables = 32

// table returns the perturbation table of the parameters, which is made once.
func (n *noiseTables) table(parameters cellkey.Parameters) (*cellkey.Table, error) {
	name, err := json.Marshal(parameters)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if table := n.known[string(name)]; table != nil {
		return table, nil
	}
	table, err := cellkey.NewTable(parameters)
	if err != nil {
		return nil, fault.New(fault.Denied, "POLICY_ERROR", "policy asks for noise that there cannot be, so the answer is no").Because(err)
	}
	if n.known == nil || len(n.known) == maxNoiseTables {
		n.known = map[string]*cellkey.Table{}
	}
	n.known[string(name)] = table
	return table, nil
}

// turns lets a few at a time go on.
type turns chan struct{}

// begin waits for a turn, which end gives back.
func (t turns) begin(ctx context.Context) (end func(), err error) {
	select {
	case t <- struct{}{}:
		return func() { <-t }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// askedCells are the cells that a request asks for.
type askedCells struct {
	question TableQuestion
	account  string
	codes    []Selection // of every dimension, in key order
	told     []int       // places of the dimensions that are told apart
	start    period.Period
	end      period.Period
}

// cellsAsked works out which cells a request asks for.
func (s *Service) cellsAsked(structures *Structures, request TableRequest) (*askedCells, error) {
	asked := &askedCells{
		account:  accountOfAll,
		question: TableQuestion{Dataflow: structures.Dataflow, Indicator: request.Indicator, Requested: map[string][]RequestedCode{}},
	}
	if request.Caller != "" {
		asked.account = personPrefix + request.Caller
		asked.question.Person = &TablePerson{Roles: append([]string{}, request.Roles...)}
	}
	if err := asked.between(request); err != nil {
		return nil, err
	}
	given, err := givenDimensions(structures, request)
	if err != nil {
		return nil, err
	}
	size := asked.periods()
	for i, dimension := range structures.Dimensions {
		codes, told, err := s.codesAsked(dimension, given[dimension.ID], request)
		if err != nil {
			return nil, err
		}
		if told {
			asked.told = append(asked.told, i)
		}
		asked.codes = append(asked.codes, Selection{Dimension: dimension.ID, Codes: codes})
		if size *= len(codes); size > maxAskedCells {
			return nil, fault.New(fault.Exhausted, "LIMIT_EXCEEDED", "the table would have more than %d cells: ask for fewer codes or periods", maxAskedCells)
		}
		asked.question.Requested[dimension.ID] = requestedCodes(dimension, codes, given[dimension.ID])
	}
	return asked, nil
}

// requestedCodes returns what policy is told of the codes of a dimension: one of each level, of REF_AREA every one. Codes that
// are asked for by a level are of that level, also where a branch has none on it.
func requestedCodes(dimension Dimension, codes []string, given *Selection) []RequestedCode {
	var requested []RequestedCode
	told := map[string]bool{}
	for _, code := range codes {
		level := dimension.Codes[code].Level
		if given != nil && given.Level != "" {
			level = given.Level
		}
		switch {
		case dimension.ID == refArea || code == Total:
		case told[level]:
			continue
		default:
			told[level] = true
		}
		requested = append(requested, RequestedCode{Code: code, Level: level})
	}
	return requested
}

// givenDimensions returns what the request says of dimensions, by their ids.
func givenDimensions(structures *Structures, request TableRequest) (map[string]*Selection, error) {
	given := map[string]*Selection{}
	for i := range request.Dimensions {
		selection := &request.Dimensions[i]
		field := fmt.Sprintf("dimensions[%d]", i)
		known := slices.ContainsFunc(structures.Dimensions, func(d Dimension) bool { return d.ID == selection.Dimension })
		switch {
		case selection.Dimension == freq || selection.Dimension == indicator:
			return nil, fault.InvalidField(field+".id", "%s is given by a field of its own", selection.Dimension)
		case !known:
			return nil, fault.InvalidField(field+".id", "%q is no dimension of %s", selection.Dimension, structures.Dataflow)
		case given[selection.Dimension] != nil:
			return nil, fault.InvalidField(field+".id", "%s stands twice", selection.Dimension)
		case (selection.Level == "") == (len(selection.Codes) == 0):
			return nil, fault.InvalidField(field, "needs either a level or codes")
		}
		given[selection.Dimension] = selection
	}
	return given, nil
}

// codesAsked returns the codes of a dimension that are asked for, and whether it is told apart.
func (s *Service) codesAsked(dimension Dimension, given *Selection, request TableRequest) (codes []string, told bool, err error) {
	field := "dimensions." + dimension.ID
	switch {
	case dimension.ID == freq:
		return []string{request.Frequency}, false, nil
	case dimension.ID == indicator:
		if _, known := dimension.Codes[request.Indicator]; !known {
			return nil, false, fault.InvalidField("indicator", "%q is none", request.Indicator)
		}
		return []string{request.Indicator}, false, nil
	case given != nil && given.Level != "":
		codes, err := dimension.cut(given.Level)
		return codes, true, err
	case given != nil:
		for _, code := range given.Codes {
			if _, known := dimension.Codes[code]; !known {
				return nil, false, fault.InvalidField(field, "%q is no code of it", code)
			}
		}
		codes := slices.Clone(given.Codes)
		slices.Sort(codes)
		return slices.Compact(codes), true, nil
	case dimension.ID == refArea:
		own, _ := s.Trust.State(s.State)
		if len(own.RefAreas) != 1 {
			return nil, false, fault.InvalidField(field, "is missing: this state reports for %s", strings.Join(own.RefAreas, ", "))
		}
		return own.RefAreas, false, nil
	}
	if _, known := dimension.Codes[Total]; !known {
		return nil, false, fault.InvalidField(field, "is missing: the dimension has no total")
	}
	return []string{Total}, false, nil
}

// cut returns the codes that cut the hierarchy of a dimension at a level: those on it, and where a branch has none there, the
// first below. A code that names no level is one below its parent.
func (d Dimension) cut(level string) ([]string, error) {
	want := slices.Index(d.Levels, level)
	if want < 0 {
		return nil, fault.InvalidField("dimensions."+d.ID, "%q is none of its levels, which are %s", level, strings.Join(d.Levels, ", "))
	}
	depths := map[string]int{}
	var depth func(code string) int
	depth = func(code string) int {
		if at, known := depths[code]; known {
			return at
		}
		at := 0
		if of := d.Codes[code]; of.Level != "" {
			at = slices.Index(d.Levels, of.Level)
		} else if of.Parent != "" {
			at = depth(of.Parent) + 1
		}
		depths[code] = at
		return at
	}
	var codes []string
	for code, of := range d.Codes {
		if depth(code) >= want && (of.Parent == "" || depth(of.Parent) < want) {
			codes = append(codes, code)
		}
	}
	slices.Sort(codes)
	return codes, nil
}

// between reads the periods that are asked for.
func (a *askedCells) between(request TableRequest) error {
	if len(request.Frequency) != 1 || !strings.Contains(period.Frequencies, request.Frequency) {
		return fault.InvalidField("frequency", "%q is none of %s", request.Frequency, strings.Join(frequencies, ", "))
	}
	frequency := period.Frequency(request.Frequency[0])
	start, err := period.Parse(request.Start)
	if err != nil {
		return fault.InvalidField("startPeriod", "%v", err)
	}
	end, err := period.Parse(request.End)
	if err != nil {
		return fault.InvalidField("endPeriod", "%v", err)
	}
	a.start, _ = period.At(frequency, start.Start()) // a year that was read is in range
	if a.start.Start().Before(start.Start()) {
		a.start = a.start.Next()
	}
	a.end, _ = period.At(frequency, end.End()) // as above
	if a.end.End().After(end.End()) {
		a.end = a.end.Previous()
	}
	switch n := a.periods(); {
	case n < 1:
		return fault.InvalidField("endPeriod", "from %s to %s there is no whole period of the frequency %s", request.Start, request.End, request.Frequency)
	case n > maxAskedCells:
		return fault.New(fault.Exhausted, "LIMIT_EXCEEDED", "the table would have more than %d cells: ask for fewer codes or periods", maxAskedCells)
	}
	return nil
}

// periods returns how many there are.
func (a *askedCells) periods() int { return int(a.end.Index) - int(a.start.Index) + 1 }

// size returns how many cells there are.
func (a *askedCells) size() int {
	size := a.periods()
	for _, selection := range a.codes {
		size *= len(selection.Codes)
	}
	return size
}

// addresses returns those of all cells.
func (a *askedCells) addresses() []cellkey.Address {
	addresses := make([]cellkey.Address, 0, a.size())
	codes := make([][]string, len(a.codes))
	var walk func(dimension int)
	walk = func(dimension int) {
		if dimension == len(codes) {
			for at := a.start; at.Index <= a.end.Index; at = at.Next() {
				addresses = append(addresses, cellkey.AddressOf(a.question.Dataflow, codes, []string{at.String()}))
			}
			return
		}
		all := a.codes[dimension].Codes
		for i := range all {
			codes[dimension] = all[i : i+1]
			walk(dimension + 1)
		}
	}
	walk(0)
	return addresses
}

// query returns what the statistics are asked.
func (a *askedCells) query() CellQuery {
	return CellQuery{Dataflow: a.question.Dataflow, Dimensions: a.codes, Start: a.start.String(), End: a.end.String()}
}

// toldApart returns the ids of the dimensions that are told apart.
func (a *askedCells) toldApart() []string {
	ids := []string{}
	for _, place := range a.told {
		ids = append(ids, a.codes[place].Dimension)
	}
	return ids
}

// key returns the codes of the dimensions that are told apart.
func (a *askedCells) key(codes []string) []string {
	key := make([]string, len(a.told))
	for i, place := range a.told {
		key[i] = codes[place]
	}
	return key
}

// sort orders cells by codes and periods.
func (a *askedCells) sort(cells []NoisyCell) {
	slices.SortFunc(cells, func(x, y NoisyCell) int {
		return cmp.Or(slices.Compare(x.Key, y.Key), strings.Compare(x.Period, y.Period))
	})
}
