package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/services/internal/trial"
)

// SoakOptions say how a node is soaked.
type SoakOptions struct {
	Program   string        // the comity program; the others lie beside it
	Directory string        // where the region lives; it is made, and removed at the end
	BasePort  int           // of the region
	For       time.Duration // how long
	Seed      uint64        // of what is sent and of what is killed
}

const (
	writers   = 2                // dataflows of counts, with a writer each
	askers    = 2                // who ask for revisions of the past
	outage    = 2 * time.Minute  // how long the node may not answer while it comes back
	interval  = 10 * time.Second // between two looks at the whole
	killEvery = 7 * time.Second
)

// soak is a run of a node under load. Everybody who works holds work for reading; who looks at the whole holds it for writing.
type soak struct {
	SoakOptions
	node     *node
	region   string
	progress io.Writer
	random   *rand.Rand // of the one who kills
	work     sync.RWMutex

	counts   []*counting
	recorded trial.Figures // what the events count
	health   health

	submissions, refused, asked, batches, closings, again, kills, looks atomic.Int64
}

// counting is what is known of a dataflow of counts.
type counting struct {
	dataflow, shared string

	mu      sync.Mutex
	figures trial.Figures
	states  []snapshot // the last few
}

// snapshot is what was stored at a revision.
type snapshot struct {
	revision int64
	figures  trial.Figures
}

// Soak runs a node for a while under all kinds of load at once, kills parts of it in the first half, and holds all that it
// stores, and what it takes of the machine, against what they should be. It returns a line of figures, or the first fault.
func Soak(ctx context.Context, o SoakOptions, progress io.Writer) (line string, err error) {
	if o.For < 2*time.Minute {
		return "", errors.New("two minutes are the least that says something")
	}
	if err := os.MkdirAll(o.Directory, 0o755); err != nil { //nolint:gosec // see below
		return "", err
	}
	if err := os.Chmod(o.Directory, 0o755); err != nil { //nolint:gosec // PostgreSQL, which may run as another user, passes through
		return "", err
	}
	s := &soak{
		SoakOptions: o, region: filepath.Join(o.Directory, "region"), progress: progress,
		random: rand.New(rand.NewPCG(o.Seed, 0)), //nolint:gosec // it is to be repeatable, not secret
	}
	if err := writeEmptyRegion(s.region); err != nil {
		return "", fmt.Errorf("describing the region: %w", err)
	}
	if s.node, err = startNode(ctx, o.Program, filepath.Join(o.Directory, "sandbox"), s.region, o.BasePort); err != nil {
		return "", fmt.Errorf("starting the node: %w", err)
	}
	defer func() { err = errors.Join(err, s.node.end(), os.RemoveAll(o.Directory)) }()
	if err := s.prepare(ctx); err != nil {
		return "", err
	}
	if err := s.run(ctx); err != nil {
		return "", err
	}
	return fmt.Sprintf("%v: %d submissions (%d refused as they should be), %d answers, %d batches of events, %d closings; %d kills, after which %d calls were made again; %d looks at the whole found nothing wrong; %s",
		o.For, s.submissions.Load(), s.refused.Load(), s.asked.Load(), s.batches.Load(), s.closings.Load(), s.kills.Load(), s.again.Load(), s.looks.Load(), &s.health), nil
}

// writeEmptyRegion describes a region of one state that has nothing yet.
func writeEmptyRegion(directory string) error {
	if err := os.MkdirAll(directory, 0o755); err != nil { //nolint:gosec // nothing in it is secret
		return err
	}
	text := fmt.Sprintf("name: Soak\nstates:\n  - {code: %s, name: Made-up, refAreas: [NZ]}\n", state)
	return os.WriteFile(filepath.Join(directory, "region.yaml"), []byte(text), 0o600)
}

func (s *soak) prepare(ctx context.Context) error {
	if err := trial.Prepare(as(ctx, s.node.token), s.node.statistics, writers); err != nil {
		return err
	}
	for i := range writers {
		s.counts = append(s.counts, &counting{dataflow: trial.Counts(i), shared: trial.Shared(i), figures: trial.Figures{}})
	}
	s.recorded = trial.Zeros().Rows
	return nil
}

