package rpc_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
	"github.com/musterhq/muster/internal/rpc"
)

// writeCertificate makes a certificate for 127.0.0.1 that signs itself.
func writeCertificate(t *testing.T, dir, name string) (pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "cert"), certPEM, 0o600), os.WriteFile(filepath.Join(dir, "key"), keyPEM, 0o600)); err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	return pool
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	pool := writeCertificate(t, dir, "first")
	server, err := rpc.NewServer(rpc.ServerConfig{
		Handler: newWorld(t).Handler, CertFile: filepath.Join(dir, "cert"), KeyFile: filepath.Join(dir, "key"),
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	url := "https://" + l.Addr().String()
	for _, http2 := range []bool{false, true} {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: http2} //nolint:gosec // a test
		client := &http.Client{Transport: transport}
		a := post(url+getRunner, `{"runnerId":"`+runnerID+`"}`).do(t, client)
		if a.status != http.StatusOK {
			t.Errorf("HTTP/2 %v: status %d: %s", http2, a.status, a.body)
		}
		if http2 {
			c := gitpodv1connect.NewRunnerServiceClient(client, url, connect.WithGRPC())
			if _, err := c.GetRunner(context.Background(), bearer(&gitpodv1.GetRunnerRequest{RunnerId: runnerID})); err != nil {
				t.Errorf("gRPC over TLS: %v", err)
			}
		}
		transport.CloseIdleConnections()
	}
	if err := server.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestServerNeedsBothFiles(t *testing.T) {
	dir := t.TempDir()
	writeCertificate(t, dir, "x")
	for _, cfg := range []rpc.ServerConfig{
		{CertFile: filepath.Join(dir, "cert")},
		{KeyFile: filepath.Join(dir, "key")},
		{CertFile: filepath.Join(dir, "none"), KeyFile: filepath.Join(dir, "key")},
		{CertFile: filepath.Join(dir, "key"), KeyFile: filepath.Join(dir, "cert")},
	} {
		cfg.Handler = newWorld(t).Handler
		if _, err := rpc.NewServer(cfg); err == nil {
			t.Errorf("NewServer accepts %q and %q", cfg.CertFile, cfg.KeyFile)
		}
	}
	if _, err := rpc.NewServer(rpc.ServerConfig{}); err == nil {
		t.Error("NewServer accepts no handler")
	}
}

// Shutdown ends streams, lets calls finish, and cuts what does not.
func TestShutdown(t *testing.T) {
	w := newWorld(t)
	entered, finish := make(chan struct{}), make(chan struct{})
	w.runners.get = func(context.Context, *gitpodv1.GetRunnerRequest) (*gitpodv1.GetRunnerResponse, error) {
		close(entered)
		<-finish
		return &gitpodv1.GetRunnerResponse{}, nil
	}
	server, err := rpc.NewServer(rpc.ServerConfig{Handler: w.Handler})
	if err != nil {
		t.Fatal(err)
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	url := "http://" + l.Addr().String()
	call := make(chan answer, 1)
	go func() { call <- post(url+getRunner, `{"runnerId":"`+runnerID+`"}`).do(t, h1(t)) }()
	<-entered
	watcher := watchAs(t, url+watchEvents, "application/json", `{}`)
	shut := make(chan error, 1)
	go func() { shut <- server.Shutdown(context.Background()) }()
	buf := make([]byte, 1)
	if n, err := watcher.Body.Read(buf); n != 0 || err == nil {
		t.Errorf("the stream goes on: %q, %v", buf[:n], err)
	}
	close(finish)
	if a := <-call; a.status != http.StatusOK {
		t.Errorf("a call during shutdown: status %d", a.status)
	}
	if err := <-shut; err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	services := newWorld(t).cfg.Services
	for name, cfg := range map[string]rpc.Config{
		"no authentication": {Services: services},
		"no services":       {Authenticate: authenticate},
		"twice":             {Authenticate: authenticate, Services: append(services[:1:1], services[0])},
		"wrong name":        {Authenticate: authenticate, Services: []rpc.Service{{Name: "gitpod.v1.Other", New: services[0].New}}},
		"watch of nothing":  {Authenticate: authenticate, Services: services[:1], Watch: newWorld(t).cfg.Watch},
	} {
		if _, err := rpc.New(cfg); err == nil {
			t.Errorf("New accepts %s", name)
		}
	}
}

// What the server announces decides what its clients spend: a Go client buffers
// a frame for every stream that it has open.
func TestHTTP2Settings(t *testing.T) {
	conn, err := new(net.Dialer).DialContext(context.Background(), "tcp", strings.TrimPrefix(newWorld(t).start(t), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
	head := make([]byte, 9)
	if _, err := io.ReadFull(conn, head); err != nil || head[3] != 4 {
		t.Fatalf("frame %v, %v; want SETTINGS", head, err)
	}
	settings := make([]byte, int(head[1])<<8|int(head[2]))
	if _, err := io.ReadFull(conn, settings); err != nil {
		t.Fatal(err)
	}
	got := map[uint16]uint32{}
	for s := settings; len(s) >= 6; s = s[6:] {
		got[binary.BigEndian.Uint16(s)] = binary.BigEndian.Uint32(s[2:])
	}
	const maxConcurrentStreams, initialWindowSize, maxFrameSize = 3, 4, 5
	for id, want := range map[uint16]uint32{maxConcurrentStreams: 2048, initialWindowSize: 64 << 10, maxFrameSize: 16 << 10} {
		if got[id] != want {
			t.Errorf("setting %d is %d, want %d", id, got[id], want)
		}
	}
}
