package link

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/codehost"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/hosttoken"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/seal"
	"github.com/musterhq/muster/internal/signin"
)

var _ signin.Runners = (*Hub)(nil)

// Tokens stores host tokens that runners renew; see package hosttoken.
type Tokens interface {
	Refreshed(ctx context.Context, c access.Caller, token string, from seal.Digest, v *hosttoken.Values) (revision int64, superseded bool, err error)
}

// BeginSignIn implements signin.Runners.
func (h *Hub) BeginSignIn(ctx context.Context, r id.Runner, host codehost.Host, state, redirectURL string, life time.Duration) (authorizeURL string, err error) {
	reply, err := h.askHost(ctx, r, &linkv1.Request{Request: &linkv1.Request_BeginSignIn{BeginSignIn: &linkv1.BeginSignIn{
		Host: sourceHost(host), State: state, RedirectUrl: redirectURL, Life: durationpb.New(life),
	}}})
	if err != nil {
		return "", err
	}
	if reply.GetSignInBegun() == nil {
		return "", wrongReply()
	}
	return reply.GetSignInBegun().GetAuthorizeUrl(), nil
}

// FinishSignIn implements signin.Runners.
func (h *Hub) FinishSignIn(ctx context.Context, r id.Runner, host codehost.Host, state, redirectURL, code, token string) (hosttoken.Values, error) {
	reply, err := h.askHost(ctx, r, &linkv1.Request{Request: &linkv1.Request_FinishSignIn{FinishSignIn: &linkv1.FinishSignIn{
		Host: sourceHost(host), State: state, RedirectUrl: redirectURL, Code: code, TokenId: token,
	}}})
	if err != nil {
		return hosttoken.Values{}, err
	}
	v, ok := valuesOf(reply.GetSignedIn())
	if !ok {
		return hosttoken.Values{}, wrongReply()
	}
	return v, nil
}

// valuesOf reads what a runner sealed; false when it is none.
func valuesOf(s *linkv1.SignedIn) (v hosttoken.Values, ok bool) {
	if len(s.GetSealedToken()) == 0 {
		return v, false
	}
	v = hosttoken.Values{Value: s.GetSealedToken(), RefreshToken: s.GetSealedRefreshToken(), Scopes: s.GetScopes()}
	at := s.GetExpiresAt()
	if at != nil {
		v.ExpiresAt = at.AsTime()
	}
	return v, at == nil || at.CheckValid() == nil
}

// maxStoring is how many renewed host tokens a runner may wait for at once.
const maxStoring = 64

// Each renewal leaves an audit entry, so they are paced as deliveries of secrets
// are.
const (
	renewalsPerSecond = 5
	renewalsAtOnce    = 200
)

// renewed stores a renewed host token, and answers soon and in any order.
func (h *Hub) renewed(ctx context.Context, c *conn, f *linkv1.TokenRefreshed) {
	reply := &linkv1.TokenStored{RequestId: f.GetRequestId()}
	values, ok := valuesOf(f.GetValues())
	from := seal.DigestOf(f.GetRefreshTokenSha256())
	c.mu.Lock()
	switch {
	case !id.Valid(f.GetTokenId()) || ok == f.GetRefused() || from == seal.Digest{}:
		reply.Final, reply.Error = true, "This is no renewal of a host token. Run the same version of muster on both sides."
	case c.storing >= maxStoring:
		reply.Error = "Too many host tokens were renewed at once. Send this one again when some are stored."
	case h.renewals.Take(id.Runner(c.caller.ID), time.Now()) > 0:
		reply.Error = "Too many host tokens were renewed in a short time. Send this one again a little later."
	default:
		c.storing++
	}
	c.mu.Unlock()
	if reply.GetError() != "" {
		c.push(tokenStored(reply))
		return
	}
	go func() {
		var v *hosttoken.Values
		if ok {
			v = &values
		}
		var err error
		reply.Revision, reply.Superseded, err = h.cfg.Tokens.Refreshed(ctx, c.caller, id.Canonical(f.GetTokenId()), from, v)
		c.mu.Lock()
		c.storing--
		c.mu.Unlock()
		if err != nil {
			failure := fault.From(err)
			reply.Revision, reply.Superseded, reply.Error, reply.Final = 0, false, failure.Message, final(failure.Code)
			if ctx.Err() == nil {
				h.cfg.Log.Warn("a renewed host token could not be stored", "runner_id", c.caller.ID, "host_token", f.GetTokenId(), "error", err)
			}
		}
		c.push(tokenStored(reply))
	}()
}

// final tells whether what failed with a code fails always.
func final(c fault.Code) bool {
	switch c {
	case fault.InvalidArgument, fault.NotFound, fault.FailedPrecondition, fault.PermissionDenied:
		return true
	default:
		return false
	}
}

func tokenStored(r *linkv1.TokenStored) *planeFrame {
	return &planeFrame{Frame: &linkv1.PlaneFrame_TokenStored{TokenStored: r}}
}
