package statistics

import "context"

// newsPage is how many revisions are read at once.
const newsPage = 500

// WatchRevisions tells of each revision after the cursor in the order of commits, then of those to come, until ctx ends
// or send fails, whose error it returns.
func (s *Service) WatchRevisions(ctx context.Context, cursor string, send func(*Revision) error) error {
	for ctx.Err() == nil {
		revisions, err := s.store.Revisions(ctx, cursor, newsPage)
		if err != nil {
			return err
		}
		for i := range revisions {
			if err := send(&revisions[i]); err != nil {
				return err
			}
			cursor = revisions[i].Cursor
		}
		if len(revisions) < newsPage {
			s.store.Wait(ctx)
		}
	}
	return ctx.Err()
}
