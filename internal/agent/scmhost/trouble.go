package scmhost

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"

	"github.com/musterhq/muster/internal/fault"
)

// trouble is what went wrong with a host, in words that are safe to log. It is in
// the chain of faults.
type trouble string

// Error implements error.
func (t trouble) Error() string { return string(t) }

const (
	troubleTimeout     trouble = "timeout"
	troubleName        trouble = "no such host"
	troubleDNS         trouble = "names cannot be resolved"
	troubleRefused     trouble = "connection refused"
	troubleUnreachable trouble = "network unreachable"
	troubleCut         trouble = "connection cut"
	troubleCertificate trouble = "certificate not trusted"
	troubleExpired     trouble = "certificate not valid now"
	troubleOtherName   trouble = "certificate for another name"
	troublePlain       trouble = "http instead of https"
	troubleConnection  trouble = "no connection"
	troubleMoved       trouble = "redirected"
	troubleAnswer      trouble = "unusable answer"

	troublePrivate   trouble = "private address"
	troubleForbidden trouble = "forbidden address"
	troubleOutside   trouble = "outside of the integration"
	troubleIssuer    trouble = "issuer not allowed"
)

// causeOf says what led to a fault: a trouble, or a status that means nothing of
// its own.
func causeOf(err error) string {
	var t trouble
	var status answered
	switch {
	case errors.As(err, &t):
		return t.Error()
	case errors.As(err, &status):
		return status.Error()
	case fault.HasReason(err, fault.HostUnavailable):
		return troubleAnswer.Error()
	}
	return ""
}

// troubleOf is why a call has no answer.
func troubleOf(err error) trouble {
	var (
		certificate *tls.CertificateVerificationError
		authority   x509.UnknownAuthorityError
		name        x509.HostnameError
		invalid     x509.CertificateInvalidError
		dns         *net.DNSError
		timed       net.Error
	)
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT), errors.As(err, &timed) && timed.Timeout():
		return troubleTimeout
	case errors.As(err, &name):
		return troubleOtherName
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return troubleExpired
	case errors.As(err, &authority), errors.As(err, &certificate):
		return troubleCertificate
	case errors.Is(err, http.ErrSchemeMismatch):
		return troublePlain
	case errors.As(err, &dns) && dns.IsNotFound:
		return troubleName
	case errors.As(err, &dns):
		return troubleDNS
	case errors.Is(err, syscall.ECONNREFUSED):
		return troubleRefused
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return troubleUnreachable
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return troubleCut
	}
	return troubleConnection
}

// unanswered is the fault of a call without an answer, or with half of one.
func (s Site) unanswered(err error) error {
	if errors.Is(err, context.Canceled) {
		return fault.New(fault.Canceled, fault.ReasonCanceled, "The call was canceled while %s was asked.", s.Host)
	}
	t := troubleOf(err)
	if t == troubleTimeout {
		return fault.New(fault.DeadlineExceeded, fault.HostUnavailable, "%s did not answer in time.", s.Host).WithCause(t)
	}
	return fault.New(fault.Unavailable, fault.HostUnavailable, "%s %s.", s.Host, s.sentence(t)).WithCause(t)
}

// sentence says what a trouble means and what to do, after the name of the host.
func (s Site) sentence(t trouble) string {
	const unreachable = "cannot be reached from the runner"
	switch t {
	case troubleName:
		return "does not exist in the DNS of the runner: check how it is spelled"
	case troubleDNS:
		return unreachable + ": the runner's DNS does not answer"
	case troubleRefused:
		return unreachable + ": nothing listens there"
	case troubleUnreachable:
		return unreachable + ": no network leads there"
	case troubleCut:
		return unreachable + ": the connection is cut off"
	case troubleCertificate:
		return "has a certificate that the runner does not trust. Whoever runs the runner can name its authority: muster join --ca-file FILE"
	case troubleExpired:
		return "has a certificate that has expired, or is not valid yet"
	case troubleOtherName:
		return "has a certificate for another name"
	case troublePlain:
		host, _, _ := strings.Cut(s.Host, "/")
		return "speaks http instead of https. " + permission("--private-host http://"+host)
	}
	return unreachable
}
