// Package wire turns blocks and filters into their wire forms and back. What comes from the wire is checked here, so
// that the types inside the program are always whole.
package wire

import (
	"errors"
	"fmt"
	"math"

	"github.com/comity-federation/comity/proto/block"
	typespb "github.com/comity-federation/comity/proto/comity/types/v1"
	"github.com/comity-federation/comity/proto/filter"
)

// BlockToProto returns the wire form of b. It shares b's slices where it can.
func BlockToProto(b *block.Block) *typespb.Block {
	p := &typespb.Block{Rows: uint32(b.Rows), Columns: make([]*typespb.Column, len(b.Columns))} //nolint:gosec // Rows is at most MaxRows
	for i := range b.Columns {
		c := &b.Columns[i]
		column := &typespb.Column{Component: c.Component, Dictionary: c.Dictionary, Codes: c.Codes}
		if c.IsNumber() {
			column.Numbers, column.Absent = packNumbers(c.Numbers)
		}
		p.Columns[i] = column
	}
	return p
}

func packNumbers(numbers []float64) (packed []float64, absent []byte) {
	packed = numbers
	for i, v := range numbers {
		if !math.IsNaN(v) {
			continue
		}
		if absent == nil {
			absent = make([]byte, (len(numbers)+7)/8)
			packed = append([]float64(nil), numbers...)
		}
		absent[i/8] |= 1 << (i % 8)
		packed[i] = 0
	}
	return packed, absent
}

// BlockFromProto returns the block that p is the wire form of, or says how p is none: NaN, an infinite number, columns
// of different lengths, codes outside their dictionary.
func BlockFromProto(p *typespb.Block) (*block.Block, error) {
	if p == nil {
		return nil, errors.New("block is missing")
	}
	if p.GetRows() > block.MaxRows {
		return nil, fmt.Errorf("block has %d rows, at most %d are allowed", p.GetRows(), block.MaxRows)
	}
	b := &block.Block{Rows: int(p.GetRows()), Columns: make([]block.Column, len(p.GetColumns()))}
	for i, column := range p.GetColumns() {
		c := &b.Columns[i]
		c.Component = column.GetComponent()
		coded := len(column.GetDictionary()) > 0 || len(column.GetCodes()) > 0
		numeric := len(column.GetNumbers()) > 0 || len(column.GetAbsent()) > 0
		switch {
		case coded && numeric:
			return nil, fmt.Errorf("column %s is both coded and numbers", c.Component)
		case numeric, !coded && c.Component == block.ObsValue:
			numbers, err := unpackNumbers(column.GetNumbers(), column.GetAbsent())
			if err != nil {
				return nil, fmt.Errorf("column %s: %w", c.Component, err)
			}
			c.Numbers = numbers
		default:
			c.Dictionary, c.Codes = column.GetDictionary(), column.GetCodes()
		}
	}
	if err := b.Check(); err != nil {
		return nil, err
	}
	return b, nil
}

func unpackNumbers(packed []float64, absent []byte) ([]float64, error) {
	numbers := make([]float64, len(packed))
	for i, v := range packed {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("row %d is not a finite number", i)
		}
		numbers[i] = v
		if i/8 < len(absent) && absent[i/8]&(1<<(i%8)) != 0 {
			numbers[i] = math.NaN()
		}
	}
	return numbers, nil
}

// The operators of the wire, in the order of filter's own.
var operators = [...]typespb.Filter_Operator{
	filter.OpAnd: typespb.Filter_AND, filter.OpOr: typespb.Filter_OR, filter.OpNot: typespb.Filter_NOT,
	filter.OpEq: typespb.Filter_EQ, filter.OpNe: typespb.Filter_NE, filter.OpIn: typespb.Filter_IN,
	filter.OpLt: typespb.Filter_LT, filter.OpLe: typespb.Filter_LE, filter.OpGt: typespb.Filter_GT, filter.OpGe: typespb.Filter_GE,
	filter.OpContains: typespb.Filter_CONTAINS, filter.OpNotContains: typespb.Filter_NOT_CONTAINS,
	filter.OpStartsWith: typespb.Filter_STARTS_WITH, filter.OpEndsWith: typespb.Filter_ENDS_WITH,
}

// FilterToProto returns the wire form of f.
func FilterToProto(f filter.Filter) *typespb.Filter {
	p := &typespb.Filter{Operator: operators[f.Op], Component: f.Component, Values: f.Values}
	for _, operand := range f.Operands {
		p.Operands = append(p.Operands, FilterToProto(operand))
	}
	return p
}

// FilterFromProto returns the filter that p is the wire form of, or says how p is none. An absent filter is true.
func FilterFromProto(p *typespb.Filter) (filter.Filter, error) {
	if p == nil {
		return filter.True(), nil
	}
	f, err := filterFromProto(p, 1)
	if err != nil {
		return filter.Filter{}, err
	}
	return f, f.Check()
}

func filterFromProto(p *typespb.Filter, depth int) (filter.Filter, error) {
	if depth > filter.MaxDepth {
		return filter.Filter{}, fmt.Errorf("filter is more than %d levels deep", filter.MaxDepth)
	}
	if p.GetOperator() == typespb.Filter_UNSPECIFIED {
		if p.GetComponent() != "" || len(p.GetValues()) > 0 || len(p.GetOperands()) > 0 {
			return filter.Filter{}, errors.New("filter has no operator")
		}
		return filter.True(), nil
	}
	f := filter.Filter{Component: p.GetComponent(), Values: p.GetValues()}
	found := false
	for op, operator := range operators {
		if operator == p.GetOperator() {
			f.Op, found = filter.Op(op), true
		}
	}
	if !found {
		return filter.Filter{}, fmt.Errorf("unknown operator %d", p.GetOperator())
	}
	for _, operand := range p.GetOperands() {
		o, err := filterFromProto(operand, depth+1)
		if err != nil {
			return filter.Filter{}, err
		}
		f.Operands = append(f.Operands, o)
	}
	return f, nil
}
