package cellkey

import (
	"fmt"
	"math"
	"sort"
)

// Table says which noise a count gets for which key. It is safe for concurrent use.
type Table struct {
	parameters Parameters
	rows       []row // by counts
}

// row is the noise of one count.
type row struct {
	noises []int // ascending, one or more
	upper  []Key // for each noise but the last, the first key that is not its
}

// Transition is one entry of a table: with this probability, for keys from Lower up to but not Upper, the count gets the
// noise.
type Transition struct {
	Count       int
	Noise       int
	Probability float64
	Lower       float64
	Upper       float64
}

// NewTable makes the table of the parameters. For each count from 1 it takes the distribution with the most entropy over
// the noises that are allowed, among those with mean 0 and a variance of at most the one asked for, as the ptable package
// of R does (Enderle, Giessing and Tent, 2020): most entropy is as hard to guess as can be. Counts so small that a lower
// variance is harder to guess have that lower variance.
//
// The error is a fault of kind Invalid that says what can be had, with fields such as perturbation.variance.
func NewTable(parameters Parameters) (*Table, error) {
	if err := parameters.check(); err != nil {
		return nil, err
	}
	table := &Table{parameters: parameters, rows: []row{{noises: []int{0}}}}
	for count := 1; count <= parameters.LastCount(); count++ {
		noises := parameters.noises(count)
		probabilities, err := parameters.distribution(count, noises)
		if err != nil {
			return nil, fmt.Errorf("noise of count %d: %w", count, err)
		}
		table.rows = append(table.rows, newRow(noises, probabilities))
	}
	return table, nil
}

// noises returns those that a count can get, ascending.
func (p *Parameters) noises(count int) []int {
	var noises []int
	for figure := max(count-p.Maximum, 0); figure <= count+p.Maximum; figure++ {
		if figure == 0 || figure > p.SmallestReleased {
			noises = append(noises, figure-count)
		}
	}
	return noises
}

// stayStep is how much the stay probability gives way at once, and enough what the variance may lack.
const (
	stayStep = 0.05
	enough   = 1e-6
)

// distribution returns the probabilities of the noises of a count.
func (p *Parameters) distribution(count int, noises []int) ([]float64, error) {
	asked := p.stay(count)
	if count <= p.SmallestReleased {
		asked = 0 // it cannot stay
	}
	for step := 0; ; step++ {
		stay := max(asked-stayStep*float64(step), 0)
		e := newEntropy(noises, p.Variance, stay, p.monotone(count))
		probabilities, err := e.most()
		if err != nil || stay == 0 || math.Abs(variance(noises, probabilities)-p.Variance) < enough {
			return probabilities, err
		}
	}
}

// variance returns that of noises with mean 0.
func variance(noises []int, probabilities []float64) float64 {
	var v float64
	for i, noise := range noises {
		v += float64(noise*noise) * probabilities[i]
	}
	return v
}

// newRow cuts the keys into intervals, in the order of the noises.
func newRow(noises []int, probabilities []float64) row {
	r := row{noises: noises, upper: make([]Key, len(noises)-1)}
	var sum float64
	for i := range r.upper {
		sum += probabilities[i]
		upper, ok := FromFloat(sum)
		if !ok { // rounded up to 1
			upper = math.MaxUint64
		}
		r.upper[i] = upper
	}
	return r
}

// Parameters returns those of the table.
func (t *Table) Parameters() Parameters { return t.parameters }

// Noise returns what is added to the count of the cell key. Count 0 gets none; counts above the last row get that of the
// last row.
func (t *Table) Noise(count int64, key Key) int {
	if count <= 0 {
		return 0
	}
	r := &t.rows[min(count, int64(len(t.rows)-1))]
	return r.noises[sort.Search(len(r.upper), func(i int) bool { return key < r.upper[i] })]
}

// Perturb returns the count with its noise, which is never negative. Counts are at most 2⁵³.
func (t *Table) Perturb(count int64, key Key) int64 { return count + int64(t.Noise(count, key)) }

// Transitions returns the table, by counts and noises; the last count stands for all above it. Probabilities are exactly
// those with which a key falls into the interval.
func (t *Table) Transitions() []Transition {
	transitions := []Transition{{Probability: 1, Upper: 1}} // 0 stays 0
	for count, r := range t.rows[1:] {
		var lower Key
		for i, noise := range r.noises {
			width, upper := -lower, 1.0 // up to 2⁶⁴
			if i < len(r.upper) {
				width, upper = r.upper[i]-lower, r.upper[i].Float()
			}
			transitions = append(transitions, Transition{
				Count: count + 1, Noise: noise, Probability: width.Float(), Lower: lower.Float(), Upper: upper,
			})
			lower += width
		}
	}
	return transitions
}
