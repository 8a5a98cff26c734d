package storetest

import (
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/store/sqlstore"
)

func installationTests() map[string]func(*testing.T, *world) {
	return map[string]func(*testing.T, *world){
		"A signing key is stored when there is none": func(t *testing.T, w *world) {
			k := sqlstore.SigningKey{ID: id.New(), Wrapped: []byte{0, 1}, Public: []byte{2, 255}, CreatedAt: at(1)}
			must(t, w.store.InsertSigningKey(t.Context(), k))
			must(t, w.store.InsertSigningKey(t.Context(), sqlstore.SigningKey{ID: id.New(), CreatedAt: at(2), Purpose: "logs"}))
			got, err := w.store.SigningKeys(t.Context(), "logs")
			must(t, err)
			if diff := cmp.Diff([]sqlstore.SigningKey{k}, got); diff != "" {
				t.Error(diff)
			}
		},
		"A value is set once": func(t *testing.T, w *world) {
			got, ok, err := w.store.Meta(t.Context(), "issuer")
			missing(t, got, ok, err)
			for _, value := range []string{"first", "second"} {
				if got, err := w.store.SetMeta(t.Context(), "issuer", value); err != nil || got != "first" {
					t.Errorf("setting %q gives %q, %v", value, got, err)
				}
			}
			got, ok, err = w.store.Meta(t.Context(), "issuer")
			if found(t, got, ok, err) != "first" {
				t.Errorf("read %q", got)
			}
		},
		"Those that set at once agree": func(t *testing.T, w *world) {
			got := make([]string, 20)
			var wg sync.WaitGroup
			for i := range got {
				wg.Go(func() {
					var err error
					if got[i], err = w.store.SetMeta(t.Context(), "issuer", fmt.Sprint(i)); err != nil {
						t.Error(err)
					}
					if err := w.store.InsertSigningKey(t.Context(), sqlstore.SigningKey{ID: id.New(), CreatedAt: at(i), Purpose: "logs"}); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			for _, v := range got {
				if v != got[0] {
					t.Errorf("one got %q, another %q", got[0], v)
				}
			}
			if keys, err := w.store.SigningKeys(t.Context(), "logs"); err != nil || len(keys) != 1 {
				t.Errorf("%d signing keys, %v; want one", len(keys), err)
			}
		},
	}
}
