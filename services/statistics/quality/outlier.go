// Package quality holds the measures that a statistics office checks its figures by. They are pure functions of numbers:
// what they are of, and what follows from them, is said by the rules of whoever calls.
//
// A series is a slice with one number a period, the oldest first, in the unit of the figures. Counts are not negative; a
// number that is not finite makes every result that depends on it NaN, and no flag.
package quality

import (
	"math"
	"slices"
)

// normalScale makes the median absolute deviation an estimate of the standard deviation of a normal distribution.
const normalScale = 1.4826

// Outlier says where one value stands among others.
type Outlier struct {
	Median float64 // of the others and itself, in the unit of the series
	Scale  float64 // of their spread, in the unit of the series: 1.4826 times the median absolute deviation
	Score  float64 // how many scales, without sign but for ModifiedZ, the value is from the median; infinite where the scale is 0
	Flag   bool
}

// Hampel compares each value with the median of the window of k values before and after it, which is shorter at both
// ends: result[i] is about series[i]. A value is flagged that is more than t scales from the median (Hampel, The influence
// curve and its role in robust estimation, J. Am. Stat. Assoc. 69, 1974). A usual choice is k = 3, t = 3. k below 1 is 1.
func Hampel(series []float64, k int, t float64) []Outlier {
	k = max(k, 1)
	result := make([]Outlier, len(series))
	for i, value := range series {
		window := slices.Clone(series[max(i-k, 0):min(i+k+1, len(series))])
		median := Median(window)
		for j := range window {
			window[j] = math.Abs(window[j] - median)
		}
		o := Outlier{Median: median, Scale: normalScale * Median(window)}
		distance := math.Abs(value - median)
		o.Score, o.Flag = score(distance, o.Scale), distance > t*o.Scale
		result[i] = o
	}
	return result
}

// ModifiedZ gives the modified z-score of each value, 0.6745 (x − median) / MAD, and flags one whose size is above the
// limit; a usual choice is 3.5 (Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993, section 3.1). Where more
// than half of the values are equal, so that the MAD is 0, the mean absolute deviation takes its place, as
// (x − median) / (1.253314 mean AD); where that is 0 too, all values are equal and all scores 0.
func ModifiedZ(series []float64, limit float64) []Outlier {
	const meanScale = 1.253314 // √(π/2)
	median := Median(slices.Clone(series))
	deviations := make([]float64, len(series))
	sum := 0.0
	for i, value := range series {
		deviations[i] = math.Abs(value - median)
		sum += deviations[i]
	}
	scale := Median(deviations) / 0.6745
	if scale == 0 {
		scale = meanScale * sum / float64(max(len(series), 1))
	}
	result := make([]Outlier, len(series))
	for i, value := range series {
		o := Outlier{Median: median, Scale: scale}
		if scale != 0 {
			o.Score = (value - median) / scale
		}
		o.Flag = math.Abs(o.Score) > limit
		result[i] = o
	}
	return result
}

func score(distance, scale float64) float64 {
	switch {
	case distance == 0:
		return 0
	case scale == 0:
		return math.Inf(1)
	}
	return distance / scale
}

// Median sorts the values and returns their median: the mean of the middle two where their number is even, NaN where there
// are none or one is NaN.
func Median(values []float64) float64 {
	slices.Sort(values) // NaN first
	n := len(values)
	switch {
	case n == 0 || math.IsNaN(values[0]):
		return math.NaN()
	case n%2 == 1:
		return values[n/2]
	}
	return (values[n/2-1] + values[n/2]) / 2
}
