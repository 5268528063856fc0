package ledger

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/comity-federation/comity/services/disclosure"
)

// view is what was read of a stack, and what a release adds to it.
type view struct {
	stack    Stack
	revision int64
	first    ID // of the release; ids below are of earlier ones
	next     ID
	history  map[string]Unknown // of each key: the unknown that stands for it in the release's revision
	later    map[string]Unknown // of each key: the next one after that
	cells    []ID               // the unknown of each cell of the release
	cellOf   map[ID]int
	unknowns map[ID]*Unknown
	changed  map[ID]bool  // unknowns of before that the release says more about
	weaker   map[ID]bool  // of them, those that can move less
	needier  map[ID]int64 // of them, those that need more width, with what they needed
	lonelier map[ID]bool  // of them, those of which the stack did not know that they have one contributor
	told     map[ID]bool  // of them, those of which the audience is told first

	lines    []Line
	through  map[ID][]int // the lines that were read of each unknown
	known    map[string]bool
	lined    map[ID]bool // all lines of the unknown were read
	added    []int       // lines of the release
	points   []Point
	alive    []bool
	of       map[ID][]int // the points that were read, or found, of each unknown
	pointed  map[ID]bool  // all points of the unknown were read
	haspoint map[ID]bool  // by the point's own id
}

func newView(ctx context.Context, stack Stack, r *draft) (*view, error) {
	first, err := stack.Next(ctx)
	if err != nil {
		return nil, fmt.Errorf("locking a ledger: %w", err)
	}
	v := &view{
		stack: stack, revision: r.Revision, first: first, next: first, history: map[string]Unknown{}, later: map[string]Unknown{},
		cells: make([]ID, len(r.Cells)), cellOf: map[ID]int{}, unknowns: map[ID]*Unknown{},
		changed: map[ID]bool{}, weaker: map[ID]bool{}, needier: map[ID]int64{}, lonelier: map[ID]bool{}, told: map[ID]bool{},
		through: map[ID][]int{}, known: map[string]bool{}, lined: map[ID]bool{},
		of: map[ID][]int{}, pointed: map[ID]bool{}, haspoint: map[ID]bool{},
	}
	keys := map[string]bool{}
	for _, c := range r.Cells {
		keys[c.Key] = true
	}
	for _, e := range r.Equations {
		keys[e.Total] = true
		for _, p := range e.Parts {
			keys[p] = true
		}
	}
	if err := v.loadHistory(ctx, slices.Sorted(maps.Keys(keys))); err != nil {
		return nil, err
	}
	for i, c := range r.Cells {
		before, ok := v.history[c.Key]
		after, changes := v.later[c.Key]
		switch {
		case ok && before.Value == c.Value:
			v.cells[i] = before.ID
		case ok && before.Revision == r.Revision:
			return nil, refuse(Infeasible, c.Key, "an earlier release of revision %d has another figure", r.Revision)
		case changes && after.Value == c.Value:
			v.cells[i] = after.ID // it was so before the audience was told
			v.remember(after)
			v.unknowns[after.ID].Revision = r.Revision
			v.changed[after.ID] = true
		default:
			v.cells[i] = v.next
			v.next++
		}
		v.cellOf[v.cells[i]] = i
	}
	return v, nil
}

// loadHistory reads which unknowns stand for cells in the revision of the release.
func (v *view) loadHistory(ctx context.Context, keys []string) error {
	found, err := v.stack.CellsIn(ctx, v.revision, keys)
	if err != nil {
		return fmt.Errorf("reading cells of a ledger: %w", err)
	}
	for key, u := range present(found, v.revision) {
		v.history[key] = u
		v.remember(u)
	}
	for _, u := range found {
		if other, ok := v.later[u.Cell]; u.Revision > v.revision && (!ok || u.Revision < other.Revision) {
			v.later[u.Cell] = u
		}
	}
	return nil
}

func (v *view) remember(u Unknown) {
	if v.unknowns[u.ID] == nil {
		v.unknowns[u.ID] = &u
	}
}

