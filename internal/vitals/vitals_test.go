package vitals_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musterhq/muster/internal/vitals"
)

// What is short is said at once and then once a minute, and that it is over.
func TestShortness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		reading := vitals.Reading{Used: 3, Limit: 4}
		known := true
		w := vitals.New(slog.New(slog.NewTextHandler(&log, nil)), vitals.Resource{
			Name: "seats", Advice: "stand", Read: func() (vitals.Reading, bool) { return reading, known },
		})
		ctx, cancel := context.WithCancel(t.Context())
		go w.Run(ctx)
		pass := func(d time.Duration) (short, enough int) {
			log.Reset()
			time.Sleep(d)
			synctest.Wait()
			return strings.Count(log.String(), `msg="running out" of=seats used=4 limit=4 note=crowd hint=stand`), strings.Count(log.String(), "there is enough again")
		}
		time.Sleep(5 * time.Second) // between two looks
		if short, enough := pass(time.Minute); short != 0 || enough != 0 {
			t.Errorf("while there is enough: %s", &log)
		}
		reading = vitals.Reading{Used: 4, Limit: 4, Short: true, Note: "crowd"}
		if short, enough := pass(10 * time.Minute); short != 10 || enough != 0 {
			t.Errorf("ten minutes of shortness: %s", &log)
		}
		known = false
		if short, enough := pass(time.Minute); short != 0 || enough != 0 || w.Readings()["seats"] != reading {
			t.Errorf("while nothing is known: %s", &log)
		}
		reading, known = vitals.Reading{Used: 1, Limit: 4}, true
		if short, enough := pass(10 * time.Minute); short != 0 || enough != 1 {
			t.Errorf("afterwards: %s", &log)
		}
		cancel()
	})
}

func TestWhatThereIs(t *testing.T) {
	for _, r := range []vitals.Resource{vitals.Descriptors(), vitals.Goroutines(), vitals.DataDisk(t.TempDir())} {
		got, ok := r.Read()
		if !ok || got.Used == 0 || got.Limit < got.Used {
			t.Errorf("%s: %+v, %v", r.Name, got, ok)
		}
	}
	descriptors := vitals.Descriptors()
	before, _ := descriptors.Read()
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	after, _ := descriptors.Read()
	_ = f.Close()
	if after.Used <= before.Used {
		t.Errorf("%d descriptors, and %d with one more", before.Used, after.Used)
	}
	if _, ok := vitals.DataDisk("/no/such/directory").Read(); ok {
		t.Error("a disk that is not there was read")
	}
}

// failing is a listener that fails.
type failing struct {
	net.Listener

	err error
}

func (f *failing) Accept() (net.Conn, error) { return nil, f.err }

func TestAccept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		w := vitals.New(slog.New(slog.NewTextHandler(&log, nil)), vitals.Descriptors())
		f := &failing{err: errors.New("too many open files")}
		l := w.Listener(f)
		for range 3 {
			_, _ = l.Accept()
		}
		time.Sleep(time.Minute)
		_, _ = l.Accept()
		f.err = net.ErrClosed // which is no failure
		_, _ = l.Accept()
		if text := log.String(); w.Failed() != 4 || strings.Count(text, "\n") != 2 || !strings.Contains(text, "failed_before=2") || !strings.Contains(text, "descriptors_limit=") {
			t.Errorf("%d failed: %s", w.Failed(), text)
		}
	})
}
