// Package chain is the arithmetic of the audit log: how each entry is bound to
// the one before it, how a checkpoint is signed, how an export looks, and how
// all of that is verified.
//
// It is pure, so that the control plane and whoever verifies its exports share
// it: it needs the standard library alone and knows no database, no network and
// no clock. What it computes is written down byte by byte in docs/audit.md and
// held to it by test vectors: changing any of it makes old exports unreadable.
package chain

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// The first field of everything that is hashed or signed says what it is, so
// that one kind can never pass for another.
const (
	entryDomain      = "muster audit entry v1"
	checkpointDomain = "muster audit checkpoint v1"
)

// Hash is a SHA-256.
type Hash [sha256.Size]byte

// Origin is what stands for the hash of the entry before the first.
var Origin Hash

// MarshalText writes lower-case hexadecimal digits.
func (h Hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText reads 64 hexadecimal digits.
func (h *Hash) UnmarshalText(text []byte) error {
	if len(text) != 2*len(h) {
		return fmt.Errorf("a hash has %d hexadecimal digits, this one %d", 2*len(h), len(text))
	}
	_, err := hex.Decode(h[:], text)
	return err
}

// Hex is bytes that are written as lower-case hexadecimal digits.
type Hex []byte

// MarshalText writes lower-case hexadecimal digits.
func (b Hex) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, b), nil }

// UnmarshalText reads hexadecimal digits.
func (b *Hex) UnmarshalText(text []byte) (err error) {
	*b, err = hex.AppendDecode(nil, text)
	return err
}

// Entry is one line of the audit log in its place. The numbers are those of the
// wire's enumerations.
type Entry struct {
	// Sequence counts up from 1 in each organization.
	Sequence int64 `json:"sequence"`
	// Hash binds the entry to all before it; see HashAfter.
	Hash           Hash   `json:"hash"`
	ID             string `json:"id"`
	ActorPrincipal int32  `json:"actor_principal"`
	ActorID        string `json:"actor_id"`
	SubjectType    int32  `json:"subject_type"`
	SubjectID      string `json:"subject_id"`
	Action         string `json:"action"`
	Kind           int32  `json:"kind"`
	RequestID      string `json:"request_id"`
	// CreatedAt is in microseconds since 1970.
	CreatedAt int64 `json:"created_at_micros"`
}

// HashAfter is the hash that the entry has behind an entry with the hash
// previous. It depends on every field but Hash.
func (e *Entry) HashAfter(previous Hash, organization string) Hash {
	m := message(nil).text(entryDomain).bytes(previous[:]).text(organization).
		number(e.Sequence).text(e.ID).
		number(int64(e.ActorPrincipal)).text(e.ActorID).
		number(int64(e.SubjectType)).text(e.SubjectID).
		text(e.Action).number(int64(e.Kind)).text(e.RequestID).number(e.CreatedAt)
	return sha256.Sum256(m)
}

// Place puts entries in their order behind an entry: it sets their sequence
// numbers and hashes, and returns those of the last.
func Place(entries []Entry, sequence int64, previous Hash, organization string) (int64, Hash) {
	for i := range entries {
		e := &entries[i]
		sequence++
		e.Sequence = sequence
		e.Hash = e.HashAfter(previous, organization)
		previous = e.Hash
	}
	return sequence, previous
}

// message is fields, each with its length before it: no two lists of fields
// have the same message.
type message []byte

func (m message) bytes(b []byte) message {
	m = binary.BigEndian.AppendUint32(m, uint32(len(b))) //nolint:gosec // fields are ids and names
	return append(m, b...)
}

func (m message) text(s string) message { return m.bytes([]byte(s)) }

func (m message) number(n int64) message {
	return m.bytes(binary.BigEndian.AppendUint64(nil, uint64(n))) //nolint:gosec // two's complement is meant
}
