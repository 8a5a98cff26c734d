package door

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
)

// ParseProxies reads the networks of proxies, such as "10.0.0.0/8", or single
// addresses.
func ParseProxies(texts []string) ([]netip.Prefix, error) {
	networks := make([]netip.Prefix, 0, len(texts))
	for _, text := range texts {
		text = strings.TrimSpace(text)
		network, err := netip.ParsePrefix(text)
		if address, aerr := netip.ParseAddr(text); aerr == nil {
			network, err = netip.PrefixFrom(address, address.BitLen()), nil
		}
		switch {
		case err != nil:
			return nil, fmt.Errorf("%q is no network such as 10.0.0.0/8 and no address", text)
		case network.Bits() == 0:
			return nil, fmt.Errorf("%q would take everybody's word for who they are", text)
		}
		if a := network.Addr(); a.Is4In6() {
			if network.Bits() < 96 {
				return nil, fmt.Errorf("%q is neither a network of IPv4 nor one of IPv6", text)
			}
			network = netip.PrefixFrom(a.Unmap(), network.Bits()-96)
		}
		networks = append(networks, network.Masked())
	}
	return networks, nil
}

// trusts tells whether an address is that of a proxy whose word counts.
func (d *Door) trusts(a netip.Addr) bool {
	for _, network := range d.cfg.Proxies {
		if network.Contains(a) {
			return true
		}
	}
	return false
}

// peerOf is the other end of a connection; the zero address when it has none.
func peerOf(remote string) netip.Addr {
	peer, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	return peer.Addr().Unmap().WithZone("")
}

// callerOf is the address that a request comes from. Each proxy appends whom it
// was called by, so X-Forwarded-For is read from the right, for as long as those
// who wrote it are trusted; what is further left, anybody may have made up.
func (d *Door) callerOf(r *http.Request) netip.Addr {
	at := peerOf(r.RemoteAddr)
	if !d.trusts(at) {
		return at
	}
	lines := r.Header["X-Forwarded-For"]
	for i := len(lines) - 1; i >= 0; i-- {
		for rest := lines[i]; rest != ""; {
			var last string
			if comma := strings.LastIndexByte(rest, ','); comma >= 0 {
				rest, last = rest[:comma], rest[comma+1:]
			} else {
				rest, last = "", rest
			}
			before, ok := forwarded(strings.TrimSpace(last))
			if !ok {
				return at // who called is not known further than this
			}
			if at = before; !d.trusts(at) {
				return at
			}
		}
	}
	return at
}

// forwarded reads an element of X-Forwarded-For; some proxies add the port.
func forwarded(text string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return a.Unmap().WithZone(""), true
	}
	a, err := netip.ParseAddrPort(text)
	return a.Addr().Unmap().WithZone(""), err == nil
}

// share is whose limits an address counts against: one subscriber has at least
// 64 bits of IPv6. It is the zero address for those that stand for others, and
// have no limits of their own.
func (d *Door) share(a netip.Addr, peer bool) netip.Addr {
	switch {
	case !a.IsValid() || peer && a.IsLoopback() || d.trusts(a):
		return netip.Addr{}
	case a.Is6():
		network, err := a.Prefix(64)
		if err != nil {
			return netip.Addr{}
		}
		return network.Addr()
	default:
		return a
	}
}
