package postgres_test

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/period"
	"github.com/comity-federation/comity/services/internal/database"
	"github.com/comity-federation/comity/services/internal/pgcluster"
	"github.com/comity-federation/comity/services/statistics"
	"github.com/comity-federation/comity/services/statistics/postgres"
)

// The dimensions of the figures that are submitted, and how many codes each has in use.
//
//nolint:gochecknoglobals // a table
var dimensionSizes = []struct {
	id    string
	codes int
}{
	{"FREQ", 1},
	{"REF_AREA", 1},
	{"INDICATOR", 10},
	{"SECTION", 1000},
	{"BORDER_TYPE", 1},
	{"CITIZENSHIP", 200},
	{"SEX", 1},
	{"AGE", 1},
	{"DETAIL", 1},
}

func codeText(dimension, code int) string {
	if dimension == 0 {
		return "M"
	}
	return fmt.Sprintf("%s%03d", dimensionSizes[dimension].id[:2], code)
}

// world is a service on a durable database of its own.
type benchWorld struct {
	pool    *pgxpool.Pool
	service *statistics.Service
}

func newWorld(b *testing.B, natives ...string) *benchWorld {
	b.Helper()
	ctx := b.Context()
	home := b.TempDir()
	cluster, err := pgcluster.Start(ctx, pgcluster.Options{Directory: filepath.Join(home, "pg"), Durable: true, Attached: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = cluster.Remove() })
	pool, err := database.Open(ctx, cluster.URL(pgcluster.Superuser, cluster.Password, "postgres"), postgres.Migrations)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(pool.Close)
	w := &benchWorld{pool: pool, service: statistics.NewService(postgres.New(pool), "us", time.Now, func() string { return uuid.Must(uuid.NewV7()).String() })}
	if _, err := w.service.CreateStructures(ctx, structures(natives)); err != nil {
		b.Fatal(err)
	}
	return w
}

// structures are a harmonised dataflow B:BORDER, dataflows B:F0 … B:F3 beside it, and native dataflows that it is derived
// from, which call sections and citizenships otherwise.
func structures(natives []string) *statistics.Structures {
	ref := func(id string) statistics.Ref { return statistics.Ref{Agency: "B", ID: id, Version: "1.0.0"} }
	all := &statistics.Structures{}
	structure := statistics.DataStructure{Ref: ref("S")}
	native := statistics.DataStructure{Ref: ref("N")}
	var components []statistics.ComponentMap
	for d, size := range dimensionSizes {
		list := statistics.Codelist{Ref: ref("CL_" + size.id)}
		mapping := statistics.RepresentationMap{Ref: ref("MAP_" + size.id)}
		for code := range size.codes {
			list.Codes = append(list.Codes, statistics.Code{ID: codeText(d, code)})
			mapping.Mappings = append(mapping.Mappings, statistics.Mapping{Sources: []string{"Label " + codeText(d, code)}, Targets: []string{codeText(d, code)}})
		}
		all.Codelists = append(all.Codelists, list)
		structure.Dimensions = append(structure.Dimensions, statistics.Component{ID: size.id, Codelist: list.Ref})
		component := statistics.Component{ID: size.id}
		if size.codes > 1 {
			all.RepresentationMaps = append(all.RepresentationMaps, mapping)
			components = append(components, statistics.ComponentMap{Sources: []string{size.id}, Targets: []string{size.id}, RepresentationMap: mapping.Ref})
		}
		native.Dimensions = append(native.Dimensions, component)
	}
	structure.Attributes = []statistics.Component{{ID: "OBS_STATUS"}, {ID: "UNIT_MEASURE"}}
	native.Attributes = structure.Attributes
	all.DataStructures = append(all.DataStructures, structure, native)
	for _, id := range []string{"BORDER", "F0", "F1", "F2", "F3"} {
		all.Dataflows = append(all.Dataflows, statistics.Dataflow{Ref: ref(id), Structure: structure.Ref})
	}
	for _, id := range natives {
		all.Dataflows = append(all.Dataflows, statistics.Dataflow{Ref: ref(id), Structure: native.Ref})
		all.StructureMaps = append(all.StructureMaps, statistics.StructureMap{
			Ref: ref("FROM_" + id), Source: ref(id), Target: ref("BORDER"), Components: components,
		})
	}
	return all
}

// figures are the observations of so many series in so many months from the first on. Only every nth is there.
type figures struct {
	series, first, months, every int
	prefix                       string // of labels
	salt                         uint64 // other figures for another one
}

