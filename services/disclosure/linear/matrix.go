package linear

import "slices"

// matrix is the coefficients of a system by columns, and after them one unit column an equation.
type matrix struct {
	rows, columns int   // columns without the unit columns
	start         []int // of length rows + columns + 1
	row           []int
	value         []float64
}

func newMatrix(s *System) matrix {
	m := matrix{rows: len(s.Equations), columns: s.Unknowns}
	m.start = make([]int, m.rows+m.columns+1)
	for _, equation := range s.Equations {
		for _, t := range equation {
			m.start[t.Unknown+1]++
		}
	}
	for r := range m.rows {
		m.start[m.columns+r+1] = 1
	}
	for c := range m.rows + m.columns {
		m.start[c+1] += m.start[c]
	}
	size := m.start[m.rows+m.columns]
	m.row, m.value = make([]int, size), make([]float64, size)
	next := slices.Clone(m.start)
	put := func(row, column int, value float64) {
		m.row[next[column]] = row
		m.value[next[column]] = value
		next[column]++
	}
	for r, equation := range s.Equations {
		for _, t := range equation {
			put(r, t.Unknown, float64(t.Coefficient))
		}
		put(r, m.columns+r, 1)
	}
	return m
}

// column returns the rows and values of a column.
func (m *matrix) column(c int) ([]int, []float64) {
	from, to := m.start[c], m.start[c+1]
	return m.row[from:to], m.value[from:to]
}

// times returns a column times a vector with one number a row.
func (m *matrix) times(c int, y []float64) float64 {
	rows, values := m.column(c)
	var sum float64
	for i, r := range rows {
		sum += values[i] * y[r]
	}
	return sum
}
