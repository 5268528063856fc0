package statistics

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"

	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/statistics/quality"
)

// maxOfRule is how many findings one rule makes of a submission; those beyond are counted in a last one.
const maxOfRule = 10

// revisedCell is a figure that changes. One of the two cells may be the zero Cell.
type revisedCell struct {
	Key           []uint32
	Period        int32
	Before, After Cell
}

// judgement is what the rules of a dataflow find in a submission, before it is stored.
type judgement struct {
	catalogue *Catalogue
	tx        Reader // of the figures before
	flow      *Flow
	header    *Header
	upload    *Table

	release       *quality.Profile // the upload by itself
	before, after *quality.Profile // the part
	revised       func() iter.Seq[revisedCell]
	dictionary    *Dictionary // of the keys in revised

	addedIn                            map[Period]int // of the added, how many in each period
	added, changed, deleted, unchanged int            // figures with a value
	emptied                            int            // figures that stay as observations without a value
	largest                            revisedCell

	report    *Report
	overrides []Override
	found     map[string]bool // what a rule has found already: a milder one of the same check need not repeat it
}

// judge applies the quality rules to what a submission changes, and adds what they find to the report. The rules are about
// a state's own figures: a partner's were judged where they come from, and it is not for the receiver to refuse a revision.
func (s *Service) judge(ctx context.Context, tx Transaction, catalogue *Catalogue, c *change, upload *loader, header *Header, rules []Rule, digest [32]byte) (*verdict, error) {
	if header.Provider != s.state || header.Release != "" || len(rules) == 0 {
		return &verdict{}, nil
	}
	j := &judgement{
		catalogue: catalogue, tx: tx, flow: c.flow, header: header, upload: upload.table, report: upload.report,
		revised: c.revised, dictionary: c.own.Table().Dictionary(), found: map[string]bool{},
	}
	var err error
	if j.overrides, err = tx.TakeOverrides(ctx, c.source, digest); err != nil {
		return nil, err
	}
	if j.before, err = profileBefore(ctx, tx, c.flow, c.source); err != nil {
		return nil, err
	}
	j.weigh()
	for i := range rules {
		if err := j.apply(ctx, rules[i].complete()); err != nil {
			return nil, fmt.Errorf("applying the quality rule %s: %w", rules[i].ID, err)
		}
	}
	v := &verdict{part: c.source, overrides: j.overrides}
	if c.own.Len() > 0 {
		v.profile = j.after
	}
	return v, nil
}

// verdict is what is kept of a judgement where the submission is accepted.
type verdict struct {
	part      Part
	profile   *quality.Profile // as the part is now; nil where it did not change, or was not judged
	overrides []Override
}

func (v *verdict) keep(ctx context.Context, tx Transaction, submission *Submission) error {
	if len(v.overrides) > 0 {
		submission.Overrides = v.overrides
		if err := tx.UseOverrides(ctx, v.part, submission.Digest, submission.ID); err != nil {
			return err
		}
	}
	if v.profile == nil {
		return nil
	}
	kept, err := v.profile.MarshalBinary()
	if err != nil {
		return err
	}
	return tx.PutProfile(ctx, v.part, kept)
}

// revised gives the figures of the part that change. A key is valid until the next one is given.
func (c *change) revised() iter.Seq[revisedCell] {
	return func(yield func(revisedCell) bool) {
		for s, i := range c.own.each(func(f fate) bool { return f <= isDeleted }) {
			track := c.own.cells.Track(s)
			if !yield(revisedCell{Key: c.own.cells.Key(s), Period: track.Periods[i], Before: c.own.was(s, i), After: track.Cells[i]}) {
				return
			}
		}
	}
}

// profileBefore returns the profile of what is stored of a part: the one that was kept, or, where figures changed without
// it, one that is made of all of them.
func profileBefore(ctx context.Context, tx Transaction, flow *Flow, part Part) (*quality.Profile, error) {
	kept, err := tx.Profile(ctx, part)
	if err != nil {
		return nil, err
	}
	profile := quality.NewProfile(len(flow.Structure.Dimensions))
	if kept != nil {
		if err := profile.UnmarshalBinary(kept); err != nil {
			return nil, err
		}
		return profile, nil
	}
	dictionary, err := tx.Dictionary(ctx, flow)
	if err != nil {
		return nil, err
	}
	p := newProfiler(profile, dictionary)
	for series, err := range tx.Read(ctx, flow, []string{part.Provider}, Selector{}) {
		if err != nil {
			return nil, err
		}
		p.addTrack(series.Key, &series.Track)
	}
	return profile, nil
}

