package app

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/lease"
)

func TestHealth(t *testing.T) {
	down := fault.New(fault.Unavailable, fault.StorageUnavailable, "The server is away.")
	full := fault.New(fault.Unavailable, fault.StorageUnavailable, "The disk is full.")
	for name, tt := range map[string]struct {
		read, beat error
		hangs, cut bool
		ready      string // what is said while calls are not answered
		degraded   string
	}{
		"well":                          {},
		"full disk":                     {beat: full, degraded: "The disk is full."},
		"full disk, and the lease lost": {beat: full, cut: true, degraded: "The disk is full."},
		"away":                          {read: down, beat: down, ready: "The server is away.", degraded: "The server is away."},
		"damaged":                       {read: down, ready: "The server is away."},
		"taken over":                    {beat: lease.ErrLost, cut: true, ready: "lease"},
		"hangs":                         {hangs: true, ready: "for a while"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var read error
				hang := false
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				h := newHealth(func(context.Context) error {
					if hang {
						<-ctx.Done() // a disk that hangs knows no deadline
					}
					return read
				}, func() bool { return !tt.cut }, slog.New(slog.DiscardHandler))
				go h.run(ctx)
				synctest.Wait()
				read, hang = tt.read, tt.hangs
				h.beaten(tt.beat)
				wait := time.Duration(0) // a beat that fails is looked into at once
				if tt.beat == nil {
					wait = checkEvery + time.Second
				}
				if tt.hangs {
					wait = checkEvery + checkAge
				}
				time.Sleep(wait)
				synctest.Wait()
				err := h.ready()
				if (err == nil) != (tt.ready == "") || err != nil && !strings.Contains(fault.From(err).Message, tt.ready) {
					t.Errorf("ready: %v, want %q", err, tt.ready)
				}
				if got := h.degraded(); got != tt.degraded {
					t.Errorf("degraded: %q, want %q", got, tt.degraded)
				}
			})
		})
	}
}
