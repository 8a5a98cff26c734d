package dial

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"sync"
)

// Connection is a client of one server that speaks HTTP/2 with it, in clear
// text too, over a connection of its own. Close closes that connection in
// whatever state it is, so that the next attempt cannot end up on one that is
// dead without knowing.
type Connection struct {
	*http.Client
	cancel context.CancelFunc

	mu     sync.Mutex
	closed bool
	conns  []net.Conn
}

// Connect prepares a connection; it is opened with the first request.
func (n *Network) Connect(server *url.URL) *Connection {
	alive, cancel := context.WithCancel(context.Background())
	c := &Connection{cancel: cancel}
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	c.Client = &http.Client{
		CheckRedirect: noRedirect,
		Transport: &http.Transport{
			Protocols:           protocols,
			TLSClientConfig:     n.tls(""),
			TLSHandshakeTimeout: tlsTimeout,
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				ctx, stop := context.WithCancel(ctx)
				defer stop()
				defer context.AfterFunc(alive, stop)()
				conn, err := n.reach(ctx, server, network, address)
				if err != nil {
					return nil, err
				}
				return c.keep(conn)
			},
		},
	}
	return c
}

func (c *Connection) keep(conn net.Conn) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		_ = conn.Close()
		return nil, errors.New("the connection was given up")
	}
	c.conns = append(c.conns, conn)
	return conn, nil
}

// Close ends all that is under way.
func (c *Connection) Close() {
	c.cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.conns = nil
	c.CloseIdleConnections()
}
