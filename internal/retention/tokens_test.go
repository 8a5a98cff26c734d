package retention_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/audit"
	"github.com/musterhq/muster/internal/auditlog"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/serviceaccount"
	"github.com/musterhq/muster/internal/token"
)

// entries are the audit entries with one of the actions.
func (f *fixture) entries(actions ...string) []audit.Entry {
	f.t.Helper()
	all, err := f.store.AuditLog().AuditEntries(f.t.Context(), auditlog.Query{Organization: f.org, Page: page.Query{Limit: 5000}})
	f.must(err)
	return slices.DeleteFunc(all, func(e audit.Entry) bool { return !slices.Contains(actions, e.Action) })
}

// Each token that is removed by age leaves an entry, and an event when people
// can list it.
func TestTheEndOfATokenIsWrittenDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setup(t)
		now := time.Now()
		person := identity.User{
			ID: id.User(id.New()), Organization: f.org, Name: "Ann", Email: "ann@example.com", Role: resource.RoleOrgMember,
			Status: identity.StatusActive, CreatedAt: now, UpdatedAt: now, Revision: 1,
		}
		account := serviceaccount.Account{
			ID: id.ServiceAccount(id.New()), Organization: f.org, Name: "ci", Creator: f.admin.Subject, ValidUntil: now.Add(1000 * day),
			CreatedAt: now, UpdatedAt: now, Revision: 1,
		}
		f.must(f.store.ServiceAccounts().Write(t.Context(), func(tx serviceaccount.Tx) error { return tx.InsertServiceAccount(t.Context(), account) }))
		runner := string(f.add("a runner", now, nil))
		of := map[access.Principal]string{
			access.PrincipalUser: string(person.ID), access.PrincipalRunner: runner, access.PrincipalServiceAccount: string(account.ID),
		}
		made := map[token.Kind]id.Token{}
		f.must(f.store.Identity().Write(t.Context(), func(tx identity.Tx) error {
			f.must(tx.InsertUser(t.Context(), person))
			for kind, p := range map[token.Kind]access.Principal{
				token.Personal: access.PrincipalUser, token.Runner: access.PrincipalRunner, token.Exchange: access.PrincipalRunner,
				token.ServiceAccount: access.PrincipalServiceAccount, token.ServiceAccountAccess: access.PrincipalServiceAccount,
			} {
				_, hash := token.New(kind)
				made[kind] = id.Token(id.New())
				f.must(tx.InsertToken(t.Context(), token.Record{
					ID: made[kind], Organization: f.org, Kind: kind, Hash: hash, Subject: access.Subject{Principal: p, ID: of[p]}, Creator: f.admin.Subject,
					CreatedAt: now.Add(-90 * day), ExpiresAt: now.Add(-60 * day),
				}))
			}
			return nil
		}))
		stop := f.start()
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		stop()

		type end struct {
			action, subject string
			of              resource.Type
		}
		var got []end
		for _, e := range f.entries(
			"personal_access_token.expire", "service_account_token.expire", "service_account_access_token.expire", "runner.token.expire") {
			if e.Actor != access.System || e.Kind != audit.KindChange {
				t.Errorf("%+v", e)
			}
			got = append(got, end{e.Action, e.SubjectID, e.SubjectType})
		}
		slices.SortFunc(got, func(a, b end) int { return strings.Compare(a.action, b.action) })
		want := []end{
			{"personal_access_token.expire", string(made[token.Personal]), resource.PersonalAccessToken},
			{"runner.token.expire", runner, resource.Runner},
			{"runner.token.expire", runner, resource.Runner},
			{"service_account_access_token.expire", string(account.ID), resource.ServiceAccount},
			{"service_account_token.expire", string(made[token.ServiceAccount]), resource.ServiceAccountToken},
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(end{})); diff != "" {
			t.Errorf("entries: %s", diff)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		var told []string
		for _, e := range f.events {
			if e.Operation == event.Deleted {
				told = append(told, e.Object.ID)
				if e.Creator != f.admin.Subject || e.Object.Owner.ID == "" {
					t.Errorf("the event %+v tells too little", e)
				}
			}
		}
		slices.Sort(told)
		listed := []string{string(made[token.Personal]), string(made[token.ServiceAccount])}
		if diff := cmp.Diff(slices.Sorted(slices.Values(listed)), told); diff != "" {
			t.Errorf("events of deletions: %s", diff)
		}
	})
}
