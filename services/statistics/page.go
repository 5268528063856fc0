package statistics

import (
	"slices"
	"time"

	"github.com/comity-federation/comity/proto/block"
)

// pageRows is how many rows a page has at most.
const pageRows = 8192

// ActionColumn is the id of the column that says what became of a row: M, D, A or R.
const ActionColumn = "_ACTION"

// Page is a part of an answer: rows in the order of keys, then periods, where no other was asked for. Keys are in the order
// in which the node came to know their codes.
type Page struct {
	Block        *block.Block
	Revision     int64
	RevisionTime time.Time
}

// pager makes blocks of rows whose codes are numbered by a dictionary. The codes of a key are looked up once for all its
// rows, and nothing is allocated for a row.
//
//	p.key(series.Key, series.Provider)
//	p.row(period, cell, nil, 0)  // for each figure of the key
//	if p.rows == pageRows { send(p.block()) }
type pager struct {
	ids        []string // of the dimensions
	dictionary *Dictionary
	withAction bool

	room      int // how many rows the columns are made for at first
	rows      int
	keyed     int // rows whose dimensions are written
	codes     []uint32
	dims      []coded
	local     [][]uint32 // by dimension and code: the position in the block's dictionary, plus 1
	frequency Frequency
	periods   coded
	known     map[Frequency]*periodTexts
	stamp     uint32 // of the block, for the positions of periods
	obs, conf coded
	notes     []noted // COMMENT, then the further attributes that are asked for
	providers coded
	actions   coded
	obsAt     [256]uint32
	confAt    [256]uint32
	provider  string
	values    []float64
}

// coded is a column that is being made.
type coded struct {
	dictionary []string
	codes      []uint32
}

// noted is the column of a further attribute that is being made.
type noted struct {
	id string
	at int // where it stands among the further attributes of a figure
	coded
	known map[string]uint32 // the position of each text
}

// put gives a row its value. Most rows have none: they are written together, see [noted.fill].
func (n *noted) put(further []string, row int) {
	text := furtherText(further, n.at)
	if text == "" {
		return
	}
	n.fill(row)
	if last := len(n.codes); last > 0 && n.dictionary[n.codes[last-1]] == text {
		n.codes = append(n.codes, n.codes[last-1])
		return
	}
	n.codes = append(n.codes, n.code(text))
}

// fill gives no value to the rows before a row that have none yet.
func (n *noted) fill(row int) {
	if missing := row - len(n.codes); missing > 0 {
		n.codes = appendTimes(n.codes, n.code(""), missing)
	}
}

// code returns the position of a text.
func (n *noted) code(text string) uint32 {
	at, ok := n.known[text]
	if !ok {
		at = n.add(text)
		n.known[text] = at
	}
	return at
}

// add adds a text that the dictionary does not have.
func (c *coded) add(text string) uint32 {
	c.dictionary = append(c.dictionary, text)
	return uint32(len(c.dictionary)) - 1 //nolint:gosec // no more than rows
}

// periodTexts are the texts of periods of a frequency, and where they stand in the block with the stamp.
type periodTexts struct {
	first int32
	texts []string
	at    []uint32
	in    []uint32
}

func newPager(structure *DataStructure, attributes []string, dictionary *Dictionary, withAction bool) *pager {
	p := &pager{
		ids: structure.DimensionIDs(), dictionary: dictionary, withAction: withAction,
		local: make([][]uint32, len(structure.Dimensions)), known: map[Frequency]*periodTexts{}, room: 64,
		notes: make([]noted, 0, 1+len(attributes)),
	}
	for _, id := range append([]string{block.Comment}, attributes...) {
		p.notes = append(p.notes, noted{id: id, at: structure.furtherAt(id)})
	}
	for i := range p.local {
		p.local[i] = make([]uint32, dictionary.Len(i))
	}
	p.reset()
	return p
}

// reset begins an empty block; the one made before is not touched any more.
func (p *pager) reset() {
	for i, c := range p.dims {
		for _, text := range c.dictionary {
			code, _ := p.dictionary.Find(i, text)
			p.local[i][code] = 0
		}
	}
	column := func() coded { return coded{codes: make([]uint32, 0, p.room)} }
	p.rows, p.keyed = 0, 0
	p.stamp++
	p.dims = make([]coded, len(p.ids))
	for i := range p.dims {
		p.dims[i] = column()
	}
	p.periods, p.obs, p.conf, p.providers = column(), column(), column(), column()
	for i := range p.notes {
		p.notes[i].coded, p.notes[i].known = column(), map[string]uint32{}
	}
	if p.withAction {
		p.actions = column()
	}
	p.obsAt, p.confAt = [256]uint32{}, [256]uint32{}
	p.values = make([]float64, 0, p.room)
}

