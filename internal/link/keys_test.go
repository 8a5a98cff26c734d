package link_test

import (
	"testing"
)

func TestRunnersHearOfNewKeys(t *testing.T) {
	test(t, func(t *testing.T, p *plane) {
		p.keys.Store(1)
		a, welcome := p.join(t, runnerA, hello(bootOne))
		b, _ := p.join(t, runnerB, hello(bootTwo))
		if n := len(welcome.GetVerificationKeys().GetKeys()); n != 1 {
			t.Errorf("Welcome has %d keys", n)
		}
		p.keys.Store(2)
		p.KeysChanged()
		for _, r := range []*runner{a, b} {
			if n := len(r.receive().GetVerificationKeys().GetKeys()); n != 2 {
				t.Errorf("a runner was sent %d keys", n)
			}
		}
	})
}
