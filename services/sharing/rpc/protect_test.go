package rpc

import (
	"testing"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
)

func TestDisclosureProtect(t *testing.T) {
	t.Run("withholds a small count and one other, and says between which bounds they are", func(t *testing.T) {
		got, err := NewDisclosure().Protect(t.Context(), read(t, &sharingpb.ProtectRequest{}, `{`+lineDimensions+`,
			"cells": [{"key": ["_T"], "frequency": 40}, {"key": ["F"], "frequency": 30}, {"key": ["M"], "frequency": 2}, {"key": ["X"], "frequency": 8}],
			"rules": {"minimumFrequency": 3}, "relativeWidth": 0.2}`))
		if err != nil {
			t.Fatal(err)
		}
		small, other := got.GetCells()[2], got.GetCells()[3]
		if !got.GetAuditClean() || got.GetSecondaryCount() != 1 || got.GetSecondaryValue() != 8 ||
			small.GetStatus() != sharingpb.DisclosureCell_PRIMARY || other.GetStatus() != sharingpb.DisclosureCell_SECONDARY ||
			small.GetLower() != 0 || small.GetUpper() != 10 {
			t.Error(got)
		}
	})
}