// run lets everybody work until the time is over or something is wrong.
func (s *soak) run(ctx context.Context) error {
	begin := time.Now()
	working, stop := context.WithTimeout(ctx, s.For)
	defer stop()
	group, working := errgroup.WithContext(working)
	loop := func(what string, pause time.Duration, seed int, step func(context.Context, *rand.Rand) error) {
		random := rand.New(rand.NewPCG(s.Seed, uint64(seed))) //nolint:gosec // it is to be repeatable, not secret
		group.Go(func() error {
			for working.Err() == nil {
				// What has begun is finished, so that it is known what became of it.
				if err := step(ctx, random); err != nil {
					return fmt.Errorf("%s: %w", what, err)
				}
				select {
				case <-working.Done():
				case <-time.After(pause):
				}
			}
			return nil
		})
	}
	for i, c := range s.counts {
		loop("submitting", 50*time.Millisecond, 10+i, func(ctx context.Context, random *rand.Rand) error { return s.submitOne(ctx, c, random) })
	}
	for i := range askers {
		loop("asking", 20*time.Millisecond, 20+i, s.askOne)
	}
	loop("recording events", 50*time.Millisecond, 30, s.recordOne)
	loop("looking at the whole", interval, 40, func(ctx context.Context, _ *rand.Rand) error {
		return s.look(ctx, time.Since(begin))
	})
	loop("killing", killEvery, 50, func(ctx context.Context, random *rand.Rand) error {
		return s.killOne(ctx, random, time.Since(begin) < s.For/2)
	})
	if err := group.Wait(); err != nil {
		return err
	}
	if err := s.look(ctx, s.For); err != nil {
		return err
	}
	return s.health.verdict()
}

// insist calls until there is an answer: a node of which something was killed may take a while. What is called has a key by which
// it is done once.
func (s *soak) insist(ctx context.Context, call func(context.Context) error) error {
	for deadline := time.Now().Add(outage); ; time.Sleep(100 * time.Millisecond) {
		asking, cancel := context.WithTimeout(as(ctx, s.node.token), 30*time.Second)
		err := call(asking)
		cancel()
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) || errors.Is(err, errWrong) {
			return err
		}
		s.again.Add(1)
	}
}

// errWrong marks answers that are wrong, which are not asked for again.
var errWrong = errors.New("wrong")

// submitOne submits an upload, half of those that can be as SDMX-CSV through REST.
func (s *soak) submitOne(ctx context.Context, c *counting, random *rand.Rand) error {
	s.work.RLock()
	defer s.work.RUnlock()
	u := trial.RandomUpload(random, c.figures)
	number := s.submissions.Add(1)
	patience := 30 * time.Second
	if random.IntN(6) == 0 {
		patience = time.Duration(random.IntN(60)) * time.Millisecond // the client goes away, and comes again
	}
	key := fmt.Sprint("key ", number)
	byREST := u.Scope().IsTrue() && random.IntN(2) == 0
	var submission *statisticspb.Submission
	err := s.insist(ctx, func(ctx context.Context) (err error) {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		patience = 30 * time.Second
		if byREST {
			submission = &statisticspb.Submission{}
			query := url.Values{"dataflow": {c.dataflow}, "action": {u.Action.String()}}
			return s.node.postOnce(ctx, "/v1/submissions?"+query.Encode(), "application/vnd.sdmx.data+csv", key, u.CSV(c.dataflow), submission)
		}
		submission, err = trial.Submit(ctx, s.node.statistics, c.dataflow, u, key)
		return err
	})
	if err == nil {
		err = u.Fate(submission)
	}
	if err != nil {
		return fmt.Errorf("submission %d, %v: %w", number, u.Action, err)
	}
	if u.Refused {
		s.refused.Add(1)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.figures = c.figures.After(u)
	if submission.GetRevision() > 0 {
		c.states = append(c.states[max(0, len(c.states)-19):], snapshot{submission.GetRevision(), c.figures})
	}
	return nil
}

// askOne asks for a revision of the past, which is the same for ever.
func (s *soak) askOne(ctx context.Context, random *rand.Rand) error {
	s.work.RLock()
	defer s.work.RUnlock()
	c := s.counts[random.IntN(len(s.counts))]
	c.mu.Lock()
	if len(c.states) == 0 {
		c.mu.Unlock()
		return nil
	}
	past := c.states[random.IntN(len(c.states))]
	c.mu.Unlock()
	s.asked.Add(1)
	return s.insist(ctx, func(ctx context.Context) error { return s.compare(ctx, c, past) })
}

// compare holds a revision against what it should be, with what is derived.
func (s *soak) compare(ctx context.Context, c *counting, at snapshot) error {
	got, err := trial.Read(ctx, s.node.statistics, state, c.dataflow, at.revision)
	if err != nil {
		return err
	}
	if d := trial.Difference(got, at.figures); d != "" {
		return fmt.Errorf("%w: %s at revision %d: %s", errWrong, c.dataflow, at.revision, d)
	}
	shared, err := trial.ReadShared(ctx, s.node.statistics, state, c.shared, at.revision)
	if err != nil {
		return err
	}
	if d := trial.Difference(shared, at.figures.Shared()); d != "" {
		return fmt.Errorf("%w: %s at revision %d: %s", errWrong, c.shared, at.revision, d)
	}
	return nil
}

// recordOne records a batch of events; a third are taken back, and at times the counters are closed.
func (s *soak) recordOne(ctx context.Context, random *rand.Rand) error {
	s.work.RLock()
	defer s.work.RUnlock()
	batch := trial.RandomEvents(random)
	id := fmt.Sprint("batch ", s.batches.Add(1))
	record := func(id, retracts string, sign float64) error {
		err := s.insist(ctx, func(ctx context.Context) error {
			_, err := trial.Record(ctx, s.node.statistics, id, retracts, batch)
			return err
		})
		if err == nil {
			s.recorded.Add(batch, sign)
		}
		return err
	}
	if err := record(id, "", 1); err != nil {
		return err
	}
	if random.IntN(3) == 0 {
		if err := record(id+", taken back", id, -1); err != nil {
			return err
		}
	}
	if random.IntN(10) == 0 {
		return s.close(ctx)
	}
	return nil
}

func (s *soak) close(ctx context.Context) error {
	s.closings.Add(1)
	return s.insist(ctx, func(ctx context.Context) error {
		_, err := s.node.statistics.CloseEvents(ctx, &statisticspb.CloseEventsRequest{Dataflow: trial.Events})
		return err
	})
}

// look stops everybody, and holds the whole against what it should be.
func (s *soak) look(ctx context.Context, after time.Duration) error {
	s.work.Lock()
	defer s.work.Unlock()
	if err := s.close(ctx); err != nil {
		return fmt.Errorf("closing events: %w", err)
	}
	err := s.insist(ctx, func(ctx context.Context) error {
		for _, c := range s.counts {
			if err := s.compare(ctx, c, snapshot{0, c.figures}); err != nil {
				return err
			}
		}
		got, err := trial.Read(ctx, s.node.statistics, state, trial.Events, 0)
		if err != nil {
			return err
		}
		if d := trial.Difference(got, s.recorded); d != "" {
			return fmt.Errorf("%w: events: %s", errWrong, d)
		}
		return nil
	})
	if err != nil {
		return err
	}
	sample, err := s.sample(ctx)
	if err != nil {
		return err
	}
	s.looks.Add(1)
	s.health.add(after, sample)
	fmt.Fprintf(s.progress, "  %6.0f s  %6d submissions  %6d batches  %4d kills  %s\n",
		after.Seconds(), s.submissions.Load(), s.batches.Load(), s.kills.Load(), sample)
	return nil
}
