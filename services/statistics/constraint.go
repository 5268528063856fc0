package statistics

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/comity-federation/comity/proto/block"
)

// ContentConstraint says which codes, keys and times there may be, or are, in what it is attached to. A row fits that is in
// one of the regions and key sets that include, where there are any, and in none of those that exclude.
type ContentConstraint struct {
	Ref                 Ref
	Names               Names
	Descriptions        Names
	Annotations         []Annotation
	Role                ConstraintRole
	DataStructures      []Ref // what it is attached to is of one kind
	Dataflows           []Ref
	ProvisionAgreements []Ref
	Regions             []CubeRegion
	KeySets             []DataKeySet
}

// ConstraintRole says what a constraint tells.
type ConstraintRole uint8

// The roles.
const (
	AllowedContent ConstraintRole = iota // what there may be
	ActualContent                        // what there is; nothing is checked by it
)

// CubeRegion is the part of a cube in which each of some components has one of some values.
type CubeRegion struct {
	Exclude bool // what is in the region is excluded, not included
	Keys    []CubeRegionKey
}

// CubeRegionKey bounds a region in one component.
type CubeRegionKey struct {
	Component string // a dimension, an attribute, or TIME_PERIOD
	Values    []CubeRegionValue
	Exclude   bool // the values are those that the component does not have
	Start     string
	End       string // of TIME_PERIOD, in place of values: the first and the last period; "" is open
}

// CubeRegionValue is a value, or a part of a hierarchy.
type CubeRegionValue struct {
	Value   string
	Cascade Cascade
}

// Cascade says what a code stands for besides itself.
type Cascade uint8

// The ways of cascading.
const (
	NoCascade       Cascade = iota
	Descendants             // all codes below it
	OnlyDescendants         // all codes below it, and not itself
)

// DataKeySet is a set of keys.
type DataKeySet struct {
	Exclude bool
	Keys    []map[string]string // values by dimension; a dimension that is not named may have any
}

// attachments returns what the constraint is attached to.
func (c *ContentConstraint) attachments() []ArtefactID {
	var all []ArtefactID
	for _, attached := range []struct {
		kind Kind
		refs []Ref
	}{{KindDataStructure, c.DataStructures}, {KindDataflow, c.Dataflows}, {KindProvisionAgreement, c.ProvisionAgreements}} {
		for _, ref := range attached.refs {
			all = append(all, ArtefactID{attached.kind, ref})
		}
	}
	return all
}

// restriction is a constraint made ready to check the rows of a dataflow by.
type restriction struct {
	ref     Ref
	made    *ContentConstraint // the constraint itself
	include []bounds           // a row is in one of them, where there are any
	exclude []bounds           // and in none of these
}

// bounds are what a row has to fulfil in each of some components.
type bounds []bound

// bound is what a row has to fulfil in one component.
type bound struct {
	component string
	values    map[string]bool
	negated   bool
	time      bool
	span      span
}

func (b bound) holds(value string) bool { return b.values[value] != b.negated }

func (b bound) holdsPeriod(p Period) bool { return b.span.holds(p) != b.negated }

// restrict checks a constraint against a dataflow that it bounds, and makes it ready. What is wrong is added to the
// violations.
func restrict(c *ContentConstraint, flow *Flow, violations *violations) *restriction {
	r := &restriction{ref: c.Ref, made: c}
	add := func(exclude bool, made bounds) {
		if exclude {
			r.exclude = append(r.exclude, made)
		} else {
			r.include = append(r.include, made)
		}
	}
	for i, region := range c.Regions {
		field := fmt.Sprintf("contentConstraints[%s].cubeRegions[%d]", c.Ref, i)
		add(region.Exclude, restrictRegion(field, region, flow, violations))
	}
	for i, set := range c.KeySets {
		for j, key := range set.Keys {
			field := fmt.Sprintf("contentConstraints[%s].keySets[%d].keys[%d]", c.Ref, i, j)
			add(set.Exclude, restrictKey(field, key, flow, violations))
		}
	}
	return r
}

