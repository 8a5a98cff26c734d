package rpc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestCertificateFollowsItsFiles(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	write := func(serial int64, cert, key bool) {
		t.Helper()
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "x"}}
		certDER, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
		keyDER, err2 := x509.MarshalPKCS8PrivateKey(private)
		if cert {
			err = errors.Join(err, os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certDER}), 0o600))
		}
		if key {
			err = errors.Join(err, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600))
		}
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
	}
	write(1, true, true)
	c, err := newCertificate(certFile, keyFile, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	serial := func(after time.Duration) int64 { return c.at(c.read.Add(after)).Leaf.SerialNumber.Int64() }
	if got := serial(0); got != 1 {
		t.Errorf("serial %d, want 1", got)
	}
	write(2, true, true)
	if got := serial(time.Second); got != 1 {
		t.Errorf("read the files at once: serial %d", got)
	}
	if got := serial(certificatePoll); got != 2 {
		t.Errorf("serial %d, want 2", got)
	}
	write(3, true, false) // the key is not there yet
	if got := serial(certificatePoll); got != 2 {
		t.Errorf("serial %d, want the old 2", got)
	}
	write(4, true, true)
	if got := serial(certificatePoll); got != 4 {
		t.Errorf("serial %d, want 4", got)
	}
}
