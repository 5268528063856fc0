package trial

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// CheckInvariants returns what is broken of the invariants in the database of the statistics.
func CheckInvariants(ctx context.Context, conn *pgx.Conn) error {
	var broken error
	for name, sql := range invariants() {
		var n int
		if err := conn.QueryRow(ctx, sql).Scan(&n); err != nil {
			return fmt.Errorf("counting %s: %w", name, err)
		}
		if n != 0 {
			broken = errors.Join(broken, fmt.Errorf("there are %d %s", n, name))
		}
	}
	return broken
}

// invariants are statements that count what must never be there, whatever was killed.
func invariants() map[string]string {
	return map[string]string{
		"news of a revision that no submission is": `
			SELECT count(*)
			FROM news n
			WHERE NOT EXISTS (SELECT FROM submission s WHERE s.id = n.submission AND s.revision = n.number)`,
		"accepted submissions with a revision and without news": `
			SELECT count(*)
			FROM submission s
			WHERE s.revision > 0 AND NOT EXISTS (
				SELECT FROM news n WHERE n.number = s.revision AND n.submission = s.id AND n.dataflow = s.dataflow AND n.provider = s.provider)`,
		"numbers of revisions that are missing": `
			SELECT coalesce(max(number), 0) - count(DISTINCT number)
			FROM news`,
		"revisions of parts without news": `
			SELECT count(*)
			FROM revision r
			JOIN part p ON p.id = r.part
			JOIN dataflow d ON d.id = p.dataflow
			WHERE NOT EXISTS (
				SELECT FROM news n WHERE n.number = r.number AND n.dataflow = d.ref AND n.provider = p.provider AND n.committed_at = r.committed_at)`,
		"news without a revision of the part": `
			SELECT count(*)
			FROM news n
			WHERE NOT EXISTS (
				SELECT
				FROM revision r
				JOIN part p ON p.id = r.part
				JOIN dataflow d ON d.id = p.dataflow
				WHERE r.number = n.number AND d.ref = n.dataflow AND p.provider = n.provider)`,
		"parts with gaps between their revisions": `
			SELECT count(*)
			FROM (SELECT FROM revision GROUP BY part HAVING max(rev) <> count(*)) g`,
		"cells of a revision that is not there": `
			SELECT count(*)
			FROM (SELECT part, rev FROM cur UNION ALL SELECT part, rev FROM hist UNION ALL SELECT part, rev_to FROM hist) c
			WHERE NOT EXISTS (SELECT FROM revision r WHERE r.part = c.part AND r.rev = c.rev)`,
		"cells without their series": `
			SELECT count(*)
			FROM cur c
			WHERE NOT EXISTS (SELECT FROM series s WHERE s.part = c.part AND s.key = c.key)`,
		"series that never had a cell": `
			SELECT count(*)
			FROM series s
			WHERE NOT EXISTS (SELECT FROM cur c WHERE c.part = s.part AND c.key = s.key)
				AND NOT EXISTS (SELECT FROM hist h WHERE h.part = s.part AND h.key = s.key)`,
		"dimensions with gaps between the numbers of their codes": `
			SELECT count(*)
			FROM (SELECT FROM code GROUP BY dataflow, dimension HAVING max(code) + 1 <> count(*)) g`,
		"dataflows that count other codes than they have": `
			SELECT count(*)
			FROM dataflow d
			WHERE code_count <> (SELECT count(*) FROM code c WHERE c.dataflow = d.id)`,
		"parts whose counters say otherwise than their batches of events": `
			SELECT count(*)
			FROM (SELECT part, sum(count) AS records FROM event_counter GROUP BY part) c
			FULL JOIN (SELECT part, sum(sign * records) AS records FROM event_batch GROUP BY part) b USING (part)
			WHERE coalesce(c.records, 0) <> coalesce(b.records, 0)`,
		"counters of less than nothing": `
			SELECT count(*)
			FROM event_counter
			WHERE count < 0`,
	}
}
