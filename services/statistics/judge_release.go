package statistics

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/services/statistics/quality"
)

// replaces reports whether what was stored goes where the release does not have it.
func (j *judgement) replaces() bool { return j.header.Action == Replace }

// yearOf returns how many periods of a frequency make a year.
func yearOf(frequency byte) int {
	switch frequency {
	case 'Q':
		return 4
	case 'M':
		return 12
	case 'W':
		return 52
	case 'D':
		return 365
	}
	return 1
}

// shared returns the periods that have figures in both, in order.
func shared(a, b *quality.Grid) []int32 {
	return slices.DeleteFunc(a.Periods(), func(period int32) bool { return b.Total(period).Cells == 0 })
}

func cellsIn(g *quality.Grid, periods []int32) (cells int) {
	for _, period := range periods {
		cells += g.Total(period).Cells
	}
	return cells
}

func (j *judgement) missingPeriods(r *Rule) []weighed {
	var findings []weighed
	for _, frequency := range j.before.Frequencies() {
		before, now, what := j.before.Grid(frequency), j.after.Grid(frequency), "are replaced by nothing"
		missing := slices.DeleteFunc(before.Periods(), func(period int32) bool { return now.Total(period).Cells > 0 })
		if !j.replaces() {
			now, what = j.release.Grid(frequency), "are not in the release, which has the periods around them"
			missing = j.leftOut(frequency, r.threshold("cover"))
		}
		for _, run := range quality.Runs(missing) {
			var lost quality.Mass
			emptied := 0
			for period := run.First; period <= run.Last; period++ {
				lost.Add(before.Total(period))
				emptied += now.Total(period).Missing
			}
			if periods := now.Periods(); len(periods) > 0 && periods[len(periods)-1] < run.First && !j.replaces() {
				what = "are not in the release, which otherwise has nearly all that is stored"
			}
			said := what
			if emptied > 0 {
				said = fmt.Sprintf("lose their values: the release has %d observations there, and none with a value", emptied)
			}
			first, last := Frequency(frequency).Period(run.First).String(), Frequency(frequency).Period(run.Last).String()
			f := numbers(Finding{
				Column: "TIME_PERIOD", Period: first, Values: []string{first, last},
				Message: fmt.Sprintf("%d stored figures of %s, %s in sum, %s", lost.Cells, runText(frequency, run), figureText(lost.Sum), said),
			}, lost.Sum, 0, 0)
			findings = append(findings, weighed{Finding: f, weight: float64(lost.Cells), subject: first})
		}
	}
	return findings
}

// again returns how many of the stored figures of some periods a merged release has once more.
func (j *judgement) again(frequency byte, periods []int32) int {
	cells := cellsIn(j.release.Grid(frequency), periods)
	for _, period := range periods {
		cells -= j.addedIn[Frequency(frequency).Period(period)]
	}
	return cells
}

// leftOut returns the stored periods that a merged release should have: those between its first and last one, where it has
// more of them than it leaves out, and a year or more at the end, where it has nearly all else. What it leaves out at the
// start cannot be judged, since many releases cover the newest years only; nor can a release of what is not stored yet, such as
// that of a further agency, whose figures are of other months.
func (j *judgement) leftOut(frequency byte, cover float64) []int32 {
	before, release := j.before.Grid(frequency), j.release.Grid(frequency)
	both := shared(release, before)
	periods := release.Periods()
	if len(both) < 2 {
		return nil
	}
	held := float64(j.again(frequency, both)) / float64(cellsIn(before, both))
	var inner, tail []int32
	for _, period := range before.Periods() {
		switch {
		case release.Total(period).Cells > 0 || period < periods[0]:
		case period < periods[len(periods)-1]:
			inner = append(inner, period)
		default:
			tail = append(tail, period)
		}
	}
	if held < cover || len(inner) > len(both) {
		inner = nil
	}
	same := float64(j.unchanged) >= 0.8*float64(j.unchanged+j.changed)
	if held < max(cover, 0.8) || !same || len(tail) < yearOf(frequency) || 2*len(both) < len(before.Periods()) {
		tail = nil
	}
	return append(inner, tail...)
}

