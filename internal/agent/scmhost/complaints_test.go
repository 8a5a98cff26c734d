package scmhost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/scmurl"
)

// Questions that a host does not answer are in the log, each kind of trouble once a
// minute, without anything that was asked.
func TestFailedQuestionsAreLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var dials atomic.Value // of func() error
		dials.Store(func() error { return errors.New("PLANTED-DRIVER") })
		h, err := New(Config{
			Log:  slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn})),
			Dial: func(context.Context, string, string) (net.Conn, error) { return nil, dials.Load().(func() error)() },
		})
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		ask := func(host string) string {
			t.Helper()
			log.Reset()
			a := Account{Integration: scmurl.Integration{ID: host, SCMID: scmurl.Gitea, Host: host}, Credential: Credential{Token: "PLANTED-TOKEN"}}
			if _, err := h.ParseContext(t.Context(), a, "https://"+host+"/PLANTED/URL"); err == nil {
				t.Error("there was an answer")
			}
			if strings.Contains(log.String(), "PLANTED") {
				t.Errorf("too much was logged: %s", log.String())
			}
			_, line, _ := strings.Cut(strings.TrimSpace(log.String()), "level=")
			return line
		}
		expect := func(host, want string) {
			t.Helper()
			if got := ask(host); got != want {
				t.Errorf("logged %q, not %q", got, want)
			}
		}
		const said = `WARN msg="a question to a source code host failed" reason=host-unavailable host=`
		expect("a.example.com", said+`a.example.com cause="no connection"`)
		expect("a.example.com", "")
		expect("b.example.com", said+`b.example.com cause="no connection"`)
		dials.Store(func() error { return &net.DNSError{IsNotFound: true} })
		expect("a.example.com", said+`a.example.com cause="no such host"`)
		expect("a.example.com", "")
		expect("a.example.com", "")
		time.Sleep(complaintEvery)
		expect("a.example.com", said+`a.example.com cause="no such host" omitted=2`)
		time.Sleep(complaintEvery)
		expect("a.example.com", said+`a.example.com cause="no such host"`)
	})
}

// What is nobody's fault but the caller's is not logged.
func TestWhichFailuresAreLogged(t *testing.T) {
	for reason, logged := range map[fault.Reason]bool{
		fault.HostUnavailable: true, fault.HostNotAllowed: true,
		fault.SignInRequired: false, fault.HostRefused: false, fault.ReasonNotFound: false, fault.ReasonCanceled: false,
	} {
		var log bytes.Buffer
		h, err := New(Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		failed := fault.New(fault.Unavailable, reason, "It failed.")
		if err := h.failed(t.Context(), Site{}, failed); !errors.Is(err, failed) || (log.Len() > 0) != logged {
			t.Errorf("%s: %v, logged %q", reason, err, log.String())
		}
	}
}

// However many hosts there are, what is counted is bounded.
func TestComplaintsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewComplaints(slog.New(slog.DiscardHandler))
		for n := range 2 * maxRemembered {
			for range 2 {
				c.Warn(t.Context(), "x", fmt.Sprint(n), fault.New(fault.Unavailable, fault.HostUnavailable, "x"))
			}
		}
		if len(c.omitted) > maxRemembered {
			t.Errorf("%d are counted", len(c.omitted))
		}
	})
}
