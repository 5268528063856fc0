package partner

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/comity-federation/comity/services/sharing"
)

// CRLStore keeps the revocation lists that counted, so that an older one does not come back with a restart, and the last good
// one is there after it.
type CRLStore interface {
	// CRLs returns the newest list of each authority of each state.
	CRLs(ctx context.Context) ([]sharing.KeptCRL, error)
	// KeepCRL keeps a list, unless a later one of the authority is kept.
	KeepCRL(ctx context.Context, crl sharing.KeptCRL) error
}

// revocations are the revocation lists in force: of each authority of a state the latest that was seen.
//
// The lists of a state are in the file <state>.crl of a directory, see [ReadCRLs]. Whoever brings them there replaces the file
// whole. A file that is gone, cannot be read, or holds older lists than before changes nothing: the last good list stays,
// for the grace that the trust list gives it.
type revocations struct {
	own       sharing.StateCode // whose lists are for others
	directory string            // "": there is none
	store     CRLStore
	trust     *sharing.Trust

	mu      sync.Mutex
	inForce map[authority]*CRL
	kept    map[authority]string // the number that the store has
	files   map[sharing.StateCode]crlFile
	changes int // how often a list took the place of another
}

// authority is one of a state's.
type authority struct {
	state sharing.StateCode
	key   string // see [CRL]
}

// crlFile is a file as it was looked at last.
type crlFile struct {
	size     int64
	modified time.Time
	roots    string          // of the state, by which it was judged
	listed   map[string]bool // the authorities whose lists it had
	problem  error
}

// concerns reports whether a list of the authority is still asked for: that of a root of the state, or one that the file had.
// Lists of an authority that was rotated out are kept, and nobody waits for their successors.
func (f crlFile) concerns(state sharing.TrustedState, authority string) bool {
	if f.listed[authority] {
		return true
	}
	roots, err := certificatesOf([]byte(state.Roots))
	return err == nil && slices.ContainsFunc(roots, func(root *x509.Certificate) bool { return authorityOf(root) == authority })
}

// openRevocations returns the lists that the store has.
func openRevocations(ctx context.Context, own sharing.StateCode, directory string, store CRLStore, trust *sharing.Trust) (*revocations, error) {
	r := &revocations{
		own: own, directory: directory, store: store, trust: trust,
		inForce: map[authority]*CRL{}, kept: map[authority]string{}, files: map[sharing.StateCode]crlFile{},
	}
	lists, err := store.CRLs(ctx)
	if err != nil {
		return nil, err
	}
	for _, kept := range lists {
		crl, _, err := ParseCRL(kept.DER)
		if err != nil {
			return nil, fmt.Errorf("the revocation list of %s that is kept: %w", kept.State, err)
		}
		crl.Authority = kept.Authority
		of := authority{kept.State, kept.Authority}
		r.inForce[of], r.kept[of] = crl, kept.Number
	}
	return r, nil
}

// look takes over what the files have. Only files that changed are read, unless all is true.
func (r *revocations) look(at time.Time, all bool) {
	for _, state := range r.trust.List().States {
		if state.CRL == nil || state.Code == r.own {
			continue
		}
		r.mu.Lock()
		before := r.files[state.Code]
		r.mu.Unlock()
		file := r.read(state, before, at, all)
		r.mu.Lock()
		r.files[state.Code] = file
		r.mu.Unlock()
	}
}

// read takes over what the file of a state has.
func (r *revocations) read(state sharing.TrustedState, before crlFile, at time.Time, all bool) crlFile {
	if r.directory == "" {
		return crlFile{problem: errors.New("this node has no directory of revocation lists (COMITY_CRLS)")}
	}
	path := filepath.Join(r.directory, string(state.Code)+".crl")
	info, err := os.Stat(path)
	if err != nil {
		return crlFile{problem: err}
	}
	file := crlFile{size: info.Size(), modified: info.ModTime(), roots: state.Roots, listed: map[string]bool{}}
	if !all && file.size == before.size && file.modified.Equal(before.modified) && file.roots == before.roots {
		return before
	}
	data, err := os.ReadFile(path) //nolint:gosec // the operator names the directory, the trust list the state
	if err != nil {
		return crlFile{problem: err}
	}
	lists, problem := ReadCRLs(data, state.Roots, at)
	problems := []error{problem}
	for _, list := range lists {
		file.listed[list.Authority] = true
		problems = append(problems, r.replace(state.Code, list))
	}
	if file.problem = errors.Join(problems...); file.problem != nil {
		file.problem = fmt.Errorf("%s: %w", path, file.problem)
	}
	return file
}