func (j *judgement) gaps() []weighed {
	var findings []weighed
	for _, frequency := range j.after.Frequencies() {
		stored := j.before.Grid(frequency).Observed()
		for _, gap := range quality.Gaps(j.after.Grid(frequency).Observed()) {
			inside := len(stored) > 0 && stored[0] <= gap.First && gap.Last <= stored[len(stored)-1]
			if inside { // it was there already, or its figures are lost, which is another rule's
				continue
			}
			first, last := Frequency(frequency).Period(gap.First).String(), Frequency(frequency).Period(gap.Last).String()
			f := Finding{
				Column: "TIME_PERIOD", Period: first, Values: []string{first, last},
				Message: fmt.Sprintf("there are no figures of %s, but of the periods before and after", runText(frequency, gap)),
			}
			findings = append(findings, weighed{Finding: f, weight: float64(gap.Len()), subject: first})
		}
	}
	return findings
}

// mass is what stands under a code.
type mass struct {
	code string
	quality.Mass
}

// cut returns the masses under the codes of a dimension that are no part of another, or that have no part, among those with
// figures in the period. Without a codelist, all codes are parts of _T.
func (j *judgement) cut(g *quality.Grid, dimension int, codes []string, period int32, leaves bool) []mass {
	all := make([]mass, 0, len(codes))
	for _, code := range codes {
		if m := g.At(dimension, code, period); m.Cells > 0 {
			all = append(all, mass{code, m})
		}
	}
	tree := j.flow.Dimensions[dimension]
	present := make(map[string]bool, len(all))
	for _, m := range all {
		present[m.code] = true
	}
	const total = "_T"
	if tree == nil {
		if !present[total] || len(all) == 1 {
			return all
		}
		return slices.DeleteFunc(all, func(m mass) bool { return (m.code == total) == leaves })
	}
	part, whole := map[string]bool{}, map[string]bool{}
	for _, m := range all {
		for ancestor := range tree.Chain(m.code) {
			if ancestor != m.code && present[ancestor] {
				part[m.code], whole[ancestor] = true, true
			}
		}
		if i, ok := tree.positions[m.code]; ok {
			for _, covered := range tree.list.Codes[i].Covers {
				if present[covered] {
					part[covered], whole[m.code] = true, true
				}
			}
		}
	}
	return slices.DeleteFunc(all, func(m mass) bool {
		if leaves {
			return whole[m.code]
		}
		return part[m.code]
	})
}

func sumOf(masses []mass) (sum float64) {
	for _, m := range masses {
		sum += m.Sum
	}
	return sum
}

// dimensions returns the positions of those that a rule names; none: of all but FREQ.
func (j *judgement) dimensions(r *Rule) []int {
	var positions []int
	for i, d := range j.flow.Structure.Dimensions {
		if i > 0 && (len(r.Dimensions) == 0 || slices.Contains(r.Dimensions, d.ID)) {
			positions = append(positions, i)
		}
	}
	return positions
}

// onlyAdds reports whether an upload adds to what is stored of a period and repeats none of it, as that of an agency does
// whose sections nobody has sent before. Its figures are no revision of the total.
func (j *judgement) onlyAdds(period Period) bool {
	return !j.replaces() && j.addedIn[period] == j.release.Grid(byte(period.Frequency)).Total(period.Index).Cells
}

func (j *judgement) totals(ctx context.Context, r *Rule) ([]weighed, error) {
	if len(r.Dimensions) > 0 || !r.Filter.IsTrue() {
		return j.groupTotals(ctx, r)
	}
	var findings []weighed
	for _, frequency := range j.before.Frequencies() {
		before, after := j.before.Grid(frequency), j.after.Grid(frequency)
		if float64(before.Cells()) < r.threshold("cells") {
			continue
		}
		both := shared(before, after)
		codesBefore, codesAfter := j.codes(before), j.codes(after)
		for _, period := range both[:max(len(both)-int(r.threshold("recent")), 0)] {
			if j.onlyAdds(Frequency(frequency).Period(period)) {
				continue
			}
			was, is := before.Total(period), after.Total(period)
			least := quality.Revise(was.Sum, is.Sum)
			for _, d := range j.dimensions(r) {
				if was == is || before.Fine(d) || after.Fine(d) {
					continue
				}
				a, b := sumOf(j.cut(before, d, codesBefore[d], period, false)), sumOf(j.cut(after, d, codesAfter[d], period, false))
				if by := quality.Revise(a, b); by.Factor < least.Factor {
					least, was.Sum, is.Sum = by, a, b
				}
			}
			if f, ok := totalFinding(r, Frequency(frequency).Period(period), "", was.Sum, is.Sum); ok {
				findings = append(findings, f)
			}
		}
	}
	return findings, nil
}

