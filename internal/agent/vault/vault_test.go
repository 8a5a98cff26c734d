package vault_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musterhq/muster/internal/agent/vault"
	"github.com/musterhq/muster/internal/seal"
)

// plane seals secrets as a control plane does, and counts how often it is asked.
type plane struct {
	t               *testing.T
	public, private *[32]byte
	secrets         map[string]string
	sealed          map[string]seal.Secret // the last delivery of each, by its text
	asked           int
	// asking is called with every request.
	asking func()
}

func newPlane(t *testing.T) *plane {
	t.Helper()
	public, private, err := seal.NewKeyPair()
	if err != nil {
		t.Fatal(err)
	}
	return &plane{t: t, public: public, private: private, sealed: map[string]seal.Secret{}, secrets: map[string]string{"a/1/x": "one", "a/1/y": "two", "a/11/x": "three"}}
}

func (p *plane) source() vault.Source {
	return vault.Source{
		Ask: func(_ context.Context, name string) (seal.Secret, error) {
			p.asked++
			plain, ok := p.secrets[name]
			if !ok {
				return nil, errors.New("nothing of that name")
			}
			sealed, err := seal.To(p.public[:], name, []byte(plain))
			p.sealed[plain] = sealed
			if p.asking != nil {
				p.asking()
			}
			return sealed, err
		},
		Open: func(s seal.Secret, purpose string) ([]byte, error) { return seal.Open(s, p.public, p.private, purpose) },
	}
}

// want gets a secret, for which the plane must have been asked that often in
// all.
func (p *plane) want(v *vault.Vault, name, plain string, asked int) {
	p.t.Helper()
	got, digest, err := v.Get(p.t.Context(), name)
	if err != nil || string(got) != plain || p.asked != asked || digest != p.sealed[plain].Digest() {
		p.t.Errorf("%s is %q, %v, and was asked for %d times; want %q and %d; its digest is %x", name, got, err, p.asked, plain, asked, digest)
	}
}

func TestSecretsAreKeptUntilTheyChange(t *testing.T) {
	p := newPlane(t)
	var v vault.Vault
	if _, _, err := v.Get(t.Context(), "a/1/x"); !errors.Is(err, vault.ErrClosed) {
		t.Errorf("without a source: %v", err)
	}
	v.Connect(p.source())
	p.want(&v, "a/1/x", "one", 1)
	p.want(&v, "a/1/x", "one", 1)
	p.want(&v, "a/1/y", "two", 2)
	p.want(&v, "a/11/x", "three", 3)

	p.secrets["a/1/x"] = "new"
	v.Forget("a/1/x")
	p.want(&v, "a/1/x", "new", 4)
	p.want(&v, "a/1/y", "two", 4)
	v.Forget("a/1/") // all of a/1, and nothing of a/11
	p.want(&v, "a/11/x", "three", 4)
	p.want(&v, "a/1/y", "two", 5)
	v.Forget("a/1", "a/1/z") // names of nothing
	p.want(&v, "a/1/y", "two", 5)

	// What is kept can be used while nobody can be asked; a new link may have
	// missed changes.
	v.Disconnect()
	p.want(&v, "a/1/y", "two", 5)
	v.Connect(p.source())
	p.want(&v, "a/1/y", "two", 6)
	v.Close()
	if _, _, err := v.Get(t.Context(), "a/1/y"); !errors.Is(err, vault.ErrClosed) {
		t.Errorf("after the key is lost: %v", err)
	}
}

func TestASecretThatChangesWhileItComesIsNotKept(t *testing.T) {
	p := newPlane(t)
	var v vault.Vault
	v.Connect(p.source())
	p.asking = func() { p.asking = nil; p.secrets["a/1/x"] = "new"; v.Forget("a/1/x") }
	p.want(&v, "a/1/x", "one", 1)
	p.want(&v, "a/1/x", "new", 2)
	p.want(&v, "a/1/x", "new", 2)
}