// weigh makes the profiles and counts.
func (j *judgement) weigh() {
	j.release = quality.NewProfile(len(j.flow.Structure.Dimensions))
	p := newProfiler(j.release, j.upload.Dictionary())
	for series := range j.upload.SeriesCount() {
		p.addTrack(j.upload.Key(series), j.upload.Track(series))
	}
	if len(j.before.Frequencies()) == 0 { // nothing was there
		j.after, j.added = j.release.Clone(), figuresIn(j.release)
		return
	}
	j.after, j.addedIn = j.before.Clone(), map[Period]int{}
	p = newProfiler(j.after, j.dictionary)
	for r := range j.revised() {
		p.addCell(r.Key, r.Period, r.Before, -1)
		p.addCell(r.Key, r.Period, r.After, 1)
		switch {
		case !r.Before.Valued() && !r.After.Valued():
		case !r.Before.Valued():
			j.added++
			j.addedIn[Frequency(j.dictionary.Text(0, r.Key[0])[0]).Period(r.Period)]++
		case !r.After.Present():
			j.deleted++
		case !r.After.Valued():
			j.emptied++
		default:
			j.changed++
			if size := math.Abs(finite(r.After.Value) - finite(r.Before.Value)); size > math.Abs(finite(j.largest.After.Value)-finite(j.largest.Before.Value)) || !j.largest.Before.Present() {
				r.Key = slices.Clone(r.Key)
				j.largest = r
			}
		}
	}
	j.unchanged = max(figuresIn(j.release)-j.added-j.changed, 0)
}

// figuresIn returns how many figures with a value a profile has.
func figuresIn(p *quality.Profile) (cells int) {
	for _, frequency := range p.Frequencies() {
		cells += p.Grid(frequency).Cells()
	}
	return cells
}

// massOf returns what a cell adds to the mass, or, where sign is -1, takes from it.
func massOf(c Cell, sign int) quality.Mass {
	switch {
	case !c.Present():
		return quality.Mass{}
	case !c.Valued():
		return quality.Mass{Missing: sign}
	}
	return quality.Mass{Cells: sign, Sum: float64(sign) * finite(c.Value)}
}

func finite(figure float64) float64 {
	if math.IsNaN(figure) || math.IsInf(figure, 0) {
		return 0
	}
	return figure
}

// profiler adds the cells of tables with one dictionary to a profile.
type profiler struct {
	profile    *quality.Profile
	dictionary *Dictionary
	known      map[Frequency]*knownCodes
	positions  []int
}

// knownCodes remembers where the codes and periods of a dictionary are in a grid.
type knownCodes struct {
	grid      *quality.Grid
	positions [][]int // by dimension and code: the position plus 1
	slots     map[int32]int
}

func newProfiler(profile *quality.Profile, dictionary *Dictionary) *profiler {
	return &profiler{profile: profile, dictionary: dictionary, known: map[Frequency]*knownCodes{}, positions: make([]int, len(dictionary.texts))}
}

// place finds the positions of a key, which are those of the next call too.
func (p *profiler) place(key []uint32) *knownCodes {
	text := p.dictionary.Text(0, key[0])
	frequency := Frequency(text[0])
	known := p.known[frequency]
	if known == nil {
		known = &knownCodes{grid: p.profile.Grid(byte(frequency)), positions: make([][]int, len(key)), slots: map[int32]int{}}
		for i := range known.positions {
			known.positions[i] = make([]int, p.dictionary.Len(i))
		}
		p.known[frequency] = known
	}
	for i, code := range key {
		if known.positions[i][code] == 0 {
			known.positions[i][code] = known.grid.Position(i, p.dictionary.Text(i, code)) + 1
		}
		p.positions[i] = known.positions[i][code] - 1
	}
	return known
}

