package rpc

import (
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/proto/wire"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/statistics"
)

// refs reads references, and remembers the first that is none.
type refs struct{ err error }

func (r *refs) parse(text string) statistics.Ref {
	if text == "" {
		return statistics.Ref{}
	}
	ref, err := statistics.ParseRef(text)
	if err != nil && r.err == nil {
		r.err = err
	}
	return ref
}

func refText(ref statistics.Ref) string {
	if ref == (statistics.Ref{}) {
		return ""
	}
	return ref.String()
}

// convert returns the converted items; nil where there are none.
func convert[A, B any](items []A, one func(A) B) []B {
	if len(items) == 0 {
		return nil
	}
	converted := make([]B, len(items))
	for i, item := range items {
		converted[i] = one(item)
	}
	return converted
}

// names is nil where there are none, as it is when it comes from the store.
func names(of map[string]string) statistics.Names {
	if len(of) == 0 {
		return nil
	}
	return of
}

// texts is nil where there are none.
func texts(of []string) []string {
	if len(of) == 0 {
		return nil
	}
	return of
}

func layoutFromProto(p *statisticspb.Layout) (statistics.Layout, error) {
	var r refs
	l := statistics.Layout{
		ID: p.GetId(), Dataflow: r.parse(p.GetDataflow()), Delimiter: p.GetDelimiter(), Constants: names(p.GetConstants()),
		Encoding: p.GetEncoding(), Quote: p.GetQuote(), NoQuotes: p.GetNoQuotes(), NoHeader: p.GetNoHeader(),
		SkipLines: int(p.GetSkipLines()), Footers: texts(p.GetFooters()), Trim: p.GetTrim(),
		Numbers: statistics.LayoutNumbers{Decimal: p.GetNumbers().GetDecimal(), Thousands: p.GetNumbers().GetThousands()},
		Period: statistics.LayoutPeriod{
			Headers: texts(p.GetPeriod().GetHeaders()), Format: p.GetPeriod().GetFormat(), Months: texts(p.GetPeriod().GetMonths()),
			FiscalYear: statistics.FiscalYear{
				FirstMonth:   int(p.GetPeriod().GetFiscalYear().GetFirstMonth()),
				NamedByStart: p.GetPeriod().GetFiscalYear().GetNamedByStart(),
			},
		},
		Columns: convert(p.GetColumns(), func(c *statisticspb.LayoutColumn) statistics.LayoutColumn {
			return statistics.LayoutColumn{
				Header: c.GetHeader(), Component: c.GetComponent(), Blank: c.GetBlank(), Blanks: texts(c.GetBlanks()),
				Case:      r.letterCase(c.GetLetterCase()),
				Constants: names(c.GetConstants()), SkipBlank: c.GetSkipBlank(), Total: c.GetTotal(),
			}
		}),
		Filters: convert(p.GetFilters(), func(f *statisticspb.LayoutFilter) statistics.LayoutFilter {
			return statistics.LayoutFilter{Header: f.GetHeader(), Keep: texts(f.GetKeep()), LeaveOut: texts(f.GetLeaveOut())}
		}),
	}
	switch p.GetDuplicates() {
	case statisticspb.Layout_UNSPECIFIED, statisticspb.Layout_REJECT:
		l.Duplicates = statistics.RejectDuplicates
	case statisticspb.Layout_SUM:
		l.Duplicates = statistics.SumDuplicates
	case statisticspb.Layout_FIRST:
		l.Duplicates = statistics.KeepFirst
	case statisticspb.Layout_LAST:
		l.Duplicates = statistics.KeepLast
	default:
		return l, fault.InvalidField("layout.duplicates", "%d is not known", p.GetDuplicates())
	}
	return l, r.err
}

// letterCase returns the case, and remembers one that is not known as an error.
func (r *refs) letterCase(p statisticspb.LayoutColumn_LetterCase) statistics.LetterCase {
	switch p {
	case statisticspb.LayoutColumn_UNSPECIFIED:
	case statisticspb.LayoutColumn_UPPER:
		return statistics.UpperCase
	case statisticspb.LayoutColumn_LOWER:
		return statistics.LowerCase
	default:
		if r.err == nil {
			r.err = fault.InvalidField("layout.columns.letterCase", "%d is not known", p)
		}
	}
	return statistics.AsWritten
}

var duplicateRules = [...]statisticspb.Layout_DuplicateRule{
	statistics.RejectDuplicates: statisticspb.Layout_REJECT,
	statistics.SumDuplicates:    statisticspb.Layout_SUM,
	statistics.KeepFirst:        statisticspb.Layout_FIRST,
	statistics.KeepLast:         statisticspb.Layout_LAST,
}

var letterCases = [...]statisticspb.LayoutColumn_LetterCase{
	statistics.AsWritten: statisticspb.LayoutColumn_UNSPECIFIED,
	statistics.UpperCase: statisticspb.LayoutColumn_UPPER,
	statistics.LowerCase: statisticspb.LayoutColumn_LOWER,
}

