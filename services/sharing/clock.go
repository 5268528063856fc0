package sharing

import "time"

// maxSkew is how far another state's clock may be ahead of the one here. What bears a later time is not taken, and
// nothing of this state's goes that does: one of the clocks is wrong, and whoever mends it has the stream go on.
const maxSkew = 5 * time.Minute

// ahead reports whether a time lies further in the future than clocks may differ.
func (s *Service) ahead(at time.Time) bool { return at.After(s.now().Add(maxSkew)) }
