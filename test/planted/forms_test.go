package planted_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"html"
	"net/url"
	"slices"
	"testing"

	"github.com/musterhq/muster/test/planted"
)

// The search finds what it is to find; without this its silence means nothing.
func TestTheSearchFindsSecrets(t *testing.T) {
	s := planted.Secret{Name: "planted", Core: []byte(`pä/ss+wörd "&=?<x>`)}
	text := string(s.Core)
	texts := []string{
		fmt.Sprintf("%q", text), fmt.Sprintf("%x", text), fmt.Sprintf("%X", text), fmt.Sprint([]byte("a" + text + "b")),
		url.Values{"k": {text}}.Encode(), (&url.URL{Path: "/" + text}).String(), url.PathEscape(text), html.EscapeString(text),
	}
	for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
		for before := range 6 {
			for after := range 6 {
				texts = append(texts, enc.EncodeToString(slices.Concat(bytes.Repeat([]byte{0xff}, before), s.Core, bytes.Repeat([]byte{0xff}, after))))
			}
		}
	}
	for _, encoded := range texts {
		if _, at := s.In([]byte(encoded)); at < 0 {
			t.Errorf("it is not found in %s", encoded)
		}
	}
}
