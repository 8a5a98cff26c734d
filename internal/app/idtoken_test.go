package app_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
	"github.com/musterhq/muster/gen/muster/admin/v1"
	"github.com/musterhq/muster/gen/muster/admin/v1/adminv1connect"
)

// thirdParty verifies ID tokens as somebody does who knows the issuer's URL and
// nothing else.
type thirdParty struct{ issuer string }

func (p thirdParty) get(t *testing.T, url string, into any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/json" || resp.Header.Get("Cache-Control") == "" {
		t.Fatalf("%s: %s %v", url, resp.Status, resp.Header)
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		t.Fatalf("%s: %v", url, err)
	}
}

// verify returns the "kid" and the subject of a token for an audience.
func (p thirdParty) verify(t *testing.T, raw, audience string) (keyID, subject string) {
	t.Helper()
	var discovered struct {
		Issuer     string                    `json:"issuer"`
		JWKSURI    string                    `json:"jwks_uri"`
		Algorithms []jose.SignatureAlgorithm `json:"id_token_signing_alg_values_supported"`
		Subjects   []string                  `json:"subject_types_supported"`
		Responses  []string                  `json:"response_types_supported"`
		Claims     []string                  `json:"claims_supported"`
	}
	p.get(t, p.issuer+"/.well-known/openid-configuration", &discovered)
	if discovered.Issuer != p.issuer || !slices.Contains(discovered.Claims, "runner_id") || len(discovered.Subjects) == 0 || len(discovered.Responses) == 0 ||
		!slices.Equal(discovered.Algorithms, []jose.SignatureAlgorithm{jose.RS256}) {
		t.Fatalf("discovery: %+v", discovered)
	}
	var set jose.JSONWebKeySet
	p.get(t, discovered.JWKSURI, &set)
	tok, err := jwt.ParseSigned(raw, discovered.Algorithms)
	if err != nil {
		t.Fatal(err)
	}
	keyID = tok.Headers[0].KeyID
	known := set.Key(keyID)
	if len(known) != 1 {
		t.Fatalf("the key set has %d keys %s", len(known), keyID)
	}
	var claims jwt.Claims
	if err := tok.Claims(known[0].Key, &claims); err != nil {
		t.Fatal(err)
	}
	if err := claims.Validate(jwt.Expected{Issuer: p.issuer, AnyAudience: jwt.Audience{audience}, Time: time.Now()}); err != nil {
		t.Fatal(err)
	}
	return keyID, claims.Subject
}

func idToken(t *testing.T, url, token string, v gitpodv1.IDTokenVersion) (string, error) {
	t.Helper()
	made, err := gitpodv1connect.NewIdentityServiceClient(client(token), url).GetIDToken(t.Context(), connect.NewRequest(&gitpodv1.GetIDTokenRequest{
		Audience: []string{"sts.example.com", "other"}, Version: v,
	}))
	if err != nil {
		return "", err
	}
	return made.Msg.GetToken(), nil
}

func TestIDTokensAreVerifiedFromOutside(t *testing.T) {
	url, _ := start(t, nil)
	outside := thirdParty{url}
	c := client(bootstrapToken)
	// The key set can be asked for before there is a token.
	var set jose.JSONWebKeySet
	outside.get(t, url+"/.well-known/jwks.json", &set)
	if len(set.Keys) != 1 || !set.Keys[0].IsPublic() {
		t.Fatalf("%d keys", len(set.Keys))
	}

	me, err := gitpodv1connect.NewIdentityServiceClient(c, url).GetAuthenticatedIdentity(t.Context(), connect.NewRequest(&gitpodv1.GetAuthenticatedIdentityRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	organization, admin := "organization:"+me.Msg.GetOrganizationId()+"/", "user:"+me.Msg.GetSubject().GetId()
	accounts := gitpodv1connect.NewServiceAccountServiceClient(c, url)
	account, err := accounts.CreateServiceAccount(t.Context(), connect.NewRequest(&gitpodv1.CreateServiceAccountRequest{Name: "ci", ValidUntil: timestamppb.New(time.Now().Add(time.Hour))}))
	if err != nil {
		t.Fatal(err)
	}
	accountID := account.Msg.GetServiceAccount().GetId()
	accountToken, err := accounts.CreateServiceAccountAccessToken(t.Context(), connect.NewRequest(&gitpodv1.CreateServiceAccountAccessTokenRequest{ServiceAccountId: accountID}))
	if err != nil {
		t.Fatal(err)
	}
	made, err := gitpodv1connect.NewRunnerServiceClient(c, url).CreateRunner(t.Context(), connect.NewRequest(&gitpodv1.CreateRunnerRequest{
		Name: "lab", Provider: gitpodv1.RunnerProvider_RUNNER_PROVIDER_LINUX_HOST,
	}))
	if err != nil {
		t.Fatal(err)
	}
	runner, err := gitpodv1connect.NewIdentityServiceClient(c, url).ExchangeToken(t.Context(), connect.NewRequest(&gitpodv1.ExchangeTokenRequest{ExchangeToken: made.Msg.GetExchangeToken()}))
	if err != nil {
		t.Fatal(err)
	}

	for name, tt := range map[string]struct {
		token   string
		version gitpodv1.IDTokenVersion
		subject string
	}{
		"a user":            {bootstrapToken, 0, organization + admin},
		"a user, V1":        {bootstrapToken, gitpodv1.IDTokenVersion_ID_TOKEN_VERSION_V1, admin},
		"a user, V2":        {bootstrapToken, gitpodv1.IDTokenVersion_ID_TOKEN_VERSION_V2, organization + admin},
		"a service account": {accountToken.Msg.GetToken(), 0, organization + "service_account:" + accountID},
		"a runner":          {runner.Msg.GetAccessToken(), 0, organization + "runner:" + made.Msg.GetRunner().GetRunnerId()},
	} {
		raw, err := idToken(t, url, tt.token, tt.version)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if keyID, subject := outside.verify(t, raw, "sts.example.com"); subject != tt.subject || keyID != set.Keys[0].KeyID {
			t.Errorf("%s: subject %q, key %s", name, subject, keyID)
		}
	}

	old, err := idToken(t, url, bootstrapToken, 0)
	if err != nil {
		t.Fatal(err)
	}
	rotated, err := adminv1connect.NewInstallationServiceClient(c, url).RotateKeys(t.Context(), connect.NewRequest(&adminv1.RotateKeysRequest{SigningKeys: true}))
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := idToken(t, url, bootstrapToken, 0)
	if err != nil {
		t.Fatal(err)
	}
	oldKey, _ := outside.verify(t, old, "other")
	freshKey, _ := outside.verify(t, fresh, "other")
	if oldKey == freshKey || !slices.Contains(rotated.Msg.GetSigningKeyIds(), freshKey) {
		t.Errorf("before and after the rotation tokens have the keys %s and %s", oldKey, freshKey)
	}

	readOnly, err := gitpodv1connect.NewUserServiceClient(c, url).CreatePersonalAccessToken(t.Context(), connect.NewRequest(&gitpodv1.CreatePersonalAccessTokenRequest{
		UserId: me.Msg.GetSubject().GetId(), ReadOnly: true,
	}))
	if err != nil {
		t.Fatal(err)
	}
	for token, code := range map[string]connect.Code{readOnly.Msg.GetToken(): connect.CodePermissionDenied, "nobody": connect.CodeUnauthenticated} {
		if _, err := idToken(t, url, token, 0); connect.CodeOf(err) != code {
			t.Errorf("%v, want %s", err, code)
		}
	}
}
