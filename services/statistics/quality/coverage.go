package quality

import (
	"math"
	"slices"
	"strings"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat/distuv"
)

// Corridor is a flow as both of its ends report it.
type Corridor struct {
	From, To       string  // who reports the exits, and who the entries
	Exits, Entries float64 // not negative
}

// Coverage is how fully a reporter counts the entries, or the exits, of a flow.
//
// Mirror statistics tell only how reporters stand to each other. The measure is the geometric mean of those of the same
// group that report exits: a factor of 0.8 says that the reporter counts eight where they count ten.
type Coverage struct {
	Reporter      string
	Entries       bool    // of entries, else of exits
	Group         int     // from 1: factors compare with those of the same group only
	Corridors     int     // how many of the reporter's corridors the factor rests on
	Coefficient   float64 // of the regression: ln Factor of entries, −ln Factor of exits
	StandardError float64 // of the coefficient; NaN without degrees of freedom
	Factor        float64 // above 0
	Lower, Upper  float64 // the confidence interval of the factor; NaN without degrees of freedom
}

// CoverageFit is a regression of mirror statistics.
type CoverageFit struct {
	Factors             []Coverage // by group, exits before entries, by reporter
	Corridors           int        // how many it rests on
	LeftOut             int        // those where one side reports none
	Groups              int        // sets of reporters that no corridor joins
	DegreesOfFreedom    int
	ResidualStandardErr float64 // of a corridor of weight 1; NaN without degrees of freedom
}

// FitCoverage fits
//
//	ln(entries / exits) of i → j  =  a(j) + b(i),  Σ b = 0
//
// by least squares, each corridor with the weight 1 / (1/exits + 1/entries), the inverse of the variance of the logarithm of
// a ratio of Poisson counts (de Beer, Raymer, van der Erf and van Wissen, Overcoming the problems of inconsistent
// international migration data, Eur. J. Popul. 26, 2010, p. 459). Corridors where a side is 0 are left out.
//
// Corridors that share no reporter of entries or of exits, however indirectly, say nothing of each other: the whole
// regression has no single solution then. Each such group has its own, with Σ b = 0 in it; they share the variance.
// Intervals are of Student's distribution at the level, above 0 and below 1, such as 0.95.
func FitCoverage(corridors []Corridor, level float64) CoverageFit {
	fit := CoverageFit{ResidualStandardErr: math.NaN()}
	var used []Corridor
	for _, c := range corridors {
		if c.Exits > 0 && c.Entries > 0 {
			used = append(used, c)
		}
	}
	fit.Corridors, fit.LeftOut = len(used), len(corridors)-len(used)
	groups := joined(used)
	fit.Groups = len(groups)
	squares := 0.0
	var variances []float64 // of the factors' coefficients, by the residual variance
	for i, group := range groups {
		r := newRegression(group)
		factors, relative := r.solve()
		for _, f := range factors {
			f.Group = i + 1
			fit.Factors = append(fit.Factors, f)
		}
		variances = append(variances, relative...)
		squares += r.squares()
		fit.DegreesOfFreedom += len(group) - r.parameters()
	}
	quantile := math.NaN()
	if fit.DegreesOfFreedom > 0 {
		freedom := float64(fit.DegreesOfFreedom)
		fit.ResidualStandardErr = math.Sqrt(squares / freedom)
		quantile = distuv.StudentsT{Sigma: 1, Nu: freedom}.Quantile((1 + level) / 2)
	}
	for i := range fit.Factors {
		f := &fit.Factors[i]
		f.StandardError = fit.ResidualStandardErr * math.Sqrt(variances[i])
		logarithm := f.Coefficient
		if !f.Entries {
			logarithm = -logarithm
		}
		f.Factor = math.Exp(logarithm)
		f.Lower, f.Upper = math.Exp(logarithm-quantile*f.StandardError), math.Exp(logarithm+quantile*f.StandardError)
	}
	return fit
}

// side is a reporter of entries or of exits.
type side struct {
	reporter string
	entries  bool
}

func (s side) compare(other side) int {
	if s.entries != other.entries {
		if s.entries {
			return 1
		}
		return -1
	}
	return strings.Compare(s.reporter, other.reporter)
}

// joined returns the corridors in groups that share no side, in the order of their first corridors.
func joined(corridors []Corridor) [][]Corridor {
	parent := map[side]side{}
	var root func(side) side
	root = func(s side) side {
		above, known := parent[s]
		if !known || above == s {
			parent[s] = s
			return s
		}
		parent[s] = root(above)
		return parent[s]
	}
	for _, c := range corridors {
		parent[root(side{c.From, false})] = root(side{c.To, true})
	}
	var groups [][]Corridor
	at := map[side]int{}
	for _, c := range corridors {
		r := root(side{c.From, false})
		if _, known := at[r]; !known {
			at[r] = len(groups)
			groups = append(groups, nil)
		}
		groups[at[r]] = append(groups[at[r]], c)
	}
	return groups
}

