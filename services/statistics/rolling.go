package statistics

import (
	"context"
	"encoding/binary"
	"maps"
	"math"
	"slices"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/proto/period"
	"github.com/comity-federation/comity/services/fault"
)

// MaxRolled is how many figures are held at most while sums are made: those of answers, and stored ones that contain others.
const MaxRolled = 6_000_000

// rolling makes the sums that [RollUp] does of series as they come, and holds no more of them than it has to. A series is
// coarse where one of its codes contains another that is stored. The coarse ones are read first, and are few. All others are
// read after them and added at once, but for the cells that a coarse one contains. Only where coarse cells cross, which of
// them count depends on all, and the cells are kept for [RollUp] itself.
type rolling struct {
	plan      *plan
	structure *DataStructure
	axes      []rolledAxis
	prefix    int // dimensions before the first that is rolled up: answers are made for one prefix after another
	providers []*rollingProvider
	places    map[string]*rollingProvider
	target    []uint32
	held      int
}

// rollingProvider is what is held of a provider.
type rollingProvider struct {
	name     string
	coarse   *Table
	prefixes map[string]bool  // of the keys of the coarse series, of any length, packed
	groups   map[string][]int // the coarse series by prefix
	answers  *Table           // of the current prefix
	contests map[string]*contest
}

// contest is an answer of which coarse cells cross in some periods.
type contest struct {
	periods map[int32]bool
	cells   *Table
	target  []uint32
}

// rollUp answers with sums. Time comes last, so that a sum over sections or citizenships is made where both the total
// and its parts are still told apart by period.
func (p *plan) rollUp(ctx context.Context, snapshot Snapshot, veil *veil, providers []string, a *answer) error {
	structure := *p.flow.Structure
	if commentOf(&structure) < 0 {
		structure.Attributes = append(slices.Clip(structure.Attributes), Component{ID: block.Comment})
	}
	first := NewTable(&structure)
	first.dictionary = a.dictionary
	if len(p.axes) == 0 {
		return p.sumOverTime(ctx, snapshot, veil, first, providers, a)
	}
	stored, err := snapshot.Dictionary(ctx, p.flow)
	if err != nil {
		return err
	}
	r := p.newRolling(first, stored, providers)
	coarse := p.coarseFilter(r.axes, a.dictionary)
	selector := p.selector
	selector.Filter = filter.And(p.selector.Filter, coarse)
	if !isFalse(coarse) {
		err := veil.read(ctx, snapshot, providers, selector, true, func(series *Series) error { return r.addCoarse(series) })
		if err != nil {
			return err
		}
		selector.Filter = filter.And(p.selector.Filter, filter.Not(coarse))
	} else {
		selector.Filter = p.selector.Filter
	}
	emit := func() error { return r.emit(ctx, snapshot, veil, a) }
	run := r.begin(emit)
	err = veil.read(ctx, snapshot, providers, selector, true, func(series *Series) error {
		if err := run.upTo(series.Key[:r.prefix]); err != nil {
			return err
		}
		return r.addFine(series)
	})
	if err != nil {
		return err
	}
	return run.end()
}

func isFalse(f filter.Filter) bool { return f.Op == filter.OpOr && len(f.Operands) == 0 }

func (p *plan) newRolling(first *Table, stored *Dictionary, providers []string) *rolling {
	r := &rolling{plan: p, structure: first.structure, places: map[string]*rollingProvider{}, prefix: math.MaxInt}
	for _, axis := range p.axes {
		codes, _ := axis.stored(stored)
		used := make([]bool, first.dictionary.Len(axis.Dimension))
		for _, code := range codes {
			n, _ := stored.Find(axis.Dimension, code)
			used[n] = true
		}
		r.axes = append(r.axes, newRolledAxis(first.dictionary, axis, used))
		r.prefix = min(r.prefix, axis.Dimension)
	}
	if len(p.frequencies) > 0 {
		r.prefix = 0
	}
	for _, name := range providers {
		if r.places[name] != nil {
			continue
		}
		made := &rollingProvider{
			name: name, coarse: first.Empty(), answers: first.Empty(),
			prefixes: map[string]bool{}, groups: map[string][]int{}, contests: map[string]*contest{},
		}
		r.providers = append(r.providers, made)
		r.places[name] = made
	}
	return r
}

