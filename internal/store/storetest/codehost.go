package storetest

import (
	"cmp"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/musterhq/muster/internal/codehost"
	"github.com/musterhq/muster/internal/envclass"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/hosttoken"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/scm"
	"github.com/musterhq/muster/internal/scmurl"
)

func codeHostTests() map[string]func(*testing.T, *world) {
	return map[string]func(*testing.T, *world){
		"Hosts of a runner, oldest first": func(t *testing.T, w *world) {
			r, other := w.runner(1), w.runner(2)
			w.addRunners(t, r, other)
			a, b, c := scmIntegration(r, "GitHub.com", 2), scmIntegration(r, "gitlab.com", 1), scmIntegration(r, "dev.azure.com/acme", 3)
			b.PAT, b.OAuthClientID, b.OAuthClientSecret, b.IssuerURL, b.VirtualDirectory = false, "", nil, "", ""
			w.addSCM(t, a, b, c, scmIntegration(other, "github.com", 0))
			got, err := w.store.CodeHosts().HostsOf(t.Context(), w.org, r.ID, 2)
			must(t, err)
			if diff := gocmp.Diff([]codehost.Host{hostOf(b), hostOf(a)}, got); diff != "" {
				t.Error(diff)
			}
			got, err = w.store.CodeHosts().HostsOf(t.Context(), id.Organization(id.New()), r.ID, 2)
			if must(t, err); len(got) > 0 {
				t.Errorf("another organization has %+v", got)
			}
		},
		"Credentials of a subject, oldest first": func(t *testing.T, w *world) {
			r, other := w.runner(1), w.runner(2)
			w.addRunners(t, r, other)
			oauth, pat, elsewhere := hostToken(r, "GitHub.com", hosttoken.SourceOAuth), hostToken(r, "gitlab.com", hosttoken.SourcePAT), hostToken(other, "github.com", hosttoken.SourcePAT)
			oauth.CreatedAt, pat.CreatedAt, elsewhere.CreatedAt = at(3), at(2), at(1)
			pat.Subject, elsewhere.Subject = oauth.Subject, oauth.Subject
			pat.Integration, pat.RefreshToken, pat.ExpiresAt, pat.Revision = "", nil, time.Time{}, 7
			w.addHostTokens(t, oauth, pat, elsewhere, hostToken(r, "github.com", hosttoken.SourcePAT)) // the last is somebody else's
			for _, tt := range []struct {
				runner id.Runner
				limit  int
				want   []hosttoken.Token
			}{{"", 10, []hosttoken.Token{elsewhere, pat, oauth}}, {r.ID, 10, []hosttoken.Token{pat, oauth}}, {"", 1, []hosttoken.Token{elsewhere}}, {id.Runner(id.New()), 10, nil}} {
				got, err := w.store.CodeHosts().CredentialsOf(t.Context(), w.org, oauth.Subject, tt.runner, tt.limit)
				must(t, err)
				var want []codehost.Credential
				for _, token := range tt.want {
					want = append(want, credentialOf(token))
				}
				if diff := gocmp.Diff(want, slices.Clip(append([]codehost.Credential(nil), got...))); diff != "" {
					t.Errorf("on %q, %d: %s", tt.runner, tt.limit, diff)
				}
			}
		},
		"Enabled classes of a runner, oldest first": func(t *testing.T, w *world) {
			r, other := w.runner(1), w.runner(2)
			w.addRunners(t, r, other)
			classes := []envclass.Class{class(r, 4), class(r, 3), class(r, 2), class(r, 1), class(other, 0)}
			for n := range classes {
				classes[n].Enabled = n != 3
			}
			w.addClasses(t, classes...)
			for limit, want := range map[int][]string{100: {classes[2].ID, classes[1].ID, classes[0].ID}, 2: {classes[2].ID, classes[1].ID}} {
				got, err := w.store.CodeHosts().EnabledClasses(t.Context(), w.org, r.ID, limit)
				must(t, err)
				if diff := gocmp.Diff(want, got); diff != "" {
					t.Errorf("%d: %s", limit, diff)
				}
			}
		},
		"Nobody's places are none": func(t *testing.T, w *world) {
			r := w.runner(1)
			r.Creator.ID = ""
			w.addRunners(t, r)
			w.addSCM(t, scmIntegration(r, "github.com", 1))
			got, err := w.store.CodeHosts().Places(t.Context(), codehost.PlaceQuery{Organization: w.org, Names: []string{"github.com"}, Limit: 10})
			if must(t, err); len(got) > 0 {
				t.Errorf("got %+v", got)
			}
		},
		"Places are those that a plain filter finds": func(t *testing.T, w *world) {
			names := []string{"github.com", "GitHub.com", "gitlab.example.com/git", "gitlab.example.com"}
			rapid.Check(t, func(rt *rapid.T) {
				s := w.drawShared(t, rt)
				live := map[id.Runner]bool{}
				for _, r := range s.runners {
					if !rapid.Bool().Draw(rt, "came") {
						continue
					}
					session := w.openSession(t, r, "replica")
					if live[r.ID] = rapid.Bool().Draw(rt, "stays"); !live[r.ID] {
						w.writeFleet(t, func(tx fleet.Tx) error {
							_, err := tx.EndSession(t.Context(), r.ID, session.Epoch, at(9), "")
							return err
						})
					}
				}
				var all []scm.Integration
				for _, r := range s.runners {
					for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom(names), 0, 3, strings.ToLower).Draw(rt, "hosts") {
						all = append(all, scmIntegration(r, name, rapid.IntRange(0, 3).Draw(rt, "created")))
					}
				}
				w.addSCM(t, shuffled(all)...)
				q := codehost.PlaceQuery{
					Organization: s.org, Live: rapid.Bool().Draw(rt, "live"), Limit: rapid.IntRange(1, 8).Draw(rt, "limit"),
					Names: rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"github.com", "gitlab.example.com/git", "gitlab.example.com", "other.example.com"}), 0, 3, rapid.ID).Draw(rt, "names"),
				}
				switch rapid.IntRange(0, 2).Draw(rt, "use") {
				case 0:
					q.Use.All = true
				case 1:
					q.Use.All, q.Organization = true, id.Organization(id.New())
				default:
					q.Use.Creator = rapid.SampledFrom(append(s.creators, "")).Draw(rt, "creator")
					q.Use.Groups = rapid.SliceOfNDistinct(rapid.SampledFrom(s.groups), 0, 2, rapid.ID).Draw(rt, "groups")
					q.Use.Roles = rapid.SampledFrom([][]resource.Role{nil, {resource.RoleRunnerUser}, {resource.RoleRunnerUser, resource.RoleRunnerAdmin}}).Draw(rt, "roles")
				}
				var want []codehost.Place
				slices.SortFunc(all, func(a, b scm.Integration) int {
					return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
				})
				for _, i := range all {
					if i.Organization == q.Organization && s.uses(q.Use, i.Runner) && (!q.Live || live[i.Runner]) && slices.Contains(q.Names, strings.ToLower(i.Host)) {
						want = append(want, codehost.Place{Runner: i.Runner, Host: hostOf(i)})
					}
				}
				want = want[:min(len(want), q.Limit)]
				got, err := w.store.CodeHosts().Places(t.Context(), q)
				must(t, err)
				if diff := gocmp.Diff(want, slices.Clip(append([]codehost.Place(nil), got...))); diff != "" {
					rt.Fatalf("query %+v: %s", q, diff)
				}
			})
		},
	}
}

