package quality

import "math"

// Heap says how many of some counts end in 0 or 5.
type Heap struct {
	N     int     // counts that were looked at
	Share float64 // of them that end in 0 or 5, from 0 to 1; NaN where N is 0
	P     float64 // the probability of as many or more among N counts whose last digits are evenly spread; 1 where N is 0
}

// Heaping counts the values that end in 0 or 5, and compares with the fifth that do so where last digits are evenly
// spread, by the upper tail of the binomial distribution. Figures that were estimated, or rounded to a multiple of five,
// heap there (Myers, Trans. Actuar. Soc. Am. 41, 1940, of ages). Values that are no whole numbers, or below least, are left
// out: last digits of small counts are not evenly spread.
func Heaping(values []float64, least float64) Heap {
	d := Digits{Least: least}
	for _, value := range values {
		d.Add(value)
	}
	return d.Heap()
}

// Digits counts last digits, for [Heaping] of values that come one by one.
type Digits struct {
	Least     float64 // smaller values are left out
	n, heaped int
}

// Add looks at a value.
func (d *Digits) Add(value float64) {
	const exact = 1 << 53 // above, not every whole number is there
	if !(value >= d.Least && value < exact) || value != math.Trunc(value) {
		return
	}
	d.n++
	if int64(value)%5 == 0 {
		d.heaped++
	}
}

// Heap returns what the values that were added come to.
func (d *Digits) Heap() Heap {
	h := Heap{N: d.n, Share: math.NaN(), P: 1}
	if d.n > 0 {
		h.Share = float64(d.heaped) / float64(d.n)
		h.P = binomialUpper(d.n, d.heaped, 0.2)
	}
	return h
}

// binomialUpper returns P(X ≥ k) of a binomial distribution. It sums from the largest term on, so that small
// probabilities keep their digits.
func binomialUpper(n, k int, p float64) float64 {
	if k <= 0 {
		return 1
	}
	if float64(k) <= float64(n)*p { // the tail is the larger part: take the other
		return 1 - binomialUpper(n, n-k+1, 1-p)
	}
	term := math.Exp(logChoose(n, k) + float64(k)*math.Log(p) + float64(n-k)*math.Log1p(-p))
	sum := 0.0
	for i := k; i <= n && term > sum*1e-18; i++ {
		sum += term
		term *= float64(n-i) / float64(i+1) * p / (1 - p)
	}
	return min(sum, 1)
}

func logChoose(n, k int) float64 {
	a, _ := math.Lgamma(float64(n + 1))
	b, _ := math.Lgamma(float64(k + 1))
	c, _ := math.Lgamma(float64(n - k + 1))
	return a - b - c
}
