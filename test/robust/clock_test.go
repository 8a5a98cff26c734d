package robust_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/muster/admin/v1"
	"github.com/musterhq/muster/gen/muster/admin/v1/adminv1connect"
	"github.com/musterhq/muster/internal/store/pgtest"
	"github.com/musterhq/muster/test/muster"
)

// A start with a clock that is years ahead, long enough for every worker to have
// had its turn, removes nothing: no token that is valid, no runner, no audit entry,
// no key.
func TestOneWrongClockRemovesNothing(t *testing.T) {
	t.Parallel()
	var both sync.WaitGroup // they wait most of the time, so they need no turn of their own
	defer both.Wait()
	run := func(engine string, options muster.ServerOptions) {
		t.Run(engine, func(t *testing.T) {
			options.Binary = muster.WrongClockBinary(t)
			s := muster.Serve(t, options)
			admin := s.Admin()
			pat := newPersonalToken(t, admin, "valid for 90 days")
			runner, _ := admin.NewRunner(t, "never connected")
			_, err := adminv1connect.NewRetentionServiceClient(admin.HTTP, s.URL).SetRetentionPolicy(t.Context(), connect.NewRequest(&adminv1.SetRetentionPolicyRequest{
				Policy: &adminv1.RetentionPolicy{NeverConnectedDays: 30, OfflineDays: 30, AuditDays: 30},
			}))
			if err != nil {
				t.Fatal(err)
			}
			_, err = adminv1connect.NewInstallationServiceClient(admin.HTTP, s.URL).RotateKeys(t.Context(), connect.NewRequest(&adminv1.RotateKeysRequest{SigningKeys: true}))
			if err != nil {
				t.Fatal(err)
			}
			s.Stop(t)
			before := counts(t, s, options)

			s.RestartWith(t, muster.WrongClock(2*365*24*time.Hour))
			if _, text := get(t, http.DefaultClient, s.URL+"/readyz"); !strings.Contains(text, "730 days ahead") || !strings.HasPrefix(text, "ok\n") {
				t.Errorf("/readyz says %q", text)
			}
			if text := metricsOf(t, s); !strings.Contains(text, "\nmuster_removal_paused 1\n") {
				t.Errorf("no metric says that removal is paused")
			}
			// The token has expired by the clock of the process, which judges it.
			if _, err := muster.NewAPI(s.URL, pat).Identities.GetAuthenticatedIdentity(t.Context(), connect.NewRequest(&gitpodv1.GetAuthenticatedIdentityRequest{})); connect.CodeOf(err) != connect.CodeUnauthenticated {
				t.Errorf("with a clock that is two years ahead a token of 90 days gets %v", err)
			}
			newPersonalToken(t, admin, "made meanwhile")
			<-time.After(130 * time.Second) // the first rounds are after two minutes
			s.Stop(t)
			during := counts(t, s, options)

			s.RestartWith(t, muster.WrongClock(0))
			for what, n := range during {
				if n < before[what] {
					t.Errorf("of %d %s %d are left", before[what], what, n)
				}
			}
			if _, err := muster.NewAPI(s.URL, pat).Identities.GetAuthenticatedIdentity(t.Context(), connect.NewRequest(&gitpodv1.GetAuthenticatedIdentityRequest{})); err != nil {
				t.Errorf("the token that was made before gets %v", err)
			}
			if _, err := admin.Runner(t, runner); err != nil {
				t.Errorf("the runner is gone: %v", err)
			}
			if _, text := get(t, http.DefaultClient, s.URL+"/readyz"); text != "ok\n" {
				t.Errorf("/readyz says %q", text)
			}
			s.Await(t, `"msg":"this credential was made[^\n]*"description":"made meanwhile"`)
		})
	}
	both.Go(func() { run("sqlite", muster.ServerOptions{}) })
	both.Go(func() { run("postgresql", muster.ServerOptions{DatabaseURL: pgtest.URL(t)}) })
}

// counts are the rows that go by age, of a control plane that was stopped.
func counts(t *testing.T, s *muster.Server, o muster.ServerOptions) map[string]int {
	t.Helper()
	d := databaseOf(t, s, o)
	defer d.Close() //nolint:errcheck // it was read
	n := map[string]int{}
	for _, table := range []string{"tokens", "runners", "audit_entries", "signing_keys"} {
		n[table] = d.count(t, table, "1 = 1")
	}
	return n
}

func newPersonalToken(t *testing.T, a *muster.API, description string) string {
	t.Helper()
	me, err := a.Identities.GetAuthenticatedIdentity(t.Context(), connect.NewRequest(&gitpodv1.GetAuthenticatedIdentityRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	made, err := a.Users.CreatePersonalAccessToken(t.Context(), connect.NewRequest(&gitpodv1.CreatePersonalAccessTokenRequest{
		UserId: me.Msg.GetSubject().GetId(), Description: description, ValidFor: durationpb.New(90 * 24 * time.Hour),
	}))
	if err != nil {
		t.Fatal(err)
	}
	return made.Msg.GetToken()
}
