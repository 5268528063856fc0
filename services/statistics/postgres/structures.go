package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/statistics"
)

// The kinds of artefacts.
const (
	kindCodelist          = "codelist"
	kindDataStructure     = "data_structure"
	kindDataflow          = "dataflow"
	kindRepresentationMap = "representation_map"
	kindStructureMap      = "structure_map"
)

// StructuresChange returns the number of the last change.
func (s *Store) StructuresChange(ctx context.Context) (int64, error) {
	change, err := structuresChange(ctx, s.pool)
	if err != nil {
		return 0, fmt.Errorf("reading the number of the structures' change: %w", err)
	}
	return change, nil
}

type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func structuresChange(ctx context.Context, q querier) (change int64, err error) {
	err = q.QueryRow(ctx, `SELECT coalesce(max(serial), 0) FROM artefact`).Scan(&change)
	return change, err
}

// Structures returns every artefact.
func (s *Store) Structures(ctx context.Context) (*statistics.Structures, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT kind, content
		FROM artefact
		ORDER BY serial`)
	if err != nil {
		return nil, fmt.Errorf("reading the structures: %w", err)
	}
	all := &statistics.Structures{}
	var kind string
	var content []byte
	_, err = pgx.ForEachRow(rows, []any{&kind, &content}, func() error {
		switch kind {
		case kindCodelist:
			return appendArtefact(&all.Codelists, content)
		case kindDataStructure:
			return appendArtefact(&all.DataStructures, content)
		case kindDataflow:
			return appendArtefact(&all.Dataflows, content)
		case kindRepresentationMap:
			return appendArtefact(&all.RepresentationMaps, content)
		default:
			return appendArtefact(&all.StructureMaps, content)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("reading the structures: %w", err)
	}
	return all, nil
}

func appendArtefact[T any](to *[]T, content []byte) error {
	var artefact T
	if err := json.Unmarshal(content, &artefact); err != nil {
		return err
	}
	*to = append(*to, artefact)
	return nil
}

// HoldStructures keeps the structures as they are until the transaction ends.
func (t *transaction) HoldStructures(ctx context.Context, forChange bool) (int64, error) {
	lock := `SELECT pg_advisory_xact_lock_shared($1, 0)`
	if forChange {
		lock = `SELECT pg_advisory_xact_lock($1, 0)`
	}
	if _, err := t.tx.Exec(ctx, lock, lockStructures); err != nil {
		return 0, fmt.Errorf("locking the structures: %w", err)
	}
	change, err := structuresChange(ctx, t.tx)
	if err != nil {
		return 0, fmt.Errorf("reading the number of the structures' change: %w", err)
	}
	return change, nil
}

// PutStructures stores artefacts that are new.
func (t *transaction) PutStructures(ctx context.Context, s *statistics.Structures) error {
	batch := &pgx.Batch{}
	var failed error
	put := func(kind string, ref statistics.Ref, artefact any) {
		content, err := json.Marshal(artefact)
		failed = errors.Join(failed, err)
		batch.Queue(`
			INSERT INTO artefact (kind, agency, id, version, content)
			VALUES (@kind, @agency, @id, @version, @content)`,
			pgx.NamedArgs{"kind": kind, "agency": ref.Agency, "id": ref.ID, "version": ref.Version, "content": content})
	}
	for i := range s.Codelists {
		put(kindCodelist, s.Codelists[i].Ref, &s.Codelists[i])
	}
	for i := range s.DataStructures {
		put(kindDataStructure, s.DataStructures[i].Ref, &s.DataStructures[i])
	}
	for i := range s.Dataflows {
		put(kindDataflow, s.Dataflows[i].Ref, &s.Dataflows[i])
	}
	for i := range s.RepresentationMaps {
		put(kindRepresentationMap, s.RepresentationMaps[i].Ref, &s.RepresentationMaps[i])
	}
	for i := range s.StructureMaps {
		put(kindStructureMap, s.StructureMaps[i].Ref, &s.StructureMaps[i])
	}
	if err := errors.Join(failed, t.tx.SendBatch(ctx, batch).Close()); err != nil {
		return fmt.Errorf("storing the structures: %w", err)
	}
	return nil
}

// Layouts returns every layout, by id.
func (s *Store) Layouts(ctx context.Context) ([]statistics.Layout, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT content
		FROM layout
		ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("reading the layouts: %w", err)
	}
	layouts, err := pgx.CollectRows(rows, pgx.RowTo[statistics.Layout])
	if err != nil {
		return nil, fmt.Errorf("reading the layouts: %w", err)
	}
	return layouts, nil
}

// Layout returns a layout.
func (s *Store) Layout(ctx context.Context, id string) (layout statistics.Layout, err error) {
	err = s.pool.QueryRow(ctx, `SELECT content FROM layout WHERE id = $1`, id).Scan(&layout)
	if errors.Is(err, pgx.ErrNoRows) {
		return layout, fault.Missing("there is no layout %q", id)
	}
	if err != nil {
		return layout, fmt.Errorf("reading the layout %q: %w", id, err)
	}
	return layout, nil
}

// PutLayout stores a layout.
func (s *Store) PutLayout(ctx context.Context, l statistics.Layout) error {
	_, err := s.pool.Exec(ctx, `
		INSERT INTO layout (id, content)
		VALUES (@id, @content)
		ON CONFLICT (id) DO UPDATE SET content = excluded.content, updated_at = now()`,
		pgx.NamedArgs{"id": l.ID, "content": l})
	if err != nil {
		return fmt.Errorf("storing the layout %q: %w", l.ID, err)
	}
	return nil
}
