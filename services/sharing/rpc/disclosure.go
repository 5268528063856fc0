package rpc

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"math/big"
	"runtime"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
	"github.com/comity-federation/comity/services/disclosure"
	"github.com/comity-federation/comity/services/disclosure/cellkey"
	"github.com/comity-federation/comity/services/fault"
)

// Limits of a request.
const (
	maxTableCells     = 20_000
	maxPerturbedCells = 250_000
	maxTime           = 2 * time.Minute  // of computing; a table that takes longer is too large
	searchTime        = 40 * time.Second // of which at most, for a pattern that is cheap, and not just any
	intervalTime      = 30 * time.Second // of which at most, for intervals; what is proved by then is the answer
	auditIterations   = 20_000           // for each end of an interval
	auditWords        = 100              // computable cells that are put in words
)

// defaultWidth is the relative width of intervals where the request names none.
const defaultWidth = 0.2

// Disclosure is a DisclosureService. It keeps nothing.
type Disclosure struct {
	sharingpb.UnimplementedDisclosureServiceServer
	working chan struct{} // holds one for each call that computes
}

// NewDisclosure returns a DisclosureService that computes for as many calls at a time as there are processors.
func NewDisclosure() *Disclosure {
	return &Disclosure{working: make(chan struct{}, runtime.GOMAXPROCS(0))}
}

// work runs f when its turn comes, and within maxTime.
func (d *Disclosure) work(ctx context.Context, f func(context.Context) error) error {
	select {
	case d.working <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-d.working }()
	limited, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	err := f(limited)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return fault.New(fault.Exhausted, "LIMIT_EXCEEDED", "the table takes longer than %v to compute; ask for a smaller one", maxTime).Because(err)
	}
	return err
}

// question is what requests about a table have.
type question interface {
	GetDimensions() []*sharingpb.DisclosureDimension
	GetCells() []*sharingpb.DisclosureCell
	GetRules() *sharingpb.DisclosureRules
}

// questionFromProto reads the table of a request and its rules.
func questionFromProto(req question, relativeWidth *float64) (*disclosure.Table, disclosure.Rules, error) {
	table, err := tableFromProto(req.GetDimensions(), req.GetCells())
	if err != nil {
		return nil, disclosure.Rules{}, err
	}
	rules, err := rulesFromProto(req.GetRules(), relativeWidth)
	return table, rules, err
}

// Audit says what a reader of the table can find out.
func (d *Disclosure) Audit(ctx context.Context, req *sharingpb.AuditRequest) (*sharingpb.AuditResponse, error) {
	table, rules, err := questionFromProto(req, req.RelativeWidth)
	if err != nil {
		return nil, err
	}
	rules.Name(table)
	var resp *sharingpb.AuditResponse
	err = d.work(ctx, func(ctx context.Context) error {
		report, err := audit(ctx, table, rules, nil)
		if err == nil {
			resp, err = reportToProto(table, rules, report)
		}
		return err
	})
	return resp, err
}

// audit audits a table within intervalTime and some, or what is left of the context's. Points are those that proved its pattern, if any are known.
func audit(ctx context.Context, table *disclosure.Table, rules disclosure.Rules, points []disclosure.Point) (*disclosure.Report, error) {
	left := intervalTime
	if deadline, ok := ctx.Deadline(); ok {
		left = min(left, time.Until(deadline)/2)
	}
	enough, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	return disclosure.Audit(ctx, table, rules, disclosure.Auditing{
		Iterations: auditIterations, Workers: runtime.GOMAXPROCS(0), Stop: enough.Done(), Points: points,
		Words: auditWords, Random: rand.Reader,
	})
}

