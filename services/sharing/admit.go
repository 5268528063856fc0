package sharing

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/comity-federation/comity/services/disclosure"
	"github.com/comity-federation/comity/services/disclosure/ledger"
	"github.com/comity-federation/comity/services/fault"
)

// errSaidAlready ends a transaction that would keep what is there already.
var errSaidAlready = errors.New("it says what was said last")

// errToldSince ends a transaction where audiences were told of anything after the tables were made.
var errToldSince = errors.New("the audiences were told more in the meantime")

// maxRemade is how often tables are made while audiences are told more all the time.
const maxRemade = 5

// remade makes tables until nobody is told more in the meantime. Where that does not come to an end, it is a fault of kind
// Unavailable: nothing was told, and it is left to the next time.
func remade(try func() error) error {
	for range maxRemade {
		if err := try(); !errors.Is(err, errToldSince) {
			return err
		}
	}
	return fault.New(fault.Unavailable, "UNAVAILABLE", "the tables were made %d times, and each time the audiences were told more in the meantime: try again", maxRemade)
}

// maxAdmitted is about how many cells are decided at once on what audiences have seen.
const maxAdmitted = 20_000

// ledgerKey names a cell of this state in all releases, whatever they tell apart and whoever gets them: a dimension that
// is taken in total is not named, nor is the version of the dataflow.
func (s *Structures) ledgerKey(codes []string, period string) string {
	var key strings.Builder
	key.WriteString(s.flow() + " " + period)
	for i, dimension := range s.Dimensions {
		if codes[i] != Total {
			key.WriteString(" " + dimension.ID + "=" + codes[i])
		}
	}
	return key.String()
}

// recall tells what the audiences know of the cells of a table. Those that they have are pinned, those that members of
// them counted themselves too, and what they were refused is withheld again. It reports whether they know the whole
// table: then it goes as they know it.
func (m *maker) recall(ctx context.Context, to *made) (pinned []bool, known bool, err error) {
	cells, kept := to.recalled()
	past, err := ledger.Recall(ctx, m.audiences, m.revision, cells)
	if err != nil {
		return nil, false, err
	}
	to.news = false
	ruled := to.table.Clone()
	to.rules.Apply(ruled)
	known = len(m.audiences) > 0 && past[len(to.table.Cells)].Told == len(m.audiences)
	if known {
		if known, err = m.learned(ctx, to); err != nil {
			return nil, false, err
		}
	}
	var before []int // structural zeros that were withheld before they were known to be that
	for i := range to.table.Cells {
		c, p, primary := &to.table.Cells[i], past[i], ruled.Cells[i].Status == disclosure.Primary
		if c.Absent {
			continue
		}
		back, mirrored := kept[i]
		to.news = to.news || p.Told < len(m.audiences)
		switch {
		case p.Told < len(m.audiences):
			known = false
		case primary:
			known = known && (p.Seen == ledger.Shown && mirrored || p.Seen == ledger.Refused && p.Width >= to.rules.Width(c.Value))
		}
		switch {
		case primary:
		case c.Status == disclosure.Empty:
			if p.Seen == ledger.Refused {
				before = append(before, i)
			}
		case mirrored && past[back].Told > 0:
			c.Status = disclosure.Secondary
		case p.Seen == ledger.Shown || p.Seen == ledger.New && mirrored:
			if pinned == nil {
				pinned = make([]bool, len(to.table.Cells))
			}
			pinned[i] = true
		case p.Seen == ledger.Refused:
			c.Status = disclosure.Secondary
		}
	}
	if known {
		for _, i := range before {
			to.table.Cells[i].Status = disclosure.Secondary
		}
		to.rules.Apply(to.table)
	}
	return pinned, known, nil
}

// recalled returns the cells that ledgers are asked for: those of the table, its mark, and those that say that others are
// kept back, with the places of the latter by those of the others.
func (m *made) recalled() (cells []ledger.Cell, kept map[int]int) {
	cells = make([]ledger.Cell, len(m.table.Cells))
	for i, c := range m.table.Cells {
		cells[i] = ledger.Cell{Key: m.names[i], Value: c.Value}
	}
	cells = append(cells, ledger.Cell{Key: m.mark()})
	kept = map[int]int{}
	for i, c := range m.kept() {
		kept[i] = len(cells)
		cells = append(cells, c)
	}
	return cells, kept
}

// keys returns the keys of the cells that ledgers are asked for.
func (m *made) keys() []string {
	cells, _ := m.recalled()
	keys := make([]string, len(cells))
	for i, c := range cells {
		keys[i] = c.Key
	}
	return keys
}

// admit decides about the tables of t on what the audiences have seen, and notes in their ledgers what they see now. It
// withholds more cells where what goes would give others away together with what went before; a table that cannot be
// helped so is left out. Where they were told more since the tables were made, these are to be made anew: errToldSince.
func (t *table) admit(ctx context.Context, stacks []ledger.Stack, id string) error {
	if slices.ContainsFunc(t.made, func(m *made) bool { return m.mirrored.known != nil && len(m.mirrored.known) != len(stacks) }) {
		return errToldSince // an audience is new
	}
	if told, err := amount(ctx, stacks); err != nil || told != t.told {
		return cmp.Or(err, errToldSince)
	}
	stacks, err := t.inform(ctx, stacks)
	if err != nil {
		return err
	}
	if err := t.keepUnits(ctx, stacks, id); err != nil {
		return err
	}
	if err := t.remember(ctx, stacks, id); err != nil {
		return err
	}
	var batch []*made
	size := 0
	for _, m := range t.made {
		if m.known || m.refusal != nil {
			continue
		}
		if size+len(m.table.Cells) > maxAdmitted && size > 0 {
			if err := t.admitSome(ctx, stacks, id, batch); err != nil {
				return err
			}
			batch, size = nil, 0
		}
		batch, size = append(batch, m), size+len(m.table.Cells)
	}
	if size > 0 {
		if err := t.admitSome(ctx, stacks, id, batch); err != nil {
			return err
		}
	}
	if err := t.close(ctx, stacks, id); err != nil {
		return err
	}
	t.settle()
	return nil
}

