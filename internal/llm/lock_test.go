package llm_test

import (
	"context"
	"testing"

	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/llm"
	"github.com/musterhq/muster/internal/seal"
)

// approving is a store on which another key of the runner is approved right
// before a transaction gets to lock the runner.
type approving struct {
	llm.Store
	key []byte
}

func (a approving) Write(ctx context.Context, fn func(llm.Tx) error) error {
	return a.Store.Write(ctx, func(tx llm.Tx) error { return fn(approvingTx{tx, a.key}) })
}

type approvingTx struct {
	llm.Tx
	key []byte
}

func (a approvingTx) LockRunner(ctx context.Context, want id.Runner) error {
	if err := a.Tx.LockRunner(ctx, want); err != nil {
		return err
	}
	tx := a.Tx.(fleet.Tx)
	r, _, err := tx.Runner(ctx, want)
	if err != nil {
		return err
	}
	r.PublicKey = a.key
	_, err = tx.UpdateRunner(ctx, r)
	return err
}

// What is sealed while a key is approved is sealed to that one.
func TestSecretsAreSealedToTheKeyInUse(t *testing.T) {
	f := setup(t)
	made := f.create(llm.NewIntegration{APIKey: "sk-1"})
	public, private, err := seal.NewKeyPair()
	f.must(err)
	racing := llm.New(approving{f.store.LLM(), public[:]}, f)
	f.must(racing.Update(t.Context(), f.admin, made, llm.Change{
		APIKey: ptr("sk-2"), Headers: []llm.NewHeader{{Name: "X-Org", Value: []byte("v")}},
	}))
	i := f.get(made)
	if !i.APIKey.SealedTo(public[:]) || !i.Headers[0].Value.SealedTo(public[:]) {
		t.Fatal("a new secret is sealed to the key that is no longer in use")
	}
	f.runner.PublicKey, f.private = public[:], private
	if got := f.open(i.APIKey, "llm_integration/"+made+"/api_key"); got != "sk-2" {
		t.Errorf("the runner opens %q", got)
	}
	if phase, _ := i.Phase(); phase != llm.PhaseAvailable {
		t.Errorf("the integration is in phase %d", phase)
	}
}
