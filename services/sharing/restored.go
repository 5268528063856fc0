package sharing

import (
	"context"
	"time"
)

// anewAtMost is how often a stream begins anew, at most, because of what its receiver says.
const anewAtMost = time.Minute

// lost begins the stream to a partner anew where the partner has signed a receipt for an envelope that is not known here:
// the database was restored from a backup, and does not know what has gone since. To go on from where it stands would be to
// sign a second envelope for places that have one. In the new epoch, what may go is released again.
func (s *Service) lost(ctx context.Context, partner StateCode, at Cursor) error {
	head, err := s.Head(ctx, partner)
	if err != nil || head.Epoch == "" {
		return err
	}
	age := s.now().Sub(idTime(head.Epoch))
	if at.Epoch < head.Epoch || 0 <= age && age < anewAtMost {
		return nil // it began after that envelope, or a moment ago
	}
	return s.beginAnew(ctx, partner, head, "its receiver has receipts for what is not known here: the database was restored from a backup")
}