// codes returns the codes of each dimension.
func (j *judgement) codes(g *quality.Grid) [][]string {
	codes := make([][]string, len(j.flow.Structure.Dimensions))
	for i := range codes {
		codes[i] = g.Codes(i)
	}
	return codes
}

func (j *judgement) groupTotals(ctx context.Context, r *Rule) ([]weighed, error) {
	groups, err := j.sums(ctx, j.flow, r.Filter, r.Dimensions, nil, true)
	if err != nil {
		return nil, err
	}
	var findings []weighed
	for id, group := range groups {
		if float64(group.cells) < r.threshold("cells") {
			continue
		}
		for period, at := range group.periods {
			if at.before.Cells == 0 || at.after.Cells == 0 {
				continue
			}
			if f, ok := totalFinding(r, id.frequency.Period(period), id.text, at.before.Sum, at.after.Sum); ok {
				findings = append(findings, f)
			}
		}
	}
	return findings, nil
}

func totalFinding(r *Rule, period Period, group string, before, after float64) (weighed, bool) {
	revision := quality.Revise(before, after)
	if revision.Factor <= r.threshold("factor") || math.Abs(revision.Absolute) < r.threshold("absolute") {
		return weighed{}, false
	}
	of := period.String()
	values := []string{of}
	if group != "" {
		of += " of " + group
		values = append(values, group)
	}
	change := "from 0"
	if before != 0 {
		change = fmt.Sprintf("by %+.1f %%", 100*revision.Relative)
	}
	f := numbers(Finding{
		Period: period.String(), Values: values,
		Message: fmt.Sprintf("the sum of %s changes %s, from %s to %s", of, change, figureText(before), figureText(after)),
	}, before, after, r.threshold("factor"))
	return weighed{Finding: f, weight: math.Abs(revision.Absolute), subject: values[0] + "\x00" + group}, true
}

func (j *judgement) breakdowns(ctx context.Context, r *Rule) ([]weighed, error) {
	var findings []weighed
	for _, frequency := range j.before.Frequencies() {
		before, now := j.before.Grid(frequency), j.after.Grid(frequency)
		if !j.replaces() {
			now = j.release.Grid(frequency)
		}
		both := shared(before, now)
		codesBefore, codesNow := j.codes(before), j.codes(now)
		lost := map[int][]int32{} // the periods in which a dimension has collapsed
		was, is := map[int]float64{}, map[int]float64{}
		over := []int{}
		for _, d := range j.dimensions(r) {
			if before.Fine(d) || now.Fine(d) {
				continue
			}
			for _, period := range both {
				old, left := j.spread(before, d, codesBefore[d], period), j.spread(now, d, codesNow[d], period)
				if !j.replaces() && !j.takesOver(before, now, d, codesNow[d], period, old.Rest-left.Rest) {
					continue // a merge of what stands under one code
				}
				if quality.Collapsed(old, left, 1, r.threshold("keep"), r.threshold("factor")) {
					lost[d] = append(lost[d], period)
					was[d], is[d] = was[d]+old.Rest, is[d]+left.Rest
				}
			}
			if was[d] >= r.threshold("absolute") && len(lost[d]) > 0 {
				over = append(over, d)
			}
		}
		for _, d := range over {
			collapsed := lost[d]
			if !j.replaces() {
				again, err := j.repeats(ctx, r, &repetition{
					frequency: Frequency(frequency), periods: collapsed, over: over, dimension: d, wanted: filter.True(),
					isStored: j.tops(before, d, codesBefore[d]), isReleased: j.tops(now, d, codesNow[d]),
				})
				if err != nil {
					return nil, err
				}
				if !again {
					continue // other figures, which happen to have a similar sum
				}
			}
			runs := quality.Runs(collapsed)
			id := j.flow.Structure.Dimensions[d].ID
			first, last := Frequency(frequency).Period(collapsed[0]).String(), Frequency(frequency).Period(collapsed[len(collapsed)-1]).String()
			codes := j.used(now, d, codesNow[d], collapsed)
			f := numbers(Finding{
				Column: id, Period: first, Values: append([]string{first, last}, codes[:min(len(codes), maxNamed)]...),
				Message: fmt.Sprintf("the breakdown by %s is lost in %d periods, the first run being %s, while the totals hold: of %d codes with figures there are left %s",
					id, len(collapsed), runText(frequency, runs[0]), len(j.used(before, d, codesBefore[d], collapsed)), shownList(codes)),
			}, was[d], is[d], r.threshold("keep")*was[d])
			findings = append(findings, weighed{Finding: f, weight: was[d], subject: id})
		}
	}
	return findings, nil
}

