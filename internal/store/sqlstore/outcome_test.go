package sqlstore_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/store/pgtest"
	"github.com/musterhq/muster/internal/store/sqlstore"
)

const outcomeUnknown = fault.Reason("outcome-unknown")

// proxied is a store whose connections a test can cut.
type proxied struct {
	*pgtest.Proxy
	direct string // the database past the proxy
	store  *sqlstore.Store
	truth  *sqlstore.Store // past the proxy

	mu     sync.Mutex
	events []string
}

func newProxied(t *testing.T) *proxied {
	d := newPostgres(t).(database)
	p := &proxied{Proxy: pgtest.NewProxy(t, d.options.URL), direct: d.options.URL}
	p.truth = open(t, d.options)
	p.store = open(t, sqlstore.Options{URL: p.URL, Publish: func(events []event.Event) {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, e := range events {
			p.events = append(p.events, e.Object.ID)
		}
	}})
	return p
}

func open(t *testing.T, o sqlstore.Options) *sqlstore.Store {
	t.Helper()
	s, err := sqlstore.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// step is where a connection was cut.
type step struct {
	name string
	// asked and answered tell what COMMIT had got to.
	asked, answered bool
	// next tells that COMMIT may have been sent into the cut connection.
	next bool
}

// cut cuts the connection at the n-th message from now on, and tells afterwards
// which that was; nil when there were fewer.
func (p *proxied) cut(n int, v pgtest.Verdict) (at func() *step) {
	var seen int
	var asked, answered bool
	var where *step
	p.Judge(func(m pgtest.Message) pgtest.Verdict {
		asked = asked || !m.FromServer && m.Kind == 'Q' && bytes.HasPrefix(bytes.ToUpper(m.Body), []byte("COMMIT"))
		seen++
		if seen == n {
			after := v == pgtest.CutAfter
			isAnswer := m.FromServer && m.Kind == 'C' && bytes.HasPrefix(m.Body, []byte("COMMIT"))
			side := "client"
			if m.FromServer {
				side = "server"
			}
			where = &step{
				name:  fmt.Sprintf("%s %c %q", side, max(m.Kind, ' '), m.Body[:min(len(m.Body), 30)]),
				asked: asked, answered: answered || after && isAnswer, next: after && m.FromServer && m.Kind == 'Z',
			}
			answered = answered || isAnswer
			return v
		}
		answered = answered || m.FromServer && m.Kind == 'C' && bytes.HasPrefix(m.Body, []byte("COMMIT"))
		return pgtest.Pass
	})
	return func() *step {
		p.Judge(nil)
		return where
	}
}

// nothing uses the connection and prepares no statement.
func (p *proxied) nothing(t *testing.T) {
	t.Helper()
	if err := p.store.Identity().Write(t.Context(), func(identity.Tx) error { return nil }); err != nil {
		t.Fatal(err)
	}
}

func (p *proxied) make(t *testing.T) (id.Organization, error) {
	o := identity.Organization{ID: id.Organization(id.New()), Name: "o"}
	return o.ID, p.store.Identity().Write(t.Context(), func(tx identity.Tx) error {
		if err := tx.LockOrganization(t.Context(), o.ID); err != nil {
			return err
		}
		if _, _, err := tx.OperatingOrganization(t.Context()); err != nil {
			return err
		}
		tx.Emit(event.Event{Operation: event.Created, Object: access.OrganizationObject(o.ID)})
		return tx.InsertOrganization(t.Context(), o)
	})
}

func (p *proxied) there(t *testing.T, o id.Organization) bool {
	t.Helper()
	_, found, err := p.truth.Identity().Organization(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func (p *proxied) published(o id.Organization) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, e := range p.events {
		if e == string(o) {
			n++
		}
	}
	return n
}

// everyCut runs a test for both ways to cut, and for statements that are
// prepared already and those that are not.
func everyCut(t *testing.T, test func(t *testing.T, v pgtest.Verdict, prepared bool)) {
	for name, v := range map[string]pgtest.Verdict{"before": pgtest.CutBefore, "after": pgtest.CutAfter} {
		for _, prepared := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s prepared %v", name, prepared), func(t *testing.T) {
				t.Parallel()
				test(t, v, prepared)
			})
		}
	}
}

