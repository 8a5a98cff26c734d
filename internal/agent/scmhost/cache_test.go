package scmhost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/scmurl"
)

func TestAnswersAreRememberedForTheirTime(t *testing.T) {
	gone := fault.New(fault.NotFound, fault.ReasonNotFound, "It is not there.")
	for _, row := range []struct {
		name string
		err  error
		life time.Duration // 0 for what is not remembered
	}{
		{"an answer", nil, time.Minute},
		{"what is not there", gone, missingLife},
		{"a refusal", fault.New(fault.PermissionDenied, fault.HostRefused, "No."), 0},
		{"a failure", errors.New("broken"), 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, asked := newCache(), 0
				key := c.key(Site{}, "planted", "x")
				get := func() {
					t.Helper()
					n, err := recall(t.Context(), c, key, time.Minute, func(context.Context) (int, error) { asked++; return 7, row.err })
					if row.err == nil && n != 7 || !errors.Is(err, row.err) {
						t.Errorf("got %d, %v", n, err)
					}
				}
				get()
				if row.life > 0 {
					time.Sleep(row.life - time.Nanosecond)
					get()
					if asked != 1 {
						t.Errorf("asked %d times within the time", asked)
					}
					time.Sleep(time.Nanosecond)
				}
				get()
				if asked != 2 {
					t.Errorf("asked %d times", asked)
				}
			})
		})
	}
}

func TestNothingIsSharedAcrossCredentialsAndSettings(t *testing.T) {
	c := newCache()
	i := scmurl.Integration{ID: "i", SCMID: scmurl.Gitea, Host: "h"}
	other := i
	other.Plain = true
	keys := map[cacheKey]string{}
	for name, key := range map[string]cacheKey{
		"somebody's":            c.key(Site{Integration: i}, "a", "x"),
		"somebody else's":       c.key(Site{Integration: i}, "b", "x"),
		"of other settings":     c.key(Site{Integration: other}, "a", "x"),
		"of something else":     c.key(Site{Integration: i}, "a", "y"),
		"of two parts":          c.key(Site{Integration: i}, "a", "x", "y"),
		"of two parts together": c.key(Site{Integration: i}, "a", "x y"),
		"of another runner":     newCache().key(Site{Integration: i}, "a", "x"),
	} {
		if same, ok := keys[key]; ok {
			t.Errorf("what is %s is also %s", name, same)
		}
		keys[key] = name
	}
}

func TestTheSameQuestionIsAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, asked := newCache(), 0
		key := c.key(Site{}, "a", "x")
		ask := func(ctx context.Context) (int, error) {
			asked++
			select {
			case <-time.After(time.Second):
				return 7, nil
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}
		var all sync.WaitGroup
		impatient, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		all.Go(func() {
			if _, err := recall(impatient, c, key, time.Minute, ask); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the first got %v", err)
			}
		})
		synctest.Wait()
		for range 10 {
			all.Go(func() {
				if n, err := recall(t.Context(), c, key, time.Minute, ask); n != 7 || err != nil {
					t.Errorf("another got %d, %v", n, err)
				}
			})
		}
		all.Wait()
		if asked != 1 {
			t.Errorf("asked %d times", asked)
		}
	})
}

func TestAnAnswerThatNobodyWaitsForIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache()
		key := c.key(Site{}, "a", "x")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		ended := make(chan struct{})
		_, _ = recall(ctx, c, key, time.Minute, func(ctx context.Context) (int, error) {
			<-ctx.Done()
			close(ended)
			return 0, ctx.Err()
		})
		start := time.Now()
		<-ended
		if time.Since(start) != 0 {
			t.Error("the call went on")
		}
		// The next does not wait for it either.
		if n, err := recall(t.Context(), c, key, time.Minute, func(context.Context) (int, error) { return 7, nil }); n != 7 || err != nil {
			t.Error(n, err)
		}
	})
}

