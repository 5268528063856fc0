package main

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	riskpb "github.com/comity-federation/comity/proto/comity/risk/v1"
	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
)

// flow is what goes from one state to another under an agreement, as both of them tell it.
type flow struct {
	release  *sharingpb.Release    // the newest under the agreement's newest version; nil: none yet
	sent     []*sharingpb.Delivery // the release's batches, at the provider
	received []*sharingpb.Delivery // the same, at the receiver
}

// arrived reports whether the release is stored whole at the receiver, and every receipt is back and verified.
func (f flow) arrived() bool {
	return f.release != nil && f.stored() == int(f.release.GetBatches()) && f.verified() == int(f.release.GetBatches())
}

func (f flow) stored() int { return count(f.received, sharingpb.Delivery_STORED) }

func (f flow) verified() int {
	n := 0
	for _, d := range f.sent {
		if d.GetState() == sharingpb.Delivery_RECEIPTED && d.GetReceiptVerified() {
			n++
		}
	}
	return n
}

// cells returns how many cells the receiver has stored.
func (f flow) cells() int32 {
	var n int32
	for _, d := range f.received {
		if d.GetState() == sharingpb.Delivery_STORED {
			n += d.GetCells()
		}
	}
	return n
}

func count(deliveries []*sharingpb.Delivery, state sharingpb.Delivery_State) int {
	n := 0
	for _, d := range deliveries {
		if d.GetState() == state {
			n++
		}
	}
	return n
}

// String says how far it got.
func (f flow) String() string {
	if f.release == nil {
		return "no release was made"
	}
	text := fmt.Sprintf("%s: of %d batches %d are stored, %d receipts are verified",
		f.release.GetName(), f.release.GetBatches(), f.stored(), f.verified())
	for _, d := range f.received {
		if d.GetState() == sharingpb.Delivery_REFUSED {
			text += fmt.Sprintf("; batch %.0f was refused: %s", d.GetSequence(), d.GetReason())
		}
	}
	return text
}

// flow asks both states of an agreement what went and what came.
func (s *sandbox) flow(ctx context.Context, terms *sharingpb.Terms) (f flow, err error) {
	provider, err := s.node(terms.GetProvider()).client("officer")
	if err != nil {
		return f, err
	}
	receiver, err := s.node(terms.GetReceiver()).client("officer")
	if err != nil {
		return f, err
	}
	agreement, err := newestAgreement(ctx, provider, terms.GetId())
	if err != nil {
		return f, err
	}
	for token := ""; ; {
		page := &sharingpb.ListReleasesResponse{}
		query := url.Values{"partner": {terms.GetReceiver()}, "pageSize": {"100"}, "pageToken": {token}}
		if err := provider.get(ctx, "/v1/releases", query, page); err != nil {
			return f, err
		}
		at := slices.IndexFunc(page.GetReleases(), func(r *sharingpb.Release) bool {
			return r.GetAgreement() == terms.GetId() && r.GetAgreementVersion() == agreement.GetTerms().GetVersion()
		})
		if at >= 0 {
			f.release = page.GetReleases()[at]
			break
		}
		if token = page.GetNextPageToken(); token == "" {
			return f, nil
		}
	}
	if f.sent, err = deliveries(ctx, provider, terms.GetReceiver(), f.release, sharingpb.Direction_SENT); err != nil {
		return f, err
	}
	f.received, err = deliveries(ctx, receiver, terms.GetProvider(), f.release, sharingpb.Direction_RECEIVED)
	return f, err
}

// deliveries returns the batches of a release at a node.
func deliveries(ctx context.Context, officer *client, partner string, release *sharingpb.Release, way sharingpb.Direction_Way) ([]*sharingpb.Delivery, error) {
	id := strings.TrimPrefix(release.GetName(), "releases/")
	var found []*sharingpb.Delivery
	for token := ""; ; {
		page := &sharingpb.ListDeliveriesResponse{}
		query := url.Values{"partner": {partner}, "pageSize": {"1000"}, "pageToken": {token}}
		if err := officer.get(ctx, "/v1/deliveries", query, page); err != nil {
			return nil, err
		}
		for _, d := range page.GetDeliveries() {
			if d.GetDirection() == way && strings.TrimPrefix(d.GetRelease(), "releases/") == id {
				found = append(found, d)
			}
		}
		if token = page.GetNextPageToken(); token == "" || len(found) >= int(release.GetBatches()) {
			return found, nil
		}
	}
}

