package ledger

import (
	"context"
	"fmt"
	"maps"
	"slices"
)

// Memory is a stack in memory. It is not safe for use by several goroutines while one appends.
type Memory struct {
	next     ID
	cells    map[string][]ID
	unknowns map[ID]Unknown
	lines    map[ID][]Line   // of each unknown
	points   map[ID][]*Point // of each unknown that they move
	byID     map[ID]*Point
}

// NewMemory returns a stack of an audience that has seen nothing.
func NewMemory() *Memory {
	return &Memory{
		next: 1, cells: map[string][]ID{}, unknowns: map[ID]Unknown{},
		lines: map[ID][]Line{}, points: map[ID][]*Point{}, byID: map[ID]*Point{},
	}
}

// Clone returns another stack of the same content, as that of an audience which begins with what is published.
func (m *Memory) Clone() *Memory {
	c := NewMemory()
	c.next = m.next
	for key, ids := range m.cells {
		c.cells[key] = slices.Clone(ids)
	}
	maps.Copy(c.unknowns, m.unknowns)
	for u, lines := range m.lines {
		c.lines[u] = slices.Clone(lines)
	}
	for u, points := range m.points {
		c.points[u] = slices.Clone(points)
	}
	maps.Copy(c.byID, m.byID)
	return c
}

// Next implements [Stack].
func (m *Memory) Next(context.Context) (ID, error) { return m.next, nil }

// Cells implements [Stack].
func (m *Memory) Cells(ctx context.Context, keys []string) ([]Unknown, error) {
	var ids []ID
	for _, key := range keys {
		ids = append(ids, m.cells[key]...)
	}
	return m.Unknowns(ctx, ids)
}

// CellsIn implements [Stack].
func (m *Memory) CellsIn(ctx context.Context, revision int64, keys []string) ([]Unknown, error) {
	all, err := m.Cells(ctx, keys)
	now := present(all, revision)
	later := map[string]Unknown{}
	for _, u := range all {
		if other, ok := later[u.Cell]; u.Revision > revision && (!ok || u.Revision < other.Revision) {
			later[u.Cell] = u
		}
	}
	return slices.AppendSeq(slices.Collect(maps.Values(now)), maps.Values(later)), err
}

// Unknowns implements [Stack].
func (m *Memory) Unknowns(_ context.Context, ids []ID) ([]Unknown, error) {
	var found []Unknown
	for _, id := range ids {
		if u, ok := m.unknowns[id]; ok {
			found = append(found, u)
		}
	}
	return found, nil
}

// Lines implements [Stack].
func (m *Memory) Lines(_ context.Context, unknowns []ID) ([]Line, error) {
	var found []Line
	seen := map[ID]bool{}
	for _, u := range unknowns {
		for _, l := range m.lines[u] {
			if !seen[l.ID] {
				seen[l.ID] = true
				found = append(found, l)
			}
		}
	}
	return found, nil
}

// Points implements [Stack].
func (m *Memory) Points(_ context.Context, unknowns []ID) ([]Point, error) {
	var found []Point
	seen := map[ID]bool{}
	for _, u := range unknowns {
		for _, p := range m.points[u] {
			if !seen[p.ID] {
				seen[p.ID] = true
				found = append(found, *p)
			}
		}
	}
	return found, nil
}

// Append implements [Stack].
func (m *Memory) Append(_ context.Context, i Increment) error {
	if i.First != m.next {
		return fmt.Errorf("the stack has grown since the release %s was decided", i.Release)
	}
	for _, u := range i.Unknowns {
		m.unknowns[u.ID] = u
		m.cells[u.Cell] = append(m.cells[u.Cell], u.ID)
	}
	for _, u := range i.Changed {
		m.unknowns[u.ID] = u
	}
	for _, l := range i.Lines {
		l.each(func(u ID, _ int64) { m.lines[u] = append(m.lines[u], l) })
	}
	for _, id := range i.Dead {
		for _, u := range m.byID[id].Unknowns {
			m.points[u] = slices.DeleteFunc(m.points[u], func(p *Point) bool { return p.ID == id })
		}
		delete(m.byID, id)
	}
	for _, p := range i.Points {
		m.byID[p.ID] = &p
		for _, u := range p.Unknowns {
			m.points[u] = append(m.points[u], &p)
		}
	}
	m.next = i.Next
	return nil
}
