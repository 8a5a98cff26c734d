package dial

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

const maxProxyAnswer = 64 << 10

// reach opens a connection to the address, which is that of the server,
// through the proxy that is configured for the server, if any.
func (n *Network) reach(ctx context.Context, server *url.URL, network, address string) (net.Conn, error) {
	proxy, err := n.proxy(server)
	if err != nil {
		return nil, err
	}
	if proxy == nil {
		return n.dial(ctx, network, address)
	}
	conn, err := n.tunnel(ctx, proxy, address)
	if err != nil {
		return nil, fmt.Errorf("the proxy %s: %w", proxy.Host, err)
	}
	return conn, nil
}

func (n *Network) tunnel(ctx context.Context, proxy *url.URL, address string) (net.Conn, error) {
	port := map[string]string{"http": "80", "https": "443"}[proxy.Scheme]
	if port == "" {
		return nil, fmt.Errorf("%s:// proxies are not supported; use an http:// or https:// proxy", proxy.Scheme)
	}
	if proxy.Port() != "" {
		port = proxy.Port()
	}
	conn, err := n.dial(ctx, "tcp", net.JoinHostPort(proxy.Hostname(), port))
	if err != nil {
		return nil, err
	}
	if proxy.Scheme == "https" {
		conn = tls.Client(conn, n.tls(proxy.Hostname()))
	}
	// A deadline in the past is what interrupts reads and writes.
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	tunnel, err := ask(conn, proxy.User, address)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return tunnel, nil
}

// ask sends CONNECT and reads the answer.
func ask(conn net.Conn, user *url.Userinfo, address string) (net.Conn, error) {
	request := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: address}, Host: address, Header: make(http.Header)}
	if user != nil {
		password, _ := user.Password()
		request.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)))
	}
	if err := request.Write(conn); err != nil {
		return nil, err
	}
	in := bufio.NewReader(io.LimitReader(conn, maxProxyAnswer))
	response, err := http.ReadResponse(in, request)
	if err != nil {
		return nil, err
	}
	_ = response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusProxyAuthRequired:
		return nil, errors.New("it asks for a user name and password; put them into the proxy's URL")
	default:
		return nil, fmt.Errorf("it refused to connect to %s: %s", address, response.Status)
	}
	if in.Buffered() == 0 {
		return conn, nil
	}
	// A server of HTTP/2 may speak first.
	early, err := in.Peek(in.Buffered())
	if err != nil {
		return nil, err
	}
	return &tunnelConn{Conn: conn, early: early}, nil
}

// tunnelConn returns what was read together with the proxy's answer first.
type tunnelConn struct {
	net.Conn
	early []byte
}

func (c *tunnelConn) Read(p []byte) (int, error) {
	if len(c.early) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.early)
	c.early = c.early[n:]
	return n, nil
}
