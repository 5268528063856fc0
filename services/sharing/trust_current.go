package sharing

import (
	"sync/atomic"
	"time"

	"github.com/comity-federation/comity/services/fault"
)

// Trust is the trust list in force. Another may take its place while the service runs. Its methods may be called from
// several goroutines.
type Trust struct {
	list    atomic.Pointer[TrustList]
	changes changes
}

// NewTrust returns trust in the list.
func NewTrust(list *TrustList) *Trust {
	t := &Trust{}
	t.list.Store(list)
	return t
}

// List returns the list in force. Who holds on to it does not see a later one.
func (t *Trust) List() *TrustList { return t.list.Load() }

// State returns the state of the code, and whether it is on the list.
func (t *Trust) State(code StateCode) (TrustedState, bool) { return t.List().State(code) }

// Replace puts a list in the place of the one in force. Whether it may is for the caller to know; see
// [SignedTrustList.Succeed].
func (t *Trust) Replace(list *TrustList) {
	t.list.Store(list)
	t.changes.announce()
}

// Changed returns a channel that is closed when another list is in force.
func (t *Trust) Changed() <-chan struct{} { return t.changes.listen() }

// Verify is [TrustList.Verify] for what arrives at the time: only keys count that are valid then, and none once the list
// has ended.
func (t *Trust) Verify(state StateCode, payloadType string, s Signed, at time.Time) (Signature, error) {
	list := t.List()
	if list.Ended(at) {
		return Signature{}, fault.New(fault.Denied, "UNTRUSTED_SIGNER", "the trust list has expired, so nobody's signature counts")
	}
	return list.verify(state, payloadType, s, func(key SigningKey) bool { return key.ValidAt(at) })
}
