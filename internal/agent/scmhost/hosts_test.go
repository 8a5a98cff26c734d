package scmhost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/agent/scmhost/fakehost"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/scmurl"
)

func TestWhoMayReadARepository(t *testing.T) {
	hub := newPlainHost(t, scmurl.GitHub, "ghe.example.com")
	git := fakehost.NewRepo(t)
	git.Commit("main", "first")
	hub.has(Repository{Owner: "acme", Repo: "widgets"}, git)
	hub.Git("/acme/public.git", git, nil)
	hub.Git("/acme/empty.git", fakehost.NewRepo(t), nil)
	hub.Handle("/acme/refused.git/", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	hub.says(Repository{Owner: "acme", Repo: "shown"}, "repository", "acme", "shown")
	for _, path := range []string{"/acme/shown.git/", "/acme/narrow.git/"} {
		hub.Handle(path, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	}
	hub.Handle("/api/repository/acme/narrow", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Accepted-OAuth-Scopes", "repo")
		w.WriteHeader(http.StatusForbidden)
	})
	nobody, wrong := hub.Account, hub.Account
	nobody.Credential, wrong.Credential = Credential{}, Credential{Token: "another"}
	for _, row := range []struct {
		name, path string
		who        Account
		yes        bool
		why        string
		fails      fault.Reason
	}{
		{"with the credential", "acme/widgets", hub.Account, true, "", ""},
		{"a page of it", "acme/widgets/pull/1", hub.Account, true, "", ""},
		{"a fork", "x/public/compare/main...acme:main", hub.Account, true, "", ""},
		{"without commits", "acme/empty", hub.Account, true, "", ""},
		{"public, with nobody's", "acme/public", nobody, true, "", ""},
		{"private, with nobody's", "acme/widgets", nobody, false, "", fault.SignInRequired},
		{"missing, with nobody's", "acme/none", nobody, false, "", fault.SignInRequired},
		{"refused, with nobody's", "acme/refused", nobody, false, "", fault.SignInRequired},
		{"with a wrong one", "acme/widgets", wrong, false, "does not accept your credential", ""},
		{"missing", "acme/none", hub.Account, false, "has no repository acme/none", ""},
		{"refused", "acme/refused", hub.Account, false, "does not allow this", ""},
		{"refused to git", "acme/shown", hub.Account, false, "does not let it read the repository with git", ""},
		{"refused for a scope", "acme/narrow", hub.Account, false, "needs one of the scopes repo", ""},
		{"no repository", "acme", hub.Account, false, "", fault.InvalidField},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := hosts(t, hub)
			h.knows(hub)
			hub.TakeCalls()
			yes, why, err := h.CheckRepository(t.Context(), row.who, "https://ghe.example.com/"+row.path)
			if yes != row.yes || (why == "") != (row.why == "") || !strings.Contains(why, row.why) || (err == nil) != (row.fails == "") || err != nil && !fault.HasReason(err, row.fails) {
				t.Errorf("%v, %q, %v", yes, why, err)
			}
			calls := called(hub.Server)
			if want := map[bool]int{true: 0, false: 1}[row.fails == fault.InvalidField]; want == 0 && len(calls) > 0 || len(calls) > 2 || row.yes && len(calls) != 1 {
				t.Errorf("calls: %q", calls)
			}
		})
	}
	hub.Break(nil, fakehost.Failing)
	if _, _, err := hosts(t, hub).CheckRepository(t.Context(), hub.Account, "https://ghe.example.com/acme/widgets"); !fault.HasReason(err, fault.HostUnavailable) {
		t.Errorf("a host that fails: %v", err)
	}
}

