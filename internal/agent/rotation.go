package agent

import (
	"bytes"
	"errors"

	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/seal"
)

// rotateKey makes the key pair that is to take the place of the one in use. Both
// are on disk before the control plane hears of the new one, so that a crash at
// any time leaves a key that the control plane knows.
func (r *runner) rotateKey() error {
	if r.identity.RunnerID == "" {
		r.say("this runner has not connected yet, so its key is new; it is not rotated")
		return nil
	}
	next, err := r.identity.WithNext()
	if err != nil {
		return fault.Wrap(err, "making a key pair")
	}
	if err := r.home.Save(next); err != nil {
		return err
	}
	r.identity = next
	r.say("replacing the key %s by %s", seal.Fingerprint(r.identity.PublicKey), seal.Fingerprint(r.identity.Next.PublicKey))
	return nil
}

// settleKey compares the keys of this runner with the one that the control plane
// has in use, which it told with its welcome.
func (l *link) settleKey(inUse []byte) *ending {
	r := l.r
	if next := r.identity.Next; next != nil {
		if !bytes.Equal(inUse, next.PublicKey) {
			r.keepKey("it was not taken at once")
			return &ending{why: lost, err: errors.New("the control plane did not take the new key")}
		}
		r.identity, r.unsaved = r.identity.Promoted(), true
		r.log.Info("the key was replaced", "fingerprint", seal.Fingerprint(inUse))
		r.say("the new key %s is in use. What is sealed to the old one must be set again: 'muster runner keys %s' lists it", seal.Fingerprint(inUse), r.identity.RunnerID)
		return nil
	}
	if len(inUse) > 0 && !bytes.Equal(inUse, r.identity.PublicKey) {
		r.log.Warn("the key of this runner waits for approval", "fingerprint", seal.Fingerprint(r.identity.PublicKey))
		r.say("the key of this runner waits for approval; its fingerprint is %s", seal.Fingerprint(r.identity.PublicKey))
	}
	return nil
}

// keepKey gives a rotation up: the key in use stays.
func (r *runner) keepKey(why string) {
	r.identity.Next = nil
	r.log.Warn("the control plane did not take the new key; the old one stays", "why", why)
	r.say("the control plane did not take the new key: %s. The old one stays in use", why)
	if err := r.home.Save(r.identity); err != nil {
		// The next start tries the new key once more.
		r.log.Error("that the old key stays could not be stored", "error", err)
	}
}

// rotate takes a new access token. It is stored before the control plane hears
// that it is; a crash before that leaves the old one, which still works. The old
// one stays next to it until the control plane has welcomed the new one: it may
// have come to nothing on the other side, or ended while nobody answered.
func (l *link) rotate(t rotated) *ending {
	l.requests.rotating = false
	if t.err != nil {
		return l.put(replied(&linkv1.Reply{RequestId: t.request, Error: printable("the exchange token could not be redeemed: "+describe(t.err), maxMessage)}))
	}
	identity := l.r.identity.Rotated(t.token)
	if err := l.r.home.Save(identity); err != nil {
		return l.put(replied(&linkv1.Reply{RequestId: t.request, Error: printable("the new token could not be stored: "+fault.From(err).Message, maxMessage)}))
	}
	l.r.identity = identity
	l.r.say("took a new access token")
	l.lastWord(replied(&linkv1.Reply{RequestId: t.request, Reply: &linkv1.Reply_TokenRotated{TokenRotated: &linkv1.TokenRotated{}}}))
	return &ending{why: rotatedToken}
}

// settleToken forgets the other one of two access tokens: the control plane has
// welcomed this one.
func (r *runner) settleToken() {
	if r.identity.PreviousToken != "" {
		r.identity.PreviousToken, r.unsaved = "", true
	}
	r.swapped = false
}

// tryOtherToken makes the runner connect with the other one of the two tokens that
// a rotation left it with; false means that there is none that was not refused.
func (r *runner) tryOtherToken(refusal error) bool {
	if r.identity.PreviousToken == "" {
		return false
	}
	// Both stay on disk until one is welcomed: who refused them may be the wrong one.
	r.identity = r.identity.Swapped()
	if r.swapped = !r.swapped; r.swapped {
		r.log.Warn("the control plane does not accept the access token of the last rotation; going back to the one before", "error", refusal)
	}
	return r.swapped
}