func TestForgetting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache()
		mine := c.key(Site{Integration: scmurl.Integration{ID: "mine"}}, "a", "x")
		other := c.key(Site{Integration: scmurl.Integration{ID: "other"}}, "a", "x")
		slow := c.key(Site{Integration: scmurl.Integration{ID: "mine"}}, "a", "slow")
		answer := func(n int) func(context.Context) (int, error) {
			return func(context.Context) (int, error) { time.Sleep(time.Second); return n, nil }
		}
		get := func(key cacheKey, n int) int {
			got, err := recall(t.Context(), c, key, time.Minute, answer(n))
			if err != nil {
				t.Error(err)
			}
			return got
		}
		get(mine, 1)
		get(other, 1)
		var old sync.WaitGroup
		old.Go(func() { get(slow, 1) })
		synctest.Wait()
		c.forget("mine")
		if n := get(mine, 2); n != 2 {
			t.Error("it is remembered still")
		}
		if n := get(other, 2); n != 1 {
			t.Error("another integration was forgotten too")
		}
		old.Wait()
		if n := get(slow, 2); n != 2 {
			t.Error("an answer from before was kept")
		}
	})
}

func TestTheCacheIsBounded(t *testing.T) {
	c := newCache()
	for n := range maxRemembered + 100 {
		c.note(c.key(Site{}, "", fmt.Sprint(n)), time.Hour)
		if !c.has(c.key(Site{}, "", "0")) { // it is used all the time
			t.Fatal("what is used was dropped")
		}
	}
	if len(c.entries) != maxRemembered || c.recent.Len() != maxRemembered || c.has(c.key(Site{}, "", "1")) {
		t.Errorf("%d are remembered", len(c.entries))
	}
}

func TestWhatHasEndedMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache()
		for n := range 100 {
			c.note(c.key(Site{}, "", fmt.Sprint(n)), time.Minute)
		}
		time.Sleep(time.Minute)
		c.note(c.key(Site{}, "", "new"), time.Minute)
		if len(c.entries) != 1 || c.recent.Len() != 1 {
			t.Errorf("%d are remembered", len(c.entries))
		}
	})
}

// A URL as long as can be, to a host with answers as long as can be, has its place
// among thousands.
func TestAnEntryTakesLittleMemory(t *testing.T) {
	const entries, most = 500, 16 << 10
	c := newCache()
	heap := func() int {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc) //nolint:gosec // it fits
	}
	before := heap()
	for n := range entries {
		tail := []string{fmt.Sprint(n), strings.Repeat("x", 900)}
		for len(tail) < 50 {
			tail = append(tail, "x")
		}
		names := candidates(scmurl.Ref{Tail: tail})
		var lines []string
		for _, name := range names {
			lines = append(lines, strings.Repeat("a", 40)+" "+name+" "+strings.Repeat("y", 1000)+"\n")
		}
		key := c.key(Site{}, "t", append([]string{"refs"}, names...)...)
		_, err := recall(t.Context(), c, key, refsLife, func(context.Context) (refs, error) {
			// The answer ends early, so that the names that come last stay open.
			return readListing(newPackets(bytes.NewReader(pkts(lines[:len(lines)/2]...)), int64(len(lines)*400)), names)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if each := (heap() - before) / entries; each > most {
		t.Errorf("an entry takes %d bytes", each)
	} else {
		t.Logf("an entry takes %d bytes", each)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.recent.Len() != entries {
		t.Errorf("%d are remembered", c.recent.Len())
	}
}

func TestAWrongReadingIsRememberedForLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache()
		miss, hit := c.key(Site{}, "", "miss"), c.key(Site{}, "", "hit")
		_, _ = recall(t.Context(), c, miss, time.Minute, func(context.Context) (int, error) { return 0, errNothing })
		c.note(hit, time.Second)
		c.prolong(miss, wrongReadingLife)
		c.prolong(hit, wrongReadingLife)
		time.Sleep(wrongReadingLife - 1)
		if !c.has(miss) || c.has(hit) {
			t.Error("the wrong one was prolonged")
		}
	})
}