// key begins the rows of a key.
func (p *pager) key(codes []uint32, provider string) {
	p.fill()
	p.codes, p.provider = append(p.codes[:0], codes...), provider
	p.frequency = Frequency(p.dictionary.Text(0, codes[0])[0])
}

// row adds a figure of the key with its further attributes, nil where it has none.
func (p *pager) row(period int32, cell Cell, further []string, action byte) {
	p.periods.codes = append(p.periods.codes, p.period(period))
	if p.obsAt[cell.ObsStatus] == 0 {
		p.obsAt[cell.ObsStatus] = p.obs.add(statusText(cell.ObsStatus)) + 1
	}
	p.obs.codes = append(p.obs.codes, p.obsAt[cell.ObsStatus]-1)
	if p.confAt[cell.ConfStatus] == 0 {
		p.confAt[cell.ConfStatus] = p.conf.add(statusText(cell.ConfStatus)) + 1
	}
	p.conf.codes = append(p.conf.codes, p.confAt[cell.ConfStatus]-1)
	if further != nil {
		for i := range p.notes {
			p.notes[i].put(further, p.rows)
		}
	}
	if p.withAction {
		text := string(rune(action))
		position := slices.Index(p.actions.dictionary, text)
		if position < 0 {
			position = int(p.actions.add(text))
		}
		p.actions.codes = append(p.actions.codes, uint32(position)) //nolint:gosec // of a few
	}
	p.values = append(p.values, cell.Value)
	p.rows++
}

// statusText returns the code of a status; "" where there is none.
func statusText(status byte) string {
	if status == 0 {
		return ""
	}
	return string(rune(status))
}

// period returns the position of a period's text.
func (p *pager) period(index int32) uint32 {
	known := p.known[p.frequency]
	if known == nil {
		known = &periodTexts{first: index}
		p.known[p.frequency] = known
	}
	if index < known.first {
		more := int(known.first - index)
		known.texts = append(make([]string, more, more+len(known.texts)), known.texts...)
		known.at = append(make([]uint32, more, more+len(known.at)), known.at...)
		known.in = append(make([]uint32, more, more+len(known.in)), known.in...)
		known.first = index
	}
	i := int(index - known.first)
	if i >= len(known.texts) {
		more := i + 1 - len(known.texts)
		known.texts = append(known.texts, make([]string, more)...)
		known.at = append(known.at, make([]uint32, more)...)
		known.in = append(known.in, make([]uint32, more)...)
	}
	if known.in[i] != p.stamp {
		if known.texts[i] == "" {
			known.texts[i] = p.frequency.Period(index).String()
		}
		known.at[i], known.in[i] = p.periods.add(known.texts[i]), p.stamp
	}
	return known.at[i]
}

// fill writes the dimensions and the provider of the rows added since the last time.
func (p *pager) fill() {
	n := p.rows - p.keyed
	if n == 0 {
		return
	}
	for i, code := range p.codes {
		if p.local[i][code] == 0 {
			p.local[i][code] = p.dims[i].add(p.dictionary.Text(i, code)) + 1
		}
		p.dims[i].codes = appendTimes(p.dims[i].codes, p.local[i][code]-1, n)
	}
	at := slices.Index(p.providers.dictionary, p.provider)
	if at < 0 {
		at = int(p.providers.add(p.provider))
	}
	p.providers.codes = appendTimes(p.providers.codes, uint32(at), n) //nolint:gosec // of a few
	p.keyed = p.rows
}

func appendTimes(codes []uint32, code uint32, n int) []uint32 {
	from := len(codes)
	codes = slices.Grow(codes, n)[:from+n]
	for i := from; i < len(codes); i++ {
		codes[i] = code
	}
	return codes
}

// block returns the rows since the last time, and begins anew with the same key.
func (p *pager) block() *block.Block {
	p.fill()
	made := &block.Block{Rows: p.rows, Columns: make([]block.Column, 0, len(p.ids)+len(p.notes)+6)}
	put := func(id string, c coded) {
		made.Columns = append(made.Columns, block.Column{Component: id, Dictionary: c.dictionary, Codes: c.codes})
	}
	for i, id := range p.ids {
		put(id, p.dims[i])
	}
	put(block.TimePeriod, p.periods)
	made.Columns = append(made.Columns, block.Column{Component: block.ObsValue, Numbers: p.values})
	put(block.ObsStatus, p.obs)
	put(block.ConfStatus, p.conf)
	for i := range p.notes {
		p.notes[i].fill(p.rows)
		put(p.notes[i].id, p.notes[i].coded)
	}
	put(block.Provider, p.providers)
	if p.withAction {
		put(ActionColumn, p.actions)
	}
	if p.rows == pageRows {
		p.room = pageRows
	}
	p.reset()
	return made
}
