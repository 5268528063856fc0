// Package postgres keeps the risk register in PostgreSQL.
package postgres

import (
	"embed"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Migrations make the schema.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// Store is a risk.Store.
type Store struct {
	pool *pgxpool.Pool
}

// NewStore returns a store on a database that the migrations were applied to.
func NewStore(pool *pgxpool.Pool) *Store {
	return &Store{pool: pool}
}
