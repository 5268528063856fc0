package wire_test

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/comity-federation/comity/proto/block"
	typespb "github.com/comity-federation/comity/proto/comity/types/v1"
	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/proto/wire"
)

func TestBlockComesBackEqual(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := block.NewBuilder([]string{"FREQ", block.TimePeriod}, []string{block.ObsValue})
		for range rapid.IntRange(0, 50).Draw(t, "rows") {
			value := rapid.Float64Range(-1e9, 1e9).Draw(t, "value")
			if rapid.Bool().Draw(t, "absent") {
				value = math.NaN()
			}
			b.Append([]string{rapid.SampledFrom([]string{"", "M", "Q"}).Draw(t, "freq"), "2023-01"}, []float64{value})
		}
		want := b.Block()
		bytes, err := proto.Marshal(wire.BlockToProto(want))
		if err != nil {
			t.Fatal(err)
		}
		var p typespb.Block
		if err := proto.Unmarshal(bytes, &p); err != nil {
			t.Fatal(err)
		}
		got, err := wire.BlockFromProto(&p)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateNaNs(), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("block changed on the wire (-want +got):\n%s", diff)
		}
	})
}

func TestBlockFromProtoRefuses(t *testing.T) {
	number := func(values ...float64) *typespb.Column {
		return &typespb.Column{Component: block.ObsValue, Numbers: values}
	}
	for name, p := range map[string]*typespb.Block{
		"nothing":                     nil,
		"NaN":                         {Rows: 1, Columns: []*typespb.Column{number(math.NaN())}},
		"an infinite number":          {Rows: 1, Columns: []*typespb.Column{number(math.Inf(1))}},
		"a short column":              {Rows: 2, Columns: []*typespb.Column{number(1)}},
		"a code outside":              {Rows: 1, Columns: []*typespb.Column{{Component: "FREQ", Dictionary: []string{"M"}, Codes: []uint32{1}}}},
		"codes without a dictionary":  {Rows: 1, Columns: []*typespb.Column{{Component: "FREQ", Codes: []uint32{0}}}},
		"both codes and numbers":      {Rows: 1, Columns: []*typespb.Column{{Component: "FREQ", Dictionary: []string{"M"}, Codes: []uint32{0}, Numbers: []float64{1}}}},
		"a component that is twice":   {Rows: 1, Columns: []*typespb.Column{number(1), number(1)}},
		"a column without a name":     {Rows: 1, Columns: []*typespb.Column{{Numbers: []float64{1}}}},
		"more rows than the limit":    {Rows: block.MaxRows + 1},
		"rows that no column carries": {Rows: 1, Columns: []*typespb.Column{{Component: "FREQ"}}},
	} {
		t.Run(name, func(t *testing.T) {
			if b, err := wire.BlockFromProto(p); err == nil {
				t.Errorf("BlockFromProto accepted %v", b)
			}
		})
	}
}

func TestFilterComesBackEqual(t *testing.T) {
	want := filter.And(filter.Eq("FREQ", "M"), filter.Not(filter.In("CITIZENSHIP", "SYR", "AFG")),
		filter.Or(filter.Compare(filter.OpStartsWith, "SECTION", "US_"), filter.Compare(filter.OpGe, block.ObsValue, "3")))
	got, err := wire.FilterFromProto(wire.FilterToProto(want))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("filter changed on the wire (-want +got):\n%s", diff)
	}
}

func TestFilterFromProtoRefuses(t *testing.T) {
	deep := &typespb.Filter{Operator: typespb.Filter_AND}
	for range filter.MaxDepth {
		deep = &typespb.Filter{Operator: typespb.Filter_NOT, Operands: []*typespb.Filter{deep}}
	}
	for name, p := range map[string]*typespb.Filter{
		"an unknown operator":           {Operator: 99},
		"values without an operator":    {Component: "FREQ", Values: []string{"M"}},
		"a comparison without a value":  {Operator: typespb.Filter_EQ, Component: "FREQ"},
		"a comparison with no name":     {Operator: typespb.Filter_EQ, Values: []string{"M"}},
		"not with two operands":         {Operator: typespb.Filter_NOT, Operands: []*typespb.Filter{{}, {}}},
		"a tree that is too deep":       deep,
		"a conjunction with a value":    {Operator: typespb.Filter_AND, Values: []string{"M"}},
		"a bad operand below good ones": {Operator: typespb.Filter_AND, Operands: []*typespb.Filter{{}, {Operator: typespb.Filter_EQ}}},
	} {
		t.Run(name, func(t *testing.T) {
			if f, err := wire.FilterFromProto(p); err == nil {
				t.Errorf("FilterFromProto accepted %v", f)
			}
		})
	}
}
