package ledger

import (
	"context"
	"encoding/binary"
	"slices"
)

// ID names an unknown, a line or a point within a stack. All three count from one counter.
type ID int64

// Unknown is a cell in a revision.
type Unknown struct {
	ID       ID
	Cell     string // the key
	Revision int64  // that gave the cell this value, as far as the audience was told
	Value    int64
	Ceiling  int64 // the audience knows that the count is no larger
	Open     bool  // the audience was not told the value
	Untold   bool  // of an open one: nor that it is withheld; it is there for equations alone
	Width    int64 // of an open one: how wide its interval must stay; 0: it only protects others
	Single   bool  // it has one contributor, who knows it
	Exposed  bool  // the audience can compute it, or nearly, out of what it has from elsewhere
}

// Line is an equation of a stack: the unknown Total is the sum of Parts.
type Line struct {
	ID    ID
	Total ID
	Parts []ID // each once, ascending
}

// Scale is the unit of the moves of points: vertices of tables have small denominators, which divide it.
const Scale = 60

// Point is a way in which open unknowns may differ from their values without the audience seeing it.
type Point struct {
	ID       ID
	Unknowns []ID    // ascending
	Moves    []int64 // in units of 1/Scale, none 0
}

// Increment is what a stack grows by. The unknowns, lines and points are new but for Changed, which replace those of the
// same ids, and Dead, which are gone.
type Increment struct {
	Release  string
	Revision int64
	First    ID // the first of its ids, as Next said
	Next     ID // the first id that is free after it
	Unknowns []Unknown
	Changed  []Unknown
	Lines    []Line
	Points   []Point
	Dead     []ID
}

// Reader reads what one audience has seen. Reads may be of any part of it, so that the cost of a release grows with what
// it overlaps. What they return is in no particular order, and each thing once. Whatever does not exist is left out.
type Reader interface {
	// Next returns the first free id, which grows with everything that the audience is told.
	Next(ctx context.Context) (ID, error)
	// Cells returns all unknowns that are revisions of the cells with these keys.
	Cells(ctx context.Context, keys []string) ([]Unknown, error)
	// CellsIn returns of each of the cells with these keys the unknown that stands for it in a revision, and the next one after
	// that. What a cell was before costs nothing, however often it was revised.
	CellsIn(ctx context.Context, revision int64, keys []string) ([]Unknown, error)
	// Unknowns returns unknowns by their ids.
	Unknowns(ctx context.Context, ids []ID) ([]Unknown, error)
	// Lines returns the lines that have any of the unknowns as total or part.
	Lines(ctx context.Context, unknowns []ID) ([]Line, error)
	// Points returns the points that move any of the unknowns.
	Points(ctx context.Context, unknowns []ID) ([]Point, error)
}

// Stack is everything that one audience has seen, inside a transaction. After Next nobody else adds to it until that ends.
type Stack interface {
	Reader
	// Append adds a release. Its ids begin where Next said.
	Append(ctx context.Context, i Increment) error
}

// identity is equal for lines that say the same.
func (l Line) identity() string {
	key := binary.AppendVarint(nil, int64(l.Total))
	for _, p := range l.Parts {
		key = binary.AppendVarint(key, int64(p))
	}
	return string(key)
}

// each calls visit for the unknowns of the line with their signs.
func (l Line) each(visit func(u ID, sign int64)) {
	visit(l.Total, 1)
	for _, p := range l.Parts {
		visit(p, -1)
	}
}

// at returns how far the point moves an unknown.
func (p *Point) at(u ID) int64 {
	if i, ok := slices.BinarySearch(p.Unknowns, u); ok {
		return p.Moves[i]
	}
	return 0
}
