package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/services/internal/trial"
)

// victim is what is killed.
type victim int

const (
	theClient victim = iota
	aBackend
	theService
	theDatabase
)

func (v victim) String() string {
	return [...]string{"the client", "a backend of the database", "the service", "the database server"}[v]
}

// TestKill kills the client, the service, a process of the database or all of it at random moments of submissions. Each time
// either all of the submission is there or nothing, and sent once more it is there once.
func TestKill(t *testing.T) {
	t.Parallel()
	kills := map[victim]int{theClient: 4, aBackend: 14, theService: 24, theDatabase: 14}
	if os.Getenv("COMITY_LONG") != "" {
		for v := range kills {
			kills[v] = 100
		}
	}
	w := newKilling(t)
	for _, v := range []victim{theClient, aBackend, theService, theDatabase} {
		for landed, tries := 0, 0; landed < kills[v]; tries++ {
			if tries > 10*kills[v]+10 {
				t.Fatalf("only %d of %d kills of %s came while there was something to kill", landed, tries, v)
			}
			if w.kill(v) {
				landed++
			}
		}
	}
	t.Logf("of %d submissions with a kill, %d were stored, %d of these without an answer, and %d were not; by action %v",
		w.stored+w.lost, w.stored, w.unanswered, w.lost, w.actions)
	if w.stored == 0 || w.lost == 0 {
		t.Error("all kills came at the same side of the commit, which tests nothing")
	}
}

// killing is a node whose figures are known.
type killing struct {
	*node
	random  *rand.Rand
	figures trial.Figures
	states  []state // the last few, by revision
	uploads int
	usual   time.Duration // that a submission takes

	stored, unanswered, lost int
	actions                  map[string]int
}

// state is what was stored at a revision.
type state struct {
	revision int64
	figures  trial.Figures
}

// newKilling returns a node with structures, without rules that made-up figures could break. COMITY_SEED repeats a run.
func newKilling(t *testing.T) *killing {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("COMITY_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("COMITY_SEED=%d", seed)
	w := &killing{node: newNode(t), random: rand.New(rand.NewPCG(seed, 0)), figures: trial.Figures{}, actions: map[string]int{}}
	c := w.dial()
	defer c.connection.Close()
	if err := trial.Prepare(w.context(), c, 1); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		w.accept(trial.RandomUpload(w.random, w.figures))
	}
	return w
}

// accept submits an upload that nobody disturbs.
func (w *killing) accept(u trial.Upload) {
	w.t.Helper()
	begin := time.Now()
	c := w.dial()
	defer c.connection.Close()
	w.uploads++
	w.send(c, u, fmt.Sprint("key ", w.uploads))
	w.usual = (w.usual + time.Since(begin)) / 2
}

// send submits an upload, and keeps in mind what should be there now.
func (w *killing) send(c *client, u trial.Upload, key string) *statisticspb.Submission {
	w.t.Helper()
	submission, err := trial.Submit(w.context(), c, trial.Counts(0), u, key)
	if err == nil {
		err = u.Fate(submission)
	}
	if err != nil {
		w.t.Fatalf("submission %d: %v\n%s", w.uploads, err, w.log())
	}
	w.figures = w.figures.After(u)
	if submission.GetRevision() > 0 {
		w.states = append(w.states[max(0, len(w.states)-9):], state{submission.GetRevision(), w.figures})
	}
	return submission
}

