package confirmed_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/musterhq/muster/internal/confirmed"
)

const (
	day  = 24 * time.Hour
	year = 365 * day
)

func TestAClockThatIsRightIsBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		p := boot(t, m, 0)
		p.want("at the first start", true)
		if behind := p.sleep(40 * day); behind != 0 {
			t.Errorf("after 40 days the confirmed time is %v behind", behind)
		}
		p.want("after 40 days", true)
		if m.writes > 40*24*60+50 {
			t.Errorf("%d writes in 40 days: more than one a minute", m.writes)
		}
		// Short stops do not matter, not even many.
		for range 200 {
			p.end()
			time.Sleep(2 * time.Minute)
			p = boot(t, m, 0)
			p.want("after a short stop", true)
			p.sleep(4 * time.Hour)
		}
		if len(m.entries) != 0 {
			t.Errorf("the audit log has %v", m.entries)
		}
	})
}

// The example: one start with a clock that is two years ahead.
func TestOneWrongStartPushesNothing(t *testing.T) {
	for _, off := range []time.Duration{2 * year, 61 * time.Minute, 8 * day, -year, -6 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			m := newMemory()
			p := boot(t, m, 0)
			p.sleep(day)
			p.end()
			for range 5 {
				p = boot(t, m, off)
				p.want("with a wrong clock", false)
				p.sleep(160 * time.Second)
				p.want("with a wrong clock, later", false)
				if now, _ := p.Now(); now.After(time.Now()) {
					t.Errorf("off by %v: ages are judged by %v, which is yet to come", off, now)
				}
				p.kill()
			}
			p = boot(t, m, 0)
			p.want("after that", false)
			if behind := p.sleep(time.Minute).Abs(); behind > 20*time.Minute {
				t.Errorf("off by %v: the confirmed time is off by %v", off, behind)
			}
			for range 4 { // a day of running time, over restarts
				p.sleep(6*time.Hour - 2*time.Minute)
				p.want("before a day", false)
				p.end()
				p = boot(t, m, 0)
			}
			p.sleep(10 * time.Minute)
			p.want("after a day", true)
		})
	}
}

// Also a clock that is wrong for long does not make removed what is young.
func TestAClockThatStaysWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		p := boot(t, m, 0)
		p.sleep(day)
		p.set(2 * year)
		p.want("at once", false)
		p.sleep(30 * day)
		p.want("after 30 days", false)
		p.set(0)
		p.sleep(day - time.Minute)
		p.want("within a day of the correction", false)
		p.sleep(2 * time.Minute)
		p.want("after a day", true)
		if now, _ := p.Now(); now.After(time.Now()) {
			t.Errorf("ages are judged by %v", now)
		}
		if behind := p.sleep(0).Abs(); behind > time.Minute {
			t.Errorf("off by %v", behind)
		}
	})
}

func TestLeapsOfARunningClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		p := boot(t, m, 0)
		p.sleep(day)
		for _, small := range []time.Duration{time.Second, -time.Second, 4 * time.Minute, 0, 59 * time.Minute, 56 * time.Minute, 0} {
			p.set(small)
			p.sleep(time.Minute)
			if small > -confirmed.Behind && small < 10*time.Minute {
				p.want("after a small correction to "+small.String(), true)
			}
		}
		p.sleep(2 * day)
		p.want("when it runs on", true)
		p.set(90 * time.Minute) // noticed between two beats
		p.want("after a leap", false)
		p.set(0)
		p.want("when that was over before a beat", true)
	})
}

// A control plane that was off, or suspended, for long removes late, and never
// early, and catches up by itself.
func TestALongStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		p := boot(t, m, 0)
		p.sleep(day)
		p.end()
		time.Sleep(5 * day)
		p = boot(t, m, 0)
		p.want("after five days", false)
		p.sleep(day + time.Minute)
		p.want("a day later", true)
		if behind := p.sleep(0); behind.Abs() > 5*time.Minute {
			t.Errorf("%v behind", behind)
		}
		p.end()
		time.Sleep(90 * day)
		p = boot(t, m, 0)
		s, wall := p.Status()
		_, left := s.Paused(wall)
		days := 0
		for ; days < 30; days++ {
			if _, ok := p.Now(); ok {
				break
			}
			p.sleep(day)
		}
		if days != 12 || left.Round(time.Hour) != 12*day { // for each week but the last
			t.Errorf("removal goes on after %d days, and was said to after %v", days, left)
		}
		// Off for half of each day.
		p.sleep(day)
		removed := 0
		for range 20 {
			p.end()
			time.Sleep(12 * time.Hour)
			p = boot(t, m, 0)
			p.sleep(12 * time.Hour)
			if _, ok := p.Now(); ok {
				removed++
			}
		}
		if removed < 5 {
			t.Errorf("off every night, it can remove on %d days of 20", removed)
		}
	})
}

func TestAnUpgradedStoreBeginsWithItsNewestAuditEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.newest = time.Now().Add(-2 * time.Minute)
		boot(t, m, 0).want("with a young entry", true)
		old := newMemory()
		old.newest = time.Now().Add(-2 * day)
		p := boot(t, old, 0)
		p.want("with an old entry", false)
		p.sleep(day + time.Minute)
		p.want("a day later", true)
	})
}

