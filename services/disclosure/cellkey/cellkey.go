// Package cellkey protects counts that anybody may ask for with a little noise that is always the same for the same
// cell: the cell key method (Fraser and Wooton, 2005; Giessing, 2016).
//
// Every record has a [Key], a fraction from 0 up to but not 1 that a secret makes of the record's id. The key of a cell is
// the sum of the keys of its records, modulo 1. A perturbation [Table] says for each count which noise belongs to which
// keys. So a cell gets the same noise in every table in which it stands and whenever it is asked for, and what is
// averaged over many equal questions is still noisy; a cell with one record more or less gets another noise.
//
//	keys, err := cellkey.NewKeys(secret)
//	table, err := cellkey.NewTable(cellkey.Parameters{Maximum: 5, Variance: 3, SmallestReleased: 2})
//	cell := keys.Record("a") + keys.Record("b") + keys.Record("c")
//	published := table.Perturb(3, cell)
//
// What holds for every table: zero stays zero, no figure is negative, no figure from 1 to SmallestReleased is published,
// no noise is larger than Maximum, the mean of the noise is 0 and its variance at most Variance, for counts that can lose
// Maximum and still be released exactly Variance. What does not hold: figures do not add up to their totals, for each has
// a noise of its own.
//
// The noise is bounded and its distribution is public, so whoever is told enough different cells that add up to one can
// average the noise away (Asghar and Kaafar, 2020): a [Budget] bounds how many cells a caller is told, and
// [Table.Recovery] says what a budget leaves to chance.
package cellkey

import (
	"fmt"

	"github.com/comity-federation/comity/services/fault"
)

// maxCount is the largest count that can be perturbed: a larger one is not exact as a number of JSON.
const maxCount = 1 << 53

// Question is a cell as it is asked for from outside.
type Question struct {
	Count float64 // a whole number from 0 to 2⁵³
	Key   float64 // from 0 up to but not 1; that of count 0 is not looked at
}

// Answer is what may be published of a cell.
type Answer struct {
	Count     int64 // as it was asked
	Perturbed int64 // Count + Noise, never negative
	Noise     int
}

// Perturb makes the table of the parameters and perturbs cells by it, in their order. The error is a fault of kind Invalid
// that names the field: perturbation.variance, cells[2].cellKey.
func Perturb(parameters Parameters, cells []Question) ([]Answer, *Table, error) {
	table, err := NewTable(parameters)
	if err != nil {
		return nil, nil, err
	}
	answers := make([]Answer, len(cells))
	for i, cell := range cells {
		if cell.Count < 0 || cell.Count > maxCount || cell.Count != float64(int64(cell.Count)) {
			return nil, nil, fault.InvalidField(fmt.Sprintf("cells[%d].count", i), "is no whole number from 0 to 2⁵³")
		}
		key, ok := FromFloat(cell.Key)
		if !ok && cell.Count != 0 {
			return nil, nil, fault.InvalidField(fmt.Sprintf("cells[%d].cellKey", i), "is no number from 0 up to but not 1")
		}
		count := int64(cell.Count)
		noise := table.Noise(count, key)
		answers[i] = Answer{Count: count, Perturbed: count + int64(noise), Noise: noise}
	}
	return answers, table, nil
}
