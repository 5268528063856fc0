package block_test

import (
	"testing"

	"github.com/comity-federation/comity/proto/block"
)

func TestBuilder(t *testing.T) {
	b := block.NewBuilder([]string{"FREQ", block.TimePeriod}, []string{block.ObsValue})
	b.Append([]string{"M", "2023-01"}, []float64{7})
	b.Append([]string{"M", "2023-02"}, []float64{9})
	first := b.Block()
	b.Reset()
	b.Append([]string{"Q", "2023-Q1"}, []float64{16})

	if err := first.Check(); err != nil {
		t.Fatal(err)
	}
	if got := len(first.Column("FREQ").Dictionary); got != 1 {
		t.Errorf("the dictionary has %d values for one distinct value", got)
	}
	if got := first.Column(block.TimePeriod).Text(1); first.Rows != 2 || got != "2023-02" {
		t.Errorf("it has %d rows, the second of %s, after a Reset of its builder", first.Rows, got)
	}
	if got := b.Block().Column(block.ObsValue).Numbers[0]; b.Rows() != 1 || got != 16 {
		t.Errorf("the next block has %d rows and begins with %v", b.Rows(), got)
	}
	if first.Column("SEX") != nil {
		t.Error("it has a column that nobody gave it")
	}
}
