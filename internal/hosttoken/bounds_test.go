package hosttoken_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/hosttoken"
	"github.com/musterhq/muster/internal/resource"
)

func TestHosts(t *testing.T) {
	f := setup(t)
	name := strings.TrimSuffix(strings.Repeat(strings.Repeat("a", 63)+".", 4), ".")[:253]
	for host, good := range map[string]bool{
		"git.example.com":                 true,
		"git.example.com:8443":            true,
		"GIT_1":                           true,
		"10.1.2.3":                        true,
		"[2001:db8::1]":                   true,
		"[2001:db8::1]:22":                true,
		"dev.azure.com/acme":              true,
		"example.com/git/lab":             true,
		name:                              true,
		name + ":65535/" + path(255):      true,
		name + "a":                        false,
		"example.com/" + path(256):        false,
		strings.Repeat("a", 1<<16):        false,
		"/acme":                           false,
		":80":                             false,
		"example.com/":                    false,
		"example.com//a":                  false,
		"example.com/../a":                false,
		"example.com/a?b":                 false,
		"example.com/a#b":                 false,
		"exa\u00b5mple.com":               false,
		"example.com/\u00b5":              false,
		"example.com?x":                   false,
		"example.com\\a":                  false,
		" example.com":                    false,
		"example.com\n":                   false,
		"example.com\x00":                 false,
		"me:password@example.com":         false,
		"https://example.com":             false,
		"example.com/https://example.com": false,
	} {
		n := hosttoken.NewToken{Runner: f.runner.ID, Host: host, Value: "v"}
		made, err := f.Create(t.Context(), f.user, n)
		switch {
		case good && err != nil:
			t.Errorf("%.300q: %v", host, err)
		case good && made.Host != host:
			t.Errorf("%q became %q", host, made.Host)
		case !good && (!fault.Is(err, fault.InvalidArgument) || fault.From(err).Field != "host"):
			t.Errorf("%.300q: %v", host, err)
		}
	}
}

func path(length int) string { return strings.Repeat("p", length) }

// Nobody fills the database with credentials.
func TestOneHasSoManyCredentials(t *testing.T) {
	f := setup(t)
	one := func(n int) hosttoken.NewToken {
		return hosttoken.NewToken{Runner: f.runner.ID, Host: fmt.Sprintf("h%d.example", n), Value: "v"}
	}
	var last hosttoken.Token
	for n := range 100 {
		last = f.create(f.user, one(n))
	}
	f.take()
	_, err := f.Create(t.Context(), f.user, one(100))
	if !fault.Is(err, fault.FailedPrecondition) || !fault.HasReason(err, fault.LimitReached) {
		t.Errorf("the 101st: %v", err)
	}
	if events, told := f.take(); len(events)+len(told) > 0 {
		t.Errorf("it left %v, %v", events, told)
	}
	if _, err := f.Create(t.Context(), f.user, one(0)); !fault.HasReason(err, fault.AlreadyThere) {
		t.Errorf("one that is there: %v", err)
	}
	other := f.addRunner(f.runner.PublicKey)
	elsewhere := one(100)
	elsewhere.Runner = other.ID
	f.create(f.grant(f.user, other, resource.RoleRunnerUser), elsewhere)
	f.create(f.admin, one(100))
	f.must(f.Delete(t.Context(), f.user, last.ID))
	f.create(f.user, one(100))
}