// tops returns which codes of a dimension are no parts of others in a period.
func (j *judgement) tops(g *quality.Grid, dimension int, codes []string) func(code string, period int32) bool {
	known := map[int32]map[string]bool{}
	return func(code string, period int32) bool {
		if known[period] == nil {
			known[period] = map[string]bool{}
			for _, m := range j.cut(g, dimension, codes, period, false) {
				known[period][m.code] = true
			}
		}
		return known[period][code]
	}
}

// takesOver reports whether the code with the largest figure has at least half of what is lost elsewhere besides what it
// had before.
func (j *judgement) takesOver(before, now *quality.Grid, dimension int, codes []string, period int32, lost float64) bool {
	var largest mass
	for _, m := range j.cut(now, dimension, codes, period, true) {
		if m.Sum > largest.Sum {
			largest = m
		}
	}
	return largest.Sum-before.At(dimension, largest.code, period).Sum >= lost/2
}

// used returns the codes that have figures in any of the periods.
func (j *judgement) used(g *quality.Grid, dimension int, codes []string, periods []int32) []string {
	var used []string
	for _, code := range codes {
		if g.Within(dimension, code, periods).Cells > 0 {
			used = append(used, code)
		}
	}
	return used
}

// spread says how the figures of a period are spread over the parts of a dimension. Its total is that of the codes that are
// no parts, so that a stored total holds where its parts are gone.
func (j *judgement) spread(g *quality.Grid, dimension int, codes []string, period int32) quality.Spread {
	leaves := j.cut(g, dimension, codes, period, true)
	figures := make([]float64, len(leaves))
	for i, m := range leaves {
		figures[i] = m.Sum
	}
	s := quality.SpreadOf(figures)
	s.Total = sumOf(j.cut(g, dimension, codes, period, false))
	return s
}

// otherNames are codes of a dimension under which a merge adds, and those with stored figures that it does not have.
type otherNames struct {
	dimension            int
	missing, fresh       []string
	sumMissing, sumFresh float64
}

func (j *judgement) countedTwice(ctx context.Context, r *Rule) ([]weighed, error) {
	if j.replaces() {
		return nil, nil
	}
	var findings []weighed
	for _, frequency := range j.before.Frequencies() {
		before, release := j.before.Grid(frequency), j.release.Grid(frequency)
		both := shared(release, before)
		stored := 0.0
		for _, period := range both {
			stored += before.Total(period).Sum
		}
		var names []otherNames
		over := []int{}
		for _, d := range j.dimensions(r) {
			if before.Fine(d) || release.Fine(d) {
				continue
			}
			n := otherNames{dimension: d}
			n.missing, _, n.sumMissing = onlyIn(before, release, d, both)
			n.fresh, _, n.sumFresh = onlyIn(release, before, d, both)
			if len(n.missing) == 0 || len(n.fresh) == 0 || n.sumFresh < r.threshold("absolute") || n.sumFresh < r.threshold("share")*stored || quality.Revise(n.sumMissing, n.sumFresh).Factor > 1.25 {
				continue
			}
			names, over = append(names, n), append(over, d)
		}
		for _, n := range names {
			id := j.flow.Structure.Dimensions[n.dimension].ID
			again, err := j.repeats(ctx, r, &repetition{
				frequency: Frequency(frequency), periods: both, over: over, dimension: n.dimension, wanted: filter.In(id, n.missing...),
				isStored:   func(code string, _ int32) bool { return slices.Contains(n.missing, code) },
				isReleased: func(code string, _ int32) bool { return slices.Contains(n.fresh, code) },
			})
			if err != nil {
				return nil, err
			}
			if !again {
				continue
			}
			f := numbers(Finding{
				Column: id, Values: slices.Concat(n.missing[:min(len(n.missing), maxNamed)], n.fresh[:min(len(n.fresh), maxNamed)]),
				Message: fmt.Sprintf("figures of %s under %s %s come beside stored ones of %s under %s, which the release does not have: both would count",
					figureText(n.sumFresh), id, shownList(n.fresh), figureText(n.sumMissing), shownList(n.missing)),
			}, n.sumMissing, n.sumMissing+n.sumFresh, r.threshold("share")*stored)
			findings = append(findings, weighed{Finding: f, weight: n.sumFresh, subject: id})
		}
	}
	return findings, nil
}

