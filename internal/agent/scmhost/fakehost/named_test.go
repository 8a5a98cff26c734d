package fakehost_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/musterhq/muster/internal/agent/scmhost/fakehost"
)

func TestNamedServersAreFoundByName(t *testing.T) {
	hub := fakehost.NewNamed(t, "github.com", "api.github.com")
	lab := fakehost.NewNamed(t, "gitlab.com")
	plain := fakehost.NewPlain(t)
	for name, s := range map[string]*fakehost.Server{"hub": hub, "lab": lab, "plain": plain} {
		s.Handle("/", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) })
	}
	client := &http.Client{Transport: &http.Transport{
		DialContext:     fakehost.Network(hub, lab, plain),
		TLSClientConfig: &tls.Config{RootCAs: fakehost.Trust(hub, lab), MinVersion: tls.VersionTLS12},
	}}
	t.Cleanup(client.CloseIdleConnections)
	for url, want := range map[string]string{
		"https://github.com/x": "hub", "https://api.github.com:8443/": "hub", "https://gitlab.com": "lab",
		hub.URL: "hub", plain.URL: "plain", "https://example.com": "", "https://127.0.0.1:1": "",
	} {
		got := ""
		resp, err := client.Get(url)
		if err == nil {
			body, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			got = string(body)
		} else if !strings.Contains(err.Error(), "there is nothing") {
			t.Error(err)
		}
		if got != want {
			t.Errorf("%s leads to %q, not to %q", url, got, want)
		}
	}
}
