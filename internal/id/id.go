// Package id makes and checks identifiers.
//
// Every identifier of Muster is a UUID in its 36-character hyphenated form.
// New ones are version 7 (RFC 9562): they sort by the time of their making,
// which keeps index inserts at the right edge.
package id

import (
	"crypto/rand"
	"encoding/hex"
	"time"
)

// Organization names a tenant; nothing is visible across organizations.
type Organization string

// Runner names a runner.
type Runner string

// User names a person in one organization.
type User string

// Group names a set of users and service accounts.
type Group string

// ServiceAccount names an account of a program.
type ServiceAccount string

// Token names a bearer token; it is not the token itself and no secret.
type Token string

// New returns a fresh UUIDv7.
func New() string { return at(time.Now()) }

func at(t time.Time) string {
	var u [16]byte
	// crypto/rand.Read never fails: it ends the process when the system has no
	// randomness.
	_, _ = rand.Read(u[6:])
	ms := t.UnixMilli()
	for i := range 6 {
		u[i] = byte(ms >> (40 - 8*i)) //nolint:gosec // the low byte is wanted
	}
	u[6] = u[6]&0x0f | 0x70
	u[8] = u[8]&0x3f | 0x80

	var s [36]byte
	hex.Encode(s[0:8], u[0:4])
	s[8] = '-'
	hex.Encode(s[9:13], u[4:6])
	s[13] = '-'
	hex.Encode(s[14:18], u[6:8])
	s[18] = '-'
	hex.Encode(s[19:23], u[8:10])
	s[23] = '-'
	hex.Encode(s[24:36], u[10:16])
	return string(s[:])
}

// Valid tells whether s is a UUID of any version in hyphenated form. Upper
// case is accepted; see Canonical.
func Valid(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		switch i {
		case 8, 13, 18, 23:
			if s[i] != '-' {
				return false
			}
		default:
			c := s[i]
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
				return false
			}
		}
	}
	return true
}

// Canonical returns the lower-case form under which s is stored. It must be
// applied to every identifier that a client sends.
func Canonical(s string) string {
	for i := range len(s) {
		if c := s[i]; c >= 'A' && c <= 'F' {
			b := []byte(s)
			for j := range b {
				if b[j] >= 'A' && b[j] <= 'F' {
					b[j] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}
