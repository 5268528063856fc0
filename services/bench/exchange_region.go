package bench

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
	"github.com/comity-federation/comity/services/internal/pgcluster"
)

// The dataflows of the two states that exchange, and what is in them: figures by citizenship and month.
const (
	freshFlow  = "FRESH"  // all figures are large
	scarceFlow = "SCARCE" // some are small, and are withheld
	bulkFlow   = "BULK"

	freshMonths = 40    // of 250 citizenships: 10,000 figures
	bulkMonths  = 1_200 // 300,000
)

// flows are the dataflows, each with the indicator that it is of: a tier is told of one by one dataflow only.
func flows() map[string]string {
	return map[string]string{freshFlow: "1A", scarceFlow: "1B", bulkFlow: "3"}
}

// twoNodes are two nodes as they are run, the first of which provides the second with everything.
type twoNodes struct {
	program, directory string
	provider, receiver *exchanging
	pids               map[string]int // of the sharing services, by state
	cluster            *pgcluster.Cluster
}

// writeTwoNodes describes the region.
func (x *exchange) writeTwoNodes(directory string) error {
	var codes, dataflows strings.Builder
	for i := range citizenships {
		fmt.Fprintf(&codes, "      - {id: %s, parent: _T, level: item}\n", citizenship(i))
	}
	files := map[string]string{}
	var first []string
	for flow, code := range flows() {
		fmt.Fprintf(&dataflows, "  - {agency: BENCH, id: %s, version: 1.0.0, structure: BENCH:MONTHS(1.0.0)}\n", flow)
		files["rules-"+flow+".yaml"] = "dataflow: BENCH:" + flow + "(1.0.0)\n" // none that made-up figures could break
		files[flow+".csv"] = string(monthsCSV(flow, 1, 1_000, 0))
		first = append(first, fmt.Sprintf("{file: %s.csv, dataflow: \"BENCH:%s(1.0.0)\"}", flow, flow))
		for _, way := range [][2]string{{state, receiverCode}, {receiverCode, state}} {
			files["agreement-"+flow+"-"+way[0]+".yaml"] = fmt.Sprintf(`id: %s-%s
version: 1
provider: %s
receiver: %s
dataflow: BENCH:%s(1.0.0)
indicators: [%s]
detail: {FREQ: M, CITIZENSHIP: item}
purposes: [statistics]
minimumFrequency: 3
validFrom: 2022-01-01
text: Everything, at once.
`, strings.ToLower(flow), way[0], way[0], way[1], flow, code)
		}
	}
	files["structures.yaml"] = `codelists:
  - {agency: BENCH, id: CL_FREQ, version: 1.0.0, codes: [{id: M}]}
  - {agency: BENCH, id: CL_REF_AREA, version: 1.0.0, codes: [{id: NZ}, {id: AU}]}
  - {agency: BENCH, id: CL_INDICATOR, version: 1.0.0, codes: [{id: 1A}, {id: 1B}, {id: "3"}]}
  - agency: BENCH
    id: CL_CITIZENSHIP
    version: 1.0.0
    levels: [total, item]
    codes:
      - {id: _T, level: total}
` + codes.String() + `dataStructures:
  - agency: BENCH
    id: MONTHS
    version: 1.0.0
    dimensions:
      - {id: FREQ, codelist: BENCH:CL_FREQ(1.0.0)}
      - {id: REF_AREA, codelist: BENCH:CL_REF_AREA(1.0.0)}
      - {id: INDICATOR, codelist: BENCH:CL_INDICATOR(1.0.0)}
      - {id: CITIZENSHIP, codelist: BENCH:CL_CITIZENSHIP(1.0.0)}
dataflows:
` + dataflows.String()
	files["region.yaml"] = fmt.Sprintf(`name: Bench
structures: [structures.yaml]
states:
  - {code: %s, name: Made-up, refAreas: [NZ], quality: ["rules-*.yaml"], submissions: [%s]}
  - {code: %s, name: Made-up too, refAreas: [AU], quality: ["rules-*.yaml"]}
agreements: ["agreement-*.yaml"]
`, state, strings.Join(first, ", "), receiverCode)
	if err := os.MkdirAll(directory, 0o755); err != nil { //nolint:gosec // nothing in it is secret
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(directory, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// startTwoNodes brings the region up as anybody would.
func (x *exchange) startTwoNodes(ctx context.Context) (*twoNodes, error) {
	region := filepath.Join(x.Directory, "region")
	if err := x.writeTwoNodes(region); err != nil {
		return nil, err
	}
	n := &twoNodes{program: x.Program, directory: filepath.Join(x.Directory, "sandbox"), pids: map[string]int{}}
	up := exec.CommandContext(ctx, n.program, "sandbox", "up", "--region", region, "--dir", n.directory, "--base-port", strconv.Itoa(x.BasePort)) //nolint:gosec // our own program
	if text, err := up.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("comity sandbox up: %w\n%s", err, text)
	}
	states, err := readRegion(n.directory)
	if err != nil {
		return nil, err
	}
	for _, s := range states {
		one := &exchanging{code: s.Code, gateway: s.Gateway, tokens: map[string]string{}}
		for role, file := range s.Tokens {
			text, err := os.ReadFile(filepath.Join(n.directory, file)) //nolint:gosec // the region names its own files
			if err != nil {
				return nil, err
			}
			one.tokens[role] = strings.TrimSpace(string(text))
		}
		n.pids[s.Code] = s.PIDs["sharing"]
		if s.Code == state {
			n.provider = one
		} else {
			n.receiver = one
		}
	}
	n.cluster, err = pgcluster.Find(filepath.Join(n.directory, "pg"))
	if err == nil && n.cluster == nil {
		err = errors.New("the database server is not there")
	}
	return n, err
}

// end ends the region, where there is one, and removes it.
func (n *twoNodes) end() error {
	if n == nil {
		return nil
	}
	down := exec.Command(n.program, "sandbox", "down", "--remove", "--dir", n.directory) //nolint:gosec,noctx // our own program, which ends what an interrupted run left
	if text, err := down.CombinedOutput(); err != nil {
		return fmt.Errorf("comity sandbox down: %w\n%s", err, text)
	}
	return nil
}

// monthsCSV returns figures of a dataflow as SDMX-CSV 2.0: each is the least and a little more, which is another in each edition.
func monthsCSV(flow string, months, least, edition int) []byte {
	text := &bytes.Buffer{}
	text.WriteString("STRUCTURE,STRUCTURE_ID,FREQ,REF_AREA,INDICATOR,CITIZENSHIP,TIME_PERIOD,OBS_VALUE\n")
	for m := range months {
		for i := range citizenships {
			fmt.Fprintf(text, "dataflow,BENCH:%s(1.0.0),M,NZ,%s,%s,%s,%d\n", flow, flows()[flow], citizenship(i), month(m), least+(i*7+m+edition)%400)
		}
	}
	return text.Bytes()
}

// month returns the name of a month, from 0.
func month(m int) string { return fmt.Sprintf("%04d-%02d", 1920+m/12, m%12+1) }

// submit submits figures at the provider, and returns when the answer was there.
func (n *twoNodes) submit(ctx context.Context, flow string, content []byte) (time.Time, error) {
	_, err := n.provider.call(ctx, http.MethodPost, "statistician", "/v1/submissions?dataflow=BENCH:"+flow+"(1.0.0)",
		http.Header{"Content-Type": {sdmxCSV}}, bytes.NewReader(content))
	return time.Now(), err
}

// readable waits until the receiver answers the value of the first citizenship in a month. It asks with such pauses: each time
// takes both nodes' processors away from what is measured.
func (n *twoNodes) readable(ctx context.Context, flow, month string, value int, pause time.Duration) (time.Time, error) {
	path := fmt.Sprintf("/sdmx/v2/data/dataflow/BENCH/%s/1.0.0/M.NZ.%s.%s?c[TIME_PERIOD]=%s", flow, flows()[flow], citizenship(0), month)
	err := awaitEvery(ctx, pause, "figures at the receiver", func() (bool, error) {
		text, err := n.receiver.call(ctx, http.MethodGet, "analyst", path, http.Header{"Accept": {"text/csv"}}, http.NoBody)
		if err != nil {
			return false, ignore(err, "404")
		}
		records, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
		if err != nil || len(records) < 2 {
			return false, err
		}
		at := slices.Index(records[0], "OBS_VALUE")
		got, err := strconv.ParseFloat(records[1][at], 64)
		return err == nil && int(got) == value, err
	})
	return time.Now(), err
}

// ignore returns nil for an error of the status.
func ignore(err error, status string) error {
	if strings.HasPrefix(err.Error(), status) {
		return nil
	}
	return err
}

// made returns when the newest release that went was made.
func (n *twoNodes) made(ctx context.Context) (time.Time, error) {
	sent, err := n.provider.deliveries(ctx, sharingpb.Direction_SENT)
	if err != nil {
		return time.Time{}, err
	}
	newest := time.Time{}
	for _, d := range sent {
		if created := d.GetCreateTime().AsTime(); created.After(newest) {
			newest = created
		}
	}
	return newest, nil
}

// freshness measures how long it takes from the answer to a submission until a partner reads its figures.
func (x *exchange) freshness(ctx context.Context, n *twoNodes) error {
	rounds := max(int(30*x.Scale), 4)
	for _, kind := range []struct {
		flow, what string
		least      int
	}{{freshFlow, "nothing needs suppression", 1_000}, {scarceFlow, "small figures are withheld", 0}} {
		var all, audits, after []time.Duration
		for round := range rounds {
			accepted, err := n.submit(ctx, kind.flow, monthsCSV(kind.flow, freshMonths, kind.least, round))
			if err != nil {
				return err
			}
			there, err := n.readable(ctx, kind.flow, month(freshMonths-1), kind.least+freshMonths-1+round, 10*time.Millisecond)
			if err != nil {
				return fmt.Errorf("%s, round %d: %w", kind.flow, round, err)
			}
			made, err := n.made(ctx)
			if err != nil {
				return err
			}
			all, audits, after = append(all, there.Sub(accepted)), append(audits, made.Sub(accepted)), append(after, there.Sub(made))
		}
		p99, rest := quantile(all, 0.99), quantile(after, 0.99)
		row := Row{
			What:   fmt.Sprintf("freshness: accepted at one state → readable at the other, 10,000 observations, %s: p99 of %d", kind.what, rounds),
			Figure: milliseconds(p99), Limit: "≤ 1 s", Ratio: fmt.Sprintf("%.2f", p99.Seconds()), Kept: p99 <= time.Second,
			Detail: fmt.Sprintf("p50 %s; until the tables were made p99 %s, p50 %s; from then on p99 %s, p50 %s", milliseconds(quantile(all, 0.5)),
				milliseconds(quantile(audits, 0.99)), milliseconds(quantile(audits, 0.5)), milliseconds(rest), milliseconds(quantile(after, 0.5))),
		}
		if kind.flow == scarceFlow {
			row.Limit, row.Ratio, row.Kept = "≤ audit + 1 s", fmt.Sprintf("%.2f", rest.Seconds()), rest <= time.Second
		}
		x.table.add(row)
	}
	return nil
}

// bulk measures how fast a large release goes, once it is made, until it is stored at the other state.
func (x *exchange) bulk(ctx context.Context, n *twoNodes) error {
	months := max(int(bulkMonths*x.Scale), 12)
	accepted, err := n.submit(ctx, bulkFlow, monthsCSV(bulkFlow, months, 1_000, 0))
	if err != nil {
		return err
	}
	there, err := n.readable(ctx, bulkFlow, month(months-1), 1_000+(months-1)%400, 100*time.Millisecond)
	if err != nil {
		return err
	}
	made, err := n.made(ctx)
	if err != nil {
		return err
	}
	figures := months * (citizenships + 1)
	speed := perSecond(figures, there.Sub(made))
	x.table.add(Row{
		What:   fmt.Sprintf("bulk: %d observations end to end between two nodes, stored durably at the far side", figures),
		Figure: fmt.Sprintf("%.0f obs/s", speed), Limit: "≥ 50000 obs/s", Ratio: fmt.Sprintf("%.2f", speed/50_000), Kept: speed >= 50_000,
		Detail: fmt.Sprintf("from when the tables are made and audited, which took %.1f s from the submission on", made.Sub(accepted).Seconds()),
	})
	return nil
}

// stuck measures the memory of a node while ten million observations wait for a partner that is there and does not read.
func (x *exchange) stuck(ctx context.Context, n *twoNodes) (err error) {
	const most = 256 // MiB
	if err := syscall.Kill(n.pids[receiverCode], syscall.SIGSTOP); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, syscall.Kill(n.pids[receiverCode], syscall.SIGCONT)) }()
	batches := max(int(10_000_000/4_096*x.Scale), 64) + 1
	name := "comity_" + state + "_sharing"
	conn, err := n.cluster.Admin(ctx, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	forgetPeak(n.pids[state])
	if err := pile(ctx, conn, batches); err != nil {
		return fmt.Errorf("putting batches out: %w", err)
	}
	err = await(ctx, "the log", func() (bool, error) {
		open := 0
		err := conn.QueryRow(ctx, `SELECT count(*) FROM log_entry WHERE index IS NULL`).Scan(&open)
		return open == 0, err
	})
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(5 * time.Second): // for what the stream can take
	}
	peak := peakOf(n.pids[state])
	x.table.add(Row{
		What:   fmt.Sprintf("memory of the sharing service with a stuck partner and %d observations waiting", batches*4_096),
		Figure: fmt.Sprintf("%.0f MiB", peak), Limit: fmt.Sprintf("≤ %d MiB", most), Ratio: fmt.Sprintf("%.2f", peak/most),
		Kept: peak > 0 && peak <= most,
	})
	return nil
}

