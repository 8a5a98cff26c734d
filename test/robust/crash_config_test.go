package robust_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/musterhq/muster/test/muster"
)

// How the control plane is killed while its configuration is written.
const (
	configKills   = 6
	configCallers = 24
	waitingOnes   = 12 // runners with secrets that wait for their key
)

// While groups, memberships, policies and classes are made, secrets are set that
// wait for their runners, and the secret-key file is rotated over and over, the
// control plane is killed, again and again. Everything acknowledged is there
// afterwards, every secret that waited reaches its runner, and nothing refers to
// what is not there.
func TestKillsAmidConfiguration(t *testing.T) {
	t.Parallel()
	for engine, options := range engines {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			o := options(t)
			s := muster.Serve(t, o)
			c := newConfiguring(t, s)
			for range configKills {
				c.amidKill(t)
			}
			t.Logf("%d groups, %d memberships, %d policies and %d classes were acknowledged, and %d rotations",
				len(c.made["group"]), len(c.made["membership"]), len(c.made["assignment"]), len(c.made["class"]), c.rotations.Load())
			c.allThere(t)
			c.rotatedAtLast(t)
			c.secretsArrive(t)
			unharmed(t, s)
			s.Kill()
			databaseOf(t, s, o).orphans(t)
		})
	}
}

// configuring is who makes the configuration, and knows what was acknowledged.
type configuring struct {
	*organization

	person  *observer
	runner  string
	waiting []*waitingRunner
	serial  atomic.Int64

	rotations atomic.Int64
	calls     chan struct{} // something was acknowledged
	mu        sync.Mutex
	made      map[string]map[string]bool // ids, by what they are
}

// waitingRunner is a runner that has never connected.
type waitingRunner struct {
	id, exchange string
	mu           sync.Mutex
	// The last password that was acknowledged, and those that were tried since.
	password string
	maybe    []string
}

func newConfiguring(t *testing.T, s *muster.Server) *configuring {
	t.Helper()
	c := &configuring{organization: organizationOf(t, s, s.Token), calls: make(chan struct{}), made: map[string]map[string]bool{}}
	for _, what := range []string{"group", "membership", "assignment", "class"} {
		c.made[what] = map[string]bool{}
	}
	c.person = c.organization.person(t, "Member")
	for n := range waitingOnes {
		got := c.call(t, runners+"CreateRunner", object{
			"name": fmt.Sprintf("waits %d", n), "provider": "RUNNER_PROVIDER_LINUX_HOST",
			"spec": object{"configuration": object{"metrics": object{"enabled": true, "password": "the first one"}}},
		})
		c.waiting = append(c.waiting, &waitingRunner{id: got.text("runner", "runnerId"), exchange: got.text("exchangeToken"), password: "the first one"})
	}
	c.runner = c.waiting[0].id
	return c
}

// amidKill lets everybody work, kills the control plane at a random moment, and
// starts it again.
func (c *configuring) amidKill(t *testing.T) {
	t.Helper()
	var killing atomic.Bool
	var wg sync.WaitGroup
	work := func(once func() error) {
		wg.Go(func() {
			for !killing.Load() {
				if err := once(); err != nil {
					if !killing.Load() {
						t.Errorf("a call before the kill: %v", err)
					}
					return
				}
			}
		})
	}
	for range configCallers {
		work(func() error { return c.makeSome(t.Context()) })
	}
	for _, w := range c.waiting {
		work(func() error { return c.setPassword(t.Context(), w) })
	}
	rotated := make(chan struct{}, 1)
	work(func() error {
		_, err := c.try(t.Context(), admins+"InstallationService/RotateKeys", object{"secretKey": true})
		if err == nil {
			c.rotations.Add(1)
			select {
			case rotated <- struct{}{}:
			default:
			}
		}
		return err
	})
	// Somewhere in the second rotation, so that there is load by then.
	select {
	case <-rotated:
	case <-time.After(muster.Patience):
		t.Error("no rotation ends")
	}
	for range rand.IntN(100) { //nolint:gosec // any moment will do
		<-c.calls
	}
	killing.Store(true)
	c.server.Kill()
	wg.Wait()
	c.server.Restart(t)
	// A rotation that was interrupted is finished now, and not a minute later.
	muster.Until(t, muster.Patience/4, func() error {
		if n := c.keysInFile(t); n != 1 {
			return fmt.Errorf("the secret-key file has %d keys", n)
		}
		return nil
	})
}

// keysInFile is how many keys the secret-key file has.
func (c *configuring) keysInFile(t *testing.T) int {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(c.server.DataDir, "secret-key"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(raw), "\n")
}

