package agent

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/agent/credentials"
	"github.com/musterhq/muster/internal/agent/scmhost"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/scmurl"
	"github.com/musterhq/muster/internal/seal"
)

// withAccount asks with somebody's credential. When the host refuses one that
// should be good, it is renewed, and the question is asked once more. The question
// takes one of the places of its host from the beginning, since the host may have to
// renew the credential first.
func withAccount[T any](ctx context.Context, c *codeHosts, access *linkv1.HostAccess,
	ask func(context.Context, scmhost.Account) (T, error),
) (T, error) {
	var none T
	ctx, leave, err := c.hosts.Enter(ctx, hostOf(access.GetHost()).Integration)
	if err != nil {
		return none, err
	}
	defer leave()
	a, err := c.account(ctx, access)
	if err != nil {
		return none, err
	}
	answer, err := ask(ctx, a)
	if !fault.HasReason(err, fault.SignInRequired) || len(access.GetCredential().GetRefreshTokenSha256()) == 0 {
		return answer, err
	}
	if a.Credential, err = c.credentials.Replace(ctx, refOf(access), a.Credential); err != nil {
		return none, err
	}
	return ask(ctx, a)
}

// account is a host with the credential of whoever asks.
func (c *codeHosts) account(ctx context.Context, access *linkv1.HostAccess) (scmhost.Account, error) {
	a := scmhost.Account{Integration: hostOf(access.GetHost()).Integration}
	if access.GetCredential() == nil {
		return a, fault.New(fault.FailedPrecondition, fault.SignInRequired, "You are not signed in to %s. Sign in, or store a personal access token for it.", a.Host)
	}
	var err error
	a.Credential, err = c.credentials.Get(ctx, refOf(access))
	return a, err
}

func hostOf(h *linkv1.SourceHost) credentials.Host {
	return credentials.Host{
		Integration: scmurl.Integration{
			ID: h.GetIntegrationId(), SCMID: h.GetScmId(), Host: h.GetHost(), VirtualDirectory: h.GetVirtualDirectory(), IssuerURL: h.GetIssuerUrl(),
			OAuth: h.GetOauthClientId() != "", PAT: h.GetPat(),
		},
		ClientID: h.GetOauthClientId(),
	}
}

func refOf(access *linkv1.HostAccess) credentials.Ref {
	cred := access.GetCredential()
	return credentials.Ref{
		ID: cred.GetTokenId(), Host: hostOf(access.GetHost()), OAuth: cred.GetOauth(), ExpiresAt: timeOf(cred.GetExpiresAt()),
		RefreshToken: seal.DigestOf(cred.GetRefreshTokenSha256()), Revision: cred.GetRevision(),
	}
}

func timeOf(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}
