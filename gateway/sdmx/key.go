package sdmx

import (
	"net/url"
	"slices"
	"strings"

	"github.com/comity-federation/comity/proto/filter"
)

// Key is a series key with wildcards: for each dimension the codes that fit, or none where any does. Dimensions that
// are left out at the end fit any code.
type Key [][]string

// ParseKeys reads the key part of a path, as it stands in the URL. Keys are separated by ",", dimensions by ".", codes
// of one dimension by "+"; "*" or nothing fits any code. These five are read before percent-encoding is undone, so
// that a code may contain them:
//
//	M.US.*.Small%20boat%20arrivals,A.GB+IE
//
// The result is nil where every series is asked for.
func ParseKeys(escaped string) ([]Key, error) {
	if escaped == "" || escaped == "*" || escaped == "all" {
		return nil, nil
	}
	var keys []Key
	for text := range strings.SplitSeq(escaped, ",") {
		key, err := parseKey(text)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(key, func(codes []string) bool { return codes != nil }) {
			return nil, nil
		}
		keys = append(keys, key)
		if len(keys) > maxKeys {
			return nil, badRequest("The query has more than %d keys.", maxKeys)
		}
	}
	return keys, nil
}

const maxKeys = 1000

func parseKey(escaped string) (Key, error) {
	if escaped == "" {
		return nil, badRequest("One of the keys is empty: write * where every series is meant.")
	}
	var key Key
	for part := range strings.SplitSeq(escaped, ".") {
		if part == "" || part == "*" {
			key = append(key, nil)
			continue
		}
		var codes []string
		for text := range strings.SplitSeq(part, "+") {
			code, err := url.PathUnescape(text)
			if err != nil {
				return nil, badRequest("%q in the key is not percent-encoded correctly.", text)
			}
			if code == "" || code == "*" {
				return nil, badRequest("%q in the key holds an empty code.", part)
			}
			codes = append(codes, code)
		}
		key = append(key, codes)
	}
	return key, nil
}

// Selection fixes a dimension to codes.
type Selection struct {
	Dimension string
	Codes     []string
}

// bindKeys says which dimensions the keys fix, and what they say beyond that.
//
// A dimension that every key fixes is selected with all of its codes. Where one key leaves a dimension open and
// another fixes it, the dimension is not selected: it answers as it is stored, and the filter chooses.
func bindKeys(keys []Key, s *Structure) ([]Selection, filter.Filter, error) {
	if len(keys) == 0 {
		return nil, filter.True(), nil
	}
	for _, key := range keys {
		if len(key) > len(s.Dimensions) {
			return nil, filter.Filter{}, badRequest("A key has %d dimensions, %s has %d: %s.",
				len(key), s.Dataflow, len(s.Dimensions), strings.Join(dimensionIDs(s), "."))
		}
	}
	var selections []Selection
	several := 0 // dimensions in which the keys are not all the same
	for i := range s.Dimensions {
		codes, fixed := union(keys, i)
		if fixed && len(codes) > 0 {
			selections = append(selections, Selection{Dimension: s.Dimensions[i].ID, Codes: codes})
		}
		if differ(keys, i) {
			several++
		}
	}
	if len(keys) == 1 || several == 0 || several == 1 && len(selections) == fixedAnywhere(keys) {
		return selections, filter.True(), nil
	}
	alternatives := make([]filter.Filter, len(keys))
	for i, key := range keys {
		var conditions []filter.Filter
		for d, codes := range key {
			if codes != nil {
				conditions = append(conditions, oneOf(s.Dimensions[d].ID, codes))
			}
		}
		alternatives[i] = filter.And(conditions...)
	}
	return selections, filter.Or(alternatives...), nil
}

func (k Key) codes(dimension int) []string {
	if dimension >= len(k) {
		return nil
	}
	return k[dimension]
}

// union returns the codes that the keys have in a dimension, and whether every key fixes it.
func union(keys []Key, dimension int) (codes []string, fixed bool) {
	fixed = true
	for _, key := range keys {
		own := key.codes(dimension)
		if own == nil {
			fixed = false
		}
		for _, code := range own {
			if !slices.Contains(codes, code) {
				codes = append(codes, code)
			}
		}
	}
	return codes, fixed
}

func differ(keys []Key, dimension int) bool {
	return slices.ContainsFunc(keys[1:], func(k Key) bool { return !slices.Equal(k.codes(dimension), keys[0].codes(dimension)) })
}

// fixedAnywhere counts the dimensions that at least one key fixes.
func fixedAnywhere(keys []Key) int {
	seen := map[int]bool{}
	for _, key := range keys {
		for i, codes := range key {
			if codes != nil {
				seen[i] = true
			}
		}
	}
	return len(seen)
}

func oneOf(component string, codes []string) filter.Filter {
	if len(codes) == 1 {
		return filter.Eq(component, codes[0])
	}
	return filter.In(component, codes...)
}

func dimensionIDs(s *Structure) []string {
	ids := make([]string, len(s.Dimensions))
	for i := range s.Dimensions {
		ids[i] = s.Dimensions[i].ID
	}
	return ids
}
