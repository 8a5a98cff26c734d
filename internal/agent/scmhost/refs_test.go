package scmhost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/agent/scmhost/fakehost"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/scmurl"
)

// gitSite serves repositories on a host, and returns a way to list their refs.
func gitSite(t *testing.T, cfg Config, serve func(*fakehost.Server)) (*fakehost.Server, refLister) {
	t.Helper()
	s := fakehost.NewNamed(t, "git.example.com")
	serve(s)
	cfg.CAs = fakehost.Trust(s)
	if cfg.Dial == nil {
		cfg.Dial = fakehost.Network(s)
	}
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	site := h.site(scmurl.Integration{ID: "i", SCMID: scmurl.Gitea, Host: "git.example.com"}, Credential{Token: "planted"})
	return s, refLister{Site: site, auth: basicAuth("x", "planted"), cache: h.cache}
}

func TestRefsOfRealRepositories(t *testing.T) {
	for _, sha256 := range []bool{false, true} {
		for _, old := range []bool{false, true} {
			t.Run(fmt.Sprintf("SHA-256 %v, old %v", sha256, old), func(t *testing.T) {
				repo, empty, detached := fakehost.NewRepo(t), fakehost.NewRepo(t), fakehost.NewRepo(t)
				if sha256 {
					repo, empty = fakehost.NewSHA256Repo(t), fakehost.NewSHA256Repo(t)
				}
				first := repo.Commit("main", "first")
				second := repo.Commit("feature/login", "second")
				repo.Ref("refs/heads/feature/logout", first)
				repo.Ref("refs/tags/light", first)
				repo.Tag("rel/1.0", second)
				repo.Default("feature/login")
				alone := detached.Commit("main", "alone")
				detached.Detach(alone)
				s, l := gitSite(t, Config{}, func(s *fakehost.Server) {
					serve := s.Git
					if old {
						serve = s.OldGit
					}
					auth := func(r *http.Request) bool { _, p, _ := r.BasicAuth(); return p == "planted" }
					serve("/acme/widgets.git", repo, auth)
					serve("/acme/empty.git", empty, auth)
					serve("/acme/detached.git", detached, auth)
					serve("/acme/secret.git", repo, func(*http.Request) bool { return false })
				})
				for _, row := range []struct {
					repo  string
					names []string
					want  refs
				}{
					{"widgets", nil, refs{branch: "feature/login", commit: second}},
					{"widgets", []string{"refs/heads/feature/login", "refs/heads/feature", "refs/tags/feature"}, refs{
						branch: "feature/login", commit: second, found: map[string]string{"refs/heads/feature/login": second},
					}},
					{"widgets", []string{"refs/tags/rel", "refs/tags/rel/1.0"}, refs{
						branch: "feature/login", commit: second, found: map[string]string{"refs/tags/rel/1.0": second},
					}},
					{"widgets", []string{"refs/tags/light"}, refs{branch: "feature/login", commit: second, found: map[string]string{"refs/tags/light": first}}},
					{"empty", []string{"refs/heads/main"}, refs{}},
					{"detached", nil, refs{commit: alone}},
				} {
					got, err := l.list(t.Context(), l.Base()+"/acme/"+row.repo+".git", row.names)
					if row.want.found == nil {
						row.want.found = map[string]string{}
					}
					if diff := cmp.Diff(row.want, got, cmp.AllowUnexported(refs{})); err != nil || diff != "" {
						t.Errorf("%s %v: %v (-want +got)\n%s", row.repo, row.names, err, diff)
					}
				}
				if _, err := l.list(t.Context(), l.Base()+"/acme/secret.git", nil); !fault.HasReason(err, fault.SignInRequired) {
					t.Error(err)
				}
				if _, err := l.list(t.Context(), l.Base()+"/acme/none.git", nil); !fault.Is(err, fault.NotFound) {
					t.Error(err)
				}
				// What the host can do is known by now, except for the ids of a repository.
				s.TakeCalls()
				want := []string{"POST /acme/widgets.git/git-upload-pack"}
				if old {
					want = []string{"GET /acme/widgets.git/info/refs?service=git-upload-pack"}
				}
				if _, err := l.list(t.Context(), l.Base()+"/acme/widgets.git", []string{"refs/heads/x"}); err != nil {
					t.Error(err)
				}
				if diff := cmp.Diff(want, called(s)); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

// called are the requests since the last time.
func called(s *fakehost.Server) []string {
	var all []string
	for _, c := range s.TakeCalls() {
		all = append(all, c.Method+" "+c.URL)
	}
	return all
}

// counted counts the bytes that come from the network.
type counted struct {
	net.Conn
	n *atomic.Int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.n.Add(int64(n))
	return n, err
}

func TestManyRefsCostLittle(t *testing.T) {
	repo := fakehost.NewRepo(t)
	id := repo.Commit("main", "first")
	repo.ManyRefs(50_000, id)
	last := "refs/heads/many/049999"
	repo.Ref(last, repo.Commit("other", "second"))
	repo.Tag("many", id)
	var read atomic.Int64
	var network func(context.Context, string, string) (net.Conn, error)
	s, l := gitSite(t, Config{Dial: func(ctx context.Context, n, address string) (net.Conn, error) {
		conn, err := network(ctx, n, address)
		return counted{conn, &read}, err
	}}, func(s *fakehost.Server) { s.Git("/acme/widgets.git", repo, nil) })
	network = fakehost.Network(s)
	if _, err := l.list(t.Context(), l.Base()+"/acme/widgets.git", nil); err != nil { // the first contact
		t.Fatal(err)
	}
	q := &inquiry{refLister: l, provider: repositories{"acme/widgets": {Owner: "acme", Repo: "widgets", CloneURL: l.Base() + "/acme/widgets.git"}}}
	for _, row := range []struct {
		tail   []string
		branch string
		tag    string
	}{
		{[]string{"main"}, "main", ""},
		{[]string{"many", "000000", "src", "app.go"}, "many/000000", ""},
		{[]string{"many", "049999", "src", "app.go"}, "many/049999", ""},
		{[]string{"many", "none"}, "", "many"},
		{[]string{"man"}, "", ""},
	} {
		read.Store(0)
		c, err := q.resolve(t.Context(), []scmurl.Target{{Owner: "acme", Repo: "widgets", Page: scmurl.RefPage, Ref: scmurl.Ref{Tail: row.tail}}})
		if c.Branch != row.branch || c.Tag != row.tag || err != nil && row.branch+row.tag != "" {
			t.Errorf("%v: branch %q, tag %q, %v", row.tail, c.Branch, c.Tag, err)
		}
		if n := read.Load(); n > 1<<20 { // a list of all refs has more
			t.Errorf("%v took %d bytes", row.tail, n)
		}
	}
}

// repositories is a provider of repositories, and of nothing else.
type repositories map[string]Repository

func (r repositories) GitAuth() string { return "" }

func (r repositories) Repository(_ context.Context, owner, repo string) (Repository, error) {
	if found, ok := r[owner+"/"+repo]; ok {
		return found, nil
	}
	return Repository{}, fault.New(fault.NotFound, fault.ReasonNotFound, "no such repository")
}

func (repositories) Viewer(context.Context) (Viewer, error) { return Viewer{}, errNothing }

func (repositories) Commit(context.Context, string, string, string) (string, error) {
	return "", errNothing
}

func (repositories) Change(context.Context, string, string, string) (Change, error) {
	return Change{}, errNothing
}

func (repositories) Issue(context.Context, string, string, string) (Issue, error) {
	return Issue{}, errNothing
}

func (repositories) Search(context.Context, Query) (Repositories, error) {
	return Repositories{}, errNothing
}

func (repositories) Organizations(context.Context, OrganizationQuery) (Organizations, error) {
	return Organizations{}, errNothing
}

var errNothing = fault.New(fault.NotFound, fault.ReasonNotFound, "There is nothing.")

func pkts(lines ...string) []byte {
	var b bytes.Buffer
	for _, l := range lines {
		if l == "0000" || l == "0001" {
			b.WriteString(l)
			continue
		}
		fmt.Fprintf(&b, "%04x%s", len(l)+4, l)
	}
	return b.Bytes()
}

const (
	idA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	idB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

func TestAnswersThatAreNotGit(t *testing.T) {
	for name, answer := range map[string][]byte{
		"nothing":          nil,
		"half a length":    []byte("00"),
		"a bad length":     []byte("00zz"),
		"length three":     []byte("0003"),
		"too long":         []byte("fff5" + strings.Repeat("x", 0xffff)),
		"half a line":      []byte("0010abc"),
		"no end":           pkts(idA + " HEAD"),
		"no name":          pkts(idA, "0000"),
		"an empty name":    pkts(idA+" ", "0000"),
		"a short id":       pkts("abc HEAD", "0000"),
		"an id in capital": pkts(strings.ToUpper(idA)+" HEAD", "0000"),
		"a bad peeled id":  pkts(idA+" refs/tags/v1 peeled:xyz", "0000"),
		"an error":         pkts("ERR access denied for token planted", "0000"),
		"HTML":             []byte("<html><title>Sign in</title></html>"),
	} {
		if _, err := readListing(newPackets(bytes.NewReader(answer), maxListing), nil); !errors.Is(err, errNotGit) {
			t.Errorf("%s as a listing: %v", name, err)
		}
		if _, err := readAdvertisement(newPackets(bytes.NewReader(answer), maxAdvertisement), []string{"refs/tags/v1"}); !errors.Is(err, errNotGit) {
			t.Errorf("%s as an advertisement: %v", name, err)
		}
	}
}

func TestAdvertisementsOfManyServers(t *testing.T) {
	v1 := []string{"refs/tags/v1"}
	for _, row := range []struct {
		name   string
		answer []byte
		want   advertisement
	}{
		{"version 2", pkts("version 2\n", "agent=git/2.50\n", "ls-refs=unborn\n", "object-format=sha1\n", "0000"), advertisement{v2: true}},
		{"version 2 after the service", pkts("# service=git-upload-pack\n", "0000", "version 2\n", "ls-refs\n", "object-format=sha256\n", "0000"), advertisement{v2: true, sha256: true}},
		{
			"version 1", pkts("# service=git-upload-pack\n", "0000", "version 1\n", idA+" HEAD\x00symref=HEAD:refs/heads/main\n", idB+" refs/tags/v1\n", idA+" refs/tags/v1^{}\n", "0000"),
			advertisement{refs: refs{branch: "main", commit: idA, found: map[string]string{"refs/tags/v1": idA}}},
		},
		{
			"without symref", pkts("# service=git-upload-pack\n", "0000", idA+" HEAD\x00ofs-delta\n", idB+" refs/heads/x\n", "0000"),
			advertisement{refs: refs{commit: idA, found: map[string]string{}}},
		},
		{
			"without commits", pkts("# service=git-upload-pack\n", "0000", strings.Repeat("0", 40)+" capabilities^{}\x00symref=HEAD:refs/heads/main\n", "0000"),
			advertisement{refs: refs{found: map[string]string{}}},
		},
		{"of nothing", pkts("# service=git-upload-pack\n", "0000", "0000"), advertisement{refs: refs{found: map[string]string{}}}},
		{
			"without HEAD", pkts(idA+" refs/heads/x\x00\n", "0000"),
			advertisement{refs: refs{found: map[string]string{}}},
		},
		{
			"read as far as needed", pkts(idA+" HEAD\x00\n", idB+" refs/tags/v1\n", idB+" refs/tags/v2\n", "this is no ref"),
			advertisement{refs: refs{commit: idA, found: map[string]string{"refs/tags/v1": idB}}},
		},
	} {
		got, err := readAdvertisement(newPackets(bytes.NewReader(row.answer), maxAdvertisement), v1)
		if diff := cmp.Diff(row.want, got, cmp.AllowUnexported(advertisement{}, refs{})); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got)\n%s", row.name, err, diff)
		}
	}
	if _, err := readAdvertisement(newPackets(bytes.NewReader(pkts("version 2\n", "fetch\n", "0000")), maxAdvertisement), nil); !errors.Is(err, errNotGit) {
		t.Errorf("a server that lists nothing: %v", err)
	}
}

func TestWhatACutAnswerTells(t *testing.T) {
	answer := pkts(idA+" HEAD symref-target:refs/heads/main\n", idA+" refs/heads/b\n", idB+" refs/heads/d\n", idB+" refs/heads/e\n", "0000")
	names := []string{"refs/heads/a", "refs/heads/d", "refs/heads/z", "refs/tags/d"}
	for _, row := range []struct {
		name   string
		answer []byte
		open   []string
	}{
		{"in order", answer, []string{"refs/heads/z", "refs/tags/d"}},
		{"not in order", pkts(idA+" refs/tags/x\n", idB+" refs/heads/d\n", "0000"), []string{"refs/heads/a", "refs/heads/z", "refs/tags/d"}},
	} {
		got, err := readListing(newPackets(bytes.NewReader(row.answer), int64(len(row.answer)-4)), names)
		if err != nil || !slices.Equal(got.open, row.open) || got.found["refs/heads/d"] != idB {
			t.Errorf("%s: %v, %+v", row.name, err, got)
		}
	}
}

func FuzzRefs(f *testing.F) {
	f.Add(pkts(idA+" HEAD symref-target:refs/heads/main\n", idB+" refs/tags/v1 peeled:"+idA+"\n", "0000"), int64(1000))
	f.Add(pkts("unborn HEAD symref-target:refs/heads/main\n", "0000"), int64(20))
	f.Add(pkts("# service=git-upload-pack\n", "0000", idA+" HEAD\x00symref=HEAD:refs/heads/main object-format=sha1\n", idB+" refs/tags/v1\n", idA+" refs/tags/v1^{}\n", "0000"), int64(1000))
	f.Add(pkts("version 2\n", "ls-refs=unborn\n", "object-format=sha256\n", "0000"), int64(1000))
	f.Add([]byte("0003ffff0004"), int64(7))
	f.Fuzz(func(t *testing.T, answer []byte, bound int64) {
		names := []string{"refs/heads/a", "refs/heads/a/b", "refs/tags/v1"}
		check := func(r refs, err error) {
			if err != nil {
				if !errors.Is(err, errNotGit) {
					t.Errorf("an error of its own kind: %v", err)
				}
				return
			}
			if r.commit != "" && !isID(r.commit) || strings.ContainsAny(r.branch, " \n\x00\x1b") {
				t.Errorf("%+v", r)
			}
			for name, id := range r.found {
				if !slices.Contains(names, name) || !isID(id) || slices.Contains(r.open, name) {
					t.Errorf("%+v", r)
				}
			}
		}
		check(readListing(newPackets(bytes.NewReader(answer), bound), names))
		a, err := readAdvertisement(newPackets(bytes.NewReader(answer), bound), names)
		check(a.refs, err)
	})
}
