package link_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/link"
	"github.com/musterhq/muster/internal/logtoken"
	"github.com/musterhq/muster/internal/rpc/relay"
)

func data(stream uint64, b []byte) *linkv1.RunnerFrame {
	return &linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_StreamData{StreamData: &linkv1.StreamData{StreamId: stream, Data: b}}}
}

func closing(c *linkv1.StreamClose) *linkv1.RunnerFrame {
	return &linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_StreamClose{StreamClose: c}}
}

func TestAStreamIsReadWithCredit(t *testing.T) {
	test(t, func(t *testing.T, p *plane) {
		r, _ := p.join(t, runnerA, hello(bootOne))
		s, err := p.OpenStream(t.Context(), runnerA, "token", link.Logs(10, true))
		if err != nil {
			t.Fatal(err)
		}
		open := r.receive().GetStreamOpen()
		if open.GetToken() != "token" || open.GetLogs().GetTailLines() != 10 || !open.GetLogs().GetFollow() || open.GetInitialCredit() == 0 {
			t.Fatalf("StreamOpen = %v", open)
		}
		// The runner sends as a runner does: never more than it has credit for.
		want := bytes.Repeat([]byte("0123456789abcdef"), 100_000)
		go func() {
			credit, left := int(open.GetInitialCredit()), want
			for len(left) > 0 {
				for credit == 0 {
					credit += int(r.receive().GetStreamCredit().GetBytes())
				}
				n := min(credit, len(left), 64<<10)
				r.send(data(open.GetStreamId(), left[:n]))
				credit, left = credit-n, left[n:]
			}
			r.send(closing(&linkv1.StreamClose{StreamId: open.GetStreamId()}))
		}()
		var got []byte
		buf := make([]byte, 10_000)
		for {
			n, err := s.Read(t.Context(), buf)
			got = append(got, buf[:n]...)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got, want) {
			t.Errorf("got %d bytes of %d", len(got), len(want))
		}
		s.Close()
	})
}

func TestAStreamThatEndsSaysWhy(t *testing.T) {
	for name, tt := range map[string]struct {
		end  func(p *plane, r *runner, stream uint64)
		code fault.Code
		says string
	}{
		"token refused": {func(_ *plane, r *runner, s uint64) {
			r.send(closing(&linkv1.StreamClose{StreamId: s, Error: "expired", TokenRefused: true}))
		}, fault.Unauthenticated, "expired"},
		"failed": {func(_ *plane, r *runner, s uint64) {
			r.send(closing(&linkv1.StreamClose{StreamId: s, Error: "too many readers"}))
		}, fault.Unavailable, "too many readers"},
		"runner killed": {func(_ *plane, r *runner, _ uint64) { r.kill() }, fault.Unavailable, "went offline"},
		"overrun": {func(_ *plane, r *runner, s uint64) {
			for range 10 {
				r.send(data(s, make([]byte, 64<<10)))
			}
		}, fault.Unavailable, "went offline"},
		"runner deleted": {func(p *plane, _ *runner, _ uint64) {
			p.Cut(runnerA, fault.New(fault.Unauthenticated, fault.RunnerGone, "gone"))
		}, fault.Unavailable, "went offline"},
	} {
		t.Run(name, func(t *testing.T) {
			test(t, func(t *testing.T, p *plane) {
				r, _ := p.join(t, runnerA, hello(bootOne))
				s, err := p.OpenStream(t.Context(), runnerA, "token", link.SupportBundle())
				if err != nil {
					t.Fatal(err)
				}
				tt.end(p, r, r.receive().GetStreamOpen().GetStreamId())
				synctest.Wait()
				buf := make([]byte, 1<<20)
				for err == nil {
					_, err = s.Read(t.Context(), buf)
				}
				if !fault.Is(err, tt.code) || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("the stream ended with %v", err)
				}
				s.Close()
			})
		})
	}
}

func TestStreamsAreBounded(t *testing.T) {
	test(t, func(t *testing.T, p *plane) {
		if _, err := p.OpenStream(t.Context(), runnerA, "", link.Logs(0, false)); !fault.Is(err, fault.Unavailable) || fault.From(err).RetryAfter == 0 {
			t.Errorf("a stream of a runner that is offline: %v", err)
		}
		r, _ := p.join(t, runnerA, hello(bootOne))
		go func() {
			for {
				if _, err := r.stream.Receive(); err != nil {
					return
				}
			}
		}()
		var streams []*link.Stream
		for {
			s, err := p.OpenStream(t.Context(), runnerA, "", link.Logs(0, false))
			if err != nil {
				if !fault.Is(err, fault.ResourceExhausted) {
					t.Errorf("one stream too many: %v", err)
				}
				break
			}
			streams = append(streams, s)
		}
		if len(streams) != 16 {
			t.Errorf("%d streams at once", len(streams))
		}
		for _, s := range streams {
			s.Close()
		}
		s, err := p.OpenStream(t.Context(), runnerA, "", link.Logs(0, false))
		if err != nil {
			t.Errorf("after they were closed: %v", err)
		}
		// Bytes of streams that are closed are dropped, and do no harm.
		r.send(data(1, []byte("late")))
		r.send(data(999, []byte("never opened")))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("another stream got them: %v", err)
		}
	})
}

