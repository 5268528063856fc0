package statistics

import (
	"encoding/binary"
	"slices"

	"github.com/comity-federation/comity/proto/block"
)

// seriesDeriver derives the series of one table. What a structure map makes of a series' codes is the same for all its
// cells, but for mappings that hold for a time and components that are filled from attributes.
type seriesDeriver struct {
	deriver *Deriver
	source  *Table
	count   bool // labels that no map knows, and what is left out
	fixed   []*seriesFill
	varying []*seriesFill // by cell

	codes    []uint32 // of the target's dimensions
	further  []string // of the target's attributes
	statuses [2]byte
	packed   []byte
	sets     map[attributeKey]attributeValue
	plain    bool // attributes come of attributes and constants alone
}

// attributeKey is what a cell's attributes are made of, and attributeValue what they are.
type attributeKey struct {
	set       uint32
	obs, conf byte
}

type attributeValue struct {
	set       uint32
	obs, conf byte
}

// seriesFill is a fill with where its values stand.
type seriesFill struct {
	fill
	from     []int // of the sources: the dimension, or as place of an attribute
	to       []int // of the targets, likewise
	outcomes map[string]*outcome
	single   []*outcome // by code, where the one source is a dimension and no mapping is timed
}

// The places of attributes: below -2 that of the further attribute -3 - place.
const (
	atObsStatus  = -1
	atConfStatus = -2
	atFurther    = -3
)

// outcome is what a fill makes of labels.
type outcome struct {
	codes   []uint32 // of the targets that are dimensions
	texts   []string // of all targets
	dropped bool
	label   *Unmapped // to be counted; nil: the labels are known
}

func placeOf(s *DataStructure, component string) int {
	switch component {
	case block.ObsStatus:
		return atObsStatus
	case block.ConfStatus:
		return atConfStatus
	}
	if dimension := s.Dimension(component); dimension >= 0 {
		return dimension
	}
	return atFurther - slices.Index(s.FurtherAttributes(), component)
}

// newSeriesDeriver derives series of the source by the deriver, whose table it makes codes of. count: what is left out is
// counted there.
func newSeriesDeriver(deriver *Deriver, source *Table, count bool) *seriesDeriver {
	target := deriver.table
	d := &seriesDeriver{
		deriver: deriver, source: source, count: count, sets: map[attributeKey]attributeValue{}, plain: true,
		codes: make([]uint32, len(target.structure.Dimensions)), further: make([]string, len(target.further)),
	}
	for _, f := range deriver.fills {
		made := &seriesFill{fill: f, outcomes: map[string]*outcome{}}
		varies, attributes := f.mapper != nil && f.mapper.timed, 0
		for _, id := range f.sources {
			place := placeOf(source.structure, id)
			made.from = append(made.from, place)
			if place < 0 {
				attributes++
			}
		}
		ofAttribute := false
		for _, id := range f.targets {
			place := placeOf(target.structure, id)
			made.to = append(made.to, place)
			ofAttribute = ofAttribute || place < 0
		}
		d.plain = d.plain && (!ofAttribute || f.mapper == nil || attributes == len(f.sources) && !varies)
		if varies || attributes > 0 {
			d.varying = append(d.varying, made)
		} else {
			d.fixed = append(d.fixed, made)
		}
	}
	return d
}

// derive gives what becomes of the cells of a series that count: the key of the target's series, which is valid until the
// next, the period, and the cell with the target's attributes and no line.
func (d *seriesDeriver) derive(series int, use func(i int) bool, do func(codes []uint32, period int32, c Cell)) {
	key, track := d.source.Key(series), &d.source.tracks[series]
	frequency := d.source.Frequency(series)
	clear(d.further)
	d.statuses = [2]byte{NormalValue, FreeToShow}
	var labels []*Unmapped
	dropped := false
	for _, f := range d.fixed {
		o := d.outcome(f, key, Cell{}, Period{})
		d.put(f, o)
		dropped = dropped || o.dropped
		if o.label != nil {
			labels = append(labels, o.label)
		}
	}
	for i, cell := range track.Cells {
		if !use(i) || !cell.Present() {
			continue
		}
		left, known := dropped, attributeValue{}
		made, again := d.sets[attributeKey{cell.Attributes, cell.ObsStatus, cell.ConfStatus}]
		if again && d.plain {
			known = made
		}
		for _, f := range d.varying {
			if known.obs != 0 && f.to[0] < 0 {
				continue
			}
			o := d.outcome(f, key, cell, frequency.Period(track.Periods[i]))
			d.put(f, o)
			left = left || o.dropped
			d.note(o.label, cell)
		}
		for _, label := range labels {
			d.note(label, cell)
		}
		if left {
			if d.count {
				d.deriver.leftOut++
			}
			continue
		}
		if known.obs == 0 {
			known = attributeValue{d.deriver.table.AttributeSet(d.further), d.statuses[0], d.statuses[1]}
			if d.plain && len(d.sets) < maxKnownSets {
				d.sets[attributeKey{cell.Attributes, cell.ObsStatus, cell.ConfStatus}] = known
			}
		}
		do(d.codes, track.Periods[i], stillMissing(cell.ObsStatus, Cell{Value: cell.Value, Attributes: known.set, ObsStatus: known.obs, ConfStatus: known.conf}))
	}
}

