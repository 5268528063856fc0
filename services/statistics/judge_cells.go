package statistics

import (
	"fmt"
	"math"
	"strings"

	"github.com/comity-federation/comity/services/statistics/quality"
)

// heaping looks at the last digits of the figures of the upload.
func (j *judgement) heaping(r *Rule) []weighed {
	groups := map[string]*quality.Digits{}
	t, least := j.upload, r.threshold("least")
	for s := range t.SeriesCount() {
		key := t.Key(s)
		text := func(component string) string {
			d := t.structure.Dimension(component)
			return t.dictionary.Text(d, key[d])
		}
		if !r.Filter.Match(text) {
			continue
		}
		texts := make([]string, len(r.Dimensions))
		for i, id := range r.Dimensions {
			texts[i] = text(id)
		}
		id := strings.Join(texts, ".")
		digits := groups[id]
		if digits == nil {
			if len(groups) >= maxGroups {
				continue
			}
			digits = &quality.Digits{Least: least}
			groups[id] = digits
		}
		for _, cell := range t.Track(s).Cells {
			digits.Add(cell.Value)
		}
	}
	var findings []weighed
	for id, digits := range groups {
		h := digits.Heap()
		if float64(h.N) < r.threshold("count") || h.P >= r.threshold("probability") || h.Share <= r.threshold("share") {
			continue
		}
		of := ""
		if id != "" {
			of = " of " + id
		}
		f := numbers(Finding{
			Column: "OBS_VALUE", Values: []string{fmt.Sprint(h.N), fmt.Sprintf("%.4g", h.Share), fmt.Sprintf("%.3g", h.P)},
			Message: fmt.Sprintf("of %d figures%s from %s on, %.1f %% end in 0 or 5, where a fifth would: they were estimated or rounded (p = %.2g)", h.N, of, figureText(least), 100*h.Share, h.P),
		}, 0.2, h.Share, r.threshold("share"))
		findings = append(findings, weighed{Finding: f, weight: float64(h.N) * h.Share, subject: id})
	}
	return findings
}

// parts compares figures of the upload with the sums of their parts in it.
func (j *judgement) parts(r *Rule) []weighed {
	var findings []weighed
	for _, d := range j.dimensions(r) {
		if tree := j.flow.Dimensions[d]; tree != nil && j.hasWholes(tree, d) {
			findings = append(findings, j.partsOf(r, d, tree)...)
		}
	}
	return findings
}

// hasWholes reports whether the upload has both a code of the dimension and a part of it.
func (j *judgement) hasWholes(tree *Hierarchy, dimension int) bool {
	for code := range j.upload.dictionary.Len(dimension) {
		text := j.upload.dictionary.Text(dimension, uint32(code))
		for ancestor := range tree.Chain(text) {
			if _, ok := j.upload.dictionary.Find(dimension, ancestor); ok && ancestor != text {
				return true
			}
		}
	}
	return false
}

// partSums are the sums of the parts of one series, by the position of its cells.
type partSums struct {
	sums    []float64
	count   []int
	missing []bool // some part has no value
}

func (j *judgement) partsOf(r *Rule, d int, tree *Hierarchy) []weighed {
	t := j.upload
	wholes := map[int]*partSums{}
	// The series with another code of the dimension and everything else the same, if there is one. Tables look series up
	// by their codes, so the key is changed in place and back.
	key := make([]uint32, len(t.structure.Dimensions))
	sibling := func(code string) (int, bool) {
		number, ok := t.dictionary.Find(d, code)
		if !ok {
			return 0, false
		}
		was := key[d]
		key[d] = number
		defer func() { key[d] = was }()
		return t.number(key)
	}
	for s := range t.SeriesCount() {
		copy(key, t.Key(s))
		code := t.dictionary.Text(d, key[d])
		if !r.Filter.Match(func(component string) string {
			at := t.structure.Dimension(component)
			return t.dictionary.Text(at, key[at])
		}) {
			continue
		}
		whole, ok := j.wholeOf(tree, code, sibling)
		if !ok {
			continue
		}
		sums := wholes[whole]
		if sums == nil {
			n := t.Track(whole).Len()
			sums = &partSums{sums: make([]float64, n), count: make([]int, n), missing: make([]bool, n)}
			wholes[whole] = sums
		}
		sums.add(t.Track(whole), t.Track(s))
	}
	var findings []weighed
	id := t.structure.Dimensions[d].ID
	for whole, parts := range wholes {
		track := t.Track(whole)
		for i, cell := range track.Cells {
			if parts.count[i] == 0 || !cell.Valued() {
				continue
			}
			room := r.threshold("relative")*math.Abs(cell.Value) + float64(parts.count[i])
			over := parts.sums[i] - finite(cell.Value)
			if over <= room && (r.threshold("complete") == 0 || parts.missing[i] || -over <= room) {
				continue
			}
			copy(key, t.Key(whole))
			period := t.Frequency(whole).Period(track.Periods[i]).String()
			text := make([]string, len(key))
			for k, code := range key {
				text[k] = t.dictionary.Text(k, code)
			}
			f := numbers(Finding{
				Line: int(cell.Line), Column: id, Period: period, Values: []string{strings.Join(text, "."), period},
				Message: fmt.Sprintf("%d parts of %s sum to %s in %s, their total %s is %s", parts.count[i], id, figureText(parts.sums[i]), period, strings.Join(text, "."), figureText(cell.Value)),
			}, cell.Value, parts.sums[i], room)
			findings = append(findings, weighed{Finding: f, weight: math.Abs(over), subject: id + "\x00" + strings.Join(f.Values, "\x00")})
		}
	}
	return findings
}

// wholeOf returns the series that another one is a part of, along one dimension: that of the nearest ancestor of its code.
// A series that a sibling covers is a part of that, and not of the ancestor once more.
func (j *judgement) wholeOf(tree *Hierarchy, code string, sibling func(code string) (int, bool)) (whole int, ok bool) {
	position, known := tree.positions[code]
	if !known {
		return 0, false
	}
	for _, coverer := range tree.coverers[position] {
		if _, covered := sibling(tree.list.Codes[coverer].ID); covered {
			return 0, false
		}
	}
	for ancestor := range tree.Chain(code) {
		if ancestor == code {
			continue
		}
		if whole, ok = sibling(ancestor); ok {
			return whole, true
		}
	}
	return 0, false
}

// add adds the part's cells where the whole has one.
func (p *partSums) add(whole, part *Track) {
	at := 0
	for i, period := range part.Periods {
		for at < len(whole.Periods) && whole.Periods[at] < period {
			at++
		}
		if at < len(whole.Periods) && whole.Periods[at] == period {
			if !part.Cells[i].Valued() {
				p.missing[at] = true
				continue
			}
			p.sums[at] += finite(part.Cells[i].Value)
			p.count[at]++
		}
	}
}
