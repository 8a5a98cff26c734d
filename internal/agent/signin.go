package agent

import (
	"context"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/agent/credentials"
	"github.com/musterhq/muster/internal/agent/scmhost"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/scmurl"
	"github.com/musterhq/muster/internal/seal"
)

// hostSignIns are what is asked about how to sign in.
type hostSignIns interface {
	SignIn(i scmurl.Integration) scmurl.SignIn
	BeginSignIn(i scmurl.Integration, c scmhost.Client, state, redirectURL string, life time.Duration) (authorizeURL string, err error)
	FinishSignIn(ctx context.Context, i scmurl.Integration, c scmhost.Client, state, redirectURL, code string) (scmhost.Grant, error)
	Probe(ctx context.Context, i scmurl.Integration, c scmhost.Client) (scmhost.Probed, error)
}

// checkAuthentication tells whether somebody is signed in, and how to.
func (c *codeHosts) checkAuthentication(ctx context.Context, q *linkv1.CheckAuthentication) (*linkv1.Reply, error) {
	access := q.GetAccess()
	authenticated := false
	if access.GetCredential() != nil {
		_, err := withAccount(ctx, c, access, func(ctx context.Context, a scmhost.Account) (struct{}, error) {
			return struct{}{}, c.authenticated(ctx, a)
		})
		if err != nil && !fault.HasReason(err, fault.SignInRequired) {
			return nil, err
		}
		authenticated = err == nil
	}
	host := hostOf(access.GetHost())
	ways := c.signIns.SignIn(host.Integration)
	m := &gitpodv1.CheckAuthenticationForHostResponse{
		Authenticated: authenticated, ScmId: host.SCMID, ScmName: ways.Name,
		PatSupported: ways.PAT != nil, //nolint:staticcheck // old clients look at it
	}
	if ways.OAuth != nil {
		m.SupportsOauth2 = &gitpodv1.CheckAuthenticationForHostResponse_AuthenticationMethodOAuth2{DocsUrl: ways.OAuth.DocsURL}
	}
	if pat := ways.PAT; pat != nil {
		m.SupportsPat = &gitpodv1.CheckAuthenticationForHostResponse_AuthenticationMethodPersonalAccessToken{
			CreateUrl: pat.CreateURL, DocsUrl: pat.DocsURL, Example: pat.Example, RequiredScopes: pat.Scopes,
		}
	}
	return &linkv1.Reply{Reply: &linkv1.Reply_AuthenticationChecked{AuthenticationChecked: &linkv1.AuthenticationChecked{Result: m}}}, nil
}

// authenticated is the error of a credential that its host does not accept.
func (c *codeHosts) authenticated(ctx context.Context, a scmhost.Account) error {
	yes, err := c.hosts.Authenticated(ctx, a)
	if err == nil && !yes {
		err = fault.New(fault.FailedPrecondition, fault.SignInRequired, "%s does not accept your credential any more. Sign in again.", a.Host)
	}
	return err
}

// probeIntegration tries an integration that need not be stored yet.
func (c *codeHosts) probeIntegration(ctx context.Context, q *linkv1.ProbeIntegration) (*linkv1.Reply, error) {
	host := hostOf(q.GetHost())
	client, cannotOpen := scmhost.Client{ID: host.ClientID}, ""
	if sealed := q.GetSealedClientSecret(); len(sealed) > 0 {
		// Nothing else that is sealed to this runner may go where the question says.
		if !isClientSecret(q.GetPurpose()) {
			return nil, fault.New(fault.InvalidArgument, fault.InvalidField, "The purpose of the sealed client secret is not that of one.")
		}
		secret, err := c.open(sealed, q.GetPurpose())
		if err != nil {
			client, cannotOpen = scmhost.Client{}, "has a client secret that is sealed to another key than this runner's; set it again"
		}
		client.Secret = string(secret)
		clear(secret)
	}
	probed, err := c.signIns.Probe(ctx, host.Integration, client)
	if err != nil {
		return nil, err
	}
	if cannotOpen != "" {
		probed.OAuth = cannotOpen
	}
	return &linkv1.Reply{Reply: &linkv1.Reply_IntegrationProbed{IntegrationProbed: &linkv1.IntegrationProbed{
		HostError: printable(probed.Host, maxMessage), OauthError: printable(probed.OAuth, maxMessage),
	}}}, nil
}

