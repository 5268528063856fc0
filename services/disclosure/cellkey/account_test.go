package cellkey_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/comity-federation/comity/services/disclosure/cellkey"
)

func TestAnAccountGoesOnWhereItWasKept(t *testing.T) {
	budget := cellkey.Budget{Window: 24 * time.Hour, Capacity: 100}
	start := time.Date(2024, 1, 1, 0, 0, 0, 5, time.UTC)
	var before, after cellkey.Account
	for i, cells := range [][]cellkey.Address{cellsOf(1, 30), cellsOf(20, 40), cellsOf(41, 50)} {
		if err := before.Charge(budget, start.Add(time.Duration(i)*time.Hour), cells); err != nil {
			t.Fatal(err)
		}
	}
	data, err := before.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if err := after.UnmarshalBinary(data); err != nil {
		t.Fatal(err)
	}
	if again, err := after.MarshalBinary(); err != nil || !bytes.Equal(again, data) {
		t.Errorf("it is written otherwise the second time: %v", err)
	}
	now := start.Add(24*time.Hour + time.Minute) // the first 30 are over
	for name, account := range map[string]*cellkey.Account{"as it was": &before, "as it was kept": &after} {
		if left := account.Left(budget, now); left != 80 {
			t.Errorf("%s: %d cells are left", name, left)
		}
		if err := account.Charge(budget, now, cellsOf(31, 50)); err != nil || account.Left(budget, now) != 80 {
			t.Errorf("%s: cells that were told cost something: %v", name, err)
		}
	}
	for name, broken := range map[string][]byte{
		"another version": append([]byte{9}, data[1:]...),
		"cut off":         data[:len(data)-1],
		"cut off early":   data[:5],
		"nothing told":    append(bytes.Clone(data), make([]byte, 12)...),
		"a cell twice":    append(bytes.Clone(data), data[1:]...),
	} {
		if err := after.UnmarshalBinary(broken); err == nil {
			t.Errorf("%s is read", name)
		}
	}
	if err := after.UnmarshalBinary(nil); err != nil || after.Left(budget, now) != 100 {
		t.Errorf("a new account: %v", err)
	}
}
