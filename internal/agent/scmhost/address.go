package scmhost

import "net/netip"

// reach says who may connect to an address.
type reach uint8

const (
	// reachNever is that of link-local, multicast, unspecified and reserved
	// addresses, of metadata services, and of addresses that hide another one.
	reachNever reach = iota
	// reachPrivate is that of addresses for hosts that the operator named.
	reachPrivate
	// reachPublic is that of all others.
	reachPublic
)

// metadataServices are those with addresses that look like any other.
var metadataServices = parsePrefixes(
	"100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32",
	"fd00:ec2::/32", "fd20:ce::254/128",
)

// neverV4 and privateV4 are what is not public of IPv4.
var (
	neverV4   = parsePrefixes("0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4")
	privateV4 = parsePrefixes(
		"10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
		"192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
	)
)

// Of IPv6, publicV6 is public without tunnelsV6, which hide an IPv4 address.
// Those behind nat64 are judged by it.
var (
	privateV6 = parsePrefixes("::1/128", "fc00::/7", "2001:db8::/32")
	publicV6  = parsePrefixes("2000::/3")
	tunnelsV6 = parsePrefixes("2001::/32", "2002::/16")
	nat64     = netip.MustParsePrefix("64:ff9b::/96")
)

// reachOf judges an address that is about to be connected to.
func reachOf(a netip.Addr) reach {
	a = a.Unmap().WithZone("")
	if nat64.Contains(a) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	switch {
	case inAny(a, metadataServices):
		return reachNever
	case a.Is4() && inAny(a, neverV4):
		return reachNever
	case a.Is4() && inAny(a, privateV4):
		return reachPrivate
	case a.Is4():
		return reachPublic
	case inAny(a, privateV6):
		return reachPrivate
	case inAny(a, publicV6) && !inAny(a, tunnelsV6):
		return reachPublic
	default:
		return reachNever
	}
}

func inAny(a netip.Addr, ps []netip.Prefix) bool {
	for _, p := range ps {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

func parsePrefixes(texts ...string) []netip.Prefix {
	ps := make([]netip.Prefix, len(texts))
	for i, t := range texts {
		ps[i] = netip.MustParsePrefix(t)
	}
	return ps
}
