package planted

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"strconv"
	"strings"
)

// forms are the ways in which bytes show up in texts and files.
func (s Secret) forms() map[string]string {
	text := string(s.Core)
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
		"hex":             hex.EncodeToString(s.Core),
		"upper-case hex":  strings.ToUpper(hex.EncodeToString(s.Core)),
		"query of a URL":  url.QueryEscape(text),
		"path of a URL":   (&url.URL{Path: "/" + text}).EscapedPath()[1:],
		"part of a path":  url.PathEscape(text),
		"HTML":            html.EscapeString(text),
		"list of numbers": strings.Trim(fmt.Sprint(s.Core), "[]"),
	}
	for before := range 3 {
		forms[fmt.Sprintf("base64 after %d bytes", before)] = aligned(base64.RawStdEncoding, s.Core, before)
		forms[fmt.Sprintf("URL base64 after %d bytes", before)] = aligned(base64.RawURLEncoding, s.Core, before)
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

// In looks for the secret in a content, in all forms; at is negative when it is
// not there.
func (s Secret) In(content []byte) (form string, at int) {
	for form, text := range s.forms() {
		if at := bytes.Index(content, []byte(text)); at >= 0 {
			return form, at
		}
	}
	return "", -1
}
