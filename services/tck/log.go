package tck

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// tree is the kit's log: the hashes of an RFC 6962 tree in tlog's storage order. Its entries say nothing but their
// number, so that the log of any size can be made again, and need not be kept.
type tree []tlog.Hash

// ReadHashes is of tlog.HashReader.
func (t tree) ReadHashes(places []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(places))
	for i, place := range places {
		if place >= int64(len(t)) {
			return nil, fmt.Errorf("there is no hash at place %d", place)
		}
		hashes[i] = t[place]
	}
	return hashes, nil
}

// newTree returns a log of a size. Its entries from fork on are others than those of the log itself; fork < 0: none is.
func newTree(size, fork int64) (tree, error) {
	var t tree
	for i := range size {
		text := fmt.Sprintf("conformance entry %d", i)
		if fork >= 0 && i >= fork {
			text += " of another history"
		}
		hashes, err := tlog.StoredHashes(i, []byte(text), t)
		if err != nil {
			return nil, err
		}
		t = append(t, hashes...)
	}
	return t, nil
}

// offer is what the kit asks a node to witness.
type offer struct {
	checkpoint string
	oldSize    int64
	proof      [][]byte
}

// newOffer returns a signed checkpoint of a log of the size, with the proof that it extends the one of oldSize.
func (s *State) newOffer(size, oldSize, fork int64, signer note.Signer) (offer, error) {
	t, err := newTree(size, fork)
	if err != nil {
		return offer{}, err
	}
	root, err := tlog.TreeHash(size, t)
	if err != nil {
		return offer{}, err
	}
	signed, err := note.Sign(&note.Note{Text: checkpointText(logName(string(s.Code)), size, root)}, signer)
	if err != nil {
		return offer{}, err
	}
	o := offer{checkpoint: string(signed), oldSize: oldSize}
	if oldSize == 0 || oldSize >= size {
		return o, nil
	}
	path, err := tlog.ProveTree(size, oldSize, t)
	for _, hash := range path {
		o.proof = append(o.proof, hash[:])
	}
	return o, err
}

func logName(state string) string { return "comity/" + state + "/log" }

func checkpointText(name string, size int64, root tlog.Hash) string {
	return fmt.Sprintf("%s\n%d\n%s\n", name, size, root)
}

// head is the size and root of a log.
type head struct {
	Size int64     `json:"size"`
	Root tlog.Hash `json:"root"`
}

// openCheckpoint reads a checkpoint of the node's log (C2SP tlog-checkpoint).
func (k *kit) openCheckpoint(signed string) (head, error) {
	opened, err := note.Open([]byte(signed), note.VerifierList(k.peerLog))
	if err != nil {
		return head{}, fmt.Errorf("the checkpoint: %w", err)
	}
	lines := strings.SplitN(opened.Text, "\n", 4)
	if len(lines) < 4 || lines[0] != logName(string(k.peer.Code)) {
		return head{}, fmt.Errorf("it is no checkpoint of %s", logName(string(k.peer.Code)))
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 1 {
		return head{}, fmt.Errorf("%q is no size of a log", lines[1])
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		return head{}, err
	}
	return head{Size: size, Root: root}, nil
}

// witness is what the kit has seen of the node's log, in this run and those before.
type witness struct {
	file string

	mu       sync.Mutex
	seen     head
	offers   int   // in this run
	extended int   // of them with a proof that held
	problem  error // the first
}

func openWitness(file string) (*witness, error) {
	w := &witness{file: file}
	if err := readJSON(file, &w.seen); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return w, nil
}

// extend takes what the node offers. It returns the size that was seen before, and whether the offer begins there.
func (w *witness) extend(offered head, oldSize int64, proof [][]byte) (seen int64, extends bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.offers++
	if oldSize != w.seen.Size {
		return w.seen.Size, false, nil
	}
	if err := w.check(offered, proof); err != nil {
		if w.problem == nil {
			w.problem = err
		}
		return w.seen.Size, false, err
	}
	w.extended++
	w.seen = offered
	return offered.Size, true, writeJSON(w.file, offered)
}

func (w *witness) check(offered head, proof [][]byte) error {
	switch {
	case w.seen.Size == 0:
		return nil
	case offered.Size < w.seen.Size:
		return fmt.Errorf("its log has %d entries, and had %d", offered.Size, w.seen.Size)
	case offered.Size == w.seen.Size:
		if !bytes.Equal(offered.Root[:], w.seen.Root[:]) {
			return fmt.Errorf("it shows two logs of %d entries", offered.Size)
		}
		return nil
	}
	path := make(tlog.TreeProof, len(proof))
	for i, hash := range proof {
		if len(hash) != tlog.HashSize {
			return fmt.Errorf("a hash of the proof has %d bytes", len(hash))
		}
		path[i] = tlog.Hash(hash)
	}
	if err := tlog.CheckTree(path, offered.Size, offered.Root, w.seen.Size, w.seen.Root); err != nil {
		return fmt.Errorf("its log of %d entries does not extend the one of %d with the root %s: %w",
			offered.Size, w.seen.Size, base64.StdEncoding.EncodeToString(w.seen.Root[:]), err)
	}
	return nil
}

func (w *witness) report() (offers, extended int, problem error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.offers, w.extended, w.problem
}