func TestARunnerThatDoesNotReadIsCut(t *testing.T) {
	test(t, func(t *testing.T, p *plane) {
		p.join(t, runnerA, hello(bootOne))
		for range 5000 {
			p.Delete(runnerA, time.Now())
		}
		time.Sleep(time.Minute)
		if _, links := p.Counts(); links != 0 {
			t.Error("the link of a runner that reads nothing is still there")
		}
	})
}

// keepRenewing renews the lease until stop is called.
func (r *runner) keepRenewing() (stop func()) {
	done := make(chan struct{})
	go func() {
		for seq := uint64(1); ; seq++ {
			select {
			case <-done:
				return
			case <-time.After(link.RenewEvery):
			}
			if r.stream.Send(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Renewal{Renewal: &linkv1.Renewal{Sequence: seq}}}) != nil {
				return
			}
		}
	}()
	return func() { close(done) }
}

// What is followed under a token ends with the token.
func TestAFollowerEndsWithItsToken(t *testing.T) {
	test(t, func(t *testing.T, p *plane) {
		pub, priv, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		h := &relay.Handler{Hub: p.Hub, Issuer: "i", Keys: verifiedBy(pub), MayRead: everybody}
		tok, err := (logtoken.Key{ID: "k", Private: priv}).Sign("i", runnerA, "person")
		if err != nil {
			t.Fatal(err)
		}
		r, _ := p.join(t, runnerA, hello(bootOne))
		go func() {
			for {
				f, err := r.stream.Receive()
				if err != nil {
					return
				}
				if o := f.GetStreamOpen(); o != nil {
					r.send(data(o.GetStreamId(), []byte("line\n")))
				}
			}
		}()
		defer r.keepRenewing()()
		mux := http.NewServeMux()
		for pattern, route := range h.Routes() {
			mux.Handle(pattern, route)
		}
		req := httptest.NewRequest(http.MethodGet, "/runners/"+runnerA+"/logs?follow=true", nil)
		req.Header.Set("Authorization", "bearer "+tok)
		w, begun := httptest.NewRecorder(), time.Now()
		mux.ServeHTTP(w, req)
		if took := time.Since(begun); w.Code != 200 || w.Body.String() != "line\n" || took > logtoken.Lifetime+logtoken.Leeway || took < logtoken.Lifetime {
			t.Errorf("status %d, %q after %s", w.Code, w.Body, took)
		}
	})
}

