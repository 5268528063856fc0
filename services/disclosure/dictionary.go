package disclosure

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// dictionary is the equations of a few classes, the others standing still, solved for some of them in terms of the rest
// (Chvátal 1983, chapter 2). It looks for cheap moves with the simplex method for separable piecewise linear costs
// (Fourer 1985): a class that is withheld already moves for nothing, another one costs by how far it moves. No move at
// all is a solution of every dictionary, so that one can be used for many targets.
type dictionary struct {
	problem *problem
	classes []int32     // of each variable, sorted
	basic   []int32     // of each row: its variable
	free    []int32     // of each column: its variable
	place   []int32     // of each variable: its row, or −1 − its column
	rows    [][]float64 // basic[i] = Σ rows[i][j]·free[j]
	reduced []float64   // what moving the variable of a column costs through the basic ones
	moves   []float64   // of each variable
	curves  []curve     // of each variable: what its moves cost
	state   []position
	jitter  []float64 // of each variable: the free move that keeps vertices apart
	rate    []float64 // of each variable: what it cost per unit at first
	hits    []hit
	touched []int32 // columns where the row of the pivot is not 0
	work    int     // entries touched so far: a measure of time that no clock enters
}

// curve is a convex piecewise linear cost: slope[k] between knot[k] and knot[k+1], and no way out at the ends.
type curve struct {
	knot  [4]float64
	slope [3]float64
	last  int8 // the last knot
}

// position is where a variable stands on its curve.
type position struct {
	piece int8 // that a basic variable is in, or one that stands at no knot
	knot  int8 // at which a free variable stands; −1: none
}

// hit is where a variable meets a knot during a step.
type hit struct {
	at   float64
	row  int32 // −1: the entering variable itself
	knot int8
	rise float64 // of the slope of the cost
}

const (
	epsilon = 1e-9
	jiggle  = 1e-7
)

// newDictionary returns the dictionary of classes that [problem.movable] found; all others stand still. The one before it
// can no longer be used, unless it was kept.
func newDictionary(p *problem, classes []int32, random *rand.Rand) *dictionary {
	n := len(classes)
	d := &dictionary{problem: p, classes: classes, place: make([]int32, n)}
	w := &p.scratch
	for k, v := range classes {
		w.local[v] = int32(k + 1)
	}
	var equations [][]term
	var store []term
	count := make([]int, n)
	for _, v := range classes {
		for _, r := range p.in[v] {
			if w.left[r] < 0 {
				continue
			}
			w.left[r] = -1
			from := len(store)
			for _, t := range p.rows[r] {
				if k := w.local[t.class]; k > 0 {
					store = append(store, term{k - 1, t.sign})
					count[k-1]++
				}
			}
			equations = append(equations, store[from:len(store):len(store)])
		}
	}
	for _, v := range classes {
		w.local[v] = 0
		for _, r := range p.in[v] {
			w.left[r] = 0
		}
	}
	d.work += 100*n + 2*len(store)
	slices.SortStableFunc(equations, func(a, b []term) int { return cmp.Compare(len(a), len(b)) })
	d.eliminate(equations, count)
	d.jitter = make([]float64, n)
	for k := range d.jitter {
		d.jitter[k] = jiggle * (1 + random.Float64())
	}
	d.moves = make([]float64, n)
	d.curves = make([]curve, n)
	d.state = make([]position, n)
	d.rate = make([]float64, n)
	return d
}

// keep lets a dictionary be used after the next one is built.
func (d *dictionary) keep() *dictionary {
	for i, r := range d.rows {
		d.rows[i] = slices.Clone(r)
	}
	return d
}

// scratch is room for building dictionaries, all 0 in between but for the numbers and rows, which are those of the last one.
type scratch struct {
	local   []int32 // of each class
	left    []int32 // of each row
	inside  []bool  // of each class
	sums    []int64 // of each row
	touched []int32 // rows
	numbers []float64
}

