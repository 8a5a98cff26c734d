package compat

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
)

// typescript are the headers of the TypeScript SDK.
var typescript = map[string]string{
	"Content-Type": "application/proto", "Accept": "*/*", "Connect-Protocol-Version": "1", "Accept-Encoding": "gzip, deflate",
	"Accept-Language": "*", "Sec-Fetch-Mode": "cors", "User-Agent": "ona-ts-sdk/1.0.1 (language=typescript; layer=sdk)",
}

func TestWireTypeScript(t *testing.T) {
	t.Parallel()
	s := serve(t)
	w := s.wire(t, bootstrapToken)
	// send posts a body and reads the reply, which may be compressed.
	send := func(procedure string, header map[string]string, body []byte, out proto.Message) {
		t.Helper()
		r := w.post(t, "/api/"+procedure, header, body)
		if r.status != http.StatusOK || r.header.Get("Content-Type") != "application/proto" {
			t.Fatalf("%s: %d %s %s", procedure, r.status, r.header.Get("Content-Type"), r.body)
		}
		if err := proto.Unmarshal(r.plain(t), out); err != nil {
			t.Fatal(err)
		}
	}
	const list = "gitpod.v1.RunnerService/ListRunners"

	// An empty message has no bytes.
	var identity gitpodv1.GetAuthenticatedIdentityResponse
	send("gitpod.v1.IdentityService/GetAuthenticatedIdentity", typescript, nil, &identity)
	if identity.GetSubject().GetPrincipal() != gitpodv1.Principal_PRINCIPAL_USER || identity.GetOrganizationId() == "" {
		t.Errorf("I am %v", &identity)
	}
	var page gitpodv1.ListRunnersResponse
	send(list, typescript, nil, &page)
	if len(page.GetRunners()) != 0 {
		t.Errorf("a new control plane has %v", &page)
	}

	// So many that a page of them is worth compressing.
	var want []string
	for range 24 {
		var created gitpodv1.CreateRunnerResponse
		w.must(t, "gitpod.v1.RunnerService/CreateRunner", &gitpodv1.CreateRunnerRequest{
			Name: strings.Repeat("long name ", 12), Provider: gitpodv1.RunnerProvider_RUNNER_PROVIDER_LINUX_HOST,
		}, &created)
		want = append(want, created.GetRunner().GetRunnerId())
	}
	// Paging by the body alone: page_size is field 1, token field 2, of field 2.
	var got []string
	for token := ""; ; {
		inner := append([]byte{0x08, 7}, bytesField(0x12, token)...)
		page.Reset()
		send(list, typescript, bytesField(0x12, string(inner)), &page)
		for _, r := range page.GetRunners() {
			got = append(got, r.GetRunnerId())
		}
		if token = page.GetPagination().GetNextToken(); token == "" {
			break
		}
		if len(got) > len(want) {
			t.Fatal("paging does not end")
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("paged through %v, want %v", got, want)
	}

	with := func(k, v string) map[string]string {
		h := map[string]string{k: v}
		for k, v := range typescript {
			if _, ok := h[k]; !ok {
				h[k] = v
			}
		}
		return h
	}
	page.Reset()
	send(list, with("Connect-Timeout-Ms", "30000"), nil, &page)
	if len(page.GetRunners()) != len(want) {
		t.Errorf("with a timeout: %d runners", len(page.GetRunners()))
	}
	// A field of a newer schema is no reason to refuse.
	page.Reset()
	send(list, typescript, append([]byte{0xba, 0x3e, 8}, "tomorrow"...), &page) // field 999
	if len(page.GetRunners()) != len(want) {
		t.Errorf("with an unknown field: %d runners", len(page.GetRunners()))
	}

	w.post(t, "/api/"+list, typescript, []byte("\xff\xff\xff")).want(t, http.StatusBadRequest, "invalid_argument")
	r := w.post(t, "/api/gitpod.v1.RunnerService/GetRunner", typescript, bytesField(0x0a, "d2c94c27-3b76-4a42-b88c-95a85e392c68"))
	r.want(t, http.StatusNotFound, "not_found")
	if len(r.error(t).Details) == 0 {
		t.Error("the error has no details for findDetails to find")
	}
	w.post(t, "/api/gitpod.v1.AgentService/StartAgent", typescript, nil).want(t, http.StatusNotImplemented, "unimplemented")
	s.wire(t, "nobody").post(t, "/api/"+list, typescript, nil).want(t, http.StatusUnauthorized, "unauthenticated")
	s.wire(t, "").post(t, "/gitpod.v1.IdentityService/ExchangeToken", typescript, bytesField(0x0a, "muster_exchange_unknown")).
		want(t, http.StatusUnauthorized, "unauthenticated")
}

// bytesField is a short length-delimited protobuf field, or nothing when it is
// empty.
func bytesField(tag byte, value string) []byte {
	if value == "" {
		return nil
	}
	return append([]byte{tag, byte(len(value))}, value...)
}

// plain is the body without compression.
func (r reply) plain(t *testing.T) []byte {
	t.Helper()
	switch enc := r.header.Get("Content-Encoding"); enc {
	case "", "identity":
		return r.body
	case "gzip":
		z, err := gzip.NewReader(bytes.NewReader(r.body))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		return b
	default:
		t.Fatalf("the reply is encoded as %q, which was not asked for", enc)
		return nil
	}
}
