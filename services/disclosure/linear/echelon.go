package linear

import (
	"cmp"
	"slices"
)

// entry is a number of a field in a column of a row.
type entry struct {
	column int
	value  uint64
}

// pivot is the place that an elimination solved an equation for an unknown.
type pivot struct{ row, column int }

// echelon is an elimination of a sparse matrix: row pivots[k].row, as it stands in rows, has no column of the pivots
// before k. Rows that are no pivot's follow from the others.
type echelon struct {
	field  field
	rows   [][]entry
	pivots []pivot
}

// elimination is an echelon at work. Active rows are those without a pivot yet; their columns are the active ones.
type elimination struct {
	echelon
	active   []bool  // a row
	holders  [][]int // a column: the active rows that have it, some that no longer have it, some twice
	count    []int   // a column: how many active rows have it
	byLength buckets // active rows by number of entries
	byCount  buckets // columns by count
	merged   []entry // room for a row
}

// eliminate brings rows, sorted by column, into echelon form. It takes over the rows.
// Pivots are chosen where they fill in little (Markowitz 1957): in the shortest row and the rarest column.
func eliminate(f field, rows [][]entry, columns int) echelon {
	w := elimination{
		echelon: echelon{field: f, rows: rows},
		active:  make([]bool, len(rows)),
		holders: make([][]int, columns),
		count:   make([]int, columns),
	}
	for _, row := range rows {
		for _, t := range row {
			w.count[t.column]++
		}
	}
	var all int
	for _, n := range w.count {
		all += n
	}
	store := make([]int, all)
	for c, n := range w.count {
		w.holders[c], store = store[:0:n], store[n:]
	}
	for r, row := range rows {
		w.active[r] = len(row) > 0
		w.byLength.put(r, len(row))
		for _, t := range row {
			w.holders[t.column] = append(w.holders[t.column], r)
		}
	}
	for c, n := range w.count {
		w.byCount.put(c, n)
	}
	for {
		p, ok := w.next()
		if !ok {
			return w.echelon
		}
		w.take(p)
	}
}

// next chooses a pivot: the better of the shortest row with its rarest column and the rarest column with its shortest row.
func (w *elimination) next() (pivot, bool) {
	row, length := w.byLength.least(func(r int) int {
		if !w.active[r] {
			return 0
		}
		return len(w.rows[r])
	})
	if length == 0 {
		return pivot{}, false
	}
	column, count := w.byCount.least(func(c int) int { return w.count[c] })
	byRow := pivot{row, w.rarest(row)}
	if length == 1 || count == 0 {
		return byRow, true
	}
	byColumn := pivot{w.shortest(column), column}
	if w.fill(byColumn) < w.fill(byRow) {
		return byColumn, true
	}
	return byRow, true
}

// fill is the most entries that a pivot may add.
func (w *elimination) fill(p pivot) int {
	return (len(w.rows[p.row]) - 1) * (w.count[p.column] - 1)
}

func (w *elimination) rarest(row int) int {
	return slices.MinFunc(w.rows[row], func(a, b entry) int { return cmp.Compare(w.count[a.column], w.count[b.column]) }).column
}

func (w *elimination) shortest(column int) int {
	best := -1
	for _, r := range w.holders[column] {
		if (best < 0 || len(w.rows[r]) < len(w.rows[best])) && w.active[r] && w.find(r, column) >= 0 {
			best = r
		}
	}
	return best
}

// find returns where a row has a column, or −1.
func (w *elimination) find(row, column int) int {
	i, ok := slices.BinarySearchFunc(w.rows[row], column, func(t entry, c int) int { return cmp.Compare(t.column, c) })
	if !ok {
		return -1
	}
	return i
}

// take makes a pivot and removes its column from the other active rows.
func (w *elimination) take(p pivot) {
	w.pivots = append(w.pivots, p)
	w.active[p.row] = false
	row := w.rows[p.row]
	var inverse uint64
	if w.count[p.column] > 1 { // else nobody needs it
		inverse = w.field.negative(w.field.invert(row[w.find(p.row, p.column)].value))
	}
	for _, t := range row {
		w.lower(t.column)
	}
	for _, r := range w.holders[p.column] {
		if !w.active[r] {
			continue
		}
		at := w.find(r, p.column)
		if at < 0 {
			continue
		}
		w.subtract(r, row, w.field.multiply(w.rows[r][at].value, inverse), p.column)
	}
	w.holders[p.column] = nil
	w.count[p.column] = 0
}

// lower notes that one active row less has a column.
func (w *elimination) lower(column int) {
	w.count[column]--
	w.byCount.put(column, w.count[column])
}

// subtract adds factor times the pivot's row to row r, which removes the pivot's column from it.
func (w *elimination) subtract(r int, pivotRow []entry, factor uint64, column int) {
	f := &w.field
	row, out := w.rows[r], w.merged[:0]
	i := 0
	for _, t := range pivotRow {
		for i < len(row) && row[i].column < t.column {
			out = append(out, row[i])
			i++
		}
		if i == len(row) || row[i].column != t.column {
			out = append(out, entry{t.column, f.multiply(factor, t.value)})
			w.count[t.column]++
			w.byCount.put(t.column, w.count[t.column])
			w.holders[t.column] = append(w.holders[t.column], r)
			continue
		}
		if sum := f.add(row[i].value, f.multiply(factor, t.value)); sum != 0 && t.column != column {
			out = append(out, entry{t.column, sum})
		} else {
			w.lower(t.column)
		}
		i++
	}
	out = append(out, row[i:]...)
	w.merged = out
	if cap(row) >= len(out) {
		row = append(row[:0], out...)
	} else {
		row = append(make([]entry, 0, len(out)*3/2), out...)
	}
	w.rows[r] = row
	w.active[r] = len(row) > 0
	w.byLength.put(r, len(row))
}

// solution returns the point in which the columns without a pivot have the values that free gives them.
func (e *echelon) solution(columns int, free func() uint64) []uint64 {
	x := make([]uint64, columns)
	bound := make([]bool, columns)
	for _, p := range e.pivots {
		bound[p.column] = true
	}
	for c := range x {
		if !bound[c] {
			x[c] = free()
		}
	}
	for _, p := range slices.Backward(e.pivots) {
		var sum, own uint64
		for _, t := range e.rows[p.row] {
			if t.column == p.column {
				own = t.value
			} else if x[t.column] != 0 {
				sum = e.field.add(sum, e.field.multiply(t.value, x[t.column]))
			}
		}
		if sum != 0 {
			x[p.column] = e.field.negative(e.field.multiply(sum, e.field.invert(own)))
		}
	}
	return x
}