func TestLogsOverHTTP(t *testing.T) {
	test(t, func(t *testing.T, p *plane) {
		const issuer = "https://muster.example"
		pub, priv, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		key := logtoken.Key{ID: "k", Private: priv}
		h := &relay.Handler{Hub: p.Hub, Issuer: issuer, Keys: verifiedBy(pub), MayRead: everybody}
		mux := http.NewServeMux()
		for pattern, route := range h.Routes() {
			mux.Handle(pattern, route)
		}
		sign := func(r id.Runner) string {
			tok, err := key.Sign(issuer, r, "person")
			if err != nil {
				t.Fatal(err)
			}
			return tok
		}
		get := func(path, token string) *httptest.ResponseRecorder {
			req := httptest.NewRequest(http.MethodGet, path, nil)
			if token != "" {
				req.Header.Set("Authorization", "Bearer "+token)
			}
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, req)
			return w
		}
		r, _ := p.join(t, runnerA, hello(bootOne))
		go func() { // the runner: two lines of logs, or the name of the bundle
			for {
				f, err := r.stream.Receive()
				if err != nil {
					return
				}
				o := f.GetStreamOpen()
				if o == nil {
					continue
				}
				answer := "bundle"
				if o.GetLogs() != nil {
					answer = strings.Repeat("line\n", int(o.GetLogs().GetTailLines()))
				}
				if answer != "" {
					r.send(data(o.GetStreamId(), []byte(answer)))
				}
				r.send(closing(&linkv1.StreamClose{StreamId: o.GetStreamId()}))
			}
		}()
		for _, tt := range []struct {
			path, token string
			status      int
			body        string
		}{
			{"/runners/" + runnerA + "/logs?tail=2", sign(runnerA), 200, "line\nline\n"},
			{"/runners/" + strings.ToUpper(runnerA) + "/logs?tail=1&follow=false", sign(runnerA), 200, "line\n"},
			{"/runners/" + runnerA + "/logs", sign(runnerA), 200, ""},
			{"/runners/" + runnerA + "/support-bundle", sign(runnerA), 200, "bundle"},
			{"/runners/" + runnerA + "/logs", "", 401, "logs token"},
			{"/runners/" + runnerA + "/logs", "nonsense", 401, "refused"},
			{"/runners/" + runnerA + "/logs", sign(runnerB), 401, "another runner"},
			{"/runners/" + runnerB + "/logs", sign(runnerB), 503, "not connected"},
			{"/runners/" + runnerA + "/logs?tail=-1", sign(runnerA), 400, "tail"},
			{"/runners/" + runnerA + "/logs?tail=x", sign(runnerA), 400, "tail"},
			{"/runners/" + runnerA + "/logs?follow=maybe", sign(runnerA), 400, "follow"},
		} {
			w := get(tt.path, tt.token)
			if w.Code != tt.status || tt.status == 200 && w.Body.String() != tt.body || !strings.Contains(w.Body.String(), tt.body) {
				t.Errorf("GET %s: %d %s", tt.path, w.Code, w.Body)
			}
			if tt.status != 200 && !strings.Contains(w.Header().Get("Content-Type"), "application/json") {
				t.Errorf("GET %s: the error is %s", tt.path, w.Header().Get("Content-Type"))
			}
			if tt.token != "" && strings.Contains(w.Body.String(), tt.token) {
				t.Errorf("GET %s: the answer repeats the token", tt.path)
			}
		}
	})
}

// Whoever loses the right to read logs reads no more, with the same token.
func TestALostRightEndsTheReading(t *testing.T) {
	test(t, func(t *testing.T, p *plane) {
		pub, priv, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		var lost atomic.Bool
		h := &relay.Handler{Hub: p.Hub, Issuer: "i", Keys: verifiedBy(pub), MayRead: func(_ context.Context, r id.Runner, person string) error {
			if r != runnerA || person != "person" {
				t.Errorf("asked whether %s may read %s", person, r)
			}
			if lost.Load() {
				return fault.New(fault.PermissionDenied, fault.NotAllowed, "You may not read these logs.")
			}
			return nil
		}}
		tok, err := (logtoken.Key{ID: "k", Private: priv}).Sign("i", runnerA, "person")
		if err != nil {
			t.Fatal(err)
		}
		r, _ := p.join(t, runnerA, hello(bootOne))
		closed := make(chan time.Time, 1)
		go func() {
			for {
				f, err := r.stream.Receive()
				if err != nil {
					return
				}
				if o := f.GetStreamOpen(); o != nil {
					r.send(data(o.GetStreamId(), []byte("line\n")))
				}
				if f.GetStreamClose() != nil {
					closed <- time.Now()
				}
			}
		}()
		defer r.keepRenewing()()
		mux := http.NewServeMux()
		for pattern, route := range h.Routes() {
			mux.Handle(pattern, route)
		}
		follow := func() (w *httptest.ResponseRecorder, aborted error) {
			req := httptest.NewRequest(http.MethodGet, "/runners/"+runnerA+"/logs?follow=true", nil)
			req.Header.Set("Authorization", "bearer "+tok)
			w = httptest.NewRecorder()
			defer func() { aborted, _ = recover().(error) }()
			mux.ServeHTTP(w, req)
			return w, nil
		}
		const held = 2 * time.Minute
		begun := time.Now()
		time.AfterFunc(held, func() { lost.Store(true) })
		w, aborted := follow()
		if took := time.Since(begun); w.Code != 200 || !errors.Is(aborted, http.ErrAbortHandler) || took < held || took > held+30*time.Second {
			t.Errorf("status %d, %v after %s", w.Code, aborted, took)
		}
		if at := <-closed; at.Sub(begun) > held+30*time.Second {
			t.Errorf("the runner sent until %s", at.Sub(begun))
		}
		if w, aborted := follow(); w.Code != http.StatusForbidden || aborted != nil {
			t.Errorf("again: status %d, %v", w.Code, aborted)
		}
	})
}

func everybody(context.Context, id.Runner, string) error { return nil }

// verifiedBy has one key that verifies logs tokens.
func verifiedBy(key ed25519.PublicKey) func(context.Context) (map[string]ed25519.PublicKey, error) {
	return func(context.Context) (map[string]ed25519.PublicKey, error) {
		return map[string]ed25519.PublicKey{"k": key}, nil
	}
}
