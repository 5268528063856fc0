package risk

import (
	"context"
	"math"
	"time"

	"github.com/comity-federation/comity/proto/period"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/risk/belief"
)

// Statistics is where the figures are.
type Statistics interface {
	// Figures returns the figures that e names, all of one revision. A dataflow, dimension or code that does not exist,
	// and a key of another length than the dataflow has dimensions, is a fault that the caller may see.
	Figures(ctx context.Context, e Evidence) (Figures, error)
}

// Figures is what the statistics hold of a series in a window.
type Figures struct {
	// Series has the figures of the series itself, at most one a period and provider, in any order.
	Series []Figure
	// Reported has the periods for which the same reporter gave any figure of the same indicator.
	Reported map[period.Period]bool
	// Revision of the statistics that all of it was read at.
	Revision int64
}

// Figure is one observation.
type Figure struct {
	Period   period.Period
	Value    float64 // NaN: there is an observation, but it has no value
	Provider string
	Status   string // a code of SDMX CL_OBS_STATUS
}

// Judgement is the verdict on an assumption, with all that it rests on.
type Judgement struct {
	ID         string
	Assumption Assumption
	Evidence   []Count // one for each period of the window, in order
	Events     float64 // the sum of what counts
	Exposure   float64 // the number of periods that count
	Revision   int64   // of the statistics
	Method     string  // [belief.Method] at the time
	Result     belief.Judgement
	Time       time.Time
}

// Count is what a period adds to the evidence.
type Count struct {
	Period   period.Period
	Events   float64 // 0 where there is no figure
	Provider string  // empty where there is no figure
	Status   string  // OBS_STATUS of the figure; empty where there is no figure
	LeftOut  bool    // the period is unknown: it counts neither as events nor as exposure
}

// count lays the figures over the window. A period without a figure had no event if its reporter gave other figures of the
// indicator for it, since statistics seldom write their zeros down; else nothing is known of it and it is left out, as is
// one whose figure has no value. (In a partner's figures such a zero may stand for a small number that the partner's
// disclosure control has merged with others.)
func count(window []period.Period, figures Figures) (evidence []Count, events, exposure float64, err error) {
	series := make(map[period.Period]Figure, len(figures.Series))
	for _, figure := range figures.Series {
		if other, twice := series[figure.Period]; twice {
			return nil, 0, 0, fault.New(fault.Precondition, "PROVIDER_AMBIGUOUS",
				"%s and %s both hold the series in %s; the evidence must name one as its provider",
				other.Provider, figure.Provider, figure.Period)
		}
		series[figure.Period] = figure
	}
	for _, p := range window {
		figure, found := series[p]
		c := Count{Period: p, Provider: figure.Provider, Status: figure.Status}
		switch {
		case found && math.IsNaN(figure.Value), !found && !figures.Reported[p]:
			c.LeftOut = true
		case figure.Value < 0 || math.IsInf(figure.Value, 0):
			return nil, 0, 0, fault.New(fault.Precondition, "WRONG_STATE",
				"the figure of %s in %s is %v, which is no count", figure.Provider, p, figure.Value)
		default:
			c.Events = figure.Value
			events += c.Events
			exposure++
		}
		evidence = append(evidence, c)
	}
	if exposure == 0 {
		return nil, 0, 0, fault.New(fault.Precondition, "WRONG_STATE",
			"nothing was reported for any period from %s to %s", window[0], window[len(window)-1])
	}
	return evidence, events, exposure, nil
}
