package rpc

import (
	"math"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/internal/rpc"
	"github.com/comity-federation/comity/services/sharing"
)

// each converts every element of a list.
func each[T, P any](list []T, convert func(T) P) []P {
	converted := make([]P, len(list))
	for i, element := range list {
		converted[i] = convert(element)
	}
	return converted
}

// page returns what a list request asks for.
func page(partner string, size int32, token string) (sharing.Page, error) {
	limit, err := rpc.PageSize(size)
	if err != nil {
		return sharing.Page{}, err
	}
	return sharing.Page{Partner: sharing.StateCode(partner), Limit: limit, Token: token}, nil
}

// agreementID reads "agreements/{id}".
func agreementID(name string) (sharing.AgreementID, error) {
	id, err := idIn("agreements", name)
	return sharing.AgreementID(id), err
}

// idIn reads "{collection}/{id}".
func idIn(collection, name string) (string, error) {
	id, ok := strings.CutPrefix(name, collection+"/")
	if !ok || id == "" {
		return "", fault.InvalidField("name", "%q is not of the form %s/{id}", name, collection)
	}
	return id, nil
}

// nameIn returns "{collection}/{id}"; "" for no id.
func nameIn[ID ~string](collection string, id ID) string {
	if id == "" {
		return ""
	}
	return collection + "/" + string(id)
}

func partner(p sharing.Partner) *sharingpb.Partner {
	said := &sharingpb.Partner{
		Code: string(p.Code), DisplayName: p.Name, Address: p.Address,
		LastContactTime: timestamp(p.LastContact), LastError: p.LastError,
		ReceivedSequence: float64(p.ReceivedSequence), ReceiptedSequence: float64(p.ReceiptedSequence), Waiting: count(p.Waiting),
		Quarantined: p.Quarantined, LogObjection: p.Objection,
	}
	if f := p.Fork; f != nil {
		said.LogFork = &sharingpb.LogFork{
			State: string(f.State), Seen: f.Seen, SeenSize: float64(f.SeenSize), Shown: f.Shown, ShownSize: float64(f.ShownSize),
		}
	}
	return said
}

func termsFromProto(t *sharingpb.Terms) sharing.Terms {
	return sharing.Terms{
		ID: sharing.AgreementID(t.GetId()), Version: int(t.GetVersion()),
		Provider: sharing.StateCode(t.GetProvider()), Receiver: sharing.StateCode(t.GetReceiver()),
		Dataflow: t.GetDataflow(), Indicators: t.GetIndicators(), Detail: t.GetDetail(), Purposes: t.GetPurposes(),
		MinimumFrequency: int(t.GetMinimumFrequency()), ValidFrom: t.GetValidFrom(), ValidTo: t.GetValidTo(),
		RetentionDays: int(t.GetRetentionDays()), Onward: t.GetOnward(), Text: t.GetText(),
		Tier: sharing.Tier(t.GetTier()), Afterwards: sharing.Afterwards(t.GetAfterwards()), LegalBasis: t.GetLegalBasis(),
		Schedule: sharing.Schedule(t.GetSchedule()), Quota: quotaFromProto(t.GetQuota()),
		Periods: spansFromProto(t.GetPeriods()), OnwardTo: codesFromProto(t.GetOnwardTo()), Source: sharing.StateCode(t.GetSource()),
	}
}

func terms(t sharing.Terms) *sharingpb.Terms {
	return &sharingpb.Terms{
		Id: string(t.ID), Version: count(t.Version), Provider: string(t.Provider), Receiver: string(t.Receiver),
		Dataflow: t.Dataflow, Indicators: t.Indicators, Detail: t.Detail, Purposes: t.Purposes,
		MinimumFrequency: count(t.MinimumFrequency), ValidFrom: t.ValidFrom, ValidTo: t.ValidTo,
		RetentionDays: count(t.RetentionDays), Onward: t.Onward, Text: t.Text,
		Tier: string(t.Tier), Afterwards: string(t.Afterwards), LegalBasis: t.LegalBasis,
		Schedule: string(t.Schedule), Quota: quota(t.Quota),
		Periods: each(t.Periods, span), OnwardTo: each(t.OnwardTo, func(c sharing.StateCode) string { return string(c) }), Source: string(t.Source),
	}
}

