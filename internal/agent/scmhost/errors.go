package scmhost

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/scmurl"
)

// faultOf turns a failed call to the host into a fault. Nothing of the answer's
// body gets into it: hosts echo what they were sent. resp is nil when there was no
// answer; err is for finding out why, not for quoting. Without both there is no
// fault.
func (s Site) faultOf(resp *http.Response, err error) error {
	if f := new(fault.Error); errors.As(err, &f) {
		return f
	}
	if resp == nil && err == nil {
		return nil
	}
	if resp == nil || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return s.unanswered(err)
	}
	host := s.Host
	switch resp.StatusCode {
	case http.StatusOK:
		return s.garbled()
	case http.StatusUnauthorized:
		return s.refusedCredential()
	case http.StatusForbidden, http.StatusTooManyRequests:
		if wait, limited := limit(resp); limited {
			return fault.New(fault.ResourceExhausted, fault.HostLimited, "%s asks to be called less often.", host).WithRetryAfter(wait)
		}
		return s.forbidden(resp.Header)
	case http.StatusNotFound:
		return s.missing("page")
	case http.StatusGone:
		return fault.New(fault.Unimplemented, fault.HostRefused, "%s does not offer this any more.", host)
	case http.StatusNonAuthoritativeInfo:
		if s.azure() {
			return s.refusedCredential()
		}
	}
	return fault.New(fault.Unavailable, fault.HostUnavailable, "%s answered with the status %d.", host, resp.StatusCode).WithCause(answered(resp.StatusCode))
}

// inTime turns the end of a context into a fault of the host that was waited for.
// Other errors stay.
func (s Site) inTime(err error) error {
	if f := new(fault.Error); errors.As(err, &f) || !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
		return err
	}
	return s.unanswered(err)
}

// missing is the fault of naming what is not there, or what the credential may
// not see: hosts do not tell the two apart.
func (s Site) missing(what string) error {
	return fault.New(fault.NotFound, fault.ReasonNotFound, "%s has no such %s, or does not show it to you.", s.Host, what)
}

// refusedCredential is the fault of a credential that the host does not accept.
func (s Site) refusedCredential() error {
	return fault.New(fault.FailedPrecondition, fault.SignInRequired, "%s does not accept your credential any more. Sign in again.", s.Host)
}

// notSignedIn is the fault of having no credential at all.
func (s Site) notSignedIn() error {
	return fault.New(fault.FailedPrecondition, fault.SignInRequired, "You are not signed in to %s.", s.Host)
}

// scope is what the name of a scope looks like; a host could send anything.
var scope = regexp.MustCompile(`^[a-z][a-z0-9_.:-]{0,63}$`)

// forbidden is the fault of what a credential is not for, as far as the host says
// why in headers.
func (s Site) forbidden(h http.Header) error {
	if strings.HasPrefix(h.Get("X-GitHub-SSO"), "required") {
		return fault.New(fault.PermissionDenied, fault.HostRefused,
			"The organization on %s demands single sign-on. Authorize your credential for it, in the settings of %s, and try again.", s.Host, s.Host)
	}
	accepted, granted := scopes(h, "X-Accepted-OAuth-Scopes"), scopes(h, "X-OAuth-Scopes")
	if len(accepted) > 0 && !slices.ContainsFunc(accepted, func(a string) bool { return slices.Contains(granted, a) }) {
		return fault.New(fault.PermissionDenied, fault.HostRefused,
			"%s does not allow this with your credential: it needs one of the scopes %s.", s.Host, strings.Join(accepted, ", "))
	}
	return fault.New(fault.PermissionDenied, fault.HostRefused, "%s does not allow this with your credential.", s.Host)
}

// scopes reads a header of scopes, without what cannot be one.
func scopes(h http.Header, name string) []string {
	return words(h.Get(name), scope)
}

// words reads the words of a list with commas or spaces that have a form.
func words(list string, form *regexp.Regexp) []string {
	var found []string
	for word := range strings.FieldsFuncSeq(list, func(r rune) bool { return r == ',' || r == ' ' }) {
		if form.MatchString(word) && len(found) < maxScopes {
			found = append(found, strings.Clone(word)) // without the rest of the list
		}
	}
	return found
}

// limit tells whether an answer is about too many calls, and how long to wait;
// zero when the host does not say. Hosts say so with 403 as well as with 429.
func limit(resp *http.Response) (wait time.Duration, limited bool) {
	h := resp.Header
	limited = resp.StatusCode == http.StatusTooManyRequests
	if after := h.Get("Retry-After"); after != "" {
		limited = true
		if n, err := strconv.Atoi(after); err == nil {
			wait = time.Duration(min(n, 3600)) * time.Second
		} else if at, err := http.ParseTime(after); err == nil {
			wait = time.Until(at)
		}
	}
	if h.Get("X-RateLimit-Remaining") == "0" || h.Get("RateLimit-Remaining") == "0" {
		limited = true
		if at, err := strconv.ParseInt(h.Get("X-RateLimit-Reset"), 10, 64); err == nil && wait <= 0 {
			wait = time.Until(time.Unix(at, 0))
		}
	}
	return min(max(wait, 0), time.Hour), limited
}

// retry tells whether to make a call once more, and after how long: when the host
// failed for a moment, or asks for a second of patience.
func retry(r *http.Request, resp *http.Response, err error) (wait time.Duration, again bool) {
	switch {
	case r.Method != http.MethodGet:
		return 0, false
	case err != nil:
		return 0, errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	case resp.StatusCode == http.StatusBadGateway, resp.StatusCode == http.StatusServiceUnavailable:
		return 0, true
	case resp.StatusCode == http.StatusTooManyRequests:
		wait, _ = limit(resp)
		return wait, resp.Header.Get("Retry-After") != "" && wait <= time.Second
	}
	return 0, false
}

// signsIn tells whether a redirect leads to where people sign in, which is how
// Azure DevOps refuses a credential.
func (s Site) signsIn(from, to *url.URL) bool {
	return s.azure() && (!sameOrigin(from, to) || strings.Contains(strings.ToLower(to.Path), "/_signin"))
}

// astray tells whether a site says that it is Azure DevOps and is another host,
// which must not get what people sign in with there.
func (s Site) astray() bool {
	return s.SCMID == scmurl.AzureDevOpsEntra && scmurl.CheckHost(s.SCMID, s.Host) != nil
}

func (s Site) refusedHost() error {
	return fault.New(fault.FailedPrecondition, fault.HostNotAllowed,
		"%s is not Azure DevOps, so nobody is signed in there with Entra. An administrator must correct the host of the integration.", s.Host).
		WithCause(troubleOutside)
}

func (s Site) azure() bool {
	return s.SCMID == scmurl.AzureDevOpsEntra || s.SCMID == scmurl.AzureDevOpsServer
}
