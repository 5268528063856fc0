package statistics

import (
	"context"
	"hash/maphash"
	"math"
	"slices"

	"github.com/comity-federation/comity/proto/filter"
)

// repetition is the question whether a merge brings figures that are stored already under other codes. A release of other
// sections may well have a similar sum; figure by figure, it is another.
//
// The figures of both sides are summed over the dimensions whose codes differ, and compared by the rest of their keys and by
// period. Of many, a sample is.
type repetition struct {
	frequency Frequency
	periods   []int32 // in order
	over      []int   // the dimensions that are summed over
	dimension int     // one of them, whose codes say which figures are looked at

	wanted               filter.Filter // passes at least the stored figures that are looked at
	isStored, isReleased func(code string, period int32) bool
}

// maxCompared is how many figures of a release are compared at most.
const maxCompared = 1_000_000

// sameWithin is by which share two figures may differ that are the same but for a revision.
const sameWithin = 0.05

// compared is the sum of one key and period on both sides.
type compared struct{ stored, released float64 }

// repeats reports whether the figures that are the same on both sides are at least "cells" many, and at least the share
// "same" of the larger side's sum.
func (j *judgement) repeats(ctx context.Context, r *Rule, p *repetition) (bool, error) {
	if len(p.periods) == 0 {
		return false, nil
	}
	sums := map[uint64]*compared{}
	seed, released, stored := maphash.MakeSeed(), 0.0, 0.0
	every := uint64(1 + cellsIn(j.release.Grid(byte(p.frequency)), p.periods)/maxCompared) //nolint:gosec // not negative
	of := newKeyHash(seed, j.upload.Dictionary(), p.over)
	for s := range j.upload.SeriesCount() {
		key := j.upload.Key(s)
		if j.upload.Frequency(s) != p.frequency {
			continue
		}
		p.each(of, key, j.upload.Track(s), p.isReleased, func(id uint64, figure float64) {
			if id%every != 0 {
				return
			}
			released += figure
			if sums[id] == nil {
				sums[id] = &compared{}
			}
			sums[id].released += figure
		})
	}
	dictionary, err := j.tx.Dictionary(ctx, j.flow)
	if err != nil {
		return false, err
	}
	of = newKeyHash(seed, dictionary, p.over)
	selector := Selector{Filter: p.wanted, Spans: []Span{{Frequency: p.frequency, First: p.periods[0], Last: p.periods[len(p.periods)-1]}}, Attributes: []string{}}
	for series, err := range j.tx.Read(ctx, j.flow, []string{j.header.Provider}, selector) {
		if err != nil {
			return false, err
		}
		p.each(of, series.Key, &series.Track, p.isStored, func(id uint64, figure float64) {
			if id%every != 0 {
				return
			}
			stored += figure
			if at := sums[id]; at != nil {
				at.stored += figure
			}
		})
	}
	count, same := 0, 0.0
	for _, at := range sums {
		if larger := max(at.stored, at.released); larger > 0 && math.Abs(at.stored-at.released) <= sameWithin*larger {
			count++
			same += larger
		}
	}
	return float64(count) >= r.threshold("cells") && same >= r.threshold("same")*max(stored, released), nil
}

// each gives the figures of a track that are looked at, with what their key and period are but for the dimensions that are
// summed over.
func (p *repetition) each(of *keyHash, key []uint32, track *Track, wanted func(code string, period int32) bool, do func(id uint64, figure float64)) {
	rest, code := of.rest(key), of.dictionary.Text(p.dimension, key[p.dimension])
	for i, period := range track.Periods {
		if _, ok := slices.BinarySearch(p.periods, period); ok && track.Cells[i].Valued() && wanted(code, period) {
			do(mixed(rest, uint64(uint32(period))), finite(track.Cells[i].Value)) //nolint:gosec // its bits
		}
	}
}

// keyHash hashes the keys of a dictionary without some dimensions, so that those of two dictionaries can be compared.
type keyHash struct {
	seed       maphash.Seed
	dictionary *Dictionary
	without    []int
	known      [][]uint64 // by dimension and code; 0: not yet
}

func newKeyHash(seed maphash.Seed, dictionary *Dictionary, without []int) *keyHash {
	return &keyHash{seed: seed, dictionary: dictionary, without: without, known: make([][]uint64, len(dictionary.texts))}
}

func (h *keyHash) rest(key []uint32) uint64 {
	var id uint64
	for d, code := range key {
		if slices.Contains(h.without, d) {
			continue
		}
		if int(code) >= len(h.known[d]) {
			h.known[d] = append(h.known[d], make([]uint64, h.dictionary.Len(d)-len(h.known[d]))...)
		}
		if h.known[d][code] == 0 {
			h.known[d][code] = maphash.String(h.seed, h.dictionary.Text(d, code))
		}
		id = mixed(id, h.known[d][code])
	}
	return id
}

// mixed adds a number to a hash, as splitmix64 does (Steele, Lea and Flood 2014, section 4).
func mixed(hash, more uint64) uint64 {
	z := (hash ^ more) + 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