// Perturb adds noise to counts.
func (d *Disclosure) Perturb(ctx context.Context, req *sharingpb.PerturbRequest) (*sharingpb.PerturbResponse, error) {
	if n := len(req.GetCells()); n > maxPerturbedCells {
		return nil, fault.InvalidField("cells", "there are %d; a request has at most %d", n, maxPerturbedCells)
	}
	parameters, err := perturbationFromProto(req.GetPerturbation())
	if err != nil {
		return nil, err
	}
	questions := each(req.GetCells(), func(c *sharingpb.CountedCell) cellkey.Question {
		return cellkey.Question{Count: c.GetCount(), Key: c.GetCellKey()}
	})
	var resp *sharingpb.PerturbResponse
	err = d.work(ctx, func(context.Context) error {
		answers, table, err := cellkey.Perturb(parameters, questions)
		if err != nil {
			return err
		}
		resp = &sharingpb.PerturbResponse{
			Cells: each(answers, func(a cellkey.Answer) *sharingpb.PerturbedCell {
				return &sharingpb.PerturbedCell{Count: float64(a.Count), Perturbed: float64(a.Perturbed), Noise: count(a.Noise)}
			}),
			Table: each(table.Transitions(), func(t cellkey.Transition) *sharingpb.NoiseProbability {
				return &sharingpb.NoiseProbability{Count: count(t.Count), Noise: count(t.Noise), Probability: t.Probability}
			}),
		}
		return nil
	})
	return resp, err
}

var statusesFromProto = map[sharingpb.DisclosureCell_Status]disclosure.Status{
	sharingpb.DisclosureCell_UNSPECIFIED: disclosure.Undecided,
	sharingpb.DisclosureCell_PUBLISHED:   disclosure.Published,
	sharingpb.DisclosureCell_PRIMARY:     disclosure.Primary,
	sharingpb.DisclosureCell_SECONDARY:   disclosure.Secondary,
	sharingpb.DisclosureCell_EMPTY:       disclosure.Empty,
}

var statusesToProto = map[disclosure.Status]sharingpb.DisclosureCell_Status{
	disclosure.Undecided: sharingpb.DisclosureCell_PUBLISHED,
	disclosure.Published: sharingpb.DisclosureCell_PUBLISHED,
	disclosure.Primary:   sharingpb.DisclosureCell_PRIMARY,
	disclosure.Secondary: sharingpb.DisclosureCell_SECONDARY,
	disclosure.Empty:     sharingpb.DisclosureCell_EMPTY,
}

// tableFromProto reads a table. The domain checks what it means; here is only checked what the domain's types cannot hold.
func tableFromProto(dimensions []*sharingpb.DisclosureDimension, cells []*sharingpb.DisclosureCell) (*disclosure.Table, error) {
	if n := len(cells); n == 0 || n > maxTableCells {
		return nil, fault.InvalidField("cells", "there are %d; a table has 1 to %d", n, maxTableCells)
	}
	table := &disclosure.Table{
		Dimensions: each(dimensions, func(d *sharingpb.DisclosureDimension) disclosure.Dimension {
			return disclosure.Dimension{ID: d.GetId(), Codes: each(d.GetCodes(), func(c *sharingpb.DisclosureDimension_Code) disclosure.Code {
				return disclosure.Code{Code: c.GetCode(), Parent: c.GetParent(), Hierarchy: c.GetHierarchy()}
			})}
		}),
		Cells: make([]disclosure.Cell, len(cells)),
	}
	for i, c := range cells {
		status, ok := statusesFromProto[c.GetStatus()]
		if !ok {
			return nil, fault.InvalidField(fmt.Sprintf("cells[%d].status", i), "%d is none", c.GetStatus())
		}
		if f := c.GetFrequency(); !(f >= 0 && f <= disclosure.MaxValue) || f != math.Trunc(f) {
			return nil, fault.InvalidField(fmt.Sprintf("cells[%d].frequency", i), "%v is no whole number from 0 to %d", f, int64(disclosure.MaxValue))
		}
		table.Cells[i] = disclosure.Cell{Key: c.GetKey(), Value: int64(c.GetFrequency()), Contributions: c.GetContributions(), Status: status}
	}
	return table, table.Check()
}

func rulesFromProto(r *sharingpb.DisclosureRules, width *float64) (disclosure.Rules, error) {
	rules := disclosure.Rules{MinimumFrequency: int64(r.GetMinimumFrequency()), RelativeWidth: defaultWidth}
	if width != nil {
		rules.RelativeWidth = *width
	}
	if d := r.GetDominance(); d != nil {
		rules.Dominance = &disclosure.Dominance{N: int(d.GetN()), K: d.GetK()}
	}
	if r != nil && r.PPercent != nil {
		rules.PPercent = &disclosure.PQ{P: r.GetPPercent(), Q: 100}
		if r.PriorPercent != nil {
			rules.PPercent.Q = r.GetPriorPercent()
		}
	} else if r != nil && r.PriorPercent != nil {
		return rules, fault.InvalidField("rules.priorPercent", "means nothing without pPercent")
	}
	return rules, rules.Check()
}

