package partner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/comity-federation/comity/proto/mtls"
	"github.com/comity-federation/comity/services/sharing"
)

const (
	trustPoll    = 250 * time.Millisecond
	trustRecheck = 10 * time.Second // between two looks at all connections while no list changes: certificates expire
)

// TrustStore keeps the trust lists that were in force, so that an older one does not come back with a restart.
type TrustStore interface {
	// TrustList returns the latest list with a version after the one given, as it was kept; nil: there is none.
	TrustList(ctx context.Context, after uint64) ([]byte, error)
	// KeepTrustList keeps a list. What is kept of a version stays.
	KeepTrustList(ctx context.Context, version uint64, envelope []byte) error
}

// Keeper keeps the trust list in force: it takes over later lists from the file, and ends the connections of whoever is
// trusted no more.
//
// The first list is believed as the operator put it there, if its own officers have signed it. From then on a list
// counts only as the successor of the one in force; another one is refused, the one in force stays, and [Keeper.Err]
// says so. Processes on one store take over what one of them has.
type Keeper struct {
	path  string
	state sharing.StateCode
	store TrustStore
	log   *slog.Logger
	trust *sharing.Trust
	live  *mtls.Connections

	mu      sync.Mutex
	kept    bool   // the list in force is in the store
	inForce []byte // the list in force, as it was read
	tried   []byte // what the file held when it was looked at last
	refused error  // why that is not in force
	failed  error  // why the file or the store could not be looked at

	version, expires, complaint prometheus.Gauge
	cut                         prometheus.Counter
}

// OpenKeeper returns a keeper with the list of the store in force, or, where there is none, with the file's. It fails if
// there is neither, and if this state is not on the list.
func OpenKeeper(ctx context.Context, path string, state sharing.StateCode, store TrustStore, log *slog.Logger) (*Keeper, error) {
	k := &Keeper{
		path: path, state: state, store: store, log: log, live: mtls.NewConnections(),
		version: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "comity_trust_list_version", Help: "Version of the trust list in force.",
		}),
		expires: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "comity_trust_list_expires_timestamp_seconds", Help: "When the trust list in force expires, in seconds since 1970.",
		}),
		complaint: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "comity_trust_list_refused", Help: "1 while the file's trust list is not the one in force, or that one has expired; else 0.",
		}),
		cut: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "comity_trust_connections_cut_total", Help: "Partners' connections that were ended because they are trusted no more.",
		}),
	}
	data, err := store.TrustList(ctx, 0)
	if err != nil {
		return nil, err
	}
	first := data == nil
	if first {
		if data, err = os.ReadFile(path); err != nil { //nolint:gosec // the operator names the file
			return nil, fmt.Errorf("reading the trust list: %w", err)
		}
	}
	list, err := k.open(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if first && !time.Now().Before(list.Expires) {
		return nil, fmt.Errorf("%s: the first trust list expired at %s", path, list.Expires.Format(time.RFC3339))
	}
	k.trust, k.inForce, k.kept = sharing.NewTrust(list.TrustList), data, !first
	k.look(ctx)
	return k, nil
}

func (k *Keeper) open(data []byte) (*sharing.SignedTrustList, error) {
	list, err := openTrustList(data)
	if err != nil {
		return nil, err
	}
	if _, ok := list.State(k.state); !ok {
		return nil, fmt.Errorf("this state, %s, is not on the list", k.state)
	}
	return list, nil
}

// Trust returns the list in force.
func (k *Keeper) Trust() *sharing.Trust { return k.trust }

// Options returns what credentials for partners believe beside their roots: no revoked certificate. Their connections
// are cut once they are trusted no more.
func (k *Keeper) Options() []mtls.Option {
	return []mtls.Option{mtls.Refusing(Refused(k.trust)), mtls.Among(k.live)}
}

// Cut ends the connections that a partner made to this node, or those of all partners with "". They may come again.
func (k *Keeper) Cut(partner sharing.StateCode) { k.live.CutGuests(string(partner)) }

