package robust_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// secret is something that must not be found where it does not belong.
type secret struct {
	name string
	// core is the part to look for: enough to be no accident, and short enough to
	// be found when somebody cut the secret off.
	core []byte
}

// forms are the ways in which bytes show up in texts and files.
func (s secret) forms() map[string]string {
	text := string(s.core)
	asJSON, err := json.Marshal(text)
	if err != nil {
		panic(err) // strings always can
	}
	var plain bytes.Buffer
	e := json.NewEncoder(&plain)
	e.SetEscapeHTML(false)
	if err := e.Encode(text); err != nil {
		panic(err)
	}
	forms := map[string]string{
		"raw":             text,
		"JSON":            strings.Trim(string(asJSON), `"`),
		"unescaped JSON":  strings.Trim(strings.TrimSpace(plain.String()), `"`),
		"Go string":       strings.Trim(strconv.Quote(text), `"`),
		"hex":             hex.EncodeToString(s.core),
		"upper-case hex":  strings.ToUpper(hex.EncodeToString(s.core)),
		"query of a URL":  url.QueryEscape(text),
		"path of a URL":   (&url.URL{Path: "/" + text}).EscapedPath()[1:],
		"part of a path":  url.PathEscape(text),
		"list of numbers": strings.Trim(fmt.Sprint(s.core), "[]"),
	}
	for before := range 3 {
		forms[fmt.Sprintf("base64 after %d bytes", before)] = aligned(base64.RawStdEncoding, s.core, before)
		forms[fmt.Sprintf("URL base64 after %d bytes", before)] = aligned(base64.RawURLEncoding, s.core, before)
	}
	return forms
}

// aligned is how b looks inside of a longer text in base 64, with so many bytes
// before it modulo three: without the characters that its neighbours decide too.
func aligned(enc *base64.Encoding, b []byte, before int) string {
	whole := enc.EncodeToString(append(make([]byte, before), b...))
	first := []int{0, 2, 3}[before]
	if (before+len(b))%3 != 0 {
		whole = whole[:len(whole)-1]
	}
	return whole[first:]
}

// in looks for the secret in a content, in all forms.
func (s secret) in(content []byte) (form string, at int) {
	for form, text := range s.forms() {
		if at := bytes.Index(content, []byte(text)); at >= 0 {
			return form, at
		}
	}
	return "", -1
}

// find reports every secret that is in what a place holds.
func find(t *testing.T, secrets []secret, place string, content []byte) {
	t.Helper()
	for _, s := range secrets {
		if form, at := s.in(content); at >= 0 {
			t.Errorf("%s: there is %s (%s), in: %q", place, s.name, form, around(content, at))
		}
	}
}

// around is a piece of a content.
func around(content []byte, at int) []byte {
	return content[max(0, at-120):min(len(content), at+80)]
}

// The search finds what it is to find; without this its silence means nothing.
func TestTheSearchFindsSecrets(t *testing.T) {
	t.Parallel()
	s := secret{"planted", []byte(`pä/ss+wörd "&=?<x>`)}
	text := string(s.core)
	texts := []string{
		fmt.Sprintf("%q", text), fmt.Sprintf("%x", text), fmt.Sprintf("%X", text), fmt.Sprint([]byte("a" + text + "b")),
		url.Values{"k": {text}}.Encode(), (&url.URL{Path: "/" + text}).String(), url.PathEscape(text),
	}
	for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
		for before := range 6 {
			for after := range 6 {
				texts = append(texts, enc.EncodeToString(slices.Concat(bytes.Repeat([]byte{0xff}, before), s.core, bytes.Repeat([]byte{0xff}, after))))
			}
		}
	}
	for _, encoded := range texts {
		if _, at := s.in([]byte(encoded)); at < 0 {
			t.Errorf("it is not found in %s", encoded)
		}
	}
}