// fresh reports whether an unknown is the release's.
func (v *view) fresh(u ID) bool { return u >= v.first }

// inherit withholds the cells of the release that are unknowns which were withheld before, and returns them.
func (v *view) inherit(r *draft) []Cut {
	var cuts []Cut
	for i := range r.Cells {
		c := &r.Cells[i]
		if before := v.unknowns[v.cells[i]]; before != nil && before.Open && !before.Untold && c.Status == disclosure.Published && !c.Known {
			c.Status = disclosure.Secondary
			cuts = append(cuts, Cut{Key: c.Key, Value: c.Value, Earlier: true})
		}
	}
	return cuts
}

// enter takes the cells and equations of the release into the view.
func (v *view) enter(ctx context.Context, r *draft) error {
	for i, c := range r.Cells {
		id := v.cells[i]
		if v.fresh(id) {
			u := &Unknown{ID: id, Cell: c.Key, Revision: r.Revision, Value: c.Value, Ceiling: r.ceiling(c), Open: c.open(), Single: c.Single}
			if u.Open {
				u.Width, u.Untold = c.Width, c.Untold
			}
			v.unknowns[id] = u
			continue
		}
		v.change(v.unknowns[id], c, r.ceiling(c))
	}
	var lines []Line
	for _, e := range r.Equations {
		l, err := v.line(r, e)
		if err != nil {
			return err
		}
		lines = append(lines, l)
	}
	again, err := v.renew(ctx, r)
	if err != nil {
		return err
	}
	return v.addLines(ctx, append(lines, again...))
}

// change notes what the release says of an unknown that was there before.
func (v *view) change(u *Unknown, c Cell, ceiling int64) {
	if !u.Open || c.Untold && !u.Untold {
		return
	}
	if u.Untold && !c.Untold {
		u.Untold = false
		v.changed[u.ID], v.told[u.ID] = true, true
	}
	if ceiling < u.Ceiling {
		u.Ceiling = ceiling
		v.changed[u.ID], v.weaker[u.ID] = true, true
	}
	switch {
	case !c.open(): // known from elsewhere, or a structural zero
		u.Open, u.Width = false, 0
		v.changed[u.ID], v.weaker[u.ID] = true, true
		return
	case c.Width > u.Width && !u.Untold:
		if !v.told[u.ID] {
			v.needier[u.ID] = u.Width
		}
		v.changed[u.ID] = true
		u.Width = c.Width
	}
	if c.Single && !u.Single {
		u.Single = true
		v.changed[u.ID], v.lonelier[u.ID] = true, true
	}
}

// line returns an equation of the release over unknowns.
func (v *view) line(r *draft, e Equation) (Line, error) {
	find := func(key string) (ID, error) {
		if i, ok := r.index[key]; ok {
			return v.cells[i], nil
		}
		if u, ok := v.history[key]; ok {
			return u.ID, nil
		}
		return 0, refuse(Infeasible, key, "an equation names the cell, and no release has it")
	}
	total, err := find(e.Total)
	if err != nil {
		return Line{}, err
	}
	l := Line{Total: total}
	for _, key := range e.Parts {
		p, err := find(key)
		if err != nil {
			return Line{}, err
		}
		l.Parts = append(l.Parts, p)
	}
	slices.Sort(l.Parts)
	if len(slices.Compact(slices.Clone(l.Parts))) < len(e.Parts) || slices.Contains(l.Parts, total) {
		return Line{}, refuse(Infeasible, e.Total, "an equation has a cell twice")
	}
	if !v.holds(l) {
		return Line{}, refuse(Infeasible, e.Total, "the figure is not the sum of its parts")
	}
	return l, nil
}

func (v *view) holds(l Line) bool {
	var sum int64
	l.each(func(u ID, sign int64) { sum += sign * v.unknowns[u].Value })
	return sum == 0
}