// admitSome decides about some tables: all together, and where that is refused, about each half.
func (t *table) admitSome(ctx context.Context, stacks []ledger.Stack, id string, some []*made) error {
	if err := learn(ctx, stacks, id, t.revision, some); err != nil {
		return t.part(ctx, stacks, id, some, err)
	}
	release := ledger.Release{ID: id, Revision: t.revision}
	at := map[string]*disclosure.Cell{}
	releases := make([]ledger.Release, len(some))
	err := sideBySide(ctx, len(some), func(_ context.Context, i int) (err error) {
		releases[i], err = some[i].release(t.revision)
		return err
	})
	if err != nil {
		return err
	}
	for k, m := range some {
		one := releases[k]
		for i := range one.Cells {
			if i < len(m.table.Cells) {
				at[one.Cells[i].Key] = &m.table.Cells[i]
			}
		}
		extend(&release, one)
	}
	verdict, err := ledger.Admit(ctx, stacks, release, ledger.Options{Random: rand.Reader})
	if err != nil {
		return t.part(ctx, stacks, id, some, err)
	}
	if err := verdict.Record(ctx, stacks); err != nil {
		return err
	}
	for _, decided := range verdict.Release.Cells {
		if c := at[decided.Key]; c != nil && decided.Status.Suppressed() && !c.Status.Suppressed() {
			c.Status = disclosure.Secondary
		}
	}
	return nil
}

// part decides about each half of tables that were refused together. One alone does not go.
func (t *table) part(ctx context.Context, stacks []ledger.Stack, id string, some []*made, err error) error {
	refusal, ok := errors.AsType[*ledger.Refusal](err)
	if !ok {
		return fmt.Errorf("deciding on what was released before: %w", err)
	}
	if half := len(some) / 2; half > 0 {
		if err := t.admitSome(ctx, stacks, id, some[:half]); err != nil {
			return err
		}
		return t.admitSome(ctx, stacks, id, some[half:])
	}
	some[0].refusal = refusal
	return nil
}

// release returns the table as its ledgers keep it.
func (m *made) release(revision int64) (ledger.Release, error) {
	names := make(map[string]string, len(m.names))
	for i, c := range m.table.Cells {
		names[c.Name()] = m.names[i]
	}
	release, err := ledger.FromTable(m.table, m.points, m.rules, revision, func(c disclosure.Cell) string {
		if name, ok := names[c.Name()]; ok {
			return name
		}
		return m.sheet.String() + " " + c.Name()
	})
	if err != nil {
		return ledger.Release{}, fmt.Errorf("reading the equations of %v: %w", m.sheet, err)
	}
	release.Cells = append(release.Cells, ledger.Cell{Key: m.mark(), Status: disclosure.Published})
	kept := m.kept()
	for i := range m.table.Cells {
		if c, ok := kept[i]; ok && m.table.Cells[i].Status == disclosure.Secondary {
			release.Cells = append(release.Cells, c)
		}
	}
	if i := m.total(); i < 0 || m.table.Cells[i].Status.Suppressed() {
		release.Ceiling = disclosure.MaxValue // nobody is told how large figures can be
	}
	for i := range release.Cells {
		release.Cells[i].Ceiling = release.Ceiling
	}
	return release, nil
}

// mark names the table as it is before anything is withheld. Ledgers keep it as a cell, so that they know whether they
// have not just its cells, but also what these say together.
func (m *made) mark() string {
	sum := sha256.New()
	for i, c := range m.table.Cells {
		fmt.Fprintln(sum, m.names[i], c.Value, c.Absent)
	}
	fmt.Fprintln(sum, m.rules.MinimumFrequency, m.rules.RelativeWidth)
	return m.sheet.String() + " " + hex.EncodeToString(sum.Sum(nil))
}

// String names the sheet.
func (s *sheet) String() string {
	return s.strand().String() + " " + s.period
}

// settle takes out of the rows what was withheld since they were made.
func (t *table) settle() {
	rows := t.rows[:0]
	for _, r := range t.rows {
		switch {
		case r.from == nil:
			rows = append(rows, r)
		case r.from.refusal != nil:
			if total := t.leave(r); total {
				rows = append(rows, r.hidden())
			}
		case r.from.table.Cells[r.cell].Status.Suppressed() && r.conf == free:
			t.unkeep(r)
			t.Rules[toProtect]++
			rows = append(rows, r.hidden())
		default:
			rows = append(rows, r)
		}
	}
	t.rows = rows
	for _, m := range t.made {
		if m.refusal != nil {
			t.note(Note{
				Area: m.sheet.area, Indicator: m.sheet.indicator, Periods: []string{m.sheet.period},
				Reason: "with what went before: " + m.refusal.Text,
			})
		}
	}
	t.made = slices.DeleteFunc(t.made, func(m *made) bool { return m.refusal != nil })
}

// unkeep counts a cell as withheld that was to go.
func (t *table) unkeep(r row) {
	t.Released--
	t.Suppressed++
	if r.from.cells[r.cell].finest {
		t.kept -= r.value
	}
}

// leave counts a cell of a table that does not go, and reports whether it is the total.
func (t *table) leave(r row) (total bool) {
	if !math.IsNaN(r.value) {
		t.unkeep(r)
	}
	return r.cell == r.from.total()
}
