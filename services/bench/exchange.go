package bench

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/comity-federation/comity/services/internal/pgcluster"
)

// Exchange measures what goes from one state to another, and returns the table.
func Exchange(ctx context.Context, o Options, progress io.Writer) (table *Table, err error) {
	if err := o.prepare(); err != nil {
		return nil, err
	}
	cluster, err := pgcluster.Start(ctx, pgcluster.Options{Directory: filepath.Join(o.Directory, "pg"), Durable: true, Attached: true})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, cluster.Stop(), cluster.Remove(), os.RemoveAll(o.Directory)) }()
	b := &bench{Options: o, cube: o.cube(), progress: progress, table: &Table{}}
	admin, err := cluster.Admin(ctx, "postgres")
	if err != nil {
		return nil, err
	}
	b.table.Machine, err = machine(ctx, admin)
	if err = errors.Join(err, admin.Close(ctx)); err != nil {
		return nil, err
	}
	x := &exchange{bench: b, cluster: cluster}
	err = b.measure(ctx, []step{
		{"the cost of trust", x.costOfTrust},
		{"policy decisions", x.policyDecisions},
		{"stopping what is under way", x.stop},
		{"two nodes", x.twoNodes},
	})
	if err != nil {
		return nil, err
	}
	return b.table, nil
}

// exchange is a run of the measurements of the exchange.
type exchange struct {
	*bench
	cluster *pgcluster.Cluster
}

// twoNodes measures two nodes as they are run.
func (x *exchange) twoNodes(ctx context.Context) (err error) {
	n, err := x.startTwoNodes(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.end()) }()
	var failures []error
	for _, run := range []func(context.Context, *twoNodes) error{x.freshness, x.bulk, x.stuck} {
		failures = append(failures, run(ctx, n))
	}
	return errors.Join(failures...)
}

// policies is the directory of the shared policies.
func (o Options) policies() string {
	return filepath.Join(filepath.Dir(filepath.Dir(o.Program)), "policies")
}
