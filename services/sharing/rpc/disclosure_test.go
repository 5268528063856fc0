package rpc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
	"github.com/comity-federation/comity/services/fault"
)

// read reads a message as the gateway does.
func read[M proto.Message](t *testing.T, message M, text string) M {
	t.Helper()
	if err := protojson.Unmarshal([]byte(text), message); err != nil {
		t.Fatal(err)
	}
	return message
}

const lineDimensions = `"dimensions": [{"id": "SEX", "codes": [{"code": "_T"}, {"code": "F", "parent": "_T"}, {"code": "M", "parent": "_T"}, {"code": "X", "parent": "_T"}]}]`

func TestDisclosureAudit(t *testing.T) {
	t.Run("answers with what can be computed, from what, and how uncertain the rest is", func(t *testing.T) {
		got, err := NewDisclosure().Audit(t.Context(), read(t, &sharingpb.AuditRequest{}, `{`+lineDimensions+`,
			"cells": [{"key": ["_T"], "frequency": 40, "status": "PUBLISHED"}, {"key": ["F"], "frequency": 30, "status": "PUBLISHED"},
				{"key": ["M"], "frequency": 2, "status": "PRIMARY"}, {"key": ["X"], "frequency": 8, "status": "SECONDARY"}],
			"rules": {"minimumFrequency": 3}, "relativeWidth": 0.2}`))
		if err != nil {
			t.Fatal(err)
		}
		want := read(t, &sharingpb.AuditResponse{}, `{"auditClean": true, "cells": [
			{"key": ["_T"], "status": "PUBLISHED", "lower": 40, "upper": 40, "exact": true, "least": 40, "most": 40}, {"key": ["F"], "status": "PUBLISHED", "lower": 30, "upper": 30, "exact": true, "least": 30, "most": 30},
			{"key": ["M"], "status": "PRIMARY", "lower": 0, "upper": 10, "exact": true, "least": 0, "most": 10, "rule": "MINIMUM_FREQUENCY", "explanation": "It counts fewer than 3.", "requiredWidth": 3},
			{"key": ["X"], "status": "SECONDARY", "lower": 0, "upper": 10, "exact": true, "least": 0, "most": 10, "explanation": "With the total over SEX it would tell a cell that counts fewer than 3."}]}`)
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("takes cells without a status for published ones", func(t *testing.T) {
		got, err := NewDisclosure().Audit(t.Context(), read(t, &sharingpb.AuditRequest{}, `{`+lineDimensions+`,
			"cells": [{"key": ["_T"], "frequency": 40}, {"key": ["F"], "frequency": 38}, {"key": ["M"], "frequency": 2, "status": "PRIMARY"}]}`))
		if err != nil {
			t.Fatal(err)
		}
		want := read(t, &sharingpb.ComputableCell{}, `{"key": ["M"], "equation": "M = _T − F", "because": ["_T = F + M"],
			"terms": [{"key": ["_T"], "weight": 1}, {"key": ["F"], "weight": -1}]}`)
		if len(got.GetComputable()) != 1 {
			t.Fatal(got)
		}
		if diff := cmp.Diff(want, got.GetComputable()[0], protocmp.Transform()); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("refuses more cells than it takes", func(t *testing.T) {
		request := read(t, &sharingpb.AuditRequest{}, `{`+lineDimensions+`}`)
		request.Cells = make([]*sharingpb.DisclosureCell, maxTableCells+1)
		_, err := NewDisclosure().Audit(t.Context(), request)
		expectViolation(t, err, "cells")
	})
}

// hostile are requests that a table cannot be read from, with the field that is wrong.
var hostile = map[string]struct{ request, field string }{
	"no cells":                           {`{` + lineDimensions + `}`, "cells"},
	"half a person":                      {`{` + lineDimensions + `, "cells": [{"key": ["F"], "frequency": 0.5}]}`, "cells[0].frequency"},
	"no number":                          {`{` + lineDimensions + `, "cells": [{"key": ["F"], "frequency": "NaN"}]}`, "cells[0].frequency"},
	"fewer than nobody":                  {`{` + lineDimensions + `, "cells": [{"key": ["F"], "frequency": -1}]}`, "cells[0].frequency"},
	"more than anybody counts":           {`{` + lineDimensions + `, "cells": [{"key": ["F"], "frequency": 1e300}]}`, "cells[0].frequency"},
	"a little more than it takes":        {`{` + lineDimensions + `, "cells": [{"key": ["F"], "frequency": 1000000000001}]}`, "cells[0].frequency"},
	"a status that there is not":         {`{` + lineDimensions + `, "cells": [{"key": ["F"], "frequency": 1, "status": 9}]}`, "cells[0].status"},
	"somebody in a cell that is empty":   {`{` + lineDimensions + `, "cells": [{"key": ["F"], "frequency": 1, "status": "EMPTY"}]}`, "cells[0].status"},
	"an unknown code":                    {`{` + lineDimensions + `, "cells": [{"key": ["F"]}, {"key": ["Q"], "frequency": 1}]}`, "cells[1].key"},
	"a key that is too short":            {`{` + lineDimensions + `, "cells": [{"key": []}]}`, "cells[0].key"},
	"a key that is too long":             {`{` + lineDimensions + `, "cells": [{"key": ["F", "F"]}]}`, "cells[0].key"},
	"a cell that is there twice":         {`{` + lineDimensions + `, "cells": [{"key": ["F"], "frequency": 1}, {"key": ["M"]}, {"key": ["F"], "frequency": 1}]}`, "cells[2].key"},
	"a contributor who takes away":       {`{` + lineDimensions + `, "cells": [{"key": ["F"], "frequency": 2, "contributions": [3, -1]}]}`, "cells[0].contributions[1]"},
	"a contribution without end":         {`{` + lineDimensions + `, "cells": [{"key": ["F"], "frequency": 2, "contributions": ["Infinity"]}]}`, "cells[0].contributions[0]"},
	"no dimensions":                      {`{"cells": [{"key": [], "frequency": 1}]}`, "dimensions"},
	"a dimension without a name":         {`{"dimensions": [{"codes": [{"code": "T"}]}], "cells": [{"key": ["T"]}]}`, "dimensions[0].id"},
	"two dimensions of one name":         {`{"dimensions": [{"id": "D", "codes": [{"code": "T"}]}, {"id": "D", "codes": [{"code": "T"}]}], "cells": [{"key": ["T", "T"]}]}`, "dimensions[1].id"},
	"a dimension without codes":          {`{"dimensions": [{"id": "D"}], "cells": [{"key": ["T"]}]}`, "dimensions[0].codes"},
	"a code without a name":              {`{"dimensions": [{"id": "D", "codes": [{"code": "T"}, {"parent": "T"}]}], "cells": [{"key": ["T"]}]}`, "dimensions[0].codes[1].code"},
	"a parent that is nowhere":           {`{"dimensions": [{"id": "D", "codes": [{"code": "T", "parent": "Q"}]}], "cells": [{"key": ["T"]}]}`, "dimensions[0].codes[0].parent"},
	"a code that is its own parent":      {`{"dimensions": [{"id": "D", "codes": [{"code": "T", "parent": "T"}]}], "cells": [{"key": ["T"]}]}`, "dimensions[0].codes"},
	"codes that are parts of each other": {`{"dimensions": [{"id": "D", "codes": [{"code": "A", "parent": "B"}, {"code": "B", "parent": "A"}]}], "cells": [{"key": ["A"]}]}`, "dimensions[0].codes"},
	"a code that is listed twice":        {`{"dimensions": [{"id": "D", "codes": [{"code": "T"}, {"code": "A", "parent": "T"}, {"code": "A", "parent": "T"}]}], "cells": [{"key": ["T"]}]}`, "dimensions[0].codes[2]"},
	"a rule that is none":                {`{` + lineDimensions + `, "cells": [{"key": ["F"]}], "rules": {"dominance": {"n": 0, "k": 50}}}`, "rules.dominance.n"},
	"a share of more than all":           {`{` + lineDimensions + `, "cells": [{"key": ["F"]}], "rules": {"dominance": {"n": 1, "k": 101}}}`, "rules.dominance.k"},
	"a rule that nobody can keep":        {`{` + lineDimensions + `, "cells": [{"key": ["F"]}], "rules": {"dominance": {"n": 1}}}`, "rules.dominance.k"},
	"a rule that nobody knows":           {`{` + lineDimensions + `, "cells": [{"key": ["F"]}], "rules": {"pPercent": 1000}}`, "rules.pPercent"},
	"a rule that asks for nothing":       {`{` + lineDimensions + `, "cells": [{"key": ["F"]}], "rules": {"pPercent": 0}}`, "rules.pPercent"},
	"prior knowledge of nothing":         {`{` + lineDimensions + `, "cells": [{"key": ["F"]}], "rules": {"priorPercent": 10}}`, "rules.priorPercent"},
	"prior knowledge that tells all":     {`{` + lineDimensions + `, "cells": [{"key": ["F"]}], "rules": {"pPercent": 20, "priorPercent": 10}}`, "rules.priorPercent"},
	"a minimum below nobody":             {`{` + lineDimensions + `, "cells": [{"key": ["F"]}], "rules": {"minimumFrequency": -1}}`, "rules.minimumFrequency"},
	"a width that cannot be reached":     {`{` + lineDimensions + `, "cells": [{"key": ["F"]}], "relativeWidth": "Infinity"}`, "relativeWidth"},
	"a width that is no number":          {`{` + lineDimensions + `, "cells": [{"key": ["F"]}], "relativeWidth": "NaN"}`, "relativeWidth"},
	"a width below nothing":              {`{` + lineDimensions + `, "cells": [{"key": ["F"]}], "relativeWidth": -0.1}`, "relativeWidth"},
}

func TestDisclosureReadsNoTableOf(t *testing.T) {
	for name, c := range hostile {
		t.Run(name, func(t *testing.T) {
			_, err := NewDisclosure().Audit(t.Context(), read(t, &sharingpb.AuditRequest{}, c.request))
			expectViolation(t, err, c.field)
			_, err = NewDisclosure().Protect(t.Context(), read(t, &sharingpb.ProtectRequest{}, c.request))
			expectViolation(t, err, c.field)
		})
	}
}

func expectViolation(t *testing.T, err error, field string) {
	t.Helper()
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind != fault.Invalid || len(f.Violations) != 1 || f.Violations[0].Field != field {
		t.Errorf("%v, want one about %s", err, field)
	}
}

func TestDisclosurePerturb(t *testing.T) {
	for name, perturbation := range map[string]string{
		"by single parameters": `{"maximum": 2, "variance": 1.05, "smallestReleased": 1, "stayProbability": 0.5, "monotone": true}`,
		"by lists":             `{"maximum": 2, "variance": 1.05, "smallestReleased": 1, "stayProbability": null, "monotone": [true, true, false, true]}`,
		"by what is needed":    `{"maximum": 2, "variance": 1}`,
	} {
		t.Run("gives equal cells equal noise "+name, func(t *testing.T) {
			got, err := NewDisclosure().Perturb(t.Context(), read(t, &sharingpb.PerturbRequest{}, `{"perturbation": `+perturbation+`,
				"cells": [{"count": 12, "cellKey": 0.01}, {"count": 0, "cellKey": 0.01}, {"count": 12, "cellKey": 0.01}]}`))
			if err != nil {
				t.Fatal(err)
			}
			first, zero, second := got.GetCells()[0], got.GetCells()[1], got.GetCells()[2]
			if !proto.Equal(first, second) || first.GetPerturbed() != first.GetCount()+float64(first.GetNoise()) || first.GetNoise() == 0 {
				t.Errorf("%v and %v", first, second)
			}
			if zero.GetPerturbed() != 0 || zero.GetNoise() != 0 {
				t.Errorf("%v", zero)
			}
			total := map[int32]float64{}
			for _, line := range got.GetTable() {
				total[line.GetCount()] += line.GetProbability()
			}
			for count, sum := range total {
				if sum < 1-1e-9 || sum > 1+1e-9 {
					t.Errorf("the probabilities of %d add up to %v", count, sum)
				}
			}
		})
	}
	for name, c := range map[string]struct{ request, field string }{
		"a variance that cannot be":    {`{"perturbation": {"maximum": 2, "variance": 100}}`, "perturbation.variance"},
		"words for numbers":            {`{"perturbation": {"maximum": 2, "variance": 1, "stayProbability": "often"}}`, "perturbation.stayProbability"},
		"numbers for words":            {`{"perturbation": {"maximum": 2, "variance": 1, "monotone": [true, 1]}}`, "perturbation.monotone"},
		"a key of more than all":       {`{"perturbation": {"maximum": 2, "variance": 1}, "cells": [{"count": 1, "cellKey": 1}]}`, "cells[0].cellKey"},
		"a count of less than nothing": {`{"perturbation": {"maximum": 2, "variance": 1}, "cells": [{"count": -1, "cellKey": 0}]}`, "cells[0].count"},
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			_, err := NewDisclosure().Perturb(t.Context(), read(t, &sharingpb.PerturbRequest{}, c.request))
			expectViolation(t, err, c.field)
		})
	}
	t.Run("refuses more cells than it takes", func(t *testing.T) {
		request := read(t, &sharingpb.PerturbRequest{}, `{"perturbation": {"maximum": 2, "variance": 1}}`)
		request.Cells = make([]*sharingpb.CountedCell, maxPerturbedCells+1)
		_, err := NewDisclosure().Perturb(t.Context(), request)
		expectViolation(t, err, "cells")
	})
}

func TestDisclosureWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDisclosure()
		waits := func(ctx context.Context) error {
			<-ctx.Done()
			return fmt.Errorf("working: %w", ctx.Err())
		}
		err := d.work(t.Context(), waits)
		if !fault.Is(err, fault.Exhausted) || !strings.Contains(err.Error(), "longer than 2m0s") {
			t.Errorf("what takes too long ends with %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := d.work(ctx, waits); !errors.Is(err, context.DeadlineExceeded) || fault.Is(err, fault.Exhausted) {
			t.Errorf("what the caller gives up ends with %v", err)
		}
		for range cap(d.working) {
			d.working <- struct{}{}
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := d.work(ctx, waits); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("what waits for its turn ends with %v", err)
		}
	})
}
