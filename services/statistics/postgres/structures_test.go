package postgres_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comity-federation/comity/services/internal/postgrestest"
	"github.com/comity-federation/comity/services/statistics"
	"github.com/comity-federation/comity/services/statistics/postgres"
)

// Two processes share a database; each sees what the other changes.
func TestStructures(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t, postgres.Migrations)
	mine, theirs := postgres.New(pool), postgres.New(pool)
	ref := statistics.Ref{Agency: "X", ID: "CL", Version: "1.0.0-draft"}
	list := func(codes ...string) *statistics.Codelist {
		made := &statistics.Codelist{Ref: ref, Names: statistics.Names{"en": "A list", "zh": "代码表"}}
		for _, code := range codes {
			made.Codes = append(made.Codes, statistics.Code{ID: code})
		}
		return made
	}
	last := int64(-1)
	wants := func(what string, want ...*statistics.Codelist) {
		t.Helper()
		change, err := theirs.StructuresChange(t.Context())
		if err != nil || change <= last {
			t.Errorf("%s: the change is %d after %d, %v", what, change, last, err)
		}
		last = change
		got, err := theirs.Structures(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		all := &statistics.Structures{}
		for _, list := range want {
			all.Add(list)
		}
		if diff := cmp.Diff(all, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	update := func(do func(context.Context, statistics.Transaction) error) {
		t.Helper()
		if err := mine.Update(t.Context(), do); err != nil {
			t.Fatal(err)
		}
	}
	put := func(artefacts ...statistics.Artefact) {
		t.Helper()
		update(func(ctx context.Context, tx statistics.Transaction) error { return tx.PutStructures(ctx, artefacts) })
	}
	wants("it begins with nothing")
	put(list("A"))
	wants("it reads what is stored", list("A"))
	other := &statistics.Codelist{Ref: statistics.Ref{Agency: "X", ID: "CL", Version: "1.0.0"}}
	put(other)
	wants("it adds", list("A"), other)
	put(list("A", "B"))
	wants("it reads again what was replaced", other, list("A", "B"))
	update(func(ctx context.Context, tx statistics.Transaction) error {
		return tx.DeleteStructures(ctx, []statistics.ArtefactID{{Kind: statistics.KindCodelist, Ref: ref}})
	})
	wants("it forgets what is removed", other)
	update(func(ctx context.Context, tx statistics.Transaction) error {
		held, err := tx.HoldFigures(ctx, []statistics.Ref{ref})
		if len(held) > 0 {
			t.Errorf("%v hold figures", held)
		}
		return err
	})
}