// zeros returns so many numbers, all 0. They are taken from the dictionary that was built last.
func (s *scratch) zeros(n int) []float64 {
	if n > len(s.numbers) {
		s.numbers = make([]float64, n)
	}
	clear(s.numbers[:n])
	return s.numbers[:n]
}

// movable returns those of the classes that are connected with the target once every class is gone that an equation
// forces to stand still; without a target (−1), all that can move.
func (p *problem) movable(classes []int32, target int32) []int32 {
	inside, left := p.scratch.inside, p.scratch.left
	defer func() {
		for _, v := range classes {
			inside[v] = false
			for _, r := range p.in[v] {
				left[r] = 0
			}
		}
	}()
	for _, v := range classes {
		inside[v] = true
		for _, r := range p.in[v] {
			left[r]++
		}
	}
	var still []int32
	for _, v := range classes {
		for _, r := range p.in[v] {
			if left[r] == 1 {
				still = append(still, v)
				break
			}
		}
	}
	for len(still) > 0 {
		v := still[len(still)-1]
		still = still[:len(still)-1]
		if !inside[v] {
			continue
		}
		inside[v] = false
		for _, r := range p.in[v] {
			left[r]--
			if left[r] != 1 {
				continue
			}
			for _, t := range p.rows[r] {
				if inside[t.class] {
					still = append(still, t.class)
				}
			}
		}
	}
	if target < 0 {
		var moving []int32
		for _, v := range classes {
			if inside[v] {
				moving = append(moving, v)
			}
		}
		return moving
	}
	if !inside[target] {
		return nil
	}
	reached := []int32{target}
	inside[target] = false
	for k := 0; k < len(reached); k++ {
		for _, r := range p.in[reached[k]] {
			for _, t := range p.rows[r] {
				if inside[t.class] {
					inside[t.class] = false
					reached = append(reached, t.class)
				}
			}
		}
	}
	slices.Sort(reached)
	return reached
}

// sparse is a row of numbers, most of them 0.
type sparse struct {
	at    []int32
	value []float64
}

// eliminate solves the equations, forwards one by one for a variable that few of them have, and then backwards.
func (d *dictionary) eliminate(equations [][]term, count []int) {
	n := len(d.classes)
	for v := range d.place {
		d.place[v] = -1
	}
	sum := accumulator{value: make([]float64, n), listed: make([]bool, n)}
	solved := make([]sparse, 0, len(equations))
	for _, e := range equations {
		for _, t := range e {
			sum.add(t.class, float64(t.sign))
		}
		sum.substitute(d.place, d.basic, solved)
		pivot, best := int32(-1), math.Inf(1)
		for _, v := range sum.at {
			a := sum.value[v]
			if math.Abs(a) < epsilon {
				sum.value[v] = 0
				continue
			}
			score := float64(count[v])
			if off := math.Abs(math.Abs(a) - 1); off > epsilon {
				score += 1e6 * (1 + off)
			}
			if score < best || score == best && v < pivot {
				pivot, best = v, score
			}
		}
		if pivot >= 0 {
			d.place[pivot] = int32(len(solved)) //nolint:gosec // far fewer than 2³¹
			d.basic = append(d.basic, pivot)
			factor := -1 / sum.value[pivot]
			sum.value[pivot] = 0
			solved = append(solved, sum.row(factor))
			d.work += len(sum.at)
		}
		sum.clear()
	}
	for v := range d.place {
		if d.place[v] < 0 {
			d.place[v] = int32(-1 - len(d.free)) //nolint:gosec // far fewer than 2³¹
			d.free = append(d.free, int32(v))
		}
	}
	columns := len(d.free)
	d.rows = make([][]float64, len(solved))
	store := d.problem.scratch.zeros(columns * len(solved))
	for i := len(solved) - 1; i >= 0; i-- {
		r := store[i*columns : (i+1)*columns]
		for k, v := range solved[i].at {
			if place := d.place[v]; place >= 0 {
				addScaled(r, d.rows[place], solved[i].value[k])
				d.work += columns
			} else {
				r[-1-place] += solved[i].value[k]
			}
		}
		for j, a := range r {
			if math.Abs(a) < epsilon {
				r[j] = 0
			}
		}
		d.rows[i] = r
	}
	d.reduced = make([]float64, columns)
	d.work += len(store)
}

