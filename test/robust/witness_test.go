package robust_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/musterhq/muster/test/muster"
	"github.com/musterhq/muster/test/planted"
)

// witness knows the secrets, and keeps everything that was said.
type witness struct {
	planted.Secrets

	url, token string
	answers    bytes.Buffer
	processes  []*muster.Process
}

// object is a JSON object.
type object map[string]any

// answer is the JSON of a reply.
type answer []byte

// text returns the string at a path; a number in it is a place in a list. It is
// empty when there is none.
func (a answer) text(path ...string) string {
	var at any
	if json.Unmarshal(a, &at) != nil {
		return ""
	}
	for _, step := range path {
		switch v := at.(type) {
		case map[string]any:
			at = v[step]
		case []any:
			if i, err := strconv.Atoi(step); err == nil && i < len(v) {
				at = v[i]
			}
		}
	}
	s, _ := at.(string)
	return s
}

// plantIdentity remembers what makes a host the runner, and returns its token.
func (w *witness) plantIdentity(t *testing.T, h *muster.Host) string {
	t.Helper()
	raw, err := os.ReadFile(h.Identity())
	if err != nil {
		t.Fatal(err)
	}
	var identity struct {
		AccessToken string
		PrivateKey  []byte
	}
	if err := json.Unmarshal(raw, &identity); err != nil || identity.AccessToken == "" || len(identity.PrivateKey) != 32 {
		t.Fatalf("the identity holds no token or no key: %v", err)
	}
	w.Plant("the runner's token", identity.AccessToken)
	w.Secrets = append(w.Secrets, planted.Secret{Name: "the runner's private key", Core: identity.PrivateKey})
	return identity.AccessToken
}

// call calls a procedure as the admin; the call must succeed.
func (w *witness) call(t *testing.T, procedure string, body any) answer {
	t.Helper()
	status, reply := w.exchange(t, "/"+procedure, "Bearer "+w.token, body)
	if status != http.StatusOK {
		t.Fatalf("%s: %d %s", procedure, status, reply)
	}
	w.answers.Write(reply)
	return reply
}

// handsOut calls a procedure whose reply has a secret in a field.
func (w *witness) handsOut(t *testing.T, name, field, procedure string, body any) string {
	t.Helper()
	status, reply := w.exchange(t, "/"+procedure, "Bearer "+w.token, body)
	value := answer(reply).text(field)
	if status != http.StatusOK || value == "" {
		t.Fatalf("%s: %d %s", procedure, status, reply)
	}
	w.Plant(name, value)
	// There, and nowhere else in the reply.
	w.answers.Write(bytes.Replace(reply, []byte(value), nil, 1))
	return value
}

// send calls a procedure, in whatever way it ends.
func (w *witness) send(t *testing.T, path, authorization string, body any) {
	t.Helper()
	_, reply := w.exchange(t, path, authorization, body)
	w.answers.Write(reply)
}

func (w *witness) exchange(t *testing.T, path, authorization string, body any) (status int, reply []byte) {
	t.Helper()
	raw, err := json.Marshal(body)
	if broken, ok := body.(json.RawMessage); ok {
		raw, err = broken, nil
	}
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+path, bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	return w.do(t, req, authorization)
}

// get reads a page, which must be there.
func (w *witness) get(t *testing.T, url, token string) []byte {
	t.Helper()
	status, body := w.read(t, url, "Bearer "+token)
	if status != http.StatusOK {
		t.Fatalf("GET %s: %d %s", url, status, body)
	}
	return body
}

// fetch reads a page, in whatever way that ends.
func (w *witness) fetch(t *testing.T, url, authorization string) {
	t.Helper()
	if status, body := w.read(t, url, authorization); status != http.StatusOK {
		w.answers.Write(body)
	}
}

func (w *witness) read(t *testing.T, url, authorization string) (status int, body []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.do(t, req, authorization)
}

func (w *witness) do(t *testing.T, req *http.Request, authorization string) (status int, body []byte) {
	t.Helper()
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err = io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range res.Header {
		w.answers.WriteString(name + ": " + strings.Join(values, ", ") + "\n")
	}
	return res.StatusCode, body
}

// watch keeps the lines of the event stream.
func (w *witness) watch(t *testing.T) (lines func() []byte) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url+"/gitpod.v1.EventService/WatchEvents", strings.NewReader(`{"organization":true}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/jsonl")
	req.Header.Set("Authorization", "Bearer "+w.token)
	res, err := http.DefaultClient.Do(req)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("watching events: %v, %v", res, err)
	}
	var mu sync.Mutex
	var seen bytes.Buffer
	go func() {
		defer res.Body.Close()
		for s := bufio.NewScanner(res.Body); s.Scan(); {
			mu.Lock()
			seen.Write(append(s.Bytes(), '\n'))
			mu.Unlock()
		}
	}()
	return func() []byte {
		mu.Lock()
		defer mu.Unlock()
		return bytes.Clone(seen.Bytes())
	}
}