func (k *knownCodes) slot(period int32) int {
	slot, ok := k.slots[period]
	if !ok {
		slot = k.grid.Slot(period)
		k.slots[period] = slot
	}
	return slot
}

func (p *profiler) addTrack(key []uint32, track *Track) {
	known := p.place(key)
	for i, period := range track.Periods {
		if track.Cells[i].Present() {
			known.grid.Add(p.positions, known.slot(period), massOf(track.Cells[i], 1))
		}
	}
}

func (p *profiler) addCell(key []uint32, period int32, cell Cell, sign int) {
	if cell.Present() {
		known := p.place(key)
		known.grid.Add(p.positions, known.slot(period), massOf(cell, sign))
	}
}

// apply makes the findings of one rule, which is complete.
func (j *judgement) apply(ctx context.Context, r *Rule) error {
	var findings []weighed
	var err error
	switch r.Check {
	case CheckMissingPeriods:
		findings = j.missingPeriods(r)
	case CheckGaps:
		findings = j.gaps()
	case CheckTotal:
		findings, err = j.totals(ctx, r)
	case CheckBreakdown:
		findings, err = j.breakdowns(ctx, r)
	case CheckTwice:
		findings, err = j.countedTwice(ctx, r)
	case CheckMisplaced:
		findings = j.misplaced(r)
	case CheckLostCodes:
		findings = j.lostCodes(r)
	case CheckRelabelled:
		findings = j.relabelled(r)
	case CheckHoles:
		findings = j.holes(r)
	case CheckRevisions:
		findings = j.revisions(r)
	case CheckHampel, CheckModifiedZ, CheckSeason, CheckZeroRun:
		findings, err = j.outliers(ctx, r)
	case CheckHeaping:
		findings = j.heaping(r)
	case CheckParts:
		findings = j.parts(r)
	case CheckRelation:
		findings, err = j.relation(ctx, r)
	}
	if fault.Is(err, fault.Exhausted) { // a rule that cannot be applied has not been kept
		findings = []weighed{{Finding: Finding{Message: err.Error()}}}
	} else if err != nil {
		return err
	}
	j.keep(r, findings)
	return nil
}

// weighed is a finding with what it is sorted by, the largest first, and what it is about.
type weighed struct {
	Finding
	weight  float64
	subject string
}

// keep adds the findings of a rule to the report, but for those whose subject a rule before has found.
func (j *judgement) keep(r *Rule, findings []weighed) {
	findings = slices.DeleteFunc(findings, func(f weighed) bool {
		subject := string(r.Check) + "\x00" + f.subject
		again := j.found[subject]
		j.found[subject] = true
		return again
	})
	slices.SortStableFunc(findings, func(a, b weighed) int {
		return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.subject, b.subject))
	})
	overridden := slices.ContainsFunc(j.overrides, func(o Override) bool { return slices.Contains(o.Rules, r.ID) })
	add := func(f Finding) {
		f.Rule, f.Check, f.Severity = r.ID, r.Check, r.Severity
		f.Overridden = overridden && r.Severity == Blocking
		j.report.Add(f)
	}
	for _, f := range findings[:min(len(findings), maxOfRule)] {
		add(f.Finding)
	}
	if more := len(findings) - maxOfRule; more > 0 {
		add(Finding{Message: fmt.Sprintf("%d further findings of the rule are not listed; those listed are the largest", more)})
	}
}

// numbers are what a finding compares.
func numbers(f Finding, before, after, threshold float64) Finding {
	f.Before, f.After, f.Threshold = &before, &after, &threshold
	return f
}

// keyText writes a key as SDMX does.
func (j *judgement) keyText(key []uint32) string {
	texts := make([]string, len(key))
	for i, code := range key {
		texts[i] = j.dictionary.Text(i, code)
	}
	return strings.Join(texts, ".")
}

// runText writes a run of periods as a finding shows it.
func runText(frequency byte, run quality.Run) string {
	first := Frequency(frequency).Period(run.First).String()
	if run.Len() == 1 {
		return first
	}
	return fmt.Sprintf("%s to %s (%d periods)", first, Frequency(frequency).Period(run.Last), run.Len())
}
