package signin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/url"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/codehost"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/hosttoken"
)

// Invitation is what somebody is about to allow, or has allowed.
type Invitation struct {
	Person, Organization string
	// Runner is the name of the runner that is going to act for the person.
	Runner string
	// Host is as the integration has it, and Kind what kind of host it is:
	// "GitHub".
	Host, Kind string
}

// admitted is everybody and everything that a grant names, as they are now.
type admitted struct {
	person Person
	runner fleet.Runner
	host   codehost.Host
	// page is the host's own page for signing in, without a query, and scopes are
	// what is asked for there.
	page   *url.URL
	scopes []string
}

func (a *admitted) invitation() Invitation {
	return Invitation{
		Person: a.person.Name, Organization: a.person.Organization, Runner: a.runner.Name, Host: a.host.Host, Kind: a.host.SignIn().Name,
	}
}

// admit looks at the rights that a grant stands for. Time has passed since it was
// made.
func (s *Service) admit(ctx context.Context, g grant) (*admitted, error) {
	person, err := s.People.PersonNow(ctx, g.Organization, g.Subject)
	if err != nil {
		return nil, err
	}
	r, found, err := s.Store.Runner(ctx, g.Runner)
	if err != nil {
		return nil, fault.Wrap(err, "reading the runner")
	}
	if err := fleet.Check(person.Caller, access.RunnerUse, &r, found, g.Runner); err != nil {
		return nil, err
	}
	if err := fleet.CheckStays(&r); err != nil {
		return nil, err
	}
	host, found, err := s.Store.Host(ctx, g.Runner, g.Integration)
	if err != nil {
		return nil, fault.Wrap(err, "reading the SCM integration")
	}
	if !found {
		return nil, failed(fault.FailedPrecondition, "The runner %q is no longer connected to this host. \"muster scm list\" shows what it is connected to.", r.Name)
	}
	oauth := host.SignIn().OAuth
	if host.OAuthClientID == "" || oauth == nil {
		return nil, failed(fault.FailedPrecondition, "The runner %q no longer lets people sign in to %s with OAuth. \"muster host login\" shows how to now.", r.Name, host.Host)
	}
	page, err := url.Parse(oauth.AuthorizeURL)
	if err != nil {
		return nil, fault.Wrap(err, "reading where the host lets people sign in")
	}
	return &admitted{person, r, host, page, oauth.Scopes}, nil
}

// Describe says what the holder of a link is about to allow.
func (s *Service) Describe(ctx context.Context, link string) (Invitation, error) {
	g, err := s.openLink(link)
	if err != nil {
		return Invitation{}, err
	}
	a, err := s.admit(ctx, g)
	if err != nil {
		return Invitation{}, err
	}
	return a.invitation(), nil
}

// Begin returns the host's page on which the holder of a link signs in. browser
// is a secret of the holder's browser, which Finish must be given again.
func (s *Service) Begin(ctx context.Context, link, browser string) (authorizeURL string, err error) {
	g, err := s.openLink(link)
	if err != nil {
		return "", err
	}
	a, err := s.admit(ctx, g)
	if err != nil {
		return "", err
	}
	if wait := s.begun.Take(a.person.Caller.ID, time.Now()); wait > 0 {
		return "", fault.New(fault.ResourceExhausted, fault.LimitReached,
			"You have begun to sign in many times in a short while. Try again in %s.", wait.Round(time.Second)).WithRetryAfter(wait)
	}
	g.Until = time.Now().Add(Life).Unix()
	state := s.seal(statePurpose, pending{grant: g, Browser: hash(browser), Client: a.host.OAuthClientID, Issuer: a.host.IssuerURL})
	page, err := s.Runners.BeginSignIn(a.asking(ctx), g.Runner, a.host, state, s.callback(), Life)
	if err != nil {
		return "", err
	}
	if !a.leadsTo(page, state, s.callback()) {
		return "", failed(fault.Unavailable, "The runner %q answered with an address that is not the page of %s for signing in, so nobody is sent there. Run the same version of muster on both sides.", a.runner.Name, a.host.Host)
	}
	return page, nil
}

// asking makes what the runner is asked count as the person's.
func (a *admitted) asking(ctx context.Context) context.Context {
	return access.WithCaller(ctx, a.person.Caller)
}

