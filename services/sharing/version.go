package sharing

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/services/fault"
)

// Terms name a dataflow by one version, "X:Y(1.0.0)", or, as SDMX writes it, by "X:Y(1.0+.0)": any from 1.0.0 on that has the
// same major number. Then figures go in the latest version that both states have, and that the provider has figures in.
var dataflowRange = regexp.MustCompile(`^([A-Za-z0-9_.-]+:[A-Za-z0-9_@$-]+)\(([0-9]+\.[0-9]+)\+(\.[0-9]+)\)$`)

// isRange reports whether a dataflow is named by a range of versions.
func isRange(dataflow string) bool { return dataflowRange.MatchString(dataflow) }

// inRange reports whether a dataflow, by its version, is the one that terms name, or one of those.
func inRange(dataflow, named string) bool {
	parts := dataflowRange.FindStringSubmatch(named)
	if parts == nil {
		return dataflow == named
	}
	least, ok := parseVersion(parts[2] + parts[3])
	if !ok || flowOf(dataflow) != parts[1] {
		return false
	}
	version, ok := versionOf(dataflow)
	return ok && version[0] == least[0] && version.compare(least) >= 0
}

// versionOf returns the version of a dataflow "X:Y(1.0.0)"; false for a draft.
func versionOf(dataflow string) (semver, bool) {
	_, version, _ := strings.Cut(dataflow, "(")
	return parseVersion(strings.TrimSuffix(version, ")"))
}

// sharedFlows are the dataflows of the agencies whose structures are shared, as they were a moment ago.
type sharedFlows struct {
	mu     sync.Mutex
	names  []string
	until  time.Time
	filled map[string]time.Time // those that had figures of this state, and when
}

// flowsLast is for how long it is not asked again which dataflows there are, and filledLast whether one has figures that had.
const (
	flowsLast  = 5 * time.Second
	filledLast = time.Minute
)

// SharedDataflows returns the dataflows that this node has of those that states share, "AGENCY:ID(VERSION)", sorted.
func (s *Service) SharedDataflows(ctx context.Context) ([]string, error) {
	if s.Registry == nil {
		return nil, nil
	}
	s.flows.mu.Lock()
	defer s.flows.mu.Unlock()
	if s.now().Before(s.flows.until) {
		return s.flows.names, nil
	}
	artefacts, err := s.Registry.Artefacts(ctx, s.sharedAgencies())
	if err != nil {
		return nil, err
	}
	names := []string{}
	for _, a := range artefacts {
		if a.Kind == dataflowKind {
			names = append(names, a.Name+"("+a.Version+")")
		}
	}
	slices.Sort(names)
	s.flows.names, s.flows.until = names, s.now().Add(flowsLast)
	return names, nil
}

// dataflowKind is the [Artefact.Kind] of a dataflow.
const dataflowKind = "Dataflow"

// maxSpoken is how many dataflows a partner can say that it has.
const maxSpoken = 1000

// Speaks keeps which shared dataflows a partner has, as it says itself.
func (s *Service) Speaks(ctx context.Context, partner StateCode, dataflows []string) error {
	dataflows = slices.DeleteFunc(slices.Clone(dataflows), func(name string) bool { return !dataflowRef.MatchString(name) })
	slices.Sort(dataflows)
	text := strings.Join(dataflows[:min(len(dataflows), maxSpoken)], " ")
	before, err := s.Store.Progress(ctx, spokenName(partner))
	if err != nil || before == text {
		return err
	}
	if err := s.Store.SaveProgress(ctx, spokenName(partner), text); err != nil {
		return err
	}
	wake(s.toRelease)
	return nil
}

func spokenName(partner StateCode) string { return "dataflows of " + string(partner) }

// versionsOf returns the dataflows of this node that terms name, the latest first.
func (s *Service) versionsOf(ctx context.Context, named string) ([]string, error) {
	if !isRange(named) {
		return []string{named}, nil
	}
	all, err := s.SharedDataflows(ctx)
	if err != nil {
		return nil, err
	}
	versions := slices.DeleteFunc(slices.Clone(all), func(name string) bool { return !inRange(name, named) })
	slices.SortFunc(versions, func(a, b string) int {
		one, _ := versionOf(a)
		two, _ := versionOf(b)
		return two.compare(one)
	})
	return versions, nil
}

// spoken returns the dataflow in which figures go under the terms. A fault says what is missing where there is none.
func (s *Service) spoken(ctx context.Context, terms Terms) (string, error) {
	if !isRange(terms.Dataflow) {
		return terms.Dataflow, nil
	}
	versions, err := s.versionsOf(ctx, terms.Dataflow)
	if err != nil {
		return "", err
	}
	common := versions
	if !terms.Domestic() {
		text, err := s.Store.Progress(ctx, spokenName(terms.Receiver))
		if err != nil {
			return "", err
		}
		theirs := strings.Fields(text)
		common = slices.DeleteFunc(slices.Clone(versions), func(name string) bool { return !slices.Contains(theirs, name) })
	}
	if len(common) == 0 {
		return "", fault.New(fault.Precondition, "INCOMPATIBLE", "%s has none of the versions of %s that are here: %s",
			terms.Receiver, terms.Dataflow, strings.Join(versions, ", "))
	}
	for _, name := range common {
		if filled, err := s.filled(ctx, name); err != nil || filled {
			return name, err
		}
	}
	return common[len(common)-1], nil
}

// errFound ends a query as soon as there is an answer.
var errFound = errors.New("there are figures")

// filled reports whether this state has figures in the dataflow.
func (s *Service) filled(ctx context.Context, dataflow string) (bool, error) {
	now := s.now()
	s.flows.mu.Lock()
	known, ok := s.flows.filled[dataflow]
	s.flows.mu.Unlock()
	if ok && now.Before(known.Add(filledLast)) {
		return true, nil
	}
	query := Query{Dataflow: dataflow, Providers: []StateCode{s.State}, Filter: filter.True()}
	_, err := s.Statistics.Query(ctx, query, func(b *block.Block) error {
		if b.Rows > 0 {
			return errFound
		}
		return nil
	})
	if errors.Is(err, errFound) {
		s.flows.mu.Lock()
		defer s.flows.mu.Unlock()
		if s.flows.filled == nil {
			s.flows.filled = map[string]time.Time{}
		}
		s.flows.filled[dataflow] = now
		return true, nil
	}
	return false, err
}

// emptyOthers takes what a release replaces out of the other versions of its dataflow: a partner that goes on to the next
// version leaves nothing behind in the one before.
func (s *Service) emptyOthers(ctx context.Context, terms Terms, header Header) error {
	if !isRange(terms.Dataflow) {
		return nil
	}
	versions, err := s.versionsOf(ctx, terms.Dataflow)
	if err != nil {
		return err
	}
	for _, name := range versions {
		if name == header.Dataflow {
			continue
		}
		structures, err := s.structuresOf(ctx, name)
		if err != nil {
			return err
		}
		_, err = s.submit(ctx, Submission{
			Dataflow: name, Provider: header.Sender, Scope: header.Scope,
			IdempotencyKey: fmt.Sprintf("%s/%s", header.Release, name),
		}, func(yield func(*block.Block, error) bool) { yield(toBlock(structures, nil), nil) })
		if err != nil {
			return err
		}
	}
	return nil
}