// accumulator adds up sparse rows.
type accumulator struct {
	value  []float64
	listed []bool
	at     []int32 // where value may differ from 0
	queue  []int32 // solved rows yet to be put in
}

func (s *accumulator) add(v int32, a float64) {
	s.value[v] += a
	if !s.listed[v] {
		s.listed[v] = true
		s.at = append(s.at, v)
	}
}

// substitute puts solved rows in the place of their variables. A solved row has variables of later ones only, so that
// one pass in their order is enough.
func (s *accumulator) substitute(place, basic []int32, solved []sparse) {
	for k := 0; k < len(s.at); k++ {
		if row := place[s.at[k]]; row >= 0 {
			s.queue = append(s.queue, row)
		}
	}
	for len(s.queue) > 0 {
		next := 0
		for k, row := range s.queue {
			if row < s.queue[next] {
				next = k
			}
		}
		row := s.queue[next]
		s.queue[next] = s.queue[len(s.queue)-1]
		s.queue = s.queue[:len(s.queue)-1]
		v := basic[row]
		factor := s.value[v]
		s.value[v] = 0
		if factor == 0 {
			continue
		}
		for k, u := range solved[row].at {
			if !s.listed[u] && place[u] >= 0 {
				s.queue = append(s.queue, place[u])
			}
			s.add(u, factor*solved[row].value[k])
		}
	}
}

func (s *accumulator) row(factor float64) sparse {
	r := sparse{}
	for _, v := range s.at {
		if a := s.value[v]; a != 0 {
			r.at = append(r.at, v)
			r.value = append(r.value, a*factor)
		}
	}
	return r
}

func (s *accumulator) clear() {
	for _, v := range s.at {
		s.value[v], s.listed[v] = 0, false
	}
	s.at = s.at[:0]
}

func addScaled(to, from []float64, factor float64) {
	for k, x := range from {
		if x != 0 {
			to[k] += factor * x
		}
	}
}

// quest is what a dictionary is asked for.
type quest struct {
	target int32 // the class to move
	up     bool
	goal   int64                  // how far, in whole units
	free   func(class int32) bool // whether the class moves for nothing
	barred func(class int32) bool // whether it must stand still
	limit  int                    // of steps
}

// find moves the target towards the goal as cheaply as it can and returns the moves of all classes: of the attempts of
// slope scaling (Kim and Pardalos 1999) those that cost least when every class is paid for whole. It reports false where
// the target does not move or the moves are no multiples of 1/scale.
func (d *dictionary) find(q quest) (point, int64, bool) {
	target, ok := slices.BinarySearch(d.classes, q.target)
	if !ok {
		return point{}, 0, false
	}
	d.start(q, target)
	var best point
	cheapest := int64(math.MaxInt64)
	rounds := 3
	for round := range rounds {
		if round > 0 && !d.reprice(q) {
			break
		}
		d.run(q.limit)
		f, ok := d.point()
		if !ok || f.at(q.target) == 0 {
			continue
		}
		if !d.problem.valid(&f) {
			continue
		}
		cost := int64(0)
		for _, v := range f.class {
			if !q.free(v) {
				cost += d.problem.cost[v]
			}
		}
		if best.class != nil {
			have, want := abs(best.at(q.target)), min(abs(f.at(q.target)), q.goal*scale)
			if want < have || want == have && cost >= cheapest {
				continue
			}
		}
		best, cheapest = f, cost
		if cost == 0 {
			break
		}
	}
	return best, cheapest, best.class != nil
}

