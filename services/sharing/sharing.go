// Package sharing decides which figures go to which partner state, lets them out in releases, and keeps the proof of
// what went and what came.
//
// One way runs from an [Agreement], which two states have signed, over a [Decision] of policy, to a [Release]: a table
// at the agreed detail in which no small cell can be had. A release travels in envelopes, one behind the other in a
// stream. The partner answers each with a receipt. Every step is a leaf of a transparency log, written in the
// transaction of the step itself.
//
// The package is pure but for two formats that it owns a part of: DSSE, whose pre-authentication encoding is what
// states sign (go-securesystemslib/dsse), and the transparency log of RFC 6962 with signed notes as checkpoints
// (golang.org/x/mod/sumdb). Bytes on the wire are the business of a [Codec].
package sharing

import (
	"context"
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/filter"
)

// StateCode is the code of a state, for example "gb".
type StateCode string

// AgreementID is the id of an agreement, the same at both states.
type AgreementID string

// DecisionID is a UUIDv7.
type DecisionID string

// ReleaseID is a UUIDv7.
type ReleaseID string

// PublicationID is a UUIDv7.
type PublicationID string

// Config is what a [Service] is made of.
type Config struct {
	State      StateCode // this state
	Dataflow   string    // the dataflow of questions that no agreement answers, for example "COMITY:BORDER(1.0.0)"
	Store      Store
	Statistics Statistics
	Registry   Registry    // nil: structures are not amended here
	Cells      CellCounter // for tables with noise
	Accounts   Accounts    // of who asks for them
	Policy     Policy
	Past       PolicyOpener // of archives; nil: decisions cannot be replayed
	Trust      *Trust
	Keys       Keyring
	Codec      Codec
	Courier    Courier
	Clock      func() time.Time // nil: the system's
	Log        *slog.Logger     // nil: none
	Lifetime   time.Duration    // how long an envelope may wait for its receiver; 0: 90 days
	Notice     int              // how many days before its last one an agreement is said to end; 0: 60
}

// Service is the domain of sharing. Its methods may be called concurrently, and by several processes on one store.
type Service struct {
	Config

	changes changes
	agreed  agreed
	delays  delays
	// Each holds an element while its loop has reason to run.
	toRelease, toHandOver, toServe, toDeliver chan struct{}

	large atomic.Bool // a large release was made

	flows      sharedFlows
	patterns   patterns
	noise      noiseTables
	tabulating turns

	mu         sync.Mutex // guards what follows
	structures map[string]*Structures

	holdMu sync.Mutex      // guards what follows
	holds  map[Mode]string // why this process is stopped on the spot

	policyMu  sync.Mutex // keeps changes of policy's data apart, and guards what follows
	refreshed refreshed

	givenMu sync.RWMutex // guards what follows; while it is held for reading, policy has these data
	given   *policyData  // what policy was given last; nil: nothing whole

	keptPolicy atomic.Value // string: the revision of policy and the data that are in the store for certain
}

// Statistics is what sharing asks of this state's statistics.
type Statistics interface {
	// Structures returns the structure of a dataflow; a fault of kind NotFound where there is none.
	Structures(ctx context.Context, dataflow string) (*Structures, error)
	// Derivations returns which dataflows are made of which, whether or not they have any figures.
	Derivations(ctx context.Context) ([]Derivation, error)
	// Constraints returns the constraints that figures of a provider have to fit in a dataflow, as they are now.
	Constraints(ctx context.Context, dataflow string, provider StateCode) ([]Constraint, error)
	// Query calls each with the blocks of the answer, in order, and returns the revision that the answer is of.
	Query(ctx context.Context, query Query, each func(*block.Block) error) (revision int64, err error)
	// Trace returns what brought the figures that the statistics have now, the newest first, and the revision that the answer is
	// of.
	Trace(ctx context.Context, query TraceQuery) (origins []Origin, revision int64, err error)
	// Watch calls each with the revisions after the cursor in the order of their commits, and goes on with those to
	// come until the context ends, each returns an error, or the connection is lost.
	Watch(ctx context.Context, cursor string, each func(Revision) error) error
	// Submit stores a partner's figures. The same idempotency key twice has the effect of once.
	Submit(ctx context.Context, submission Submission, blocks iter.Seq2[*block.Block, error]) (Submitted, error)
}

// Query asks the statistics for figures.
type Query struct {
	Dataflow   string
	Providers  []StateCode
	Selections []Selection   // dimensions that are fixed or rolled up; the others answer as they are stored
	Filter     filter.Filter // chooses among the rows of the answer
	Revision   int64         // 0: the newest
}

// Selection fixes a dimension to codes, or rolls it up to a level of its codelist.
type Selection struct {
	Dimension string
	Codes     []string
	Level     string
}

// Revision is news of the statistics.
type Revision struct {
	Cursor   string // from here the next one is asked for
	Revision int64
	Dataflow string
	Provider StateCode
}

// Submission says what a partner's figures are.
type Submission struct {
	Dataflow       string
	Provider       StateCode
	Scope          filter.Filter // what they replace of what the provider sent before
	Release        ReleaseID
	IdempotencyKey string
	KeepDays       int // after which the terms want them removed; 0: no limit
}

// Submitted says what became of a submission.
type Submitted struct {
	Accepted bool
	Reason   string // the first blocking finding; "" where accepted
}

// Policy evaluates the rules of policies/.
type Policy interface {
	// SetData puts a value under a path of the policy's data, such as "agreements".
	SetData(ctx context.Context, path string, value any) error
	// Evaluate decodes what the rule says about the input into output. A rule that is undefined is an error.
	Evaluate(ctx context.Context, rule string, input, output any) (revision string, err error)
	// Condition evaluates the rule as far as it goes without the unknown part of the input, and returns the rest as a
	// filter over the components of a cell.
	Condition(ctx context.Context, rule string, input any, unknown string) (rest filter.Filter, revision string, err error)
	// Revision names the policy in force.
	Revision() string
	// Archive returns the policy in force, to be opened again, and its revision.
	Archive() (revision string, archive []byte, err error)
}

// PolicyOpener opens the policy in an archive, or, as a candidate, that of a bundle, which has to pass its tests.
type PolicyOpener interface {
	OpenArchive(ctx context.Context, archive []byte) (Policy, error)
	OpenCandidate(ctx context.Context, bundle []byte) (Policy, error)
}

// Courier carries what this state says about agreements to a partner. A [*Rejection] is the partner's answer. Every other
// error means that it may not have arrived: the same is sent again until it has.
type Courier interface {
	// Propose hands over an agreement that this state has signed first.
	Propose(ctx context.Context, partner StateCode, agreement Signed) error
	// Answer hands over this state's signature under an agreement that the partner has signed.
	Answer(ctx context.Context, partner StateCode, agreement Signed) error
	// Terminate hands over this state's termination of an agreement.
	Terminate(ctx context.Context, partner StateCode, termination Signed) error
	// Confirm hands over that this state took figures out, to the state that they came from.
	Confirm(ctx context.Context, partner StateCode, withdrawal Signed) error
	// Ratify hands over this state's signature under an amendment.
	Ratify(ctx context.Context, partner StateCode, amendment Signed) error
}
