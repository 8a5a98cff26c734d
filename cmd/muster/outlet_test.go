package main

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// reader is whoever reads an output.
type reader struct {
	mu   sync.Mutex
	gone bool
	// takes is how many bytes more it takes before it is gone; negative for all.
	takes int
	got   strings.Builder
}

func (r *reader) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(b)
	if r.takes >= 0 {
		n = min(n, r.takes)
		r.takes -= n
	}
	if r.gone {
		n = 0
	}
	r.got.Write(b[:n])
	if n < len(b) {
		return n, errors.New("nobody reads")
	}
	return n, nil
}

func (r *reader) set(gone bool, takes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gone, r.takes = gone, takes
}

func (r *reader) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got.String()
}

func countLost(lost int) []byte { return fmt.Appendf(nil, "lost %d\n", lost) }

func say(t *testing.T, o *outlet, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if n, err := o.Write([]byte(line + "\n")); n != len(line)+1 || err != nil {
			t.Fatalf("%q: %d, %v", line, n, err)
		}
	}
}

func wantText(t *testing.T, r *reader, want string) {
	t.Helper()
	if got := r.text(); got != want {
		t.Errorf("the reader got\n%s\nwant\n%s", got, want)
	}
}

func TestLinesThatNobodyReadAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reader{takes: -1}
		o := newOutlet(r, countLost)
		say(t, o, "a")
		synctest.Wait()
		r.set(true, -1)
		say(t, o, "b", "c")
		synctest.Wait()
		say(t, o, "d\ne")
		synctest.Wait()
		r.set(false, -1)
		time.Sleep(outletRetry) // said without anything else to say
		synctest.Wait()
		say(t, o, "f")
		o.Close()
		wantText(t, r, "a\nlost 4\nf\n")
	})
}

func TestALineThatWasCutIsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reader{takes: 3}
		o := newOutlet(r, countLost)
		say(t, o, "abcdef")
		synctest.Wait()
		r.set(false, -1)
		say(t, o, "g")
		o.Close()
		wantText(t, r, "abc\nlost 1\ng\n")
	})
}

func TestAReaderThatStandsStillIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, still := &reader{takes: -1}, make(chan struct{})
		o := newOutlet(writerFunc(func(b []byte) (int, error) {
			<-still
			return r.Write(b)
		}), countLost)
		say(t, o, "a")
		synctest.Wait() // it is being written
		quarter := strings.Repeat("x", outletRoom/4-1)
		say(t, o, quarter, quarter, quarter, quarter, "b", "c")
		close(still)
		synctest.Wait()
		say(t, o, "d")
		o.Close()
		wantText(t, r, "a\n"+strings.Repeat(quarter+"\n", 4)+"lost 2\nd\n")
	})
}

// Lines that come after some that found no room are lost with them: the notice
// stands where the gap is.
func TestAGapIsWhereTheNoticeIs(t *testing.T) {
	o := &outlet{more: make(chan struct{}, 1)}
	say(t, o, "a", strings.Repeat("x", outletRoom), "b")
	batch, after, _ := o.take()
	if len(batch) != 1 || after != 2 {
		t.Errorf("%d lines wait and %d are lost, want 1 and 2", len(batch), after)
	}
	say(t, o, "c")
	if batch, after, _ = o.take(); len(batch) != 1 || after != 0 {
		t.Errorf("then %d lines wait and %d are lost, want 1 and 0", len(batch), after)
	}
}

func TestClosingDoesNotWaitForAReaderForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		still := make(chan struct{})
		o := newOutlet(writerFunc(func(b []byte) (int, error) {
			<-still
			return len(b), nil
		}), nil)
		say(t, o, "a")
		begun := time.Now()
		o.Close()
		if took := time.Since(begun); took != outletLast {
			t.Errorf("closing took %s", took)
		}
		close(still)
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