func TestWhoIsSignedIn(t *testing.T) {
	hub := newPlainHost(t, scmurl.GitHub, "ghe.example.com")
	hub.says(Viewer{Login: "ada"}, "viewer")
	wrong := hub.Account
	wrong.Credential = Credential{Token: "another"}
	h := hosts(t, hub)
	for n, row := range []struct {
		who Account
		yes bool
	}{{hub.Account, true}, {hub.Account, true}, {wrong, false}} {
		if yes, err := h.Authenticated(t.Context(), row.who); yes != row.yes || err != nil {
			t.Errorf("%d: %v, %v", n, yes, err)
		}
	}
	if calls := called(hub.Server); len(calls) != 2 {
		t.Errorf("what is known was asked again: %q", calls)
	}
	// What a host cannot say is as it was before, if that is known.
	i := inquiry{refLister: refLister{Site: h.site(hub.Account.Integration, hub.Account.Credential), cache: h.cache}}
	for what, reason := range map[fakehost.Fault]fault.Reason{
		fakehost.Limited: fault.HostLimited, fakehost.Failing: fault.HostUnavailable,
		fakehost.Garbage: fault.HostUnavailable, fakehost.Elsewhere: fault.HostUnavailable,
	} {
		hub.Mend()
		if yes, err := h.Authenticated(t.Context(), hub.Account); !yes || err != nil {
			t.Errorf("before fault %d: %v, %v", what, yes, err)
		}
		hub.Break(nil, what)
		h.cache.unnote(i.key("viewer")) // ten minutes later
		if yes, err := h.Authenticated(t.Context(), hub.Account); !yes || err != nil {
			t.Errorf("fault %d, of one that was accepted: %v, %v", what, yes, err)
		}
		if yes, err := h.Authenticated(t.Context(), wrong); yes || !fault.HasReason(err, reason) {
			t.Errorf("fault %d, of one that never was: %v, %v", what, yes, err)
		}
	}
	hub.Mend()
	hub.Break(nil, fakehost.Forbidden)
	narrow := hub.Account
	narrow.Credential = Credential{Token: "of one repository"}
	if yes, err := h.Authenticated(t.Context(), narrow); !yes || err != nil {
		t.Errorf("known, and not let in: %v, %v", yes, err)
	}
	hub.Mend()
	hub.Break(nil, fakehost.Unauthorized)
	if yes, err := h.Authenticated(t.Context(), hub.Account); yes || err != nil {
		t.Errorf("refused: %v, %v", yes, err)
	}
	hub.Mend()
	hub.Break(nil, fakehost.Failing)
	if yes, err := h.Authenticated(t.Context(), hub.Account); yes || !fault.HasReason(err, fault.HostUnavailable) {
		t.Errorf("refused before the host failed: %v, %v", yes, err)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Authenticated(canceled, hub.Account); !fault.Is(err, fault.Canceled) {
		t.Errorf("somebody who went away was told %v", err)
	}
}

func TestPagesOfSeveralHosts(t *testing.T) {
	row := func(name string) []FoundRepository { return []FoundRepository{{Name: name, URL: "https://h/" + name}} }
	failed := fault.New(fault.Unavailable, fault.HostUnavailable, "It failed.")
	other := fault.New(fault.Unavailable, fault.HostUnavailable, "It failed too.")
	for _, c := range []struct {
		name  string
		pages []Repositories
		errs  []error
		want  Repositories
		fails error
	}{
		{"no host", nil, nil, Repositories{}, nil},
		{"one", []Repositories{{row("a"), true, 2, 30}}, []error{nil}, Repositories{row("a"), true, 2, 30}, nil},
		{"two", []Repositories{{row("a"), false, 1, 1}, {row("b"), true, 3, 60}}, []error{nil, nil}, Repositories{append(row("a"), row("b")...), true, 3, 61}, nil},
		{"one does not count", []Repositories{{row("a"), false, 1, 1}, {row("b"), false, -1, -1}}, []error{nil, nil}, Repositories{append(row("a"), row("b")...), false, -1, -1}, nil},
		{"one fails", []Repositories{{}, {row("b"), false, 1, 1}}, []error{failed, nil}, Repositories{row("b"), false, -1, -1}, nil},
		{"all fail", []Repositories{{}, {}}, []error{failed, other}, Repositories{}, failed},
	} {
		got, err := Merge(c.pages, c.errs)
		if diff := cmp.Diff(c.want, got); diff != "" || !errors.Is(err, c.fails) {
			t.Errorf("%s: %v\n%s", c.name, err, diff)
		}
	}
}

func TestADeadHostCostsNobodyElseAnything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, err := New(Config{PrivateHosts: []string{"http://dead.example.com", "http://fine.example.com"}, Dial: func(ctx context.Context, _, address string) (net.Conn, error) {
			if strings.HasPrefix(address, "dead") {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			client, server := net.Pipe()
			s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprint(w, `{"Value":{"Rows":[{"Name":"acme"}]}}`)
			})}
			go func() { _ = s.Serve(&oneConn{conn: server}) }()
			return client, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		h.provider = func(s Site) (Provider, error) { return plainAPI{s}, nil }
		account := func(host string) Account {
			return Account{Integration: scmurl.Integration{ID: host, SCMID: scmurl.Gitea, Host: host}, Credential: Credential{Token: "planted"}}
		}
		start := time.Now()
		var all sync.WaitGroup
		var mu sync.Mutex
		full, late := 0, 0
		for n := range 2*maxQuestions + 5 {
			all.Go(func() {
				_, err := h.Organizations(t.Context(), account("dead.example.com"), OrganizationQuery{Text: fmt.Sprint(n)})
				mu.Lock()
				defer mu.Unlock()
				f := fault.From(err)
				sent := f.Reason == fault.RunnerRefused && f.Code == fault.ResourceExhausted && f.RetryAfter == time.Second
				if sent && time.Since(start) == 0 {
					full++
				} else if sent && time.Since(start) == queuePatience {
					late++
				} else if f.Code != fault.DeadlineExceeded || time.Since(start) > callPatience {
					t.Errorf("%v after %v", err, time.Since(start))
				}
			})
		}
		synctest.Wait()
		if _, err := h.Organizations(t.Context(), account("fine.example.com"), OrganizationQuery{Text: "x"}); err != nil || time.Since(start) != 0 {
			t.Errorf("another host: %v after %v", err, time.Since(start))
		}
		all.Wait()
		if full != 5 || late != maxQuestions {
			t.Errorf("%d were sent away at once and %d later", full, late)
		}
		if len(h.questions.hosts) != 0 {
			t.Errorf("places are taken still: %v", h.questions.hosts)
		}
	})
}

func TestAPlaceIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(1)
		_, leave, err := d.enter(t.Context(), "https://a.example.com")
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(queuePatience/2, leave)
		start := time.Now()
		if _, leave, err = d.enter(t.Context(), "https://a.example.com"); err != nil || time.Since(start) != queuePatience/2 {
			t.Fatalf("%v after %v", err, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), queuePatience/4)
		defer cancel()
		if _, _, err := d.enter(ctx, "https://a.example.com"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("somebody who went away was told %v", err)
		}
		leave()
		if len(d.hosts) != 0 {
			t.Errorf("places are taken still: %v", d.hosts)
		}
	})
}

// oneConn is a listener that has one connection.
type oneConn struct{ conn net.Conn }

func (l *oneConn) Accept() (net.Conn, error) {
	if l.conn == nil {
		return nil, net.ErrClosed
	}
	conn := l.conn
	l.conn = nil
	return conn, nil
}

func (l *oneConn) Close() error   { return nil }
func (l *oneConn) Addr() net.Addr { return &net.TCPAddr{} }

// TestNoTokenComesOut asks everything while the host breaks in every way, and
// looks for the tokens in all that comes out: errors, URLs, logs.
func TestNoTokenComesOut(t *testing.T) {
	const token, inURL = "PLANTED-TOKEN", "PLANTED-IN-URL"
	var log bytes.Buffer
	hub := newPlainHost(t, scmurl.GitHub, "ghe.example.com")
	hub.Account.Credential.Token = token
	h, err := New(Config{
		CAs: fakehost.Trust(hub.Server), Dial: fakehost.Network(hub.Server),
		Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	h.provider = func(s Site) (Provider, error) { return plainAPI{s}, nil }
	var out strings.Builder
	say := func(values ...any) { fmt.Fprintf(&out, "%v %+v %#v\n", values, values, values) }
	say(hub.Account, hub.Account.Credential)
	url := "https://" + inURL + ":" + inURL + "@ghe.example.com/acme/widgets/tree/main?token=" + inURL + "#" + inURL
	for what := fakehost.Unauthorized; what <= fakehost.Garbage; what++ {
		hub.Mend()
		hub.Break(nil, what)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if what == fakehost.Slow || what == fakehost.Stalled {
			ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
		}
		c, err := h.ParseContext(ctx, hub.Account, url)
		say(c, err, fault.From(err).Message)
		_, why, err := h.CheckRepository(ctx, hub.Account, url)
		say(why, err)
		_, err = h.Authenticated(ctx, hub.Account)
		say(err)
		_, err = h.Search(ctx, hub.Account, Query{Text: "x", Page: 1, Size: 10})
		say(err)
		_, err = h.Organizations(ctx, hub.Account, OrganizationQuery{Size: 10})
		say(err)
		cancel()
	}
	for _, c := range hub.Calls() {
		say(c.URL)
	}
	for name, text := range map[string]string{"what was said": out.String(), "the log": log.String()} {
		if strings.Contains(text, token) || strings.Contains(text, inURL) {
			t.Errorf("%s has a token:\n%s", name, text)
		}
		if len(text) < 1000 {
			t.Errorf("%s is too short to prove anything: %s", name, text)
		}
	}
}