// rows gives the texts of the dimensions and of the period, and the figure.
func (f figures) rows(yield func(texts []string, value float64) bool) {
	texts := make([]string, len(dimensionSizes)+1)
	months := make([]string, f.months)
	for m := range months {
		p, _ := period.Parse("2020-01")
		p.Index += int32(f.first + m)
		months[m] = p.String()
	}
	labels := make([][]string, len(dimensionSizes))
	for d, size := range dimensionSizes {
		for code := range size.codes {
			label := codeText(d, code)
			if f.prefix != "" && size.codes > 1 {
				label = f.prefix + label
			}
			labels[d] = append(labels[d], label)
		}
	}
	n := 0
	for s := range f.series {
		indicator, citizenship, section := s%10, s/10%200, s/2000
		for d := range dimensionSizes {
			texts[d] = labels[d][0]
		}
		texts[2], texts[3], texts[5] = labels[2][indicator], labels[3][section], labels[5][citizenship]
		for m, month := range months {
			if n++; f.every > 1 && n%f.every != 0 {
				continue
			}
			hash := (uint64(s)*1_000_003 + uint64(f.first+m) + f.salt*7919) * 0x9e3779b97f4a7c15
			texts[len(texts)-1] = month
			if !yield(texts, float64(hash>>40%(1<<(hash>>60+1)))) {
				return
			}
		}
	}
}

// blocks makes blocks as the gateway sends them.
func (f figures) blocks() (blocks []*block.Block, rows int) {
	coded := []string{}
	for _, size := range dimensionSizes {
		coded = append(coded, size.id)
	}
	coded = append(coded, block.TimePeriod, block.ObsStatus, "UNIT_MEASURE")
	builder := block.NewBuilder(coded, []string{block.ObsValue, block.Line})
	f.rows(func(texts []string, value float64) bool {
		rows++
		builder.Append(append(texts[:len(texts):len(texts)], "A", "PERSONS"), []float64{value, float64(rows + 1)})
		if builder.Rows() == 4096 {
			blocks = append(blocks, builder.Block())
			builder.Reset()
		}
		return true
	})
	if builder.Rows() > 0 {
		blocks = append(blocks, builder.Block())
	}
	return blocks, rows
}

func each(blocks []*block.Block) iter.Seq2[*block.Block, error] {
	return func(yield func(*block.Block, error) bool) {
		for _, b := range blocks {
			if !yield(b, nil) {
				return
			}
		}
	}
}

// submit submits blocks to a dataflow and returns how long it took.
func (w *benchWorld) submit(b *testing.B, dataflow string, blocks []*block.Block) (time.Duration, *statistics.Submission) {
	b.Helper()
	debug.FreeOSMemory()
	peak()
	begin := time.Now()
	submission, err := w.service.Submit(b.Context(), statistics.Header{Dataflow: statistics.Ref{Agency: "B", ID: dataflow, Version: "1.0.0"}}, statistics.Content{Blocks: each(blocks)})
	took := time.Since(begin)
	b.ReportMetric(peak(), "MiB")
	if err != nil {
		b.Fatal(err)
	}
	if submission.State != statistics.Accepted {
		b.Fatalf("rejected: %+v", submission.Findings)
	}
	return took, submission
}

// copyFlat copies the same rows as text into a table with an index, as psql's \copy does, and returns how long it took.
func (w *benchWorld) copyFlat(b *testing.B, f figures) time.Duration {
	b.Helper()
	ctx := b.Context()
	columns := []string{}
	for _, size := range dimensionSizes {
		columns = append(columns, strings.ToLower(size.id))
	}
	key := strings.Join(append(columns, "time_period"), ", ")
	for _, statement := range []string{
		`DROP TABLE IF EXISTS flat`,
		`CREATE TABLE flat (` + strings.Join(columns, " text, ") + ` text, time_period text, obs_value float8, obs_status text, unit_measure text, PRIMARY KEY (` + key + `))`,
		`CHECKPOINT`,
	} {
		if _, err := w.pool.Exec(ctx, statement, pgx.QueryExecModeSimpleProtocol); err != nil {
			b.Fatal(err)
		}
	}
	var text bytes.Buffer
	writer := csv.NewWriter(&text)
	f.rows(func(texts []string, value float64) bool {
		_ = writer.Write(append(texts[:len(texts):len(texts)], strconv.FormatFloat(value, 'f', -1, 64), "A", "PERSONS")) // into memory
		return true
	})
	writer.Flush()
	conn, err := w.pool.Acquire(ctx)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Release()
	begin := time.Now()
	if _, err := conn.Conn().PgConn().CopyFrom(ctx, &text, `COPY flat FROM STDIN (FORMAT csv)`); err != nil {
		b.Fatal(err)
	}
	return time.Since(begin)
}

// checkpoint gives each measurement the same start.
func (w *benchWorld) checkpoint(b *testing.B) {
	b.Helper()
	if _, err := w.pool.Exec(b.Context(), `CHECKPOINT`, pgx.QueryExecModeSimpleProtocol); err != nil {
		b.Fatal(err)
	}
}

