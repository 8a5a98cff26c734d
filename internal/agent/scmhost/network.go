package scmhost

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/scmurl"
)

// network is the only way out of this package. It connects to public addresses,
// and to private ones of hosts that the operator named; which hosts are called at
// all is up to the gate of each integration.
type network struct {
	// private has "host:port" of what may be at a private address; the value says
	// whether it speaks http instead of https.
	private map[string]bool
	// issuers has "host:port" of where people may sign in.
	issuers   map[string]bool
	resolver  *net.Resolver
	transport *http.Transport
	log       *slog.Logger
}

// entraIssuers are where people sign in with Microsoft Entra ID.
var entraIssuers = []string{"login.microsoftonline.com", "login.microsoftonline.us", "login.partner.microsoftonline.cn"}

func newNetwork(cfg Config) (*network, error) {
	n := &network{private: map[string]bool{}, issuers: map[string]bool{}, log: cfg.Log}
	if n.log == nil {
		n.log = slog.New(slog.DiscardHandler)
	}
	for _, text := range cfg.PrivateHosts {
		address, plain, err := operated("--private-host", text)
		if err != nil {
			return nil, err
		}
		if before, ok := n.private[address]; ok && before != plain {
			return nil, fault.New(fault.InvalidArgument, fault.InvalidField, "--private-host: %s is given both with http and with https.", address)
		}
		n.private[address] = plain
	}
	for _, text := range append(entraIssuers[:len(entraIssuers):len(entraIssuers)], cfg.Issuers...) {
		address, plain, err := operated("--issuer-host", text)
		if err != nil {
			return nil, err
		}
		if plain {
			return nil, fault.New(fault.InvalidArgument, fault.InvalidField, "--issuer-host %s: an issuer must be reached with https.", address)
		}
		n.issuers[address] = true
	}
	dial := cfg.Dial
	if dial == nil {
		dial = n.dial
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	n.transport = &http.Transport{
		// No proxy: the one in the environment would choose the address.
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, dialPatience)
			defer cancel()
			return dial(ctx, network, address)
		},
		Protocols:              protocols,
		TLSClientConfig:        &tls.Config{RootCAs: cfg.CAs, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    dialPatience,
		MaxResponseHeaderBytes: 64 << 10,
		// Each host has connections of its own, so that none waits for another.
		MaxConnsPerHost:     32,
		MaxIdleConnsPerHost: 4,
		MaxIdleConns:        100,
		IdleConnTimeout:     time.Minute,
		HTTP2:               &http.HTTP2Config{SendPingTimeout: callPatience, PingTimeout: dialPatience},
	}
	return n, nil
}

// operated reads a host that the operator gave for a setting: HOST, HOST:PORT, or
// either after a scheme; https is the default.
func operated(setting, text string) (address string, plain bool, err error) {
	scheme, host, ok := strings.Cut(text, "://")
	if !ok {
		scheme, host = "https", text
	}
	plain = scheme == "http"
	host = strings.TrimSuffix(host, "/")
	address, err = scmurl.Address(host, plain)
	if err != nil || strings.HasSuffix(host, ":") || !plain && scheme != "https" {
		return "", false, fault.New(fault.InvalidArgument, fault.InvalidField,
			"%s: what was given is not a host. It must be HOST, HOST:PORT, or http://HOST[:PORT] for one that speaks http.", setting)
	}
	return address, plain, nil
}

// addressOf is the "host:port" of a URL in one spelling; empty when it has none.
func addressOf(u *url.URL) string {
	address, err := scmurl.Address(u.Host, u.Scheme == "http")
	if err != nil {
		return ""
	}
	return address
}

// permission is what the operator has to say to allow something.
func permission(setting string) string {
	return "Whoever runs the runner can allow it: muster join (or muster dev) " + setting
}

// plain tells whether the operator said that the host speaks http. One that is
// given with https too is called with https.
func (n *network) plain(i scmurl.Integration) bool {
	at := func(plain bool) (speaksHTTP, given bool) {
		i.Plain = plain
		base, err := url.Parse(i.Base())
		if err != nil {
			return false, false
		}
		speaksHTTP, given = n.private[addressOf(base)]
		return speaksHTTP, given
	}
	if speaksHTTP, given := at(false); given && !speaksHTTP {
		return false
	}
	speaksHTTP, _ := at(true)
	return speaksHTTP
}

// dial connects to what a host's name resolves to at this very moment, so that
// no name can stand for another address after it was checked.
func (n *network) dial(ctx context.Context, network, address string) (net.Conn, error) {
	_, allowed := n.private[addressOf(&url.URL{Host: address})]
	host := strings.TrimSuffix(address, ":443")
	d := net.Dialer{
		Resolver: n.resolver,
		Control: func(_, resolved string, _ syscall.RawConn) error {
			at, err := netip.ParseAddrPort(resolved)
			if err != nil {
				return fmt.Errorf("an address that is none: %w", err)
			}
			switch r := reachOf(at.Addr()); {
			case r == reachPublic || r == reachPrivate && allowed:
				return nil
			case r == reachPrivate:
				return fault.New(fault.FailedPrecondition, fault.HostNotAllowed, "%s is at a private address, which this runner may not call. %s", host,
					permission("--private-host "+host+", or http://"+host+" when it speaks http")).WithCause(troublePrivate)
			default:
				return fault.New(fault.FailedPrecondition, fault.HostNotAllowed, "%s is at an address that no runner may call.", host).WithCause(troubleForbidden)
			}
		},
	}
	return d.DialContext(ctx, network, address)
}
