package wire_test

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"

	"github.com/comity-federation/comity/proto/block"
	exchangepb "github.com/comity-federation/comity/proto/comity/exchange/v1"
	blockwire "github.com/comity-federation/comity/proto/wire"
	"github.com/comity-federation/comity/services/sharing/wire"
)

func TestPayload(t *testing.T) {
	t.Parallel()
	var codec wire.Codec
	rows := func(n int) *block.Block {
		b := block.NewBuilder([]string{"FREQ", block.TimePeriod}, []string{block.ObsValue})
		for i := range n {
			b.Append([]string{"M", fmt.Sprintf("%04d-%02d", 1000+i/12, 1+i%12)}, []float64{float64(i)})
		}
		return b.Block()
	}
	compress := func(t *testing.T, plain []byte) []byte {
		t.Helper()
		encoder, err := zstd.NewWriter(nil)
		if err != nil {
			t.Fatal(err)
		}
		data, err := proto.Marshal(&exchangepb.Payload{Zstd: encoder.EncodeAll(plain, nil)})
		if err != nil {
			t.Fatal(err)
		}
		return data
	}

	t.Run("is compressed, the same each time, and read again", func(t *testing.T) {
		t.Parallel()
		for _, n := range []int{0, 1, 4096} {
			once, err := codec.EncodePayload(rows(n))
			if err != nil {
				t.Fatal(err)
			}
			again, err := codec.EncodePayload(rows(n))
			if err != nil || !bytes.Equal(once, again) {
				t.Errorf("%d rows are encoded in two ways, %v", n, err)
			}
			plain, err := proto.Marshal(&exchangepb.Payload{Block: blockwire.BlockToProto(rows(n))})
			if err != nil {
				t.Fatal(err)
			}
			if n > 1 && len(once) > len(plain)/2 {
				t.Errorf("%d rows have %d bytes, and %d without compression", n, len(once), len(plain))
			}
			got, err := codec.DecodePayload(once)
			if err != nil {
				t.Fatal(err)
			}
			if got.Rows != n || n > 0 && !cmp.Equal(got.Columns, rows(n).Columns) {
				t.Errorf("%d rows came back as %d", n, got.Rows)
			}
		}
	})
	t.Run("is read where it is not compressed", func(t *testing.T) {
		t.Parallel()
		plain, err := proto.Marshal(&exchangepb.Payload{Block: blockwire.BlockToProto(rows(1000))})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := codec.DecodePayload(plain); err != nil || got.Rows != 1000 {
			t.Errorf("%v", err)
		}
	})
	t.Run("refuses a zip bomb in bounded memory", func(t *testing.T) {
		bomb := compress(t, make([]byte, 1<<30))
		if len(bomb) > 1<<20 {
			t.Fatalf("the bomb has %d bytes, and no envelope would hold it", len(bomb))
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := codec.DecodePayload(bomb)
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Error("it was read")
		}
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 32<<20 {
			t.Errorf("%d MiB were needed to refuse it", grown>>20)
		}
	})
	t.Run("refuses a frame within a frame, a broken one, and a block beside one", func(t *testing.T) {
		t.Parallel()
		inner, err := codec.EncodePayload(rows(4096))
		if err != nil {
			t.Fatal(err)
		}
		both, err := proto.Marshal(&exchangepb.Payload{Block: blockwire.BlockToProto(rows(1)), Zstd: []byte("x")})
		if err != nil {
			t.Fatal(err)
		}
		broken, err := proto.Marshal(&exchangepb.Payload{Zstd: []byte(strings.Repeat("x", 1000))})
		if err != nil {
			t.Fatal(err)
		}
		for name, data := range map[string][]byte{"a frame within a frame": compress(t, inner), "both": both, "broken": broken} {
			if got, err := codec.DecodePayload(data); err == nil {
				t.Errorf("%s was read, with %d rows", name, got.Rows)
			}
		}
	})
}
