package sharing

import (
	"bytes"
	"fmt"
	"slices"
)

// Comparison holds the logs of several states against each other. Each may be whole by itself, and yet a sender may have
// shown its receiver another envelope than the one in its log. The zero value is ready; entries of verified logs are
// added in any order.
type Comparison struct {
	kept map[EntryName][]byte // the hashes of envelopes and receipts
}

// counterparts says which kind of entry the other state has of the same thing.
var counterparts = [...]struct {
	ours, theirs EntryKind
	what         string
}{
	{EntryEnvelopeSent, EntryEnvelopeReceived, "the sender has logged another envelope than the receiver; one of the two states shows a false log, or the sender has signed two"},
	{EntryReceiptReceived, EntryReceiptSent, "the sender has logged another receipt than the receiver; the receiver has signed two, or one of the logs is false"},
}

// Add takes note of an entry.
func (c *Comparison) Add(entry LogEntry) {
	if c.kept == nil {
		c.kept = map[EntryName][]byte{}
	}
	for _, pair := range counterparts {
		if entry.Kind == pair.ours || entry.Kind == pair.theirs {
			c.kept[EntryName{entry.Kind, entry.Subject}] = entry.ContentSHA256
		}
	}
}

// Contradictions says at which places of streams two logs contradict each other, and how, in the order of the places.
// What one log alone has is none: the other one may have been read before.
func (c *Comparison) Contradictions() []string {
	var found []string
	for _, pair := range counterparts {
		for name, hash := range c.kept {
			other := c.kept[EntryName{pair.theirs, name.Subject}]
			if name.Kind == pair.ours && other != nil && !bytes.Equal(hash, other) {
				found = append(found, fmt.Sprintf("%s: %s", name.Subject, pair.what))
			}
		}
	}
	slices.Sort(found)
	return found
}