// coarseFilter returns the filter for series with a code that contains a stored one.
func (p *plan) coarseFilter(axes []rolledAxis, dictionary *Dictionary) filter.Filter {
	coarse := filter.False()
	for i := range axes {
		codes := map[string]bool{}
		for _, containers := range axes[i].containers {
			for _, code := range containers {
				codes[dictionary.Text(axes[i].dimension, code)] = true
			}
		}
		if len(codes) > 0 {
			id := p.flow.Structure.Dimensions[axes[i].dimension].ID
			coarse.Operands = append(coarse.Operands, filter.In(id, slices.Sorted(maps.Keys(codes))...))
		}
	}
	return coarse
}

func (r *rolling) hold(cells int) error {
	if r.held += cells; r.held > MaxRolled {
		return fault.New(fault.Exhausted, "LIMIT_EXCEEDED", "more than %d figures would have to be held to make the sums: ask for fewer codes or periods", MaxRolled)
	}
	return nil
}

// addCoarse keeps a coarse series.
func (r *rolling) addCoarse(series *Series) error {
	p := r.places[series.Provider]
	n := p.coarse.SeriesCount()
	p.coarse.putSeries(series)
	for i := range series.Key {
		p.prefixes[packKey(series.Key[:i+1])] = true
	}
	group := packKey(series.Key[:r.prefix])
	p.groups[group] = append(p.groups[group], n)
	return r.hold(series.Track.Len())
}

// run goes from prefix to prefix in their order, so that the answers of each are made when all of it has come.
type run struct {
	rolling *rolling
	emit    func() error
	groups  []string // the prefixes of coarse series that have not come yet, in their order
	current string
	begun   bool
}

func (r *rolling) begin(emit func() error) *run {
	all := map[string]bool{}
	for _, p := range r.providers {
		for group := range p.groups {
			all[group] = true
		}
	}
	return &run{rolling: r, emit: emit, groups: slices.Sorted(maps.Keys(all))}
}

// upTo makes the answers of all prefixes before one, which comes next.
func (u *run) upTo(key []uint32) error {
	next := packKey(key)
	if u.begun && next == u.current {
		return nil
	}
	if u.begun {
		if err := u.emit(); err != nil {
			return err
		}
	}
	for len(u.groups) > 0 && u.groups[0] < next {
		if err := u.only(); err != nil {
			return err
		}
	}
	if len(u.groups) > 0 && u.groups[0] == next {
		if err := u.rolling.open(next); err != nil {
			return err
		}
		u.groups = u.groups[1:]
	}
	u.current, u.begun = next, true
	return nil
}

// only makes the answers of a prefix that has coarse series alone.
func (u *run) only() error {
	if err := u.rolling.open(u.groups[0]); err != nil {
		return err
	}
	u.groups = u.groups[1:]
	return u.emit()
}

func (u *run) end() error {
	if u.begun {
		if err := u.emit(); err != nil {
			return err
		}
	}
	for len(u.groups) > 0 {
		if err := u.only(); err != nil {
			return err
		}
	}
	return nil
}

// open adds the coarse series of a prefix to the answers that they count to.
func (r *rolling) open(group string) error {
	for _, p := range r.providers {
		byTarget := map[string][]int{}
		var order []string
		for _, s := range p.groups[group] {
			_ = r.eachTarget(p.coarse.Key(s), func(target []uint32) error {
				packed := packKey(target)
				if byTarget[packed] == nil {
					order = append(order, packed)
				}
				byTarget[packed] = append(byTarget[packed], s)
				return nil
			})
		}
		for _, packed := range order {
			if err := r.openTarget(p, unpackKey(packed), byTarget[packed]); err != nil {
				return err
			}
		}
	}
	return nil
}

