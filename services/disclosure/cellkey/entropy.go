package cellkey

import (
	"errors"
	"math"
	"slices"
)

// entropy is the search for the distribution of noises that has the most (Shannon) entropy
//
//	maximise −Σ p log p  where  Σ p = 1,  Σ p v = 0,  Σ p v² ≤ variance,  p(0) ≥ stay,  p(v) ≤ p(v+1) for v < 0
//
// the last where it is monotone. It is solved by its dual, which has a multiplier for the mean, one for the variance and
// one for staying: given those, the distribution is the exponential family of v, v² and [v = 0], whose logarithms the
// monotone ones pool to their mean where they would fall (isotonic regression: Barlow and Brunk, 1972). The dual is convex
// and smooth, and its gradient is how far the distribution is from what it must be.
type entropy struct {
	features [][multipliers]float64 // of each noise
	targets  [multipliers]float64
	chain    int // how many noises from the first must not fall in probability
	stays    bool
	logs     []float64 // logarithms of the probabilities, pooled, not normalised
	pools    []pool
	p        []float64
	pooled   [][multipliers]float64 // features, averaged over pools
}

// The multipliers of the dual.
const (
	ofMean = iota
	ofVariance
	ofStay
	multipliers
)

// pool is a run of noises of one probability.
type pool struct {
	sum    float64 // of the logarithms
	length int
}

// newEntropy returns the search over the noises, which are ascending and have both signs.
func newEntropy(noises []int, variance, stay float64, monotone bool) *entropy {
	n := len(noises)
	e := &entropy{
		features: make([][multipliers]float64, n), pooled: make([][multipliers]float64, n),
		logs: make([]float64, n), p: make([]float64, n), pools: make([]pool, 0, n), stays: stay > 0,
	}
	scale := math.Max(math.Sqrt(variance), 1) // so that what matters is about 1
	for i, noise := range noises {
		v := float64(noise) / scale
		e.features[i] = [multipliers]float64{ofMean: v, ofVariance: -v * v}
		if noise == 0 {
			e.features[i][ofStay] = 1
		}
	}
	e.targets = [multipliers]float64{ofVariance: -variance / (scale * scale), ofStay: stay}
	if zero := slices.Index(noises, 0); monotone && zero > 0 {
		e.chain = zero + 1
	}
	return e
}

// bounded reports whether a multiplier may not be negative, because what it stands for is a bound.
func bounded(k int) bool { return k != ofMean }

const (
	maxIterations = 200
	precise       = 1e-13 // of the gradient
	tolerable     = 1e-11 // where rounding lets it come no nearer
	leastDamping  = 1e-13
	mostDamping   = 1e6
)

var errEntropy = errors.New("the distribution of most entropy was not found")

// most returns the probabilities, by the projected Newton method (Bertsekas, 1982), damped where it does not lead downhill
// (Levenberg, 1944). It starts from the normal distribution.
func (e *entropy) most() ([]float64, error) {
	x := [multipliers]float64{ofVariance: 0.5}
	value := e.dual(&x)
	best, found := math.Inf(1), make([]float64, len(e.p))
	damping := leastDamping
	for range maxIterations {
		gradient := e.gradient()
		free := e.free(&x, &gradient)
		var size float64
		for k := range multipliers {
			if bounded(k) && gradient[k] > 0 {
				size = max(size, min(gradient[k], x[k])) // at its bound it may be as it is
			} else {
				size = max(size, math.Abs(gradient[k]))
			}
		}
		if size < best {
			best = size
			copy(found, e.p)
		}
		if size < precise {
			break
		}
		next, reached, ok := e.step(&x, &gradient, &free, value, &damping)
		if !ok {
			break // rounding hides what is left to gain
		}
		x, value = next, reached
	}
	if best > tolerable {
		return nil, errEntropy
	}
	return found, nil
}

// step returns multipliers of a lower value, and leaves the distribution that belongs to them. It raises the damping until
// there are some, and lowers it for the next step.
func (e *entropy) step(x, gradient *[multipliers]float64, free *[multipliers]bool, value float64, damping *float64) (next [multipliers]float64, reached float64, ok bool) {
	slack := 1e-15 // what rounding does to the value
	for k := range multipliers {
		slack += 1e-15 * math.Abs(x[k]) * (1 + math.Abs(e.targets[k]))
	}
	hessian := e.hessian()
	for ; *damping < mostDamping; *damping *= 10 {
		direction := newton(&hessian, gradient, free, *damping)
		var slope float64
		for k := range multipliers {
			next[k] = x[k] + direction[k]
			if bounded(k) {
				next[k] = max(next[k], 0)
			}
			slope += gradient[k] * (next[k] - x[k])
		}
		reached = e.dual(&next)
		if slope < 0 && reached <= value+1e-4*slope+slack {
			*damping = max(*damping/100, leastDamping)
			return next, reached, true
		}
	}
	return next, reached, false
}

