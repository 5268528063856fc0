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
	defer func() { err = errors.Join(err, x.nodes.end()) }()
	err = b.measure(ctx, []step{
		{"the cost of trust", x.costOfTrust},
		{"policy decisions", x.policyDecisions},
		{"stopping what is under way", x.stop},
		{"a partner that floods", x.flood},
		{"freshness", x.onTwoNodes(x.freshness)},
		{"bulk", x.onTwoNodes(x.bulk)},
		{"a stuck partner", x.onTwoNodes(x.stuck)},
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
	nodes   *twoNodes // nil until they are needed
}

// onTwoNodes returns what is measured on two nodes as they are run, which it brings up first where none has.
func (x *exchange) onTwoNodes(measure func(context.Context, *twoNodes) error) func(context.Context) error {
	return func(ctx context.Context) (err error) {
		if x.nodes == nil {
			if x.nodes, err = x.startTwoNodes(ctx); err != nil {
				return err
			}
		}
		return measure(ctx, x.nodes)
	}
}

// policies is the directory of the shared policies.
func (o Options) policies() string {
	return filepath.Join(filepath.Dir(filepath.Dir(o.Program)), "policies")
}