// callback is where hosts send people back to.
func (s *Service) callback() string { return s.PublicURL + CallbackPath }

func hash(browser string) []byte {
	sum := sha256.Sum256([]byte(browser))
	return sum[:]
}

// Return is how a host sends a person back.
type Return struct {
	State string
	// Code is empty when the host refused.
	Code string
	// Error is the host's reason to refuse, a word of RFC 6749; empty otherwise.
	Error string
	// Issuer is who the host says that it is (RFC 9207); empty when it does not.
	Issuer string
	// Browser is the secret of the browser; empty when it has none.
	Browser string
}

// String keeps the code out of messages.
func (Return) String() string { return "[return]" }

// GoString does the same for %#v.
func (r Return) GoString() string { return r.String() }

// maxCode bounds the code of a host, in bytes.
const maxCode = 4 << 10

// Finish ends a sign-in: the runner exchanges the code, and what comes is stored.
func (s *Service) Finish(ctx context.Context, back Return) (Invitation, error) {
	var p pending
	ours := s.open(statePurpose, back.State, &p) && !p.ended() && back.Browser != "" &&
		subtle.ConstantTimeCompare(p.Browser, hash(back.Browser)) == 1
	if !ours {
		return Invitation{}, failed(fault.InvalidArgument, "No sign-in that began in this browser in the last ten minutes ends here. Begin again with the link that you had.")
	}
	a, err := s.admit(ctx, p.grant)
	if err != nil {
		return Invitation{}, err
	}
	switch {
	case a.host.OAuthClientID != p.Client || a.host.IssuerURL != p.Issuer:
		return Invitation{}, failed(fault.FailedPrecondition, "How the runner %q lets people sign in to %s was changed meanwhile. Begin again.", a.runner.Name, a.host.Host)
	case back.Issuer != "" && !a.issued(back.Issuer):
		// Another host was shown this state, and its code must not go to this one.
		return Invitation{}, failed(fault.InvalidArgument, "Another host than %s sent you back here, so nothing was done. Begin again; if it happens again, tell an admin of the runner %q.", a.host.Host, a.runner.Name)
	case back.Error != "":
		return Invitation{}, refusal(a.host.Host, back.Error)
	case back.Code == "" || len(back.Code) > maxCode:
		return Invitation{}, failed(fault.InvalidArgument, "%s sent you back without a code that can be used. Begin again.", a.host.Host)
	}
	token, there, err := s.Tokens.TokenID(ctx, a.person.Caller, p.Runner, a.host.Host)
	if err != nil {
		return Invitation{}, err
	}
	values, err := s.Runners.FinishSignIn(a.asking(ctx), p.Runner, a.host, back.State, s.callback(), back.Code, token)
	if err != nil {
		return Invitation{}, err
	}
	err = s.Tokens.Keep(ctx, a.person.Caller, hosttoken.SignIn{
		Runner: p.Runner, Integration: p.Integration, Host: a.host.Host, Token: token, Replaces: there, Values: values,
	})
	return a.invitation(), err
}

// refusal says why a host refused. The words of the host itself are not shown:
// whoever made the URL of this page could have written them.
func refusal(host, reason string) error {
	switch reason {
	case "access_denied", "consent_required", "interaction_required", "login_required":
		return failed(fault.PermissionDenied, "You, or the rules of your organization on %s, did not allow it. Nothing was stored.", host)
	case "temporarily_unavailable", "server_error":
		return failed(fault.Unavailable, "%s could not answer just now. Begin again a little later.", host)
	case "invalid_scope":
		return failed(fault.FailedPrecondition, "%s does not give its OAuth application the permissions that are needed. An admin of the runner has to change the application on %s.", host, host)
	case "unauthorized_client", "invalid_client", "redirect_uri_mismatch", "invalid_request", "unsupported_response_type", "application_suspended":
		return failed(fault.FailedPrecondition, "%s does not accept its OAuth application as it is set up. An admin of the runner has to compare it with \"muster scm get\", and its callback URL with \"muster runner schema\".", host)
	default:
		return failed(fault.FailedPrecondition, "%s refused, for a reason that has no name here. Begin again; if it happens again, an admin of the runner should look at the OAuth application.", host)
	}
}
