package agent_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
)

// A runner says by itself that its token ends soon, once a day.
func TestTheEndOfTheAccessTokenIsToldBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		pr := p.join(t, nil)
		told := func() int { return strings.Count(pr.out.String(), "the access token of this runner ends at") }
		validFor := func(d time.Duration) *planeLink {
			l := p.accept(t)
			l.welcome(t, func(w *linkv1.Welcome) { w.TokenValidFor = durationpb.New(d) })
			return l
		}
		l := validFor(14*24*time.Hour + 12*time.Hour)
		<-time.After(11 * time.Hour)
		if told() != 0 {
			t.Errorf("too soon: %s", pr.out)
		}
		<-time.After(2 * time.Hour)
		if told() != 1 {
			t.Errorf("told %d times", told())
		}
		// A new link is no reason to say it again; another day is, and another end.
		l.end(t, nil)
		l = validFor(14*24*time.Hour - time.Hour)
		<-time.After(12 * time.Hour)
		if told() != 1 {
			t.Errorf("told %d times", told())
		}
		<-time.After(13 * time.Hour)
		if told() != 2 {
			t.Errorf("told %d times", told())
		}
		l.end(t, nil)
		l = validFor(time.Hour)
		synctest.Wait()
		if told() != 3 {
			t.Errorf("told %d times", told())
		}
		l.end(t, nil)
		p.welcomed(t) // with a token that does not end
		<-time.After(48 * time.Hour)
		if told() != 3 {
			t.Errorf("told %d times", told())
		}
	})
}
