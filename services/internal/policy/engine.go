// Package policy evaluates Rego: yes or no, a document, or a condition on rows as a [filter.Filter].
//
// Policies are files in directories: the first is shared by all states, the others are a state's own. Every *.rego
// file is a module; the content of every *.json, *.yaml or *.yml file becomes data under the path of its folder, so
// that publication/data.yaml is data.publication. Where two directories give data for the same path, the later one
// counts. Modules of one package add to each other, whichever directory they are in.
//
// Or they are in a signed [Bundle], see [OpenBundled].
//
// A set of policies is active only when it compiles in strict mode and all tests in it (x_test.rego) pass; the tests of
// a directory see that directory and those before it, and are run once for the same bytes, see [Tested]. A rule sees
// its input, the data of the files and the data that the service supplies; it has no network, clock or randomness, so
// the same input and data give the same answer again.
//
// An error is never a permission: whatever goes wrong, the caller gets a fault with the reason POLICY_ERROR.
package policy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/util"

	"github.com/comity-federation/comity/services/fault"
)

const (
	evaluationTimeout = 5 * time.Second  // far above any honest rule's time, which is well below a millisecond
	testTimeout       = 2 * time.Minute  // for one test of a policy; it asks hundreds of questions, and the machine may be busy
	keepAgain         = 10 * time.Second // after good policies could not be kept
	pollInterval      = 250 * time.Millisecond
)

// Engine evaluates the active policies. Its methods may be called from several goroutines.
type Engine struct {
	source  source
	tested  *Tested
	log     *slog.Logger
	timeout time.Duration
	active  atomic.Pointer[set] // nil: there is none yet, and everything is refused
	failure atomic.Pointer[failure]

	loading sync.Mutex // guards what follows
	tried   string     // the name of what was last loaded, whether it became active or not
	refused error      // why it did not
	again   time.Time  // when it is loaded again though it is the same; zero: never

	mu       sync.Mutex     // of whoever changes what is active, or what is supplied
	supplied map[string]any // by name, as SetData was given it
}

// source is where policies come from.
type source interface {
	// find returns what is there now.
	find() (candidate, error)
	// complaint returns what is wrong with what became active; nil: nothing.
	complaint() error
}

// candidate is a set of policies that may become active.
type candidate struct {
	name string // another one whenever it may be judged differently
	open func() (*files, error)
	keep func() error // is called before it becomes active, which it does not where it fails; nil: nothing is to be kept
}

type failure struct{ err error }

var errNotKept = errors.New("good policies could not be kept, so they are not active")

var errInactive = errors.New("there are no policies yet")

// Open loads the policies of the directories, runs their tests and activates them. There is no engine without a
// policy: a first set that does not load is an error.
func Open(ctx context.Context, directories []string, log *slog.Logger) (*Engine, error) {
	return new(Tested).Open(ctx, directories, log)
}

// Open is [Open] for who opens policies several times: what passed its tests is not tested again.
func (t *Tested) Open(ctx context.Context, directories []string, log *slog.Logger) (*Engine, error) {
	if len(directories) == 0 {
		return nil, errors.New("no directory of policies is given")
	}
	e := newEngine(layers(directories), t, log)
	if err := e.reload(ctx); err != nil {
		return nil, fmt.Errorf("loading policies: %w", err)
	}
	return e, nil
}

func newEngine(from source, tested *Tested, log *slog.Logger) *Engine {
	return &Engine{source: from, tested: tested, log: log, timeout: evaluationTimeout, supplied: map[string]any{}}
}

// Limit sets how long one evaluation may take. It is called before any.
func (e *Engine) Limit(timeout time.Duration) { e.timeout = timeout }

// layers are directories of policies.
type layers []string

func (l layers) find() (candidate, error) {
	all, err := read(l)
	if err != nil {
		return candidate{}, err
	}
	return candidate{name: all.revision(), open: func() (*files, error) { return all, nil }}, nil
}

func (l layers) complaint() error { return nil }