// makeSome makes a group with a member, a policy and a class, and keeps what is
// acknowledged of it.
func (c *configuring) makeSome(ctx context.Context) error {
	n := c.serial.Add(1)
	note := func(what, id string) {
		c.mu.Lock()
		c.made[what][id] = true
		c.mu.Unlock()
		select {
		case c.calls <- struct{}{}:
		default:
		}
	}
	got, err := c.try(ctx, groups+"CreateGroup", object{"organizationId": c.id, "name": fmt.Sprintf("group %d", n)})
	if err != nil {
		return err
	}
	group := got.text("group", "id")
	note("group", group)
	if got, err = c.try(ctx, groups+"CreateMembership", object{"groupId": group, "subject": object{"id": c.person.id, "principal": "PRINCIPAL_USER"}}); err != nil {
		return err
	}
	note("membership", got.text("member", "id"))
	if got, err = c.try(ctx, groups+"CreateRoleAssignment", object{
		"groupId": group, "resourceType": "RESOURCE_TYPE_RUNNER", "resourceId": c.runner, "resourceRole": "RESOURCE_ROLE_RUNNER_USER",
	}); err != nil {
		return err
	}
	note("assignment", got.text("assignment", "id"))
	if got, err = c.try(ctx, config+"CreateEnvironmentClass", object{"runnerId": c.runner, "displayName": fmt.Sprintf("Class %d", n), "description": "One of many"}); err != nil {
		return err
	}
	note("class", got.text("id"))
	return nil
}

// setPassword sets a secret that waits for its runner.
func (c *configuring) setPassword(ctx context.Context, w *waitingRunner) error {
	password := fmt.Sprintf("password %d", c.serial.Add(1))
	w.mu.Lock()
	defer w.mu.Unlock()
	w.maybe = append(w.maybe, password)
	_, err := c.try(ctx, runners+"UpdateRunner", object{"runnerId": w.id, "spec": object{"configuration": object{"metrics": object{"password": password}}}})
	if err == nil {
		w.password, w.maybe = password, nil
	}
	return err
}

// allThere reads everything and compares it with what was acknowledged.
func (c *configuring) allThere(t *testing.T) {
	t.Helper()
	present := map[string]map[string]bool{
		"group":      c.ids(t, groups+"ListGroups", "groups", object{}),
		"assignment": c.ids(t, groups+"ListRoleAssignments", "assignments", object{"filter": object{"resourceId": c.runner}}),
		"class":      c.ids(t, config+"ListEnvironmentClasses", "environmentClasses", object{"filter": object{"runnerIds": []any{c.runner}}}),
		"membership": {},
	}
	for group := range present["group"] {
		got := c.call(t, groups+"GetMembership", object{"groupId": group, "subject": object{"id": c.person.id, "principal": "PRINCIPAL_USER"}})
		present["membership"][got.text("member", "id")] = true
	}
	for what, ids := range c.made {
		lost := 0
		for id := range ids {
			if !present[what][id] {
				lost++
			}
		}
		if lost > 0 {
			t.Errorf("%d of %d that were acknowledged are lost: %s", lost, len(ids), what)
		}
	}
}

// ids reads all pages of a list.
func (c *configuring) ids(t *testing.T, procedure, field string, body object) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	page := object{"pageSize": 100}
	for {
		got := c.call(t, procedure, with(body, []string{"pagination"}, page))
		var items map[string]json.RawMessage
		var found []struct{ ID string }
		if err := json.Unmarshal(got, &items); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(items[field], &found); err != nil {
			t.Fatal(err)
		}
		for _, one := range found {
			if all[one.ID] {
				t.Fatalf("%s: %s is listed twice", procedure, one.ID)
			}
			all[one.ID] = true
		}
		next := got.text("pagination", "nextToken")
		if next == "" {
			return all
		}
		page = object{"pageSize": 100, "token": next}
	}
}

// rotatedAtLast rotates once more and looks at what lies in the data directory:
// one key, and nothing of the rotations that were interrupted.
func (c *configuring) rotatedAtLast(t *testing.T) {
	t.Helper()
	c.call(t, admins+"InstallationService/RotateKeys", object{"secretKey": true})
	if n := c.keysInFile(t); n != 1 {
		t.Errorf("the secret-key file has %d keys", n)
	}
	if left, err := filepath.Glob(filepath.Join(c.server.DataDir, ".secret-key-*")); err != nil || len(left) > 0 {
		t.Errorf("rotations left %v, %v", left, err)
	}
}

// secretsArrive connects every runner that waited, and opens what it gets.
func (c *configuring) secretsArrive(t *testing.T) {
	t.Helper()
	for _, w := range c.waiting {
		token, err := muster.NewAPI(c.url, "").Redeem(t, w.exchange)
		if err != nil {
			t.Fatal(err)
		}
		link := openLink(t, c.url, token)
		plain, err := link.open(link.welcome.GetConfiguration().GetSealedMetricsPassword(), "metrics.password")
		if err != nil {
			t.Errorf("runner %s cannot open its password: %v", w.id, err)
			continue
		}
		if got := string(plain); got != w.password && !slices.Contains(w.maybe, got) {
			t.Errorf("runner %s has %q, want %q or one of %q", w.id, got, w.password, w.maybe)
		}
	}
}
