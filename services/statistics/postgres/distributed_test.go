package postgres_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"maps"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/services/internal/postgrestest"
	"github.com/comity-federation/comity/services/statistics"
	"github.com/comity-federation/comity/services/statistics/postgres"
)

// distribution returns which tables the script distributes.
func distribution(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("../../../deploy/citus/distribute.sql")
	if err != nil {
		t.Fatal(err)
	}
	distributed := map[string]bool{}
	for _, match := range regexp.MustCompile(`create_distributed_table\('(\w+)', 'part'`).FindAllStringSubmatch(string(text), -1) {
		distributed[match[1]] = true
	}
	if len(distributed) == 0 {
		t.Fatal("the script distributes nothing")
	}
	return distributed
}

// TestFaults shows that the check of statements can fail.
func TestFaults(t *testing.T) {
	t.Parallel()
	tables, others := map[string]bool{"cur": true, "series": true}, map[string]bool{"part": true, "revision": true}
	for sql, wrong := range map[string]bool{
		`SELECT key FROM cur WHERE part = $1 AND rev > $2`:                                              false,
		`SELECT key FROM cur WHERE rev > $1`:                                                            true,
		`SELECT c.key FROM cur AS c WHERE $1 = c.part`:                                                  false,
		`SELECT c.key FROM cur c JOIN series s ON s.key = c.key WHERE c.part = $1`:                      true,
		`SELECT c.key FROM cur c JOIN series s ON s.part = c.part AND s.key = c.key WHERE c.part=$1`:    false,
		`SELECT c.key FROM cur c JOIN series s USING (part, key)`:                                       false,
		`SELECT c.key FROM cur c, series s WHERE c.part = $1`:                                           true,
		`SELECT key FROM cur WHERE part = $1 UNION ALL SELECT key FROM cur`:                             true,
		`SELECT 1 FROM part p WHERE EXISTS (SELECT FROM revision r WHERE r.part = p.id)`:                false,
		`SELECT 1 FROM part p WHERE EXISTS (SELECT FROM cur c WHERE c.part = p.id)`:                     true,
		`SELECT 1 FROM series s WHERE s.part = $1 AND EXISTS (SELECT FROM cur c WHERE c.part = s.part)`: false,
		`SELECT 1 FROM series s WHERE s.part = $1 AND EXISTS (SELECT FROM cur c WHERE c.key = s.key)`:   true,
		`WITH w AS (SELECT key FROM series) SELECT * FROM w`:                                            true,
		`SELECT key FROM (SELECT * FROM cur WHERE part = 7) c`:                                          false,
		`INSERT INTO series (part, rev) VALUES ($1, $2) ON CONFLICT (part, rev) DO NOTHING`:             false,
		`INSERT INTO series (part, rev) VALUES ($1, $2) ON CONFLICT (rev) DO NOTHING`:                   true,
		`INSERT INTO series (rev) VALUES ($1)`:                                                          true,
		`INSERT INTO cur (part, key) SELECT part, key FROM staged`:                                      false,
		`UPDATE cur SET rev = 1 WHERE part = $1`:                                                        false,
		`UPDATE cur SET rev = 1 WHERE key = $1`:                                                         true,
		`UPDATE cur SET part = 2 WHERE part = $1`:                                                       true,
		`DELETE FROM cur WHERE rev < 5 -- of part = 1`:                                                  true,
		`DELETE FROM cur USING staged s WHERE cur.part = $1 AND s.key = cur.key`:                        false,
		`COPY cur (part, key) FROM STDIN (FORMAT binary)`:                                               false,
		`copy "cur" ( "key" ) from stdin binary;`:                                                       true,
		`SELECT 'FROM cur'`:                                               false,
		`SELECT a IS DISTINCT FROM cur FROM staged`:                       false,
		`SELECT code_count FROM dataflow WHERE id = $1 FOR NO KEY UPDATE`: false,
	} {
		if found := faults(sql, tables, others); (len(found) > 0) != wrong {
			t.Errorf("%s\nis wrong: %t, and found is %q", sql, wrong, found)
		}
	}
}