// Register registers the keeper's metrics.
func (k *Keeper) Register(registry prometheus.Registerer) {
	registry.MustRegister(k.version, k.expires, k.complaint, k.cut)
}

// Err returns what is wrong with the trust list; nil: the file's is in force, and has not expired.
func (k *Keeper) Err() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.err(time.Now())
}

func (k *Keeper) err(at time.Time) error {
	var expired error
	if list := k.trust.List(); list.Ended(at) {
		expired = fmt.Errorf("version %d of the trust list has ended: no partner is believed", list.Version)
	} else if !at.Before(list.Expires) {
		expired = fmt.Errorf("version %d of the trust list expired at %s and counts for %d hours more", list.Version, list.Expires.Format(time.RFC3339), list.GraceHours)
	}
	return errors.Join(k.refused, k.failed, expired)
}

// Watch looks at the file four times a second until ctx ends.
func (k *Keeper) Watch(ctx context.Context) error {
	ticker := time.NewTicker(trustPoll)
	defer ticker.Stop()
	rechecked := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		before := k.trust.List()
		k.look(ctx)
		if k.trust.List() != before || time.Since(rechecked) > trustRecheck {
			k.recheck(ctx)
			rechecked = time.Now()
		}
	}
}

// recheck ends the connections of whoever is trusted no more.
func (k *Keeper) recheck(ctx context.Context) {
	for peer, err := range k.live.Recheck() {
		k.cut.Inc()
		k.log.WarnContext(ctx, "a partner's connection was cut", "peer", peer.String(), "error", err)
	}
}

// look takes over what the file, or another process, has.
func (k *Keeper) look(ctx context.Context) {
	k.mu.Lock()
	defer k.mu.Unlock()
	before := k.err(time.Now())
	k.failed = errors.Join(k.readFile(), k.share(ctx))
	if ctx.Err() != nil {
		return // that the process ends says nothing
	}
	list, after := k.trust.List(), k.err(time.Now())
	k.version.Set(float64(list.Version))
	k.expires.Set(float64(list.Expires.Unix()))
	k.complaint.Set(0)
	if after != nil {
		k.complaint.Set(1)
		if before == nil || before.Error() != after.Error() {
			k.log.ErrorContext(ctx, "the trust list in force stays, and there is something wrong", "version", list.Version, "error", after)
		}
	}
}

// readFile takes over the file's list, if it may.
func (k *Keeper) readFile() error {
	data, err := os.ReadFile(k.path)
	if err != nil {
		return fmt.Errorf("reading the trust list: %w", err)
	}
	if bytes.Equal(data, k.tried) {
		return nil
	}
	k.tried = data
	if err := k.succeed(data); err != nil {
		k.refused = fmt.Errorf("the trust list in %s is refused, version %d stays in force: %w", k.path, k.trust.List().Version, err)
		return nil
	}
	k.refused = nil
	return nil
}

// succeed puts a list in the place of the one in force.
func (k *Keeper) succeed(data []byte) error {
	if bytes.Equal(data, k.inForce) {
		return nil
	}
	list, err := k.open(data)
	if err != nil {
		return err
	}
	before := k.trust.List()
	if err := list.Succeed(before, time.Now()); err != nil {
		return err
	}
	k.log.Info("another trust list is in force", "from", before.Version, "to", list.Version, "signed_by", list.Signers(before))
	k.inForce, k.kept = data, false
	k.trust.Replace(list.TrustList)
	return nil
}

// share keeps the list in force, for later and for other processes, and takes over what they have. A list counts before
// it is kept: who is revoked goes also while the database does not write.
func (k *Keeper) share(ctx context.Context) error {
	if !k.kept {
		if err := k.store.KeepTrustList(ctx, k.trust.List().Version, k.inForce); err != nil {
			return err
		}
		k.kept = true
	}
	later, err := k.store.TrustList(ctx, k.trust.List().Version)
	if err != nil || later == nil {
		return err
	}
	if err := k.succeed(later); err != nil {
		return fmt.Errorf("the trust list that another process keeps: %w", err)
	}
	k.kept, k.tried = true, nil // the file is looked at again: it may be the same list
	return nil
}
