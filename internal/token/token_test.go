package token_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/musterhq/muster/internal/token"
)

func TestNew(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range []token.Kind{token.Personal, token.Exchange, token.Runner} {
		for range 200 {
			secret, hash := token.New(k)
			if seen[secret] {
				t.Fatal("a token was made twice")
			}
			seen[secret] = true
			if got, ok := token.Recognize(secret); got != k || !ok {
				t.Fatalf("Recognize(%s) = %q, %v", secret, got, ok)
			}
			if !bytes.Equal(hash, token.Hash(secret)) || bytes.Contains(hash, []byte(secret[12:20])) {
				t.Fatal("the hash is not that of the token")
			}
		}
	}
}

func TestTyposAreCaught(t *testing.T) {
	secret, _ := token.New(token.Personal)
	swapped := []byte(secret)
	for i := len("muster_pat_"); i < len(secret); i++ {
		for _, c := range []byte("0Az") {
			if secret[i] == c {
				continue
			}
			typo := []byte(secret)
			typo[i] = c
			if _, ok := token.Recognize(string(typo)); ok {
				t.Fatalf("the typo %s passes for %s", typo, secret)
			}
		}
		if i+1 < len(secret) && secret[i] != secret[i+1] {
			copy(swapped, secret)
			swapped[i], swapped[i+1] = swapped[i+1], swapped[i]
			if _, ok := token.Recognize(string(swapped)); ok {
				t.Fatalf("the swap %s passes for %s", swapped, secret)
			}
		}
	}
	for _, bad := range []string{secret[:len(secret)-1], secret + "x", "muster_pat_", "muster_", strings.Replace(secret, "pat", "exchange", 1), strings.Replace(secret, "pat", "admin", 1)} {
		if _, ok := token.Recognize(bad); ok {
			t.Errorf("%q is recognised", bad)
		}
	}
}

func TestForeignTokensAreLeftAlone(t *testing.T) {
	if k, ok := token.Recognize("an operator's own first token, of any form"); k != "" || !ok {
		t.Errorf("Recognize = %q, %v", k, ok)
	}
}

func FuzzRecognize(f *testing.F) {
	secret, _ := token.New(token.Exchange)
	f.Add(secret)
	f.Add("muster_pat_")
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		k, ok := token.Recognize(s)
		if ok && k != "" && !strings.HasPrefix(s, "muster_"+string(k)+"_") {
			t.Fatalf("%q is recognised as %q", s, k)
		}
	})
}
