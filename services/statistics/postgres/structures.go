package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/statistics"
)

// artefacts remembers those that were read last, by their serial. A serial is of one content for ever.
type artefacts struct {
	mu    sync.Mutex
	known map[int64]statistics.Artefact
}

// StructuresChange returns the number of the last change.
func (s *Store) StructuresChange(ctx context.Context) (int64, error) {
	change, err := structuresChange(ctx, s.pool)
	if err != nil {
		return 0, fmt.Errorf("reading the number of the structures' change: %w", err)
	}
	s.change.Store(change)
	return change, nil
}

func structuresChange(ctx context.Context, q querier) (change int64, err error) {
	err = q.QueryRow(ctx, `SELECT change FROM artefact_change`).Scan(&change)
	return change, err
}

// Structures returns every artefact. Those that were read before are not read again: a codelist may be large, and each
// change of any artefact asks for all of them.
func (s *Store) Structures(ctx context.Context) (*statistics.Structures, error) {
	s.artefacts.mu.Lock()
	known := s.artefacts.known
	s.artefacts.mu.Unlock()
	rows, err := s.pool.Query(ctx, `
		SELECT kind, serial, CASE WHEN serial = ANY(@known) THEN NULL ELSE content END
		FROM artefact
		ORDER BY serial`,
		pgx.NamedArgs{"known": slices.Collect(maps.Keys(known))})
	if err != nil {
		return nil, fmt.Errorf("reading the structures: %w", err)
	}
	all, now := &statistics.Structures{}, map[int64]statistics.Artefact{}
	var kind statistics.Kind
	var serial int64
	var content []byte
	_, err = pgx.ForEachRow(rows, []any{&kind, &serial, &content}, func() error {
		artefact, ok := known[serial]
		if !ok {
			if artefact, err = statistics.DecodeArtefact(kind, content); err != nil {
				return err
			}
		}
		now[serial] = artefact
		all.Add(artefact)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the structures: %w", err)
	}
	s.artefacts.mu.Lock()
	s.artefacts.known = now
	s.artefacts.mu.Unlock()
	return all, nil
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

// PutStructures stores artefacts, in place of those with their names.
func (t *transaction) PutStructures(ctx context.Context, artefacts []statistics.Artefact) error {
	batch := &pgx.Batch{}
	for _, artefact := range artefacts {
		id := artefact.Name()
		content, err := json.Marshal(artefact)
		if err != nil {
			return fmt.Errorf("storing %s: %w", id, err)
		}
		batch.Queue(`
			INSERT INTO artefact (kind, agency, id, version, content)
			VALUES (@kind, @agency, @id, @version, @content)
			ON CONFLICT (kind, agency, id, version)
			DO UPDATE SET content = excluded.content, serial = DEFAULT`,
			pgx.NamedArgs{"kind": id.Kind, "agency": id.Ref.Agency, "id": id.Ref.ID, "version": id.Ref.Version, "content": content})
	}
	batch.Queue(countChange)
	if err := t.tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("storing the structures: %w", err)
	}
	return nil
}

const countChange = `UPDATE artefact_change SET change = change + 1`

// DeleteStructures removes artefacts.
func (t *transaction) DeleteStructures(ctx context.Context, ids []statistics.ArtefactID) error {
	batch := &pgx.Batch{}
	for _, id := range ids {
		batch.Queue(`
			DELETE FROM artefact
			WHERE kind = @kind
			  AND agency = @agency
			  AND id = @id
			  AND version = @version`,
			pgx.NamedArgs{"kind": id.Kind, "agency": id.Ref.Agency, "id": id.Ref.ID, "version": id.Ref.Version})
	}
	batch.Queue(countChange)
	if err := t.tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("removing structures: %w", err)
	}
	return nil
}

// HoldFigures returns those of the dataflows that hold figures or counted events, or held some before.
func (t *transaction) HoldFigures(ctx context.Context, dataflows []statistics.Ref) ([]statistics.Ref, error) {
	names := make([]string, len(dataflows))
	for i, ref := range dataflows {
		names[i] = ref.String()
	}
	rows, err := t.tx.Query(ctx, `
		SELECT array_position(@names::text[], dataflow.ref)
		FROM dataflow
		WHERE ref = ANY(@names)
		  AND (EXISTS (SELECT FROM part JOIN revision ON revision.part = part.id WHERE part.dataflow = dataflow.id)
		       OR EXISTS (SELECT FROM part JOIN event_batch ON event_batch.part = part.id WHERE part.dataflow = dataflow.id))
		ORDER BY 1`,
		pgx.NamedArgs{"names": names})
	if err != nil {
		return nil, fmt.Errorf("looking for figures: %w", err)
	}
	positions, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		return nil, fmt.Errorf("looking for figures: %w", err)
	}
	holding := make([]statistics.Ref, len(positions))
	for i, position := range positions {
		holding[i] = dataflows[position-1]
	}
	return holding, nil
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
	err := s.alter(ctx, `
		INSERT INTO layout (id, content)
		VALUES (@id, @content)
		ON CONFLICT (id) DO UPDATE SET content = excluded.content, updated_at = now()`,
		pgx.NamedArgs{"id": l.ID, "content": l})
	if err != nil {
		return fmt.Errorf("storing the layout %q: %w", l.ID, err)
	}
	return nil
}
