package agent_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"connectrpc.com/connect"

	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/agent"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
)

// A runner that is refused by another installation than the one that it joined,
// or by one that names none, comes back until its own is there again.
func TestAWrongControlPlaneDoesNotEndARunner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		own, other := id.New(), id.New()
		refusal := func(installation string) error {
			err := connect.NewError(connect.CodeUnauthenticated, errors.New("unknown token"))
			if installation != "" {
				err.Meta().Set("Muster-Installation", installation)
			}
			return err
		}
		of := func(installation string) func(*linkv1.Welcome) {
			return func(w *linkv1.Welcome) { w.InstallationId = installation }
		}
		// A control plane that names none is remembered once it names one.
		pr := p.join(t, nil)
		first := p.welcomed(t)
		synctest.Wait()
		if got := readIdentity(t, pr.dir).InstallationID; got != "" {
			t.Errorf("the runner remembers %q", got)
		}
		first.end(t, nil)
		l := p.accept(t)
		l.welcome(t, of(own))
		synctest.Wait()
		if got := readIdentity(t, pr.dir).InstallationID; got != own {
			t.Errorf("the runner remembers %q, want %q", got, own)
		}
		l.end(t, nil)
		for _, wrong := range []string{"", other, "", other} {
			p.accept(t).end(t, refusal(wrong))
		}
		// So does one that takes it for another runner.
		p.accept(t).welcome(t, func(w *linkv1.Welcome) { w.InstallationId, w.RunnerId = other, id.New() })
		l = p.accept(t)
		l.welcome(t, of(own))
		synctest.Wait()
		if got := readIdentity(t, pr.dir).InstallationID; got != own {
			t.Errorf("in the end the runner remembers %q", got)
		}

		// An exchange token that the other one does not take is no end either.
		_ = pr.stop(nil)
		p.redeem = func(string) (string, error) {
			return "", connect.NewError(connect.CodeUnauthenticated, errors.New("used"))
		}
		pr = p.join(t, func(c *agent.Config) { c.DataDir, c.ExchangeToken = pr.dir, "muster_exchange_used" })
		p.accept(t).end(t, refusal(other))
		p.accept(t).end(t, refusal(""))

		// Its own may refuse it.
		p.accept(t).end(t, refusal(strings.ToUpper(own)))
		if err := pr.wait(); !fault.HasReason(err, fault.UnknownToken) {
			t.Errorf("refused by its own control plane: %v", err)
		}
	})
}
