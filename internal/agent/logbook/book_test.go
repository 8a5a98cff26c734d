package logbook_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/musterhq/muster/internal/agent/logbook"
)

func now() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

func all(t *testing.T, r *logbook.Reader) string {
	t.Helper()
	var out strings.Builder
	for {
		lines, err := r.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return out.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		out.Write(lines)
	}
}

func TestTailAndBounds(t *testing.T) {
	for _, c := range []struct {
		name            string
		lines, bytes    int
		written, tail   int
		first, returned int
	}{
		{"all", 10, 1000, 3, 0, 0, 3},
		{"tail", 10, 1000, 5, 2, 3, 2},
		{"a tail longer than the book", 10, 1000, 3, 99, 0, 3},
		{"bounded in lines", 4, 1000, 9, 0, 5, 4},
		{"bounded in bytes", 100, 21, 9, 0, 6, 3}, // 7 bytes each
		{"empty", 10, 1000, 0, 0, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := logbook.New(c.lines, c.bytes)
			for i := range c.written {
				fmt.Fprintf(b, "line %d\n", i)
			}
			var want strings.Builder
			for i := range c.returned {
				fmt.Fprintf(&want, "line %d\n", c.first+i)
			}
			if got := all(t, b.Read(c.tail, now())); got != want.String() {
				t.Errorf("got %q, want %q", got, want.String())
			}
		})
	}
}

func TestLongLineIsReplaced(t *testing.T) {
	b := logbook.New(10, 10*logbook.MaxLine)
	_, _ = b.Write([]byte(strings.Repeat("x", logbook.MaxLine+1)))
	got := all(t, b.Read(0, now()))
	if !strings.Contains(got, `"bytes":65537`) || strings.Contains(got, "xxx") {
		t.Errorf("got %.200q", got)
	}
}

func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := logbook.New(10, 1000)
		fmt.Fprintln(b, "before")
		stop := make(chan struct{})
		r := b.Read(1, stop)
		got := make(chan string)
		go func() {
			for {
				lines, err := r.Next(t.Context())
				if err != nil {
					close(got)
					return
				}
				got <- string(lines)
			}
		}()
		if s := <-got; s != "before\n" {
			t.Fatalf("got %q", s)
		}
		synctest.Wait() // the reader waits now
		fmt.Fprintln(b, "after")
		if s := <-got; s != "after\n" {
			t.Fatalf("got %q", s)
		}
		synctest.Wait()
		close(stop)
		if s, more := <-got; more {
			t.Fatalf("got %q after the end", s)
		}
	})
}

func TestSlowReaderLosesLinesAndIsTold(t *testing.T) {
	b := logbook.New(4, 1000)
	stop := make(chan struct{})
	r := b.Read(0, stop)
	for i := range 10 {
		fmt.Fprintf(b, "line %d\n", i)
	}
	close(stop)
	got := all(t, r)
	if !strings.Contains(got, `"lost":6`) || strings.Count(got, "\n") != 5 || !strings.HasSuffix(got, "line 6\nline 7\nline 8\nline 9\n") {
		t.Errorf("got %q", got)
	}
}

func TestWaitingReaderCanBeCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := logbook.New(1, 1).Read(0, make(chan struct{})).Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestReaderEndsAlthoughLoggingGoesOn(t *testing.T) {
	b := logbook.New(100, 1000)
	fmt.Fprintln(b, "one")
	r := b.Read(0, now())
	fmt.Fprintln(b, "two")
	if got := all(t, r); got != "one\n" {
		t.Errorf("got %q", got)
	}
}

func TestConcurrentUse(t *testing.T) {
	b := logbook.New(50, 1<<20)
	stop := make(chan struct{})
	var writers, readers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := range 500 {
				fmt.Fprintf(b, "%d-%d\n", w, i)
			}
		})
	}
	for range 4 {
		readers.Go(func() {
			r := b.Read(0, stop)
			for {
				if _, err := r.Next(t.Context()); err != nil {
					return
				}
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
}

func TestHandlerObeysTheLevel(t *testing.T) {
	b := logbook.New(10, 1000)
	var level slog.LevelVar
	var also strings.Builder
	log := slog.New(b.Handler(&level, slog.NewTextHandler(&also, &slog.HandlerOptions{Level: slog.LevelDebug}))).With("a", 1).WithGroup("g")
	log.Debug("hidden")
	level.Set(slog.LevelDebug)
	log.Debug("seen", "b", 2)
	level.Set(slog.LevelError)
	log.Warn("hidden")
	got := all(t, b.Read(0, now()))
	if strings.Contains(got, "hidden") || !strings.Contains(got, `"msg":"seen","a":1,"g":{"b":2}`) {
		t.Errorf("book: %s", got)
	}
	if s := also.String(); strings.Contains(s, "hidden") || !strings.Contains(s, "msg=seen a=1 g.b=2") {
		t.Errorf("also: %s", s)
	}
}
