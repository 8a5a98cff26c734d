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
	// UntakenLifetime is that of a runner's access token that nobody connects with.
	UntakenLifetime = 24 * time.Hour
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
	// for, and how long an access token lives that nobody has connected with yet,
	// once somebody has; 0 for until it is revoked.
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

// The description of an access token that nobody has connected with yet begins with
// one of these; the exchange token that it was redeemed for follows, and that one's
// description.
const (
	redeemed = "Redeemed: "
	// stored is for one that the runner says it has stored.
	stored = "Stored: "
)

// Redeemed is the access token that an exchange token is redeemed for. Whoever
// redeemed it may never have got or kept it, so it ends by itself unless the runner
// connects with it within UntakenLifetime.
func Redeemed(exchange Record, hash []byte, now time.Time) Record {
	r := Record{
		ID: id.Token(id.New()), Organization: exchange.Organization, Kind: Runner, Hash: hash, Subject: exchange.Subject, Creator: exchange.Creator,
		Description: redeemed + string(exchange.ID) + " " + exchange.Description, GrantsFor: exchange.GrantsFor, CreatedAt: now, ExpiresAt: now.Add(UntakenLifetime),
	}
	if granted := exchange.GrantsUntil(now); !granted.IsZero() && granted.Before(r.ExpiresAt) {
		r.ExpiresAt = granted
	}
	return r
}

// origin is the exchange token that an access token was redeemed for, and that
// one's description; ok is false once a runner has connected with it.
func (r Record) origin() (exchange id.Token, description string, isStored, ok bool) {
	if r.Kind != Runner {
		return "", "", false, false
	}
	rest, isStored := strings.CutPrefix(r.Description, stored)
	if !isStored {
		if rest, ok = strings.CutPrefix(r.Description, redeemed); !ok {
			return "", "", false, false
		}
	}
	from, description, _ := strings.Cut(rest, " ")
	return id.Token(from), description, isStored, true
}

// Untaken tells whether no runner has connected with the token yet.
func (r Record) Untaken() bool {
	_, _, _, ok := r.origin()
	return ok
}

// RedeemedFor tells whether the token was redeemed for that exchange token, and
// nobody has connected with it yet.
func (r Record) RedeemedFor(exchange id.Token) bool {
	from, _, _, ok := r.origin()
	return ok && from == exchange
}

// Stored is an untaken token once the runner has said that it has stored it.
func (r Record) Stored() Record {
	if rest, ok := strings.CutPrefix(r.Description, redeemed); ok {
		r.Description = stored + rest
	}
	return r
}

// Lost tells of an untaken token with that description whether its runner never said
// that it has stored it.
func (r Record) Lost(description string) bool {
	_, d, isStored, ok := r.origin()
	return ok && !isStored && d == description
}

// Taken is the token once a runner connects with it: it lives for as long as it
// was granted for, unless somebody gave it another end meanwhile.
func (r Record) Taken() Record {
	_, description, _, ok := r.origin()
	if !ok {
		return r
	}
	if r.ExpiresAt.Equal(r.CreatedAt.Add(UntakenLifetime)) {
		r.ExpiresAt = r.GrantsUntil(r.CreatedAt)
	}
	r.Description, r.GrantsFor = description, 0
	return r
}

// ForMember is the description of a personal access token that was made for a
// member, and not with the member's account or by the member.
const ForMember = "Made by an admin (muster member token)"

// Maker is who made a personal access token for a member, and who can have kept
// it: it ends with them. It is zero for other tokens.
func (r Record) Maker() access.Subject {
	if r.Kind != Personal || r.Description != ForMember || r.Creator == r.Subject {
		return access.Subject{}
	}
	return r.Creator
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
