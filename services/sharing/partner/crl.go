package partner

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"
)

// crlSkew is how far an authority's clock may be ahead of ours.
const crlSkew = 5 * time.Minute

// CRL is a certificate revocation list (RFC 5280, section 5) that an authority of a state has signed.
type CRL struct {
	Authority string   // SHA-256 of the authority's SubjectPublicKeyInfo, in lower-case hexadecimal digits
	Number    *big.Int // a later list has a higher one
	DER       []byte   // as it was signed

	Updated, Next time.Time // when it was made, and when the next one is due
	revoked       map[string]bool
}

// The extensions of a list that are understood (RFC 5280, section 5.2). A list with another critical one, such as a delta or
// one that speaks of some certificates only, does not say what it seems to.
var understoodExtensions = []asn1.ObjectIdentifier{
	{2, 5, 29, 20}, // the number
	{2, 5, 29, 35}, // the authority's key
}

// ParseCRL reads a list from its DER bytes. It does not say who has signed it.
func ParseCRL(der []byte) (*CRL, *x509.RevocationList, error) {
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, nil, err
	}
	switch {
	case list.Number == nil:
		return nil, nil, errors.New("it has no number")
	case list.NextUpdate.IsZero():
		return nil, nil, errors.New("it does not say when the next one is due")
	}
	for _, extension := range list.Extensions {
		known := slices.ContainsFunc(understoodExtensions, extension.Id.Equal)
		if extension.Critical && !known {
			return nil, nil, fmt.Errorf("it has the extension %s, which is critical and not understood", extension.Id)
		}
	}
	crl := &CRL{Number: list.Number, DER: der, Updated: list.ThisUpdate, Next: list.NextUpdate, revoked: map[string]bool{}}
	for _, entry := range list.RevokedCertificateEntries {
		crl.revoked[entry.SerialNumber.Text(16)] = true
	}
	return crl, list, nil
}

// ReadCRLs reads the lists of a file: in PEM, with the certificates of the intermediate authorities that have signed any, or
// one list in DER. Each must be signed by one of the roots, or by an authority that hangs from them. What is wrong with a list
// does not hide the others: both are returned.
func ReadCRLs(data []byte, roots string, at time.Time) (lists []*CRL, err error) {
	authorities, err := certificatesOf([]byte(roots))
	if err != nil {
		return nil, err
	}
	anchors := x509.NewCertPool()
	for _, root := range authorities {
		anchors.AddCert(root)
	}
	if block, _ := pem.Decode(data); block == nil {
		list, err := openCRL(data, authorities, at)
		if err != nil {
			return nil, fmt.Errorf("the revocation list: %w", err)
		}
		return []*CRL{list}, nil
	}
	intermediates, err := certificatesOf(data)
	if err != nil {
		return nil, err
	}
	between := x509.NewCertPool()
	for _, certificate := range intermediates {
		between.AddCert(certificate)
	}
	var problems []error
	for _, certificate := range intermediates {
		_, err := certificate.Verify(x509.VerifyOptions{
			Roots: anchors, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
		})
		if err != nil || !certificate.IsCA {
			problems = append(problems, fmt.Errorf("the certificate of %q beside the lists is none of an authority of the state", certificate.Subject))
			continue
		}
		authorities = append(authorities, certificate)
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "X509 CRL" {
			continue
		}
		list, err := openCRL(block.Bytes, authorities, at)
		if err != nil {
			problems = append(problems, fmt.Errorf("revocation list %d: %w", len(lists)+len(problems)+1, err))
			continue
		}
		lists = append(lists, list)
	}
	if len(lists)+len(problems) == 0 {
		problems = append(problems, errors.New("there is no revocation list in it"))
	}
	return lists, errors.Join(problems...)
}

// openCRL reads a list that one of the authorities has signed.
func openCRL(der []byte, authorities []*x509.Certificate, at time.Time) (*CRL, error) {
	crl, list, err := ParseCRL(der)
	if err != nil {
		return nil, err
	}
	if list.ThisUpdate.After(at.Add(crlSkew)) {
		return nil, fmt.Errorf("it is of %s, which is still to come", list.ThisUpdate.Format(time.RFC3339))
	}
	for _, authority := range authorities {
		if bytes.Equal(authority.RawSubject, list.RawIssuer) && list.CheckSignatureFrom(authority) == nil {
			crl.Authority = authorityOf(authority)
			return crl, nil
		}
	}
	return nil, fmt.Errorf("no authority of the state has signed it; it names %q", list.Issuer)
}

// authorityOf returns what an authority's lists are found by.
func authorityOf(certificate *x509.Certificate) string {
	sum := sha256.Sum256(certificate.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}

// certificatesOf returns the certificates in PEM.
func certificatesOf(data []byte) (certificates []*x509.Certificate, err error) {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("reading a certificate: %w", err)
		}
		certificates = append(certificates, certificate)
	}
	return certificates, nil
}

// Ended reports whether the list counts no more at the time: the next one is due for longer than the grace.
func (c *CRL) Ended(at time.Time, grace time.Duration) bool { return !at.Before(c.Next.Add(grace)) }
