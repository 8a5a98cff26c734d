package identity

import (
	"context"
	"time"

	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/token"
)

// useGrain is how exact the last use of a token is: it is stored at most once
// in this time, off the path of the call.
const useGrain = time.Minute

type use struct {
	token id.Token
	at    time.Time
}

// used notes a use of a token. It never blocks: under pressure a note is lost,
// and the next use makes up for it.
func (s *Service) used(r token.Record, now time.Time) {
	if now.Sub(r.LastUsedAt) < useGrain {
		return
	}
	select {
	case s.uses <- use{r.ID, now}:
	default:
	}
}

// Run stores the last use of tokens until ctx ends.
func (s *Service) Run(ctx context.Context) {
	stored := map[id.Token]time.Time{}
	for {
		select {
		case <-ctx.Done():
			return
		case u := <-s.uses:
			if u.at.Sub(stored[u.token]) < useGrain {
				continue
			}
			if len(stored) >= cacheSize {
				clear(stored)
			}
			stored[u.token] = u.at
			err := s.store.Write(ctx, func(tx Tx) error { return tx.TouchToken(ctx, u.token, u.at) })
			if err != nil && ctx.Err() == nil {
				s.log.Warn("the last use of a token could not be stored", "token_id", u.token, "error", err)
			}
		}
	}
}