// Watch looks at the source four times a second until ctx ends. A changed set that compiles and passes its tests takes
// the place of the active one; else the active one stays, and [Engine.Err] says why.
func (e *Engine) Watch(ctx context.Context) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		before, failedBefore := e.Revision(), e.Err()
		err := e.reload(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && (failedBefore == nil || failedBefore.Error() != err.Error()):
			e.log.ErrorContext(ctx, "changed policies are not valid, the old ones stay", "error", err, "revision", before)
		case err == nil && before != e.Revision():
			e.log.InfoContext(ctx, "policies changed", "from", before, "to", e.Revision())
		}
	}
}

// RevisionOf returns the revision that an engine of the directories has, once it has activated what they hold now.
func RevisionOf(directories []string) (string, error) {
	files, err := read(directories)
	if err != nil {
		return "", err
	}
	return files.revision(), nil
}

// reload activates what the source holds, if it changed since it was last tried.
func (e *Engine) reload(ctx context.Context) error {
	e.loading.Lock()
	defer e.loading.Unlock()
	found, err := e.source.find()
	if err != nil {
		return e.note(errors.Join(err, e.source.complaint()))
	}
	if found.name != e.tried || !e.again.IsZero() && time.Now().After(e.again) {
		err := e.activate(ctx, found)
		if ctx.Err() != nil {
			return ctx.Err() // says nothing of the policies
		}
		e.tried, e.refused, e.again = found.name, err, time.Time{}
		if errors.Is(err, errNotKept) {
			e.again = time.Now().Add(keepAgain)
		}
	}
	return e.note(errors.Join(e.refused, e.source.complaint()))
}

// activate compiles a candidate, runs its tests and, with what was supplied so far, puts it in the place of what is active.
func (e *Engine) activate(ctx context.Context, c candidate) error {
	files, err := c.open()
	if err != nil {
		return err
	}
	next, err := compileSet(ctx, files, e.tested)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := next.supplyAll(ctx, e.supplied); err != nil {
		return err
	}
	if c.keep != nil {
		if err := c.keep(); err != nil {
			return fmt.Errorf("%w: %w", errNotKept, err)
		}
	}
	e.active.Store(next)
	return nil
}

// note keeps what became of the last look at the files.
func (e *Engine) note(err error) error {
	if err == nil {
		e.failure.Store(nil)
		return nil
	}
	e.failure.Store(&failure{err})
	return err
}

// SetData supplies value, anything that encoding/json can write, as data.<name>, for example data.agreements. It takes
// the place of what was supplied under that name before, is seen by every evaluation that begins afterwards, and
// survives reloads. A name that policies or their files use is refused.
func (e *Engine) SetData(ctx context.Context, name string, value any) error {
	plain, err := plainJSON(value)
	if err != nil {
		return fmt.Errorf("supplying data.%s: %w", name, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if active := e.active.Load(); active != nil {
		if err := active.supply(ctx, name, plain); err != nil {
			return err
		}
	}
	e.supplied[name] = plain
	return nil
}

// Evaluate evaluates a rule such as "data.comity.exchange.decision" with the input, writes the result to output as
// encoding/json would, and returns the revision of the policies that gave it. A rule that is undefined, null or of
// another type than output is an error; so is an error of any built-in function on the way.
func (e *Engine) Evaluate(ctx context.Context, rule string, input, output any) (revision string, err error) {
	active := e.active.Load()
	if active == nil {
		return "", refuse(ctx, rule, errInactive)
	}
	limited, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	if err := active.evaluate(limited, rule, input, output); err != nil {
		return active.revision, refuse(ctx, rule, err)
	}
	return active.revision, nil
}

// refuse makes a policy error of err, unless it is the caller who gave up.
func refuse(ctx context.Context, rule string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("evaluating %s: %w", rule, ctx.Err())
	}
	return fault.New(fault.Denied, "POLICY_ERROR", "policy could not be evaluated, so the answer is no").
		Because(fmt.Errorf("evaluating %s: %w", rule, err))
}

// Revision names the active policies: SHA-256 over the names and contents of their files, in hexadecimal digits. Data
// that a service supplies are no part of it; they have versions of their own.
func (e *Engine) Revision() string {
	if active := e.active.Load(); active != nil {
		return active.revision
	}
	return ""
}

// Archive returns the active policies as [OpenArchive] reads them, and their revision.
func (e *Engine) Archive() (revision string, archive []byte, err error) {
	active := e.active.Load()
	if active == nil {
		return "", nil, errInactive
	}
	archive, err = active.files.archive()
	return active.revision, archive, err
}

// Err returns why the policies as they are now are not active, or should not be any more; nil: all is well.
func (e *Engine) Err() error {
	if f := e.failure.Load(); f != nil {
		return f.err
	}
	return nil
}

// plainJSON returns value as encoding/json would read it back, with numbers exact.
func plainJSON(value any) (plain any, err error) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	return plain, util.UnmarshalJSON(text, &plain)
}

