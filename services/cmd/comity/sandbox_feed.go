package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	riskpb "github.com/comity-federation/comity/proto/comity/risk/v1"
	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/services/internal/region"
)

const (
	// arrivalPatience is how long the sandbox waits for a document or a release to reach a partner.
	arrivalPatience = 2 * time.Minute
	// askingPause is before a question whether anything is to be expected, which take a node as long as a release.
	askingPause = 5 * time.Second
)

// feed gives the nodes, through their gateways, what the region's directory holds, as the people of each state would.
func (s *sandbox) feed(ctx context.Context) error {
	for _, n := range s.nodes {
		if err := s.progress.step(n.state.Code+" structures", func() (string, error) { return s.putStructures(ctx, n) }); err != nil {
			return err
		}
	}
	for _, n := range s.nodes {
		for _, submission := range n.state.Submissions {
			name := n.state.Code + " " + filepath.Base(submission.File)
			if err := s.progress.step(name, func() (string, error) { return n.submit(ctx, submission) }); err != nil {
				return err
			}
		}
	}
	if err := s.progress.step("agreements", func() (string, error) { return s.putAgreements(ctx) }); err != nil {
		return err
	}
	if err := s.progress.step("assumptions", func() (string, error) { return s.putAssumptions(ctx) }); err != nil {
		return err
	}
	if err := s.progress.step("first exchange", func() (string, error) { return s.awaitExchange(ctx) }); err != nil {
		return err
	}
	for _, n := range s.nodes {
		for _, publication := range n.state.Publications {
			if err := s.progress.step(n.state.Code+" publication", func() (string, error) { return n.publish(ctx, publication) }); err != nil {
				return err
			}
		}
	}
	return nil
}

// putStructures stores the structures, layouts and quality rules of a state.
func (s *sandbox) putStructures(ctx context.Context, n *sandboxNode) (string, error) {
	statistician, err := n.client("statistician")
	if err != nil {
		return "", err
	}
	all := &statisticspb.Structures{}
	for _, set := range slices.Concat(s.region.Structures, n.state.Structures) {
		proto.Merge(all, set)
	}
	answer := &statisticspb.CreateStructuresResponse{}
	if err := statistician.post(ctx, "/v1/structures", all, answer); err != nil {
		return "", err
	}
	for _, layout := range n.state.Layouts {
		if err := statistician.post(ctx, "/v1/layouts", layout, &statisticspb.CreateLayoutResponse{}); err != nil {
			return "", fmt.Errorf("layout %s: %w", layout.GetId(), err)
		}
	}
	for _, rules := range n.state.Quality {
		if err := statistician.post(ctx, "/v1/quality-rules", rules, &statisticspb.QualityRules{}); err != nil {
			return "", fmt.Errorf("quality rules of %s: %w", rules.GetDataflow(), err)
		}
	}
	return fmt.Sprintf("%s new, %s known, %d layouts", grouped(answer.GetCreated()), grouped(answer.GetUnchanged()), len(n.state.Layouts)), nil
}

// submit uploads a file. The same file again is the same submission.
func (n *sandboxNode) submit(ctx context.Context, submission region.Submission) (string, error) {
	statistician, err := n.client("statistician")
	if err != nil {
		return "", err
	}
	content, err := readUpload(submission.File)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(slices.Concat([]byte(submission.Dataflow+" "+submission.Layout+"\n"), content))
	query := url.Values{"dataflow": {submission.Dataflow}}
	if submission.Layout != "" {
		query.Set("layout", submission.Layout)
	}
	header := http.Header{
		"Content-Type":    {mediaType(submission.File, submission.Layout)},
		"Idempotency-Key": {hex.EncodeToString(sum[:])},
	}
	answer := &statisticspb.Submission{}
	err = statistician.do(ctx, http.MethodPost, "/v1/submissions?"+query.Encode(), bytes.NewReader(content), header, answer)
	if err != nil {
		return "", err
	}
	if answer.GetState() != statisticspb.Submission_ACCEPTED {
		return "", fmt.Errorf("it was rejected:\n%s", report(answer))
	}
	return fmt.Sprintf("%s rows, %s observations", grouped(answer.GetRows()), grouped(answer.GetObservations())), nil
}

// readUpload returns the content of a file, decompressed.
func readUpload(path string) (content []byte, err error) {
	file, err := os.Open(path) //nolint:gosec // the region names the file
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	plain, err := decompress(file)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return io.ReadAll(plain)
}

// putAgreements brings the agreements of the region into force, and terminates those that it made and has no more.
func (s *sandbox) putAgreements(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, arrivalPatience, errors.New("a partner does not learn of an agreement"))
	defer cancel()
	made, err := s.madeAgreements()
	if err != nil {
		return "", err
	}
	ids := make([]string, 0, len(s.region.Agreements))
	for _, terms := range s.region.Agreements {
		if err := s.putAgreement(ctx, terms); err != nil {
			return "", fmt.Errorf("agreement %s: %w", terms.GetId(), err)
		}
		ids = append(ids, terms.GetId())
	}
	for _, id := range made {
		if !slices.Contains(ids, id) {
			if err := s.endAgreement(ctx, id); err != nil {
				return "", fmt.Errorf("ending agreement %s: %w", id, err)
			}
		}
	}
	return fmt.Sprintf("%d signed by both sides", len(ids)), s.writeJSON("agreements.json", ids)
}

// madeAgreements returns the ids of the agreements that the sandbox made.
func (s *sandbox) madeAgreements() (ids []string, err error) {
	text, err := os.ReadFile(s.path("agreements.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return ids, json.Unmarshal(text, &ids)
}

// putAgreement proposes and signs at the provider, waits for the proposal at the receiver, signs there, and waits until
// it is in force at both. Terms that changed become the next version.
func (s *sandbox) putAgreement(ctx context.Context, wanted *sharingpb.Terms) error {
	provider, err := s.node(wanted.GetProvider()).client("officer")
	if err != nil {
		return err
	}
	receiver, err := s.node(wanted.GetReceiver()).client("officer")
	if err != nil {
		return err
	}
	terms, ok := proto.Clone(wanted).(*sharingpb.Terms)
	if !ok {
		return errors.New("the terms cannot be copied")
	}
	newest, err := newestAgreement(ctx, provider, terms.GetId())
	if err != nil {
		return err
	}
	if newest != nil {
		terms.Version = newest.GetTerms().GetVersion()
	}
	ended := newest.GetState() == sharingpb.Agreement_TERMINATED || newest.GetState() == sharingpb.Agreement_SUPERSEDED
	if newest == nil || ended || !proto.Equal(terms, newest.GetTerms()) {
		if newest != nil {
			terms.Version = max(wanted.GetVersion(), terms.GetVersion()+1)
		}
		if err := provider.post(ctx, "/v1/agreements", terms, &sharingpb.CreateAgreementResponse{}); err != nil {
			return err
		}
	}
	for _, side := range []struct {
		state string
		*client
	}{{terms.GetProvider(), provider}, {terms.GetReceiver(), receiver}} {
		agreement, err := awaitAgreement(ctx, side.client, terms, func(*sharingpb.Agreement) bool { return true })
		if err != nil {
			return fmt.Errorf("at %s: %w", side.state, err)
		}
		if signedBy(agreement, side.state) {
			continue
		}
		err = side.post(ctx, agreementPath(terms.GetId())+":sign", &sharingpb.SignAgreementRequest{}, &sharingpb.SignAgreementResponse{})
		if err != nil {
			return fmt.Errorf("signing at %s: %w", side.state, err)
		}
	}
	for _, side := range []*client{provider, receiver} {
		if _, err := awaitAgreement(ctx, side, terms, active); err != nil {
			return err
		}
	}
	return nil
}

func active(a *sharingpb.Agreement) bool { return a.GetState() == sharingpb.Agreement_ACTIVE }

func signedBy(a *sharingpb.Agreement, state string) bool {
	return slices.ContainsFunc(a.GetSignatures(), func(s *sharingpb.AgreementSignature) bool { return s.GetState() == state })
}

// newestAgreement returns the newest version of an agreement at a node; nil: it has none.
func newestAgreement(ctx context.Context, officer *client, id string) (*sharingpb.Agreement, error) {
	answer := &sharingpb.ListAgreementsResponse{}
	if err := officer.get(ctx, "/v1/agreements", url.Values{"showEnded": {"true"}}, answer); err != nil {
		return nil, err
	}
	var newest *sharingpb.Agreement
	for _, a := range answer.GetAgreements() {
		if a.GetTerms().GetId() == id && a.GetTerms().GetVersion() > newest.GetTerms().GetVersion() {
			newest = a
		}
	}
	return newest, nil
}

// awaitAgreement returns the version of the agreement that terms has, once it is at the node and as it is to be.
func awaitAgreement(ctx context.Context, officer *client, terms *sharingpb.Terms, ready func(*sharingpb.Agreement) bool) (*sharingpb.Agreement, error) {
	for {
		a, err := newestAgreement(ctx, officer, terms.GetId())
		if err != nil {
			return nil, err
		}
		if a.GetTerms().GetVersion() == terms.GetVersion() && ready(a) {
			return a, nil
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// endAgreement terminates an agreement that the region has no more, at one of the states that know it.
func (s *sandbox) endAgreement(ctx context.Context, id string) error {
	for _, n := range s.nodes {
		officer, err := n.client("officer")
		if err != nil {
			return err
		}
		a, err := newestAgreement(ctx, officer, id)
		if err != nil {
			return err
		}
		if a.GetTerms().GetProvider() == n.state.Code && a.GetState() != sharingpb.Agreement_TERMINATED {
			return officer.post(ctx, agreementPath(id)+":terminate",
				&sharingpb.TerminateAgreementRequest{Reason: "The region's directory has it no more."}, &sharingpb.TerminateAgreementResponse{})
		}
	}
	return nil
}

// putAssumptions registers the assumptions of each state. One that is there already stays.
func (s *sandbox) putAssumptions(ctx context.Context) (string, error) {
	count := 0
	for _, n := range s.nodes {
		analyst, err := n.client("analyst")
		if err != nil {
			return "", err
		}
		known := &riskpb.ListAssumptionsResponse{}
		if err := analyst.get(ctx, "/v1/assumptions", url.Values{"pageSize": {"1000"}}, known); err != nil {
			return "", err
		}
		for _, assumption := range n.state.Assumptions {
			count++
			there := slices.ContainsFunc(known.GetAssumptions(), func(a *riskpb.Assumption) bool { return a.GetName() == assumption.GetName() })
			if there {
				continue
			}
			query := url.Values{"assumptionId": {strings.TrimPrefix(assumption.GetName(), "assumptions/")}}
			err := analyst.post(ctx, "/v1/assumptions?"+query.Encode(), assumption, &riskpb.CreateAssumptionResponse{})
			if err != nil {
				return "", fmt.Errorf("%s of %s: %w", assumption.GetName(), n.state.Code, err)
			}
		}
	}
	return fmt.Sprintf("%d registered", count), nil
}

// publish shows figures of a state to everybody. What has not changed since the sandbox was up last is not published again.
func (n *sandboxNode) publish(ctx context.Context, request *sharingpb.CreatePublicationRequest) (string, error) {
	officer, err := n.client("officer")
	if err != nil {
		return "", err
	}
	published := &sharingpb.Publication{}
	if err := officer.post(ctx, "/v1/publications", request, published); err != nil {
		return "", err
	}
	if published.GetState() == sharingpb.Publication_REFUSED {
		return "", errors.New(published.GetProblem())
	}
	n.published = published.GetDataflow()
	return fmt.Sprintf("%s: %s cells, %s withheld", strings.Join(published.GetIndicators(), ", "), grouped(published.GetReleased()),
		grouped(published.GetWithheld()+published.GetSuppressed())), nil
}

// awaitExchange waits until the newest release under each agreement in force is stored at its receiver, and its receipts
// are back.
func (s *sandbox) awaitExchange(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, arrivalPatience, errors.New("it does not arrive"))
	defer cancel()
	arrived := 0
	for _, terms := range s.region.Agreements {
		asked := time.Now()
		for {
			flow, err := s.flow(ctx, terms)
			if err != nil {
				return "", fmt.Errorf("agreement %s: %w", terms.GetId(), err)
			}
			if flow.arrived() {
				arrived++
				break
			}
			if time.Since(asked) > askingPause {
				nothing, err := s.nothingToSend(ctx, terms, flow)
				if err != nil {
					return "", fmt.Errorf("agreement %s: %w", terms.GetId(), err)
				}
				if nothing {
					break
				}
				asked = time.Now()
			}
			if err := pause(ctx, 200*time.Millisecond); err != nil {
				return "", fmt.Errorf("what %s sends %s under %s: %w (%s)", terms.GetProvider(), terms.GetReceiver(), terms.GetId(), err, flow)
			}
		}
	}
	return fmt.Sprintf("%d releases arrived", arrived), nil
}

// nothingToSend reports whether no release is to be expected: the agreement is not in force today, or there are no
// figures under it.
func (s *sandbox) nothingToSend(ctx context.Context, terms *sharingpb.Terms, flow flow) (bool, error) {
	today := time.Now().UTC().Format(time.DateOnly)
	if terms.GetValidFrom() > today || (terms.GetValidTo() != "" && terms.GetValidTo() < today) {
		return true, nil
	}
	if flow.release != nil {
		return false, nil
	}
	answers, err := s.explain(ctx, terms.GetProvider(), terms.GetReceiver(), terms.GetIndicators())
	if err != nil {
		return false, err
	}
	return !slices.ContainsFunc(answers, func(a explained) bool { return a.GetReleased() > 0 }), nil
}

// pause waits, and returns why the wait was cut short.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
