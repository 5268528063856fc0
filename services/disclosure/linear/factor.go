package linear

import (
	"cmp"
	"math"
	"slices"
)

// factor is a basis B, some columns of a matrix, in the form L·U·E₁·E₂…, where each E is the identity but for one column:
// the columns that were exchanged since L and U were made (Dantzig and Orchard-Hays 1954). A slot is a place in the basis.
type factor struct {
	matrix *matrix
	row    []int // step → the row of its pivot
	slot   []int // step → the slot of its pivot
	pivot  []float64
	lower  vectors // step → what its pivot takes from other rows
	upper  vectors // step → what its column has in rows of earlier steps
	etas   vectors // exchange → the column, by slot, without its pivot
	at     []int   // exchange → its slot
	by     []float64
	work   []float64 // by row, 0 between uses
}

// vectors is a list of sparse vectors.
type vectors struct {
	start []int
	index []int
	value []float64
}

func (v *vectors) clear() {
	v.start, v.index, v.value = append(v.start[:0], 0), v.index[:0], v.value[:0]
}

func (v *vectors) add(index int, value float64) {
	v.index, v.value = append(v.index, index), append(v.value, value)
}

func (v *vectors) end() { v.start = append(v.start, len(v.index)) }

func (v *vectors) at(k int) ([]int, []float64) {
	from, to := v.start[k], v.start[k+1]
	return v.index[from:to], v.value[from:to]
}

// Numbers below tiny are taken for what rounding left of 0. Coefficients of tables are 1.
const tiny = 1e-10

// turn is where a row is on its way to a pivot.
type turn byte

const (
	waiting  turn = iota
	reserved      // for a column at the back
	pivoted
)

// exchange is a slot whose column depends on the others and that the unit column of a row was put into.
type exchange struct{ slot, row int }

// set factors the columns of basis, one a row of the matrix. Where they depend on each other some are replaced by unit
// columns, in basis too, and returned.
func (f *factor) set(basis []int) []exchange {
	m := f.matrix.rows
	if f.work == nil {
		f.work = make([]float64, m)
	}
	f.row, f.slot, f.pivot = f.row[:0], f.slot[:0], f.pivot[:0]
	f.lower.clear()
	f.upper.clear()
	f.etas.clear()
	f.at, f.by = f.at[:0], f.by[:0]
	peeled := f.peel(basis)
	done := make([]turn, m)
	for _, p := range peeled.front {
		f.single(basis, p, done)
	}
	for _, p := range peeled.back {
		done[p.row] = reserved
	}
	nucleus := len(f.row)
	var dependent []int
	for _, slot := range peeled.nucleus {
		if !f.eliminate(basis[slot], slot, nucleus, done, peeled.count) {
			dependent = append(dependent, slot)
		}
	}
	for _, p := range slices.Backward(peeled.back) {
		f.single(basis, p, done)
	}
	var replaced []exchange
	for r := range done {
		if done[r] == waiting {
			slot := dependent[len(replaced)]
			replaced = append(replaced, exchange{slot, r})
			basis[slot] = f.matrix.columns + r
			f.step(r, slot, 1)
		}
	}
	return replaced
}

func (f *factor) step(row, slot int, pivot float64) {
	f.row, f.slot, f.pivot = append(f.row, row), append(f.slot, slot), append(f.pivot, pivot)
	f.lower.end()
	f.upper.end()
}

// single makes a step of a column that meets no row of an earlier step.
func (f *factor) single(basis []int, p place, done []turn) {
	rows, values := f.matrix.column(basis[p.slot])
	pivot := values[slices.Index(rows, p.row)]
	for i, r := range rows {
		if r != p.row {
			f.lower.add(r, values[i]/pivot)
		}
	}
	done[p.row] = pivoted
	f.step(p.row, p.slot, pivot)
}

// eliminate makes a step of a column by the pivots from step nucleus on; it returns false where nothing is left of it.
func (f *factor) eliminate(column, slot, nucleus int, done []turn, count []int) bool {
	x := f.work
	rows, values := f.matrix.column(column)
	touched := slices.Clone(rows)
	for i, r := range rows {
		x[r] = values[i]
	}
	for k := nucleus; k < len(f.row); k++ {
		v := x[f.row[k]]
		if v == 0 {
			continue
		}
		index, value := f.lower.at(k)
		for i, r := range index {
			if x[r] == 0 {
				touched = append(touched, r)
			}
			x[r] -= value[i] * v
		}
	}
	var largest float64
	for _, r := range touched {
		if done[r] == waiting {
			largest = max(largest, math.Abs(x[r]))
		}
	}
	best := -1
	if largest > 1e-7 {
		for _, r := range touched {
			if done[r] != waiting || math.Abs(x[r]) < 0.1*largest {
				continue
			}
			if best < 0 || count[r] < count[best] || count[r] == count[best] && math.Abs(x[r]) > math.Abs(x[best]) {
				best = r
			}
		}
	}
	var pivot float64
	if best >= 0 {
		pivot = x[best]
	}
	for _, r := range touched { // a row may be touched twice; it is 0 the second time
		v := x[r]
		x[r] = 0
		if best < 0 || r == best || math.Abs(v) < tiny {
			continue
		}
		if done[r] == pivoted {
			f.upper.add(r, v)
		} else {
			f.lower.add(r, v/pivot)
		}
	}
	if best < 0 {
		return false
	}
	done[best] = pivoted
	f.step(best, slot, pivot)
	return true
}

