package doctor

import (
	"crypto/ed25519"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/comity-federation/comity/proto/mtls"
	"github.com/comity-federation/comity/services/sharing"
	"github.com/comity-federation/comity/services/sharing/partner"
)

// certificate looks at what the service shows to partners.
func (e *examiner) certificate() {
	const check = "certificate"
	renew := fmt.Sprintf("have the authority of %s issue another one for comity://%s/sharing, and put it and its key in the place of the files: it counts from the next handshake on", e.state, e.state)
	e.private(check, e.Key)
	pair, err := mtls.LoadPair(e.Certificate, e.Key)
	if err != nil {
		e.fail(check, e.Certificate, err.Error(), "put a certificate and the key that belongs to it there")
		return
	}
	identity, err := pair.Identity()
	if err != nil || identity != (mtls.Identity{State: e.State, Service: "sharing"}) {
		e.fail(check, e.Certificate, fmt.Sprintf("it is the certificate of %s, not of comity://%s/sharing", identity, e.state), renew)
		return
	}
	e.pair = pair
	chain, err := x509.ParseCertificates(slices.Concat(pair.Current().Certificate...))
	if err != nil {
		e.fail(check, e.Certificate, err.Error(), renew)
		return
	}
	if leaf := chain[0]; !e.now.Before(leaf.NotAfter) {
		e.ends(check, e.Certificate, "the certificate", leaf.NotAfter, renew)
		return
	}
	own, err := mtls.RootFile(e.State, e.Root)
	var notAfter time.Time
	if err == nil {
		_, notAfter, err = mtls.Verify(chain, own, x509.ExtKeyUsageServerAuth, nil)
	}
	if err != nil {
		e.fail(check, e.Certificate, fmt.Sprintf("the services of %s do not believe it: %v", e.state, err), "see that COMITY_ROOT has the root that the certificate hangs from, or "+renew)
	} else {
		e.ends(check, e.Certificate, "the certificate, or one that it hangs from,", notAfter, renew)
	}
	if e.trust == nil || e.trust.Ended(e.now) {
		return
	}
	if _, _, err = mtls.Verify(chain, partner.Roots(sharing.NewTrust(e.trust)), x509.ExtKeyUsageServerAuth, nil); err != nil {
		e.fail(check, e.Certificate, fmt.Sprintf("no partner believes it, since it does not hang from the roots of %s on the trust list: %v", e.state, err),
			fmt.Sprintf("have the officers sign a list with its root beside the old one (comity trust rotate --state %s --roots FILE), or issue a certificate of the authority that is on the list", e.state))
	}
}

// private finds files with secrets that others may read.
func (e *examiner) private(check, path string) {
	info, err := os.Stat(path)
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		e.warn(check, path, fmt.Sprintf("others may read this secret: its mode is %s", info.Mode().Perm()), "chmod 600 "+path)
	}
}

// keys looks at what the service signs with.
func (e *examiner) keys() {
	const check = "keys"
	var own sharing.TrustedState
	if e.trust != nil {
		own, _ = e.trust.State(e.state)
	}
	rotate := fmt.Sprintf("make a key, have the officers sign it in (comity trust rotate --state %s …), and put it into the file when that list is everywhere", e.state)
	e.private(check, e.SigningKey)
	text, err := os.ReadFile(e.SigningKey)
	var signing []ed25519.PrivateKey
	if err == nil {
		signing, err = partner.ReadSigningKeys(text)
	}
	if err != nil {
		e.fail(check, e.SigningKey, err.Error(), "put the signing key there, in PEM")
	} else if e.trust != nil {
		if key, ok := partner.ChooseSigningKey(own, signing, e.now); !ok {
			e.fail(check, e.SigningKey, fmt.Sprintf("the trust list lets none of its keys sign for %s: nothing can be released or receipted", e.state), rotate)
		} else {
			for _, trusted := range own.SigningKeys {
				if trusted.PublicKey.Equal(key.Public()) {
					e.ends(check, e.SigningKey, "the signing key "+trusted.ID, trusted.NotAfter, rotate)
				}
			}
		}
	}
	e.private(check, e.LogKey)
	text, err = os.ReadFile(e.LogKey)
	var signers []note.Signer
	if err == nil {
		signers, err = partner.ReadLogKeys(text)
	}
	if err != nil {
		e.fail(check, e.LogKey, err.Error(), "put the note signer key of the log there")
	} else if signer, _ := partner.ChooseLogKey(own, signers, e.now); signer == nil && e.trust != nil {
		e.fail(check, e.LogKey, fmt.Sprintf("the trust list has none of its keys as a log key of %s: nothing gets its place in the log, and so nothing goes", e.state), rotate)
	}
}

// lists looks at the trust list.
func (e *examiner) lists() {
	const check = "trust"
	list, err := partner.ReadTrustList(e.TrustList)
	if err != nil {
		e.fail(check, e.TrustList, err.Error(), "get the list that the officers signed from another node, and put it there whole")
		return
	}
	sign := "have the officers sign a next one: any comity trust command proposes it, with a new end"
	if _, ok := list.State(e.state); !ok {
		e.fail(check, e.TrustList, fmt.Sprintf("%s is not on it", e.state), "have the officers sign the state in (comity trust join), or correct COMITY_STATE")
		return
	}
	e.trust = list.TrustList
	e.ends(check, e.TrustList, fmt.Sprintf("version %d of the list", list.Version), list.Expires, sign)
	if data, err := os.ReadFile(e.TrustList + ".next"); err == nil {
		next, err := sharing.ReadSignedTrustList(data)
		if err != nil {
			e.warn(check, e.TrustList+".next", err.Error(), "propose it again, or remove it")
			return
		}
		e.warn(check, e.TrustList+".next", fmt.Sprintf("version %d is proposed, and signed by %d officers of the list in force, of %d: %s",
			next.Version, len(next.Signers(e.trust)), e.trust.Threshold, strings.Join(next.Signers(e.trust), ", ")),
			"have the others sign it (comity trust sign), or remove it")
	}
}

// crlFile returns the file of the revocation lists of a state.
func (e *examiner) crlFile(state sharing.StateCode) string {
	return filepath.Join(e.CRLs, string(state)+".crl")
}