// Wherever the connection is cut, a change that was not to be committed yet is
// made all the same, once; and one that was is in doubt only when no answer came.
func TestAChangeIsCutAtEachStepOfTheProtocol(t *testing.T) {
	t.Parallel()
	everyCut(t, func(t *testing.T, v pgtest.Verdict, prepared bool) {
		p := newProxied(t)
		inDoubt, certain := 0, 0
		for n := 1; ; n++ {
			p.nothing(t) // the last cut may have left a connection
			if prepared {
				if _, err := p.make(t); err != nil {
					t.Fatal(err)
				}
			}
			at := p.cut(n, v)
			o, err := p.make(t)
			where := at()
			if where == nil {
				break
			}
			there, published := p.there(t, o), p.published(o)
			switch {
			case err == nil:
				certain++
				if where.asked && !where.answered || !there || published != 1 {
					t.Errorf("cut at %d, %s: no error; there %v, published %d times", n, where.name, there, published)
				}
			case fault.HasReason(err, outcomeUnknown):
				inDoubt++
				if !where.asked && !where.next || where.answered || published != 1 {
					t.Errorf("cut at %d, %s: %v; published %d times", n, where.name, err, published)
				}
			default:
				t.Errorf("cut at %d, %s: %v; there %v", n, where.name, err, there)
			}
		}
		if inDoubt == 0 || certain < 10 {
			t.Errorf("%d in doubt, %d certain", inDoubt, certain)
		}
	})
}

// A look-up that is cut anywhere is repeated.
func TestALookUpIsCutAtEachStepOfTheProtocol(t *testing.T) {
	t.Parallel()
	everyCut(t, func(t *testing.T, v pgtest.Verdict, prepared bool) {
		for name, look := range map[string]func(p *proxied, want id.Organization) error{
			"row": func(p *proxied, want id.Organization) error {
				_, found, err := p.store.Identity().Organization(t.Context(), want)
				if err == nil && !found {
					return fmt.Errorf("%s is not there", want)
				}
				return err
			},
			"list": func(p *proxied, _ id.Organization) error {
				rows, err := p.store.Identity().Organizations(t.Context(), page.Query{Limit: page.MaxSize})
				if err == nil && len(rows) != 5 {
					return fmt.Errorf("%d rows", len(rows))
				}
				return err
			},
		} {
			p := newProxied(t)
			var made id.Organization
			for range 5 {
				var err error
				if made, err = p.make(t); err != nil {
					t.Fatal(err)
				}
			}
			cuts := 0
			for n := 1; ; n++ {
				p.nothing(t)
				if prepared {
					if err := look(p, made); err != nil {
						t.Fatal(err)
					}
				}
				at := p.cut(n, v)
				err := look(p, made)
				where := at()
				if where == nil {
					break
				}
				cuts++
				if err != nil {
					t.Errorf("%s, cut at %d, %s: %v", name, n, where.name, err)
				}
			}
			if cuts < 5 {
				t.Errorf("%s: only %d steps were cut", name, cuts)
			}
		}
	})
}

// A change whose connections break again and again is refused as one that may be
// tried again, and was not made.
func TestAServerThatKeepsBreakingIsUnavailable(t *testing.T) {
	t.Parallel()
	p := newProxied(t)
	p.Judge(func(m pgtest.Message) pgtest.Verdict {
		if !m.FromServer && bytes.Contains(m.Body, []byte("INSERT INTO organizations")) {
			return pgtest.CutBefore
		}
		return pgtest.Pass
	})
	o, err := p.make(t)
	p.Judge(nil)
	if !fault.Is(err, fault.Unavailable) || !fault.HasReason(err, fault.StorageUnavailable) || strings.Contains(fault.From(err).Message, "may or may not") {
		t.Errorf("got %v", err)
	}
	if p.there(t, o) || p.published(o) != 0 {
		t.Error("it was made")
	}
}