// pile puts the largest batch that went out again and again, as if it were others.
func pile(ctx context.Context, conn *pgx.Conn, batches int) error {
	_, err := conn.Exec(ctx, `
		WITH model AS (
			SELECT o.stream, o.epoch, o.release, o.cells, o.envelope, l.content_sha256, s.sequence
			FROM outbox o
			JOIN outbound s USING (stream, epoch)
			JOIN log_entry l ON l.arrival = o.entry
			ORDER BY o.cells DESC
			LIMIT 1
		), entries AS (
			INSERT INTO log_entry (kind, subject, create_time, salt, content_sha256, leaf_hash)
			SELECT 3, concat_ws('/', stream, epoch, sequence + n), now(), sha256(n::text::bytea), content_sha256, sha256(n::text::bytea)
			FROM model, generate_series(1, $1) n
			RETURNING arrival, subject
		)
		INSERT INTO outbox (stream, epoch, sequence, release, cells, envelope, entry)
		SELECT m.stream, m.epoch, split_part(e.subject, '/', 3)::bigint, m.release, m.cells, m.envelope, e.arrival
		FROM model m, entries e`, batches)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, `
		UPDATE outbound s
		SET sequence = (SELECT max(sequence) FROM outbox o WHERE o.stream = s.stream AND o.epoch = s.epoch)`)
	return err
}

// forgetPeak lets the peak of a process's memory begin anew, as proc_pid_clear_refs(5) says.
func forgetPeak(pid int) {
	_ = os.WriteFile(filepath.Join("/proc", strconv.Itoa(pid), "clear_refs"), []byte("5"), 0o200)
}

// peakOf returns the most memory that a process had resident since then, in MiB; 0 where the system does not tell.
func peakOf(pid int) float64 {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kilobytes, _ := strconv.ParseFloat(fields[0], 64)
	return kilobytes / 1024
}
