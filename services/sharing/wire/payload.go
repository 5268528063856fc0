package wire

import (
	"errors"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"

	"github.com/comity-federation/comity/proto/block"
	exchangepb "github.com/comity-federation/comity/proto/comity/exchange/v1"
	blockwire "github.com/comity-federation/comity/proto/wire"
)

const (
	// maxContent bounds a payload once it is decompressed, in bytes.
	maxContent = 8 << 20
	// leastCompressed is the size in bytes from which a payload is compressed.
	leastCompressed = 512
)

// EncodePayload returns the bytes of a Payload with the block, compressed where that makes it smaller.
func (Codec) EncodePayload(b *block.Block) ([]byte, error) {
	plain, err := encode(&exchangepb.Payload{Block: blockwire.BlockToProto(b)})
	if err != nil || len(plain) < leastCompressed {
		return plain, err
	}
	encoder, err := encoders()
	if err != nil {
		return nil, err
	}
	compressed, err := encode(&exchangepb.Payload{Zstd: encoder.EncodeAll(plain, nil)})
	if err != nil || len(compressed) >= len(plain) {
		return plain, err
	}
	return compressed, nil
}

// DecodePayload reads the block of a Payload. One that is larger than 8 MiB when it is decompressed is refused before it is.
func (Codec) DecodePayload(data []byte) (*block.Block, error) {
	var p exchangepb.Payload
	if err := proto.Unmarshal(data, &p); err != nil {
		return nil, err
	}
	if len(p.GetZstd()) == 0 {
		return blockwire.BlockFromProto(p.GetBlock())
	}
	if p.GetBlock() != nil {
		return nil, errors.New("it has a block, and another one that is compressed")
	}
	decoder, err := decoders()
	if err != nil {
		return nil, err
	}
	plain, err := decoder.DecodeAll(p.GetZstd(), nil)
	if err != nil {
		return nil, fmt.Errorf("decompressing it: %w", err)
	}
	p.Reset()
	if err := proto.Unmarshal(plain, &p); err != nil {
		return nil, err
	}
	return blockwire.BlockFromProto(p.GetBlock())
}

// The encoder and the decoder are made once, and serve many at the same time.
var (
	encoders = sync.OnceValues(func() (*zstd.Encoder, error) {
		return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2), zstd.WithLowerEncoderMem(true))
	})
	decoders = sync.OnceValues(func() (*zstd.Decoder, error) {
		return zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxContent), zstd.WithDecoderConcurrency(2), zstd.WithDecoderLowmem(true))
	})
)
