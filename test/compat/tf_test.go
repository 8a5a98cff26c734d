package compat

import (
	"testing"

	"google.golang.org/protobuf/proto"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
)

// The tests in the files named tf_* do to each resource what Terraform does:
// plan, apply, refresh, import, destroy. They make the calls that the provider
// makes, in its order and with its messages; what Terraform itself adds is the
// comparison of what was planned with what comes back.

// tf is one resource of the provider. C is its configuration as a person writes
// it, without what is computed and without secrets, which no read returns.
type tf[C any] struct {
	create func(C) (id string)
	// read returns what the server has now; false when it has nothing.
	read func(id string) (C, bool)
	// update changes the resource in place; nil when each change replaces it.
	update func(id string, from, to C)
	// destroy returns nil, or the error of the server.
	destroy func(id string) *wireError
	// outOfBand removes the resource behind Terraform's back; nil destroys it.
	outOfBand func(id string)
	same      func(a, b C) bool
}

// life takes a resource through everything, from one configuration to the next.
func (r tf[C]) life(t *testing.T, configurations ...C) {
	t.Helper()
	id := r.create(configurations[0])
	r.plan(t, "after creation", id, configurations[0])
	at := configurations[0]
	for i, next := range configurations[1:] {
		if r.update == nil {
			r.destroyed(t, id)
			id = r.create(next)
		} else {
			r.update(id, at, next)
		}
		r.plan(t, "after the change to configuration "+string(rune('1'+i)), id, next)
		at = next
	}
	// An import starts from the id alone; a refresh fills the state.
	r.plan(t, "after an import", id, at)

	if r.outOfBand != nil {
		r.outOfBand(id)
	} else if e := r.destroy(id); e != nil {
		t.Fatalf("deleting behind the back: %+v", e)
	}
	if got, found := r.read(id); found {
		t.Errorf("deleted behind the back, and still there: %+v", got)
	}
	id = r.create(at) // what a refresh and the next apply do
	r.plan(t, "after it was made again", id, at)
	r.destroyed(t, id)
}

// plan is empty when what is there is what is configured.
func (r tf[C]) plan(t *testing.T, when, id string, want C) {
	t.Helper()
	got, found := r.read(id)
	if !found || !r.same(got, want) {
		t.Errorf("%s the plan is not empty: found %v\n got %+v\nwant %+v", when, found, got, want)
	}
}

// destroyed deletes, and expects the second deletion to find nothing, which the
// provider takes for success.
func (r tf[C]) destroyed(t *testing.T, id string) {
	t.Helper()
	if e := r.destroy(id); e != nil {
		t.Errorf("destroy: %+v", e)
	}
	if got, found := r.read(id); found {
		t.Errorf("destroyed, and still there: %+v", got)
	}
	if e := r.destroy(id); e != nil && e.Code != "not_found" {
		t.Errorf("destroyed again: %+v", e)
	}
}

func equal[C comparable](a, b C) bool { return a == b }

// reads makes a call that may find nothing.
func (w *wire) reads(t *testing.T, procedure string, in, out proto.Message) bool {
	t.Helper()
	e := w.call(t, procedure, in, out)
	if e != nil && e.Code != "not_found" {
		t.Fatalf("%s: %+v", procedure, e)
	}
	return e == nil
}

// discard takes a reply that nobody looks at.
func (w *wire) discard(t *testing.T, procedure string, in proto.Message) *wireError {
	t.Helper()
	return w.call(t, procedure, in, &gitpodv1.DeleteRunnerResponse{})
}

// tfRunner makes a runner; connected runs it until the test ends, and returns
// when it has its key.
func (s *server) tfRunner(t *testing.T, w *wire, name string, isConnected bool) string {
	t.Helper()
	var made gitpodv1.CreateRunnerResponse
	w.must(t, createRunner, &gitpodv1.CreateRunnerRequest{
		Name: name, Provider: gitpodv1.RunnerProvider_RUNNER_PROVIDER_AWS_EC2, Spec: &gitpodv1.RunnerSpec{Configuration: frankfurt()},
	}, &made)
	if isConnected {
		s.join(t, t.TempDir(), made.GetExchangeToken()).await(t, connected)
	}
	return made.GetRunner().GetRunnerId()
}

func (w *wire) organization(t *testing.T) string {
	t.Helper()
	var me gitpodv1.GetAuthenticatedIdentityResponse
	w.must(t, "gitpod.v1.IdentityService/GetAuthenticatedIdentity", &gitpodv1.GetAuthenticatedIdentityRequest{}, &me)
	if me.GetOrganizationId() == "" {
		t.Fatal("the identity has no organization")
	}
	return me.GetOrganizationId()
}
