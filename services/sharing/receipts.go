package sharing

import "context"

// Receipts returns again the receipts for the last places of the stream from the partner, at most limit of them, in
// order. A sender that stopped before it had kept them would wait for them forever.
func (s *Service) Receipts(ctx context.Context, partner StateCode, limit int) ([]Signed, error) {
	after, err := s.Cursor(ctx, partner)
	if err != nil {
		return nil, err
	}
	after.Sequence -= min(after.Sequence, uint64(max(limit, 0)))
	kept, err := s.Store.ReceiptsAfter(ctx, after)
	if err != nil {
		return nil, err
	}
	receipts := make([]Signed, len(kept))
	for i, data := range kept {
		if receipts[i], err = s.Codec.DecodeSigned(data); err != nil {
			return nil, err
		}
	}
	return receipts, nil
}