func unpackKey(packed string) []uint32 {
	key := make([]uint32, len(packed)/4)
	for i := range key {
		key[i] = binary.BigEndian.Uint32([]byte(packed[4*i:]))
	}
	return key
}

// openTarget adds those of the coarse cells that no other contains. Where such cross, the answer is contested.
func (r *rolling) openTarget(p *rollingProvider, target []uint32, series []int) error {
	containers := make([][]int, len(series))
	topmost := map[int32][]int{} // by period
	for i, s := range series {
		containers[i] = r.containers(p, p.coarse.Key(s), target)
		for _, period := range p.coarse.tracks[s].Periods {
			if !p.contained(containers[i], s, period) {
				topmost[period] = append(topmost[period], s)
			}
		}
	}
	var c *contest
	answer := p.answers.Series(target)
	before := p.answers.Len()
	for period, cells := range topmost {
		if r.anyCross(p, cells) {
			if c == nil {
				c = &contest{periods: map[int32]bool{}, cells: p.coarse.Empty(), target: target}
				p.contests[packKey(target)] = c
			}
			c.periods[period] = true
		}
	}
	periods := slices.Sorted(maps.Keys(topmost))
	for _, period := range periods {
		if c != nil && c.periods[period] {
			continue
		}
		for _, s := range topmost[period] {
			p.answers.Sum(answer, period, p.coarse.At(s, period))
		}
	}
	if c != nil {
		for _, s := range series {
			if err := r.dispute(c, p.coarse.Key(s), &p.coarse.tracks[s]); err != nil {
				return err
			}
		}
	}
	return r.hold(p.answers.Len() - before)
}

// dispute keeps the cells of a series in the contested periods.
func (r *rolling) dispute(c *contest, key []uint32, track *Track) error {
	for i, period := range track.Periods {
		if !c.periods[period] {
			continue
		}
		c.cells.Put(c.cells.Series(key), period, track.Cells[i])
		if err := r.hold(1); err != nil {
			return err
		}
	}
	return nil
}

// contained reports whether one of the coarse series, another than itself, has a cell in the period.
func (p *rollingProvider) contained(containers []int, itself int, period int32) bool {
	for _, s := range containers {
		if s != itself && p.coarse.At(s, period).Present() {
			return true
		}
	}
	return false
}

// anyCross reports whether two of the coarse series have a part in common. Those of one granularity do not.
func (r *rolling) anyCross(p *rollingProvider, series []int) bool {
	if len(series) < 2 {
		return false
	}
	depths := func(s int) (sum [MaxDimensions]int) {
		for i := range r.axes {
			sum[i] = r.axes[i].depths[p.coarse.Key(s)[r.axes[i].dimension]]
		}
		return sum
	}
	families := map[[MaxDimensions]int][]int{}
	for _, s := range series {
		families[depths(s)] = append(families[depths(s)], s)
	}
	if len(families) == 1 {
		return false
	}
	for i, a := range series {
		for _, b := range series[i+1:] {
			if crossing(r.axes, p.coarse.Key(a), p.coarse.Key(b)) {
				return true
			}
		}
	}
	return false
}

// eachTarget calls do with the key of each answer that a key counts to. do must not keep it.
func (r *rolling) eachTarget(key []uint32, do func(target []uint32) error) error {
	r.target = append(r.target[:0], key...)
	return r.targets(key, 0, do)
}

func (r *rolling) targets(key []uint32, axis int, do func([]uint32) error) error {
	if axis == len(r.axes) {
		return do(r.target)
	}
	dimension := r.axes[axis].dimension
	for _, code := range r.axes[axis].targets[key[dimension]] {
		r.target[dimension] = code
		if err := r.targets(key, axis+1, do); err != nil {
			return err
		}
	}
	return nil
}

