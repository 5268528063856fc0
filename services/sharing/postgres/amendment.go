package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/services/sharing"
)

// Amendments returns the amendments in the order of their arrival.
func (r reader) Amendments(ctx context.Context) ([]sharing.KeptAmendment, error) {
	rows, err := r.db.Query(ctx, `
		SELECT a.id, a.document, l.create_time, f.create_time
		FROM amendment a
		JOIN log_entry l ON l.arrival = a.entry
		LEFT JOIN amendment_effect e USING (id)
		LEFT JOIN log_entry f ON f.arrival = e.entry
		ORDER BY a.entry`)
	if err != nil {
		return nil, err
	}
	places := map[sharing.AmendmentID]int{}
	amendments, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (k sharing.KeptAmendment, err error) {
		var effect *time.Time
		err = row.Scan(&k.ID, &k.Document, &k.Created, &effect)
		k.Created = k.Created.UTC()
		if effect != nil {
			k.Effect = effect.UTC()
		}
		places[k.ID] = len(places)
		return k, err
	})
	if err != nil || len(amendments) == 0 {
		return nil, err
	}
	rows, err = r.db.Query(ctx, `
		SELECT s.id, s.state, s.signed, l.create_time
		FROM amendment_signature s
		JOIN log_entry l ON l.arrival = s.entry
		ORDER BY s.entry`)
	if err != nil {
		return nil, err
	}
	var id sharing.AmendmentID
	var signed sharing.KeptSigned
	_, err = pgx.ForEachRow(rows, []any{&id, &signed.State, &signed.Signed, &signed.Created}, func() error {
		if at, ok := places[id]; ok { // it came in between otherwise
			kept := signed
			kept.Signed, kept.Created = append([]byte{}, signed.Signed...), signed.Created.UTC()
			amendments[at].Signatures = append(amendments[at].Signatures, kept)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	rows, err = r.db.Query(ctx, `
		SELECT id, state, rejection_code, rejection_text, rejection_time
		FROM amendment_delivery
		ORDER BY id, state`)
	if err != nil {
		return nil, err
	}
	var state sharing.StateCode
	var code, text *string
	var at *time.Time
	_, err = pgx.ForEachRow(rows, []any{&id, &state, &code, &text, &at}, func() error {
		delivery := sharing.AmendmentDelivery{State: state, Delivered: at == nil}
		if at != nil { // a constraint holds that all three are there, or none
			delivery.Rejection = &sharing.Rejection{Code: *code, Text: *text, Created: at.UTC()}
		}
		if i, ok := places[id]; ok {
			amendments[i].Deliveries = append(amendments[i].Deliveries, delivery)
		}
		return nil
	})
	return amendments, err
}

// AddAmendment keeps a document where there is none of that id, and returns the one that is kept.
func (t tx) AddAmendment(ctx context.Context, id sharing.AmendmentID, document []byte, leaf sharing.Leaf) ([]byte, error) {
	// Two that bring the same come one after the other.
	if _, err := t.db.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('comity amendment', 0))`); err != nil {
		return nil, err
	}
	kept, known, err := one(ctx, t.db, pgx.RowTo[[]byte], `SELECT document FROM amendment WHERE id = $1`, id)
	if err != nil || known {
		return kept, err
	}
	entry, err := t.addLeaf(ctx, leaf)
	if err != nil {
		return nil, err
	}
	_, err = t.db.Exec(ctx, `
		INSERT INTO amendment (id, document, entry)
		VALUES (@id, @document, @entry)`,
		pgx.NamedArgs{"id": id, "document": document, "entry": entry})
	return document, err
}

// AddAmendmentSignature keeps a state's signature; false where it is there already. AddAmendment comes first.
func (t tx) AddAmendmentSignature(ctx context.Context, id sharing.AmendmentID, state sharing.StateCode, signed []byte, leaf sharing.Leaf) (bool, error) {
	args := pgx.NamedArgs{"id": id, "state": state, "signed": signed}
	there, _, err := one(ctx, t.db, pgx.RowTo[bool], `
		SELECT count(*) > 0
		FROM amendment_signature
		WHERE id = @id AND state = @state`, args)
	if err != nil || there {
		return false, err
	}
	if args["entry"], err = t.addLeaf(ctx, leaf); err != nil {
		return false, err
	}
	return changed(t.db.Exec(ctx, `
		INSERT INTO amendment_signature (id, state, signed, entry)
		VALUES (@id, @state, @signed, @entry)`, args))
}

// SaveAmendmentDelivery keeps that a state has this state's signature, or does not take it.
func (t tx) SaveAmendmentDelivery(ctx context.Context, id sharing.AmendmentID, delivery sharing.AmendmentDelivery) error {
	args := pgx.NamedArgs{"id": id, "state": delivery.State, "code": nil, "text": nil, "time": nil}
	if r := delivery.Rejection; r != nil {
		args["code"], args["text"], args["time"] = r.Code, r.Text, r.Created
	}
	_, err := t.db.Exec(ctx, `
		INSERT INTO amendment_delivery (id, state, rejection_code, rejection_text, rejection_time)
		VALUES (@id, @state, @code, @text, @time)
		ON CONFLICT (id, state) DO UPDATE
		SET rejection_code = @code, rejection_text = @text, rejection_time = @time`, args)
	return err
}

// SendAmendmentAgain forgets who does not take this state's signature.
func (t tx) SendAmendmentAgain(ctx context.Context, id sharing.AmendmentID) error {
	_, err := t.db.Exec(ctx, `
		DELETE FROM amendment_delivery
		WHERE id = $1 AND rejection_time IS NOT NULL`, id)
	return err
}

// AddAmendmentEffect keeps that an amendment took effect; nothing where it has already.
func (t tx) AddAmendmentEffect(ctx context.Context, id sharing.AmendmentID, document []byte, leaf sharing.Leaf) error {
	args := pgx.NamedArgs{"id": id, "document": document}
	_, known, err := one(ctx, t.db, pgx.RowTo[[]byte], `SELECT document FROM amendment_effect WHERE id = @id`, args)
	if err != nil || known {
		return err
	}
	if args["entry"], err = t.addLeaf(ctx, leaf); err != nil {
		return err
	}
	_, err = t.db.Exec(ctx, `
		INSERT INTO amendment_effect (id, document, entry)
		VALUES (@id, @document, @entry)`, args)
	return err
}