// People are told of a clock that is far off, and what was made meanwhile.
func TestAFarClockIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		p := boot(t, m, 0)
		p.sleep(day)
		p.end()
		m.tokens = []confirmed.Credential{
			{Kind: "pat", ID: "before", MadeAt: time.Now()},
			{Kind: "pat", ID: "meanwhile", MadeAt: time.Now().Add(year + 90*time.Second)},
			{Kind: "pat", ID: "at-the-end", MadeAt: time.Now().Add(year + 250*time.Second)},
		}
		p = boot(t, m, year)
		if note := p.Note(); !strings.Contains(note, "365 days ahead") || !strings.Contains(note, "muster admin clock confirm") {
			t.Errorf("the note is %q", note)
		}
		p.sleep(2 * time.Minute)
		p.kill()
		p = boot(t, m, year) // told once in the audit log, by each process in its own
		p.sleep(2 * time.Minute)
		p.kill()
		if !strings.Contains(p.log.String(), "nothing is removed by age") {
			t.Errorf("the log is %s", p.log)
		}
		p = boot(t, m, 0)
		p.sleep(10 * time.Second)
		if p.Note() != "" || len(m.entries) != 2 || m.entries[0] != "clock.doubt" || m.entries[1] != "clock.agree" {
			t.Errorf("note %q, entries %v", p.Note(), m.entries)
		}
		said := p.log.String()
		if !strings.Contains(said, "meanwhile") || !strings.Contains(said, "at-the-end") || strings.Contains(said, "id=before") {
			t.Errorf("the log is %s", said)
		}
	})
}

func TestAnOperatorConfirms(t *testing.T) {
	for _, stop := range []time.Duration{90 * day, 2 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			m := newMemory()
			p := boot(t, m, 0)
			p.sleep(day)
			p.end()
			time.Sleep(stop)
			p = boot(t, m, 0)
			p.sleep(time.Hour)
			p.want("before it is confirmed", false)
			before, _, err := confirmed.Confirm(t.Context(), m, time.Now())
			if err != nil || time.Since(before.At) < stop {
				t.Fatalf("%+v, %v", before, err)
			}
			p.sleep(time.Minute + 2*confirmed.BeatEvery)
			p.want("within two minutes", true)
			if p.Note() != "" || len(m.doubted) != 0 || m.entries[len(m.entries)-1] != "clock.confirm" {
				t.Errorf("note %q, doubt %v, entries %v", p.Note(), m.doubted, m.entries)
			}
		})
	}
}

// What several replicas live through at once counts once, and one of them with a
// wrong clock pauses all.
func TestReplicas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		a := boot(t, m, 0)
		var others []*machine
		for range 3 {
			time.Sleep(7 * time.Second)
			others = append(others, boot(t, m, 0))
		}
		if behind := a.sleep(10 * day); behind != 0 {
			t.Errorf("with four replicas the confirmed time is %v behind after ten days", behind)
		}
		for _, o := range others {
			o.want("with four replicas", true)
			o.end()
		}
		wrong := boot(t, m, 2*year)
		wrong.sleep(2 * time.Minute)
		wrong.want("the one with a wrong clock", false)
		a.want("the one with the right clock", false)
		if now, _ := a.Now(); now.After(time.Now()) {
			t.Errorf("ages are judged by %v", now)
		}
		wrong.end()
		a.sleep(day + 10*time.Minute)
		a.want("a day after the wrong one has gone", true)
	})
}

// The database may be away for a while.
func TestAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		p := boot(t, m, 0)
		p.sleep(day)
		m.mu.Lock()
		m.down = true
		m.mu.Unlock()
		p.sleep(3 * time.Hour)
		m.mu.Lock()
		m.down = false
		m.mu.Unlock()
		if behind := p.sleep(2 * time.Minute); behind != 0 {
			t.Errorf("%v behind", behind)
		}
		p.want("after the outage", true)
	})
}

// Whatever clocks do in less than a day of running time, ages are never judged by
// a time that is yet to come while the clock is right, and nothing may be removed
// while it is wrong.
func TestNoSeriesOfShortStartsPushesTheTime(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		starts := rapid.SliceOfN(rapid.SampledFrom([]time.Duration{0, 2 * year, -year, 50 * time.Minute, 3 * day, 40 * day}), 1, 12).Draw(r, "clocks")
		kills := rapid.SliceOfN(rapid.Bool(), len(starts), len(starts)).Draw(r, "kills")
		synctest.Test(t, func(t *testing.T) {
			m := newMemory()
			p := boot(t, m, 0)
			p.sleep(time.Hour)
			p.end()
			for i, off := range starts {
				p = boot(t, m, off)
				p.sleep(100 * time.Minute)
				now, ok := p.Now()
				if ok && off > time.Hour {
					t.Errorf("after %v: something may be removed", starts[:i+1])
				}
				if now.After(time.Now().Add(max(0, min(off, time.Hour)))) {
					t.Errorf("after %v: ages are judged by %v", starts[:i+1], now)
				}
				if kills[i] {
					p.kill()
				} else {
					p.end()
				}
				time.Sleep(time.Minute)
			}
		})
	})
}
