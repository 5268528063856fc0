package rpc

import (
	"fmt"
	"slices"

	"github.com/comity-federation/comity/proto/block"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/proto/period"
	"github.com/comity-federation/comity/services/sharing"
)

// constraintFromProto reads what a constraint says of keys and times. Attributes rule nothing out: there could be a figure
// with others.
func constraintFromProto(p *statisticspb.ContentConstraint, structures *sharing.Structures) (sharing.Constraint, error) {
	var c sharing.Constraint
	add := func(exclude bool, region sharing.Region) {
		if exclude {
			c.Exclude = append(c.Exclude, region)
		} else {
			c.Include = append(c.Include, region)
		}
	}
	for _, r := range p.GetCubeRegions() {
		region, attributes, err := regionFromProto(r, structures)
		if err != nil {
			return c, err
		}
		if !attributes || !r.GetExclude() {
			add(r.GetExclude(), region)
		}
	}
	for _, set := range p.GetKeySets() {
		for _, key := range set.GetKeys() {
			var region sharing.Region
			for id, code := range key.GetValues() {
				if _, ok := dimensionOf(structures, id); !ok {
					return c, fmt.Errorf("%s has no dimension %q", structures.Dataflow, id)
				}
				region = append(region, sharing.Bound{Dimension: id, Codes: map[string]bool{code: true}})
			}
			add(set.GetExclude(), region)
		}
	}
	return c, nil
}

// regionFromProto reads the bounds of a region in dimensions and time, and whether it is bounded in attributes as well.
func regionFromProto(p *statisticspb.CubeRegion, structures *sharing.Structures) (region sharing.Region, attributes bool, err error) {
	for _, key := range p.GetKeys() {
		bound := sharing.Bound{Negated: key.GetExclude()}
		if key.GetComponent() == block.TimePeriod {
			if err := limit(&bound, key.GetTimeRange()); err != nil {
				return nil, false, err
			}
			region = append(region, bound)
			continue
		}
		dimension, ok := dimensionOf(structures, key.GetComponent())
		if !ok {
			attributes = true
			continue
		}
		bound.Dimension, bound.Codes = dimension.ID, map[string]bool{}
		for _, value := range key.GetValues() {
			if err := cascade(bound.Codes, value, dimension); err != nil {
				return nil, false, err
			}
		}
		region = append(region, bound)
	}
	return region, attributes, nil
}

func dimensionOf(structures *sharing.Structures, id string) (sharing.Dimension, bool) {
	i := slices.IndexFunc(structures.Dimensions, func(d sharing.Dimension) bool { return d.ID == id })
	if i < 0 {
		return sharing.Dimension{}, false
	}
	return structures.Dimensions[i], true
}

// limit sets the days of a bound of the time.
func limit(bound *sharing.Bound, p *statisticspb.TimeRange) error {
	if text := p.GetStartPeriod(); text != "" {
		first, err := period.Parse(text)
		if err != nil {
			return fmt.Errorf("reading its start: %w", err)
		}
		bound.First = first.Start()
	}
	if text := p.GetEndPeriod(); text != "" {
		last, err := period.Parse(text)
		if err != nil {
			return fmt.Errorf("reading its end: %w", err)
		}
		bound.Last = last.End()
	}
	return nil
}

// cascade adds the codes that a value stands for.
func cascade(codes map[string]bool, value *statisticspb.CubeRegionValue, dimension sharing.Dimension) error {
	switch value.GetCascade() {
	case statisticspb.CubeRegionValue_UNSPECIFIED:
		codes[value.GetValue()] = true
		return nil
	case statisticspb.CubeRegionValue_DESCENDANTS:
		codes[value.GetValue()] = true
	case statisticspb.CubeRegionValue_ONLY_DESCENDANTS:
	default:
		return fmt.Errorf("the cascade %d is not known", value.GetCascade())
	}
	for code := range dimension.Codes {
		above := dimension.Codes[code].Parent
		for range dimension.Codes { // parents that go in a circle end here
			if above == "" || above == value.GetValue() {
				break
			}
			above = dimension.Codes[above].Parent
		}
		if above == value.GetValue() {
			codes[code] = true
		}
	}
	return nil
}
