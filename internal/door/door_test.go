package door_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musterhq/muster/internal/door"
	"github.com/musterhq/muster/internal/fault"
)

func request(remote string, forwarded ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = remote
	for _, f := range forwarded {
		r.Header.Add("X-Forwarded-For", f)
	}
	return r
}

func proxies(t *testing.T, texts ...string) *door.Door {
	t.Helper()
	networks, err := door.ParseProxies(texts)
	if err != nil {
		t.Fatal(err)
	}
	return door.New(door.Config{Proxies: networks})
}

func TestAddress(t *testing.T) {
	d := proxies(t, "10.0.0.0/8", "::ffff:192.168.7.0/120", "fd00:1::/32", "2001:db8::5")
	for _, tt := range []struct {
		name, remote string
		forwarded    []string
		want         string
	}{
		{"no proxy", "203.0.113.7:1", nil, "203.0.113.7"},
		{"nobody's word", "203.0.113.7:1", []string{"198.51.100.1"}, "203.0.113.7"},
		{"a proxy", "10.1.2.3:1", []string{"198.51.100.1"}, "198.51.100.1"},
		{"a proxy over IPv6", "[fd00:1::9]:1", []string{"2001:db8::1"}, "2001:db8::1"},
		{"IPv4 in IPv6", "[::ffff:10.1.2.3]:1", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
		{"a network given like that", "192.168.7.200:1", []string{"198.51.100.1"}, "198.51.100.1"},
		{"a single address", "[2001:db8::5]:1", []string{"198.51.100.1"}, "198.51.100.1"},
		{"made up on the left", "10.1.2.3:1", []string{"1.1.1.1, 198.51.100.1"}, "198.51.100.1"},
		{"a proxy made up on the left", "10.1.2.3:1", []string{"10.0.0.1,198.51.100.1"}, "198.51.100.1"},
		{"two proxies", "10.1.2.3:1", []string{"1.1.1.1, 198.51.100.1, 10.9.9.9"}, "198.51.100.1"},
		{"two lines", "10.1.2.3:1", []string{"1.1.1.1", "198.51.100.1", "10.9.9.9"}, "198.51.100.1"},
		{"with ports", "10.1.2.3:1", []string{"198.51.100.1:4711"}, "198.51.100.1"},
		{"with a port over IPv6", "10.1.2.3:1", []string{"[2001:db8::1]:4711"}, "2001:db8::1"},
		{"in brackets", "10.1.2.3:1", []string{"[2001:db8::1]"}, "2001:db8::1"},
		{"a zone", "10.1.2.3:1", []string{"fe80::1%eth0"}, "fe80::1"},
		{"the proxy itself", "10.1.2.3:1", nil, "10.1.2.3"},
		{"empty", "10.1.2.3:1", []string{""}, "10.1.2.3"},
		{"proxies only", "10.1.2.3:1", []string{"10.9.9.9"}, "10.9.9.9"},
		{"not an address", "10.1.2.3:1", []string{"1.1.1.1, unknown"}, "10.1.2.3"},
		{"not an address behind a proxy", "10.1.2.3:1", []string{"1.1.1.1, _hidden, 10.9.9.9"}, "10.9.9.9"},
		{"nothing known", "@", nil, "invalid IP"},
	} {
		v := d.Visit(request(tt.remote, tt.forwarded...))
		if got := v.Address().String(); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestParseProxies(t *testing.T) {
	for _, bad := range []string{"", "proxy.example.com", "10.0.0.0/33", "0.0.0.0/0", "::/0", "::ffff:0:0/80", "10.0.0.0-10.0.0.9"} {
		if _, err := door.ParseProxies([]string{bad}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// However many addresses come, the table of them stays bounded, and so is what
// they may do together once it is full.
func TestTheTableOfAddressesIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // so that no time passes
		d := door.New(door.Config{})
		let := 0
		const addresses = 100_000
		for i := range addresses {
			v := d.Visit(request(fmt.Sprintf("[2001:db8:%x:%x::1]:1", i>>16, i&0xffff)))
			if v.Turn() == nil {
				let++
			}
		}
		// The table has room for 65,536; all others share what one may do.
		if most := 1<<16 + 50; let > most {
			t.Errorf("%d of %d addresses were let in at once, at most %d may be", let, addresses, most)
		}
		time.Sleep(2 * time.Second)
		v := d.Visit(request("[2001:db8:ffff:ffff::1]:1"))
		if err := v.Turn(); err != nil {
			t.Errorf("a while later: %v", err)
		}
	})
}

// An address that goes on with bad tokens is answered with the reason, then with
// the limit; a good one is always looked at.
func TestBadTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := door.New(door.Config{})
		why := fault.New(fault.Unauthenticated, fault.UnknownToken, "no")
		for i := range 60 {
			v := d.Visit(request("203.0.113.7:1"))
			done, err := v.Prove()
			if err != nil {
				t.Fatalf("token %d: %v", i, err)
			}
			done()
			if err, limited := v.Bad(why), i >= 50; fault.Is(err, fault.ResourceExhausted) != limited {
				t.Errorf("token %d: %v", i, err)
			}
		}
		// What is looked up for such an address is little at a time.
		var held []func()
		for range 16 {
			v := d.Visit(request("203.0.113.7:1"))
			done, err := v.Prove()
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, done)
		}
		v := d.Visit(request("203.0.113.7:1"))
		if _, err := v.Prove(); !fault.Is(err, fault.ResourceExhausted) {
			t.Errorf("the 17th at the same time: %v", err)
		}
		v = d.Visit(request("203.0.113.8:1"))
		if _, err := v.Prove(); err != nil {
			t.Errorf("another address: %v", err)
		}
		for _, done := range held {
			done()
		}
	})
}

