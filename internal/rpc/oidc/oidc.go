// Package oidc serves what third parties need to verify ID tokens: the OpenID
// Connect discovery document and the key set. Both are public, since they hold
// nothing but public keys, and may be cached.
package oidc

import (
	"encoding/json"
	"net/http"

	"connectrpc.com/connect"

	"github.com/musterhq/muster/internal/audit"
	"github.com/musterhq/muster/internal/idtoken"
	"github.com/musterhq/muster/internal/rpc/rpcerr"
)

const (
	discoveryPath = "/.well-known/openid-configuration"
	keysPath      = "/.well-known/jwks.json"
)

// How long others may keep the documents. A new key signs at once, so caches
// must not hide it for long; verifiers ask again when they meet one.
const (
	discoveryAge = "public, max-age=3600"
	keysAge      = "public, max-age=60"
)

// Handler serves the documents.
type Handler struct{ Tokens *idtoken.Service }

// Routes are the patterns and handlers to mount. The issuer is the public URL
// without "/api", and its documents must be found below it, so they are not
// served under that prefix.
func (h *Handler) Routes() map[string]http.Handler {
	return map[string]http.Handler{
		"GET " + discoveryPath: http.HandlerFunc(h.discovery),
		"GET " + keysPath:      http.HandlerFunc(h.keys),
	}
}

// discovery is the document of OpenID Connect Discovery 1.0, section 3. There is
// no authorization endpoint: nobody logs in here.
type discovery struct {
	Issuer                           string   `json:"issuer"`
	JWKSURI                          string   `json:"jwks_uri"`
	ResponseTypesSupported           []string `json:"response_types_supported"`
	SubjectTypesSupported            []string `json:"subject_types_supported"`
	IDTokenSigningAlgValuesSupported []string `json:"id_token_signing_alg_values_supported"`
	ClaimsSupported                  []string `json:"claims_supported"`
}

func (h *Handler) discovery(w http.ResponseWriter, r *http.Request) {
	issuer := h.Tokens.Issuer()
	write(w, r, discoveryAge, discovery{
		Issuer: issuer, JWKSURI: issuer + keysPath,
		ResponseTypesSupported: []string{"id_token"}, SubjectTypesSupported: []string{"public"},
		IDTokenSigningAlgValuesSupported: []string{string(idtoken.Algorithm)}, ClaimsSupported: idtoken.Claims(),
	})
}

func (h *Handler) keys(w http.ResponseWriter, r *http.Request) {
	set, err := h.Tokens.KeySet(r.Context())
	if err != nil {
		refuse(w, r, err)
		return
	}
	write(w, r, keysAge, set)
}

func write(w http.ResponseWriter, r *http.Request, age string, document any) {
	body, err := json.Marshal(document)
	if err != nil {
		refuse(w, r, err)
		return
	}
	head := w.Header()
	head.Set("Content-Type", "application/json")
	head.Set("Cache-Control", age)
	head.Set("X-Content-Type-Options", "nosniff")
	// Write fails when the reader is gone, who then needs no answer.
	_, _ = w.Write(body)
}

// refuse answers a request that fails, as the API does.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	_ = connect.NewErrorWriter().Write(w, r, rpcerr.New(err, audit.RequestID(r.Context())))
}