// await returns when a submission is to be met: for half of them at any time of what one may take, for the others as long after
// the service began to write as storing may take, which is where the commit is.
func (w *killing) await(answered func() bool) {
	w.t.Helper()
	if w.random.IntN(2) == 0 {
		time.Sleep(time.Duration(w.random.Int64N(int64(w.usual) * 3 / 2)))
		return
	}
	for !answered() && !w.writes() {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(time.Duration(w.random.Int64N(int64(w.usual))))
}

// kill submits an upload and kills the victim meanwhile. It reports false where the answer came before: then it kills at times, to
// see that what was answered stays.
func (w *killing) kill(v victim) bool {
	w.t.Helper()
	w.uploads++
	u, key := trial.RandomUpload(w.random, w.figures), fmt.Sprint("key ", w.uploads)
	c := w.dial()
	defer c.connection.Close()
	answers := make(chan error, 1)
	begin := time.Now()
	go func() {
		_, err := trial.Submit(w.context(), c, trial.Counts(0), u, key)
		answers <- err
	}()
	w.await(func() bool { return len(answers) > 0 })
	moment := time.Since(begin)
	late := len(answers) > 0
	if late {
		w.usual = max(w.usual*9/10, time.Millisecond) // the next one is met earlier
		if w.random.IntN(4) != 0 {
			if err := <-answers; err != nil {
				w.t.Fatalf("submission %d: %v", w.uploads, err)
			}
			w.send(c, u, key)
			return false
		}
	}
	w.strike(v, c)
	failed := <-answers
	w.recover(v)
	name, revision := w.submissionOf(key)
	is := fmt.Sprintf("%s was killed %v into submission %d, %v", v, moment, w.uploads, u.Action)
	switch {
	case failed == nil && name == "":
		w.t.Fatalf("%s, which was answered, and is not there", is)
	case name != "":
		w.check(is+", which is there", w.figures.After(u))
	default:
		w.check(is+", which is not there", w.figures)
	}
	w.count(u, name != "", failed == nil)

	again := w.dial()
	defer again.connection.Close()
	begin = time.Now()
	submission := w.send(again, u, key)
	if name != "" && (submission.GetName() != "submissions/"+name || submission.GetRevision() != revision) {
		w.t.Fatalf("%s: sent again it is %s of revision %d, and was %s of revision %d", is, submission.GetName(), submission.GetRevision(), name, revision)
	}
	if name == "" {
		w.usual = (3*w.usual + time.Since(begin)) / 4
	}
	w.check(is+" and sent again", w.figures)
	return !late
}

// count counts a submission with a kill in it or after its answer.
func (w *killing) count(u trial.Upload, stored, answered bool) {
	w.actions[u.Action.String()]++
	switch {
	case !stored:
		w.lost++
	case !answered:
		w.unanswered++
		fallthrough
	default:
		w.stored++
	}
}

// strike kills.
func (w *killing) strike(v victim, c *client) {
	w.t.Helper()
	var err error
	switch v {
	case theClient:
		err = c.tear()
	case aBackend:
		_, err = w.killBackend(w.t.Context())
	case theService:
		w.killService()
	case theDatabase:
		signal := syscall.SIGQUIT // an immediate shutdown
		if w.random.IntN(2) == 0 {
			signal = syscall.SIGKILL
		}
		err = syscall.Kill(w.cluster.PID, signal)
	}
	if err != nil {
		w.t.Fatalf("killing %s: %v", v, err)
	}
}

// recover brings back what was killed.
func (w *killing) recover(v victim) {
	w.t.Helper()
	switch v {
	case theClient:
	case aBackend, theDatabase:
		w.startPostgres()
		w.awaitReady()
	case theService:
		w.startService()
		w.awaitReady()
	}
	w.awaitQuiet()
}

// submissionOf returns the id and revision of the submission with the key, or "".
func (w *killing) submissionOf(key string) (id string, revision int64) {
	w.t.Helper()
	rows, err := w.watch().Query(w.t.Context(), `SELECT id::text, revision FROM submission WHERE idempotency_key = $1`, key)
	if err != nil {
		w.t.Fatal(err)
	}
	n := 0
	for ; rows.Next(); n++ {
		if err := rows.Scan(&id, &revision); err != nil {
			w.t.Fatal(err)
		}
	}
	if rows.Err() != nil || n > 1 {
		w.t.Fatalf("%d submissions have the key %q: %v", n, key, rows.Err())
	}
	return id, revision
}

// check holds all that is stored, and a state of the past, against what should be there.
func (w *killing) check(when string, want trial.Figures) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.context(), patience)
	defer cancel()
	c := w.dial()
	defer c.connection.Close()
	got, err := trial.Read(ctx, c, "na", trial.Counts(0), 0)
	if err != nil {
		w.t.Fatalf("%s: %v", when, err)
	}
	if d := trial.Difference(got, want); d != "" {
		w.t.Fatalf("%s: %s", when, d)
	}
	shared, err := trial.ReadShared(ctx, c, "na", trial.Shared(0), 0)
	if err != nil {
		w.t.Fatalf("%s: %v", when, err)
	}
	if d := trial.Difference(shared, want.Shared()); d != "" {
		w.t.Fatalf("%s: of what is derived, %s", when, d)
	}
	if len(w.states) > 0 {
		past := w.states[w.random.IntN(len(w.states))]
		got, err := trial.Read(ctx, c, "na", trial.Counts(0), past.revision)
		if err != nil {
			w.t.Fatalf("%s: revision %d: %v", when, past.revision, err)
		}
		if d := trial.Difference(got, past.figures); d != "" {
			w.t.Fatalf("%s: of revision %d, %s", when, past.revision, d)
		}
	}
	if err := trial.CheckInvariants(ctx, w.watch()); err != nil {
		w.t.Fatalf("%s: %v", when, err)
	}
}
