package agent_test

import (
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"connectrpc.com/connect"

	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/agent"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/seal"
)

// joined is a runner that has connected once, and is stopped. The plane welcomes
// it with its key in use.
func joined(t *testing.T, p *plane) (dir string, hello *linkv1.Hello) {
	t.Helper()
	pr := p.join(t, nil)
	l := p.welcomed(t)
	synctest.Wait()
	if err := pr.stop(nil); err != nil {
		t.Fatal(err)
	}
	return pr.dir, l.hello
}

// inUse welcomes a runner with the key that the control plane has in use.
func inUse(key []byte) func(*linkv1.Welcome) {
	return func(w *linkv1.Welcome) { w.PublicKey = key }
}

func rotateKey(dir string) func(*agent.Config) {
	return func(c *agent.Config) { c.DataDir, c.RotateKey, c.ExchangeToken = dir, true, "" }
}

func sameDir(dir string) func(*agent.Config) {
	return func(c *agent.Config) { c.DataDir, c.ExchangeToken = dir, "" }
}

// endorsedBy fails unless a Hello shows a new key that the older one has signed.
func endorsedBy(t *testing.T, hello, older *linkv1.Hello) {
	t.Helper()
	if string(hello.GetPublicKey()) == string(older.GetPublicKey()) ||
		!seal.Endorsed(older.GetSigningKey(), runnerID, hello.GetPublicKey(), hello.GetSigningKey(), hello.GetEndorsement()) {
		t.Fatalf("the key %x is not a new one that the old one has signed", hello.GetPublicKey())
	}
}

func TestTheSigningKeyIsAlwaysShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		dir, hello := joined(t, p)
		if len(hello.GetSigningKey()) != ed25519.PublicKeySize || len(hello.GetEndorsement()) != 0 {
			t.Errorf("got %v", hello)
		}
		p.join(t, sameDir(dir))
		if l := p.accept(t); string(l.hello.GetSigningKey()) != string(hello.GetSigningKey()) {
			t.Error("the signing key changes although the key does not")
		}
	})
}

func TestKeyRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		dir, old := joined(t, p)
		before := readIdentity(t, dir)

		pr := p.join(t, rotateKey(dir))
		l := p.accept(t)
		endorsedBy(t, l.hello, old)
		if id := readIdentity(t, dir); string(id.PrivateKey) != string(before.PrivateKey) || id.Next == nil {
			t.Error("the old key is gone before the control plane has taken the new one")
		}
		// The Welcome is lost, and the process dies. The next start goes on with the
		// same key, also without the flag.
		next := l.hello.GetPublicKey()
		l.end(t, nil)
		if err := pr.stop(nil); err != nil {
			t.Fatal(err)
		}
		pr = p.join(t, sameDir(dir))
		l = p.accept(t)
		endorsedBy(t, l.hello, old)
		if string(l.hello.GetPublicKey()) != string(next) {
			t.Error("a second new key was made")
		}
		l.welcome(t, inUse(next))
		// The new key opens, and nothing is left of the old one.
		l.send(t, checkSecrets(1, "a/1/x"))
		l.deliver(t, "a/1/x", next, planted)
		if got := l.checked(t, 1); len(got) != 0 {
			t.Errorf("unreadable: %v", got)
		}
		id := readIdentity(t, dir)
		if string(id.PublicKey) != string(next) || id.Next != nil || string(id.PrivateKey) == string(before.PrivateKey) || id.AccessToken != before.AccessToken {
			t.Errorf("the identity is %+v", id)
		}
		pr.out.has(t, "must be set again", seal.Fingerprint(next), "muster runner keys "+runnerID)

		l.end(t, nil)
		if l := p.accept(t); string(l.hello.GetPublicKey()) != string(next) || len(l.hello.GetEndorsement()) != 0 {
			t.Errorf("the next hello: %v", l.hello)
		}
	})
}

func TestAKeyThatIsNotTakenIsGivenUp(t *testing.T) {
	for name, answer := range map[string]func(t *testing.T, l *planeLink, old []byte){
		"another key is in use": func(t *testing.T, l *planeLink, old []byte) { l.welcome(t, inUse(old)); l.ended(t) },
		"an older control plane": func(t *testing.T, l *planeLink, _ []byte) {
			l.welcome(t, nil)
			l.ended(t)
		},
		"a refusal": func(t *testing.T, l *planeLink, _ []byte) {
			l.end(t, connect.NewError(connect.CodeFailedPrecondition, errors.New("too many keys")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := inMemory(t)
				dir, old := joined(t, p)
				pr := p.join(t, rotateKey(dir))
				l := p.accept(t)
				endorsedBy(t, l.hello, old)
				answer(t, l, old.GetPublicKey())
				l = p.accept(t)
				if string(l.hello.GetPublicKey()) != string(old.GetPublicKey()) || len(l.hello.GetEndorsement()) != 0 {
					t.Errorf("it came back with %v", l.hello)
				}
				l.welcome(t, inUse(old.GetPublicKey()))
				synctest.Wait()
				if id := readIdentity(t, dir); id.Next != nil || string(id.PublicKey) != string(old.GetPublicKey()) {
					t.Errorf("the identity is %+v", id)
				}
				pr.out.has(t, "did not take the new key", "The old one stays in use")
			})
		})
	}
}