func perturbationFromProto(p *sharingpb.Perturbation) (cellkey.Parameters, error) {
	parameters := cellkey.Parameters{
		Maximum: int(p.GetMaximum()), Variance: p.GetVariance(), SmallestReleased: int(p.GetSmallestReleased()),
	}
	var ok bool
	if parameters.Stay, ok = listOf[*structpb.Value_NumberValue](p.GetStayProbability(), (*structpb.Value).GetNumberValue); !ok {
		return parameters, fault.InvalidField("perturbation.stayProbability", "is neither a number nor a list of numbers")
	}
	if parameters.Monotone, ok = listOf[*structpb.Value_BoolValue](p.GetMonotone(), (*structpb.Value).GetBoolValue); !ok {
		return parameters, fault.InvalidField("perturbation.monotone", "is neither true or false nor a list of them")
	}
	return parameters, nil
}

// listOf reads a value of kind K, or a list of such. Absent and null are the empty list.
func listOf[K, T any](v *structpb.Value, read func(*structpb.Value) T) (list []T, ok bool) {
	values := []*structpb.Value{v}
	switch kind := v.GetKind().(type) {
	case nil, *structpb.Value_NullValue:
		return nil, true
	case *structpb.Value_ListValue:
		values = kind.ListValue.GetValues()
	}
	for _, element := range values {
		if _, ok := element.GetKind().(any).(K); !ok {
			return nil, false
		}
		list = append(list, read(element))
	}
	return list, true
}

func reportToProto(table *disclosure.Table, rules disclosure.Rules, report *disclosure.Report) (*sharingpb.AuditResponse, error) {
	cells, err := protectedToProto(table, rules, report.Cells)
	if err != nil {
		return nil, err
	}
	findings := slices.Concat(report.Exposed, report.Narrow, report.Singletons, report.Findings)
	return &sharingpb.AuditResponse{
		Cells: cells, AuditClean: report.Clean,
		Computable: each(report.Computable, func(c disclosure.Computation) *sharingpb.ComputableCell {
			return computableToProto(report.Table, c)
		}),
		Findings: findingsToProto(table, findings),
	}, nil
}

// computableToProto returns how a cell of the table follows from others.
func computableToProto(table *disclosure.Table, c disclosure.Computation) *sharingpb.ComputableCell {
	because := each(c.Because, table.Sentence)
	if c.ByBounds {
		because = []string{"Counts are 0 or more, and at most the grand total."}
	}
	return &sharingpb.ComputableCell{
		Key: table.Cells[c.Cell].Key, Equation: table.Formula(c), Because: because,
		Terms: each(c.Terms, func(s disclosure.Share) *sharingpb.ComputableCell_Term {
			return &sharingpb.ComputableCell_Term{Key: table.Cells[s.Cell].Key, Weight: float(s.Weight)}
		}),
	}
}

// protectedToProto returns the cells with what a reader knows of them, and with reasons.
func protectedToProto(table *disclosure.Table, rules disclosure.Rules, known []disclosure.Knowledge) ([]*sharingpb.ProtectedCell, error) {
	words, err := disclosure.Explain(table, rules)
	if err != nil {
		return nil, err
	}
	cells := make([]*sharingpb.ProtectedCell, len(known))
	for i, k := range known {
		c := table.Cells[i]
		cells[i] = &sharingpb.ProtectedCell{
			Key: c.Key, Status: statusesToProto[c.Status], Lower: float(k.Low), Upper: float(k.High),
			Rule: string(c.Rule), Explanation: words[i], RequiredWidth: float64(k.Required),
			Exact: k.Exact(), Least: float(k.Least), Most: float(k.Most),
		}
	}
	return cells, nil
}

func findingsToProto(table *disclosure.Table, findings []disclosure.Finding) []*sharingpb.DisclosureFinding {
	return each(findings, func(f disclosure.Finding) *sharingpb.DisclosureFinding {
		return &sharingpb.DisclosureFinding{Key: table.Cells[f.Cell].Key, Message: f.Message}
	})
}

// float returns the number nearest to r.
func float(r *big.Rat) float64 {
	f, _ := r.Float64()
	return f
}