// TestSchemaCanBeDistributed holds the schema against what a distributed database can do: what is unique is so within a part, and
// no table refers to one that is distributed.
func TestSchemaCanBeDistributed(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t, postgres.Migrations)
	distributed := distribution(t)
	strings := func(sql string) []string {
		t.Helper()
		rows, err := pool.Query(t.Context(), sql)
		if err != nil {
			t.Fatal(err)
		}
		found, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	withPart := strings(`
		SELECT c.relname::text
		FROM pg_class c
		JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'part' AND NOT a.attisdropped
		WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
		ORDER BY 1`)
	// The revisions of parts, their terms and the log of removals are few, and asked for before any part is known.
	withPart = slices.DeleteFunc(withPart, func(table string) bool { return slices.Contains([]string{"revision", "terms", "removal"}, table) })
	if want := slices.Sorted(maps.Keys(distributed)); !slices.Equal(withPart, want) {
		t.Errorf("tables with a column part are %q, those that are distributed %q", withPart, want)
	}
	if keys := strings(`
		SELECT format('%s: %s', c.relname, i.indexrelid::regclass)
		FROM pg_index i
		JOIN pg_class c ON c.oid = i.indrelid
		JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'part'
		WHERE c.relnamespace = 'public'::regnamespace AND (i.indisunique OR i.indisexclusion) AND NOT a.attnum = ANY(i.indkey)`); len(keys) > 0 {
		t.Errorf("what is unique over all parts: %q", keys)
	}
	references := strings(`
		SELECT format('%s %s', conrelid::regclass, confrelid::regclass)
		FROM pg_constraint
		WHERE contype = 'f' AND connamespace = 'public'::regnamespace`)
	for _, reference := range references {
		var from, to string
		if _, err := fmt.Sscan(reference, &from, &to); err != nil {
			t.Fatal(err)
		}
		if distributed[from] || distributed[to] {
			t.Errorf("%s refers to %s, which lies elsewhere", from, to)
		}
	}
	if triggers := strings(`
		SELECT c.relname::text
		FROM pg_trigger g
		JOIN pg_class c ON c.oid = g.tgrelid
		JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'part'
		WHERE NOT g.tgisinternal`); len(triggers) > 0 {
		t.Errorf("distributed tables have no triggers, and these do: %q", triggers)
	}
}

// TestStatementsNameTheirPart records every statement that goes to the server while the service does all that it can with
// figures, and holds each against the distribution.
func TestStatementsNameTheirPart(t *testing.T) {
	t.Parallel()
	distributed := distribution(t)
	statements, others := recordStatements(t, distributed)
	seen := map[string]bool{}
	sweeps := regexp.MustCompile(`^SELECT DISTINCT part\s+FROM event_counter\s+WHERE open$`) // from time to time, for all parts
	for _, sql := range statements {
		if sweeps.MatchString(sql) {
			continue
		}
		for _, fault := range faults(sql, distributed, others) {
			t.Errorf("%s:\n%s", fault, sql)
		}
		for _, s := range scopesOf(sql) {
			for _, u := range s.uses() {
				seen[u.table] = true
			}
		}
	}
	for table := range distributed {
		if !seen[table] {
			t.Errorf("of %d statements none is about %s: what is done here is not all that can be done", len(statements), table)
		}
	}
}

// recorder keeps the statements that go over connections.
type recorder struct {
	mu         sync.Mutex
	statements map[string]bool
}

func (r *recorder) add(sql string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.statements[strings.TrimSpace(sql)] = true
}

// recordedConn reads along what the client sends, as the protocol has it (PostgreSQL, "Message Formats"): Parse and Query carry
// statements.
type recordedConn struct {
	net.Conn
	recorder *recorder
	started  bool // after the startup message, which has no type
	rest     []byte
}