// uses tells whether somebody may use a runner, as plainly as it can be said.
func (s *shared) uses(u codehost.Use, runner id.Runner) bool {
	n := slices.IndexFunc(s.runners, func(r fleet.Runner) bool { return r.ID == runner })
	return u.All || u.Creator != "" && s.runners[n].Creator.ID == u.Creator || slices.ContainsFunc(u.Groups, func(g id.Group) bool {
		return slices.ContainsFunc(s.roles[runner][g], func(r resource.Role) bool { return slices.Contains(u.Roles, r) })
	})
}

func hostOf(i scm.Integration) codehost.Host {
	return codehost.Host{
		Integration: scmurl.Integration{
			ID: i.ID, SCMID: i.SCMID, Host: i.Host, VirtualDirectory: i.VirtualDirectory, IssuerURL: i.IssuerURL, OAuth: i.OAuthClientID != "", PAT: i.PAT,
		},
		OAuthClientID: i.OAuthClientID,
	}
}

func credentialOf(t hosttoken.Token) codehost.Credential {
	return codehost.Credential{
		ID: t.ID, Runner: t.Runner, Host: t.Host, Integration: t.Integration, OAuth: t.Source == hosttoken.SourceOAuth, ExpiresAt: t.ExpiresAt,
		RefreshToken: t.RefreshToken.Digest(), Revision: t.Revision,
	}
}
