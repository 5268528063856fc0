package statistics

import (
	"context"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/comity-federation/comity/proto/block"
)

// Sight is what a caller may see of the figures. The zero Sight shows none.
//
// A figure whose CONF_STATUS is not shown has no value in an answer, no COMMENT, and the OBS_STATUS Q (missing, suppressed);
// its CONF_STATUS stays. A figure under embargo is not there at all until its time. All that is made of figures, such as
// sums, orders, filters and counts of periods, is made of what the caller sees, and of nothing else.
//
// A figure that is shown, but contains exactly one that is not, is withheld like that one, since the difference from its
// other parts would give it away. A total of two figures that are not shown tells only their sum. See [shield].
type Sight struct {
	ConfStatus string // the codes of CL_CONF_STATUS that are shown
	AnyStatus  bool   // figures of every CONF_STATUS are shown
	Embargoed  bool   // figures are there before their EMBARGO_TIME
}

// Everything is the sight of who sees all figures.
func Everything() Sight { return Sight{AnyStatus: true, Embargoed: true} }

// all reports whether nothing is hidden.
func (s Sight) all() bool { return s.AnyStatus && s.Embargoed }

// Shows reports whether figures of the CONF_STATUS are shown.
func (s Sight) Shows(confStatus byte) bool {
	return s.AnyStatus || strings.IndexByte(s.ConfStatus, confStatus) >= 0
}

// Suppressed is the code of CL_OBS_STATUS for a value that is missing because it was suppressed.
const Suppressed = 'Q'

// EmbargoTime is the id of the attribute that says until when a figure is under embargo.
const EmbargoTime = "EMBARGO_TIME"

// embargoEnds returns the moment at which a figure is free to be shown: an ISO 8601 moment, in UTC where it names no zone,
// or the start of a day. What is neither never ends.
func embargoEnds(text string) (end time.Time, ever bool) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02T15:04Z07:00", "2006-01-02T15:04", time.DateOnly} {
		if end, err := time.Parse(layout, text); err == nil {
			return end, true
		}
	}
	return time.Time{}, false
}

// veil hides from a caller what the sight does not show.
type veil struct {
	sight     Sight
	now       time.Time
	flow      *Flow
	embargoAt int                // the position of EMBARGO_TIME among the further attributes; -1: the structure has none
	shields   map[string]*shield // by provider; nil: it hides nothing
	timed     []timed
}

// timed is a series with figures that are, or were, under embargo.
type timed struct {
	key  []uint32
	ends []time.Time
}

// lifted returns the keys of the series of which an embargo ended after the moment.
func (v *veil) lifted(after time.Time) [][]uint32 {
	var keys [][]uint32
	for _, t := range v.timed {
		if slices.ContainsFunc(t.ends, func(end time.Time) bool { return end.After(after) && !end.After(v.now) }) {
			keys = append(keys, t.key)
		}
	}
	return keys
}

// newVeil reads which figures of the providers the sight does not show.
func newVeil(ctx context.Context, snapshot Snapshot, flow *Flow, providers []string, sight Sight, now time.Time) (*veil, error) {
	v := &veil{
		sight: sight, now: now, flow: flow, embargoAt: slices.Index(flow.Structure.FurtherAttributes(), EmbargoTime),
		shields: map[string]*shield{},
	}
	if sight.all() {
		return v, nil
	}
	dictionary, err := snapshot.Dictionary(ctx, flow)
	if err != nil {
		return nil, err
	}
	for series, err := range snapshot.Restricted(ctx, flow, providers, sight) {
		if err != nil {
			return nil, err
		}
		if v.shields[series.Provider] == nil {
			v.shields[series.Provider] = newShield(flow, dictionary)
		}
		v.note(v.shields[series.Provider], series)
	}
	for _, g := range v.shields {
		g.close()
	}
	return v, nil
}

// note tells the shield what of a series is hidden. What is hidden and has no value protects no other figure.
func (v *veil) note(g *shield, series *Series) {
	v.noteEmbargo(series)
	var periods []int32
	for i, period := range series.Track.Periods {
		if cell := series.Track.Cells[i]; cell.Valued() && (!v.sight.Shows(cell.ConfStatus) || v.embargoed(series, period)) {
			periods = append(periods, period)
		}
	}
	if len(periods) > 0 {
		g.add(series.Key, periods)
	}
}

func (v *veil) noteEmbargo(series *Series) {
	if v.sight.Embargoed || v.embargoAt < 0 {
		return
	}
	t := timed{}
	for _, further := range series.Further {
		if end, ever := embargoEnds(further[v.embargoAt]); ever {
			t.ends = append(t.ends, end)
		}
	}
	if len(t.ends) > 0 {
		t.key = slices.Clone(series.Key)
		v.timed = append(v.timed, t)
	}
}

// embargoed reports whether the sight does not show the figure of a period because its time has not come.
func (v *veil) embargoed(series *Series, period int32) bool {
	if v.sight.Embargoed || v.embargoAt < 0 || series.Further == nil {
		return false
	}
	further, ok := series.Further[period]
	if !ok || further[v.embargoAt] == "" {
		return false
	}
	end, ever := embargoEnds(further[v.embargoAt])
	return !ever || v.now.Before(end)
}

// underEmbargo is the OBS_STATUS of a figure that is not there yet, while sums are made: what it is added to is no whole.
const underEmbargo = 1

// hide takes from a series, in place, what the sight does not show. A figure under embargo is left out, or marked as such.
func (v *veil) hide(series *Series, mark bool) {
	if v.sight.all() {
		return
	}
	var withheld map[int32]bool
	if g := v.shields[series.Provider]; g != nil {
		withheld = g.withheld(series.Key)
	}
	track, kept := &series.Track, 0
	for i, period := range track.Periods {
		cell := track.Cells[i]
		embargoed := v.embargoed(series, period)
		if embargoed && !mark {
			delete(series.Further, period)
			continue
		}
		if embargoed || !v.sight.Shows(cell.ConfStatus) || withheld[period] {
			cell.Value, cell.ObsStatus = math.NaN(), Suppressed
			delete(series.Further, period)
		}
		if embargoed {
			cell.ObsStatus = underEmbargo
		}
		track.Periods[kept], track.Cells[kept] = period, cell
		kept++
	}
	track.Periods, track.Cells = track.Periods[:kept], track.Cells[:kept]
}

// withheldSum returns the periods for which a sum of the provider is not shown.
func (v *veil) withheldSum(provider string, key []uint32, d *Dictionary) map[int32]bool {
	if g := v.shields[provider]; g != nil {
		return g.withheldSum(key, d)
	}
	return nil
}

// read gives what the caller sees of the selected series, with or without marks for figures under embargo.
func (v *veil) read(ctx context.Context, snapshot Snapshot, providers []string, s Selector, mark bool, each func(*Series) error) error {
	s.Attributes = append([]string{block.Comment, EmbargoTime}, s.Attributes...)
	for series, err := range snapshot.Read(ctx, v.flow, providers, s) {
		if err != nil {
			return err
		}
		v.hide(series, mark)
		if series.Track.Len() == 0 {
			continue
		}
		if err := each(series); err != nil {
			return err
		}
	}
	return nil
}

// commentOf returns the position of COMMENT among the further attributes, or -1.
func commentOf(s *DataStructure) int { return slices.Index(s.FurtherAttributes(), block.Comment) }