func layoutToProto(l statistics.Layout) *statisticspb.Layout {
	p := &statisticspb.Layout{
		Id: l.ID, Dataflow: refText(l.Dataflow), Delimiter: l.Delimiter, Constants: l.Constants, Duplicates: duplicateRules[l.Duplicates],
		Encoding: l.Encoding, Quote: l.Quote, NoQuotes: l.NoQuotes, NoHeader: l.NoHeader, SkipLines: count(l.SkipLines),
		Footers: l.Footers, Trim: l.Trim,
		Period: &statisticspb.LayoutPeriod{Headers: l.Period.Headers, Format: l.Period.Format, Months: l.Period.Months},
		Columns: convert(l.Columns, func(c statistics.LayoutColumn) *statisticspb.LayoutColumn {
			return &statisticspb.LayoutColumn{
				Header: c.Header, Component: c.Component, Blank: c.Blank, Blanks: c.Blanks, LetterCase: letterCases[c.Case],
				Constants: c.Constants, SkipBlank: c.SkipBlank, Total: c.Total,
			}
		}),
		Filters: convert(l.Filters, func(f statistics.LayoutFilter) *statisticspb.LayoutFilter {
			return &statisticspb.LayoutFilter{Header: f.Header, Keep: f.Keep, LeaveOut: f.LeaveOut}
		}),
	}
	if l.Numbers != (statistics.LayoutNumbers{}) {
		p.Numbers = &statisticspb.LayoutNumbers{Decimal: l.Numbers.Decimal, Thousands: l.Numbers.Thousands}
	}
	if year := l.Period.FiscalYear; year != (statistics.FiscalYear{}) {
		p.Period.FiscalYear = &statisticspb.LayoutPeriod_FiscalYear{FirstMonth: count(year.FirstMonth), NamedByStart: year.NamedByStart}
	}
	return p
}

var actionsFromProto = map[statisticspb.SubmissionHeader_Action]statistics.Action{
	statisticspb.SubmissionHeader_UNSPECIFIED: statistics.Merge,
	statisticspb.SubmissionHeader_MERGE:       statistics.Merge,
	statisticspb.SubmissionHeader_REPLACE:     statistics.Replace,
	statisticspb.SubmissionHeader_APPEND:      statistics.Append,
	statisticspb.SubmissionHeader_DELETE:      statistics.Delete,
}

var actions = [...]statisticspb.SubmissionHeader_Action{
	statistics.Merge:   statisticspb.SubmissionHeader_MERGE,
	statistics.Replace: statisticspb.SubmissionHeader_REPLACE,
	statistics.Append:  statisticspb.SubmissionHeader_APPEND,
	statistics.Delete:  statisticspb.SubmissionHeader_DELETE,
}

func headerFromProto(p *statisticspb.SubmissionHeader) (statistics.Header, error) {
	header := statistics.Header{
		Layout: p.GetLayout(), IdempotencyKey: p.GetIdempotencyKey(), Provider: p.GetProvider(), Release: p.GetRelease(),
		KeepDays: int(p.GetKeepDays()),
	}
	if header.KeepDays < 0 {
		return header, fault.InvalidField("header.keepDays", "is negative")
	}
	var err error
	if header.Dataflow, err = statistics.ParseRef(p.GetDataflow()); err != nil {
		return header, err
	}
	if header.Scope, err = wire.FilterFromProto(p.GetScope()); err != nil {
		return header, fault.InvalidField("header.scope", "%v", err)
	}
	action, ok := actionsFromProto[p.GetAction()]
	if !ok {
		return header, fault.InvalidField("header.action", "%d is not known", p.GetAction())
	}
	header.Action = action
	return header, nil
}

func submissionToProto(s *statistics.Submission) *statisticspb.Submission {
	state, changes := statisticspb.Submission_REJECTED, (*statisticspb.ChangeCounts)(nil)
	if s.State == statistics.Accepted {
		state = statisticspb.Submission_ACCEPTED
		changes = &statisticspb.ChangeCounts{
			Added: count(s.Changes.Added), Revised: count(s.Changes.Revised), Deleted: count(s.Changes.Deleted), Unchanged: count(s.Changes.Unchanged),
		}
	}
	return &statisticspb.Submission{
		Name: submissionPrefix + s.ID, State: state, Dataflow: s.Dataflow.String(), Layout: s.Layout, Provider: s.Provider,
		Rows: count(s.Rows), Observations: count(s.Observations), Revision: s.Revision,
		CreateTime: timestamppb.New(s.CreateTime), Submitter: s.Submitter, IdempotencyKey: s.IdempotencyKey,
		Action: actions[s.Action], Changes: changes,
		Findings: convert(s.Findings, findingToProto),
		Overrides: convert(s.Overrides, func(o statistics.Override) *statisticspb.Override {
			return &statisticspb.Override{Rules: o.Rules, Officer: o.Officer, Reason: o.Reason, CreateTime: timestamppb.New(o.CreateTime)}
		}),
		Derivations: convert(s.Derivations, func(d statistics.Derivation) *statisticspb.Derivation {
			return &statisticspb.Derivation{
				StructureMap: d.StructureMap.String(), Dataflow: d.Dataflow.String(), Observations: count(d.Observations),
				UnmappedLabels: count(d.UnmappedLabels), LeftOut: count(d.LeftOut),
			}
		}),
	}
}

var severities = [...]statisticspb.Finding_Severity{
	statistics.Blocking: statisticspb.Finding_BLOCKING,
	statistics.Warning:  statisticspb.Finding_WARNING,
	statistics.Note:     statisticspb.Finding_NOTE,
}

// valid returns text that may travel: what a file holds need not be UTF-8.
func valid(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }

func count(n int) int32 {
	return int32(min(n, 1<<31-1)) //nolint:gosec // bounded
}
