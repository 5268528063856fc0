package statistics

import (
	_ "embed" // the default rules
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"time"

	"github.com/comity-federation/comity/proto/filter"
)

// Rule is a condition on figures that a submission must keep, or that is worth telling of where it does not.
type Rule struct {
	ID         string
	Check      Check
	Severity   Severity
	Dimensions []string           // what the figures are grouped by; what none means, the check says
	Filter     filter.Filter      // over dimensions: the figures that are looked at
	Thresholds map[string]float64 // by name; one that is not there has the check's own
	Relation   *RuleRelation      // of CheckRelation
	Note       string             // why there is the rule, for people
}

// RuleRelation compares the sums of one set of figures with those of another, by period.
type RuleRelation struct {
	Right    filter.Filter // over dimensions: the figures on the right; Rule.Filter chooses those on the left
	Dataflow Ref           // that those on the right are of, from the same provider; the zero Ref: the same
	AtMost   bool          // the left may be less than the right; else they are equal
}

// Check is what a rule measures. Unless it says otherwise, it is about the periods that the submission touches.
type Check string

// The checks of a release against what was stored. "Before" and "after" are the figures of the dataflow and provider
// before and after the submission; of a merge, "release" is the upload by itself.
const (
	// CheckMissingPeriods finds periods that had figures and have none after a replacement; of a merge, periods with
	// stored figures that the release leaves out between its first and its last one, or a year or more at its end, where it
	// otherwise holds at least the share "cover" of what is stored.
	CheckMissingPeriods Check = "MISSING_PERIODS"
	// CheckGaps finds periods without figures that came to stand between others.
	CheckGaps Check = "GAPS"
	// CheckTotal compares the sums of periods before and after. Where a dimension is broken down anew its total stays, so
	// what counts is the dimension by which the sum changed the least. With one dimension or more, or a filter: the sums of
	// each group. Found are changes by more than "factor" up or down, and by at least "absolute".
	CheckTotal Check = "TOTAL_CHANGE"
	// CheckBreakdown finds dimensions whose codes collapse while the total holds within "factor": of what stood under other
	// codes than the largest, "keep" or less is left. "absolute" is what must have stood there, in all those periods
	// together. Of a merge, its figures must be the stored ones without that dimension: "cells" of them, and the share "same" of
	// their sum. Looks at the named dimensions; none: at all.
	CheckBreakdown Check = "BREAKDOWN_LOST"
	// CheckTwice finds merges that add figures under new codes beside the same figures under codes that the release does
	// not have: "share" of what is stored in its periods, and "absolute", at least. They are the same where, without the
	// dimensions whose codes are new, "cells" of them are, and the share "same" of their sum.
	CheckTwice Check = "COUNTED_TWICE"
	// CheckMisplaced finds dimensions that at least the share "share" of the rows fills with codes that were never theirs, but
	// another dimension's.
	CheckMisplaced Check = "MISPLACED_CODES"
	// CheckLostCodes finds codes that a replacement leaves without figures, and whose figures are not under others either:
	// "share" of the total, and "absolute", at least.
	CheckLostCodes Check = "CODES_LOST"
	// CheckRelabelled tells which codes a replacement leaves without figures, and which are new.
	CheckRelabelled Check = "RELABELLED"
	// CheckHoles finds merges of a release that holds less than the share "cover" of the figures stored in its periods,
	// although of every dimension it has all but a share "rest" and nothing but "revised" of it differs from what is stored:
	// rows were lost on the way.
	CheckHoles Check = "HOLES"
	// CheckRevisions tells how many stored figures change, and which changes most; from the share "share" of the stored
	// figures, and the size "absolute", on.
	CheckRevisions Check = "REVISIONS"
)

// The checks of series: of the sums of all figures, or of each group.
const (
	// CheckHampel is quality.Hampel of the figures that change or are new, with "window" and "scales".
	CheckHampel Check = "HAMPEL"
	// CheckModifiedZ is quality.ModifiedZ, with "limit".
	CheckModifiedZ Check = "MODIFIED_Z"
	// CheckSeason is quality.SeasonalRatio, with "factor".
	CheckSeason Check = "SEASONAL_RATIO"
	// CheckZeroRun finds runs of at least "length" empty or zero periods that reach the newest one or come to an end.
	CheckZeroRun Check = "ZERO_RUN"
)

