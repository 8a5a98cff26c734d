package storetest

import (
	"cmp"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/hosttoken"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/llm"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/scm"
	"github.com/musterhq/muster/internal/sealed"
)

func sealedTests() map[string]func(*testing.T, *world) {
	return map[string]func(*testing.T, *world){
		"What is sealed to a runner is found in every place": func(t *testing.T, w *world) {
			r, other, bare := w.runner(1), w.runner(2), w.runner(3)
			w.addRunners(t, r, other, bare)
			want := w.addSealed(t, r)
			w.addSealed(t, other)
			got, err := w.store.Sealed().Sealed(t.Context(), r.ID)
			must(t, err)
			// A part that holds nothing may be left out.
			got = slices.DeleteFunc(got, func(i sealed.Item) bool { return len(i.Sealed) == 0 })
			sortItems(want)
			sortItems(got)
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if none, err := w.store.Sealed().Sealed(t.Context(), bare.ID); err != nil || len(none) != 0 {
				t.Errorf("a runner with nothing: %v, %v", none, err)
			}
			w.writeSealed(t, func(tx sealed.Tx) error {
				for _, i := range want {
					of, err := tx.SealedOf(t.Context(), r.ID, i.ID)
					must(t, err)
					if !slices.ContainsFunc(of, func(o sealed.Item) bool { return gocmp.Equal(i, o) }) {
						t.Errorf("%s is not among %v", i.Name(), of)
					}
					if of, err := tx.SealedOf(t.Context(), other.ID, i.ID); err != nil || len(of) != 0 {
						t.Errorf("another runner gets %v, %v", of, err)
					}
				}
				if of, err := tx.SealedOf(t.Context(), r.ID, id.New()); err != nil || len(of) != 0 {
					t.Errorf("an unknown thing has %v, %v", of, err)
				}
				return nil
			})
		},
	}
}

// addSealed gives a runner one of everything that holds secrets, and returns
// those.
func (w *world) addSealed(t *testing.T, r fleet.Runner) []sealed.Item {
	t.Helper()
	i := scm.Integration{
		ID: id.New(), Organization: w.org, Runner: r.ID, SCMID: "github", Host: "GitHub.example", OAuthClientID: "c", OAuthClientSecret: []byte{1, 0, 1},
		CreatedAt: at(1), UpdatedAt: at(1), Revision: 1,
	}
	pat := scm.Integration{ID: id.New(), Organization: w.org, Runner: r.ID, SCMID: "gitlab", Host: "gitlab.example", PAT: true, CreatedAt: at(2), UpdatedAt: at(2), Revision: 1}
	owner := access.Subject{Principal: access.PrincipalUser, ID: id.New()}
	h := hosttoken.Token{
		ID: id.New(), Organization: w.org, Runner: r.ID, Host: "GitHub.example", Subject: owner, Source: 1, Value: []byte{1, 0, 2}, RefreshToken: []byte{1, 0, 3},
		CreatedAt: at(3), UpdatedAt: at(3), Revision: 1,
	}
	l := llm.Integration{
		ID: id.New(), Organization: w.org, Runner: r.ID, Models: []llm.Model{1}, Endpoint: "https://llm.example", APIKey: []byte{1, 0, 4}, Enabled: true,
		Headers:   []llm.Header{{Name: "X-Key", Type: llm.HeaderLiteral, Value: []byte{1, 0, 5}}, {Name: "X-Sum", Type: llm.HeaderExpression, Expression: "1+1"}},
		CreatedAt: at(4), UpdatedAt: at(4), Revision: 1,
	}
	must(t, w.store.SCM().Write(t.Context(), func(tx scm.Tx) error {
		must(t, tx.InsertSCMIntegration(t.Context(), i))
		return tx.InsertSCMIntegration(t.Context(), pat)
	}))
	must(t, w.store.HostTokens().Write(t.Context(), func(tx hosttoken.Tx) error { return tx.InsertHostToken(t.Context(), h) }))
	must(t, w.store.LLM().Write(t.Context(), func(tx llm.Tx) error { return tx.InsertLLMIntegration(t.Context(), l) }))
	return []sealed.Item{
		{Type: resource.RunnerSCMIntegration, ID: i.ID, Part: "client_secret", About: i.Host, Sealed: i.OAuthClientSecret},
		{Type: resource.HostAuthenticationToken, ID: h.ID, Part: "token", About: h.Host, Owner: owner, Sealed: h.Value},
		{Type: resource.HostAuthenticationToken, ID: h.ID, Part: "refresh_token", About: h.Host, Owner: owner, Sealed: h.RefreshToken},
		{Type: resource.RunnerLLMIntegration, ID: l.ID, Part: "api_key", About: l.Endpoint, Sealed: l.APIKey},
		{Type: resource.RunnerLLMIntegration, ID: l.ID, Part: "header/X-Key", About: l.Endpoint, Sealed: l.Headers[0].Value},
	}
}

func (w *world) writeSealed(t *testing.T, fn func(sealed.Tx) error) {
	t.Helper()
	must(t, w.store.Sealed().Write(t.Context(), fn))
}

func sortItems(items []sealed.Item) {
	slices.SortFunc(items, func(a, b sealed.Item) int { return cmp.Compare(a.Name(), b.Name()) })
}
