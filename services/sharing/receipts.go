package sharing

import "context"

// Receipts returns again the receipts for the last places of the stream from the partner, at most limit of them, in
// order. A sender that stopped before it had kept them would wait for them forever.
func (s *Service) Receipts(ctx context.Context, partner StateCode, limit int) ([]Signed, error) {
	at, err := s.Cursor(ctx, partner)
	if err != nil {
		return nil, err
	}
	last := at.Sequence
	var receipts []Signed
	for at.Sequence -= min(last, uint64(max(limit, 0))); at.Sequence < last; {
		at.Sequence++
		kept, found, err := s.Store.ReceivedAt(ctx, at)
		if err != nil {
			return nil, err
		}
		if !found || kept.Receipt == nil {
			continue // refused
		}
		receipt, err := s.Codec.DecodeSigned(kept.Receipt)
		if err != nil {
			return nil, err
		}
		receipts = append(receipts, receipt)
	}
	return receipts, nil
}
