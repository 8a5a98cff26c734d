package scmhost

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/scmurl"
)

// Client is an OAuth application.
type Client struct{ ID, Secret string }

// String keeps the secret out of messages.
func (c Client) String() string { return "[client " + c.ID + "]" }

// GoString does the same for %#v.
func (c Client) GoString() string { return c.String() }

// Grant is what a host gives for a code or a refresh token.
type Grant struct {
	// RefreshToken is empty when the host gives none, and ExpiresAt is zero when the
	// token does not expire.
	Token, RefreshToken string
	// ExpiresAt is a little before the host stops accepting the token; see
	// expiryMargin.
	ExpiresAt time.Time
	// Scopes are nil when the host does not say: then they are those asked for.
	Scopes []string
}

// String keeps the tokens out of messages.
func (g Grant) String() string { return "[grant]" }

// GoString does the same for %#v.
func (g Grant) GoString() string { return g.String() }

const (
	// expiryMargin is how much earlier than the host says a token counts as expired,
	// for the time that calls take; it is at most a tenth of the token's life.
	expiryMargin = 30 * time.Second
	// gitLabLife is how long tokens of GitLab live; old versions do not say so.
	gitLabLife = 2 * time.Hour
)

// ErrRevoked is in the chain of what Refresh returns when the host refuses the
// refresh token, so that its owner must sign in again.
var ErrRevoked = errors.New("the host refuses the refresh token")

// BeginSignIn returns where a person signs in, and keeps a PKCE verifier for the
// state, in memory, for that long.
func (h *Hosts) BeginSignIn(i scmurl.Integration, c Client, state, redirectURL string, life time.Duration) (authorizeURL string, err error) {
	app, err := h.site(i, Credential{}).application(c, redirectURL)
	if err != nil {
		return "", err
	}
	verifier := oauth2.GenerateVerifier()
	h.signIns.keep(state, verifier, life)
	return app.AuthCodeURL(state, oauth2.S256ChallengeOption(verifier)), nil
}

// FinishSignIn exchanges a code. A state works once, also when the host does not
// accept the code.
func (h *Hosts) FinishSignIn(ctx context.Context, i scmurl.Integration, c Client, state, redirectURL, code string) (Grant, error) {
	verifier, ok := h.signIns.take(state)
	if !ok {
		return Grant{}, fault.New(fault.FailedPrecondition, fault.SignInFailed,
			"The runner does not know this sign-in: it took too long, was finished before, or the runner was restarted in between. Start it again.")
	}
	g, err := h.grant(ctx, i, c, redirectURL, func(ctx context.Context, app *oauth2.Config) (*oauth2.Token, error) {
		return app.Exchange(ctx, code, oauth2.VerifierOption(verifier))
	})
	if errors.Is(err, ErrRevoked) {
		return Grant{}, fault.New(fault.FailedPrecondition, fault.SignInFailed, "%s does not accept what this sign-in brought. Start it again.", i.Host)
	}
	return g, err
}

// Refresh renews a token. When the host gives no new refresh token, the old one
// is in the grant.
func (h *Hosts) Refresh(ctx context.Context, i scmurl.Integration, c Client, refreshToken string) (Grant, error) {
	return h.grant(ctx, i, c, "", func(ctx context.Context, app *oauth2.Config) (*oauth2.Token, error) {
		return app.TokenSource(ctx, &oauth2.Token{RefreshToken: refreshToken}).Token()
	})
}

// application is the OAuth application of an integration.
func (s Site) application(c Client, redirectURL string) (*oauth2.Config, error) {
	o := s.SignIn().OAuth
	if o == nil || c.ID == "" {
		return nil, fault.New(fault.FailedPrecondition, fault.HostNotConfigured,
			"The integration of %s has no OAuth application. Use a personal access token, or ask an administrator to add one.", s.Host)
	}
	if s.astray() {
		return nil, s.refusedHost()
	}
	if g, ok := s.HTTP.Transport.(*gate); ok && g.issuer != "" {
		return nil, g.refusedIssuer() // nor is a person sent there
	}
	style := oauth2.AuthStyleInParams
	if o.BasicAuth {
		style = oauth2.AuthStyleInHeader
	}
	return &oauth2.Config{
		ClientID: c.ID, ClientSecret: c.Secret, RedirectURL: redirectURL, Scopes: o.Scopes,
		Endpoint: oauth2.Endpoint{AuthURL: o.AuthorizeURL, TokenURL: o.TokenURL, AuthStyle: style},
	}, nil
}

