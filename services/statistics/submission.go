package statistics

import (
	"context"
	"io"
	"iter"
	"time"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/filter"
)

// Action says what the rows of a submission do to what is stored.
type Action uint8

// The actions.
const (
	Merge   Action = iota // the rows are added, or replace what has the same key and period
	Replace               // the rows replace all that is stored of the provider in the dataflow and passes the scope
	Append                // the rows are added; one that is stored already otherwise is a fault
	Delete                // the rows name cells that are taken away; without rows, all that passes the scope is
)

// State says what became of a submission.
type State uint8

// The states.
const (
	Accepted State = iota + 1 // stored, whole
	Rejected                  // nothing of it is stored
)

// Header says what an upload is.
type Header struct {
	Dataflow       Ref
	Layout         string // the id of the layout that a national file is read with; "" for blocks
	IdempotencyKey string // the same key with the same content gives the same submission; "": every upload is new
	Action         Action
	Provider       string        // whose figures they are; "": the own state's
	Scope          filter.Filter // for Replace and Delete: what is replaced or taken away, over dimensions and TIME_PERIOD
	Release        string        // for a partner's figures: the release that they came in
	KeepDays       int           // after which the terms that they came under want the figures removed; 0: no limit
	Submitter      string        // who uploads it
}

// Content is what an upload holds: the bytes of a national file, or blocks. One of the two is nil. Either is read once,
// and ends with the error of the caller's connection where there is one.
type Content struct {
	File   io.Reader
	Blocks iter.Seq2[*block.Block, error]
}

// Submission is an upload and what became of it.
type Submission struct {
	ID             string
	Digest         [32]byte // SHA-256 of what was asked for and of the content
	State          State
	Dataflow       Ref
	Layout         string
	Provider       string
	Release        string
	Submitter      string
	IdempotencyKey string
	Rows           int
	Observations   int   // that the rows make in the dataflow submitted to
	Revision       int64 // 0 where rejected, or where nothing changed
	Findings       []Finding
	Derivations    []Derivation
	Action         Action
	Changes        ChangeCounts // of the dataflow submitted to
	Overrides      []Override   // the rules that it was let pass, or, where it is rejected, that its content will be
	CreateTime     time.Time
}

// Derivation counts what a structure map made of a submission.
type Derivation struct {
	StructureMap   Ref
	Dataflow       Ref
	Observations   int // of the target dataflow
	UnmappedLabels int // each counted once
	LeftOut        int // source observations with such a label that could not be derived
}

// Part is a provider's figures in a dataflow. A write changes whole parts.
type Part struct {
	Dataflow Ref
	Provider string
}

// Revision tells that a part changed. The parts that one submission changed have the same number, and come one after
// another.
type Revision struct {
	Cursor     string // to go on from
	Number     int64  // ascends in the order of commits
	Part       Part
	Submission string // the id; "" where it came from a change of a map, or of what was removed
	CommitTime time.Time
}

// Moment names a state of the data: that of a revision, else that at a time, else, as the zero Moment, the newest.
type Moment struct {
	Revision int64
	Time     time.Time
}

// Span is a run of periods of one frequency, both ends included.
type Span struct {
	Frequency   Frequency
	First, Last int32
}

// Selector says which figures are read.
type Selector struct {
	Filter filter.Filter // over the dimensions
	Spans  []Span        // nil: all periods. A frequency without a span is not read
	// Attributes are the further attributes that are wanted; others may be left out. nil: all.
	Attributes []string
	Enough     int // after so many figures the reader may end the reading; 0: it will not
}

// Series is what is read of one key: the figures of one provider. It is valid until the next one is read.
type Series struct {
	Provider string
	Place    int      // of what is read at once; for the reader alone
	Key      []uint32 // as the reader's dictionary numbers the codes
	Track    Track
	Further  map[int32][]string // values of the structure's further attributes by period, where a figure has any
}

// Change is a series in two states of the data. One of them may have no figures. It is valid until the next one is read.
type Change struct {
	Before, After Series // with the same provider and key
}

// Reader reads figures.
type Reader interface {
	// Dictionary returns the numbers of the codes of a dataflow. It must not be changed.
	Dictionary(ctx context.Context, flow *Flow) (*Dictionary, error)
	// Read gives the series of the providers in the order of keys, byte by byte of the codes' numbers, and of providers
	// as named within a key. It ends with the first error.
	Read(ctx context.Context, flow *Flow, providers []string, s Selector) iter.Seq2[*Series, error]
}

