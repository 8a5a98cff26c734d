package pgtest

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

// Message is a message of PostgreSQL's protocol that passes a Proxy.
type Message struct {
	// Connection counts the connections of the proxy.
	Connection int
	// FromServer tells which side sent it.
	FromServer bool
	// Kind is the byte that it begins with; 0 for the first of a connection.
	Kind byte
	// Body is what follows its length. It is passed as whoever judges leaves it.
	Body []byte
}

// Verdict is what becomes of a message.
type Verdict int

// The verdicts.
const (
	Pass Verdict = iota
	// CutBefore cuts the connection in the place of the message.
	CutBefore
	// CutAfter passes the message and cuts the connection behind it.
	CutAfter
)

// Proxy stands between a client and the server.
type Proxy struct {
	// URL is the database through the proxy.
	URL string

	socket string
	// judging is held while a message is judged and passed, so that messages of
	// both sides have one order.
	judging sync.Mutex
	judge   func(Message) Verdict
}

// NewProxy makes a proxy to a database whose URL is one of this package's.
func NewProxy(t testing.TB, database string) *Proxy {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{socket: filepath.Join(u.Query().Get("host"), ".s.PGSQL.5432")}
	p.Judge(nil)
	through := url.URL{Scheme: "postgres", User: u.User, Host: listener.Addr().String(), Path: u.Path, RawQuery: "sslmode=disable"}
	p.URL = through.String()
	var running sync.WaitGroup
	running.Go(func() {
		var open []*pair
		for {
			client, err := listener.Accept()
			if err != nil {
				break
			}
			server, err := net.Dial("unix", p.socket)
			if err != nil {
				_ = client.Close()
				continue
			}
			both := &pair{number: len(open) + 1, client: client, server: server}
			open = append(open, both)
			running.Go(func() { p.carry(both, client, server, false) })
			running.Go(func() { p.carry(both, server, client, true) })
		}
		for _, both := range open {
			both.cut()
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		running.Wait()
	})
	return p
}

// LoseCommit loses the answer to the next commit of a transaction that has a text
// among its arguments; with early set, what asks for it is lost already.
func (p *Proxy) LoseCommit(text string, early bool) {
	marked := map[int]bool{}
	lost := false
	p.Judge(func(m Message) Verdict {
		if lost {
			return Pass
		}
		commits := bytes.HasPrefix(bytes.ToUpper(m.Body), []byte("COMMIT"))
		switch {
		case !m.FromServer && m.Kind == 'B' && bytes.Contains(m.Body, []byte(text)):
			marked[m.Connection] = true
		case commits && (!m.FromServer && m.Kind == 'Q' && early || m.FromServer && m.Kind == 'C' && !early):
			if lost = marked[m.Connection]; lost {
				return CutBefore
			}
		case m.FromServer && m.Kind == 'Z' && m.Body[0] == 'I':
			delete(marked, m.Connection) // no transaction is open there
		}
		return Pass
	})
}

// CutAtArgument cuts the connection, once, at the n-th statement from now on that
// has a text among its arguments, and tells afterwards whether there was one.
func (p *Proxy) CutAtArgument(text string, n int) (was func() bool) {
	seen := 0
	p.Judge(func(m Message) Verdict {
		if !m.FromServer && m.Kind == 'B' && bytes.Contains(m.Body, []byte(text)) {
			if seen++; seen == n {
				return CutBefore
			}
		}
		return Pass
	})
	return func() bool {
		p.Judge(nil)
		return seen >= n
	}
}

// Judge sets what decides about each message from now on; nil passes all. It is
// called for one message at a time.
func (p *Proxy) Judge(judge func(Message) Verdict) {
	if judge == nil {
		judge = func(Message) Verdict { return Pass }
	}
	p.judging.Lock()
	defer p.judging.Unlock()
	p.judge = judge
}

// pair is a connection through the proxy.
type pair struct {
	number         int
	client, server net.Conn
}

func (b *pair) cut() {
	_ = b.client.Close()
	_ = b.server.Close()
}

// carry passes the messages of one side.
func (p *Proxy) carry(both *pair, from, to net.Conn, fromServer bool) {
	defer both.cut()
	for first := !fromServer; ; first = false {
		m, raw, err := read(from, first)
		if err != nil {
			return
		}
		m.Connection, m.FromServer = both.number, fromServer
		if !p.pass(m, raw, to) {
			return
		}
	}
}

// pass passes one message; false means that the connection is to be cut.
func (p *Proxy) pass(m Message, raw []byte, to io.Writer) bool {
	p.judging.Lock()
	defer p.judging.Unlock()
	verdict := p.judge(m)
	if verdict == CutBefore {
		return false
	}
	_, err := to.Write(raw)
	return err == nil && verdict == Pass
}

// read reads a message. The first of a client has no kind.
func read(from io.Reader, first bool) (m Message, raw []byte, err error) {
	head := make([]byte, 5)
	if first {
		head = head[:4]
	}
	if _, err := io.ReadFull(from, head); err != nil {
		return m, nil, err
	}
	if !first {
		m.Kind = head[0]
	}
	raw = slices.Concat(head, make([]byte, binary.BigEndian.Uint32(head[len(head)-4:])-4))
	m.Body = raw[len(head):]
	_, err = io.ReadFull(from, m.Body)
	return m, raw, err
}
