// Package doctor examines a node's sharing service from outside: its files, its database, its own readiness and its partners.
// It says what is wrong, or will be soon, and what to do about it. It changes nothing.
package doctor

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/comity-federation/comity/proto/mtls"
	"github.com/comity-federation/comity/services/sharing"
	"github.com/comity-federation/comity/services/sharing/partner"
)

// Severity says how bad a finding is.
type Severity string

// The severities.
const (
	Warning Severity = "warning" // it works, but not for long, or not well
	Error   Severity = "error"   // something does not work
)

// Finding is something that is wrong.
type Finding struct {
	Severity Severity `json:"severity"`
	Check    string   `json:"check"`   // what was looked at: one of the names of [Examine]
	Subject  string   `json:"subject"` // what it is about: a file, a partner, an agreement
	Problem  string   `json:"problem"`
	Advice   string   `json:"advice"` // what to do
}

// Config names what the service was told by its environment.
type Config struct {
	State       string `env:"COMITY_STATE,required,notEmpty"`       // the code of this state
	OpsListen   string `env:"COMITY_OPS_LISTEN,required,notEmpty"`  // where the service says whether it is ready
	Certificate string `env:"COMITY_CERTIFICATE,required,notEmpty"` // PEM file
	Key         string `env:"COMITY_KEY,required,notEmpty"`         // PEM file
	Root        string `env:"COMITY_ROOT,required,notEmpty"`        // PEM file: this state's own roots
	Policies    string `env:"COMITY_POLICIES,required,notEmpty"`    // directories separated by ":"
	DatabaseURL string `env:"COMITY_DATABASE_URL,required,notEmpty"`
	SigningKey  string `env:"COMITY_SIGNING_KEY,required,notEmpty"`
	LogKey      string `env:"COMITY_LOG_KEY,required,notEmpty"`
	TrustList   string `env:"COMITY_TRUST_LIST,required,notEmpty"`
	CRLs        string `env:"COMITY_CRLS"`
}

// Limits say from when on something is a finding.
type Limits struct {
	Notice time.Duration // before the end of anything
	Queue  time.Duration // age of the oldest envelope that waits for a partner; 24 times of it are an error
	Skew   time.Duration // between a partner's clock and ours
}

// Usual are the limits that serve most nodes.
var Usual = Limits{Notice: 30 * 24 * time.Hour, Queue: time.Hour, Skew: 10 * time.Second}

// fatalSkew is a difference of clocks at which keys and lists begin and end at the wrong time.
const fatalSkew = 5 * time.Minute

// Store is what is asked of the service's database.
type Store interface {
	sharing.Store
	partner.TrustStore
	// Queues returns what waits for each partner that anything waits for.
	Queues(ctx context.Context) ([]sharing.Queue, error)
}

// Examine looks at everything, and returns the findings in the order of the checks:
//
//	node         the service answers, and is ready
//	policy       its policies compile and pass their tests
//	certificate  its own certificate: whose it is, how long it counts, whether partners believe it
//	trust        the trust list: whether it is signed, in force, and for how long
//	keys         the signing and the log keys: whether the trust list has them, and for how long
//	crl          the revocation lists of partners
//	database     the database answers
//	agreement    agreements that end
//	log          the logs of partners, and our own, extend what was seen of them
//	queue        what waits for partners, and for how long
//	partner      each partner answers, believes this node, has the root of the trust list, and its clock agrees
//
// open opens the database. What one check needs of another that failed is left out.
func Examine(ctx context.Context, cfg Config, limits Limits, open func(context.Context) (Store, error)) []Finding {
	e := &examiner{Config: cfg, limits: limits, state: sharing.StateCode(cfg.State), now: time.Now()}
	e.node(ctx)
	e.policies(ctx)
	e.lists()
	e.certificate()
	e.keys()
	store, err := open(ctx)
	if err != nil {
		e.fail("database", "the service's database", fmt.Sprintf("it does not answer: %v", err),
			"start PostgreSQL, and see that COMITY_DATABASE_URL names it and that its role may connect; the service works on by itself once it answers")
	} else {
		e.inForce(ctx, store)
		e.agreements(ctx, store)
		e.logs(ctx, store)
		e.queues(ctx, store)
	}
	e.crls(ctx, store)
	e.partners(ctx)
	return e.findings
}

// examiner collects findings.
type examiner struct {
	Config
	limits   Limits
	state    sharing.StateCode
	now      time.Time
	findings []Finding

	trust *sharing.TrustList // nil: it cannot be read
	pair  *mtls.Pair         // nil: it cannot be read
}

func (e *examiner) fail(check, subject, problem, advice string) {
	e.findings = append(e.findings, Finding{Error, check, subject, problem, advice})
}

func (e *examiner) warn(check, subject, problem, advice string) {
	e.findings = append(e.findings, Finding{Warning, check, subject, problem, advice})
}

// ends finds what has ended or ends soon.
func (e *examiner) ends(check, subject, what string, end time.Time, advice string) {
	switch {
	case end.IsZero():
	case !e.now.Before(end):
		e.fail(check, subject, fmt.Sprintf("%s ended at %s", what, end.UTC().Format(time.RFC3339)), advice)
	case end.Sub(e.now) < e.limits.Notice:
		e.warn(check, subject, fmt.Sprintf("%s ends at %s, in %s", what, end.UTC().Format(time.RFC3339), days(end.Sub(e.now))), advice)
	}
}

// days says a duration in the unit that people plan in.
func days(d time.Duration) string {
	if d < 48*time.Hour {
		return d.Round(time.Minute).String()
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// directories returns the directories of policies.
func (e *examiner) directories() []string { return filepath.SplitList(e.Policies) }

// quiet logs nothing: findings say it.
func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }
