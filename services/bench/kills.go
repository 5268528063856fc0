package bench

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/encoding/protojson"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/services/internal/pgcluster"
	"github.com/comity-federation/comity/services/internal/trial"
)

// KillOptions say how an exchange is put to the test.
type KillOptions struct {
	Program   string // the comity program; the others lie beside it
	Directory string // where the region lives; it is made, and removed at the end
	Policies  string // "": those beside the program
	BasePort  int    // of the region
	Kills     int    // how many; with each something dies, at times two things at once
	Every     int    // kills between two looks at the whole
	Seed      uint64 // of what is sent, of what is killed, and when
}

const sdmxCSV = "application/vnd.sdmx.data+csv"

// killing is a run of two nodes that send each other figures while their processes are killed. Those who submit hold work
// for reading, who looks at the whole holds it for writing.
type killing struct {
	KillOptions
	progress io.Writer
	random   *rand.Rand // of the one who kills
	nodes    []*exchanging
	server   server
	work     sync.RWMutex

	again, unanswered, underway atomic.Int64
}

// exchanging is a node of the pair.
type exchanging struct {
	code, gateway string
	tokens        map[string]string // by role
	processes     []*supervised     // statistics, sharing, gateway, risk

	figures     map[string]float64 // that were submitted, see pairKeys
	submissions int
}

// Kills runs two nodes that send each other figures as fast as they go, and kills, at random moments and without a word,
// their sharing, their statistics, now and then the other processes, those of their database, and the whole database server.
// What dies is started again.
// Now and then all pause, and the whole is held against what it should be: each figure that a node has taken is there, and
// at its partner, and each release was stored once; every batch is receipted; the logs verify, and agree with each other.
// It returns a line of figures, or the first fault.
func Kills(ctx context.Context, o KillOptions, progress io.Writer) (line string, err error) {
	if err := os.MkdirAll(o.Directory, 0o755); err != nil { //nolint:gosec // PostgreSQL, which may run as another user, passes through
		return "", err
	}
	k := &killing{KillOptions: o, progress: progress, random: rand.New(rand.NewPCG(o.Seed, 0))} //nolint:gosec // it is to be repeatable, not secret
	defer func() { err = errors.Join(err, k.end()) }()
	if err := k.begin(ctx); err != nil {
		return "", fmt.Errorf("starting two nodes: %w", err)
	}
	begin := time.Now()
	if err := k.run(ctx); err != nil {
		return "", fmt.Errorf("%w\n%s", err, k.complaints())
	}
	submissions, releases, batches := 0, 0, 0
	for _, n := range k.nodes {
		submissions += n.submissions
		sent, err := n.deliveries(ctx, sharingpb.Direction_SENT)
		if err != nil {
			return "", err
		}
		named := map[string]bool{}
		for _, d := range sent {
			named[d.GetRelease()] = true
		}
		releases, batches = releases+len(named), batches+len(sent)
	}
	return fmt.Sprintf("%d kills in %.0f s, %d of them while something was under way: of %d submissions, %d of them answered only when sent again, and of %d releases in %d batches 0 were lost and 0 came twice; the logs verify",
		o.Kills, time.Since(begin).Seconds(), k.underway.Load(), submissions, k.unanswered.Load(), releases, batches), nil
}

// begin brings the region up as anybody would, and takes its processes over.
func (k *killing) begin(ctx context.Context) error {
	region := filepath.Join(k.Directory, "region")
	if err := writePair(region); err != nil {
		return err
	}
	arguments := []string{"sandbox", "up", "--region", region, "--dir", k.sandbox(), "--base-port", strconv.Itoa(k.BasePort)}
	if k.Policies != "" {
		arguments = append(arguments, "--policies", k.Policies)
	}
	if text, err := k.comity(ctx, arguments...); err != nil {
		return fmt.Errorf("comity sandbox up: %w\n%s", err, text)
	}
	states, err := readRegion(k.sandbox())
	if err != nil {
		return err
	}
	for _, s := range states {
		n := &exchanging{code: s.Code, gateway: s.Gateway, tokens: map[string]string{}, figures: initialFigures(), submissions: 1}
		for role, file := range s.Tokens {
			text, err := os.ReadFile(filepath.Join(k.sandbox(), file)) //nolint:gosec // the region names its own files
			if err != nil {
				return err
			}
			n.tokens[role] = strings.TrimSpace(string(text))
		}
		for _, service := range []string{"statistics", "sharing", "gateway", "risk"} {
			p, err := supervise(s.Code, service, k.sandbox(), s.PIDs[service])
			if err != nil {
				return err
			}
			n.processes = append(n.processes, p)
		}
		k.nodes = append(k.nodes, n)
	}
	k.server.directory = filepath.Join(k.sandbox(), "pg")
	if k.server.cluster, err = pgcluster.Find(k.server.directory); err != nil || k.server.cluster == nil {
		return fmt.Errorf("finding the database server: %w", err)
	}
	return k.unflushed(ctx)
}