// The checks of figures among each other.
const (
	// CheckHeaping is quality.Heaping of the figures of the upload that are at least "least", where there are "count" of
	// them: found is a probability below "probability" with a share above "share".
	CheckHeaping Check = "HEAPING"
	// CheckParts compares figures of the upload with the sum of those of their parts in it, along the hierarchies of the named
	// dimensions; none: of all. Found are parts that sum to more than "relative" and one for each part (they may be
	// rounded) above the whole; where "complete" is not 0, also below.
	CheckParts Check = "PARTS"
	// CheckRelation compares sums, by the rule's dimensions and period, as its Relation says, within "relative" and "absolute".
	CheckRelation Check = "RELATION"
)

// thresholds returns the thresholds of each check, and what they are where a rule does not say.
func (c Check) thresholds() (defaults map[string]float64, known bool) {
	switch c {
	case CheckMissingPeriods:
		return map[string]float64{"cover": 0.5}, true
	case CheckGaps, CheckRelabelled:
		return map[string]float64{}, true
	case CheckTotal:
		return map[string]float64{"factor": 1.6, "absolute": 100, "cells": 30, "recent": 0}, true
	case CheckBreakdown:
		return map[string]float64{"factor": 1.25, "keep": 0.2, "absolute": 100, "same": 0.5, "cells": 10}, true
	case CheckTwice:
		return map[string]float64{"share": 0.05, "absolute": 50, "same": 0.5, "cells": 10}, true
	case CheckMisplaced:
		return map[string]float64{"share": 0.5, "cells": 30}, true
	case CheckLostCodes:
		return map[string]float64{"share": 0.05, "absolute": 100}, true
	case CheckHoles:
		return map[string]float64{"cover": 0.8, "rest": 0.05, "revised": 0.1, "cells": 100}, true
	case CheckRevisions:
		return map[string]float64{"share": 0, "absolute": 0}, true
	case CheckHampel:
		return map[string]float64{"window": 3, "scales": 3, "absolute": 0}, true
	case CheckModifiedZ:
		return map[string]float64{"limit": 3.5, "absolute": 0}, true
	case CheckSeason:
		return map[string]float64{"factor": 3, "absolute": 0}, true
	case CheckZeroRun:
		return map[string]float64{"length": 3}, true
	case CheckHeaping:
		return map[string]float64{"least": 10, "count": 50, "probability": 1e-6, "share": 0.4}, true
	case CheckParts:
		return map[string]float64{"relative": 0.005, "complete": 0}, true
	case CheckRelation:
		return map[string]float64{"relative": 0, "absolute": 0}, true
	}
	return nil, false
}

// complete returns the rule with all thresholds of its check.
func (r *Rule) complete() *Rule {
	whole := *r
	whole.Thresholds = map[string]float64{}
	defaults, _ := r.Check.thresholds()
	maps.Copy(whole.Thresholds, defaults)
	maps.Copy(whole.Thresholds, r.Thresholds)
	return &whole
}

// threshold returns a threshold of a complete rule.
func (r *Rule) threshold(name string) float64 { return r.Thresholds[name] }

// Rules are the quality rules of a dataflow.
type Rules struct {
	Dataflow   Ref
	Rules      []Rule
	Version    int // counts the sets of a dataflow, from 1; 0: the default rules
	Author     string
	CreateTime time.Time // zero for the default rules
}

const (
	maxRules    = 100
	maxRuleNote = 500 // characters
)

//go:embed rules.json
var defaultRules []byte

// DefaultRules returns the rules of a dataflow that has none of its own.
func DefaultRules() ([]Rule, error) {
	var file struct {
		Rules []struct {
			ID, Check, Severity, Note string
			Thresholds                map[string]float64
		}
	}
	if err := json.Unmarshal(defaultRules, &file); err != nil {
		return nil, fmt.Errorf("reading the default quality rules: %w", err)
	}
	severities := map[string]Severity{"BLOCKING": Blocking, "WARNING": Warning, "NOTE": Note}
	rules := make([]Rule, len(file.Rules))
	for i, r := range file.Rules {
		rules[i] = Rule{ID: r.ID, Check: Check(r.Check), Severity: severities[r.Severity], Filter: filter.True(), Thresholds: r.Thresholds, Note: r.Note}
	}
	return rules, nil
}