// isClientSecret tells whether a purpose is that of the client secret of an
// integration.
func isClientSecret(purpose string) bool {
	parts := strings.Split(purpose, "/")
	return len(parts) == 3 && id.Valid(parts[1]) && purpose == seal.Name("scm_integration", parts[1], "client_secret")
}

func (c *codeHosts) beginSignIn(q *linkv1.BeginSignIn) (*linkv1.Reply, error) {
	host := hostOf(q.GetHost())
	authorizeURL, err := c.signIns.BeginSignIn(host.Integration, scmhost.Client{ID: host.ClientID}, q.GetState(), q.GetRedirectUrl(), q.GetLife().AsDuration())
	if err != nil {
		return nil, err
	}
	return &linkv1.Reply{Reply: &linkv1.Reply_SignInBegun{SignInBegun: &linkv1.SignInBegun{AuthorizeUrl: authorizeURL}}}, nil
}

// finishSignIn exchanges a code for the values of a host token.
func (c *codeHosts) finishSignIn(ctx context.Context, q *linkv1.FinishSignIn) (*linkv1.Reply, error) {
	if !id.Valid(q.GetTokenId()) {
		return nil, fault.New(fault.InvalidArgument, fault.InvalidField, "The id of the host token that is to be signed in is no UUID.")
	}
	host := hostOf(q.GetHost())
	ctx, leave, err := c.hosts.Enter(ctx, host.Integration)
	if err != nil {
		return nil, err
	}
	defer leave()
	client, err := c.credentials.Client(ctx, host)
	if err != nil {
		return nil, err
	}
	grant, err := c.signIns.FinishSignIn(ctx, host.Integration, client, q.GetState(), q.GetRedirectUrl(), q.GetCode())
	if err != nil {
		return nil, err
	}
	values, err := c.credentials.Seal(q.GetTokenId(), grant)
	if err != nil {
		return nil, err
	}
	return &linkv1.Reply{Reply: &linkv1.Reply_SignedIn{SignedIn: valuesMessage(values)}}, nil
}

func valuesMessage(v credentials.Values) *linkv1.SignedIn {
	m := &linkv1.SignedIn{SealedToken: v.Token, SealedRefreshToken: v.RefreshToken, Scopes: v.Scopes}
	if !v.ExpiresAt.IsZero() {
		m.ExpiresAt = timestamppb.New(v.ExpiresAt)
	}
	return m
}

// handOver tells the control plane of one link what became of host tokens, until
// the link ends.
func (c *codeHosts) handOver(ctx context.Context, out *outbox) {
	_ = c.credentials.Deliver(ctx, func(ctx context.Context, r credentials.Renewal) error {
		m := &linkv1.TokenRefreshed{RequestId: r.ID, TokenId: r.Token, RefreshTokenSha256: r.From.Bytes(), Refused: r.Refused}
		if !r.Refused {
			m.Values = valuesMessage(r.Values)
		}
		return out.stream(ctx, &linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_TokenRefreshed{TokenRefreshed: m}})
	})
}

// stored takes the answer.
func (c *codeHosts) stored(m *linkv1.TokenStored) {
	why := printable(m.GetError(), maxMessage)
	switch {
	case why == "":
	case m.GetFinal():
		c.log.Error("the control plane refuses a renewed host token; its owner must sign in again", "error", why)
	default:
		c.log.Warn("the control plane could not store a renewed host token; it is sent again", "error", why)
		return
	}
	c.credentials.Stored(m.GetRequestId(), credentials.Outcome{Revision: m.GetRevision(), Superseded: m.GetSuperseded(), Final: why != ""})
}
