// Package token makes, recognises and checks bearer tokens.
//
// A token is "muster_<kind>_" followed by 32 random bytes and a checksum in
// base 62:
//
//	muster_pat_0Tn4…  a person's API token
//	muster_exchange_… redeemed once, within 24 hours, for a runner token
//	muster_runner_…   a runner's own access token
//	muster_sa_…       a service account's token, as long-lived as its account
//	muster_saaccess_… acts as a service account for half an hour
//
// The prefix lets secret scanners find leaked tokens; the checksum (CRC-32 of
// everything before it) tells a typo from an unknown token without a look-up.
// Only the SHA-256 of a token is stored. The tokens have 256 bits of entropy,
// so a slow password hash would add nothing.
package token

import (
	"crypto/rand"
	"crypto/sha256"
	"hash/crc32"
	"math/big"
	"strings"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/id"
)

// Kind is what a token is for.
type Kind string

// The kinds of stored tokens.
const (
	Personal             Kind = "pat"
	Exchange             Kind = "exchange"
	Runner               Kind = "runner"
	ServiceAccount       Kind = "sa"
	ServiceAccountAccess Kind = "saaccess"
)

// Lifetimes.
const (
	ExchangeLifetime = 24 * time.Hour
	MaxPersonal      = 90 * 24 * time.Hour
	// ServiceAccountAccessLifetime is that of a ServiceAccountAccess token.
	ServiceAccountAccessLifetime = 30 * time.Minute
)

// Record is what is stored of a token.
type Record struct {
	ID           id.Token
	Organization id.Organization
	Kind         Kind
	Hash         []byte
	// Subject is who the token authenticates; for an exchange token, the runner
	// that it admits.
	Subject     access.Subject
	Creator     access.Subject
	Description string
	ReadOnly    bool
	CreatedAt   time.Time
	// ExpiresAt is zero for a token that lives until it is revoked.
	ExpiresAt time.Time
	// LastUsedAt is zero before the first use, and exact to about a minute.
	LastUsedAt time.Time
	// UsedAt is when an exchange token was redeemed; zero before.
	UsedAt time.Time
	// GrantsFor is how long the token lives that an exchange token is redeemed
	// for; 0 for until it is revoked.
	GrantsFor time.Duration
}

// GrantsUntil is when the token ends that an exchange token is redeemed for at a
// time; zero for never.
func (r Record) GrantsUntil(now time.Time) time.Time {
	if r.GrantsFor == 0 {
		return time.Time{}
	}
	return now.Add(r.GrantsFor)
}

// Ended tells whether the token has expired.
func (r Record) Ended(now time.Time) bool { return !r.ExpiresAt.IsZero() && !now.Before(r.ExpiresAt) }

const prefix = "muster_"

const (
	secretLen   = 43 // 62^43 > 2^256
	checksumLen = 6  // 62^6 > 2^32
)

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// New makes a token of the given kind and the hash to store.
func New(k Kind) (secret string, hash []byte) {
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // never fails
	body := prefix + string(k) + "_" + base62(new(big.Int).SetBytes(raw[:]), secretLen)
	secret = body + checksum(body)
	return secret, Hash(secret)
}

// Hash is the form under which a token is stored and looked up.
func Hash(secret string) []byte {
	h := sha256.Sum256([]byte(secret))
	return h[:]
}

// Recognize returns the kind of a token by its form. ok is false when the
// token has our prefix but is not one that New made: it was mistyped or cut
// off. A token without the prefix has no kind and is ok, since an operator may
// have chosen the first one freely.
func Recognize(secret string) (k Kind, ok bool) {
	rest, found := strings.CutPrefix(secret, prefix)
	if !found {
		return "", true
	}
	kind, random, found := strings.Cut(rest, "_")
	if !found || len(random) != secretLen+checksumLen {
		return Kind(kind), false
	}
	switch Kind(kind) {
	case Personal, Exchange, Runner, ServiceAccount, ServiceAccountAccess:
	default:
		return Kind(kind), false
	}
	body := secret[:len(secret)-checksumLen]
	return Kind(kind), checksum(body) == secret[len(body):]
}

func checksum(body string) string {
	return base62(big.NewInt(int64(crc32.ChecksumIEEE([]byte(body)))), checksumLen)
}

func base62(n *big.Int, width int) string {
	out := make([]byte, width)
	base, digit := big.NewInt(int64(len(alphabet))), new(big.Int)
	for i := width - 1; i >= 0; i-- {
		n, digit = new(big.Int).DivMod(n, base, digit)
		out[i] = alphabet[digit.Int64()]
	}
	return string(out)
}