// checkRules finds what is wrong with the rules of a dataflow, as a fault of kind Invalid.
func (c *Catalogue) checkRules(flow *Flow, rules []Rule) error {
	var wrong violations
	if len(rules) > maxRules {
		wrong.add("rules", "there are %d, at most %d are allowed", len(rules), maxRules)
	}
	name := regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,63}$`)
	seen := map[string]bool{}
	for i := range rules {
		r := &rules[i]
		field := fmt.Sprintf("rules[%d]", i)
		switch {
		case !name.MatchString(r.ID):
			wrong.add(field+".id", "%q is not made of 1 to 64 of A to Z, 0 to 9 and _", shown(r.ID))
		case seen[r.ID]:
			wrong.add(field+".id", "%s stands twice", r.ID)
		}
		seen[r.ID] = true
		if len([]rune(r.Note)) > maxRuleNote {
			wrong.add(field+".note", "is longer than %d characters", maxRuleNote)
		}
		c.checkRule(flow, r, field, &wrong)
	}
	return wrong.fault("the quality rules of " + flow.Ref.String())
}

func (c *Catalogue) checkRule(flow *Flow, r *Rule, field string, wrong *violations) {
	defaults, known := r.Check.thresholds()
	if !known {
		wrong.add(field+".check", "is not known")
		return
	}
	if r.Severity < Blocking || r.Severity > Note {
		wrong.add(field+".severity", "is needed")
	}
	for _, name := range slices.Sorted(maps.Keys(r.Thresholds)) {
		value := r.Thresholds[name]
		if _, ok := defaults[name]; !ok {
			wrong.add(field+".thresholds", "%s has no %q, only %s", r.Check, shown(name), quotedList(slices.Sorted(maps.Keys(defaults))))
		} else if math.IsNaN(value) || value < 0 || value > 1e15 {
			wrong.add(field+".thresholds", "%s is %v, not a number from 0 on", name, value)
		}
	}
	for i, id := range r.Dimensions {
		if flow.Structure.Dimension(id) < 1 || slices.Contains(r.Dimensions[:i], id) {
			wrong.add(field+".dimensions", "%q is no dimension of %s that can be grouped by, or stands twice", shown(id), flow.Structure.Ref)
		}
	}
	checkRuleFilter(flow, r.Filter, field+".filter", wrong)
	whole := map[Check]bool{
		CheckMissingPeriods: true, CheckGaps: true, CheckBreakdown: true, CheckTwice: true, CheckMisplaced: true,
		CheckLostCodes: true, CheckRelabelled: true, CheckHoles: true,
	}
	if whole[r.Check] && !r.Filter.IsTrue() {
		wrong.add(field+".filter", "%s looks at all figures", r.Check)
	}
	if (r.Relation != nil) != (r.Check == CheckRelation) {
		wrong.add(field+".relation", "belongs to the check %s, and only there", CheckRelation)
		return
	}
	if r.Relation != nil {
		c.checkRelation(flow, r, field+".relation", wrong)
	}
}

func (c *Catalogue) checkRelation(flow *Flow, r *Rule, field string, wrong *violations) {
	right := flow
	if r.Relation.Dataflow != (Ref{}) {
		var err error
		if right, err = c.Flow(r.Relation.Dataflow); err != nil {
			wrong.add(field+".dataflow", "there is no dataflow %s", r.Relation.Dataflow)
			return
		}
		for _, id := range r.Dimensions {
			if right.Structure.Dimension(id) < 1 {
				wrong.add(field+".dataflow", "%s has no dimension %s to group by", right.Ref, id)
			}
		}
	}
	checkRuleFilter(right, r.Relation.Right, field+".right", wrong)
}

func checkRuleFilter(flow *Flow, f filter.Filter, field string, wrong *violations) {
	if err := f.Check(); err != nil {
		wrong.add(field, "%v", err)
		return
	}
	for _, component := range f.Components() {
		if flow.Structure.Dimension(component) < 0 {
			wrong.add(field, "%q is no dimension of %s", component, flow.Structure.Ref)
		}
	}
}