// grant asks a token endpoint.
func (h *Hosts) grant(ctx context.Context, i scmurl.Integration, c Client, redirectURL string,
	ask func(context.Context, *oauth2.Config) (*oauth2.Token, error),
) (Grant, error) {
	site := h.site(i, Credential{})
	app, err := site.application(c, redirectURL)
	if err != nil {
		return Grant{}, err
	}
	var t *oauth2.Token
	err = h.renewals.within(ctx, site, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(context.WithValue(ctx, oauth2.HTTPClient, site.HTTP), callPatience)
		defer cancel()
		if t, err = ask(ctx, app); err != nil && ctx.Err() != nil {
			err = &url.Error{Op: "Post", Err: ctx.Err()} // of half an answer, err says only that it is garbage
		}
		return site.refusedGrant(err)
	})
	if h.failed(ctx, site, err) != nil {
		return Grant{}, err
	}
	if len(t.AccessToken) > maxToken || len(t.RefreshToken) > maxToken {
		return Grant{}, site.tooLong()
	}
	g := Grant{Token: t.AccessToken, RefreshToken: t.RefreshToken, Scopes: grantedScopes(t)}
	expiry := t.Expiry
	if expiry.IsZero() && i.SCMID == scmurl.GitLab {
		expiry = time.Now().Add(gitLabLife)
	}
	if !expiry.IsZero() {
		g.ExpiresAt = expiry.Add(-min(expiryMargin, max(time.Until(expiry), 0)/10)).UTC()
	}
	return g, nil
}

// grantedScope is what RFC 6749 lets a scope look like, within bounds.
var grantedScope = regexp.MustCompile(`^[!#-[\]-~]{1,255}$`)

// grantedScopes reads the scopes of an answer, without what cannot be one. GitHub puts commas between them,
// and Bitbucket has a name of its own for them.
func grantedScopes(t *oauth2.Token) []string {
	for _, name := range []string{"scope", "scopes"} {
		if list, ok := t.Extra(name).(string); ok && list != "" {
			return words(list, grantedScope)
		}
	}
	return nil
}

// refusedGrant turns an error of a token endpoint into a fault. ErrRevoked is in
// its chain when it is the code or the refresh token that the host refuses. Without
// an error there is no fault.
func (s Site) refusedGrant(err error) error {
	if err == nil {
		return nil
	}
	at := s
	if issuer, err := url.Parse(s.IssuerURL); err == nil && issuer.Host != "" {
		at.Host = issuer.Host // which is who did not answer
	}
	if unasked(err) {
		return at.faultOf(nil, err)
	}
	var answer *oauth2.RetrieveError
	if !errors.As(err, &answer) {
		return at.garbled()
	}
	switch refusalOf(s.SCMID, answer) {
	case clientRefused:
		return fault.New(fault.FailedPrecondition, fault.SignInFailed,
			"%s does not accept the OAuth application of this integration. An administrator must correct its client id or client secret.", s.Host)
	case grantRefused:
		return fault.New(fault.FailedPrecondition, fault.SignInRequired, "%s does not renew your sign-in. Sign in again.", s.Host).WithCause(ErrRevoked)
	case requestRefused:
		return fault.New(fault.FailedPrecondition, fault.SignInFailed,
			"%s refuses to sign anybody in like this. An administrator must compare the redirect URL and the scopes of the OAuth application with those of the integration.", s.Host)
	}
	if answer.Response.StatusCode == http.StatusNotFound {
		return at.garbled() // nothing that anybody asked for is missing
	}
	return at.faultOf(answer.Response, nil)
}

// unasked tells whether a call failed before the token endpoint answered.
func unasked(err error) bool {
	var call *url.Error
	var f *fault.Error
	return errors.As(err, &call) || errors.As(err, &f)
}

// refusal is what a token endpoint does not accept.
type refusal uint8

const (
	// unclear is for answers that say nothing about it.
	unclear refusal = iota
	// clientRefused is about the OAuth application, grantRefused about a code or a
	// refresh token, requestRefused about the rest.
	clientRefused
	grantRefused
	requestRefused
)

// refusalOf reads the error of a token endpoint. The names are those of RFC 6749,
// and what hosts have in their place.
func refusalOf(scmID string, e *oauth2.RetrieveError) refusal {
	switch e.ErrorCode {
	case "invalid_client", "incorrect_client_credentials":
		return clientRefused
	case "invalid_grant", "bad_verification_code", "bad_refresh_token", "interaction_required", "consent_required", "login_required":
		return grantRefused
	case "unauthorized_client":
		// Gitea says this of everything, and only the description tells.
		if scmID == scmurl.Gitea && !strings.Contains(e.ErrorDescription, "client secret") {
			return grantRefused
		}
		return clientRefused
	}
	switch status := e.Response.StatusCode; {
	case status == http.StatusUnauthorized, status == http.StatusNotFound && scmID == scmurl.GitHub:
		return clientRefused
	case e.ErrorCode == "", status == http.StatusTooManyRequests, status >= http.StatusInternalServerError:
		return unclear
	}
	return requestRefused
}