func restrictRegion(field string, region CubeRegion, flow *Flow, violations *violations) bounds {
	if len(region.Keys) == 0 {
		violations.add(field+".keys", "is empty")
	}
	var all bounds
	for i, key := range region.Keys {
		field := fmt.Sprintf("%s.keys[%d]", field, i)
		if slices.ContainsFunc(all, func(b bound) bool { return b.component == key.Component }) {
			violations.add(field+".component", "%s is bounded twice", key.Component)
		}
		made := bound{component: key.Component, negated: key.Exclude, values: map[string]bool{}}
		if key.Component == block.TimePeriod {
			made.time = true
			made.span = newSpan(field+".timeRange", Mapping{ValidFrom: key.Start, ValidTo: key.End}, violations)
			if len(key.Values) > 0 || key.Start == "" && key.End == "" {
				violations.add(field, "%s is bounded by a time range, not by values", block.TimePeriod)
			}
			all = append(all, made)
			continue
		}
		if len(key.Values) == 0 || key.Start != "" || key.End != "" {
			violations.add(field, "%s is bounded by values, not by a time range", key.Component)
		}
		hierarchy, ok := flow.hierarchy(key.Component)
		if !ok {
			violations.add(field+".component", "%q is no component of %s", key.Component, flow.Structure.Ref)
		}
		for j, value := range key.Values {
			field := fmt.Sprintf("%s.values[%d]", field, j)
			switch {
			case hierarchy != nil && !hierarchy.Has(value.Value):
				violations.add(field, "%q is no code of %s", value.Value, hierarchy.list.Ref)
			case hierarchy == nil && value.Cascade != NoCascade:
				violations.add(field, "%s has no codelist in which %q could stand for others", key.Component, value.Value)
			case value.Cascade == NoCascade:
				made.values[value.Value] = true
			default:
				for _, code := range hierarchy.Within(value.Value) {
					made.values[code] = made.values[code] || code != value.Value || value.Cascade == Descendants
				}
			}
		}
		all = append(all, made)
	}
	return all
}

func restrictKey(field string, key map[string]string, flow *Flow, violations *violations) bounds {
	if len(key) == 0 {
		violations.add(field+".values", "is empty")
	}
	var all bounds
	for _, component := range slices.Sorted(maps.Keys(key)) {
		value := key[component]
		position := flow.Structure.Dimension(component)
		if position < 0 {
			violations.add(field+".values", "%q is no dimension of %s", component, flow.Structure.Ref)
			continue
		}
		if h := flow.Dimensions[position]; h != nil && !h.Has(value) {
			violations.add(field+".values", "%q is no code of %s", value, h.list.Ref)
		}
		all = append(all, bound{component: component, values: map[string]bool{value: true}})
	}
	return all
}

// restrictions returns the constraints that bound what a provider reports to the dataflow.
func (f *Flow) restrictions(provider string) []*restriction {
	return slices.Concat(f.allowed, f.allowedTo[provider])
}

// BindingConstraint is a constraint of role AllowedContent that is in force, with the provider whom alone it binds; "": it
// binds all.
type BindingConstraint struct {
	*ContentConstraint
	Provider string
}

// Constraints returns what bounds the dataflow: first what bounds all providers, then what bounds one, by provider.
func (f *Flow) Constraints() []BindingConstraint {
	var all []BindingConstraint
	for _, r := range f.allowed {
		all = append(all, BindingConstraint{ContentConstraint: r.made})
	}
	for _, provider := range slices.Sorted(maps.Keys(f.allowedTo)) {
		for _, r := range f.allowedTo[provider] {
			all = append(all, BindingConstraint{r.made, provider})
		}
	}
	return all
}

// guard checks the rows of one block against constraints. Each distinct value is looked at once.
type guard struct {
	block        *block.Block
	restrictions []*restriction
	include      [][]pass // by constraint
	exclude      [][]pass
}

// pass says of a bounded region, component by component, which rows are in it; nil: none of the block is.
type pass []check

type check struct {
	codes []uint32 // of the rows; nil: the block does not have the component
	holds []bool   // by code; of an absent component one for all rows
}

