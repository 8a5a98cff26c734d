package idtoken_test

import (
	"context"
	"crypto"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/idtoken"
)

// An ID token is worth no more than the token that it was asked for with.
func TestAnIDTokenEndsWithTheCallersToken(t *testing.T) {
	for name, tt := range map[string]struct {
		left time.Duration // of the caller's token; 0 is for ever
		want time.Duration // 0 is refused
	}{
		"one that never ends":      {0, time.Hour},
		"one that lives longer":    {90 * 24 * time.Hour, time.Hour},
		"one that lives as long":   {time.Hour, time.Hour},
		"one of a service account": {30 * time.Minute, 30 * time.Minute},
		"one that ends soon":       {time.Minute, time.Minute},
		"one that ends too soon":   {time.Minute - time.Microsecond, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, c := &database{}, caller(access.PrincipalServiceAccount)
				if tt.left > 0 {
					c.Expires = time.Now().Add(tt.left)
				}
				s := idtoken.New(d, signing, issuer)
				raw, err := s.Create(t.Context(), c, []string{"a"}, 0)
				if tt.want == 0 {
					if !fault.Is(err, fault.FailedPrecondition) || !fault.HasReason(err, fault.ExpiredToken) || len(d.entries) > 0 {
						t.Errorf("error %v, %d entries", err, len(d.entries))
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if exp := said(t, s, raw)["exp"]; exp != float64(time.Now().Add(tt.want).Unix()) {
					t.Errorf("exp is %v, want %v from now", exp, tt.want)
				}
			})
		})
	}
}

// unsigned is a ring whose key signs nothing: a token costs microseconds.
type unsigned struct{ ring }

func (unsigned) Signing(context.Context) (string, crypto.Signer, error) {
	return "", nil, context.Canceled
}

func TestALoopIsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := idtoken.New(&database{}, unsigned{}, issuer)
		loop, other := caller(access.PrincipalUser), caller(access.PrincipalUser)
		other.ID = "0192aaaa-0000-7000-8000-000000000002"
		stopped := func(c access.Caller) *fault.Error {
			_, err := s.Create(t.Context(), c, []string{"a"}, 0)
			if !fault.HasReason(err, fault.LimitReached) {
				return nil
			}
			return fault.From(err)
		}
		// asks calls until it is stopped.
		asks := func() (n int) {
			for stopped(loop) == nil {
				n++
			}
			return n
		}
		if n := asks(); n != 100 {
			t.Errorf("%d tokens at once", n)
		}
		if f := stopped(loop); f == nil || f.Code != fault.ResourceExhausted || f.RetryAfter != 100*time.Millisecond {
			t.Errorf("the loop gets %+v", f)
		}
		if stopped(other) != nil {
			t.Error("others are stopped too")
		}
		time.Sleep(stopped(loop).RetryAfter)
		if n := asks(); n != 1 {
			t.Errorf("%d tokens after the time to wait", n)
		}
		time.Sleep(5 * time.Second)
		if n := asks(); n != 50 {
			t.Errorf("%d tokens after five seconds", n)
		}
		time.Sleep(time.Hour)
		if n := asks(); n != 100 {
			t.Errorf("%d tokens after an hour", n)
		}
	})
}