// onlyIn returns the codes that have figures in a and none in b, in the periods, and the sum of these figures.
func onlyIn(a, b *quality.Grid, dimension int, periods []int32) (codes []string, some bool, sum float64) {
	for _, code := range a.Codes(dimension) {
		if m := a.Within(dimension, code, periods); m.Cells > 0 && b.Within(dimension, code, periods).Cells == 0 {
			codes = append(codes, code)
			sum += m.Sum
		}
	}
	return codes, len(codes) > 0, sum
}

func (j *judgement) misplaced(r *Rule) []weighed {
	var findings []weighed
	for _, frequency := range j.before.Frequencies() {
		before, release := j.before.Grid(frequency), j.release.Grid(frequency)
		periods := release.Periods()
		cells := release.Cells()
		if float64(cells) < r.threshold("cells") || float64(before.Cells()) < r.threshold("cells") {
			continue
		}
		stored := before.Periods()
		for _, d := range j.dimensions(r) {
			if release.Fine(d) || before.Fine(d) {
				continue
			}
			strange := map[string]int{} // not known here, by code: how many cells
			for _, code := range release.Codes(d) {
				if m := release.Within(d, code, periods); m.Cells > 0 && before.Within(d, code, stored).Cells == 0 {
					strange[code] = m.Cells
				}
			}
			for other := 1; other < len(j.flow.Structure.Dimensions) && len(strange) > 0; other++ {
				if other == d || before.Fine(other) {
					continue
				}
				misplaced, codes := 0, []string(nil)
				for _, code := range release.Codes(d) {
					if strange[code] > 0 && before.Within(other, code, stored).Cells > 0 {
						misplaced += strange[code]
						codes = append(codes, code)
					}
				}
				if misplaced == 0 || float64(misplaced) < r.threshold("share")*float64(cells) {
					continue
				}
				id, owner := j.flow.Structure.Dimensions[d].ID, j.flow.Structure.Dimensions[other].ID
				f := numbers(Finding{
					Column: id, Values: append([]string{owner}, codes[:min(len(codes), maxNamed)]...),
					Message: fmt.Sprintf("%d of %d figures have in %s a code of %s: %s", misplaced, cells, id, owner, shownList(codes)),
				}, 0, float64(misplaced), r.threshold("share")*float64(cells))
				findings = append(findings, weighed{Finding: f, weight: float64(misplaced), subject: id})
			}
		}
	}
	return findings
}

func (j *judgement) lostCodes(r *Rule) []weighed {
	if !j.replaces() {
		return nil
	}
	var findings []weighed
	for _, frequency := range j.before.Frequencies() {
		before, after := j.before.Grid(frequency), j.after.Grid(frequency)
		both := shared(before, after)
		codesBefore, codesAfter := j.codes(before), j.codes(after)
		for _, d := range j.dimensions(r) {
			if before.Fine(d) || after.Fine(d) {
				continue
			}
			was, is, lost := 0.0, 0.0, map[string]float64{}
			for _, period := range both {
				for _, m := range j.cut(before, d, codesBefore[d], period, true) {
					was += m.Sum
					lost[m.code] += m.Sum
				}
				is += sumOf(j.cut(after, d, codesAfter[d], period, true))
			}
			id := j.flow.Structure.Dimensions[d].ID
			for _, code := range codesBefore[d] {
				sum := lost[code]
				if sum <= 0 || sum < r.threshold("share")*was || sum < r.threshold("absolute") || was-is < sum/2 || after.Within(d, code, both).Cells > 0 {
					continue
				}
				f := numbers(Finding{
					Column: id, Values: []string{code},
					Message: fmt.Sprintf("%s %q, with figures of %s before, has none any more, and no other code has them", id, shown(code), figureText(sum)),
				}, sum, 0, r.threshold("share")*was)
				findings = append(findings, weighed{Finding: f, weight: sum, subject: id + "\x00" + code})
			}
		}
	}
	return findings
}