// newGuard makes the guard of a block whose dimensions are there, with what its periods are; nil where nothing that is bounded
// occurs in the block.
func newGuard(restrictions []*restriction, b *block.Block, periods []loadedPeriod) *guard {
	g := &guard{block: b}
	for _, r := range restrictions {
		include, exclude := passes(r.include, true, b, periods), passes(r.exclude, false, b, periods)
		if len(include) == 0 && !slices.ContainsFunc(exclude, func(p pass) bool { return p != nil }) {
			continue
		}
		g.restrictions, g.include, g.exclude = append(g.restrictions, r), append(g.include, include), append(g.exclude, exclude)
	}
	if len(g.restrictions) == 0 {
		return nil
	}
	return g
}

// passes looks at each distinct value once. A value that is absent is where it can do no harm: in what is included, and
// outside what is excluded.
func passes(all []bounds, absent bool, b *block.Block, periods []loadedPeriod) []pass {
	made := make([]pass, len(all))
	for i, region := range all {
		for _, bound := range region {
			from := b.Column(bound.component)
			if from == nil || from.IsNumber() {
				made[i] = append(made[i], check{holds: []bool{absent}})
				continue
			}
			holds := make([]bool, len(from.Dictionary))
			for j, value := range from.Dictionary {
				switch {
				case value == "":
					holds[j] = absent
				case bound.time:
					holds[j] = periods[j].err == nil && bound.holdsPeriod(periods[j].Period)
				default:
					holds[j] = bound.holds(value)
				}
			}
			made[i] = append(made[i], check{codes: from.Codes, holds: holds})
		}
		if !absent && slices.ContainsFunc(made[i], func(c check) bool { return !slices.Contains(c.holds, true) }) {
			made[i] = nil
		}
	}
	return made
}

func (c check) of(row int) bool {
	if c.codes == nil {
		return c.holds[0]
	}
	return c.holds[c.codes[row]]
}

// of reports whether the row is in the region.
func (p pass) of(row int) bool {
	for _, c := range p {
		if !c.of(row) {
			return false
		}
	}
	return len(p) > 0
}

// broken returns the first constraint that the row does not fit, and the components that say so; nil where it fits all.
func (g *guard) broken(row int) (r *restriction, components []string) {
	for i, r := range g.restrictions {
		for j, p := range g.exclude[i] {
			if p.of(row) {
				return r, r.exclude[j].components()
			}
		}
		if len(g.include[i]) == 0 || slices.ContainsFunc(g.include[i], func(p pass) bool { return p.of(row) }) {
			continue
		}
		for j, p := range g.include[i] {
			for k, c := range p {
				if id := r.include[j][k].component; !c.of(row) && !slices.Contains(components, id) {
					components = append(components, id)
				}
			}
		}
		return r, components
	}
	return nil, nil
}

func (b bounds) components() []string {
	ids := make([]string, len(b))
	for i, bound := range b {
		ids[i] = bound.component
	}
	return ids
}

// checkAllowed reports a row that a constraint does not allow. The guard may be nil.
func (l *loader) checkAllowed(g *guard, row, line int) bool {
	if g == nil {
		return true
	}
	r, components := g.broken(row)
	if r == nil {
		return true
	}
	values, told := make([]string, len(components)), make([]string, len(components))
	for i, id := range components {
		values[i] = shown(rowText(g.block, row, id))
		told[i] = fmt.Sprintf("%s %q", id, values[i])
	}
	where := ""
	if len(components) == 1 {
		where = components[0]
	}
	l.find(ruleNotAllowed, line, where, values, "the constraint %s does not allow %s", r.ref, strings.Join(told, " with "))
	return false
}

// hierarchy returns the codelist of a component, nil where any text may stand; false where there is no such component.
func (f *Flow) hierarchy(component string) (*Hierarchy, bool) {
	if position := f.Structure.Dimension(component); position >= 0 {
		return f.Dimensions[position], true
	}
	if _, ok := f.Structure.component(component); ok {
		return f.Attributes[component], true
	}
	return nil, false
}
