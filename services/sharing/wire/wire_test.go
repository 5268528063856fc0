package wire

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/services/sharing"
)

func header() sharing.Header {
	return sharing.Header{
		Sender: "aa", Receiver: "bb", Agreement: "aa-bb-1a", AgreementVersion: 2, Decision: "d", PolicyRevision: "r",
		Stream: "aa-bb", Epoch: "e", Sequence: 7, Previous: []byte{1},
		Created: time.Unix(1, 2000).UTC(), Expires: time.Unix(3, 0).UTC(), PayloadSHA256: []byte{2},
		Release: "x", BatchIndex: 1, BatchCount: 3, ReleaseSHA256: []byte{4}, Dataflow: "A:B(1.0.0)",
		Scope: filter.And(filter.In("INDICATOR", "1A")), Codelists: []string{"A:CL(1.0.0)"},
	}
}

func TestCodec(t *testing.T) {
	var codec Codec
	t.Run("gives back the header it wrote", func(t *testing.T) {
		data, err := codec.EncodeHeader(header())
		if err != nil {
			t.Fatal(err)
		}
		got, err := codec.DecodeHeader(data)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(header(), got); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("gives back the block it wrote", func(t *testing.T) {
		b := block.NewBuilder([]string{"CITIZENSHIP"}, []string{block.ObsValue})
		b.Append([]string{"SYR"}, []float64{12})
		data, err := codec.EncodePayload(b.Block())
		if err != nil {
			t.Fatal(err)
		}
		got, err := codec.DecodePayload(data)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(b.Block(), got); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("refuses a header without its times", func(t *testing.T) {
		if _, err := codec.DecodeHeader(nil); err == nil {
			t.Error("an empty header was read")
		}
	})
	t.Run("refuses an envelope without a header", func(t *testing.T) {
		if _, err := codec.DecodeEnvelope(nil); err == nil {
			t.Error("an empty envelope was read")
		}
	})
	t.Run("survives any bytes", rapid.MakeCheck(func(t *rapid.T) {
		data := rapid.SliceOf(rapid.Byte()).Draw(t, "data")
		_, _ = codec.DecodeEnvelope(data)
		_, _ = codec.DecodeHeader(data)
		_, _ = codec.DecodePayload(data)
		_, _ = codec.DecodeReceipt(data)
		_, _ = codec.DecodeTermination(data)
		_, _ = codec.DecodeSigned(data)
	}))
}