// renew returns the equations of earlier releases over cells that the release revises, as far as they hold in its
// revision too: a year whose one month is revised is still the sum of its months.
func (v *view) renew(ctx context.Context, r *draft) ([]Line, error) {
	var revised []ID
	for i, c := range r.Cells {
		if before, ok := v.history[c.Key]; ok && before.ID != v.cells[i] {
			revised = append(revised, before.ID)
		}
	}
	if len(revised) == 0 {
		return nil, nil
	}
	old, err := v.stack.Lines(ctx, revised)
	if err != nil {
		return nil, fmt.Errorf("reading lines of a ledger: %w", err)
	}
	if err := v.loadTerms(ctx, old); err != nil {
		return nil, err
	}
	missing := map[string]bool{}
	for _, l := range old {
		l.each(func(u ID, _ int64) {
			key := v.unknowns[u].Cell
			_, listed := r.index[key]
			if _, read := v.history[key]; !listed && !read {
				missing[key] = true
			}
		})
	}
	if err := v.loadHistory(ctx, slices.Sorted(maps.Keys(missing))); err != nil {
		return nil, err
	}
	now := func(u ID) ID {
		key := v.unknowns[u].Cell
		if i, ok := r.index[key]; ok {
			return v.cells[i]
		}
		return v.history[key].ID
	}
	var lines []Line
	for _, l := range old {
		renewed := Line{Total: now(l.Total)}
		for _, p := range l.Parts {
			renewed.Parts = append(renewed.Parts, now(p))
		}
		slices.Sort(renewed.Parts)
		if !slices.Contains(renewed.Parts, 0) && renewed.Total != 0 && v.holds(renewed) {
			lines = append(lines, renewed)
		}
	}
	return lines, nil
}

// addLines takes lines of the release, but for those that the stack has.
func (v *view) addLines(ctx context.Context, lines []Line) error {
	var old []ID // open unknowns of lines that may be there already
	repeats := make([]bool, len(lines))
	for i, l := range lines {
		repeats[i] = true
		var open []ID
		l.each(func(u ID, _ int64) {
			repeats[i] = repeats[i] && !v.fresh(u)
			if v.unknowns[u].Open || v.told[u] {
				open = append(open, u)
			}
		})
		if repeats[i] {
			old = append(old, open...)
		}
	}
	if err := v.loadLines(ctx, old); err != nil {
		return err
	}
	for i, l := range lines {
		anyOpen := false
		l.each(func(u ID, _ int64) { anyOpen = anyOpen || v.unknowns[u].Open || v.told[u] })
		if v.known[l.identity()] || repeats[i] && !anyOpen {
			continue
		}
		l.ID = v.next
		v.next++
		v.added = append(v.added, len(v.lines))
		v.keep(l)
	}
	return nil
}

func (v *view) keep(l Line) {
	key := l.identity()
	if v.known[key] {
		return
	}
	v.known[key] = true
	l.each(func(u ID, _ int64) { v.through[u] = append(v.through[u], len(v.lines)) })
	v.lines = append(v.lines, l)
}