func (c *recordedConn) Write(sent []byte) (int, error) {
	c.rest = append(c.rest, sent...)
	for {
		head := 5
		if !c.started {
			head = 4
		}
		if len(c.rest) < head {
			break
		}
		length := head - 4 + int(binary.BigEndian.Uint32(c.rest[head-4:]))
		if len(c.rest) < length {
			break
		}
		message := c.rest[:length]
		if c.started {
			c.take(message[0], message[5:])
		}
		c.started = true
		c.rest = c.rest[length:]
	}
	return c.Conn.Write(sent)
}

func (c *recordedConn) take(kind byte, body []byte) {
	switch kind {
	case 'P': // its name, then the statement
		_, body, _ = bytes.Cut(body, []byte{0})
	case 'Q':
	default:
		return
	}
	sql, _, _ := bytes.Cut(body, []byte{0})
	c.recorder.add(string(sql))
}

// recordStatements returns all that a service says to its server while figures come, change, go and are asked for, and the
// tables of the schema that are not distributed.
func recordStatements(t *testing.T, distributed map[string]bool) (statements []string, others map[string]bool) {
	t.Helper()
	r := &recorder{statements: map[string]bool{}}
	config, err := pgxpool.ParseConfig(postgrestest.URL(t, postgres.Migrations))
	if err != nil {
		t.Fatal(err)
	}
	config.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		return &recordedConn{Conn: conn, recorder: r}, err
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	useEverything(t, statistics.NewService(postgres.New(pool), "xx", time.Now, func() string { return uuid.Must(uuid.NewV7()).String() }))
	statements = slices.Sorted(maps.Keys(r.statements))
	rows, err := pool.Query(t.Context(), `SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace`)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	others = map[string]bool{}
	for _, table := range tables {
		others[table] = !distributed[table]
	}
	return statements, others
}

