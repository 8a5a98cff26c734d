package scmhost

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"

	"github.com/musterhq/muster/internal/agent/scmhost/fakehost"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/scmurl"
)

// What goes wrong on the way to a host is told in words of our own, which say what
// to do.
func TestWhyACallHasNoAnswer(t *testing.T) {
	on := func(number syscall.Errno) error { return &net.OpError{Op: "dial", Net: "tcp", Err: number} }
	certificate := func(err error) error { return &tls.CertificateVerificationError{Err: err} }
	for _, row := range []struct {
		err   error
		class trouble
		words string
	}{
		{context.DeadlineExceeded, troubleTimeout, "did not answer in time"},
		{on(syscall.ETIMEDOUT), troubleTimeout, "did not answer in time"},
		{&net.DNSError{IsNotFound: true, Name: "PLANTED"}, troubleName, "does not exist in the DNS of the runner"},
		{&net.DNSError{Err: "PLANTED"}, troubleDNS, "DNS does not answer"},
		{on(syscall.ECONNREFUSED), troubleRefused, "nothing listens there"},
		{on(syscall.EHOSTUNREACH), troubleUnreachable, "no network leads there"},
		{on(syscall.ENETUNREACH), troubleUnreachable, "no network leads there"},
		{on(syscall.ECONNRESET), troubleCut, "cut off"},
		{io.ErrUnexpectedEOF, troubleCut, "cut off"},
		{certificate(x509.UnknownAuthorityError{}), troubleCertificate, "muster join --ca-file FILE"},
		{certificate(errors.New("PLANTED")), troubleCertificate, "does not trust"},
		{certificate(x509.CertificateInvalidError{Reason: x509.Expired, Detail: "PLANTED"}), troubleExpired, "has expired, or is not valid yet"},
		{certificate(x509.HostnameError{Certificate: &x509.Certificate{}, Host: "PLANTED"}), troubleOtherName, "for another name"},
		{http.ErrSchemeMismatch, troublePlain, "muster join (or muster dev) --private-host http://git.example.com:8443"},
		{errors.New("PLANTED"), troubleConnection, "cannot be reached from the runner."},
	} {
		s := Site{Integration: scmurl.Integration{Host: "git.example.com:8443/git"}}
		err := s.faultOf(nil, &url.Error{Op: "Get", URL: "https://PLANTED", Err: fmt.Errorf("PLANTED: %w", row.err)})
		if !fault.HasReason(err, fault.HostUnavailable) || causeOf(err) != string(row.class) || !strings.Contains(fault.From(err).Message, row.words) {
			t.Errorf("%v: %v because of %q", row.err, err, causeOf(err))
		}
		if strings.Contains(err.Error(), "PLANTED") {
			t.Errorf("%v: a driver's words are told: %v", row.err, err)
		}
	}
}

// The same with real connections.
func TestWhyARealCallHasNoAnswer(t *testing.T) {
	s := fakehost.NewNamed(t, "git.example.com")
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := free.Addr().String()
	_ = free.Close()
	port, _ := listen(t)
	for name, row := range map[string]struct {
		host  string
		cfg   Config
		class trouble
	}{
		"nobody listens": {nobody, Config{PrivateHosts: []string{nobody}}, troubleRefused},
		"unknown authority": {
			"git.example.com", Config{Dial: fakehost.Network(s)}, troubleCertificate,
		},
		"http":       {"127.0.0.1:" + port, Config{PrivateHosts: []string{"127.0.0.1:" + port}}, troublePlain},
		"private":    {"127.0.0.1:" + port, Config{}, troublePrivate},
		"link-local": {"169.254.169.254", Config{}, troubleForbidden},
	} {
		h, err := New(row.cfg)
		if err != nil {
			t.Fatal(err)
		}
		site := h.site(scmurl.Integration{SCMID: scmurl.Gitea, Host: row.host}, Credential{})
		if _, err := site.getJSON(t.Context(), site.Base(), "", new(struct{})); causeOf(err) != string(row.class) {
			t.Errorf("%s: %v because of %q", name, err, causeOf(err))
		}
		h.Close()
	}
}
