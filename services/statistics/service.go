// Package statistics holds a nation's figures: their structures, what agencies submit, how it is harmonised, every state
// of the data that ever was, and queries of them.
//
// A figure is a cell: the value of a series in a period. A series is a key, one code for each dimension of a data
// structure. Figures are kept by dataflow and by provider, the state whose they are: that is a part. What changes a part
// is a revision, and nothing is overwritten.
//
//	M.US.1A._T._T._T._T._T._T  2023-12  249735  A F
//
// The package knows no database and no network: see [Store] for what it needs of them.
package statistics

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Published is what the provider of published figures begins with; after it comes the tier.
const Published = "PUBLISHED:"

// PublishedToAll is the provider of what anybody may see.
const PublishedToAll = Published + "PUBLIC"

// Service holds a state's figures, and those that partners sent.
type Service struct {
	store Store
	state string
	now   func() time.Time
	newID func() string

	cellSecret []byte // of the keys of cells; nil: there is none

	held atomic.Bool // closed to changes on the spot

	mu        sync.Mutex
	catalogue *Catalogue // as it was read last; nil: not yet
}

// NewService returns the service of a state, which is the provider of its own figures. newID gives ids that ascend in
// time and were never given before.
func NewService(store Store, state string, now func() time.Time, newID func() string) *Service {
	return &Service{store: store, state: state, now: now, newID: newID}
}

// State returns the code of the state whose service it is.
func (s *Service) State() string { return s.state }

// Catalogue returns the structures as they are now. It reads them anew only where they changed, be it through another
// process.
func (s *Service) Catalogue(ctx context.Context) (*Catalogue, error) {
	change, err := s.store.StructuresChange(ctx)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.catalogue != nil && s.catalogue.change == change {
		return s.catalogue, nil
	}
	artefacts, err := s.store.Structures(ctx)
	if err != nil {
		return nil, err
	}
	before := s.catalogue
	if before == nil {
		before = new(Catalogue)
	}
	catalogue, err := before.Renew(artefacts)
	if err != nil {
		return nil, err
	}
	catalogue.change = change
	s.catalogue = catalogue
	return catalogue, nil
}

// hold keeps the structures as the catalogue has them until the transaction ends. Where they are others by now, it is
// [errOtherStructures].
func hold(ctx context.Context, tx Transaction, catalogue *Catalogue, forChange bool) error {
	change, err := tx.HoldStructures(ctx, forChange)
	if err != nil {
		return err
	}
	if change != catalogue.change {
		return errOtherStructures
	}
	return nil
}

// Structures returns a dataflow with its data structure and every codelist of it.
func (s *Service) Structures(ctx context.Context, dataflow Ref) (Structures, error) {
	catalogue, err := s.Catalogue(ctx)
	if err != nil {
		return Structures{}, err
	}
	flow, err := catalogue.Flow(dataflow)
	if err != nil {
		return Structures{}, err
	}
	return catalogue.Structures(flow), nil
}

// Constraints returns the constraints that bound what providers report to a dataflow.
func (s *Service) Constraints(ctx context.Context, dataflow Ref) ([]BindingConstraint, error) {
	catalogue, err := s.Catalogue(ctx)
	if err != nil {
		return nil, err
	}
	flow, err := catalogue.Flow(dataflow)
	if err != nil {
		return nil, err
	}
	return flow.Constraints(), nil
}

// Dataflows returns every dataflow, by agency, id and version.
func (s *Service) Dataflows(ctx context.Context) ([]Dataflow, error) {
	catalogue, err := s.Catalogue(ctx)
	if err != nil {
		return nil, err
	}
	return catalogue.Dataflows(), nil
}

// CreateLayout stores how a national file is read, in place of any layout with its id.
func (s *Service) CreateLayout(ctx context.Context, l Layout) error {
	catalogue, err := s.Catalogue(ctx)
	if err != nil {
		return err
	}
	flow, err := catalogue.Flow(l.Dataflow)
	if err != nil {
		return err
	}
	if err := l.Check(flow.Structure); err != nil {
		return err
	}
	return s.store.PutLayout(ctx, l)
}

// Layouts returns every layout, by id.
func (s *Service) Layouts(ctx context.Context) ([]Layout, error) { return s.store.Layouts(ctx) }

// Submission returns a submission with its quality report.
func (s *Service) Submission(ctx context.Context, id string) (Submission, error) {
	return s.store.Submission(ctx, id)
}

// Submissions returns at most limit submissions without their findings, the newest first, from after the one with the
// id; "": from the newest.
func (s *Service) Submissions(ctx context.Context, limit int, after string) ([]Submission, error) {
	return s.store.Submissions(ctx, limit, after)
}

// isPublished reports whether the provider stands for what was published, not for a state.
func isPublished(provider string) bool { return strings.HasPrefix(provider, Published) }

// repeat calls do each time the span has gone by, until ctx ends.
func repeat(ctx context.Context, span time.Duration, do func()) error {
	ticker := time.NewTicker(span)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		do()
	}
}