// unflushed lets the server not wait for the disk: the machine is not killed, and recovering is much shorter without.
func (k *killing) unflushed(ctx context.Context) error {
	conn, err := k.server.cluster.Admin(ctx, "postgres")
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	for _, sql := range []string{`ALTER SYSTEM SET fsync = off`, `SELECT pg_reload_conf()`} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

// complaints are the last lines of the logs that say more than that all is well.
func (k *killing) complaints() string {
	var text strings.Builder
	for _, n := range k.nodes {
		for _, p := range n.processes {
			fmt.Fprintf(&text, "%s has said:\n", p.name)
			lines := slices.DeleteFunc(strings.Split(p.lastWords(), "\n"), func(line string) bool { return strings.Contains(line, `"level":"INFO"`) })
			text.WriteString(strings.Join(lines, "\n"))
		}
	}
	return text.String()
}

func (k *killing) sandbox() string { return filepath.Join(k.Directory, "sandbox") }

// comity runs the program.
func (k *killing) comity(ctx context.Context, arguments ...string) (string, error) {
	text, err := exec.CommandContext(ctx, k.Program, arguments...).CombinedOutput() //nolint:gosec // our own program
	return string(text), err
}

// end ends the region and removes it.
func (k *killing) end() error {
	text, err := k.comity(context.Background(), "sandbox", "down", "--remove", "--dir", k.sandbox())
	if err != nil {
		err = fmt.Errorf("comity sandbox down: %w\n%s", err, text)
	}
	return errors.Join(err, os.RemoveAll(k.Directory))
}

// run kills until it is enough, while others submit.
func (k *killing) run(ctx context.Context) error {
	working, stop := context.WithCancel(ctx)
	defer stop()
	group, working := errgroup.WithContext(working)
	for i, n := range k.nodes {
		random := rand.New(rand.NewPCG(k.Seed, uint64(1+i))) //nolint:gosec // it is to be repeatable, not secret
		group.Go(func() error {
			for working.Err() == nil {
				if err := k.submit(ctx, n, random); err != nil { // what has begun is finished
					return err
				}
				pause(working, time.Duration(random.IntN(400))*time.Millisecond)
			}
			return nil
		})
	}
	group.Go(func() error {
		defer stop()
		for i := range k.Kills {
			pause(working, time.Duration(k.random.IntN(1_500))*time.Millisecond)
			if working.Err() != nil {
				return nil
			}
			if err := k.killOne(ctx); err != nil {
				return fmt.Errorf("kill %d: %w", i+1, err)
			}
			if (i+1)%k.Every == 0 || i+1 == k.Kills {
				if err := k.look(ctx); err != nil {
					return fmt.Errorf("after %d kills: %w", i+1, err)
				}
				fmt.Fprintf(k.progress, "  %4d kills, %d calls made again\n", i+1, k.again.Load())
			}
		}
		return nil
	})
	return group.Wait()
}

// pause waits, not longer than the context.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// killOne kills one thing or two, and brings back what does not come by itself.
func (k *killing) killOne(ctx context.Context) error {
	if busy, err := k.busy(ctx); err == nil && busy {
		k.underway.Add(1)
	}
	victims := []*supervised{}
	database := 0 // 1: a process, 2: the whole server
	for range 1 + k.random.IntN(5)/4 {
		n := k.nodes[k.random.IntN(len(k.nodes))]
		switch k.random.IntN(10) {
		case 0:
			database = 2
		case 1:
			database = 1
		case 2, 3, 4:
			victims = append(victims, n.processes[0])
		case 5:
			victims = append(victims, n.processes[2+k.random.IntN(2)])
		default:
			victims = append(victims, n.processes[1])
		}
	}
	for i, p := range victims {
		if i > 0 && p == victims[0] {
			continue
		}
		if err := p.kill(); err != nil {
			return fmt.Errorf("%w\n%s", err, p.lastWords())
		}
	}
	if database > 0 {
		if err := k.server.kill(ctx, database == 2); err != nil {
			return err
		}
		pause(ctx, 20*time.Millisecond)
		if err := k.server.revive(ctx); err != nil {
			return err
		}
	}
	pause(ctx, time.Duration(k.random.IntN(200))*time.Millisecond)
	for i, p := range victims {
		if i > 0 && p == victims[0] {
			continue
		}
		if err := p.revive(); err != nil {
			return err
		}
	}
	// A service that cannot reach its database when it starts waits for it, and whatever ends is started again.
	for _, n := range k.nodes {
		for _, p := range n.processes {
			if !p.lives() {
				if err := p.revive(); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// busy reports whether a transaction that writes is open.
func (k *killing) busy(ctx context.Context) (busy bool, err error) {
	conn, err := k.server.cluster.Admin(ctx, "postgres")
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.Close(ctx) }()
	err = conn.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM pg_stat_activity WHERE usename LIKE 'comity%' AND state <> 'idle' AND backend_type = 'client backend')`).Scan(&busy)
	return busy, err
}

// insist calls until there is an answer: a node of which something was killed may take a while.
func (k *killing) insist(ctx context.Context, call func(context.Context) error) (tries int, err error) {
	for deadline := time.Now().Add(outage); ; time.Sleep(50 * time.Millisecond) {
		asking, cancel := context.WithTimeout(ctx, 20*time.Second)
		err := call(asking)
		cancel()
		tries++
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) || errors.Is(err, errWrong) {
			return tries, err
		}
		k.again.Add(1)
	}
}

// submit changes some of a node's figures. It is sent under one key until there is an answer.
func (k *killing) submit(ctx context.Context, n *exchanging, random *rand.Rand) error {
	k.work.RLock()
	defer k.work.RUnlock()
	n.submissions++
	rows := map[string]float64{}
	for _, key := range pairKeys() {
		if random.IntN(20) == 0 {
			rows[key] = float64(100 * (1 + random.IntN(99)))
		}
	}
	text := pairCSV(n.code, rows)
	query := url.Values{"dataflow": {crossings}, "action": {"MERGE"}}
	header := http.Header{"Content-Type": {sdmxCSV}, "Idempotency-Key": {fmt.Sprint("submission ", n.submissions)}}
	tries, err := k.insist(ctx, func(ctx context.Context) error {
		answer, err := n.call(ctx, http.MethodPost, "statistician", "/v1/submissions?"+query.Encode(), header, strings.NewReader(text))
		if err != nil {
			return err
		}
		submission := &statisticspb.Submission{}
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(answer, submission); err != nil {
			return err
		}
		if submission.GetState() != statisticspb.Submission_ACCEPTED {
			return fmt.Errorf("%w: it was rejected: %s", errWrong, answer)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("submission %d of %s: %w", n.submissions, n.code, err)
	}
	if tries > 1 {
		k.unanswered.Add(1)
	}
	for key, value := range rows {
		n.figures[key] = value
	}
	return nil
}

// call makes a call of the REST API, and returns the answer.
func (n *exchanging) call(ctx context.Context, method, role, path string, header http.Header, body io.Reader) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, n.gateway+path, body)
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		request.Header[name] = values
	}
	request.Header.Set("Authorization", "Bearer "+n.tokens[role])
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK && response.StatusCode != http.StatusNoContent {
		err = fmt.Errorf("%s: %s", response.Status, text)
	}
	return text, err
}

// read returns what the node holds of a state's figures, totals aside.
func (n *exchanging) read(ctx context.Context, provider string) (map[string]float64, error) {
	header := http.Header{"Accept": {"text/csv"}}
	path := "/sdmx/v2/data/dataflow/PAIR/CROSSINGS/1.0.0/*." + strings.ToUpper(provider) + ".*.*"
	text, err := n.call(ctx, http.MethodGet, "analyst", path, header, http.NoBody)
	if err != nil {
		if strings.HasPrefix(err.Error(), "404") {
			return map[string]float64{}, nil
		}
		return nil, err
	}
	records, err := csv.NewReader(strings.NewReader(string(text))).ReadAll()
	if err != nil {
		return nil, err
	}
	found := map[string]float64{}
	if len(records) == 0 {
		return found, nil
	}
	column := func(record []string, name string) string { return record[slices.Index(records[0], name)] }
	for _, record := range records[1:] {
		key := column(record, "CITIZENSHIP") + " " + column(record, "TIME_PERIOD")
		if strings.HasPrefix(key, "_T") {
			continue
		}
		if _, twice := found[key]; twice {
			return nil, fmt.Errorf("%w: %s of %s stands twice at %s", errWrong, key, provider, n.code)
		}
		if found[key], err = strconv.ParseFloat(column(record, "OBS_VALUE"), 64); err != nil {
			return nil, fmt.Errorf("%s of %s at %s has no value: %w", key, provider, n.code, err)
		}
	}
	return found, nil
}

// deliveries returns what went one way.
func (n *exchanging) deliveries(ctx context.Context, way sharingpb.Direction_Way) ([]*sharingpb.Delivery, error) {
	var all []*sharingpb.Delivery
	for token := ""; ; {
		text, err := n.call(ctx, http.MethodGet, "officer", "/v1/deliveries?pageSize=1000&pageToken="+url.QueryEscape(token), nil, http.NoBody)
		if err != nil {
			return nil, err
		}
		page := &sharingpb.ListDeliveriesResponse{}
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(text, page); err != nil {
			return nil, err
		}
		for _, d := range page.GetDeliveries() {
			if d.GetDirection() == way {
				all = append(all, d)
			}
		}
		if token = page.GetNextPageToken(); token == "" {
			return all, nil
		}
	}
}

// look stops those who submit, and holds the whole against what it should be.
func (k *killing) look(ctx context.Context) error {
	k.work.Lock()
	defer k.work.Unlock()
	for i, sender := range k.nodes {
		receiver := k.nodes[1-i]
		_, err := k.insist(ctx, func(ctx context.Context) error {
			got, err := sender.read(ctx, sender.code)
			if err != nil {
				return err
			}
			if d := trial.Difference(got, sender.figures); d != "" {
				return fmt.Errorf("%w: of what was submitted to %s, %s", errWrong, sender.code, d)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if _, err := k.insist(ctx, func(ctx context.Context) error { return arrived(ctx, sender, receiver) }); err != nil {
			return err
		}
	}
	if err := k.once(ctx); err != nil {
		return err
	}
	_, err := k.insist(ctx, func(ctx context.Context) error {
		text, err := k.comity(ctx, "audit", "verify", "--dir", k.sandbox())
		if err == nil && strings.Count(text, "verified") != len(k.nodes) {
			err = errWrong
		}
		if err != nil {
			return fmt.Errorf("comity audit verify: %w: %s", err, text)
		}
		return nil
	})
	return err
}

// arrived fails unless the receiver has the sender's figures, and the sender a receipt for each batch.
func arrived(ctx context.Context, sender, receiver *exchanging) error {
	got, err := receiver.read(ctx, sender.code)
	if err != nil {
		return err
	}
	if d := trial.Difference(got, sender.figures); d != "" {
		return fmt.Errorf("what %s has of %s: %s", receiver.code, sender.code, d)
	}
	sent, err := sender.deliveries(ctx, sharingpb.Direction_SENT)
	if err != nil {
		return err
	}
	for _, d := range sent {
		if d.GetState() != sharingpb.Delivery_RECEIPTED || !d.GetReceiptVerified() {
			return fmt.Errorf("batch %.0f of %s is %v", d.GetSequence(), d.GetStream(), d.GetState())
		}
	}
	received, err := receiver.deliveries(ctx, sharingpb.Direction_RECEIVED)
	if err != nil {
		return err
	}
	if len(received) != len(sent) {
		return fmt.Errorf("%s has sent %d batches, %s has %d", sender.code, len(sent), receiver.code, len(received))
	}
	for _, d := range received {
		if d.GetState() != sharingpb.Delivery_STORED {
			return fmt.Errorf("batch %.0f of %s is %v: %s", d.GetSequence(), d.GetStream(), d.GetState(), d.GetReason())
		}
	}
	return nil
}

// once looks into the databases for submissions and releases that are there twice or not at all.
func (k *killing) once(ctx context.Context) error {
	for _, n := range k.nodes {
		conn, err := k.server.cluster.Admin(ctx, "comity_"+n.code+"_statistics")
		if err != nil {
			return err
		}
		var own, twice, releases int
		err = conn.QueryRow(ctx, `
			SELECT count(DISTINCT idempotency_key) FILTER (WHERE release = ''),
				count(*) - count(DISTINCT idempotency_key),
				count(DISTINCT release) FILTER (WHERE release <> '')
			FROM submission
			WHERE dataflow = $1`, crossings).Scan(&own, &twice, &releases)
		if err == nil {
			err = trial.CheckInvariants(ctx, conn)
		}
		if err := errors.Join(err, conn.Close(ctx)); err != nil {
			return fmt.Errorf("the statistics of %s: %w", n.code, err)
		}
		received, err := n.deliveries(ctx, sharingpb.Direction_RECEIVED)
		if err != nil {
			return err
		}
		named := map[string]bool{}
		for _, d := range received {
			named[d.GetRelease()] = true
		}
		if own != n.submissions || twice != 0 || releases != len(named) {
			return fmt.Errorf("%s: of %d submissions %d are stored, of %d releases %d, and %d are there twice",
				n.code, n.submissions, own, len(named), releases, twice)
		}
	}
	return nil
}
