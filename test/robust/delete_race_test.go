package robust_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/musterhq/muster/test/muster"
)

// While a runner is deleted, others go on to give it classes, integrations,
// roles and shares. Whatever of that was made is deleted with
// the runner, and watchers learn of it; nothing stays behind.
func TestWhatIsAddedWhileARunnerIsDeleted(t *testing.T) {
	t.Parallel()
	for engine, options := range engines {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			o := options(t)
			s := muster.Serve(t, o)
			own := organizationOf(t, s, s.Token)
			watcher := &observer{witness: own.witness, id: own.me}
			watcher.watch(t)
			const rounds = 5
			var made []string
			for range rounds {
				made = append(made, addAndDelete(t, own)...)
			}
			own.mark(t)
			watcher.marked(t, 1)

			// A deletion takes the place of what waits to be told of the same thing.
			told := map[string][]string{}
			for _, e := range watcher.all() {
				typ, rest, _ := strings.Cut(e, " ")
				operation, id, _ := strings.Cut(rest, " ")
				if slices.Contains([]string{"RUNNER", "ENVIRONMENT_CLASS", "RUNNER_SCM_INTEGRATION", "ROLE_ASSIGNMENT"}, typ) {
					told[id] = append(told[id], operation)
				}
			}
			for id, operations := range told {
				if slices.Index(operations, "DELETE") != len(operations)-1 {
					t.Errorf("%s: %v", id, operations)
				}
			}
			for _, id := range made {
				if len(told[id]) == 0 {
					t.Errorf("nothing was told of %s", id)
				}
			}
			t.Logf("%d things were made, %d were told of", len(made), len(told))
			unharmed(t, s)
			s.Kill()
			d := databaseOf(t, s, o)
			d.orphans(t)
			d.none(t, "groups", "direct_id <> '' AND id NOT IN (SELECT group_id FROM role_assignments)")
		})
	}
}

// addAndDelete makes a runner, lets many add to it, and deletes it meanwhile. It
// returns the ids of what was made.
func addAndDelete(t *testing.T, own *organization) (made []string) {
	t.Helper()
	var mu sync.Mutex
	api := muster.NewAPI(own.url, own.token)
	runner, _ := api.NewRunner(t, "short-lived")
	var serial atomic.Int64
	added := make(chan struct{}, 1024)
	var wg sync.WaitGroup
	add := func(procedure string, body func(n int64) object) {
		for range 3 {
			wg.Go(func() {
				for {
					got, err := own.try(t.Context(), procedure, body(serial.Add(1)))
					switch {
					case err == nil:
						if id := got.text("id") + got.text("assignment", "id"); id != "" {
							mu.Lock()
							made = append(made, id)
							mu.Unlock()
						}
						select {
						case added <- struct{}{}:
						default:
						}
					case strings.Contains(err.Error(), `"code":"not_found"`):
						return // that was the end of the runner
					default:
						t.Error(err)
						return
					}
				}
			})
		}
	}
	add(config+"CreateEnvironmentClass", func(int64) object {
		return object{"runnerId": runner, "displayName": "Small", "description": "A small one"}
	})
	add(config+"CreateSCMIntegration", func(n int64) object {
		return object{"runnerId": runner, "scmId": "gitea", "host": fmt.Sprintf("git%d.example.com", n), "pat": true}
	})
	people := make(chan string, 10)
	for range cap(people) {
		people <- own.person(t, "Somebody").id
	}
	next := func() string {
		who := <-people
		people <- who
		return who
	}
	add(groups+"ShareResourceWithPrincipal", func(int64) object {
		return object{
			"resourceType": "RESOURCE_TYPE_RUNNER", "resourceId": runner, "principal": "PRINCIPAL_USER", "principalId": next(), "role": "RESOURCE_ROLE_RUNNER_USER",
		}
	})
	add(groups+"CreateRoleAssignment", func(n int64) object {
		made, err := own.try(t.Context(), groups+"CreateGroup", object{"organizationId": own.id, "name": fmt.Sprintf("%s %d", runner[24:], n)})
		if err != nil {
			t.Error(err)
		}
		return object{"groupId": made.text("group", "id"), "resourceType": "RESOURCE_TYPE_RUNNER", "resourceId": runner, "resourceRole": "RESOURCE_ROLE_RUNNER_USER"}
	})
	for range 40 {
		<-added
	}
	own.call(t, runners+"DeleteRunner", object{"runnerId": runner})
	wg.Wait()
	return append(made, runner)
}