// maxKnownSets bounds what is remembered of attributes.
const maxKnownSets = 100_000

// note counts a cell with a label that no map knows, or that is left out.
func (d *seriesDeriver) note(label *Unmapped, c Cell) {
	if label == nil || !d.count {
		return
	}
	key := joined(slices.Concat([]string{label.Map.String()}, label.Components, label.Labels))
	u := d.deriver.unmapped[key]
	if u == nil {
		copied := *label
		u = &copied
		d.deriver.unmapped[key] = u
	}
	u.Rows++
	u.Value += finite(c.Value)
	u.Line = earlier(u.Line, int(c.Line))
}

// put puts the values of an outcome where they belong.
func (d *seriesDeriver) put(f *seriesFill, o *outcome) {
	if o.dropped {
		return
	}
	for i, to := range f.to {
		switch {
		case to >= 0:
			d.codes[to] = o.codes[i]
		case to <= atFurther:
			d.further[atFurther-to] = o.texts[i]
		case to == atObsStatus:
			d.statuses[0] = statusOr(o.texts[i], NormalValue)
		default:
			d.statuses[1] = statusOr(o.texts[i], FreeToShow)
		}
	}
}

// statusOr returns the status of a text; an absent one is the usual.
func statusOr(text string, usual byte) byte {
	if len(text) == 1 {
		return text[0]
	}
	return usual
}

// outcome returns what a fill makes of a cell's labels.
func (d *seriesDeriver) outcome(f *seriesFill, key []uint32, c Cell, p Period) *outcome {
	timed := f.mapper != nil && f.mapper.timed
	simple := len(f.from) == 1 && f.from[0] >= 0 && !timed
	if simple && int(key[f.from[0]]) < len(f.single) {
		if o := f.single[key[f.from[0]]]; o != nil {
			return o
		}
	}
	d.packed = d.packed[:0]
	for _, from := range f.from {
		switch {
		case from >= 0:
			d.packed = binary.BigEndian.AppendUint32(d.packed, key[from])
		case from <= atFurther:
			d.packed = binary.BigEndian.AppendUint32(d.packed, c.Attributes)
		default:
			d.packed = append(d.packed, c.ObsStatus, c.ConfStatus)
		}
	}
	if timed {
		d.packed = binary.BigEndian.AppendUint32(d.packed, uint32(p.Index)) //nolint:gosec // its bits
		d.packed = append(d.packed, byte(p.Frequency))
	}
	o := f.outcomes[string(d.packed)]
	if o == nil {
		o = d.work(f, key, c, p)
		f.outcomes[string(d.packed)] = o
	}
	if simple {
		code := int(key[f.from[0]])
		for len(f.single) <= code {
			f.single = append(f.single, nil)
		}
		f.single[code] = o
	}
	return o
}

// work makes an outcome.
func (d *seriesDeriver) work(f *seriesFill, key []uint32, c Cell, p Period) *outcome {
	if f.mapper == nil {
		return d.finish(f, &outcome{texts: []string{f.constant}})
	}
	labels := make([]string, len(f.from))
	for i, from := range f.from {
		switch {
		case from >= 0:
			labels[i] = d.source.dictionary.Text(from, key[from])
		case from <= atFurther:
			labels[i] = d.source.Attributes(c.Attributes)[atFurther-from]
		case from == atObsStatus:
			labels[i] = string(rune(c.ObsStatus))
		default:
			labels[i] = string(rune(c.ConfStatus))
		}
	}
	if f.optional && labels[0] == "" {
		return d.finish(f, &outcome{texts: labels})
	}
	targets, known := f.mapper.apply(labels, p)
	o := &outcome{texts: targets, dropped: len(targets) == 0}
	if !known || o.dropped {
		o.label = &Unmapped{Map: f.mapper.ref, Components: f.sources, Labels: labels, Known: known, Targets: targets}
	}
	return d.finish(f, o)
}

func (d *seriesDeriver) finish(f *seriesFill, o *outcome) *outcome {
	o.codes = make([]uint32, len(f.to))
	for i, to := range f.to {
		if to >= 0 && !o.dropped {
			o.codes[i] = d.deriver.table.Code(to, o.texts[i])
		}
	}
	return o
}