func abs(x int64) int64 { return max(x, -x) }

// start puts every move to 0 and prices the moves for a quest.
func (d *dictionary) start(q quest, target int) {
	total := 0.0
	for k, v := range d.classes {
		d.rate[k] = 0
		if !q.free(v) {
			d.rate[k] = float64(max(d.problem.cost[v], 1)) / float64(min(max(q.goal, 1), max(d.problem.value[v], 1)))
			total += d.rate[k]
		}
	}
	for k, v := range d.classes {
		d.moves[k] = 0
		value := d.problem.value[v]
		low, high := -float64(value), float64(d.problem.grand-value)
		switch {
		case k == target:
			goal := float64(min(q.goal, d.problem.grand-value))
			prize := 4*total + 1
			if q.up {
				d.curves[k] = newCurve(low, high, goal, math.Inf(1), -prize, 0, 0)
			} else {
				goal = -float64(min(q.goal, value))
				d.curves[k] = newCurve(low, high, goal, math.Inf(1), 0, prize, 0)
			}
		case q.barred != nil && q.barred(v):
			d.curves[k] = newCurve(0, 0, math.Inf(1), math.Inf(1), 0, 0, 0)
		case d.rate[k] == 0:
			d.curves[k] = newCurve(low, high, math.Inf(1), math.Inf(1), 0, 0, 0)
		default:
			d.curves[k] = newCurve(low, high, -d.jitter[k], d.jitter[k], -d.rate[k], 0, d.rate[k])
		}
		d.state[k] = d.curves[k].rest()
	}
	d.price()
}

// newCurve returns the curve with the knots a and b between low and high, where they are.
func newCurve(low, high, a, b, left, middle, right float64) curve {
	c := curve{}
	c.knot[0] = low
	slope := left
	for _, k := range [2]struct{ at, after float64 }{{a, middle}, {b, right}} {
		switch {
		case k.at <= low:
			slope = k.after
		case k.at < high:
			c.slope[c.last] = slope
			c.last++
			c.knot[c.last] = k.at
			slope = k.after
		}
	}
	c.slope[c.last] = slope
	c.last++
	c.knot[c.last] = high
	return c
}

// rest returns the position of a variable that does not move.
func (c *curve) rest() position {
	for k := int8(0); k <= c.last; k++ {
		if c.knot[k] == 0 {
			return position{piece: min(k, c.last-1), knot: k}
		}
		if c.knot[k] > 0 {
			return position{piece: k - 1, knot: -1}
		}
	}
	return position{piece: c.last - 1, knot: -1}
}

// resume goes on from the answer to a quest, where fewer classes are barred now than were then and the others are free.
func (d *dictionary) resume(q quest) (point, bool) {
	for k, v := range d.classes {
		if c := &d.curves[k]; c.knot[0] == c.knot[c.last] && !q.barred(v) {
			value := d.problem.value[v]
			*c = newCurve(-float64(value), float64(d.problem.grand-value), math.Inf(1), math.Inf(1), 0, 0, 0)
			d.state[k] = c.rest()
		}
	}
	d.run(q.limit)
	f, ok := d.point()
	return f, ok && d.problem.valid(&f)
}

// reprice charges what each paid class costs whole over how far it moves now. It reports false where nothing is paid for.
func (d *dictionary) reprice(q quest) bool {
	paid := false
	for k, v := range d.classes {
		move := math.Abs(d.moves[k])
		if v == q.target || d.rate[k] == 0 {
			continue
		}
		rate := d.rate[k]
		if move > 1e-3 {
			paid = true
			rate = float64(max(d.problem.cost[v], 1)) / move
		}
		c := &d.curves[k]
		for s := range c.last {
			switch {
			case c.knot[s] >= d.jitter[k]:
				c.slope[s] = rate
			case c.knot[s+1] <= -d.jitter[k]:
				c.slope[s] = -rate
			}
		}
	}
	if paid {
		d.price()
	}
	return paid
}

