package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/sharing"
)

// Agreements returns every version of the agreement, or of all with the id "", by id and version.
func (r reader) Agreements(ctx context.Context, id sharing.AgreementID) ([]sharing.KeptAgreement, error) {
	rows, err := r.db.Query(ctx, `
		SELECT x.id, x.version, x.part, x.state, x.content, l.create_time, x.delivered, x.rejection_code, x.rejection_text, x.rejection_time
		FROM (
			SELECT id, version, 0 AS part, '' AS state, document AS content, true AS delivered, entry,
				NULL AS rejection_code, NULL AS rejection_text, NULL::timestamptz AS rejection_time
			FROM agreement
			UNION ALL
			SELECT id, version, 1, state, signed, delivered, entry, rejection_code, rejection_text, rejection_time
			FROM agreement_signature
			UNION ALL
			SELECT id, version, 2, state, signed, delivered, entry, rejection_code, rejection_text, rejection_time
			FROM agreement_end
		) x
		JOIN log_entry l ON l.arrival = x.entry
		WHERE $1 IN ('', x.id)
		ORDER BY x.id, x.version, x.part, x.entry`, string(id))
	if err != nil {
		return nil, err
	}
	var (
		agreements []sharing.KeptAgreement
		name       sharing.AgreementID
		version    int
		part       int
		kept       sharing.KeptSigned
		created    time.Time
		code, text *string
		rejected   *time.Time
	)
	into := []any{&name, &version, &part, &kept.State, &kept.Signed, &created, &kept.Delivered, &code, &text, &rejected}
	_, err = pgx.ForEachRow(rows, into, func() error {
		kept.Created, kept.Rejection = created.UTC(), nil
		if rejected != nil { // a constraint holds that all three are there, or none
			kept.Rejection = &sharing.Rejection{Code: *code, Text: *text, Created: rejected.UTC()}
		}
		signed := kept
		signed.Signed = append([]byte{}, kept.Signed...)
		if part == 0 {
			agreements = append(agreements, sharing.KeptAgreement{ID: name, Version: version, Document: signed.Signed, Created: signed.Created})
			return nil
		}
		last := &agreements[len(agreements)-1] // a foreign key holds this
		if part == 1 {
			last.Signatures = append(last.Signatures, signed)
		} else {
			last.Ends = append(last.Ends, signed)
		}
		return nil
	})
	return agreements, err
}

// AddAgreement keeps a document.
func (t tx) AddAgreement(ctx context.Context, id sharing.AgreementID, version int, document []byte, leaf sharing.Leaf) error {
	entry, err := t.addLeaf(ctx, leaf)
	if err == nil {
		_, err = t.db.Exec(ctx, `
			INSERT INTO agreement (id, version, document, entry)
			VALUES (@id, @version, @document, @entry)`,
			pgx.NamedArgs{"id": id, "version": version, "document": document, "entry": entry})
	}
	if isDuplicate(err) {
		return fault.New(fault.Exists, "ALREADY_EXISTS", "agreement %s has a version %d", id, version).Because(err)
	}
	return err
}

// AddSignature keeps a state's signature; false where it is there already.
func (t tx) AddSignature(ctx context.Context, id sharing.AgreementID, version int, state sharing.StateCode, signed []byte, leaf sharing.Leaf) (bool, error) {
	return t.addSigned(ctx, `
		SELECT count(*) > 0
		FROM agreement_signature
		WHERE id = @id AND version = @version AND state = @state`, `
		INSERT INTO agreement_signature (id, version, state, signed, entry)
		VALUES (@id, @version, @state, @signed, @entry)`,
		id, version, state, signed, leaf)
}

// AddEnd keeps a state's termination; false where it is there already.
func (t tx) AddEnd(ctx context.Context, id sharing.AgreementID, version int, state sharing.StateCode, signed []byte, leaf sharing.Leaf) (bool, error) {
	return t.addSigned(ctx, `
		SELECT count(*) > 0
		FROM agreement_end
		WHERE id = @id AND version = @version AND state = @state`, `
		INSERT INTO agreement_end (id, version, state, signed, entry)
		VALUES (@id, @version, @state, @signed, @entry)`,
		id, version, state, signed, leaf)
}

func (t tx) addSigned(ctx context.Context, known, insert string, id sharing.AgreementID, version int, state sharing.StateCode, signed []byte, leaf sharing.Leaf) (bool, error) {
	args := pgx.NamedArgs{"id": id, "version": version, "state": state, "signed": signed}
	// The document's row is the lock under which two that bring the same come one after the other.
	if _, err := t.db.Exec(ctx, `SELECT FROM agreement WHERE id = @id AND version = @version FOR UPDATE`, args); err != nil {
		return false, err
	}
	there, _, err := one(ctx, t.db, pgx.RowTo[bool], known, args)
	if err != nil || there {
		return false, err
	}
	if args["entry"], err = t.addLeaf(ctx, leaf); err != nil {
		return false, err
	}
	return changed(t.db.Exec(ctx, insert, args))
}

// Delivered marks a state's signature, or its termination, as known to the partner.
func (t tx) Delivered(ctx context.Context, id sharing.AgreementID, version int, state sharing.StateCode, end bool) error {
	sql := `
		UPDATE agreement_signature
		SET delivered = true, rejection_code = NULL, rejection_text = NULL, rejection_time = NULL
		WHERE id = @id AND version = @version AND state = @state`
	if end {
		sql = `
		UPDATE agreement_end
		SET delivered = true, rejection_code = NULL, rejection_text = NULL, rejection_time = NULL
		WHERE id = @id AND version = @version AND state = @state`
	}
	_, err := t.db.Exec(ctx, sql, pgx.NamedArgs{"id": id, "version": version, "state": state})
	return err
}

// SaveRejection keeps why the partner does not take a state's signature, or its termination.
func (t tx) SaveRejection(ctx context.Context, id sharing.AgreementID, version int, state sharing.StateCode, end bool, rejection *sharing.Rejection) error {
	args := pgx.NamedArgs{"id": id, "version": version, "state": state, "code": nil, "text": nil, "time": nil}
	if rejection != nil {
		args["code"], args["text"], args["time"] = rejection.Code, rejection.Text, rejection.Created
	}
	sql := `
		UPDATE agreement_signature
		SET rejection_code = @code, rejection_text = @text, rejection_time = @time
		WHERE id = @id AND version = @version AND state = @state AND NOT delivered`
	if end {
		sql = `
		UPDATE agreement_end
		SET rejection_code = @code, rejection_text = @text, rejection_time = @time
		WHERE id = @id AND version = @version AND state = @state AND NOT delivered`
	}
	_, err := t.db.Exec(ctx, sql, args)
	return err
}

// AgreementChanges returns how often agreements have changed.
func (r reader) AgreementChanges(ctx context.Context) (int64, error) {
	changes, _, err := one(ctx, r.db, pgx.RowTo[int64], `SELECT changes FROM agreement_change`)
	return changes, err
}
