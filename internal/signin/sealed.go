package signin

import (
	"encoding/base64"
	"encoding/json"
	"time"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
)

// What links and states are encrypted for, so that one is never taken for the
// other.
const (
	linkPurpose  = "oauth/link"
	statePurpose = "oauth/state"
)

// maxSealed bounds what comes in as a link or a state, in bytes.
const maxSealed = 4 << 10

// grant is what a link says.
type grant struct {
	Organization id.Organization `json:"o"`
	Subject      string          `json:"s"`
	Runner       id.Runner       `json:"r"`
	Integration  string          `json:"i"`
	// Until is when it ends, in Unix seconds.
	Until int64 `json:"u"`
}

func (g *grant) ended() bool { return time.Now().Unix() >= g.Until }

// pending is what a state says: a grant that a browser is making use of.
type pending struct {
	grant
	// Browser is the SHA-256 of the browser's cookie.
	Browser []byte `json:"b"`
	// Client and Issuer are the application that the host was asked for: the code
	// belongs to it, and to nothing that an integration became later.
	Client string `json:"c"`
	Issuer string `json:"is,omitempty"`
}

// seal encrypts a grant or a pending for URLs.
func (s *Service) seal(purpose string, v any) string {
	plain, _ := json.Marshal(v) // strings and numbers always have a form
	return base64.RawURLEncoding.EncodeToString(s.Key.Wrap(purpose, plain))
}

// open decrypts what seal made; false for anything else.
func (s *Service) open(purpose, text string, v any) bool {
	if len(text) > maxSealed {
		return false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return false
	}
	plain, err := s.Key.Unwrap(raw, purpose)
	return err == nil && json.Unmarshal(plain, v) == nil
}

// openLink returns what a link says. One that has ended is not told from one that
// never was: whoever holds it learns nothing.
func (s *Service) openLink(link string) (grant, error) {
	var g grant
	if !s.open(linkPurpose, link, &g) || g.ended() {
		return grant{}, failed(fault.InvalidArgument, "This link to sign in is not complete, or older than ten minutes. Get a new one where you got it: \"muster host login\" prints one.")
	}
	return g, nil
}

// failed is the fault of a sign-in that cannot go on.
func failed(code fault.Code, format string, args ...any) error {
	return fault.New(code, fault.SignInFailed, format, args...)
}