func (j *judgement) relabelled(r *Rule) []weighed {
	if !j.replaces() {
		return nil
	}
	var findings []weighed
	for _, frequency := range j.before.Frequencies() {
		before, after := j.before.Grid(frequency), j.after.Grid(frequency)
		both := shared(before, after)
		for _, d := range j.dimensions(r) {
			gone, some, was := onlyIn(before, after, d, both)
			fresh, _, is := onlyIn(after, before, d, both)
			if !some {
				continue
			}
			id := j.flow.Structure.Dimensions[d].ID
			f := numbers(Finding{
				Column: id, Values: slices.Concat(gone[:min(len(gone), maxNamed)], fresh[:min(len(fresh), maxNamed)]),
				Message: fmt.Sprintf("%s: %s, with %s in sum, stands there no more; new is %s, with %s", id, shownList(gone), figureText(was), newCodes(fresh), figureText(is)),
			}, was, is, 0)
			findings = append(findings, weighed{Finding: f, weight: was, subject: id})
		}
	}
	return findings
}

func newCodes(codes []string) string {
	if len(codes) == 0 {
		return "nothing"
	}
	return shownList(codes)
}

func (j *judgement) holes(r *Rule) []weighed {
	if j.replaces() {
		return nil
	}
	var findings []weighed
	for _, frequency := range j.before.Frequencies() {
		before, release := j.before.Grid(frequency), j.release.Grid(frequency)
		both := shared(release, before)
		stored, again := float64(cellsIn(before, both)), float64(j.again(frequency, both))
		added := float64(cellsIn(release, both)) - again
		if len(both) < 2 || stored < r.threshold("cells") || again >= r.threshold("cover")*stored || added > again ||
			float64(j.changed) > r.threshold("revised")*again || !j.hasAllCodes(before, release, both, r.threshold("rest")) {
			continue
		}
		first, last := Frequency(frequency).Period(both[0]).String(), Frequency(frequency).Period(both[len(both)-1]).String()
		f := numbers(Finding{
			Period: first, Values: []string{first, last},
			Message: fmt.Sprintf("the release has %s of the %s figures that are stored of its %d periods from %s to %s, although it has all codes: rows are lost",
				figureText(again), figureText(stored), len(both), first, last),
		}, stored, again, r.threshold("cover")*stored)
		findings = append(findings, weighed{Finding: f, weight: stored, subject: first})
	}
	return findings
}

// hasAllCodes reports whether the release has figures under codes that hold all stored figures but a share.
func (j *judgement) hasAllCodes(before, release *quality.Grid, periods []int32, rest float64) bool {
	for d := 1; d < len(j.flow.Structure.Dimensions); d++ {
		if before.Fine(d) || release.Fine(d) {
			continue
		}
		all, absent := 0.0, 0.0
		for _, code := range before.Codes(d) {
			m := before.Within(d, code, periods)
			all += m.Sum
			if release.Within(d, code, periods).Cells == 0 {
				absent += m.Sum
			}
		}
		if absent > rest*all {
			return false
		}
	}
	return true
}

func (j *judgement) revisions(r *Rule) []weighed {
	stored := 0
	for _, frequency := range j.before.Frequencies() {
		stored += j.before.Grid(frequency).Cells()
	}
	l := j.largest
	size := math.Abs(finite(l.After.Value) - finite(l.Before.Value))
	touched := j.changed + j.deleted + j.emptied
	if touched == 0 || float64(touched) < r.threshold("share")*float64(stored) || size < r.threshold("absolute") {
		return nil
	}
	f := Finding{
		Message: fmt.Sprintf("of %d stored figures %d are revised and %d deleted; %d are new", stored, j.changed, j.deleted, j.added),
	}
	if j.emptied > 0 {
		f.Message += fmt.Sprintf("; %d stay as observations without a value", j.emptied)
	}
	if j.changed > 0 {
		period := j.flowPeriod(l.Key, l.Period)
		f = numbers(f, l.Before.Value, l.After.Value, r.threshold("absolute"))
		f.Period, f.Values = period, []string{j.keyText(l.Key), period}
		f.Message += fmt.Sprintf("; the largest revision is that of %s in %s, from %s to %s", j.keyText(l.Key), period, figureText(l.Before.Value), figureText(l.After.Value))
	}
	return []weighed{{Finding: f}}
}

func (j *judgement) flowPeriod(key []uint32, period int32) string {
	return Frequency(j.dictionary.Text(0, key[0])[0]).Period(period).String()
}