// Requests that are slow are bounded like those that are many.
func TestRequestsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := door.New(door.Config{})
		leave := make([]func(), 0, 50)
		for i := range 50 {
			v := d.Visit(request("203.0.113.7:1"))
			l, err := v.Request()
			if err != nil {
				t.Fatalf("request %d: %v", i, err)
			}
			leave = append(leave, l)
		}
		time.Sleep(10 * time.Second)
		v := d.Visit(request("203.0.113.7:1"))
		if _, err := v.Request(); !fault.Is(err, fault.ResourceExhausted) {
			t.Errorf("one more: %v", err)
		}
		for _, l := range leave {
			l()
		}
		if l, err := v.Request(); err != nil {
			t.Errorf("after they have ended: %v", err)
		} else {
			l()
		}
		if n := d.Counts().Requests; n != 0 {
			t.Errorf("%d requests are under way", n)
		}
	})
}

// remote is a connection of an address.
type remote struct {
	net.Conn

	address string
	closed  chan struct{}
}

func (r *remote) RemoteAddr() net.Addr {
	a, _ := net.ResolveTCPAddr("tcp", r.address)
	return a
}

func (r *remote) Close() error {
	close(r.closed)
	return nil
}

// When there are too many connections on which nobody has shown a token, the
// oldest of them goes.
func TestStrangers(t *testing.T) {
	d := door.New(door.Config{Limits: door.Limits{Strangers: 3}})
	connect := func(address string) (*remote, *http.Request) {
		c := &remote{address: address, closed: make(chan struct{})}
		ctx := d.Connected(context.Background(), c)
		return c, request(address).WithContext(ctx)
	}
	_, local := connect("127.0.0.1:9") // this host counts for nothing
	known, r := connect("203.0.113.7:1")
	first, _ := connect("203.0.113.7:2")
	second, _ := connect("203.0.113.7:3")
	v := d.Visit(r)
	v.Proved()
	third, _ := connect("203.0.113.7:4")
	if n := d.Counts().Strangers; n != 3 {
		t.Fatalf("%d strangers, want 3", n)
	}
	_, _ = connect("203.0.113.8:5")
	<-first.closed
	d.State(second, http.StateClosed)
	_, _ = connect("203.0.113.8:6")
	for name, c := range map[string]*remote{"the known one": known, "the second one": second, "the third one": third} {
		select {
		case <-c.closed:
			t.Errorf("%s was closed", name)
		default:
		}
	}
	v = d.Visit(local)
	v.Proved()
	if c := d.Counts(); c.Strangers != 3 || c.Refused["connections"] != 1 {
		t.Errorf("%+v", c)
	}
}

func TestLimitsAreChecked(t *testing.T) {
	if err := door.Defaults().Check(); err != nil {
		t.Error(err)
	}
	err := door.Limits{Welcomes: -1}.Check()
	if err == nil || !strings.Contains(err.Error(), "--limit-welcomes") {
		t.Errorf("%v", err)
	}
}
