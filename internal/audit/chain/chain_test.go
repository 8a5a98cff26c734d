package chain_test

import (
	"crypto/ed25519"
	"encoding/hex"
	"testing"

	"github.com/musterhq/muster/internal/audit/chain"
)

const organization = "01980000-0000-7000-8000-0000000000ff"

// vector is the test vector of docs/audit.md. Other implementations rest on it:
// it never changes.
func vector() []chain.Entry {
	return []chain.Entry{
		{
			ID: "01980000-0000-7000-8000-000000000001", SubjectType: 7, SubjectID: organization,
			Action: "organization.create", Kind: 3, CreatedAt: 1767268800000000,
		},
		{
			ID: "01980000-0000-7000-8000-000000000002", ActorPrincipal: 2, ActorID: "01980000-0000-7000-8000-00000000000a",
			SubjectType: 2, SubjectID: "01980000-0000-7000-8000-00000000000b", Action: "runner.create", Kind: 3,
			RequestID: "01980000-0000-7000-8000-00000000000c", CreatedAt: 1767268800123456,
		},
	}
}

// seed is the private key of the test vector.
var seed = ed25519.NewKeyFromSeed([]byte("the seed of the test vector, 32."))

func TestTheVectorOfTheDocumentation(t *testing.T) {
	entries := vector()
	sequence, last := chain.Place(entries, 0, chain.Origin, organization)
	c := chain.Checkpoint{Sequence: sequence, Hash: last, SignedAt: 1767268801000000}
	for what, got := range map[string]struct{ got, want string }{
		"the hash of entry 1":       {hex.EncodeToString(entries[0].Hash[:]), "152ff631d0b152cfb525121bbe061f206c94915e98ac0a1ba2c249653b423bbe"},
		"the hash of entry 2":       {hex.EncodeToString(last[:]), "84719ac5957a23aa201c329cd5b7f51ea11a565210e309a0604796b730a3414d"},
		"the public key":            {hex.EncodeToString(seed.Public().(ed25519.PublicKey)), "5637ee6bd88f706c376a5ca237f1195b4f4830dcf42af12514fef71a2d517221"},
		"what the checkpoint signs": {hex.EncodeToString(c.Message(organization)), "0000001a6d757374657220617564697420636865636b706f696e742076310000002430313938303030302d303030302d373030302d383030302d3030303030303030303066660000000800000000000000020000002084719ac5957a23aa201c329cd5b7f51ea11a565210e309a0604796b730a3414d0000000800000000000000000000000800064752551b3240"},
		"the signature":             {hex.EncodeToString(ed25519.Sign(seed, c.Message(organization))), "2aae46a9155ba07c5f8f764367b8e42b5a0387ffcd7eb890a6e6df2b8bb18aad9bfb0389503d84320db2f5b6e05eac3b0db77040f4ad7ca1c84fed4e465d0d02"},
	} {
		if got.got != got.want {
			t.Errorf("%s is %s, want %s", what, got.got, got.want)
		}
	}
}

// Fields that are put together in another way are another message.
func TestFieldsDoNotRunIntoEachOther(t *testing.T) {
	a := chain.Entry{Sequence: 1, ActorID: "ab", SubjectID: "c"}
	b := chain.Entry{Sequence: 1, ActorID: "a", SubjectID: "bc"}
	if a.HashAfter(chain.Origin, organization) == b.HashAfter(chain.Origin, organization) {
		t.Error("two entries have one hash")
	}
}