func report(b *testing.B, rows int, took, copied time.Duration) {
	b.Helper()
	b.ReportMetric(float64(rows)/took.Seconds(), "obs/s")
	if copied > 0 {
		b.ReportMetric(took.Seconds()/copied.Seconds(), "×COPY-time")
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkSubmit measures submissions to a durable database, each against COPY of the same rows into an indexed table.
func BenchmarkSubmit(b *testing.B) {
	b.Run("new", func(b *testing.B) {
		w := newWorld(b)
		f := figures{series: 100_000, months: 10}
		copied := w.copyFlat(b, f)
		blocks, rows := f.blocks()
		w.checkpoint(b)
		took, _ := w.submit(b, "F0", blocks)
		report(b, rows, took, copied)
	})
	b.Run("beside", func(b *testing.B) {
		w := newWorld(b)
		f := figures{series: 100_000, months: 10}
		copied := w.copyFlat(b, f)
		blocks, _ := f.blocks()
		w.submit(b, "F0", blocks)
		f.first = 12
		blocks, rows := f.blocks()
		w.checkpoint(b)
		took, _ := w.submit(b, "F0", blocks)
		report(b, rows, took, copied)
	})
	b.Run("derived", func(b *testing.B) {
		w := newWorld(b, "NATIVE")
		f := figures{series: 100_000, months: 10, prefix: "Label "}
		copied := w.copyFlat(b, f)
		blocks, rows := f.blocks()
		w.checkpoint(b)
		took, submission := w.submit(b, "NATIVE", blocks)
		if made := submission.Derivations[0].Observations; made != rows {
			b.Fatalf("%d observations derived of %d", made, rows)
		}
		report(b, rows, took, copied)
	})
	b.Run("at once", func(b *testing.B) {
		w := newWorld(b)
		flows := []string{"F0", "F1", "F2", "F3"}
		f := figures{series: 50_000, months: 12}
		blocks, _ := f.blocks()
		for _, flow := range flows {
			w.submit(b, flow, blocks)
		}
		var took [2]time.Duration
		for n, together := range []bool{false, true} {
			f.first += 12
			blocks, rows := f.blocks()
			w.checkpoint(b)
			ended := make(chan error, len(flows))
			begin := time.Now()
			for _, flow := range flows {
				one := func() {
					header := statistics.Header{Dataflow: statistics.Ref{Agency: "B", ID: flow, Version: "1.0.0"}}
					_, err := w.service.Submit(b.Context(), header, statistics.Content{Blocks: each(blocks)})
					ended <- err
				}
				if together {
					go one()
				} else {
					one()
				}
			}
			for range flows {
				if err := <-ended; err != nil {
					b.Fatal(err)
				}
			}
			took[n] = time.Since(begin)
			report(b, len(flows)*rows, took[n], 0)
		}
		b.ReportMetric(took[1].Seconds()/took[0].Seconds(), "×one-by-one")
	})
	for _, size := range []struct {
		name   string
		series int
		months int
	}{{"1M", 100_000, 10}, {"10M", 300_000, 34}} {
		b.Run("at "+size.name, func(b *testing.B) {
			if size.name == "10M" && os.Getenv("COMITY_LONG") == "" {
				b.Skip("it takes minutes: set COMITY_LONG=1")
			}
			w := newWorld(b)
			w.load(b, figures{series: size.series, months: size.months})
			b.Run("revision", func(b *testing.B) {
				blocks, rows := figures{series: size.series, months: size.months, every: 10, salt: 1}.blocks()
				w.checkpoint(b)
				took, _ := w.submit(b, "F0", blocks)
				report(b, rows, took, 0)
				w.reportSize(b, size.series*size.months)
			})
			b.Run("month", func(b *testing.B) {
				for n := range 5 {
					blocks, rows := figures{series: 100_000, first: size.months + n, months: 1}.blocks()
					w.checkpoint(b)
					took, _ := w.submit(b, "F0", blocks)
					b.Logf("month %d: %.0f obs/s", n, float64(rows)/took.Seconds())
					report(b, rows, took, 0)
				}
				w.reportSize(b, size.series*size.months+5*100_000)
			})
		})
	}
}

// load submits figures in uploads of a year.
func (w *benchWorld) load(b *testing.B, f figures) {
	b.Helper()
	for first := 0; first < f.months; first += 12 {
		year := f
		year.first, year.months = first, min(12, f.months-first)
		blocks, _ := year.blocks()
		w.submit(b, "F0", blocks)
	}
	b.Logf("%.1f B/obs before", w.size(b)/float64(f.series*f.months))
}

func (w *benchWorld) reportSize(b *testing.B, observations int) {
	b.Helper()
	b.ReportMetric(w.size(b)/float64(observations), "B/obs")
}

// size returns how many bytes the figures take on the disk, with their indexes.
func (w *benchWorld) size(b *testing.B) (size float64) {
	b.Helper()
	err := w.pool.QueryRow(b.Context(), `SELECT sum(pg_total_relation_size(c)) FROM unnest(ARRAY['cur', 'hist', 'series']::regclass[]) c`).Scan(&size)
	if err != nil {
		b.Fatal(err)
	}
	return size
}

// peak returns the most memory that was resident since the last call, in MiB; 0 where the system does not tell.
func peak() float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	var kib float64
	if _, after, ok := strings.Cut(string(status), "VmHWM:"); ok {
		_, _ = fmt.Sscan(after, &kib)
	}
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0o600) // else the peak is that of the whole run
	return kib / 1024
}
