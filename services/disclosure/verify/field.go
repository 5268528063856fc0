package verify

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"math/big"
	"math/bits"
	"slices"
)

// field is the integers modulo a prime of 61 bits.
type field struct{ prime uint64 }

// randomField draws a prime.
func randomField(random io.Reader) (field, error) {
	for {
		n, err := draw(random)
		if err != nil {
			return field{}, err
		}
		n = n>>4 | 1<<60 | 1
		if new(big.Int).SetUint64(n).ProbablyPrime(20) {
			return field{n}, nil
		}
	}
}

func draw(random io.Reader) (uint64, error) {
	var b [8]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return 0, fmt.Errorf("reading random bytes: %w", err)
	}
	return binary.LittleEndian.Uint64(b[:]), nil
}

func (f field) multiply(a, b uint64) uint64 {
	high, low := bits.Mul64(a, b)
	return bits.Rem64(high, low, f.prime)
}

func (f field) add(a, b uint64) uint64 { return (a + b) % f.prime }

// divide returns a/b; 0 for b = 0.
func (f field) divide(a, b uint64) uint64 {
	inverse := uint64(1)
	for power, n := b, f.prime-2; n > 0; n >>= 1 {
		if n&1 == 1 {
			inverse = f.multiply(inverse, power)
		}
		power = f.multiply(power, power)
	}
	return f.multiply(a, inverse)
}

// expression is an unknown as the sum of others.
type expression struct {
	unknown int
	at      []int
	factor  []uint64
}

// deviations returns two random ways in which the withheld cells may deviate without breaking an equation. A cell that
// can be computed does not deviate.
func (f field) deviations(t *Table, equations []equation, random io.Reader) (first, second []uint64, err error) {
	var rows [][]int
	var signs [][]int64
	uses := make([]int, len(t.Cells))
	for _, e := range equations {
		var row []int
		var sign []int64
		for _, x := range e {
			if t.Cells[x.cell].Withheld {
				row, sign = append(row, x.cell), append(sign, x.sign)
				uses[x.cell]++
			}
		}
		if len(row) > 0 {
			rows, signs = append(rows, row), append(signs, sign)
		}
	}
	order := make([]int, len(rows))
	for k := range order {
		order[k] = k
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(len(rows[a]), len(rows[b])) })

	var solved []expression
	place := make([]int, len(t.Cells)) // 1 + the expression of the unknown
	value := make([]uint64, len(t.Cells))
	listed := make([]bool, len(t.Cells))
	for _, k := range order {
		var at, queue []int
		add := func(i int, x uint64) {
			value[i] = f.add(value[i], x)
			if !listed[i] {
				listed[i] = true
				at = append(at, i)
				if place[i] > 0 {
					queue = append(queue, place[i])
				}
			}
		}
		for j, i := range rows[k] {
			if signs[k][j] > 0 {
				add(i, 1)
			} else {
				add(i, f.prime-1)
			}
		}
		// An expression has unknowns of later ones only, so that each is put in once.
		for len(queue) > 0 {
			least := 0
			for j := range queue {
				if queue[j] < queue[least] {
					least = j
				}
			}
			x := &solved[queue[least]-1]
			queue[least] = queue[len(queue)-1]
			queue = queue[:len(queue)-1]
			factor := value[x.unknown]
			value[x.unknown] = 0
			for j, i := range x.at {
				add(i, f.multiply(factor, x.factor[j]))
			}
		}
		pivot := -1
		for _, i := range at {
			if value[i] != 0 && (pivot < 0 || uses[i] < uses[pivot]) {
				pivot = i
			}
		}
		if pivot >= 0 {
			x := expression{unknown: pivot}
			scale := f.divide(f.prime-1, value[pivot])
			for _, i := range at {
				if value[i] != 0 && i != pivot {
					x.at, x.factor = append(x.at, i), append(x.factor, f.multiply(value[i], scale))
				}
			}
			solved = append(solved, x)
			place[pivot] = len(solved)
		}
		for _, i := range at {
			value[i], listed[i] = 0, false
		}
	}
	solution := func() ([]uint64, error) {
		deviation := make([]uint64, len(t.Cells))
		for i, c := range t.Cells {
			if c.Withheld && place[i] == 0 {
				n, err := draw(random)
				if err != nil {
					return nil, err
				}
				deviation[i] = n % f.prime
			}
		}
		for _, x := range slices.Backward(solved) {
			for j, i := range x.at {
				deviation[x.unknown] = f.add(deviation[x.unknown], f.multiply(deviation[i], x.factor[j]))
			}
		}
		return deviation, nil
	}
	if first, err = solution(); err != nil {
		return nil, nil, err
	}
	second, err = solution()
	return first, second, err
}
