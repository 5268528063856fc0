package risk

import (
	"context"
	"fmt"
	"time"

	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/risk/belief"
)

// Store keeps assumptions and judgements.
type Store interface {
	// CreateAssumption stores a and returns it as stored. Where an assumption of its id is stored already it returns that
	// one, and stores nothing.
	CreateAssumption(ctx context.Context, a Assumption) (Assumption, error)
	// Assumption returns the assumption, or a fault of kind NotFound.
	Assumption(ctx context.Context, id AssumptionID) (Assumption, error)
	// Assumptions returns the assumptions whose id comes after the one given, in the byte order of ids, at most limit.
	Assumptions(ctx context.Context, after AssumptionID, limit int) ([]Assumption, error)
	// CreateJudgement stores j; its assumption is stored already.
	CreateJudgement(ctx context.Context, j Judgement) error
}

// Register keeps assumptions and judges them.
type Register struct {
	store      Store
	statistics Statistics
	now        func() time.Time
	newID      func() string
}

// NewRegister returns a register. newID returns ids that are all different and fit [AssumptionID].
func NewRegister(store Store, statistics Statistics, now func() time.Time, newID func() string) *Register {
	return &Register{store: store, statistics: statistics, now: now, newID: newID}
}

// Create registers an assumption, under a new id where it has none, and returns it as registered. Registering the same
// again changes nothing; another one under the same id is a fault of kind Exists. The CreateTime given is not read.
func (r *Register) Create(ctx context.Context, a Assumption) (Assumption, error) {
	if a.ID == "" {
		a.ID = AssumptionID(r.newID())
	}
	a.CreateTime = r.now()
	if err := a.Check(); err != nil {
		return Assumption{}, err
	}
	stored, err := r.store.CreateAssumption(ctx, a)
	if err != nil {
		return Assumption{}, fmt.Errorf("storing assumption %s: %w", a.ID, err)
	}
	a.CreateTime = stored.CreateTime
	if stored != a {
		return Assumption{}, fault.New(fault.Exists, "ALREADY_EXISTS", "another assumption is registered as %q", a.ID)
	}
	return stored, nil
}

// Get returns an assumption, or a fault of kind NotFound.
func (r *Register) Get(ctx context.Context, id AssumptionID) (Assumption, error) {
	return r.store.Assumption(ctx, id)
}

// List returns at most limit assumptions by id, from after the one given on; "" is before every id. more reports whether
// there are others behind them.
func (r *Register) List(ctx context.Context, after AssumptionID, limit int) (list []Assumption, more bool, err error) {
	list, err = r.store.Assumptions(ctx, after, limit+1)
	if err != nil {
		return nil, false, fmt.Errorf("listing assumptions: %w", err)
	}
	if len(list) > limit {
		return list[:limit], true, nil
	}
	return list, false, nil
}

// Judge judges an assumption by the evidence in its window, and keeps the judgement. It fails with NotFound where there is
// no such assumption, and with Precondition where its evidence does not allow a judgement: nothing was reported, or two
// providers report it.
func (r *Register) Judge(ctx context.Context, id AssumptionID) (Judgement, error) {
	assumption, err := r.store.Assumption(ctx, id)
	if err != nil {
		return Judgement{}, err
	}
	window, err := assumption.Evidence.Window()
	if err != nil {
		return Judgement{}, err
	}
	figures, err := r.statistics.Figures(ctx, assumption.Evidence)
	if err != nil {
		return Judgement{}, fmt.Errorf("reading the evidence of %s: %w", id, err)
	}
	evidence, events, exposure, err := count(window, figures)
	if err != nil {
		return Judgement{}, err
	}
	result, err := belief.Judge(belief.Question{
		AssumedRate: assumption.AssumedRate, Strength: assumption.Strength, Tolerance: assumption.Tolerance,
		Events: events, Exposure: exposure,
	})
	if err != nil {
		return Judgement{}, err
	}
	judgement := Judgement{
		ID: r.newID(), Assumption: assumption, Evidence: evidence, Events: events, Exposure: exposure,
		Revision: figures.Revision, Method: belief.Method, Result: result, Time: r.now(),
	}
	if err := r.store.CreateJudgement(ctx, judgement); err != nil {
		return Judgement{}, fmt.Errorf("storing the judgement of %s: %w", id, err)
	}
	return judgement, nil
}