// containers returns the coarse series that contain the one with the key, itself included where it is one, and count to the
// target too.
func (r *rolling) containers(p *rollingProvider, key, target []uint32) []int {
	if len(p.coarse.tracks) == 0 {
		return nil
	}
	var all []int
	chosen := make([]uint32, len(key))
	packed := make([]byte, 0, 4*len(key))
	var walk func(dimension int)
	walk = func(dimension int) {
		if dimension == len(key) {
			if series, ok := p.coarse.number(chosen); ok {
				all = append(all, series)
			}
			return
		}
		try := func(code uint32) {
			chosen[dimension] = code
			packed = binary.BigEndian.AppendUint32(packed, code)
			if p.prefixes[string(packed)] {
				walk(dimension + 1)
			}
			packed = packed[:4*dimension]
		}
		try(key[dimension])
		for i := range r.axes {
			if r.axes[i].dimension != dimension {
				continue
			}
			for _, container := range r.axes[i].containers[key[dimension]] {
				if slices.Contains(r.axes[i].targets[container], target[dimension]) {
					try(container)
				}
			}
		}
	}
	walk(0)
	return all
}

// addFine adds a series that is not coarse to the answers that it counts to.
func (r *rolling) addFine(series *Series) error {
	p := r.places[series.Provider]
	p.answers.attribute(series)
	return r.eachTarget(series.Key, func(target []uint32) error {
		containers := r.containers(p, series.Key, target)
		var c *contest
		if len(p.contests) > 0 {
			c = p.contests[packKey(target)]
		}
		before := p.answers.Len()
		answer := p.answers.Series(target)
		for i, period := range series.Track.Periods {
			if c != nil && c.periods[period] || len(containers) > 0 && p.contained(containers, -1, period) {
				continue
			}
			p.answers.Sum(answer, period, series.Track.Cells[i])
		}
		if c != nil {
			if err := r.dispute(c, series.Key, &series.Track); err != nil {
				return err
			}
		}
		return r.hold(p.answers.Len() - before)
	})
}

// attribute gives the cells of a series the numbers that their further attributes have in the table.
func (t *Table) attribute(series *Series) {
	if len(series.Further) == 0 {
		return
	}
	for i, period := range series.Track.Periods {
		if further, ok := series.Further[period]; ok {
			set := make([]string, len(t.further))
			copy(set, further)
			series.Track.Cells[i].Attributes = t.AttributeSet(set)
		}
	}
}

// emit makes the answers of the current prefix, and forgets them.
func (r *rolling) emit(ctx context.Context, snapshot Snapshot, veil *veil, a *answer) error {
	tables, names := make([]*Table, len(r.providers)), make([]string, len(r.providers))
	for i, p := range r.providers {
		for _, c := range p.contests {
			r.settle(p, c)
			r.held -= c.cells.Len()
		}
		tables[i], names[i] = p.answers, p.name
		r.held -= p.answers.Len()
		if len(r.plan.frequencies) > 0 && p.answers.Len() > 0 {
			calendar, err := r.plan.calendar(ctx, snapshot, p.name, a.dictionary)
			if err != nil {
				return err
			}
			tables[i] = RollUpTime(p.answers, r.plan.frequencies, calendar)
		}
		p.answers, p.contests = p.answers.Empty(), map[string]*contest{}
	}
	return a.addTables(tables, names, veil)
}

// settle sums what is contested.
func (r *rolling) settle(p *rollingProvider, c *contest) {
	axes := slices.Clone(r.plan.axes)
	for i := range axes {
		axes[i].Codes = []string{p.answers.dictionary.Text(axes[i].Dimension, c.target[axes[i].Dimension])}
	}
	rolled := RollUp(c.cells, axes...)
	answer := p.answers.Series(c.target)
	for s := range rolled.tracks {
		for i, period := range rolled.tracks[s].Periods {
			p.answers.Put(answer, period, rolled.tracks[s].Cells[i])
		}
	}
}