// loadLines reads the lines of unknowns, with what is in them.
func (v *view) loadLines(ctx context.Context, unknowns []ID) error {
	var missing []ID
	for _, u := range unknowns {
		if !v.fresh(u) && !v.lined[u] {
			v.lined[u] = true
			missing = append(missing, u)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	lines, err := v.stack.Lines(ctx, missing)
	if err != nil {
		return fmt.Errorf("reading lines of a ledger: %w", err)
	}
	slices.SortFunc(lines, func(a, b Line) int { return cmp.Compare(a.ID, b.ID) })
	for _, l := range lines {
		v.keep(l)
	}
	return v.loadTerms(ctx, lines)
}

func (v *view) loadTerms(ctx context.Context, lines []Line) error {
	var ids []ID
	for _, l := range lines {
		l.each(func(u ID, _ int64) { ids = append(ids, u) })
	}
	return v.loadUnknowns(ctx, ids)
}

func (v *view) loadUnknowns(ctx context.Context, ids []ID) error {
	var missing []ID
	for _, id := range ids {
		if v.unknowns[id] == nil {
			missing = append(missing, id)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	missing = slices.Compact(missing)
	found, err := v.stack.Unknowns(ctx, missing)
	if err != nil {
		return fmt.Errorf("reading unknowns of a ledger: %w", err)
	}
	for _, u := range found {
		v.remember(u)
	}
	if len(found) < len(missing) {
		return fmt.Errorf("a ledger lacks %d of %d unknowns", len(missing)-len(found), len(missing))
	}
	return nil
}

// loadPoints reads the points that move unknowns. Those that the release breaks are dead.
func (v *view) loadPoints(ctx context.Context, unknowns []ID) error {
	var missing []ID
	for _, u := range unknowns {
		if !v.fresh(u) && !v.pointed[u] {
			v.pointed[u] = true
			missing = append(missing, u)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	points, err := v.stack.Points(ctx, missing)
	if err != nil {
		return fmt.Errorf("reading points of a ledger: %w", err)
	}
	slices.SortFunc(points, func(a, b Point) int { return cmp.Compare(a.ID, b.ID) })
	var moved []ID
	for _, p := range points {
		moved = append(moved, p.Unknowns...)
	}
	if err := v.loadUnknowns(ctx, moved); err != nil {
		return err
	}
	for _, p := range points {
		if !v.haspoint[p.ID] {
			v.haspoint[p.ID] = true
			v.addPoint(p, v.valid(&p))
		}
	}
	return nil
}

func (v *view) addPoint(p Point, alive bool) {
	for _, u := range p.Unknowns {
		v.of[u] = append(v.of[u], len(v.points))
	}
	v.points = append(v.points, p)
	v.alive = append(v.alive, alive)
}

// valid checks a point exactly against the lines that were read and against the bounds. Points of the stack hold in its
// other lines too; of a point that is new, the lines of all that it moves have to be there.
func (v *view) valid(p *Point) bool {
	for i, id := range p.Unknowns {
		u := v.unknowns[id]
		if !u.Open || p.Moves[i] < -u.Value*Scale || p.Moves[i] > (u.Ceiling-u.Value)*Scale {
			return false
		}
	}
	return v.solves(p)
}

// solves reports whether the moves of a point add up to 0 in the lines that were read.
func (v *view) solves(p *Point) bool {
	for _, id := range p.Unknowns {
		for _, k := range v.through[id] {
			var sum int64
			v.lines[k].each(func(u ID, sign int64) { sum += sign * p.at(u) })
			if sum != 0 {
				return false
			}
		}
	}
	return true
}

// extremes returns how far living points move an unknown down and up, in units of 1/Scale.
func (v *view) extremes(u ID) (low, high int64) {
	for _, k := range v.of[u] {
		if v.alive[k] {
			move := v.points[k].at(u)
			low, high = min(low, move), max(high, move)
		}
	}
	return low, high
}

// wide reports whether the points prove the width that an unknown needs.
func (v *view) wide(u ID) bool {
	low, high := v.extremes(u)
	return high-low >= v.unknowns[u].need()
}

// need returns the width that points have to prove, in units of 1/Scale.
func (u *Unknown) need() int64 {
	if !u.Open || u.Exposed {
		return 0
	}
	return min(u.Width, u.Ceiling) * Scale
}

// own reports whether the audience knows nothing of an unknown but by the release.
func (v *view) own(u ID) bool { return v.fresh(u) || v.told[u] }

// candidate reports whether an unknown could be withheld: it is the release's, and was to be shown.
func (v *view) candidate(r *draft, u ID) bool {
	if !v.own(u) || v.unknowns[u].Open {
		return false
	}
	c := r.Cells[v.cellOf[u]]
	return c.Status == disclosure.Published && !c.Known
}

// open withholds what was withheld of the release since it entered the view.
func (v *view) open(r *draft) {
	for i, c := range r.Cells {
		if u := v.unknowns[v.cells[i]]; v.own(u.ID) && c.open() && !u.Open {
			u.Open, u.Width = true, c.Width
		}
	}
}
