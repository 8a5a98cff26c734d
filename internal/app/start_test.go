package app_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
	"github.com/musterhq/muster/internal/app"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/store/pgtest"
)

// refusesToStart runs a control plane that must not come up, and returns why.
func refusesToStart(t *testing.T, change func(*app.Config)) *fault.Error {
	t.Helper()
	cfg := app.Config{DataDir: t.TempDir(), Listen: "127.0.0.1:0", BootstrapToken: bootstrapToken, Logger: slog.New(slog.DiscardHandler)}
	change(&cfg)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := app.Run(ctx, cfg)
	if err == nil {
		t.Fatal("the control plane came up")
	}
	f := fault.From(err)
	if f.Code == fault.Internal {
		t.Fatalf("the reason is no sentence for an operator: %v", err)
	}
	return f
}

func create(t *testing.T, c *http.Client, url, name string) *gitpodv1.Runner {
	t.Helper()
	made, err := gitpodv1connect.NewRunnerServiceClient(c, url).CreateRunner(t.Context(), connect.NewRequest(&gitpodv1.CreateRunnerRequest{
		Name: name, Provider: gitpodv1.RunnerProvider_RUNNER_PROVIDER_LINUX_HOST,
	}))
	if err != nil {
		t.Fatal(err)
	}
	return made.Msg.GetRunner()
}

func TestARestartKeepsEverything(t *testing.T) {
	for engine, change := range map[string]func(*app.Config){
		"sqlite":     func(*app.Config) {},
		"postgresql": func(c *app.Config) { c.DatabaseURL = pgtest.URL(t) },
	} {
		t.Run(engine, func(t *testing.T) {
			dir := t.TempDir()
			database := app.Config{}
			change(&database)
			same := func(c *app.Config) { c.DataDir, c.DatabaseURL = dir, database.DatabaseURL }
			url, stop := start(t, same)
			made := create(t, client(bootstrapToken), url, "kept")
			stop()
			url, _ = start(t, same)
			got, err := gitpodv1connect.NewRunnerServiceClient(client(bootstrapToken), url).GetRunner(t.Context(), connect.NewRequest(&gitpodv1.GetRunnerRequest{RunnerId: made.GetRunnerId()}))
			if err != nil || got.Msg.GetRunner().GetName() != "kept" {
				t.Errorf("after the restart: %v, %v", got, err)
			}
		})
	}
}

func TestASecondControlPlaneOnOneDatabaseIsRefused(t *testing.T) {
	database := pgtest.URL(t)
	dir := t.TempDir()
	start(t, func(c *app.Config) { c.DataDir, c.DatabaseURL = dir, database })
	f := refusesToStart(t, func(c *app.Config) { c.DataDir, c.DatabaseURL = dir, database })
	if !strings.Contains(f.Message, "Another control plane") {
		t.Errorf("the reason: %s", f.Message)
	}
}

func TestStartsThatAreRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*app.Config)
		says   string
	}{
		"no data directory":   {func(c *app.Config) { c.DataDir = "" }, "--data-dir"},
		"half of TLS":         {func(c *app.Config) { c.TLSCert = "x" }, "--tls-key"},
		"no certificate":      {func(c *app.Config) { c.TLSCert, c.TLSKey = "/nowhere/c", "/nowhere/k" }, "/nowhere/c"},
		"a bad public URL":    {func(c *app.Config) { c.PublicURL = "muster.example.com" }, "--public-url"},
		"a short first token": {func(c *app.Config) { c.BootstrapToken = "short" }, "32"},
		"a bad address":       {func(c *app.Config) { c.Listen = "256.0.0.1:1" }, "--listen"},
		"a bad gateway":       {func(c *app.Config) { c.Gateways = []app.Gateway{{Name: "x", URL: "ftp://x"}} }, "--gateway"},
		"a gateway twice": {func(c *app.Config) {
			c.Gateways = []app.Gateway{{Name: "x", URL: "http://x"}, {Name: "x", URL: "http://y"}}
		}, "twice"},
		"no such database":     {func(c *app.Config) { c.DatabaseURL = "postgres://u:hunter2@127.0.0.1:1/x" }, "cannot be reached"},
		"a malformed database": {func(c *app.Config) { c.DatabaseURL = "mysql://u:hunter2@x/y" }, "database URL"},
	} {
		t.Run(name, func(t *testing.T) {
			f := refusesToStart(t, tt.change)
			if !strings.Contains(f.Message, tt.says) || strings.Contains(f.Error(), "hunter2") {
				t.Errorf("the reason: %s", f.Error())
			}
		})
	}
	t.Run("a data directory in use", func(t *testing.T) {
		dir := t.TempDir()
		start(t, func(c *app.Config) { c.DataDir = dir })
		if f := refusesToStart(t, func(c *app.Config) { c.DataDir = dir }); !strings.Contains(f.Message, dir) {
			t.Errorf("the reason: %s", f.Message)
		}
	})
	t.Run("another secret-key file", func(t *testing.T) {
		dir := t.TempDir()
		_, stop := start(t, func(c *app.Config) { c.DataDir = dir })
		stop()
		f := refusesToStart(t, func(c *app.Config) {
			c.DataDir, c.SecretKeyFile = dir, filepath.Join(t.TempDir(), "another")
		})
		if !strings.Contains(f.Message, "--secret-key-file") {
			t.Errorf("the reason: %s", f.Message)
		}
	})
	t.Run("a secret-key file for all to read", func(t *testing.T) {
		dir := t.TempDir()
		_, stop := start(t, func(c *app.Config) { c.DataDir = dir })
		stop()
		if err := os.Chmod(filepath.Join(dir, "secret-key"), 0o644); err != nil { //nolint:gosec // the point of the test
			t.Fatal(err)
		}
		if f := refusesToStart(t, func(c *app.Config) { c.DataDir = dir }); !strings.Contains(f.Message, "chmod 600") {
			t.Errorf("the reason: %s", f.Message)
		}
	})
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key, pool := selfSigned(t, dir)
	url, _ := start(t, func(c *app.Config) { c.TLSCert, c.TLSKey = cert, key })
	if !strings.HasPrefix(url, "https://127.0.0.1:") {
		t.Fatalf("URL %s", url)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	if r := create(t, &http.Client{Transport: bearer{bootstrapToken, transport}}, url, "over TLS"); r.GetRunnerId() == "" {
		t.Error("no runner")
	}
}

func selfSigned(t *testing.T, dir string) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "muster"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for file, content := range map[string][]byte{certFile: certPEM, keyFile: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	return certFile, keyFile, pool
}