// dual returns the value at the multipliers, and leaves the distribution that belongs to them.
func (e *entropy) dual(x *[multipliers]float64) float64 {
	for i := range e.features {
		e.logs[i] = 0
		for k := range multipliers {
			e.logs[i] += x[k] * e.features[i][k]
		}
	}
	e.pool()
	top := slices.Max(e.logs)
	var sum float64
	for i, log := range e.logs {
		e.p[i] = math.Exp(log - top)
		sum += e.p[i]
	}
	for i := range e.p {
		e.p[i] /= sum
	}
	value := top + math.Log(sum)
	for k := range multipliers {
		value -= x[k] * e.targets[k]
	}
	return value
}

// pool replaces logarithms that fall along the chain by the mean of their run.
func (e *entropy) pool() {
	e.pools = e.pools[:0]
	for i := range e.chain {
		last := pool{e.logs[i], 1}
		for len(e.pools) > 0 {
			before := e.pools[len(e.pools)-1]
			if before.sum*float64(last.length) <= last.sum*float64(before.length) {
				break
			}
			last = pool{before.sum + last.sum, before.length + last.length}
			e.pools = e.pools[:len(e.pools)-1]
		}
		e.pools = append(e.pools, last)
	}
	copy(e.pooled, e.features)
	first := 0
	for _, run := range e.pools {
		var mean [multipliers]float64
		for i := first; i < first+run.length; i++ {
			for k := range multipliers {
				mean[k] += e.features[i][k] / float64(run.length)
			}
		}
		for i := first; i < first+run.length; i++ {
			e.logs[i], e.pooled[i] = run.sum/float64(run.length), mean
		}
		first += run.length
	}
}

// gradient returns that of the dual: what the distribution has, less what it must.
func (e *entropy) gradient() (gradient [multipliers]float64) {
	for i, p := range e.p {
		for k := range multipliers {
			gradient[k] += p * e.features[i][k]
		}
	}
	for k := range multipliers {
		gradient[k] -= e.targets[k]
	}
	return gradient
}

// free reports which multipliers can move: not those at a bound that it pays to stay at.
func (e *entropy) free(x, gradient *[multipliers]float64) (free [multipliers]bool) {
	for k := range multipliers {
		free[k] = !bounded(k) || x[k] > 0 || gradient[k] < 0
	}
	free[ofStay] = free[ofStay] && e.stays
	return free
}

// hessian returns the second derivatives of the dual: the covariances of the features.
func (e *entropy) hessian() (covariances [multipliers][multipliers]float64) {
	var mean [multipliers]float64
	for i, p := range e.p {
		for k := range multipliers {
			mean[k] += p * e.pooled[i][k]
		}
	}
	for i, p := range e.p {
		for k := range multipliers {
			for l := range multipliers {
				covariances[k][l] += p * (e.pooled[i][k] - mean[k]) * (e.pooled[i][l] - mean[l])
			}
		}
	}
	return covariances
}

// newton returns the direction of Newton's method in the multipliers that are free, damped.
func newton(hessian *[multipliers][multipliers]float64, gradient *[multipliers]float64, free *[multipliers]bool, damping float64) (direction [multipliers]float64) {
	var m [multipliers][multipliers + 1]float64 // the equations, with what they are to give
	for k := range multipliers {
		m[k][k] = 1
		if !free[k] {
			continue
		}
		for l := range multipliers {
			if free[l] {
				m[k][l] = hessian[k][l]
			}
		}
		m[k][k] += damping * (hessian[k][k] + 1e-6)
		m[k][multipliers] = -gradient[k]
	}
	for k := range multipliers { // a positive matrix needs no pivots
		for l := k + 1; l < multipliers; l++ {
			factor := m[l][k] / m[k][k]
			for c := k; c <= multipliers; c++ {
				m[l][c] -= factor * m[k][c]
			}
		}
	}
	for k := multipliers - 1; k >= 0; k-- {
		direction[k] = m[k][multipliers]
		for l := k + 1; l < multipliers; l++ {
			direction[k] -= m[k][l] * direction[l]
		}
		direction[k] /= m[k][k]
	}
	return direction
}
