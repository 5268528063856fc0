package rpc

import (
	"context"
	"errors"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
	"github.com/comity-federation/comity/services/disclosure"
)

// Protect withholds what the rules say, and what protects that. The answer is an audit's, which checks what proved the
// pattern, and knows nothing else of how it was found.
func (d *Disclosure) Protect(ctx context.Context, req *sharingpb.ProtectRequest) (*sharingpb.ProtectResponse, error) {
	table, rules, err := questionFromProto(req, req.RelativeWidth)
	if err != nil {
		return nil, err
	}
	var resp *sharingpb.ProtectResponse
	err = d.work(ctx, func(ctx context.Context) error {
		result, err := protect(ctx, table, rules)
		if err != nil {
			return err
		}
		report, err := audit(ctx, result.Table, rules, result.Points)
		if err != nil {
			return err
		}
		cells, err := protectedToProto(result.Table, rules, report.Cells)
		if err != nil {
			return err
		}
		resp = &sharingpb.ProtectResponse{
			Cells: cells, AuditClean: report.Clean,
			SecondaryCount: count(result.SecondaryCount), SecondaryValue: float64(result.SecondaryValue),
			Findings: findingsToProto(result.Table, report.Findings),
		}
		return nil
	})
	return resp, err
}

// protect looks for a cheap pattern within searchTime, and where it is not done by then for any.
func protect(ctx context.Context, table *disclosure.Table, rules disclosure.Rules) (*disclosure.Result, error) {
	search, cancel := context.WithTimeout(ctx, searchTime)
	defer cancel()
	result, err := disclosure.Protect(search, table, rules, disclosure.Options{})
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return disclosure.Protect(ctx, table, rules, disclosure.Options{Quick: true})
	}
	return result, err
}
