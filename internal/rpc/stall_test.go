package rpc

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

// deadlines notes the deadline that a write gets.
type deadlines struct {
	*httptest.ResponseRecorder

	set bool
}

func (d *deadlines) SetWriteDeadline(time.Time) error {
	d.set = true
	return nil
}

// A write that was under way when this process stood still is over in no time
// afterwards, and is not cut off; one that its reader holds up is.
func TestAWriteHasASecondChance(t *testing.T) {
	for took, cut := range map[time.Duration]bool{
		0: false, time.Minute - 1: false, time.Minute + secondChance/2: false, time.Minute + secondChance + 1: true,
	} {
		synctest.Test(t, func(t *testing.T) {
			w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
			s := stall{ctrl: http.NewResponseController(w), timeout: time.Minute}
			for range 2 { // the second write has as much time as the first
				s.begin()
				time.Sleep(took)
				synctest.Wait()
				s.end()
			}
			time.Sleep(time.Hour)
			if w.set != cut {
				t.Errorf("a write of %s is cut off: %v", took, w.set)
			}
		})
	}
}
