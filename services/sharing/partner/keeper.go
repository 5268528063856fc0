package partner

import (
	"bytes"
	"context"
	"crypto/x509"
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
	storeTimeout = 10 * time.Second
)

// TrustStore keeps the trust lists that were in force, so that an older one does not come back with a restart.
type TrustStore interface {
	CRLStore
	// TrustList returns the latest list with a version after the one given, as it was kept; nil: there is none.
	TrustList(ctx context.Context, after uint64) ([]byte, error)
	// KeepTrustList keeps a list. What is kept of a version stays.
	KeepTrustList(ctx context.Context, version uint64, envelope []byte) error
}

// Keeper keeps the trust list in force and the revocation lists of its states: it takes over later ones from their files, and
// ends the connections of whoever is trusted no more.
//
// The first trust list is believed as the operator put it there, if its own officers have signed it. From then on a list
// counts only as the successor of the one in force; another one is refused, the one in force stays, and [Keeper.Err]
// says so. Processes on one store take over what one of them has.
type Keeper struct {
	path  string
	crls  string // the directory of revocation lists
	state sharing.StateCode
	store TrustStore
	log   *slog.Logger
	trust *sharing.Trust
	lists *revocations
	live  *mtls.Connections
	again chan struct{} // holds an element while all is to be looked at again

	mu       sync.Mutex
	kept     bool   // the list in force is in the store
	inForce  []byte // the list in force, as it was read
	tried    []byte // what the file held when it was looked at last
	refused  error  // why that is not in force
	unread   error  // why the file could not be looked at
	unshared error  // what is wrong with the store
	said     string // what was wrong when it was logged last

	version, expires, complaint prometheus.Gauge
	cut                         prometheus.Counter
}

// KeeperOption changes what a [Keeper] follows.
type KeeperOption func(*Keeper)

// CRLs has a keeper follow the revocation lists in a directory: those of a state are in the file <state>.crl, see [ReadCRLs].
func CRLs(directory string) KeeperOption {
	return func(k *Keeper) { k.crls = directory }
}

// OpenKeeper returns a keeper with the list of the store in force, or, where there is none, with the file's. It fails if
// there is neither, and if this state is not on the list.
func OpenKeeper(ctx context.Context, path string, state sharing.StateCode, store TrustStore, log *slog.Logger, options ...KeeperOption) (*Keeper, error) {
	k := &Keeper{
		path: path, state: state, store: store, log: log, live: mtls.NewConnections(), again: make(chan struct{}, 1),
		version: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "comity_trust_list_version", Help: "Version of the trust list in force.",
		}),
		expires: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "comity_trust_list_expires_timestamp_seconds", Help: "When the trust list in force expires, in seconds since 1970.",
		}),
		complaint: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "comity_trust_list_refused", Help: "1 while the file's trust list is not the one in force, that one has expired, or a revocation list is missing or late; else 0.",
		}),
		cut: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "comity_trust_connections_cut_total", Help: "Partners' connections that were ended because they are trusted no more.",
		}),
	}
	for _, option := range options {
		option(k)
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
	if k.lists, err = openRevocations(ctx, k.state, k.crls, store, k.trust); err != nil {
		return nil, err
	}
	k.look(ctx, true)
	k.share(ctx)
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

// Options returns what credentials for partners believe beside their roots: no revoked certificate, and none without a
// revocation list where there must be one. Their connections are cut once they are trusted no more.
func (k *Keeper) Options() []mtls.Option {
	return []mtls.Option{mtls.Refusing(k.refuses), mtls.Among(k.live)}
}

// refuses is the [mtls.Refusal] by the lists in force.
func (k *Keeper) refuses(code string, chain []*x509.Certificate) error {
	state, _ := k.trust.State(sharing.StateCode(code))
	for _, certificate := range chain {
		if err := revoked(state, certificate); err != nil {
			return err
		}
	}
	return k.lists.refused(state, chain, time.Now())
}

// Cut ends the connections that a partner made to this node, or those of all partners with "". They may come again.
func (k *Keeper) Cut(partner sharing.StateCode) { k.live.CutGuests(string(partner)) }

// Register registers the keeper's metrics.
func (k *Keeper) Register(registry prometheus.Registerer) {
	registry.MustRegister(k.version, k.expires, k.complaint, k.cut)
}

// Err returns what is wrong with the trust list and the revocation lists; nil: the files' are in force, and none has expired.
func (k *Keeper) Err() error {
	at := time.Now()
	var expired error
	if list := k.trust.List(); list.Ended(at) {
		expired = fmt.Errorf("version %d of the trust list has ended: no partner is believed", list.Version)
	} else if !at.Before(list.Expires) {
		expired = fmt.Errorf("version %d of the trust list expired at %s and counts for %d hours more", list.Version, list.Expires.Format(time.RFC3339), list.GraceHours)
	}
	lists := k.lists.err(at)
	k.mu.Lock()
	defer k.mu.Unlock()
	return errors.Join(k.refused, k.unread, k.unshared, expired, lists)
}

// Reload has [Keeper.Watch] read all files again, also those that seem to be as they were.
func (k *Keeper) Reload() {
	select {
	case k.again <- struct{}{}:
	default: // it will
	}
}

// Watch looks at the files four times a second until ctx ends, and ends connections that count no more. It does not wait for
// the store: who is revoked goes also while that does not answer.
func (k *Keeper) Watch(ctx context.Context) error {
	var sharing sync.WaitGroup
	defer sharing.Wait()
	sharing.Go(func() {
		ticker := time.NewTicker(trustPoll)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				k.share(ctx)
			}
		}
	})
	ticker := time.NewTicker(trustPoll)
	defer ticker.Stop()
	before := k.belief(time.Now())
	for {
		all := false
		select {
		case <-ctx.Done():
			return nil
		case <-k.again:
			all = true
		case <-ticker.C:
		}
		k.look(ctx, all)
		at := time.Now()
		if now := k.belief(at); now != before {
			before = now
			k.report(ctx, k.live.Recheck())
		} else {
			k.report(ctx, k.live.Expire(at))
		}
	}
}