// place is a pivot of the basis.
type place struct{ row, slot int }

// peeling is an order of the slots that fills in nothing but in the nucleus: the columns at the front have a row that no
// later column meets, those at the back, from its end, a row that meets no other column of the nucleus or before it.
type peeling struct {
	front, back []place
	nucleus     []int
	count       []int // a row: how many columns of the nucleus meet it
}

func (f *factor) peel(basis []int) peeling {
	m := f.matrix.rows
	byRow := make([][]int, m) // the slots that meet a row
	rowCount, columnCount := make([]int, m), make([]int, m)
	for _, c := range basis {
		rows, _ := f.matrix.column(c)
		for _, r := range rows {
			rowCount[r]++
		}
	}
	var size int
	for _, n := range rowCount {
		size += n
	}
	store := make([]int, size)
	for r, n := range rowCount {
		byRow[r], store = store[:0:n], store[n:]
	}
	for slot, c := range basis {
		rows, _ := f.matrix.column(c)
		columnCount[slot] = len(rows)
		for _, r := range rows {
			byRow[r] = append(byRow[r], slot)
		}
	}
	rowDone, slotDone := make([]bool, m), make([]bool, m)
	p := peeling{count: rowCount}
	var singleRows, singleSlots []int
	for i := range m {
		if rowCount[i] == 1 {
			singleRows = append(singleRows, i)
		}
		if columnCount[i] == 1 {
			singleSlots = append(singleSlots, i)
		}
	}
	remove := func(row, slot int) {
		rowDone[row], slotDone[slot] = true, true
		rows, _ := f.matrix.column(basis[slot])
		for _, r := range rows {
			if rowCount[r]--; rowCount[r] == 1 && !rowDone[r] {
				singleRows = append(singleRows, r)
			}
		}
		for _, s := range byRow[row] {
			if columnCount[s]--; columnCount[s] == 1 && !slotDone[s] {
				singleSlots = append(singleSlots, s)
			}
		}
	}
	for len(singleRows)+len(singleSlots) > 0 {
		for len(singleRows) > 0 {
			row := singleRows[len(singleRows)-1]
			singleRows = singleRows[:len(singleRows)-1]
			if rowDone[row] {
				continue
			}
			if i := slices.IndexFunc(byRow[row], func(s int) bool { return !slotDone[s] }); i >= 0 {
				p.front = append(p.front, place{row, byRow[row][i]})
				remove(row, byRow[row][i])
			}
		}
		for len(singleSlots) > 0 {
			slot := singleSlots[len(singleSlots)-1]
			singleSlots = singleSlots[:len(singleSlots)-1]
			if slotDone[slot] {
				continue
			}
			rows, _ := f.matrix.column(basis[slot])
			if i := slices.IndexFunc(rows, func(r int) bool { return !rowDone[r] }); i >= 0 {
				p.back = append(p.back, place{rows[i], slot})
				remove(rows[i], slot)
			}
		}
	}
	for slot := range m {
		if !slotDone[slot] {
			p.nucleus = append(p.nucleus, slot)
		}
	}
	slices.SortStableFunc(p.nucleus, func(a, b int) int { return cmp.Compare(columnCount[a], columnCount[b]) })
	return p
}

// solve returns B⁻¹·x by slot in result, x being by row; x is 0 after.
func (f *factor) solve(x, result []float64) {
	for k, row := range f.row {
		v := x[row]
		if v == 0 {
			continue
		}
		index, value := f.lower.at(k)
		for i, r := range index {
			x[r] -= value[i] * v
		}
	}
	for k, row := range slices.Backward(f.row) {
		v := x[row]
		x[row] = 0
		if math.Abs(v) < tiny {
			result[f.slot[k]] = 0
			continue
		}
		v /= f.pivot[k]
		index, value := f.upper.at(k)
		for i, r := range index {
			x[r] -= value[i] * v
		}
		result[f.slot[k]] = v
	}
	for k, slot := range f.at {
		v := result[slot]
		if v == 0 {
			continue
		}
		v /= f.by[k]
		result[slot] = v
		index, value := f.etas.at(k)
		for i, s := range index {
			result[s] -= value[i] * v
		}
	}
}

// multiply returns c·B⁻¹ by row in result, c being by slot; c is spoilt.
func (f *factor) multiply(c, result []float64) {
	for k, slot := range slices.Backward(f.at) {
		v := c[slot]
		index, value := f.etas.at(k)
		for i, s := range index {
			v -= value[i] * c[s]
		}
		c[slot] = v / f.by[k]
	}
	for k, row := range f.row {
		v := c[f.slot[k]]
		index, value := f.upper.at(k)
		for i, r := range index {
			v -= value[i] * result[r]
		}
		result[row] = v / f.pivot[k]
	}
	for k, row := range slices.Backward(f.row) {
		v := result[row]
		index, value := f.lower.at(k)
		for i, r := range index {
			v -= value[i] * result[r]
		}
		result[row] = v
	}
}

// exchange puts a column into a slot; direction is B⁻¹ times the column.
func (f *factor) exchange(slot int, direction []float64) {
	for s, v := range direction {
		if v != 0 && s != slot {
			f.etas.add(s, v)
		}
	}
	f.etas.end()
	f.at, f.by = append(f.at, slot), append(f.by, direction[slot])
}