// explained is what policy says about an indicator.
type explained struct {
	indicator string
	*sharingpb.ExplainPolicyResponse
}

// explain asks the provider's policy about each indicator.
func (s *sandbox) explain(ctx context.Context, provider, receiver string, indicators []string) ([]explained, error) {
	officer, err := s.node(provider).client("officer")
	if err != nil {
		return nil, err
	}
	var answers []explained
	for _, indicator := range indicators {
		answer := explained{indicator, &sharingpb.ExplainPolicyResponse{}}
		request := &sharingpb.ExplainPolicyRequest{Partner: receiver, Indicator: indicator}
		if err := officer.post(ctx, "/v1/policy:explain", request, answer.ExplainPolicyResponse); err != nil {
			return nil, fmt.Errorf("asking %s about %s for %s: %w", provider, indicator, receiver, err)
		}
		answers = append(answers, answer)
	}
	return answers, nil
}

// printOutcome prints what each state holds, what went between each two, and what became of what was assumed.
func (s *sandbox) printOutcome(ctx context.Context) error {
	for _, print := range []func(context.Context, *tabwriter.Writer) error{s.printStates, s.printFlows, s.printVerdicts} {
		s.progress.say("")
		table := tabwriter.NewWriter(s.progress.out, 0, 0, 2, ' ', 0)
		if err := print(ctx, table); err != nil {
			return err
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func row(table *tabwriter.Writer, cells ...any) {
	text := make([]string, len(cells))
	for i, cell := range cells {
		text[i] = fmt.Sprint(cell)
	}
	_, _ = fmt.Fprintln(table, "  "+strings.Join(text, "\t"))
}

// printStates prints, for each state, what its agencies submitted.
func (s *sandbox) printStates(ctx context.Context, table *tabwriter.Writer) error {
	row(table, "STATE", "SUBMITTED TO", "ROWS", "OBSERVATIONS", "DERIVED", "UNMAPPED LABELS")
	var notes []string
	for _, n := range s.nodes {
		statistician, err := n.client("statistician")
		if err != nil {
			return err
		}
		for token := ""; ; {
			page := &statisticspb.ListSubmissionsResponse{}
			if err := statistician.get(ctx, "/v1/submissions", url.Values{"pageSize": {"1000"}, "pageToken": {token}}, page); err != nil {
				return err
			}
			for _, submission := range page.GetSubmissions() {
				if submission.GetProvider() != n.state.Code || submission.GetState() != statisticspb.Submission_ACCEPTED {
					continue
				}
				var derived, unmapped int32
				for _, d := range submission.GetDerivations() {
					derived += d.GetObservations()
					unmapped += d.GetUnmappedLabels()
				}
				row(table, n.state.Code, submission.GetDataflow(), grouped(submission.GetRows()),
					grouped(submission.GetObservations()), grouped(derived), grouped(unmapped))
				if unmapped > 0 {
					labels, err := unmappedLabels(ctx, statistician, submission.GetName())
					if err != nil {
						return err
					}
					notes = append(notes, n.state.Code+" unmapped: "+strings.Join(labels, ", "))
				}
			}
			if token = page.GetNextPageToken(); token == "" {
				break
			}
		}
	}
	return s.printNotes(table, notes)
}

// printNotes ends a table and prints the notes under it.
func (s *sandbox) printNotes(table *tabwriter.Writer, notes []string) error {
	if err := table.Flush(); err != nil || len(notes) == 0 {
		return err
	}
	s.progress.say("")
	for _, note := range notes {
		s.progress.say("  %s", note)
	}
	return nil
}

// unmappedLabels returns the labels in a submission that no map knows.
func unmappedLabels(ctx context.Context, statistician *client, name string) ([]string, error) {
	answer := &statisticspb.GetSubmissionResponse{}
	if err := statistician.get(ctx, "/v1/"+name, nil, answer); err != nil {
		return nil, err
	}
	var labels []string
	for _, finding := range answer.GetSubmission().GetFindings() {
		if finding.GetRule() == "UNMAPPED_LABEL" {
			labels = append(labels, fmt.Sprintf("%s %q", finding.GetColumn(), finding.GetValues()))
		}
	}
	return labels, nil
}

// printFlows prints, for each ordered pair of states, what went under each agreement, or why nothing did.
func (s *sandbox) printFlows(ctx context.Context, table *tabwriter.Writer) error {
	row(table, "FROM → TO", "AGREEMENT", "RELEASED", "VALUE KEPT", "WITHHELD", "SUPPRESSED", "RECEIVED", "RECEIPT")
	var notes []string
	for _, from := range s.nodes {
		for _, to := range s.nodes {
			if from == to {
				continue
			}
			more, err := s.printPair(ctx, table, from.state.Code, to.state.Code)
			if err != nil {
				return err
			}
			notes = append(notes, more...)
		}
	}
	return s.printNotes(table, notes)
}

func (s *sandbox) printPair(ctx context.Context, table *tabwriter.Writer, from, to string) (notes []string, err error) {
	pair := from + " → " + to
	agreed := false
	for _, terms := range s.region.Agreements {
		if terms.GetProvider() != from || terms.GetReceiver() != to {
			continue
		}
		agreed = true
		f, err := s.flow(ctx, terms)
		if err != nil {
			return nil, err
		}
		if f.release == nil {
			row(table, pair, terms.GetId(), "–", "", "", "", "", "")
		} else {
			receipt := "missing"
			if f.arrived() {
				receipt = "verified"
			}
			row(table, pair, fmt.Sprintf("%s v%d", terms.GetId(), f.release.GetAgreementVersion()), grouped(f.release.GetReleased()),
				fmt.Sprintf("%.2f %%", 100*f.release.GetValueKept()), grouped(f.release.GetWithheld()),
				grouped(f.release.GetSuppressed()), grouped(f.cells()), receipt)
			notes = append(notes, pair+" coarsened: "+coarsened(f.release.GetCoarsened()))
		}
		if f.release == nil || f.release.GetWithheld() > 0 {
			reasons, err := s.reasons(ctx, from, to, terms.GetIndicators())
			if err != nil {
				return nil, err
			}
			notes = append(notes, prefixed(pair+" withheld: ", reasons)...)
		}
	}
	if agreed || len(s.region.Agreements) == 0 {
		return notes, nil
	}
	row(table, pair, "none", "nothing", "", "", "", "", "")
	reasons, err := s.reasons(ctx, from, to, []string{s.anIndicator(from)})
	return append(notes, prefixed(pair+" withheld: ", reasons)...), err
}

// anIndicator returns one to ask about: of what the state provides to somebody, else of what anybody does.
func (s *sandbox) anIndicator(provider string) string {
	indicator := ""
	for _, terms := range s.region.Agreements {
		if len(terms.GetIndicators()) > 0 && (indicator == "" || terms.GetProvider() == provider) {
			indicator = terms.GetIndicators()[0]
		}
	}
	return indicator
}

func (s *sandbox) reasons(ctx context.Context, from, to string, indicators []string) ([]string, error) {
	answers, err := s.explain(ctx, from, to, indicators)
	if err != nil {
		return nil, err
	}
	var reasons []string
	for _, answer := range answers {
		for _, reason := range answer.GetReasons() {
			reasons = append(reasons, fmt.Sprintf("%s, %s: %s", answer.indicator, reason.GetCode(), reason.GetText()))
		}
	}
	return reasons, nil
}

func prefixed(prefix string, texts []string) []string {
	for i, text := range texts {
		texts[i] = prefix + text
	}
	return texts
}

// coarsened says to what the dimensions were rolled up, those that went together in one word.
func coarsened(details map[string]string) string {
	dimensions := map[string][]string{}
	for _, dimension := range slices.Sorted(maps.Keys(details)) {
		dimensions[details[dimension]] = append(dimensions[details[dimension]], dimension)
	}
	parts := make([]string, 0, len(dimensions))
	for _, detail := range slices.Sorted(maps.Keys(dimensions)) {
		parts = append(parts, strings.Join(dimensions[detail], ", ")+" to "+detail)
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, "; ")
}

// printVerdicts judges each assumption and prints the verdict with its evidence.
func (s *sandbox) printVerdicts(ctx context.Context, table *tabwriter.Writer) error {
	row(table, "STATE", "ASSUMED", "COUNTED", "VERDICT")
	for _, n := range s.nodes {
		analyst, err := n.client("analyst")
		if err != nil {
			return err
		}
		for _, assumption := range n.state.Assumptions {
			answer := &riskpb.JudgeAssumptionResponse{}
			err := analyst.post(ctx, "/v1/"+assumption.GetName()+":judge", &riskpb.JudgeAssumptionRequest{}, answer)
			if err != nil {
				return fmt.Errorf("judging %s of %s: %w", assumption.GetName(), n.state.Code, err)
			}
			total := 0.0
			for _, e := range answer.GetEvidence() {
				total += e.GetCount()
			}
			evidence := assumption.GetEvidence()
			row(table, n.state.Code, assumption.GetTitle(),
				fmt.Sprintf("%s in %s to %s", grouped(int32(total)), evidence.GetStartPeriod(), evidence.GetEndPeriod()),
				strings.ToLower(strings.ReplaceAll(answer.GetJudgement().GetVerdict().String(), "_", "-")))
		}
	}
	return nil
}

// nextCommands returns what to try next, ready to be pasted where this command was given.
func (s *sandbox) nextCommands() []string {
	var commands []string
	if len(s.region.Agreements) > 0 {
		terms := s.region.Agreements[0]
		n := s.node(terms.GetReceiver())
		commands = append(commands, fmt.Sprintf(`curl -s -H "Authorization: Bearer $(cat %s)" -H 'Accept: text/csv' '%s/sdmx/v2/data/dataflow/%s/%s'`,
			s.shown(n.tokens["analyst"]), n.gateway(), dataflowPath(terms.GetDataflow()), s.exampleKey(terms)))
		partner := s.strangerOf(terms.GetProvider(), terms.GetReceiver())
		commands = append(commands, fmt.Sprintf("%s explain --state %s --partner %s --indicator %s%s",
			s.program(), terms.GetProvider(), partner, terms.GetIndicators()[0], s.dirFlag()))
	}
	if i := slices.IndexFunc(s.nodes, func(n *sandboxNode) bool { return n.published != "" }); i >= 0 {
		commands = append(commands, fmt.Sprintf(`curl -s -H 'Accept: text/csv' '%s/sdmx/v2/data/dataflow/%s/*'`,
			s.nodes[i].gateway(), dataflowPath(s.nodes[i].published)))
	}
	return append(commands, fmt.Sprintf("%s audit verify%s", s.program(), s.dirFlag()))
}

// dataflowPath turns "AGENCY:ID(VERSION)" into "AGENCY/ID/VERSION".
func dataflowPath(reference string) string {
	return strings.NewReplacer(":", "/", "(", "/", ")", "").Replace(reference)
}

// exampleKey returns the key of the totals that go under an agreement: every dimension at its total but frequency,
// reporting state and indicator. Of a dataflow whose structure is not at hand it is everything.
func (s *sandbox) exampleKey(terms *sharingpb.Terms) string {
	fixed := map[string]string{
		"FREQ":      terms.GetDetail()["FREQ"],
		"REF_AREA":  s.node(terms.GetProvider()).state.RefAreas[0],
		"INDICATOR": terms.GetIndicators()[0],
	}
	for _, set := range s.region.Structures {
		for _, flow := range set.GetDataflows() {
			if fmt.Sprintf("%s:%s(%s)", flow.GetAgency(), flow.GetId(), flow.GetVersion()) != terms.GetDataflow() {
				continue
			}
			for _, structure := range set.GetDataStructures() {
				if fmt.Sprintf("%s:%s(%s)", structure.GetAgency(), structure.GetId(), structure.GetVersion()) != flow.GetStructure() {
					continue
				}
				key := make([]string, len(structure.GetDimensions()))
				for i, dimension := range structure.GetDimensions() {
					if key[i] = fixed[dimension.GetId()]; key[i] == "" {
						key[i] = "_T"
					}
				}
				return strings.Join(key, ".")
			}
		}
	}
	return "*"
}

// strangerOf returns a state that the provider has no agreement with; if there is none, the receiver.
func (s *sandbox) strangerOf(provider, receiver string) string {
	for _, n := range s.nodes {
		code := n.state.Code
		agreed := slices.ContainsFunc(s.region.Agreements, func(t *sharingpb.Terms) bool {
			return t.GetProvider() == provider && t.GetReceiver() == code
		})
		if code != provider && !agreed {
			return code
		}
	}
	return receiver
}

// program returns how this program is called from where the command was given.
func (s *sandbox) program() string { return s.shown(filepath.Join(s.binaries, "comity")) }

// dirFlag returns the flag that names this sandbox, where it is not the default.
func (s *sandbox) dirFlag() string {
	if shown := s.shown(s.directory); shown != ".comity" {
		return " --dir " + shown
	}
	return ""
}

// shown returns a path as it is shortest from here.
func (s *sandbox) shown(path string) string {
	here, err := os.Getwd()
	if err != nil {
		return path
	}
	relative, err := filepath.Rel(here, path)
	if err != nil || len(relative) > len(path) || strings.HasPrefix(relative, "..") {
		return path
	}
	return relative
}