// belief is all that decides whether a chain of certificates counts, but for the chain's own time: while it is the same, so is
// the answer.
type belief struct {
	list           *sharing.TrustList
	over           bool // the list has ended
	changes, ended int  // of revocation lists
}

func (k *Keeper) belief(at time.Time) belief {
	b := belief{list: k.trust.List()}
	b.over = b.list.Ended(at)
	b.changes, b.ended = k.lists.standing(at)
	return b
}

// report tells of connections that were cut.
func (k *Keeper) report(ctx context.Context, cut []mtls.Cut) {
	for _, c := range cut {
		k.cut.Inc()
		k.log.WarnContext(ctx, "a partner's connection was cut", "peer", c.Peer.String(), "error", c.Reason)
	}
}

// look takes over what the files have; with all, also of those that seem to be as they were.
func (k *Keeper) look(ctx context.Context, all bool) {
	k.mu.Lock()
	if all {
		k.tried = nil
	}
	k.unread = k.readFile()
	k.mu.Unlock()
	k.lists.look(time.Now(), all)
	k.show(ctx)
}

// show says in metrics, and in the log, how the lists stand.
func (k *Keeper) show(ctx context.Context) {
	list, err := k.trust.List(), k.Err()
	k.version.Set(float64(list.Version))
	k.expires.Set(float64(list.Expires.Unix()))
	k.complaint.Set(0)
	text := ""
	if err != nil {
		k.complaint.Set(1)
		text = err.Error()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if text != "" && text != k.said {
		k.log.ErrorContext(ctx, "the lists in force stay, and there is something wrong", "version", list.Version, "error", err)
	}
	k.said = text
}

// readFile takes over the file's list, if it may.
func (k *Keeper) readFile() error {
	data, err := os.ReadFile(k.path)
	if err != nil {
		return fmt.Errorf("reading the trust list: %w", err)
	}
	if k.tried != nil && bytes.Equal(data, k.tried) {
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

// share keeps the lists in force, for later and for other processes, and takes over what they have. A list counts before it
// is kept.
func (k *Keeper) share(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	err := errors.Join(k.shareTrust(ctx), k.lists.share(ctx))
	if errors.Is(ctx.Err(), context.Canceled) {
		return // that the process ends says nothing
	}
	k.mu.Lock()
	k.unshared = err
	k.mu.Unlock()
}

func (k *Keeper) shareTrust(ctx context.Context) error {
	k.mu.Lock()
	list, version, kept := k.inForce, k.trust.List().Version, k.kept
	k.mu.Unlock()
	if !kept {
		if err := k.store.KeepTrustList(ctx, version, list); err != nil {
			return err
		}
		k.mu.Lock()
		if bytes.Equal(list, k.inForce) {
			k.kept = true
		}
		k.mu.Unlock()
	}
	later, err := k.store.TrustList(ctx, version)
	if err != nil || later == nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.trust.List().Version != version {
		return nil // the file has brought another one in the meantime
	}
	if err := k.succeed(later); err != nil {
		return fmt.Errorf("the trust list that another process keeps: %w", err)
	}
	k.kept, k.tried = true, nil // the file is looked at again: it may be the same list
	return nil
}