// set is a set of policies that compiled and passed its tests.
type set struct {
	revision   string
	files      *files
	compiler   *ast.Compiler
	data       map[string]any // of the files
	store      storage.Store
	queries    sync.Map // by rule: *rego.PreparedEvalQuery
	conditions sync.Map // by rule and unknown: *condition
	memo       memo
}

func (s *set) evaluate(ctx context.Context, rule string, input, output any) error {
	asked, err := json.Marshal(input)
	if err != nil {
		return fmt.Errorf("encoding the input: %w", err)
	}
	question := rule + " " + string(asked)
	answer, known, era := s.memo.recall(question)
	text, _ := answer.([]byte)
	if !known {
		if text, err = s.answer(ctx, rule, asked); err != nil {
			return err
		}
		s.memo.remember(question, text, len(text), era)
	}
	if err := json.Unmarshal(text, output); err != nil {
		return fmt.Errorf("decoding the result: %w", err)
	}
	return nil
}

// answer evaluates a rule with an input in JSON, and returns what it says in JSON.
func (s *set) answer(ctx context.Context, rule string, input []byte) ([]byte, error) {
	query, err := s.query(ctx, rule)
	if err != nil {
		return nil, err
	}
	value, err := ast.ValueFromReader(bytes.NewReader(input))
	if err != nil {
		return nil, fmt.Errorf("encoding the input: %w", err)
	}
	results, err := query.Eval(ctx, rego.EvalParsedInput(value))
	if err != nil {
		return nil, err
	}
	if len(results) != 1 || len(results[0].Expressions) != 1 {
		return nil, errors.New("the rule is undefined")
	}
	text, err := json.Marshal(results[0].Expressions[0].Value)
	if err != nil {
		return nil, fmt.Errorf("encoding the result: %w", err)
	}
	if string(text) == "null" {
		return nil, errors.New("the rule is null")
	}
	return text, nil
}

func (s *set) query(ctx context.Context, rule string) (*rego.PreparedEvalQuery, error) {
	if query, ok := s.queries.Load(rule); ok {
		return query.(*rego.PreparedEvalQuery), nil
	}
	body, err := parseRule(rule)
	if err != nil {
		return nil, err
	}
	query, err := rego.New(append(s.options(), rego.ParsedQuery(body))...).PrepareForEval(ctx)
	if err != nil {
		return nil, fmt.Errorf("preparing the rule: %w", err)
	}
	s.queries.Store(rule, &query)
	return &query, nil
}

func (s *set) options() []func(*rego.Rego) {
	return []func(*rego.Rego){
		rego.Compiler(s.compiler), rego.Store(s.store), rego.StrictBuiltinErrors(true), rego.Capabilities(capabilities()),
	}
}

// parseRule makes a query of a rule's path, and of nothing else.
func parseRule(rule string) (ast.Body, error) {
	ref, err := ast.ParseRef(rule)
	if err != nil {
		return nil, fmt.Errorf("%q is no path of a rule: %w", rule, err)
	}
	if !ref.HasPrefix(ast.DefaultRootRef) || len(ref) < 2 || !ref.IsGround() {
		return nil, fmt.Errorf("%q is no path of a rule: it must begin with \"data.\"", rule)
	}
	return ast.NewBody(ast.NewExpr(ast.NewTerm(ref))), nil
}
