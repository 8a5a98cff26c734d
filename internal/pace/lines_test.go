package pace_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/musterhq/muster/internal/pace"
)

func TestLines(t *testing.T) {
	l := pace.NewLines(time.Minute, 2)
	now := time.Unix(1000, 0)
	for i, want := range []bool{true, true, false, false} {
		if may, left := l.Take(now); may != want || left != 0 {
			t.Fatalf("line %d: %v, %d", i+1, may, left)
		}
	}
	now = now.Add(time.Minute)
	if may, left := l.Take(now); !may || left != 2 {
		t.Errorf("a minute later: %v, %d", may, left)
	}
}

func TestTheLastOfABurstAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := pace.NewLines(time.Minute, 1)
		var told []int
		say := func(left int) { told = append(told, left) }
		take := func() {
			if may, _ := l.Take(time.Now()); !may {
				l.Later(say)
			}
		}
		for range 4 {
			take()
		}
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		if len(told) != 1 || told[0] != 3 {
			t.Fatalf("told are %v", told)
		}
		// What another line has told is not told again.
		take()
		take()
		time.Sleep(59 * time.Second)
		l.Take(time.Now().Add(time.Second))
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(told) != 1 {
			t.Errorf("told are %v", told)
		}
	})
}