// price computes the reduced costs from the slopes.
func (d *dictionary) price() {
	clear(d.reduced)
	for i, v := range d.basic {
		if slope := d.curves[v].slope[d.state[v].piece]; slope != 0 {
			addScaled(d.reduced, d.rows[i], slope)
		}
	}
	d.work += len(d.basic) * len(d.free) / 4
}

// run takes at most limit steps, each one to where the cost stops falling.
func (d *dictionary) run(limit int) {
	for range limit {
		column, up := d.entering()
		if column < 0 {
			return
		}
		d.step(column, up)
	}
}

// entering returns the column whose move lowers the cost most per unit; −1: none does.
func (d *dictionary) entering() (column int, up bool) {
	column = -1
	least := -1e-7
	for j, v := range d.free {
		c, s := &d.curves[v], d.state[v]
		if c.knot[0] == c.knot[c.last] {
			continue
		}
		rise, fall := c.slope[s.piece], c.slope[s.piece]
		canRise, canFall := true, true
		if s.knot >= 0 {
			if canRise = s.knot < c.last; canRise {
				rise = c.slope[s.knot]
			}
			if canFall = s.knot > 0; canFall {
				fall = c.slope[s.knot-1]
			}
		}
		if rate := d.reduced[j] + rise; canRise && rate < least {
			least, column, up = rate, j, true
		}
		if rate := -d.reduced[j] - fall; canFall && rate < least {
			least, column, up = rate, j, false
		}
	}
	return column, up
}

// step moves the variable of a column until the cost rises or a variable meets the end of its curve, and exchanges it for
// the variable that stopped it.
func (d *dictionary) step(column int, up bool) {
	entering := d.free[column]
	sign := 1.0
	if !up {
		sign = -1
	}
	rate := d.reduced[column] * sign
	if s := &d.state[entering]; s.knot >= 0 {
		if up {
			s.piece = s.knot
		} else {
			s.piece = s.knot - 1
		}
		s.knot = -1
	}
	rate += sign * d.curves[entering].slope[d.state[entering].piece]
	d.hits = d.hits[:0]
	d.meet(entering, -1, sign)
	for i, r := range d.rows {
		if speed := sign * r[column]; math.Abs(speed) > epsilon {
			d.meet(d.basic[i], int32(i), speed)
		}
	}
	// The hits in their order, as far as the cost falls: sorting them all would take most of the time.
	for k := len(d.hits)/2 - 1; k >= 0; k-- {
		d.sift(k, len(d.hits))
	}
	left := len(d.hits)
	for {
		left--
		d.hits[0], d.hits[left] = d.hits[left], d.hits[0]
		if rate += d.hits[left].rise; rate >= -1e-9 {
			break
		}
		d.sift(0, left)
	}
	last, passed := d.hits[left], d.hits[left+1:]
	for i, r := range d.rows {
		if speed := sign * r[column]; speed != 0 {
			d.moves[d.basic[i]] += speed * last.at
		}
	}
	d.moves[entering] += sign * last.at
	d.work += len(d.rows)
	for k := len(passed) - 1; k >= 0; k-- {
		d.cross(passed[k], column, sign)
	}
	leaving := entering
	if last.row >= 0 {
		leaving = d.basic[last.row]
	}
	// The leaving variable still counts with the slope of the piece that it came from.
	if last.row >= 0 {
		d.exchange(int(last.row), column)
	}
	d.state[leaving].knot = last.knot
	d.moves[leaving] = d.curves[leaving].knot[last.knot]
}

// sift restores the heap of the first n hits below k.
func (d *dictionary) sift(k, n int) {
	for {
		child := 2*k + 1
		if child >= n {
			return
		}
		if child+1 < n && d.hits[child+1].before(&d.hits[child]) {
			child++
		}
		if !d.hits[child].before(&d.hits[k]) {
			return
		}
		d.hits[k], d.hits[child] = d.hits[child], d.hits[k]
		k = child
	}
}

