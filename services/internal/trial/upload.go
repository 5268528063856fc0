package trial

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"strconv"

	"github.com/comity-federation/comity/proto/block"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/proto/filter"
)

// Upload is a submission to a dataflow of counts.
type Upload struct {
	Action statisticspb.SubmissionHeader_Action
	Rows   Figures
	// For REPLACE and DELETE, the one kind that is replaced or taken away; −1: all, for DELETE what the rows name.
	Kind int
	// It says something else of a cell that is there, which its action does not allow.
	Refused bool
}

// Scope returns what the upload replaces or takes away.
func (u Upload) Scope() filter.Filter {
	if u.Kind < 0 {
		return filter.True()
	}
	return filter.Eq("KIND", kindName(u.Kind))
}

// After returns the figures with an upload. Neither of both is changed.
func (f Figures) After(u Upload) Figures {
	if u.Refused {
		return f
	}
	after := maps.Clone(f)
	switch u.Action {
	case statisticspb.SubmissionHeader_REPLACE:
		maps.DeleteFunc(after, func(c Cell, _ float64) bool { return u.Kind < 0 || c.Kind == u.Kind })
		maps.Copy(after, u.Rows)
	case statisticspb.SubmissionHeader_DELETE:
		maps.DeleteFunc(after, func(c Cell, _ float64) bool {
			_, named := u.Rows[c]
			return named || c.Kind == u.Kind
		})
	default:
		maps.Copy(after, u.Rows)
	}
	return after
}

// RandomUpload makes an upload to figures. Half of them merge runs of some series; the others append, replace all or a kind, or
// take away some cells or a kind, as far as there is something to do so to.
func RandomUpload(random *rand.Rand, f Figures) Upload {
	u := Upload{Action: statisticspb.SubmissionHeader_MERGE, Rows: randomFigures(random, areas*kinds), Kind: -1}
	switch random.IntN(12) {
	case 0, 1:
		u.Action = statisticspb.SubmissionHeader_APPEND
		maps.DeleteFunc(u.Rows, func(c Cell, _ float64) bool { _, there := f[c]; return there })
		if there := f.sorted(); len(there) > 0 && (len(u.Rows) == 0 || random.IntN(4) == 0) {
			c := there[random.IntN(len(there))]
			u.Rows[c] = f[c] + 1
			u.Refused = true
		}
	case 2:
		u.Action = statisticspb.SubmissionHeader_REPLACE
	case 3:
		u.Action, u.Kind = statisticspb.SubmissionHeader_REPLACE, random.IntN(kinds)
		maps.DeleteFunc(u.Rows, func(c Cell, _ float64) bool { return c.Kind != u.Kind })
		u.Rows[Cell{Kind: u.Kind}] = 1
	case 4:
		if share := 1 + random.IntN(9); len(f) > 0 {
			u.Action, u.Rows = statisticspb.SubmissionHeader_DELETE, Figures{}
			there := f.sorted()
			u.Rows[there[0]] = f[there[0]]
			for _, c := range there[1:] {
				if random.IntN(10) < share {
					u.Rows[c] = f[c]
				}
			}
		}
	case 5:
		u.Action, u.Kind, u.Rows = statisticspb.SubmissionHeader_DELETE, random.IntN(kinds), Figures{}
	}
	return u
}

// randomFigures makes runs of up to most series.
func randomFigures(random *rand.Rand, most int) Figures {
	f := Figures{}
	for range 1 + random.IntN(most) {
		area, kind, month := random.IntN(areas), random.IntN(kinds), random.IntN(months)
		for m := month; m < min(month+1+random.IntN(months), months); m++ {
			f[Cell{area, kind, m}] = float64(random.IntN(1000))
		}
	}
	return f
}

// Blocks returns the rows in blocks of a few hundred, month by month.
func (u Upload) Blocks() []*block.Block {
	const size = 500
	var blocks []*block.Block
	builder := block.NewBuilder([]string{"FREQ", "AREA", "KIND", block.TimePeriod}, []string{block.ObsValue})
	for _, c := range u.Rows.sorted() {
		builder.Append([]string{"M", areaName(c.Area), kindName(c.Kind), monthName(c.Month)}, []float64{u.Rows[c]})
		if builder.Rows() == size {
			blocks = append(blocks, builder.Block())
			builder.Reset()
		}
	}
	return append(blocks, builder.Block())
}

// CSV returns the rows as SDMX-CSV 2.0, without the action: its Replace is of single observations.
func (u Upload) CSV(dataflow string) []byte {
	text := bytes.NewBufferString("STRUCTURE,STRUCTURE_ID,FREQ,AREA,KIND,TIME_PERIOD,OBS_VALUE\n")
	for _, c := range u.Rows.sorted() {
		fmt.Fprintf(text, "dataflow,%s,M,%s,%s,%s,%s\n", dataflow,
			areaName(c.Area), kindName(c.Kind), monthName(c.Month), strconv.FormatFloat(u.Rows[c], 'f', -1, 64))
	}
	return text.Bytes()
}
