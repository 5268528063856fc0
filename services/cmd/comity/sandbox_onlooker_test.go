package main

import (
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/comity-federation/comity/proto/block"
	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
	"github.com/comity-federation/comity/services/disclosure/disclosuretest"
	"github.com/comity-federation/comity/services/internal/region"
	"github.com/comity-federation/comity/services/sharing"
	"github.com/comity-federation/comity/services/sharing/wire"
)

// identity are the dimensions that say when, whose and what a figure is. Their codes are parts of nothing.
var identity = []string{"FREQ", "REF_AREA", "INDICATOR"}

// minimum is what no cell counts less than that goes by itself: all agreements of the regions have it.
const minimum = 3

// onlook computes what a state can find out of small counts of a partner's, from all envelopes that it ever received. It
// knows the codelists, and nothing of how releases are made; that none of them says more than the partner's own figures do
// now is checked on the way. It returns how many figures were withheld.
func (s *runningSandbox) onlook(receiver, provider string) (withheld int) {
	s.t.Helper()
	truth := s.truth(provider)
	parts := s.parts()
	tables := map[string][]disclosuretest.Row{}
	for b := range s.received(receiver, provider) {
		var codes []*block.Column
		var names []string
		for i := range b.Columns {
			if c := &b.Columns[i]; !c.IsNumber() && !slices.Contains([]string{block.TimePeriod, block.ObsStatus, block.ConfStatus}, c.Component) {
				codes, names = append(codes, c), append(names, c.Component)
			}
		}
		for i := range b.Rows {
			name, key := []string{b.Column(block.TimePeriod).Text(i)}, []string{}
			for d, c := range codes {
				if slices.Contains(identity, names[d]) {
					name = append(name, c.Text(i))
				} else {
					key = append(key, c.Text(i))
				}
			}
			value := b.Column(block.ObsValue).Numbers[i]
			if status := b.Column(block.ObsStatus).Text(i); math.IsNaN(value) {
				if withheld++; status != "Q" || b.Column(block.ConfStatus).Text(i) != "C" {
					s.t.Errorf("%v %v has the statuses %s and %s", name, key, status, b.Column(block.ConfStatus).Text(i))
				}
			} else if value > 0 && value < minimum {
				s.t.Errorf("%v %v was received with %v", name, key, value)
			}
			at := strings.Join(name, " ")
			tables[at] = append(tables[at], disclosuretest.Row{Key: key, Value: value, Truth: truth[at][strings.Join(key, ".")]})
		}
	}
	if len(tables) == 0 {
		s.t.Fatalf("%s has received nothing from %s", receiver, provider)
	}
	onlooker := disclosuretest.NewOnlooker()
	for name, rows := range tables {
		if err := onlooker.See(name, parts, rows); err != nil {
			s.t.Fatal(err)
		}
	}
	known, err := onlooker.Withheld(1, minimum-1, 2_000)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, k := range known {
		if k.Width() < minimum {
			s.t.Errorf("%s lies between %v and %v", k.Cell, k.Low, k.High)
		}
	}
	s.t.Logf("%s received %d tables from %s, in which %d figures were withheld, of them %d below %d", receiver, len(tables), provider, withheld, len(known), minimum)
	return withheld
}

// received gives the content of all envelopes that a state received from another, by its log.
func (s *runningSandbox) received(receiver, provider string) func(func(*block.Block) bool) {
	auditor := must[*client](s.t)(newClient(s.state(receiver).Gateway, filepath.Join(s.directory, s.state(receiver).Tokens["auditor"]), "auditor"))
	return func(yield func(*block.Block) bool) {
		for entry, err := range logEntries(s.t.Context(), auditor) {
			if err != nil {
				s.t.Fatal(err)
			}
			if entry.GetKind() != sharingpb.LogEntry_ENVELOPE_RECEIVED && entry.GetKind() != sharingpb.LogEntry_ENVELOPE_REFUSED {
				continue
			}
			envelope := must[sharing.Envelope](s.t)(wire.Codec{}.DecodeEnvelope(entry.GetContent()))
			header := must[sharing.Header](s.t)(wire.Codec{}.DecodeHeader(envelope.Header.Payload))
			if string(header.Sender) == provider && !yield(must[*block.Block](s.t)(wire.Codec{}.DecodePayload(envelope.Payload))) {
				return
			}
		}
	}
}

