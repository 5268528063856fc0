package quality

import "slices"

// Run is a run of periods, by index, both ends included.
type Run struct{ First, Last int32 }

// Len returns how many periods there are in the run.
func (r Run) Len() int { return int(r.Last) - int(r.First) + 1 }

// Runs joins periods that follow each other. They need not be sorted, and one may stand twice.
func Runs(periods []int32) []Run {
	sorted := slices.Clone(periods)
	slices.Sort(sorted)
	var runs []Run
	for _, p := range sorted {
		if n := len(runs); n > 0 && int64(p)-int64(runs[n-1].Last) <= 1 {
			runs[n-1].Last = p
			continue
		}
		runs = append(runs, Run{First: p, Last: p})
	}
	return runs
}

// Gaps returns the runs of periods that are missing between the first and the last one. Where there are figures of every
// fifth year, say, four years without are no gap: one is longer than the median step from one period to the next.
func Gaps(periods []int32) []Run {
	runs := Runs(periods)
	var steps []float64
	for i, run := range runs {
		for range run.Len() - 1 {
			steps = append(steps, 1)
		}
		if i > 0 {
			steps = append(steps, float64(run.First)-float64(runs[i-1].Last))
		}
	}
	usual := Median(steps)
	var gaps []Run
	for i := 1; i < len(runs); i++ {
		gap := Run{First: runs[i-1].Last + 1, Last: runs[i].First - 1}
		if float64(gap.Len()+1) > usual {
			gaps = append(gaps, gap)
		}
	}
	return gaps
}

// ZeroRuns returns the runs of at least n zeros, by position in the series. Those before the first value that is not zero
// are left out: there, nothing has begun.
func ZeroRuns(series []float64, n int) []Run {
	var zeros []int32
	begun := false
	for i, value := range series {
		begun = begun || value != 0
		if begun && value == 0 {
			zeros = append(zeros, int32(i))
		}
	}
	return slices.DeleteFunc(Runs(zeros), func(r Run) bool { return r.Len() < n })
}
