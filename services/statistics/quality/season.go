package quality

import "math"

// Seasonal compares a value with the same season of the years before.
type Seasonal struct {
	Expected float64 // the value, in the unit of the series, that the usual growth from a year before makes
	Ratio    float64 // (value + 1) / (expected + 1)
	Flag     bool
}

// SeasonalRatio compares series[i] with what the value a year before, grown as the other values of the last year grew,
// would be: expected = series[i−s] · median over the s−1 values before i of (x[j]+1)/(x[j−s]+1). The ones keep empty
// periods from deciding. A value is flagged whose ratio is above the factor or below its inverse. s is the number of
// periods in a year, from 1; ok is false where there are fewer than s values before i. With a year of history and no more,
// the growth is taken to be 1.
func SeasonalRatio(series []float64, i, s int, factor float64) (result Seasonal, ok bool) {
	if s < 1 || i < s || i >= len(series) {
		return Seasonal{}, false
	}
	var growth []float64
	for j := max(i-s+1, s); j < i; j++ {
		growth = append(growth, (series[j]+1)/(series[j-s]+1))
	}
	usual := 1.0
	if len(growth) > 0 {
		usual = Median(growth)
	}
	result.Expected = series[i-s] * usual
	result.Ratio = (series[i] + 1) / (result.Expected + 1)
	result.Flag = math.Abs(math.Log(result.Ratio)) > math.Log(factor)
	return result, true
}