// replace puts a list in the place of the one of its authority, unless that one is as late.
func (r *revocations) replace(state sharing.StateCode, list *CRL) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	of := authority{state, list.Authority}
	last := r.inForce[of]
	if last != nil {
		switch order := list.Number.Cmp(last.Number); {
		case order == 0 && bytes.Equal(list.DER, last.DER):
			return nil
		case order == 0:
			return fmt.Errorf("list number %s is another one than that of this number which was seen", list.Number)
		case order < 0:
			return fmt.Errorf("list number %s is older than number %s, which was seen", list.Number, last.Number)
		}
	}
	r.inForce[of] = list
	r.changes++
	return nil
}

// share keeps the lists in force that are not kept yet.
func (r *revocations) share(ctx context.Context) error {
	r.mu.Lock()
	var lists []sharing.KeptCRL
	for of, list := range r.inForce {
		if number := list.Number.String(); r.kept[of] != number {
			lists = append(lists, sharing.KeptCRL{State: of.state, Authority: of.key, Number: number, DER: list.DER})
		}
	}
	r.mu.Unlock()
	for _, list := range lists {
		if err := r.store.KeepCRL(ctx, list); err != nil {
			return err
		}
		r.mu.Lock()
		r.kept[authority{list.State, list.Authority}] = list.Number
		r.mu.Unlock()
	}
	return nil
}

// refused returns why a chain of a state counts no more: a list has one of its certificates, or there is no list that
// counts of an authority that has issued one.
func (r *revocations) refused(state sharing.TrustedState, chain []*x509.Certificate, at time.Time) error {
	if state.CRL == nil {
		return nil
	}
	for i, certificate := range chain[:len(chain)-1] {
		r.mu.Lock()
		list := r.inForce[authority{state.Code, authorityOf(chain[i+1])}]
		r.mu.Unlock()
		serial := certificate.SerialNumber.Text(16)
		switch {
		case list == nil:
			return fmt.Errorf("there is no revocation list of %q, which has issued the certificate with the serial number %s", chain[i+1].Subject, serial)
		case list.revoked[serial]:
			return fmt.Errorf("the certificate with the serial number %s is on revocation list number %s", serial, list.Number)
		case list.Ended(at, state.CRL.Grace()):
			return fmt.Errorf("revocation list number %s of %q ended at %s, and the grace is over", list.Number, chain[i+1].Subject, list.Next.Format(time.RFC3339))
		}
	}
	return nil
}

// standing says how the lists stand: it changes whenever a certificate might count that did not before, or the other way.
func (r *revocations) standing(at time.Time) (changes, ended int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for of, list := range r.inForce {
		if state, ok := r.trust.State(of.state); ok && state.CRL != nil && list.Ended(at, state.CRL.Grace()) {
			ended++
		}
	}
	return r.changes, ended
}

// err returns what is wrong with the lists; nil: the file of each state that has any was read, and none has ended.
func (r *revocations) err(at time.Time) error {
	var problems []error
	for _, state := range r.trust.List().States {
		if state.CRL == nil || state.Code == r.own {
			continue
		}
		r.mu.Lock()
		if problem := r.files[state.Code].problem; problem != nil {
			problems = append(problems, fmt.Errorf("the revocation lists of %s: %w", state.Code, problem))
		}
		known := 0
		for of, list := range r.inForce {
			if of.state != state.Code || !r.files[state.Code].concerns(state, of.key) {
				continue
			}
			known++
			if until := list.Next.Add(state.CRL.Grace()); list.Ended(at, state.CRL.Grace()) {
				problems = append(problems, fmt.Errorf("revocation list number %s of %s has ended: whom its authority vouches for is not believed", list.Number, state.Code))
			} else if !at.Before(list.Next) {
				problems = append(problems, fmt.Errorf("the successor of revocation list number %s of %s was due at %s; it counts until %s",
					list.Number, state.Code, list.Next.Format(time.RFC3339), until.Format(time.RFC3339)))
			}
		}
		r.mu.Unlock()
		if known == 0 {
			problems = append(problems, fmt.Errorf("there is no revocation list of %s: it is not believed", state.Code))
		}
	}
	slices.SortFunc(problems, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(problems...)
}