// regression is that of one group. The first reporter of exits has the coefficient 0 until the end.
type regression struct {
	corridors    []Corridor
	sides        []side // exits first
	at           map[side]int
	count        []int // corridors by side
	coefficients []float64
}

func newRegression(corridors []Corridor) *regression {
	r := &regression{corridors: corridors, at: map[side]int{}}
	for _, c := range corridors {
		for _, s := range []side{{c.From, false}, {c.To, true}} {
			if _, known := r.at[s]; !known {
				r.at[s] = 0
				r.sides = append(r.sides, s)
			}
		}
	}
	slices.SortFunc(r.sides, side.compare)
	for i, s := range r.sides {
		r.at[s] = i
	}
	r.count, r.coefficients = make([]int, len(r.sides)), make([]float64, len(r.sides))
	return r
}

// parameters is how many coefficients are free.
func (r *regression) parameters() int { return len(r.sides) - 1 }

// ends returns the positions of a corridor's sides.
func (r *regression) ends(c Corridor) (from, to int) {
	return r.at[side{c.From, false}], r.at[side{c.To, true}]
}

func weight(c Corridor) float64 { return 1 / (1/c.Exits + 1/c.Entries) }

// residual is what the coefficients leave unexplained.
func (r *regression) residual(c Corridor) float64 {
	from, to := r.ends(c)
	return math.Log(c.Entries/c.Exits) - r.coefficients[from] - r.coefficients[to]
}

func (r *regression) squares() float64 {
	sum := 0.0
	for _, c := range r.corridors {
		sum += weight(c) * r.residual(c) * r.residual(c)
	}
	return sum
}

// refinements is how often the solution is corrected by what it leaves. The normal equations square the condition of the
// problem; the corrections win back what that costs.
const refinements = 3

// solve returns the factors with their coefficients, and the variances of these by the residual variance.
func (r *regression) solve() (factors []Coverage, variances []float64) {
	p := r.parameters()
	normal := mat.NewSymDense(p, nil)
	add := func(i, j int, w float64) {
		if i > 0 && j > 0 {
			normal.SetSym(i-1, j-1, normal.At(i-1, j-1)+w)
		}
	}
	for _, c := range r.corridors {
		from, to := r.ends(c)
		add(from, from, weight(c))
		add(to, to, weight(c))
		add(from, to, weight(c))
		r.count[from]++
		r.count[to]++
	}
	var cholesky mat.Cholesky
	cholesky.Factorize(normal) // positive definite, since the corridors join all sides
	for range refinements {
		right := mat.NewVecDense(p, nil)
		for _, c := range r.corridors {
			from, to := r.ends(c)
			left := weight(c) * r.residual(c)
			for _, i := range []int{from, to} {
				if i > 0 {
					right.SetVec(i-1, right.AtVec(i-1)+left)
				}
			}
		}
		var step mat.VecDense
		_ = cholesky.SolveVecTo(&step, right) // its error only warns of the condition
		for i := range p {
			r.coefficients[i+1] += step.AtVec(i)
		}
	}
	var inverse mat.SymDense
	_ = cholesky.InverseTo(&inverse)
	return r.centred(&inverse)
}

// centred moves the coefficients of exits so that they sum to 0, and those of entries against that.
func (r *regression) centred(covariance mat.Symmetric) (factors []Coverage, variances []float64) {
	exits := 0
	for exits < len(r.sides) && !r.sides[exits].entries {
		exits++
	}
	at := func(i, j int) float64 {
		if i == 0 || j == 0 {
			return 0
		}
		return covariance.At(i-1, j-1)
	}
	mean, meanVariance := 0.0, 0.0
	for i := range exits {
		mean += r.coefficients[i] / float64(exits)
		for j := range exits {
			meanVariance += at(i, j) / float64(exits*exits)
		}
	}
	for i, s := range r.sides {
		withMean := 0.0 // covariance of the coefficient with the mean
		for j := range exits {
			withMean += at(i, j) / float64(exits)
		}
		shift, sign := -mean, -1.0
		if s.entries {
			shift, sign = mean, 1
		}
		r.coefficients[i] += shift
		factors = append(factors, Coverage{Reporter: s.reporter, Entries: s.entries, Corridors: r.count[i], Coefficient: r.coefficients[i]})
		variances = append(variances, max(at(i, i)+sign*2*withMean+meanVariance, 0))
	}
	return factors, variances
}