// codesFromProto returns the states of the codes; nil where there are none, as documents have it.
func codesFromProto(list []string) []sharing.StateCode {
	var codes []sharing.StateCode
	for _, code := range list {
		codes = append(codes, sharing.StateCode(code))
	}
	return codes
}

func span(s sharing.Span) *sharingpb.TimeSpan { return &sharingpb.TimeSpan{From: s.From, To: s.To} }

func spansFromProto(list []*sharingpb.TimeSpan) sharing.Spans {
	var spans sharing.Spans
	for _, p := range list {
		spans = append(spans, sharing.Span{From: p.GetFrom(), To: p.GetTo()})
	}
	return spans
}

func quotaFromProto(q *sharingpb.Quota) *sharing.Quota {
	if q == nil {
		return nil
	}
	return &sharing.Quota{Observations: int(q.GetObservations()), Bytes: int(q.GetBytes()), Period: q.GetPeriod()}
}

func quota(q *sharing.Quota) *sharingpb.Quota {
	if q == nil {
		return nil
	}
	return &sharingpb.Quota{Observations: float64(q.Observations), Bytes: float64(q.Bytes), Period: q.Period}
}

var agreementStates = map[sharing.AgreementState]sharingpb.Agreement_State{
	sharing.Proposed:   sharingpb.Agreement_PROPOSED,
	sharing.Active:     sharingpb.Agreement_ACTIVE,
	sharing.Superseded: sharingpb.Agreement_SUPERSEDED,
	sharing.Terminated: sharingpb.Agreement_TERMINATED,
}

func explanation(e sharing.Explanation) *sharingpb.ExplainPolicyResponse {
	return &sharingpb.ExplainPolicyResponse{
		Allowed:     e.Allowed,
		Reasons:     each(e.Reasons, reason),
		Obligations: obligations(e.Obligations, e.Detail, e.Periods),
		Coarsened:   e.Coarsened, PolicyRevision: e.PolicyRevision,
		Released: count(e.Released), Withheld: count(e.Withheld), Suppressed: count(e.Suppressed),
		Rules: counts(e.Rules), Cells: each(e.Cells, withheldCell), Notes: each(e.Notes, tableNote),
	}
}

func withheldCell(c sharing.WithheldCell) *sharingpb.WithheldCell {
	return &sharingpb.WithheldCell{
		Key: c.Codes, TimePeriod: c.Period, ConfStatus: c.ConfStatus, Explanation: c.Text, Protects: c.Protects,
	}
}

func reason(r sharing.Reason) *sharingpb.Reason {
	return &sharingpb.Reason{Code: r.Code, Text: r.Text, Agreement: string(r.Agreement)}
}

func obligations(o sharing.Obligations, detail map[string]string, periods sharing.Spans) *sharingpb.Obligations {
	p := &sharingpb.Obligations{
		MinimumFrequency: count(o.MinimumFrequency), Purposes: o.Purposes,
		RetentionDays: count(o.RetentionDays), Onward: o.Onward, Detail: detail,
		Tier: string(o.Tier), RelativeWidth: o.RelativeWidth, MinimumKept: o.MinimumKept, Decimals: count(o.Decimals),
		Periods: each(periods, span),
	}
	if d := o.Dominance; d != nil {
		p.Dominance = &sharingpb.Obligations_Dominance{N: count(d.N), K: d.K, By: d.By}
	}
	if r := o.PPercent; r != nil {
		p.PPercent = &sharingpb.Obligations_PPercent{P: r.P, By: r.By}
	}
	return p
}

