package agent_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/agent"
	"github.com/musterhq/muster/internal/seal"
)

func request(id uint64, q *linkv1.Request) *linkv1.PlaneFrame {
	q.RequestId = id
	return &linkv1.PlaneFrame{Frame: &linkv1.PlaneFrame_Request{Request: q}}
}

func checkSecrets(id uint64, names ...string) *linkv1.PlaneFrame {
	return request(id, &linkv1.Request{Request: &linkv1.Request_CheckSecrets{CheckSecrets: &linkv1.CheckSecrets{Names: names}}})
}

// deliver answers the next request for a secret, which must be for that one.
func (l *planeLink) deliver(t *testing.T, name string, key []byte, plain string) {
	t.Helper()
	q := expect(t, l, (*linkv1.RunnerFrame).GetSecretRequest)
	if q.GetName() != name {
		t.Fatalf("the runner asks for %s, want %s", q.GetName(), name)
	}
	secret, err := seal.To(key, name, []byte(plain))
	if err != nil {
		t.Fatal(err)
	}
	l.secret(t, &linkv1.SecretReply{RequestId: q.GetRequestId(), Sealed: secret})
}

func (l *planeLink) secret(t *testing.T, reply *linkv1.SecretReply) {
	t.Helper()
	l.send(t, &linkv1.PlaneFrame{Frame: &linkv1.PlaneFrame_SecretReply{SecretReply: reply}})
}

// checked waits for the answer to a check.
func (l *planeLink) checked(t *testing.T, id uint64) []string {
	t.Helper()
	r := expect(t, l, (*linkv1.RunnerFrame).GetReply)
	if r.GetRequestId() != id || r.GetSecretsChecked() == nil {
		t.Fatalf("got %v", r)
	}
	return r.GetSecretsChecked().GetUnreadable()
}

const planted = "planted-vault-secret"

func TestSecretsComeOverTheLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		pr := p.join(t, nil)
		l := p.welcomed(t)
		key := l.hello.GetPublicKey()
		another, _, err := seal.NewKeyPair()
		if err != nil {
			t.Fatal(err)
		}

		l.send(t, checkSecrets(1, "a/1/x"))
		l.deliver(t, "a/1/x", key, planted)
		if got := l.checked(t, 1); len(got) != 0 {
			t.Errorf("unreadable: %v", got)
		}
		// It is kept, until it changes.
		l.send(t, checkSecrets(2, "a/1/x"))
		l.checked(t, 2)
		l.send(t, &linkv1.PlaneFrame{Frame: &linkv1.PlaneFrame_SecretsChanged{SecretsChanged: &linkv1.SecretsChanged{Names: []string{"a/1/"}}}})
		l.send(t, checkSecrets(3, "a/1/x"))
		l.deliver(t, "a/1/x", another[:], planted)
		if got := l.checked(t, 3); !slices.Equal(got, []string{"a/1/x"}) {
			t.Errorf("unreadable: %v", got)
		}

		// Its own change with its configuration.
		own := "runner/" + runnerID + "/metrics.password"
		l.send(t, checkSecrets(6, own))
		l.deliver(t, own, key, planted)
		l.checked(t, 6)
		l.configure(t, &linkv1.Configuration{Revision: 1})
		l.send(t, checkSecrets(7, own))
		l.deliver(t, own, key, planted)
		l.checked(t, 7)

		// What does not come is no secret that cannot be opened.
		l.send(t, checkSecrets(4, "a/2/x"))
		q := expect(t, l, (*linkv1.RunnerFrame).GetSecretRequest)
		l.secret(t, &linkv1.SecretReply{RequestId: 99, Sealed: []byte("x")}) // nobody asked
		l.secret(t, &linkv1.SecretReply{RequestId: q.GetRequestId(), Error: "nothing of that name"})
		if r := expect(t, l, (*linkv1.RunnerFrame).GetReply); r.GetRequestId() != 4 || !strings.Contains(r.GetError(), "nothing of that name") {
			t.Errorf("got %v", r)
		}

		// A new link may have missed changes, so everything is asked for anew.
		l.send(t, checkSecrets(5, "a/1/y"))
		l.deliver(t, "a/1/y", key, planted)
		l.checked(t, 5)
		l.end(t, nil)
		l = p.welcomed(t)
		l.send(t, checkSecrets(1, "a/1/y"))
		l.deliver(t, "a/1/y", key, planted)
		l.checked(t, 1)
		for _, place := range []string{pr.out.String(), pr.logs.String()} {
			if strings.Contains(place, planted) {
				t.Errorf("a secret was printed: %s", place)
			}
		}
	})
}

func TestALinkThatEndsWhileSecretsAreAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		p.join(t, nil)
		l := p.welcomed(t)
		l.send(t, checkSecrets(1, "a/1/x"))
		expect(t, l, (*linkv1.RunnerFrame).GetSecretRequest)
		l.end(t, nil)
		l = p.welcomed(t)
		// The next link has forgotten the request.
		l.send(t, checkSecrets(1))
		l.checked(t, 1)
	})
}

func TestRequestsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		p.join(t, nil)
		l := p.welcomed(t)
		for n := range uint64(16) {
			l.send(t, checkSecrets(n+1, fmt.Sprintf("a/%d/x", n)))
		}
		var waiting []*linkv1.SecretRequest
		for range 16 {
			waiting = append(waiting, expect(t, l, (*linkv1.RunnerFrame).GetSecretRequest))
		}
		refused := func(id uint64, q *linkv1.PlaneFrame, why string) {
			t.Helper()
			l.send(t, q)
			if r := expect(t, l, (*linkv1.RunnerFrame).GetReply); r.GetRequestId() != id || !strings.Contains(r.GetError(), why) {
				t.Errorf("got %v, want %q", r, why)
			}
		}
		refused(17, checkSecrets(17, "b/1/x"), "as much to do")
		refused(18, request(18, &linkv1.Request{Request: &linkv1.Request_RotateToken{RotateToken: &linkv1.RotateToken{}}}), "as much to do")
		l.send(t, request(19, &linkv1.Request{}))
		if f := expect(t, l, (*linkv1.RunnerFrame).GetReply).GetFailure(); f.GetCode() != 12 || !strings.Contains(f.GetMessage(), "does not know") {
			t.Errorf("got %v", f)
		}
		refused(20, checkSecrets(20, make([]string, 1001)...), "too many")
		for _, q := range waiting {
			l.secret(t, &linkv1.SecretReply{RequestId: q.GetRequestId(), Error: "no"})
			expect(t, l, (*linkv1.RunnerFrame).GetReply)
		}
		l.send(t, checkSecrets(21))
		l.checked(t, 21)
	})
}

// Asking too fast is no failure: the secret comes later.
func TestSecretsThatAreAskedForTooFast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		p.join(t, nil)
		l := p.welcomed(t)
		check := checkSecrets(1, "a/1/x")
		check.GetRequest().Patience = durationpb.New(time.Minute)
		l.send(t, check)
		q := expect(t, l, (*linkv1.RunnerFrame).GetSecretRequest)
		for _, c := range []struct{ told, waits time.Duration }{
			{100 * time.Millisecond, 100 * time.Millisecond}, {3 * time.Second, 3 * time.Second}, {time.Hour, 10 * time.Second},
		} {
			begun := time.Now()
			l.secret(t, &linkv1.SecretReply{RequestId: q.GetRequestId(), Error: "too many", RetryAfter: durationpb.New(c.told)})
			q = expect(t, l, (*linkv1.RunnerFrame).GetSecretRequest)
			if waited := time.Since(begun); waited != c.waits || q.GetName() != "a/1/x" {
				t.Errorf("asked again for %s after %s, was told %s", q.GetName(), waited, c.told)
			}
		}
		l.secret(t, &linkv1.SecretReply{RequestId: q.GetRequestId(), Error: "too many", RetryAfter: durationpb.New(time.Nanosecond)})
		l.deliver(t, "a/1/x", l.hello.GetPublicKey(), planted)
		if got := l.checked(t, 1); len(got) != 0 {
			t.Errorf("unreadable: %v", got)
		}
	})
}

func TestAManyOfSecretsIsAskedForAFewAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		p.join(t, func(c *agent.Config) { c.Region = "eu" })
		l := p.welcomed(t)
		names := make([]string, 1000)
		for n := range names {
			names[n] = fmt.Sprintf("a/%d/x", n)
		}
		l.send(t, checkSecrets(1, names...))
		for range names {
			synctest.Wait()
			if n := len(l.in); n > 16 {
				t.Fatalf("%d were asked for at once", n)
			}
			q := expect(t, l, (*linkv1.RunnerFrame).GetSecretRequest)
			secret, err := seal.To(l.hello.GetPublicKey(), q.GetName(), []byte(planted))
			if err != nil {
				t.Fatal(err)
			}
			l.secret(t, &linkv1.SecretReply{RequestId: q.GetRequestId(), Sealed: secret})
		}
		if got := l.checked(t, 1); len(got) != 0 {
			t.Errorf("unreadable: %v", got)
		}
	})
}
