package jsonl_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musterhq/muster/internal/rpc/jsonl"
)

// wire is a client that keeps what it got, flush by flush.
type wire struct {
	mu      sync.Mutex
	header  http.Header
	status  int
	pending bytes.Buffer
	got     []string
	broken  error
}

func (w *wire) Header() http.Header    { return w.header }
func (w *wire) WriteHeader(status int) { w.status = status }

func (w *wire) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken != nil {
		return 0, w.broken
	}
	return w.pending.Write(b)
}

func (w *wire) FlushError() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.got = append(w.got, w.pending.String())
	w.pending.Reset()
	return w.broken
}

func (w *wire) breaks(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken = err
}

func (w *wire) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	got := w.got
	w.got = nil
	return got
}

func open(w *wire, broken context.CancelCauseFunc) *jsonl.Stream {
	w.header = http.Header{}
	return jsonl.Open(w, jsonl.Options{KeepAlive: 25 * time.Second, WriteTimeout: time.Second, Broken: broken})
}

func equal(t *testing.T, w *wire, want ...string) {
	t.Helper()
	got := w.take()
	if len(got) != len(want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
}

func TestHeadersGoOutAtOnce(t *testing.T) {
	w := new(wire)
	s := open(w, nil)
	defer s.Close()
	equal(t, w, "")
	if w.status != 200 || w.header.Get("Content-Type") != "application/jsonl" || w.header.Get("Cache-Control") != "no-store" {
		t.Errorf("status %d, header %v", w.status, w.header)
	}
}

func TestKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := new(wire)
		s := open(w, nil)
		equal(t, w, "")
		wait := func(d time.Duration) {
			time.Sleep(d)
			synctest.Wait()
		}
		wait(24 * time.Second)
		equal(t, w)
		wait(time.Second)
		equal(t, w, " ")
		wait(50 * time.Second)
		equal(t, w, " ", " ")
		// An event completes the line, and the silence begins anew.
		if err := s.Send([]byte(`{"a":1}`)); err != nil {
			t.Fatal(err)
		}
		equal(t, w, "{\"a\":1}\n")
		wait(24 * time.Second)
		equal(t, w)
		// Nothing is pending: the end adds nothing, a blank line least of all.
		s.Close()
		wait(time.Hour)
		equal(t, w)
	})
}

// The SDKs take spaces at the end of a stream for half a line.
func TestCloseCompletesTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := new(wire)
		s := open(w, nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		equal(t, w, "", " ", " ")
		s.Close()
		equal(t, w, "{}\n")
		time.Sleep(time.Hour)
		synctest.Wait()
		equal(t, w)
		if err := s.Send([]byte(`{}`)); err == nil {
			t.Error("sent after the end")
		}
		equal(t, w)
	})
}

func TestBrokenReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := errors.New("gone")
		for name, use := range map[string]func(*jsonl.Stream) error{
			"send":       func(s *jsonl.Stream) error { return s.Send([]byte(`{}`)) },
			"keep-alive": func(*jsonl.Stream) error { time.Sleep(time.Hour); synctest.Wait(); return gone },
		} {
			ctx, cancel := context.WithCancelCause(t.Context())
			w := new(wire)
			s := open(w, cancel)
			w.breaks(gone)
			if err := use(s); !errors.Is(err, gone) {
				t.Errorf("%s: %v", name, err)
			}
			if !errors.Is(context.Cause(ctx), gone) {
				t.Errorf("%s: the stream's context lives on", name)
			}
			if err := s.Send([]byte(`{}`)); !errors.Is(err, gone) {
				t.Errorf("%s: %v", name, err)
			}
			s.Close()
			cancel(nil)
		}
	})
}
