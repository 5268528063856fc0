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
	long := os.Getenv("COMITY_LONG") != ""
	kills := map[victim]int{theClient: 4, aBackend: 2, theService: 2, theDatabase: 1}
	if long {
		for v := range kills {
			kills[v] = 75
		}
	}
	w := newTrial(t)
	for _, v := range []victim{theClient, aBackend, theService, theDatabase} {
		for landed, tries := 0, 0; landed < kills[v]; tries++ {
			if tries > 3*kills[v]+10 {
				t.Fatalf("only %d of %d kills of %s came while there was something to kill", landed, tries, v)
			}
			if w.kill(v) {
				landed++
			}
		}
	}
	t.Logf("%d submissions were stored although killed, of which %d without an answer; %d were not", w.stored, w.unanswered, w.lost)
	if long && (w.stored == 0 || w.lost == 0) {
		t.Error("all kills came at the same side of the commit, which tests nothing")
	}
}

// trial is a node whose figures are known.
type trial struct {
	*node
	random  *rand.Rand
	figures figures
	states  []state // the last few, by revision
	uploads int
	usual   time.Duration // that a submission takes

	stored, unanswered, lost int
}

// state is what was stored at a revision.
type state struct {
	revision int64
	figures  figures
}

// newTrial returns a node with structures, without rules that made-up figures could break. COMITY_SEED repeats a run.
func newTrial(t *testing.T) *trial {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("COMITY_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("COMITY_SEED=%d", seed)
	w := &trial{node: newNode(t), random: rand.New(rand.NewPCG(seed, 0)), figures: figures{}}
	c := w.dial()
	defer c.connection.Close()
	if _, err := c.CreateStructures(w.context(), &statisticspb.CreateStructuresRequest{Structures: structures()}); err != nil {
		t.Fatal(err)
	}
	for _, dataflow := range []string{countsFlow, sharedFlow, eventsFlow} {
		rules := &statisticspb.QualityRules{Dataflow: dataflow}
		if _, err := c.SetQualityRules(w.context(), &statisticspb.SetQualityRulesRequest{QualityRules: rules}); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		w.accept(randomUpload(w.random, w.figures))
	}
	return w
}

// accept submits an upload that nobody disturbs.
func (w *trial) accept(u upload) {
	w.t.Helper()
	w.uploads++
	c := w.dial()
	defer c.connection.Close()
	begin := time.Now()
	submission, err := c.submit(w.context(), u, fmt.Sprint("key ", w.uploads))
	if err != nil || submission.GetState() != statisticspb.Submission_ACCEPTED {
		w.t.Fatalf("submission %d: %v, %v", w.uploads, err, submission)
	}
	w.usual = (w.usual + time.Since(begin)) / 2
	w.take(u, submission)
}

// take makes what was stored what should be there.
func (w *trial) take(u upload, submission *statisticspb.Submission) {
	w.figures = w.figures.after(u)
	if submission.GetRevision() > 0 {
		w.states = append(w.states[max(0, len(w.states)-9):], state{submission.GetRevision(), w.figures})
	}
}

// kill submits an upload and kills the victim meanwhile. It reports false where there was nothing to kill any more.
func (w *trial) kill(v victim) bool {
	w.t.Helper()
	w.uploads++
	u, key := randomUpload(w.random, w.figures), fmt.Sprint("key ", w.uploads)
	c := w.dial()
	defer c.connection.Close()
	type answer struct {
		submission *statisticspb.Submission
		err        error
	}
	answers := make(chan answer, 1)
	// Large uploads take longer: the moments are spread over what this one may take.
	moment := time.Duration(w.random.Int64N(int64(w.usual) * 3 / 2))
	go func() {
		submission, err := c.submit(w.context(), u, key)
		answers <- answer{submission, err}
	}()
	time.Sleep(moment)
	early := len(answers) > 0
	w.strike(v, c)
	got := <-answers
	w.recover(v)
	name, revision := w.submissionOf(key)
	switch {
	case got.err == nil && name == "":
		w.t.Fatalf("%s was killed after %v: submission %d was answered, and is not there", v, moment, w.uploads)
	case name != "":
		w.stored++
		if got.err != nil {
			w.unanswered++
		}
	default:
		w.lost++
	}
	after := w.figures.after(u)
	if name != "" {
		w.check(fmt.Sprintf("%s was killed after %v, submission %d is there", v, moment, w.uploads), after)
	} else {
		w.check(fmt.Sprintf("%s was killed after %v, submission %d is not there", v, moment, w.uploads), w.figures)
	}

	again := w.dial()
	defer again.connection.Close()
	submission, err := again.submit(w.context(), u, key)
	if err != nil || submission.GetState() != statisticspb.Submission_ACCEPTED {
		w.t.Fatalf("submission %d again: %v, %v\n%s", w.uploads, err, submission, w.log())
	}
	if name != "" && (submission.GetName() != "submissions/"+name || submission.GetRevision() != revision) {
		w.t.Fatalf("submission %d again is %s of revision %d, and was %s of revision %d", w.uploads, submission.GetName(), submission.GetRevision(), name, revision)
	}
	w.take(u, submission)
	w.check(fmt.Sprintf("submission %d was sent again", w.uploads), w.figures)
	return !early
}

// strike kills.
func (w *trial) strike(v victim, c *client) {
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
func (w *trial) recover(v victim) {
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
func (w *trial) submissionOf(key string) (id string, revision int64) {
	w.t.Helper()
	conn, err := w.open(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close(w.t.Context())
	rows, err := conn.Query(w.t.Context(), `SELECT id::text, revision FROM submission WHERE idempotency_key = $1`, key)
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
func (w *trial) check(when string, want figures) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.context(), patience)
	defer cancel()
	c := w.dial()
	defer c.connection.Close()
	got, err := c.counts(ctx, countsFlow, 0)
	if err != nil {
		w.t.Fatalf("%s: %v", when, err)
	}
	if d := difference(got, want); d != "" {
		w.t.Fatalf("%s: %s", when, d)
	}
	shared, err := c.shared(ctx, 0)
	if err != nil {
		w.t.Fatalf("%s: %v", when, err)
	}
	if d := difference(shared, want.derived()); d != "" {
		w.t.Fatalf("%s: of what is derived, %s", when, d)
	}
	if len(w.states) > 0 {
		past := w.states[w.random.IntN(len(w.states))]
		got, err := c.counts(ctx, countsFlow, past.revision)
		if err != nil {
			w.t.Fatalf("%s: revision %d: %v", when, past.revision, err)
		}
		if d := difference(got, past.figures); d != "" {
			w.t.Fatalf("%s: of revision %d, %s", when, past.revision, d)
		}
	}
	conn, err := w.open(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close(ctx)
	for name, sql := range invariants() {
		var n int
		if err := conn.QueryRow(ctx, sql).Scan(&n); err != nil {
			w.t.Fatalf("%s: %v", name, err)
		}
		if n != 0 {
			w.t.Fatalf("%s: %d %s", when, n, name)
		}
	}
}