func release(r sharing.Release) *sharingpb.Release {
	converted := &sharingpb.Release{
		Name: nameIn("releases", r.ID), Partner: string(r.Partner),
		Agreement: string(r.Agreement), AgreementVersion: count(r.AgreementVersion), Dataflow: r.Dataflow, Indicators: r.Indicators,
		Decision: string(r.Decision), PolicyRevision: r.PolicyRevision, StatisticsRevision: r.Revision,
		Candidates: count(r.Candidates), Released: count(r.Released), Withheld: count(r.Withheld), Suppressed: count(r.Suppressed),
		ValueKept: r.ValueKept, Coarsened: r.Coarsened, Batches: count(r.Batches), Sha256: r.SHA256, CreateTime: timestamp(r.Created),
		Rules: counts(r.Rules), Notes: each(r.Notes, tableNote),
	}
	if p := r.Passed; p != nil {
		converted.Source, converted.SourceAgreement, converted.SourceRelease = string(p.Provider), string(p.Agreement), string(p.Release)
	}
	return converted
}

func tableNote(n sharing.Note) *sharingpb.TableNote {
	return &sharingpb.TableNote{Area: n.Area, Indicator: n.Indicator, Periods: n.Periods, Detail: n.Detail, Reason: n.Reason}
}

// counts returns counts by name as the API has them.
func counts(of map[string]int) map[string]int32 {
	converted := make(map[string]int32, len(of))
	for name, n := range of {
		converted[name] = count(n)
	}
	return converted
}

var directions = map[sharing.Direction]sharingpb.Direction_Way{
	sharing.Sent:     sharingpb.Direction_SENT,
	sharing.Received: sharingpb.Direction_RECEIVED,
}

var deliveryStates = map[sharing.DeliveryState]sharingpb.Delivery_State{
	sharing.Waiting:            sharingpb.Delivery_WAITING,
	sharing.Receipted:          sharingpb.Delivery_RECEIPTED,
	sharing.Staged:             sharingpb.Delivery_STAGED,
	sharing.Stored:             sharingpb.Delivery_STORED,
	sharing.Refused:            sharingpb.Delivery_REFUSED,
	sharing.SupersededDelivery: sharingpb.Delivery_SUPERSEDED,
}

func delivery(d sharing.Delivery) *sharingpb.Delivery {
	return &sharingpb.Delivery{
		Direction: directions[d.Direction], State: deliveryStates[d.State], Partner: string(d.Partner),
		Release: string(d.Release), Agreement: string(d.Agreement),
		Stream: d.Stream, Epoch: d.Epoch, Sequence: float64(d.Sequence), Cells: count(d.Cells), EnvelopeSha256: d.EnvelopeSHA256,
		CreateTime: timestamp(d.Created), ReceiptTime: timestamp(d.ReceiptTime), ReceiptVerified: d.ReceiptVerified, Reason: d.Reason,
	}
}

func logEntry(e sharing.LogEntry) *sharingpb.LogEntry {
	return &sharingpb.LogEntry{
		Index: float64(e.Index), Kind: sharingpb.LogEntry_Kind(e.Kind), Subject: e.Subject, CreateTime: timestamp(e.Created),
		Salt: e.Salt, ContentSha256: e.ContentSHA256, LeafHash: e.LeafHash, Content: e.Content, TreeHashes: e.TreeHashes,
	}
}

// LogEntryFromProto returns the log entry that p is the wire form of, for those who verify a log from outside.
func LogEntryFromProto(p *sharingpb.LogEntry) sharing.LogEntry {
	return sharing.LogEntry{
		Index: int64(p.GetIndex()), Kind: sharing.EntryKind(p.GetKind()), Subject: p.GetSubject(), //nolint:gosec // a kind is a small enum
		Created: p.GetCreateTime().AsTime(), Salt: p.GetSalt(), ContentSHA256: p.GetContentSha256(),
		LeafHash: p.GetLeafHash(), Content: p.GetContent(), TreeHashes: p.GetTreeHashes(),
	}
}

// timestamp returns the wire form of t; absent where it is zero.
func timestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// count returns n as the API has counts; one that is larger is given as the largest.
func count(n int) int32 {
	return int32(min(max(n, math.MinInt32), math.MaxInt32))
}