// Many who want one secret ask once, and none of them for the others.
func TestManyAskOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlane(t)
		var v vault.Vault
		answer := make(chan struct{})
		source := p.source()
		ask := source.Ask
		source.Ask = func(ctx context.Context, name string) (seal.Secret, error) {
			select {
			case <-answer:
				return ask(ctx, name)
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		v.Connect(source)
		first, leave := context.WithCancel(t.Context())
		var gone, all sync.WaitGroup
		gone.Go(func() {
			if _, _, err := v.Get(first, "a/1/x"); !errors.Is(err, context.Canceled) {
				t.Errorf("whoever leaves gets %v", err)
			}
		})
		synctest.Wait()
		for range 20 {
			all.Go(func() {
				got, _, err := v.Get(t.Context(), "a/1/x")
				if err != nil || string(got) != "one" {
					t.Errorf("got %q, %v", got, err)
				}
				clear(got)
			})
		}
		synctest.Wait()
		leave() // who asked first
		gone.Wait()
		close(answer)
		all.Wait()
		p.want(&v, "a/1/x", "one", 1)
	})
}

// Whoever asks after a change must not get what was on its way before.
func TestAskedForAfterAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlane(t)
		var v vault.Vault
		v.Connect(p.source())
		goOn := make(chan struct{})
		p.asking = func() { p.asking = nil; <-goOn }
		old := make(chan string)
		go func() {
			got, _, err := v.Get(t.Context(), "a/1/x")
			if err != nil {
				t.Error(err)
			}
			old <- string(got)
		}()
		synctest.Wait()
		p.secrets["a/1/x"] = "new"
		v.Forget("a/1/x")
		p.want(&v, "a/1/x", "new", 2)
		close(goOn)
		if got := <-old; got != "one" {
			t.Errorf("got %q", got)
		}
		p.want(&v, "a/1/x", "new", 2)
	})
}

// A source that does not answer holds nobody for ever.
func TestASourceThatDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var v vault.Vault
		v.Connect(vault.Source{Ask: func(ctx context.Context, _ string) (seal.Secret, error) { <-ctx.Done(); return nil, ctx.Err() }})
		begun := time.Now()
		if _, _, err := v.Get(t.Context(), "a/1/x"); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != 5*time.Minute {
			t.Errorf("after %s: %v", time.Since(begun), err)
		}
	})
}

func TestWhatCannotBeOpened(t *testing.T) {
	p, other := newPlane(t), newPlane(t)
	var v vault.Vault
	source := p.source()
	source.Open = other.source().Open
	v.Connect(source)
	if _, _, err := v.Get(t.Context(), "a/1/x"); !errors.Is(err, vault.ErrSealed) {
		t.Errorf("sealed to another key: %v", err)
	}
	if _, _, err := v.Get(t.Context(), "unknown"); err == nil || errors.Is(err, vault.ErrSealed) {
		t.Errorf("a secret that is not there: %v", err)
	}
	// A secret in the place of another is none.
	source = p.source()
	ask := source.Ask
	source.Ask = func(ctx context.Context, _ string) (seal.Secret, error) { return ask(ctx, "a/1/y") }
	v.Connect(source)
	if _, _, err := v.Get(t.Context(), "a/1/x"); !errors.Is(err, vault.ErrSealed) {
		t.Errorf("the secret of another name: %v", err)
	}
}

func TestCallersHaveTheirOwnCopy(t *testing.T) {
	p := newPlane(t)
	var v vault.Vault
	v.Connect(p.source())
	for range 2 {
		got, _, err := v.Get(t.Context(), "a/1/x")
		if err != nil || !bytes.Equal(got, []byte("one")) {
			t.Fatalf("got %q, %v", got, err)
		}
		clear(got)
	}
	var out bytes.Buffer
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "vault", &v)
	fmt.Fprintf(&out, "%v %+v %#v %s", &v, &v, &v, &v)
	for _, secret := range []string{"one", fmt.Sprint([]byte("one")), "0x6f"} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("a vault prints its secrets: %s", &out)
		}
	}
}