// sumOverTime answers as [RollUpTime] does, one stored frequency after another from the coarsest on.
func (p *plan) sumOverTime(ctx context.Context, snapshot Snapshot, veil *veil, first *Table, providers []string, a *answer) error {
	results := map[string]*Table{}
	names := []string{}
	for _, provider := range providers {
		if results[provider] == nil {
			results[provider] = first.Empty()
			names = append(names, provider)
		}
	}
	held := 0
	for i := range len(period.Frequencies) {
		frequency := period.Frequencies[i : i+1]
		if _, ok := a.dictionary.Find(0, frequency); !ok {
			continue
		}
		sums := map[string]*Table{}
		for _, provider := range names {
			sums[provider] = first.Empty()
		}
		selector := p.selector
		selector.Filter = filter.And(p.selector.Filter, filter.Eq(frequencyID, frequency))
		err := veil.read(ctx, snapshot, providers, selector, true, func(series *Series) error {
			held += p.addToPeriods(results[series.Provider], sums[series.Provider], series, Frequency(frequency[0]))
			if held > MaxRolled {
				return fault.New(fault.Exhausted, "LIMIT_EXCEEDED", "the sums are more than %d figures: ask for fewer codes or periods", MaxRolled)
			}
			return nil
		})
		if err != nil {
			return err
		}
		parts := map[timePart][]Period{}
		for _, provider := range names {
			if sums[provider].Len() == 0 {
				continue
			}
			calendar, err := p.calendar(ctx, snapshot, provider, a.dictionary)
			if err != nil {
				return err
			}
			results[provider].putSums(sums[provider], Frequency(frequency[0]), parts, calendar)
		}
	}
	tables := make([]*Table, len(names))
	for i, provider := range names {
		tables[i] = results[provider]
	}
	return a.addTables(tables, names, veil)
}

// addToPeriods puts the cells of a series into the result where its frequency is asked for, and adds them to the sums of
// coarser periods that have no figure yet. It returns how many cells are new.
func (p *plan) addToPeriods(result, sums *Table, series *Series, frequency Frequency) int {
	before := result.Len() + sums.Len()
	result.attribute(series)
	key := slices.Clone(series.Key)
	for _, asked := range p.frequencies {
		key[0] = result.Code(0, string(asked))
		if asked == frequency {
			n := result.Series(key)
			for i, period := range series.Track.Periods {
				result.Put(n, period, series.Track.Cells[i])
			}
			continue
		}
		if !slices.Contains(finerThan(asked), frequency) {
			continue
		}
		known, into := result.find(key), -1
		for i, index := range series.Track.Periods {
			whole, err := frequency.Period(index).In(asked)
			if err != nil || known.At(whole.Index).Present() { // only a year out of range has no whole
				continue
			}
			if into < 0 {
				into = sums.Series(key)
			}
			sums.Sum(into, whole.Index, series.Track.Cells[i])
		}
	}
	return result.Len() + sums.Len() - before
}

// putSums puts sums over the periods of a finer frequency where there is no figure yet, and says of each what it lacks.
func (t *Table) putSums(sums *Table, finer Frequency, parts map[timePart][]Period, has Calendar) {
	for s := range sums.tracks {
		key, frequency := sums.Key(s), sums.Frequency(s)
		n := t.Series(key)
		for i, index := range sums.tracks[s].Periods {
			cell := sums.tracks[s].Cells[i]
			t.Put(n, index, t.complete(cell, key, frequency.Period(index), finer, parts, has))
		}
	}
}

// crossing reports whether two keys have a part in common, and are on each axis one in the other.
func crossing(axes []rolledAxis, a, b []uint32) bool {
	for i := range axes {
		x, y := a[axes[i].dimension], b[axes[i].dimension]
		if x != y && !slices.Contains(axes[i].containers[x], y) && !slices.Contains(axes[i].containers[y], x) {
			return false
		}
	}
	return true
}
