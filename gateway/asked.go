package main

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/comity-federation/comity/gateway/sdmx"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/proto/wire"
)

// asked is what the parameters and headers of an upload say.
type asked struct {
	header      *statisticspb.SubmissionHeader
	conditions  []sdmx.Condition // c[…]: what is replaced or taken away
	withoutBody bool             // what passes the conditions is taken away, and no rows are named
}

// readAsked reads the parameters and headers.
func readAsked(r *http.Request) (*asked, error) {
	a := &asked{header: &statisticspb.SubmissionHeader{}}
	parameters, err := sdmx.ParseParameters(r.URL.RawQuery)
	if err != nil {
		return nil, invalid("query", "%v", err)
	}
	for _, p := range parameters {
		if err := a.readParameter(p); err != nil {
			return nil, err
		}
	}
	key, err := idempotencyKey(r.Header)
	if err != nil {
		return nil, err
	}
	a.header.IdempotencyKey = key
	a.withoutBody = r.ContentLength == 0 && a.header.GetAction() == statisticspb.SubmissionHeader_DELETE && a.header.GetLayout() == "" && len(a.conditions) > 0
	return a, a.checkConditions(false)
}

func (a *asked) readParameter(p sdmx.Parameter) error {
	if _, ok := p.Filtered(); ok {
		condition, err := p.Condition()
		if err != nil {
			return invalid(p.Name, "%v", err)
		}
		a.conditions = append(a.conditions, condition)
		return nil
	}
	switch p.Name {
	case "dataflow":
		if _, err := sdmx.ParseRef(p.Value); p.Value != "" && err != nil {
			return invalid(p.Name, "%v", err)
		}
		a.header.Dataflow = p.Value
	case "layout":
		a.header.Layout = p.Value
	case "action":
		action, ok := statisticspb.SubmissionHeader_Action_value[p.Value]
		if !ok || action == 0 {
			return invalid(p.Name, "is %q; there are MERGE, REPLACE, APPEND and DELETE", p.Value)
		}
		a.header.Action = statisticspb.SubmissionHeader_Action(action)
	default:
		return invalid(p.Name, "is no parameter of this call; there are dataflow, layout, action and c[COMPONENT]")
	}
	return nil
}

// idempotencyKey returns the caller's key, or one of its own.
func idempotencyKey(header http.Header) (string, error) {
	keys := header.Values("Idempotency-Key")
	switch {
	case len(keys) == 0:
		return rand.Text(), nil // whoever wants to repeat a call safely gives a key
	case len(keys) > 1 || keys[0] == "" || utf8.RuneCountInString(keys[0]) > maxKeyLength || strings.ContainsFunc(keys[0], notPrintable):
		return "", invalid("Idempotency-Key", "must be one header of 1 to %d printable ASCII characters", maxKeyLength)
	}
	return keys[0], nil
}

func notPrintable(r rune) bool { return r < 0x20 || r > 0x7e }

// checkConditions looks whether the action has a use for c[…]. Until the message was read, it may not be known.
func (a *asked) checkConditions(read bool) error {
	if len(a.conditions) == 0 {
		return nil
	}
	switch a.header.GetAction() {
	case statisticspb.SubmissionHeader_REPLACE, statisticspb.SubmissionHeader_DELETE:
		return nil
	case statisticspb.SubmissionHeader_UNSPECIFIED:
		if !read && a.header.GetLayout() == "" {
			return nil
		}
	}
	return invalid("c["+a.conditions[0].Component+"]", "says what is replaced or taken away, so the action must be REPLACE or DELETE")
}

// bound completes the header: the conditions become a filter over what the dataflow has.
func (a *asked) bound(ctx context.Context, statistics statisticspb.StatisticsServiceClient) error {
	if err := a.checkConditions(true); err != nil {
		return err
	}
	if a.header.GetAction() == statisticspb.SubmissionHeader_UNSPECIFIED {
		a.header.Action = statisticspb.SubmissionHeader_MERGE
	}
	if len(a.conditions) == 0 {
		return nil
	}
	if a.header.GetDataflow() == "" {
		return invalid("dataflow", "is missing; c[…] is held against it")
	}
	answer, err := statistics.GetStructures(ctx, &statisticspb.GetStructuresRequest{Dataflow: a.header.GetDataflow()})
	if err != nil {
		return err
	}
	structure, err := structureFromProto(answer.GetStructures())
	if err != nil {
		return err
	}
	scope, err := structure.Filter(a.conditions)
	if wrong := (*sdmx.Error)(nil); errors.As(err, &wrong) {
		return invalid("c[…]", "%v", wrong)
	} else if err != nil {
		return err
	}
	a.header.Scope = wire.FilterToProto(scope)
	return nil
}

// agree holds what a message says of itself against the parameters, and fills in what these leave open.
func (a *asked) agree(reader sdmx.Reader) error {
	if err := a.agreeAction(reader.Action()); err != nil {
		return err
	}
	kind, text := reader.Dataflow()
	if kind != "dataflow" {
		if a.header.GetDataflow() != "" {
			return nil
		}
		if kind == "" {
			return invalid("dataflow", "is missing: the file does not name it")
		}
		return invalid("dataflow", "is missing: the file names a %s", kind)
	}
	file, err := sdmx.ParseRef(text)
	if err != nil {
		return invalid("dataflow", "%v", err)
	}
	if a.header.GetDataflow() == "" {
		a.header.Dataflow = file.String()
		return nil
	}
	want, err := sdmx.ParseRef(a.header.GetDataflow())
	if err != nil {
		return invalid("dataflow", "%v", err)
	}
	if want.Agency != file.Agency || want.ID != file.ID || file.Version != "" && want.Version != "" && want.Version != file.Version {
		return invalid("dataflow", "is %s, but the file is of %s", want, file)
	}
	if want.Version == "" {
		a.header.Dataflow = file.String()
	}
	return nil
}

// agreeAction takes the message's action where the parameters name none.
//
// Replace, in SDMX, replaces observation by observation, and leaves alone what the message does not name (SDMX 3.1, section
// 3A, part IV, 4.1.2). That is what MERGE does here, where an observation is always written whole. With c[…], or where the
// parameter says so, all that is in their scope and not in the message goes.
func (a *asked) agreeAction(file sdmx.Action) error {
	merge, replace := statisticspb.SubmissionHeader_MERGE, statisticspb.SubmissionHeader_REPLACE
	said := map[sdmx.Action]statisticspb.SubmissionHeader_Action{
		sdmx.Append: statisticspb.SubmissionHeader_APPEND, sdmx.Merge: merge, sdmx.Replace: merge, sdmx.Delete: statisticspb.SubmissionHeader_DELETE,
	}[file]
	if file == sdmx.Replace && len(a.conditions) > 0 {
		said = replace
	}
	want := a.header.GetAction()
	switch {
	case want == statisticspb.SubmissionHeader_UNSPECIFIED:
		a.header.Action = said
	case file == sdmx.Information || want == said || file == sdmx.Replace && want == replace:
	default:
		return invalid("action", "is %s, but the file says %s", want, file)
	}
	return nil
}