// useEverything does with a service all that concerns figures.
func useEverything(t *testing.T, service *statistics.Service) {
	t.Helper()
	ctx := t.Context()
	ref := func(id string) statistics.Ref { return statistics.Ref{Agency: "X", ID: id, Version: "1.0.0"} }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dimensions := []statistics.Component{{ID: "FREQ"}, {ID: "PLACE"}}
	attributes := []statistics.Component{{ID: block.ObsStatus}, {ID: block.ConfStatus}, {ID: statistics.EmbargoTime}}
	_, err := service.CreateStructures(ctx, &statistics.Structures{
		DataStructures: []statistics.DataStructure{{Ref: ref("S"), Dimensions: dimensions, Attributes: attributes}},
		Dataflows: []statistics.Dataflow{
			{Ref: ref("NATIVE"), Structure: ref("S")}, {Ref: ref("SHARED"), Structure: ref("S")}, {Ref: ref("EVENTS"), Structure: ref("S")},
		},
		StructureMaps: []statistics.StructureMap{{Ref: ref("MAP"), Source: ref("NATIVE"), Target: ref("SHARED")}},
	})
	must(err)
	figures := func(places, months int, more float64) iter.Seq2[*block.Block, error] {
		b := block.NewBuilder([]string{"FREQ", "PLACE", block.TimePeriod, block.ConfStatus, statistics.EmbargoTime}, []string{block.ObsValue})
		for place := range places {
			for month := range months {
				conf, embargo := "F", ""
				if place == 0 {
					conf, embargo = "C", "2031-01-01"
				}
				b.Append([]string{"M", fmt.Sprint("p", place), fmt.Sprintf("2023-%02d", month+1), conf, embargo}, []float64{float64(10*place+month) + more})
			}
		}
		return func(yield func(*block.Block, error) bool) { yield(b.Block(), nil) }
	}
	submit := func(key, provider string, action statistics.Action, scope filter.Filter, blocks iter.Seq2[*block.Block, error]) {
		t.Helper()
		header := statistics.Header{Dataflow: ref("NATIVE"), IdempotencyKey: key, Provider: provider, Action: action, Scope: scope}
		if provider != "" {
			header.Release = "r"
		}
		_, err := service.Submit(ctx, header, statistics.Content{Blocks: blocks})
		must(err)
	}
	// Enough that tables are analysed, revisions come in layers, and layers are folded.
	submit("a", "", statistics.Merge, filter.True(), figures(600, 3, 0))
	submit("a", "", statistics.Merge, filter.True(), figures(600, 3, 0))
	for i := range 12 {
		submit(fmt.Sprint("b", i), "", statistics.Merge, filter.True(), figures(20, 4, float64(i)))
	}
	submit("c", "yy", statistics.Replace, filter.True(), figures(600, 2, 0))
	submit("d", "yy", statistics.Replace, filter.True(), figures(500, 2, 1))
	submit("e", "yy", statistics.Replace, filter.Eq("PLACE", "p3"), figures(0, 0, 0))

	drop := func(*statistics.Page) error { return nil }
	for _, sight := range []statistics.Sight{statistics.Everything(), {ConfStatus: "F"}} {
		for _, q := range []statistics.Query{
			{},
			{Providers: []string{"xx", "yy"}},
			{Selections: []statistics.Selection{{Dimension: "FREQ", Codes: []string{"M"}}, {Dimension: "PLACE", Codes: []string{"p1"}}}},
			{Filter: filter.Eq("PLACE", "p1"), Start: "2023-02", End: "2023-03"},
			{Filter: filter.Or(filter.Eq("PLACE", "p1"), filter.Eq("PLACE", "p2"))},
			{At: statistics.Moment{Revision: 2}},
			{At: statistics.Moment{Time: time.Now()}},
			{Since: statistics.Moment{Revision: 2}},
			{Since: statistics.Moment{Revision: 2}, Filter: filter.Eq("PLACE", "p1")},
			{Since: statistics.Moment{Revision: 2}, At: statistics.Moment{Revision: 4}},
			{First: 1, Last: 1},
			{Offset: 10, Limit: 10},
			{OrderBy: []string{"OBS_VALUE desc"}, Limit: 3},
			{Selections: []statistics.Selection{{Dimension: "FREQ", Codes: []string{"A"}}}},
		} {
			q.Dataflow, q.Sight = ref("NATIVE"), sight
			must(service.Query(ctx, q, drop))
		}
		for _, f := range []filter.Filter{filter.True(), filter.Eq("PLACE", "p1")} {
			_, err := service.Availability(ctx, statistics.AvailabilityQuery{Dataflow: ref("NATIVE"), Filter: f, Dimensions: []string{"PLACE"}, Sight: sight})
			must(err)
			_, err = service.Availability(ctx, statistics.AvailabilityQuery{Dataflow: ref("NATIVE"), Filter: f, Start: "2023-02", Sight: sight})
			must(err)
			_, err = service.Compare(ctx, statistics.Comparison{Dataflow: ref("NATIVE"), From: 2, To: 6, Filter: f, Sight: sight}, func(*block.Block) error { return nil })
			must(err)
		}
	}

	events := func(places int) iter.Seq2[*block.Block, error] {
		b := block.NewBuilder([]string{"FREQ", "PLACE", block.TimePeriod}, nil)
		for place := range places {
			b.Append([]string{"M", fmt.Sprint("p", place), "2023-01"}, nil)
		}
		return func(yield func(*block.Block, error) bool) { yield(b.Block(), nil) }
	}
	_, err = service.Submit(ctx, statistics.Header{Dataflow: ref("EVENTS"), IdempotencyKey: "labels"}, statistics.Content{Blocks: figures(5, 1, 0)})
	must(err)
	for _, header := range []statistics.EventHeader{{Batch: "a"}, {Batch: "a"}, {Batch: "b", Retracts: "a"}, {Batch: "c"}} {
		header.Dataflow = ref("EVENTS")
		_, err := service.RecordEvents(ctx, header, events(5))
		must(err)
		_, err = service.CloseEvents(ctx, ref("EVENTS"), "", "test")
		must(err)
	}
	p := statistics.Period{Frequency: 'M', Index: 636}
	if _, err := service.ClosedCell(ctx, ref("EVENTS"), []string{"M", "p1"}, p); err != nil {
		t.Log(err) // whether there is one does not matter here
	}
	short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	if err := service.CloseEventsEvery(short, time.Millisecond, nil); err != nil && short.Err() == nil {
		t.Fatal(err)
	}
}
