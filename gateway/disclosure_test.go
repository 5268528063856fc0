package main

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/structpb"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
)

type fakeDisclosure struct {
	sharingpb.UnimplementedDisclosureServiceServer
	asked proto.Message
	err   error
}

func (f *fakeDisclosure) Protect(_ context.Context, request *sharingpb.ProtectRequest) (*sharingpb.ProtectResponse, error) {
	f.asked = request
	return &sharingpb.ProtectResponse{
		Cells:      []*sharingpb.ProtectedCell{{Key: []string{"F"}, Status: sharingpb.DisclosureCell_PRIMARY, Upper: 12}},
		AuditClean: true, SecondaryCount: 2, SecondaryValue: 3_000_000_000,
	}, f.err
}

func (f *fakeDisclosure) Audit(_ context.Context, request *sharingpb.AuditRequest) (*sharingpb.AuditResponse, error) {
	f.asked = request
	return &sharingpb.AuditResponse{Computable: []*sharingpb.ComputableCell{{
		Key: []string{"F"}, Equation: "F = _T − M", Terms: []*sharingpb.ComputableCell_Term{{Key: []string{"_T"}, Weight: 1}, {Key: []string{"M"}, Weight: -1}},
	}}}, f.err
}

func (f *fakeDisclosure) Perturb(_ context.Context, request *sharingpb.PerturbRequest) (*sharingpb.PerturbResponse, error) {
	f.asked = request
	return &sharingpb.PerturbResponse{
		Cells: []*sharingpb.PerturbedCell{{Count: 5, Perturbed: 4, Noise: -1}}, Table: []*sharingpb.NoiseProbability{{Count: 0, Noise: 0, Probability: 1}},
	}, f.err
}

func TestDisclosureRoutes(t *testing.T) {
	n := newNode(t)
	dimensions := []*sharingpb.DisclosureDimension{{Id: "SEX", Codes: []*sharingpb.DisclosureDimension_Code{{Code: "_T"}, {Code: "F", Parent: "_T"}}}}
	routes := []struct {
		path, body string
		want       proto.Message
		answer     []string
	}{
		{
			"/v1/disclosure:protect", `{"dimensions": [{"id": "SEX", "codes": [{"code": "_T"}, {"code": "F", "parent": "_T"}]}],
				"cells": [{"key": ["F"], "frequency": 2, "contributions": [1.5, 2], "status": "PRIMARY"}],
				"rules": {"minimumFrequency": 3, "dominance": {"n": 2, "k": 75}, "pPercent": 10}, "relativeWidth": 0.2}`,
			&sharingpb.ProtectRequest{
				Dimensions: dimensions,
				Cells:      []*sharingpb.DisclosureCell{{Key: []string{"F"}, Frequency: 2, Contributions: []float64{1.5, 2}, Status: sharingpb.DisclosureCell_PRIMARY}},
				Rules: &sharingpb.DisclosureRules{
					MinimumFrequency: 3, Dominance: &sharingpb.DisclosureRules_Dominance{N: 2, K: 75}, PPercent: proto.Float64(10),
				},
				RelativeWidth: proto.Float64(0.2),
			},
			[]string{`"key":["F"],"status":"PRIMARY","lower":0,"upper":12`, `"auditClean":true,"secondaryCount":2,"secondaryValue":3000000000`},
		},
		{
			"/v1/disclosure:audit", `{"dimensions": [{"id": "SEX", "codes": [{"code": "_T"}, {"code": "F", "parent": "_T"}]}], "cells": [{"key": ["F"], "frequency": 2, "status": "SECONDARY"}]}`,
			&sharingpb.AuditRequest{
				Dimensions: dimensions, Cells: []*sharingpb.DisclosureCell{{Key: []string{"F"}, Frequency: 2, Status: sharingpb.DisclosureCell_SECONDARY}},
			},
			[]string{`"computable":[{"key":["F"],"terms":[{"key":["_T"],"weight":1},{"key":["M"],"weight":-1}],"equation":"F = _T − M"`, `"auditClean":false`},
		},
		{
			"/v1/disclosure:perturb", `{"perturbation": {"maximum": 2, "variance": 1.05, "smallestReleased": 1, "stayProbability": 0.5, "monotone": [true, false]}, "cells": [{"count": 5, "cellKey": 0.25}]}`,
			&sharingpb.PerturbRequest{
				Perturbation: &sharingpb.Perturbation{
					Maximum: 2, Variance: 1.05, SmallestReleased: 1, StayProbability: structpb.NewNumberValue(0.5),
					Monotone: structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{structpb.NewBoolValue(true), structpb.NewBoolValue(false)}}),
				},
				Cells: []*sharingpb.CountedCell{{Count: 5, CellKey: 0.25}},
			},
			[]string{`"cells":[{"count":5,"perturbed":4,"noise":-1}]`, `"table":[{"count":0,"noise":0,"probability":1}]`},
		},
	}
	for _, r := range routes {
		t.Run("it asks and answers "+r.path, func(t *testing.T) {
			answer, body := n.do(t, "POST", r.path, r.body)
			body = strings.NewReplacer(`": `, `":`, `, `, `,`).Replace(body)
			for _, part := range r.answer {
				if answer.StatusCode != http.StatusOK || !strings.Contains(body, part) {
					t.Errorf("%d %s, want %s", answer.StatusCode, body, part)
				}
			}
			if diff := cmp.Diff(r.want, n.disclosure.asked, protocmp.Transform()); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
		})
	}
	n.disclosure.err = reasoned(codes.InvalidArgument, "INVALID_REQUEST", "cells: there are none")
	for _, r := range routes {
		t.Run("it passes on what is wrong with "+r.path, func(t *testing.T) {
			answer, body := n.do(t, "POST", r.path, r.body)
			if e, reason := readError(t, body); answer.StatusCode != http.StatusBadRequest || reason != "INVALID_REQUEST" || e.Message != "cells: there are none" {
				t.Errorf("%d %s", answer.StatusCode, body)
			}
		})
	}
}
