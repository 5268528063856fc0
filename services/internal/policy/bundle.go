package policy

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/bundle"
)

// The bounds of a bundle.
const (
	maxBundle   = 16 << 20 // bytes of the file
	maxUnpacked = 64 << 20 // bytes of what is in it
)

// notAfterKey is where the manifest of a bundle says until when it counts.
const notAfterKey = "notAfter"

var bundledModule = regexp.MustCompile(`^([0-9]{1,2})/[^/].*\.rego$`)

// Bundle is a set of policies in one file, as the Open Policy Agent writes and signs bundles: the files of the first directory
// are under 0/ and data.0, those of the next one under 1/ and data.1. Its manifest holds a revision, a whole number from 1 that
// grows with each bundle, and the time until which it counts.
type Bundle struct {
	Revision int64
	NotAfter time.Time
	SignedBy string // the [KeyID] of the key; "": it is not verified

	files *files
}

// KeyID names a key that signs bundles: the first 16 hexadecimal digits of the SHA-256 of the raw public key.
func KeyID(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:])[:16]
}

// Build returns a bundle, not signed, of what the directories hold.
func Build(directories []string, revision int64, notAfter time.Time) ([]byte, error) {
	files, err := read(directories)
	if err != nil {
		return nil, err
	}
	b := bundle.Bundle{Data: map[string]any{}, Manifest: bundle.Manifest{
		Revision: strconv.FormatInt(revision, 10),
		Metadata: map[string]any{notAfterKey: notAfter.UTC().Format(time.RFC3339)},
	}}
	for _, file := range *files {
		if path.Ext(file.name) == ".rego" {
			b.Modules = append(b.Modules, bundle.ModuleFile{Path: file.name, URL: file.name, Raw: file.content})
		}
	}
	for layer := range files.layers() {
		data, err := files.dataOf(layer)
		if err != nil {
			return nil, err
		}
		b.Data[strconv.Itoa(layer)] = data
	}
	return encodeBundle(b)
}

func encodeBundle(b bundle.Bundle) ([]byte, error) {
	b.Manifest.Init()
	var data bytes.Buffer
	if err := bundle.Write(&data, b); err != nil {
		return nil, fmt.Errorf("writing a bundle: %w", err)
	}
	if data.Len() > maxBundle {
		return nil, fmt.Errorf("the bundle has %d bytes, more than %d", data.Len(), maxBundle)
	}
	return data.Bytes(), nil
}

// Sign returns the bundle with the signature of the key, in place of any that it has.
func Sign(data []byte, key ed25519.PrivateKey) ([]byte, error) {
	if _, err := OpenUnsigned(data); err != nil {
		return nil, err
	}
	b, err := bundle.NewReader(bytes.NewReader(data)).WithSkipBundleVerification(true).WithSizeLimitBytes(maxUnpacked).Read()
	if err != nil {
		return nil, fmt.Errorf("reading the bundle: %w", err)
	}
	for i := range b.Modules {
		b.Modules[i].Path = strings.TrimPrefix(b.Modules[i].Path, "/")
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	id := KeyID(key.Public().(ed25519.PublicKey))
	signing := bundle.NewSigningConfig(string(text), "EdDSA", "")
	signing.Plugin = "" // the one that verifies without being named
	if err := b.GenerateSignature(signing, id, true); err != nil {
		return nil, fmt.Errorf("signing the bundle: %w", err)
	}
	return encodeBundle(b)
}

// OpenBundle returns the bundle if one of the keys has signed all of it. Neither its time nor its tests are looked at.
func OpenBundle(data []byte, keys []ed25519.PublicKey) (*Bundle, error) {
	if len(keys) == 0 {
		return nil, errors.New("there is no key that could have signed a bundle")
	}
	known := map[string]*bundle.KeyConfig{}
	for _, key := range keys {
		text, err := EncodeKey(key)
		if err != nil {
			return nil, err
		}
		known[KeyID(key)] = &bundle.KeyConfig{Key: string(text), Algorithm: "EdDSA"}
	}
	var opened *Bundle
	var failures []error
	// Each key alone: what a bundle says of its key decides nothing.
	for _, id := range slices.Sorted(maps.Keys(known)) {
		b, err := openBundle(data, bundle.NewVerificationConfig(known, id, "", nil))
		if err != nil {
			failures = append(failures, err)
			continue
		}
		b.SignedBy, opened = id, b
		break
	}
	if opened == nil {
		return nil, failures[0]
	}
	return opened, nil
}

// OpenUnsigned returns what a bundle holds, whoever has signed it or has not.
func OpenUnsigned(data []byte) (*Bundle, error) { return openBundle(data, nil) }

// openBundle reads a bundle; nil: whoever has signed it.
func openBundle(data []byte, verification *bundle.VerificationConfig) (*Bundle, error) {
	if len(data) > maxBundle {
		return nil, fmt.Errorf("the bundle has %d bytes, more than %d", len(data), maxBundle)
	}
	if err := checkUnpacked(data); err != nil {
		return nil, err
	}
	reader := bundle.NewReader(bytes.NewReader(data)).WithSizeLimitBytes(maxUnpacked)
	if verification == nil {
		reader.WithSkipBundleVerification(true)
	} else {
		reader.WithBundleVerificationConfig(verification)
	}
	b, err := reader.Read()
	if err != nil {
		return nil, fmt.Errorf("reading the bundle: %w", err)
	}
	return fromBundle(b)
}

// checkUnpacked fails for a file that is cut short, or unpacks to more than there may be.
func checkUnpacked(data []byte) error {
	unpacked, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("the bundle is no gzip file: %w", err)
	}
	n, err := io.Copy(io.Discard, io.LimitReader(unpacked, maxUnpacked+1))
	if err != nil {
		return fmt.Errorf("unpacking the bundle: %w", err)
	}
	if n > maxUnpacked {
		return fmt.Errorf("the bundle unpacks to more than %d bytes", maxUnpacked)
	}
	return nil
}

