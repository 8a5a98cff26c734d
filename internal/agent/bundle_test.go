package agent_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"

	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
)

// unpack returns the files of a support bundle.
func unpack(t *testing.T, raw string) map[string]string {
	t.Helper()
	unzipped, err := gzip.NewReader(strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]string)
	for archive := tar.NewReader(unzipped); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		// Profiles are compressed.
		if inner, err := gzip.NewReader(bytes.NewReader(content)); err == nil {
			if content, err = io.ReadAll(inner); err != nil {
				t.Fatal(err)
			}
		}
		files[strings.TrimPrefix(h.Name, "support-bundle/")] = string(content)
	}
}

// encodings are the forms in which a secret could leave by mistake.
func encodings(secret []byte) [][]byte {
	out := [][]byte{secret, []byte(hex.EncodeToString(secret)), bytes.ToUpper([]byte(hex.EncodeToString(secret))), []byte(url.QueryEscape(string(secret))), []byte(url.PathEscape(string(secret)))}
	for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		// In the middle of other bytes, it can start at any of three places; the
		// first and the last characters depend on the neighbours.
		for shift := range 3 {
			encoded := e.EncodeToString(append(make([]byte, shift), secret...))
			out = append(out, []byte(encoded[4:len(encoded)-4]))
		}
	}
	return out
}

func TestNoSecretLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		pr := p.join(t, nil)
		l := p.accept(t)
		public := l.hello.GetPublicKey()
		configuration := &linkv1.Configuration{
			Revision: 3, Spec: everything(),
			SealedMetricsPassword: sealed(t, public, "metrics.password", "planted-metrics-password/+ü"),
			SealedHoneycombApiKey: sealed(t, public, "honeycomb_api_key", "planted-honeycomb-key"),
		}
		// A control plane that sends more than it should.
		configuration.Spec.Metrics.Password = "planted-plain-password"
		configuration.Spec.EncryptedHoneycombApiKey = []byte("planted-encrypted-key")
		l.welcome(t, func(w *linkv1.Welcome) { w.Configuration = configuration })
		l.ack(t)
		expect(t, l, (*linkv1.RunnerFrame).GetReport) // it takes the region
		id := readIdentity(t, pr.dir)
		token := p.token(t, nil)

		l.open(t, 1, token, supportBundle(), 1<<30)
		raw, c := l.all(t, 1)
		if c.GetError() != "" {
			t.Fatal(c)
		}
		l.open(t, 2, token, logs(0, false), 1<<30)
		served, _ := l.all(t, 2)
		if err := pr.stop(nil); err != nil {
			t.Fatal(err)
		}

		places := unpack(t, raw)
		for _, name := range []string{"configuration.json", "system.txt", "build.txt", "goroutines.txt", "heap.pprof", "logs.jsonl"} {
			if places[name] == "" {
				t.Errorf("%s is missing in the support bundle", name)
			}
		}
		if !strings.Contains(places["goroutines.txt"], "agent.Run") || !strings.Contains(places["logs.jsonl"], "applied the configuration") || !strings.Contains(places["system.txt"], "Linux") {
			t.Error("the support bundle is of no use")
		}
		var shown struct {
			RunnerID, Server string
			Configuration    struct {
				Revision    int64
				Unsupported []string
				Spec        struct{ Metrics struct{ URL string } }
			}
		}
		if err := json.Unmarshal([]byte(places["configuration.json"]), &shown); err != nil || shown.RunnerID != runnerID || shown.Server != p.url ||
			shown.Configuration.Revision != 3 || len(shown.Configuration.Unsupported) == 0 || shown.Configuration.Spec.Metrics.URL != "https://metrics.example/push" {
			t.Errorf("configuration.json: %v\n%s", err, places["configuration.json"])
		}
		places["the served logs"], places["the logs"], places["the progress"] = served, pr.logs.String(), pr.out.String()
		for name, secret := range map[string][]byte{
			"the exchange token":   []byte(exchange),
			"the access token":     []byte(access),
			"the private key":      id.PrivateKey,
			"the logs token":       []byte(token),
			"its signature":        []byte(token[len(token)-86:]),
			"the metrics password": []byte("planted-metrics-password/+ü"),
			"the honeycomb key":    []byte("planted-honeycomb-key"),
			"a plain password":     []byte("planted-plain-password"),
			"an encrypted key":     []byte("planted-encrypted-key"),
			"the URL's password":   []byte("planted-metrics-url"),
			"the URL's key":        []byte("planted-metrics-key"),
		} {
			for _, form := range encodings(secret) {
				for place, content := range places {
					if strings.Contains(content, string(form)) {
						t.Errorf("%s is in %s as %q", name, place, form)
					}
				}
			}
		}
	})
}

// The search of TestNoSecretLeaves finds what is there.
func TestEncodingsAreFound(t *testing.T) {
	secret := []byte("planted+secret/value")
	for _, haystack := range []string{
		"x" + string(secret), base64.StdEncoding.EncodeToString([]byte("u:" + string(secret))), base64.URLEncoding.EncodeToString([]byte("abc" + string(secret) + "d")),
		base64.StdEncoding.EncodeToString([]byte("a" + string(secret) + "!")), hex.EncodeToString(secret), "?q=" + url.QueryEscape(string(secret)),
	} {
		found := false
		for _, form := range encodings(secret) {
			found = found || strings.Contains(haystack, string(form))
		}
		if !found {
			t.Errorf("not found in %s", haystack)
		}
	}
}
