package robust_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/musterhq/muster/test/muster"
)

// maxBody is how large a request may be.
const maxBody = 4 << 20

// A request that is too large is refused with words that tell the SDKs not to
// send it again.
func TestRequestsThatAreTooLarge(t *testing.T) {
	t.Parallel()
	s := muster.Serve(t, muster.ServerOptions{})
	for name, tt := range map[string]struct {
		body   []byte
		header http.Header
		large  bool
	}{
		"as large as may be":             {spaces(maxBody), nil, false},
		"one byte more":                  {spaces(maxBody + 1), nil, true},
		"twice as large":                 {spaces(2 * maxBody), nil, true},
		"a hundred times as large":       {spaces(100 * maxBody), nil, true},
		"a bomb":                         {zipped(spaces(100 * maxBody)), http.Header{"Content-Encoding": {"gzip"}}, true},
		"in protobuf":                    {append([]byte{0x0a, 0xff, 0xff, 0xff, 0x02}, spaces(6*maxBody/4)...), http.Header{"Content-Type": {asBinary}}, true},
		"compressed and as large as may": {zipped(spaces(maxBody)), http.Header{"Content-Encoding": {"gzip"}}, false},
	} {
		for _, procedure := range []string{"gitpod.v1.RunnerService/ListRunners", "gitpod.v1.IdentityService/ExchangeToken"} {
			for _, chunked := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/chunked=%v", name, procedure, chunked), func(t *testing.T) {
					var body io.Reader = bytes.NewReader(tt.body)
					if chunked {
						body = io.MultiReader(body) // of unknown length
					}
					req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/"+procedure, body)
					if err != nil {
						t.Fatal(err)
					}
					req.Header.Set("Content-Type", asJSON)
					for k, v := range tt.header {
						req.Header[k] = v
					}
					refused(t, s.Admin(), req, tt.large)
				})
			}
		}
	}
	unharmed(t, s)
}

func refused(t *testing.T, api *muster.API, req *http.Request, large bool) {
	t.Helper()
	res, err := api.HTTP.Do(req)
	if err != nil {
		// A client that sends very much may not see the answer; but these do.
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if !large {
		if res.StatusCode == http.StatusTooManyRequests {
			t.Errorf("it was refused: %s", body)
		}
		return
	}
	e, err := readError(body)
	if err != nil {
		t.Fatal(err)
	}
	if e.Code != "resource_exhausted" || e.info.GetReason() != "body-too-large" || !strings.Contains(e.Message, fmt.Sprint(maxBody)) {
		t.Errorf("status %d: %s", res.StatusCode, body)
	}
	if retry := res.Header.Values("X-Should-Retry"); len(retry) != 1 || retry[0] != "false" {
		t.Errorf("x-should-retry is %q", retry)
	}
}

func spaces(n int) []byte { return bytes.Repeat([]byte(" "), n) }

func zipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(b)
	_ = w.Close()
	return out.Bytes()
}