// fromBundle takes the files out of a bundle.
func fromBundle(b bundle.Bundle) (*Bundle, error) {
	if b.Type() != bundle.SnapshotBundleType || len(b.WasmModules) > 0 || len(b.PlanModules) > 0 {
		return nil, errors.New("the bundle holds other things than rules and data")
	}
	revision, err := strconv.ParseInt(b.Manifest.Revision, 10, 64)
	if err != nil || revision < 1 {
		return nil, fmt.Errorf("the bundle's revision %q is no whole number from 1", b.Manifest.Revision)
	}
	text, _ := b.Manifest.Metadata[notAfterKey].(string)
	notAfter, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return nil, fmt.Errorf("the bundle does not say until when it counts: %s in its metadata is %q", notAfterKey, text)
	}
	var all files
	for _, module := range b.Modules {
		name := strings.TrimPrefix(module.Path, "/")
		match := bundledModule.FindStringSubmatch(name)
		if match == nil || path.Clean(name) != name {
			return nil, fmt.Errorf("the bundle's %q is not in the directory of a layer, such as 0/", name)
		}
		layer, _ := strconv.Atoi(match[1])
		all = append(all, file{layer: layer, name: strconv.Itoa(layer) + "/" + strings.SplitN(name, "/", 2)[1], content: module.Raw})
	}
	for name, value := range b.Data {
		layer, err := strconv.Atoi(name)
		if err != nil || layer < 0 || layer > 99 {
			return nil, fmt.Errorf("the bundle's data.%s is not the data of a layer, such as data.0", name)
		}
		content, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		all = append(all, file{layer: layer, name: strconv.Itoa(layer) + "/data.json", content: content})
	}
	slices.SortFunc(all, func(a, b file) int {
		return cmp.Or(cmp.Compare(a.layer, b.layer), cmp.Compare(a.name, b.name))
	})
	return &Bundle{Revision: revision, NotAfter: notAfter, files: &all}, nil
}

// PolicyRevision is what [Engine.Revision] returns once the bundle is active.
func (b *Bundle) PolicyRevision() string { return b.files.revision() }

// dataOf returns the data of one layer alone.
func (f *files) dataOf(layer int) (map[string]any, error) {
	alone := slices.DeleteFunc(slices.Clone(*f), func(file file) bool { return file.layer != layer || path.Ext(file.name) == ".rego" })
	_, data, err := alone.parse()
	return data, err
}

// EncodeKey returns a public key as [ReadKeys] reads it.
func EncodeKey(key ed25519.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

// ReadKeys reads the Ed25519 public keys in PEM files, of which each may hold several.
func ReadKeys(paths []string) ([]ed25519.PublicKey, error) {
	var keys []ed25519.PublicKey
	for _, name := range paths {
		text, err := os.ReadFile(name) //nolint:gosec // the operator names the files
		if err != nil {
			return nil, fmt.Errorf("reading a key of policies: %w", err)
		}
		for {
			var block *pem.Block
			if block, text = pem.Decode(text); block == nil {
				break
			}
			parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
			key, ok := parsed.(ed25519.PublicKey)
			if err != nil || !ok {
				return nil, fmt.Errorf("%s holds something else than Ed25519 public keys", name)
			}
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s: no public key is there", strings.Join(paths, ", "))
	}
	return keys, nil
}
