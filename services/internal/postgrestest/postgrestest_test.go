package postgrestest_test

import (
	"testing"
	"testing/fstest"

	"github.com/comity-federation/comity/services/internal/database"
	"github.com/comity-federation/comity/services/internal/postgrestest"
)

func migrations() fstest.MapFS {
	return fstest.MapFS{
		"migrations/00001_first.sql":  {Data: []byte("-- +goose Up\nCREATE TABLE place (id int PRIMARY KEY);\n")},
		"migrations/00002_second.sql": {Data: []byte("-- +goose Up\nINSERT INTO place VALUES (1);\n")},
	}
}

func TestNew(t *testing.T) {
	t.Parallel()
	for range 3 {
		t.Run("gives each test a database of its own", func(t *testing.T) {
			t.Parallel()
			pool := postgrestest.New(t, migrations())
			if _, err := pool.Exec(t.Context(), `INSERT INTO place VALUES (2)`); err != nil {
				t.Fatal(err)
			}
			var n int
			if err := pool.QueryRow(t.Context(), `SELECT count(*) FROM place`).Scan(&n); err != nil || n != 2 {
				t.Errorf("%d rows, %v; want 2", n, err)
			}
		})
	}
}

func TestOpenAgain(t *testing.T) {
	t.Parallel()
	t.Run("it leaves a schema that is up to date as it is", func(t *testing.T) {
		t.Parallel()
		pool, err := database.Open(t.Context(), postgrestest.URL(t, migrations()), migrations())
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
		var n int
		if err := pool.QueryRow(t.Context(), `SELECT count(*) FROM place`).Scan(&n); err != nil || n != 1 {
			t.Errorf("%d rows, %v; want 1", n, err)
		}
	})
}
