package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/services/internal/trial"
)

const (
	maxResident    = 512 // MiB, of a process
	maxConnections = 12  // of a service to its database; its pool has 8
	slack          = 32  // MiB and goroutines that may be more without being a leak
)

// sample is what a node takes of the machine at a moment when nobody works.
type sample struct {
	resident    map[string]float64 // MiB, by service
	goroutines  map[string]float64
	files       map[string]float64 // that are open
	connections map[string]int     // by role
	disk        int64              // bytes of the tables of the statistics
	submissions int64
}

// String gives the largest of each.
func (s sample) String() string {
	most := func(of map[string]float64) (largest float64) {
		for _, n := range of {
			largest = max(largest, n)
		}
		return largest
	}
	connections := 0
	for _, n := range s.connections {
		connections += n
	}
	return fmt.Sprintf("≤ %.0f MiB, %.0f goroutines, %.0f files a process; %d connections; %.1f MiB on disk",
		most(s.resident), most(s.goroutines), most(s.files), connections, float64(s.disk)/(1<<20))
}

// sample looks at the machine, and into the database for what must never be there.
func (s *soak) sample(ctx context.Context) (sample, error) {
	is := sample{
		resident: map[string]float64{}, goroutines: map[string]float64{}, files: map[string]float64{},
		connections: map[string]int{}, submissions: s.submissions.Load(),
	}
	for service, pid := range s.node.pids {
		text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
		if err != nil {
			return is, fmt.Errorf("%s has ended by itself: %w", service, err)
		}
		_, rest, _ := strings.Cut(string(text), "VmRSS:")
		if fields := strings.Fields(rest); len(fields) > 0 {
			kilobytes, _ := strconv.ParseFloat(fields[0], 64)
			is.resident[service] = kilobytes / 1024
		}
	}
	for service, url := range s.node.metrics {
		found, err := metricsOf(ctx, url)
		if err != nil {
			return is, fmt.Errorf("the metrics of %s: %w", service, err)
		}
		is.goroutines[service], is.files[service] = found["go_goroutines"], found["process_open_fds"]
	}
	conn, err := s.node.cluster.Admin(ctx, "comity_"+state+"_statistics")
	if err != nil {
		return is, err
	}
	defer func() { _ = conn.Close(ctx) }()
	if err := awaitQuiet(ctx, conn); err != nil {
		return is, err
	}
	if err := trial.CheckInvariants(ctx, conn); err != nil {
		return is, err
	}
	rows, err := conn.Query(ctx, `
		SELECT usename::text, count(*)::int
		FROM pg_stat_activity
		WHERE usename LIKE 'comity%'
		GROUP BY usename`)
	if err != nil {
		return is, err
	}
	var role string
	var n int
	if _, err := pgx.ForEachRow(rows, []any{&role, &n}, func() error { is.connections[role] = n; return nil }); err != nil {
		return is, err
	}
	is.disk, err = s.node.stored(ctx)
	return is, err
}

// awaitQuiet returns when no transaction is open in the database: one that a client left behind ends by itself.
func awaitQuiet(ctx context.Context, conn *pgx.Conn) error {
	for deadline := time.Now().Add(outage); ; time.Sleep(20 * time.Millisecond) {
		var open int
		err := conn.QueryRow(ctx, `
			SELECT count(*)
			FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND xact_start IS NOT NULL`).Scan(&open)
		if err != nil || open == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d transactions are still open %v after everybody stopped", open, outage)
		}
	}
}

// metricsOf returns the metrics without labels.
func metricsOf(ctx context.Context, url string) (map[string]float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	found := map[string]float64{}
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if name, value, ok := strings.Cut(lines.Text(), " "); ok && name != "#" {
			if number, err := strconv.ParseFloat(value, 64); err == nil {
				found[name] = number
			}
		}
	}
	if found["go_goroutines"] == 0 {
		return nil, errors.Join(lines.Err(), fmt.Errorf("%s tells no number of goroutines", url))
	}
	return found, lines.Err()
}

// health is what a node took of the machine from beginning to end.
type health struct {
	moments []time.Duration
	samples []sample
}

func (h *health) add(after time.Duration, s sample) {
	h.moments, h.samples = append(h.moments, after), append(h.samples, s)
}

// String says what it is at the end.
func (h *health) String() string { return h.samples[len(h.samples)-1].String() }

// quarters returns the samples of the third and the fourth quarter, in which no process of the node is killed.
func (h *health) quarters() (third, fourth []sample) {
	whole := h.moments[len(h.moments)-1]
	for i, after := range h.moments {
		switch {
		case after >= whole*3/4:
			fourth = append(fourth, h.samples[i])
		case after >= whole/2:
			third = append(third, h.samples[i])
		}
	}
	return third, fourth
}

// verdict says what grew without bound: each process is held against its bound of memory, each role against its connections, and
// the last quarter of the time against the one before.
func (h *health) verdict() error {
	third, fourth := h.quarters()
	if len(third) < 2 || len(fourth) < 2 {
		return errors.New("the node was looked at too seldom to say whether anything leaks")
	}
	var found error
	fault := func(format string, arguments ...any) { found = errors.Join(found, fmt.Errorf(format, arguments...)) }
	for _, s := range h.samples {
		for service, n := range s.resident {
			if n > maxResident {
				fault("%s has %.0f MiB resident, more than %d", service, n, maxResident)
			}
		}
		for role, n := range s.connections {
			if n > maxConnections {
				fault("%s has %d connections, more than %d", role, n, maxConnections)
			}
		}
	}
	for what, of := range map[string]func(sample) map[string]float64{
		"MiB resident": func(s sample) map[string]float64 { return s.resident },
		"goroutines":   func(s sample) map[string]float64 { return s.goroutines },
		"open files":   func(s sample) map[string]float64 { return s.files },
	} {
		for service := range of(fourth[0]) {
			before, after := mean(third, of, service), mean(fourth, of, service)
			if after > before*1.25+slack {
				fault("%s has %.0f %s in the last quarter, and had %.0f in the one before", service, after, what, before)
			}
		}
	}
	if before, after := growth(third), growth(fourth); after > 2*before+1024 {
		fault("a submission takes %.0f bytes on disk in the last quarter, and took %.0f in the one before", after, before)
	}
	return found
}

func mean(samples []sample, of func(sample) map[string]float64, service string) float64 {
	total := 0.0
	for _, s := range samples {
		total += of(s)[service]
	}
	return total / float64(len(samples))
}

// growth returns how many bytes on disk a submission takes.
func growth(samples []sample) float64 {
	first, last := samples[0], samples[len(samples)-1]
	return float64(last.disk-first.disk) / float64(max(last.submissions-first.submissions, 1))
}