// Snapshot reads one state of the data.
type Snapshot interface {
	Reader
	// Revision returns the number of the state, 0 before the first, and when it was committed.
	Revision() (number int64, committed time.Time)
	// StructuresChange returns what [Store.StructuresChange] does, for the same state.
	StructuresChange() int64
	// Before returns the number and the time of the last revision of the node that is not after the moment; 0 where there is
	// none. A number that there is not yet is a fault of kind NotFound.
	Before(ctx context.Context, at Moment) (number int64, committed time.Time, err error)
	// Providers returns whose figures the dataflow holds, sorted.
	Providers(ctx context.Context, dataflow Ref) ([]string, error)
	// Restricted gives, in no order, series with the figures that the sight does not show, in this state or in the newest, or
	// that have an EMBARGO_TIME; perhaps with others beside them. A series may come twice.
	Restricted(ctx context.Context, flow *Flow, providers []string, sight Sight) iter.Seq2[*Series, error]
	// Changes gives the series of the providers that differ between the state of a revision of the node, 0 being the state
	// before the first, and this state, and those with the keys also, in the order of keys, then of providers. Figures that
	// are in one place in both states may be left out of both.
	Changes(ctx context.Context, flow *Flow, providers []string, since int64, s Selector, also [][]uint32) iter.Seq2[*Change, error]
	// Trace returns what brought the figures of the provider that are selected, the newest first.
	Trace(ctx context.Context, flow *Flow, provider string, s Selector) ([]Origin, error)
	// Index calls do with the index of what the provider has in this state; do must not keep it. Where the index is ahead of the
	// state it returns [ErrNewerIndex], and a newer view should be taken.
	Index(ctx context.Context, flow *Flow, provider string, do func(*Index) error) error
}

// Transaction changes figures. What it does is seen by others when it is committed, all at once.
type Transaction interface {
	Reader
	EventTransaction
	OverrideStore
	TermsStore
	// HoldStructures keeps the structures as they are until the transaction ends, but for changes that it makes itself where
	// forChange says so, and returns the number that [Store.StructuresChange] does. It comes first.
	HoldStructures(ctx context.Context, forChange bool) (int64, error)
	// Lock makes this the only transaction that changes the parts, until it ends.
	Lock(ctx context.Context, parts ...Part) error
	// SubmissionByKey returns the submission to the part with the idempotency key; NotFound where there is none.
	SubmissionByKey(ctx context.Context, part Part, key string) (Submission, error)
	// Compare returns what the cells make otherwise in a part that is locked: the zero Cell takes away what is stored. It
	// may be called again before the changes are applied, and they must be before others of the part are compared.
	Compare(ctx context.Context, flow *Flow, provider string, cells *Table) (*Changes, error)
	// Apply makes the changes.
	Apply(ctx context.Context, flow *Flow, provider string, c *Changes) error
	// Publish numbers the changes of this transaction and tells of them. It comes last but for PutSubmission.
	Publish(ctx context.Context, submission string, parts []Part) (number int64, err error)
	// PutSubmission stores a submission.
	PutSubmission(ctx context.Context, s *Submission) error
	// PutStructures stores artefacts, in place of those with their names.
	PutStructures(ctx context.Context, artefacts []Artefact) error
	// DeleteStructures removes artefacts.
	DeleteStructures(ctx context.Context, ids []ArtefactID) error
	// HoldFigures returns those of the dataflows that hold figures or counted events, or held some before, in their order.
	HoldFigures(ctx context.Context, dataflows []Ref) ([]Ref, error)
}

// Store keeps structures, submissions and figures.
type Store interface {
	EventStore
	RuleStore
	RetentionStore
	ReadOnlyStore
	// Structures returns every artefact.
	Structures(ctx context.Context) (*Structures, error)
	// StructuresChange returns a number that grows with every change of the structures. It is read before them.
	StructuresChange(ctx context.Context) (int64, error)
	// Layouts returns every layout, by id.
	Layouts(ctx context.Context) ([]Layout, error)
	// Layout returns a layout; NotFound where there is none.
	Layout(ctx context.Context, id string) (Layout, error)
	// PutLayout stores a layout in place of any with its id.
	PutLayout(ctx context.Context, l Layout) error
	// Submission returns a submission; NotFound where there is none.
	Submission(ctx context.Context, id string) (Submission, error)
	// Submissions returns at most limit submissions, the newest first, from after the one with the id; "": the newest.
	// They have no findings.
	Submissions(ctx context.Context, limit int, after string) ([]Submission, error)
	// Update runs do in a transaction, which is committed where it returns nil and else leaves no trace.
	Update(ctx context.Context, do func(ctx context.Context, tx Transaction) error) error
	// View runs do on the state of the data at the moment.
	View(ctx context.Context, at Moment, do func(ctx context.Context, s Snapshot) error) error
	// ViewFlow is View for who reads one dataflow, which is looked up at once. do may run again, where what it read was an
	// error: it has to begin anew, and to return that error.
	ViewFlow(ctx context.Context, flow *Flow, at Moment, do func(ctx context.Context, s Snapshot) error) error
	// Revisions returns at most limit revisions after the cursor, in the order of commits; "": from the first.
	Revisions(ctx context.Context, cursor string, limit int) ([]Revision, error)
	// Wait returns when there may be new revisions, at the latest after a second or two, or when ctx ends.
	Wait(ctx context.Context)
}