// before puts hits into the order in which they happen; of those at once the end of a curve first, which must not be
// passed.
func (h *hit) before(other *hit) bool {
	switch {
	case h.at != other.at:
		return h.at < other.at
	case h.rise != other.rise:
		return h.rise > other.rise
	default:
		return h.row < other.row
	}
}

// meet notes all knots that lie before a variable that moves with the speed.
func (d *dictionary) meet(v, row int32, speed float64) {
	c, piece, move := &d.curves[v], d.state[v].piece, d.moves[v]
	if speed > 0 {
		for k := piece + 1; k <= c.last; k++ {
			rise := math.Inf(1)
			if k < c.last {
				rise = speed * (c.slope[k] - c.slope[k-1])
			}
			d.hits = append(d.hits, hit{max(0, (c.knot[k]-move)/speed), row, k, rise})
		}
		return
	}
	for k := piece; k >= 0; k-- {
		rise := math.Inf(1)
		if k > 0 {
			rise = -speed * (c.slope[k] - c.slope[k-1])
		}
		d.hits = append(d.hits, hit{max(0, (c.knot[k]-move)/speed), row, k, rise})
	}
}

// cross puts a variable into the piece behind the knot that it passed.
func (d *dictionary) cross(h hit, column int, sign float64) {
	v, speed := d.free[column], sign
	if h.row >= 0 {
		v = d.basic[h.row]
		speed = sign * d.rows[h.row][column]
	}
	before := d.curves[v].slope[d.state[v].piece]
	if speed > 0 {
		d.state[v].piece = h.knot
	} else {
		d.state[v].piece = h.knot - 1
	}
	if h.row < 0 {
		return
	}
	if change := d.curves[v].slope[d.state[v].piece] - before; change != 0 {
		addScaled(d.reduced, d.rows[h.row], change)
		d.work += len(d.free)
	}
}

// exchange solves the row for the variable of the column.
func (d *dictionary) exchange(row, column int) {
	r := d.rows[row]
	leaving, entering := d.basic[row], d.free[column]
	if slope := d.curves[leaving].slope[d.state[leaving].piece]; slope != 0 {
		addScaled(d.reduced, r, -slope)
	}
	inverse := 1 / r[column]
	d.touched = d.touched[:0]
	for j, a := range r {
		if j == column || a == 0 {
			continue
		}
		if math.Abs(a) < epsilon {
			r[j] = 0
			continue
		}
		r[j] = -a * inverse
		d.touched = append(d.touched, int32(j))
	}
	r[column] = inverse
	for i, other := range d.rows {
		factor := other[column]
		if i == row || factor == 0 {
			continue
		}
		for _, j := range d.touched {
			other[j] += factor * r[j]
		}
		other[column] = factor * inverse
		d.work += len(d.touched)
	}
	factor := d.reduced[column] + d.curves[entering].slope[d.state[entering].piece]
	for _, j := range d.touched {
		d.reduced[j] += factor * r[j]
	}
	d.reduced[column] = factor * inverse
	d.basic[row], d.free[column] = entering, leaving
	d.place[entering], d.place[leaving] = int32(row), int32(-1-column) //nolint:gosec // far fewer than 2³¹
}

// point rounds the moves to the smallest common denominator that fits them all. It reports false where none does.
func (d *dictionary) point() (point, bool) {
	for _, denominator := range [...]float64{1, 2, 3, 4, 5, 6, 10, 12} {
		var f point
		fits := true
		for k, move := range d.moves {
			x := math.Round(move * denominator)
			if fits = math.Abs(move*denominator-x) < 2e-3; !fits {
				break
			}
			if x != 0 {
				f.class = append(f.class, d.classes[k])
				f.move = append(f.move, int64(x)*int64(scale/denominator))
			}
		}
		if fits {
			return f, len(f.class) > 0
		}
	}
	return point{}, false
}