// What the server says by itself when it commits counts: that it was told to stop
// before it got so far.
func TestTheServersLastWordIsTrue(t *testing.T) {
	t.Parallel()
	p := newProxied(t)
	first := true
	runs := 0
	o := identity.Organization{ID: id.Organization(id.New()), Name: "o"}
	err := p.store.Identity().Write(t.Context(), func(tx identity.Tx) error {
		runs++
		if err := tx.InsertOrganization(t.Context(), o); err != nil {
			return err
		}
		if first {
			first = false
			pgtest.Terminate(t, p.direct)
		}
		return nil
	})
	switch {
	case fault.HasReason(err, outcomeUnknown): // the word was lost with the connection
	case err != nil || runs != 2 || !p.there(t, o.ID):
		t.Errorf("%v, after %d runs; there %v", err, runs, p.there(t, o.ID))
	}
}

// A server that takes no changes any more, as a primary that became a standby, is
// left as soon as another connection does better.
func TestAFormerPrimaryIsLeft(t *testing.T) {
	t.Parallel()
	d := newPostgres(t).(database)
	s := open(t, d.options)
	write := func() error {
		o := identity.Organization{ID: id.Organization(id.New()), Name: "o"}
		return s.Identity().Write(t.Context(), func(tx identity.Tx) error { return tx.InsertOrganization(t.Context(), o) })
	}
	readOnly := func(how string) {
		name := d.options.URL[strings.LastIndex(d.options.URL, "/")+1 : strings.Index(d.options.URL, "?")]
		d.Exec(t, "BEGIN READ WRITE; ALTER DATABASE "+name+" SET default_transaction_read_only = "+how+"; COMMIT")
	}
	readOnly("on")
	pgtest.Terminate(t, d.options.URL)
	if err := write(); !fault.Is(err, fault.Unavailable) || !strings.Contains(fault.From(err).Message, "takes no changes") {
		t.Errorf("got %v", err)
	}
	readOnly("off")
	if err := write(); err != nil {
		t.Errorf("with a primary again: %v", err)
	}
}

// Connections that end under load, and a restart, are never an internal failure,
// and nothing is made twice.
func TestARestartUnderLoad(t *testing.T) {
	t.Parallel()
	u, restart := pgtest.Own(t)
	s := open(t, sqlstore.Options{URL: u})
	const workers, each = 16, 50
	var mu sync.Mutex
	results := map[id.Organization]error{}
	begun := make(chan struct{}, workers*each)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				o := identity.Organization{ID: id.Organization(id.New()), Name: "o"}
				begun <- struct{}{}
				err := s.Identity().Write(t.Context(), func(tx identity.Tx) error { return tx.InsertOrganization(t.Context(), o) })
				_, _, lookErr := s.Fleet().Runner(t.Context(), "any")
				mu.Lock()
				results[o.ID] = err
				mu.Unlock()
				if lookErr != nil && !fault.Is(lookErr, fault.Unavailable) {
					t.Errorf("a look-up gave %v", lookErr)
				}
			}
		})
	}
	for range 3 {
		for range workers * each / 5 {
			<-begun
		}
		pgtest.Terminate(t, u)
		restart()
	}
	wg.Wait()
	refused := 0
	for o, err := range results {
		_, there, lookErr := s.Identity().Organization(t.Context(), o)
		switch {
		case lookErr != nil:
			t.Fatal(lookErr)
		case fault.HasReason(err, outcomeUnknown):
		case err != nil && !fault.Is(err, fault.Unavailable):
			t.Errorf("a change gave %v", err)
		case there != (err == nil):
			t.Errorf("a change gave %v and is there: %v", err, there)
		}
		if err != nil {
			refused++
		}
	}
	t.Logf("%d of %d calls were refused", refused, len(results))
}