func TestAKeyThatWasNeverUsedIsNotRotated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		pr := p.join(t, func(c *agent.Config) { c.RotateKey = true })
		if l := p.welcomed(t); len(l.hello.GetEndorsement()) != 0 {
			t.Errorf("got %v", l.hello)
		}
		pr.out.has(t, "it is not rotated")
	})
}

// challenge sends a nonce that is sealed to a key, and returns the nonce.
func (l *planeLink) challenge(t *testing.T, key []byte) []byte {
	t.Helper()
	nonce, sealed, err := seal.Challenge(key)
	if err != nil {
		t.Fatal(err)
	}
	l.send(t, &linkv1.PlaneFrame{Frame: &linkv1.PlaneFrame_KeyChallenge{KeyChallenge: &linkv1.KeyChallenge{SealedNonce: sealed}}})
	return nonce
}

// proves fails unless the runner proves that it holds the key that it showed.
func (l *planeLink) proves(t *testing.T) {
	t.Helper()
	nonce := l.challenge(t, l.hello.GetPublicKey())
	proof := expect(t, l, (*linkv1.RunnerFrame).GetKeyProof)
	if !seal.Proven(nonce, l.hello.GetPublicKey(), l.hello.GetSigningKey(), proof.GetProof()) {
		t.Errorf("got the proof %x", proof.GetProof())
	}
}

func TestTheKeyIsProven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		pr := p.join(t, nil)
		l := p.accept(t)
		l.proves(t)
		l.welcome(t, nil)
		synctest.Wait()
		if err := pr.stop(nil); err != nil {
			t.Fatal(err)
		}
		// The next one is proven with its own private key.
		p.join(t, rotateKey(pr.dir))
		next := p.accept(t)
		endorsedBy(t, next.hello, l.hello)
		next.proves(t)
		next.welcome(t, inUse(next.hello.GetPublicKey()))
		// Once, and before the welcome; and for the key that was shown.
		next.challenge(t, next.hello.GetPublicKey())
		next.ended(t)
		l = p.accept(t)
		l.proves(t)
		l.challenge(t, l.hello.GetPublicKey())
		l.ended(t)
		l = p.accept(t)
		l.challenge(t, make([]byte, 32))
		l.ended(t)
	})
}

func TestAKeyThatWaitsForApprovalIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		pr := p.join(t, nil)
		l := p.accept(t)
		l.welcome(t, inUse(make([]byte, 32)))
		synctest.Wait()
		pr.out.has(t, "waits for approval; its fingerprint is "+seal.Fingerprint(l.hello.GetPublicKey()))
	})
}

// rotateToken asks a runner to take a new token. The exchange token for it,
// "second", is sealed to a key.
func rotateToken(t *testing.T, id uint64, key []byte) *linkv1.PlaneFrame {
	t.Helper()
	sealed, err := seal.To(key, "runner/"+runnerID+"/rotation", []byte("second"))
	if err != nil {
		t.Fatal(err)
	}
	return request(id, &linkv1.Request{Request: &linkv1.Request_RotateToken{RotateToken: &linkv1.RotateToken{SealedExchangeToken: sealed}}})
}

func TestTokenRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		pr := p.join(t, nil)
		l := p.welcomed(t)
		var redeemed string
		p.redeem = func(token string) (string, error) { redeemed = token; return "planted-new-token", nil }
		l.send(t, rotateToken(t, 4, l.hello.GetPublicKey()))
		if r := expect(t, l, (*linkv1.RunnerFrame).GetReply); r.GetRequestId() != 4 || r.GetTokenRotated() == nil || redeemed != "second" {
			t.Fatalf("got %v after redeeming %q", r, redeemed)
		}
		if id := readIdentity(t, pr.dir); id.AccessToken != "planted-new-token" {
			t.Errorf("the identity has the token %q", id.AccessToken)
		}
		l.ended(t)
		if l = p.welcomed(t); l.authorization != "Bearer planted-new-token" {
			t.Errorf("the next link comes with %q", l.authorization)
		}
		pr.out.has(t, "took a new access token")

		// It works again and again.
		p.redeem = func(string) (string, error) { return "planted-newest-token", nil }
		l.send(t, rotateToken(t, 1, l.hello.GetPublicKey()))
		expect(t, l, (*linkv1.RunnerFrame).GetReply)
		if l = p.welcomed(t); l.authorization != "Bearer planted-newest-token" {
			t.Errorf("the next link comes with %q", l.authorization)
		}
	})
}

func TestATokenThatIsNotTakenChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		pr := p.join(t, nil)
		l := p.welcomed(t)
		p.redeem = func(string) (string, error) {
			return "", connect.NewError(connect.CodeUnauthenticated, errors.New("used up"))
		}
		l.send(t, rotateToken(t, 1, l.hello.GetPublicKey()))
		if r := expect(t, l, (*linkv1.RunnerFrame).GetReply); r.GetRequestId() != 1 || r.GetError() != "the exchange token could not be redeemed: used up" {
			t.Errorf("got %v", r)
		}
		l.send(t, rotateToken(t, 3, make([]byte, 32)))
		if r := expect(t, l, (*linkv1.RunnerFrame).GetReply); r.GetRequestId() != 3 || !strings.Contains(r.GetError(), "sealed to another key") {
			t.Errorf("got %v", r)
		}
		p.redeem = func(string) (string, error) { return "lost", nil }
		breakIdentity(t, pr.dir)
		l.send(t, rotateToken(t, 2, l.hello.GetPublicKey()))
		if r := expect(t, l, (*linkv1.RunnerFrame).GetReply); r.GetRequestId() != 2 || r.GetTokenRotated() != nil || r.GetError() == "" {
			t.Errorf("got %v", r)
		}
		repairIdentity(t, pr.dir)
		l.end(t, nil)
		if l = p.welcomed(t); l.authorization != "Bearer "+access {
			t.Errorf("the next link comes with %q", l.authorization)
		}
	})
}

func TestTwoRotationsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		pr := p.join(t, nil)
		l := p.welcomed(t)
		goOn := make(chan struct{})
		p.redeem = func(string) (string, error) { <-goOn; return "new", nil }
		l.send(t, rotateToken(t, 1, l.hello.GetPublicKey()))
		l.send(t, rotateToken(t, 2, l.hello.GetPublicKey()))
		if r := expect(t, l, (*linkv1.RunnerFrame).GetReply); r.GetRequestId() != 2 || r.GetError() != "this runner is taking a new token already" {
			t.Errorf("got %v", r)
		}
		// The process dies before it has stored the token: the old one stays.
		if err := pr.stop(nil); err != nil && !fault.Is(err, fault.Canceled) {
			t.Error(err)
		}
		close(goOn)
		if id := readIdentity(t, pr.dir); id.AccessToken != access {
			t.Errorf("the identity has the token %q", id.AccessToken)
		}
	})
}

// The token of a rotation that has come to nothing on the other side is no end:
// the one before is kept until the new one was welcomed.
func TestARefusedTokenIsNoEndAfterARotation(t *testing.T) {
	refusal := connect.NewError(connect.CodeUnauthenticated, errors.New("the token is not known here"))
	for name, between := range map[string]func(t *testing.T, p *plane, pr *process) *process{
		"in the same process": func(_ *testing.T, _ *plane, pr *process) *process { return pr },
		"after a restart": func(t *testing.T, p *plane, pr *process) *process {
			p.accept(t).end(t, connect.NewError(connect.CodeUnavailable, errors.New("away")))
			if err := pr.stop(nil); err != nil {
				t.Fatal(err)
			}
			return p.join(t, sameDir(pr.dir))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := inMemory(t)
				pr := p.join(t, nil)
				l := p.welcomed(t)
				p.redeem = func(string) (string, error) { return "planted-new-token", nil }
				l.send(t, rotateToken(t, 1, l.hello.GetPublicKey()))
				expect(t, l, (*linkv1.RunnerFrame).GetReply)
				pr = between(t, p, pr)
				l = p.accept(t)
				if l.authorization != "Bearer planted-new-token" {
					t.Errorf("it comes with %q", l.authorization)
				}
				l.end(t, refusal)
				l = p.accept(t)
				if l.authorization != "Bearer "+access {
					t.Errorf("it comes back with %q", l.authorization)
				}
				// Who knows neither is believed, and nothing is forgotten.
				l.end(t, refusal)
				if err := pr.wait(); !fault.Is(err, fault.Unauthenticated) {
					t.Errorf("Run returned %v", err)
				}
				pr = p.join(t, sameDir(pr.dir))
				p.accept(t).end(t, refusal)
				l = p.welcomed(t)
				if l.authorization != "Bearer "+access {
					t.Errorf("the next process comes with %q", l.authorization)
				}
				synctest.Wait()
				if id := readIdentity(t, pr.dir); id.AccessToken != access {
					t.Errorf("the identity has the token %q", id.AccessToken)
				}
				l.end(t, refusal)
				if err := pr.wait(); !fault.Is(err, fault.Unauthenticated) {
					t.Errorf("Run returned %v", err)
				}
			})
		})
	}
}
