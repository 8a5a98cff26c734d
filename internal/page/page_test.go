package page_test

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/page"
)

type row struct{ key, id string }

// list pages through all rows as a store would: those after the cursor, one
// more than the limit.
func list(t rapid.TB, all []row, r page.Request, binding string) ([]row, string) {
	q, err := page.Parse(r, binding)
	if err != nil {
		t.Fatalf("Parse(%+v): %v", r, err)
	}
	var found []row
	for _, x := range all {
		if q.After != nil && (x.key < q.After.Key || x.key == q.After.Key && x.id <= q.After.ID) {
			continue
		}
		if found = append(found, x); len(found) > q.Limit {
			break
		}
	}
	rows, next := page.Cut(q, found, func(x row) page.Cursor { return page.Cursor{Key: x.key, ID: x.id} })
	return rows, next
}

func TestPagesConcatenateToTheList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 120).Draw(t, "rows")
		var all []row
		for i := range n {
			all = append(all, row{fmt.Sprintf("k%03d", i/3), fmt.Sprintf("id%03d", i)})
		}
		var got []row
		token := ""
		for {
			// The size may change from page to page.
			rows, next := list(t, all, page.Request{Size: rapid.Int32Range(0, page.MaxSize).Draw(t, "size"), Token: token}, "b")
			got = append(got, rows...)
			if next == "" {
				break
			}
			if len(rows) == 0 {
				t.Fatal("an empty page has a next token")
			}
			if url.QueryEscape(next) != next {
				t.Fatalf("the token %q is not URL-safe", next)
			}
			token = next
		}
		if fmt.Sprint(got) != fmt.Sprint(all) {
			t.Fatalf("got %v, want %v", got, all)
		}
	})
}

func TestTokensAreRefused(t *testing.T) {
	all := []row{{"a", "1"}, {"b", "2"}, {"c", "3"}}
	_, token := list(t, all, page.Request{Size: 1}, "organization 1, filter x")
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	tokens := map[string]string{
		"of another query": token, "cut off": token[:len(token)-2], "not base64": "%%%", "padded": token + "=", "one byte": "AA", "a number": "2",
	}
	for i := range raw {
		changed := append([]byte(nil), raw...)
		changed[i] ^= 0x40
		tokens[fmt.Sprintf("byte %d changed", i)] = base64.RawURLEncoding.EncodeToString(changed)
	}
	for name, tok := range tokens {
		binding := "organization 1, filter x"
		if name == "of another query" {
			binding = "organization 2, filter x"
		}
		if _, err := page.Parse(page.Request{Token: tok}, binding); !fault.HasReason(err, fault.InvalidPageToken) || !fault.Is(err, fault.InvalidArgument) {
			t.Errorf("a token %s: %v", name, err)
		}
	}
	for _, size := range []int32{-1, page.MaxSize + 1} {
		if _, err := page.Parse(page.Request{Size: size}, "b"); !fault.Is(err, fault.InvalidArgument) {
			t.Errorf("size %d: %v", size, err)
		}
	}
}

func TestTimeKey(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.Int64Range(0, 1<<52).Draw(t, "a")
		b := rapid.Int64Range(0, 1<<52).Draw(t, "b")
		ka, kb := page.TimeKey(time.UnixMicro(a)), page.TimeKey(time.UnixMicro(b))
		if (a < b) != (ka < kb) {
			t.Fatalf("%d and %d sort differently as keys", a, b)
		}
		if back, err := page.KeyTime(ka); err != nil || back.UnixMicro() != a {
			t.Fatalf("KeyTime(%q) = %v, %v", ka, back, err)
		}
	})
}

func FuzzParse(f *testing.F) {
	_, token := list(f, []row{{"a", "1"}, {"b", "2"}}, page.Request{Size: 1}, "b")
	f.Add(token)
	f.Add("")
	f.Add("AQ")
	f.Fuzz(func(t *testing.T, token string) {
		q, err := page.Parse(page.Request{Token: token}, "b")
		if err != nil && !fault.Is(err, fault.InvalidArgument) {
			t.Fatalf("%q: %v", token, err)
		}
		if err == nil && token == "" && q.After != nil {
			t.Fatal("no token has a position")
		}
	})
}