// parts returns the parts of each code in the dimensions that figures are broken down by, in key order.
func (s *runningSandbox) parts() []map[string][]string {
	s.t.Helper()
	r := must[*region.Region](s.t)(region.Load(s.region))
	lists := map[string]map[string][]string{}
	var dimensions []string
	for _, set := range r.Structures {
		for _, list := range set.GetCodelists() {
			parts := map[string][]string{}
			for _, code := range list.GetCodes() {
				parts[code.GetParent()] = append(parts[code.GetParent()], code.GetId())
			}
			lists[list.GetAgency()+":"+list.GetId()+"("+list.GetVersion()+")"] = parts
		}
		for _, structure := range set.GetDataStructures() {
			for _, d := range structure.GetDimensions() {
				if structure.GetId() == "BORDER" && !slices.Contains(identity, d.GetId()) {
					dimensions = append(dimensions, d.GetCodelist())
				}
			}
		}
	}
	parts := make([]map[string][]string, len(dimensions))
	for d, list := range dimensions {
		parts[d] = lists[list]
	}
	return parts
}

// truth returns what a state counts in every cell, summed up here from what it has stored: by "period FREQ AREA INDICATOR",
// then by key. What it has stored in parts and as a whole is taken as a whole.
func (s *runningSandbox) truth(provider string) map[string]map[string]int64 {
	s.t.Helper()
	stored := map[string]map[string]int64{}
	for _, o := range s.observations(provider, "*") {
		n, err := strconv.ParseFloat(o["OBS_VALUE"], 64)
		if err != nil {
			continue
		}
		at := strings.Join([]string{o["TIME_PERIOD"], o["FREQ"], o["REF_AREA"], o["INDICATOR"]}, " ")
		if stored[at] == nil {
			stored[at] = map[string]int64{}
		}
		key := []string{o["SECTION"], o["BORDER_TYPE"], o["CITIZENSHIP"], o["SEX"], o["AGE"], o["DETAIL"]}
		stored[at][strings.Join(key, ".")] = int64(n)
	}
	wholes := s.wholes()
	truth := map[string]map[string]int64{}
	for at, cells := range stored {
		truth[at] = map[string]int64{}
		for key, n := range cells {
			counted := map[string]bool{} // where a whole that is stored already counts
			for _, whole := range wholes(key)[1:] {
				if _, ok := cells[whole]; ok {
					for _, k := range wholes(whole) {
						counted[k] = true
					}
				}
			}
			for _, whole := range wholes(key) {
				if !counted[whole] {
					truth[at][whole] += n
				}
			}
		}
	}
	return truth
}

// wholes returns what returns the key of a cell, and those of all that it counts to. Each key is looked at once.
func (s *runningSandbox) wholes() func(key string) []string {
	parts := s.parts()
	above := make([]map[string]string, len(parts))
	for d := range parts {
		above[d] = map[string]string{}
		for whole, codes := range parts[d] {
			for _, code := range codes {
				above[d][code] = whole
			}
		}
	}
	known := map[string][]string{}
	return func(key string) []string {
		if keys, ok := known[key]; ok {
			return keys
		}
		keys := [][]string{nil}
		for d, code := range strings.Split(key, ".") {
			var next [][]string
			for _, k := range keys {
				for c := code; c != ""; c = above[d][c] {
					next = append(next, append(slices.Clone(k), c))
				}
			}
			keys = next
		}
		for _, k := range keys {
			known[key] = append(known[key], strings.Join(k, "."))
		}
		return known[key]
	}
}
