package robust_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/keyring"
	"github.com/musterhq/muster/internal/seal"
	"github.com/musterhq/muster/internal/token"
	"github.com/musterhq/muster/test/muster"
	"github.com/musterhq/muster/test/planted"
)

// The secrets of the configuration plane, of service accounts and of the control
// plane itself are with whom they are for, and in clear nowhere else.
func TestConfiguredSecretsStayWhereTheyBelong(t *testing.T) {
	t.Parallel()
	for engine, options := range engines {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			o := options(t)
			o.LogLevel = "debug"
			c := &configured{options: o, called: map[string]bool{}, Server: muster.Serve(t, o)}
			c.witness = &witness{url: c.URL, token: c.Token, processes: []*muster.Process{c.Process}}
			c.Plant("the bootstrap token", c.Token)
			c.plantSecretKey(t)
			lines := c.watch(t)

			c.waiting(t)
			c.join(t)
			c.configure(t)
			c.refusals(t)
			c.tokens(t)
			c.rotations(t)
			c.read(t)
			c.programs(t)
			c.lookAtHost(t)
			c.lookAtStorage(t)

			c.Clean(t, "the event stream", lines(), c.runner)
			c.Clean(t, "the answers", c.answers.Bytes(), c.runner)
			for i, p := range c.processes {
				c.Clean(t, fmt.Sprintf("the output of process %d, %s", i+1, p), []byte(p.Printed()), "")
				noTokens(t, p.String(), []byte(p.Printed()))
			}
			noTokens(t, "the event stream", lines())
			noTokens(t, "the answers", c.answers.Bytes())
		})
	}
}

// configured is a control plane with one of everything that has secrets.
type configured struct {
	*witness
	*muster.Server

	options                       muster.ServerOptions
	host                          *muster.Host
	runner                        string
	integration, model, hostToken string
	group, account, accountToken  string
	class, membership, pat        string
	secretKeys                    int
	called                        map[string]bool // procedures
}

// secret makes something that nobody writes by accident, in a form that text
// formats escape, and plants it.
func (c *configured) secret(name string) string {
	value := fmt.Sprintf(`plänted/%d "&=?<%s>+secret`, len(c.Secrets), strings.ReplaceAll(name, " ", "_"))
	c.Plant(name, value)
	return value
}

// do calls a procedure as the admin.
func (c *configured) do(t *testing.T, procedure string, body object) answer {
	t.Helper()
	c.called[procedure] = true
	return c.call(t, procedure, body)
}

// plantSecretKey remembers what the secret-key file holds now.
func (c *configured) plantSecretKey(t *testing.T) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(c.DataDir, "secret-key"))
	if err != nil {
		t.Fatal(err)
	}
	encoded := strings.TrimSpace(string(raw[bytes.LastIndexByte(raw, ':')+1:]))
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(key) != 32 {
		t.Fatalf("the secret-key file holds %d bytes, %v", len(key), err)
	}
	c.secretKeys++
	c.Secrets = append(c.Secrets, planted.Secret{Name: fmt.Sprintf("key %d of the secret-key file", c.secretKeys), Core: key})
}

// waiting makes the runner, with a metrics password that waits for its key.
func (c *configured) waiting(t *testing.T) {
	exchange := c.handsOut(t, "an exchange token", "exchangeToken", runners+"CreateRunner", object{
		"name": "keeps secrets", "provider": "RUNNER_PROVIDER_LINUX_HOST", "spec": object{"configuration": object{
			"metrics": object{"enabled": true, "url": "https://metrics.example.com", "username": "u", "password": c.secret("the first metrics password")},
		}},
	})
	c.runner = c.do(t, runners+"ListRunners", object{}).text("runners", "0", "runnerId")
	c.do(t, runners+"UpdateRunner", object{"runnerId": c.runner, "spec": object{"configuration": object{
		"honeycombApiKey": c.secret("a honeycomb key that waits"), "metrics": object{"password": c.secret("a metrics password that waits")},
	}}})
	// What waits is under the secret-key file; rotating that changes nothing.
	c.rotate(t)
	c.lookAtFiles(t)
	c.host = c.Join(t, exchange)
}

func (c *configured) rotate(t *testing.T) {
	t.Helper()
	c.do(t, admins+"InstallationService/RotateKeys", object{"secretKey": true, "signingKeys": true})
	c.plantSecretKey(t)
}

// join waits until the runner works, and what waited is sealed to it.
func (c *configured) join(t *testing.T) {
	c.processes = append(c.processes, c.host.Process)
	muster.Until(t, muster.Patience, func() error {
		got := c.do(t, runners+"GetRunner", object{"runnerId": c.runner})
		if got.text("runner", "status", "phase") != "RUNNER_PHASE_ACTIVE" || !strings.Contains(string(got), `"revision 2 applied"`) {
			return fmt.Errorf("the runner is not ready: %s", got)
		}
		return nil
	})
	c.plantIdentity(t, c.host)
	c.opens(t, 2)
}

// opens makes the runner open all its secrets.
func (c *configured) opens(t *testing.T, want int) {
	t.Helper()
	got := c.do(t, admins+"RunnerKeyService/CheckRunnerSecrets", object{"runnerId": c.runner})
	var reply struct {
		Checked    int
		Unreadable []any
	}
	if err := json.Unmarshal(got, &reply); err != nil || reply.Checked != want || len(reply.Unreadable) > 0 {
		t.Errorf("the runner opens %s, want %d secrets; %v", got, want, err)
	}
}

// configure sets every secret of a runner, and all again.
func (c *configured) configure(t *testing.T) {
	t.Helper()
	literal := func(name string) []any {
		value := base64.StdEncoding.EncodeToString([]byte(c.secret(name)))
		return []any{object{"key": "X-Key", "value": value, "headerType": "LLM_INTEGRATION_REQUEST_HEADER_TYPE_LITERAL"}}
	}
	settings := func(when string) object {
		return object{"runnerId": c.runner, "spec": object{"configuration": object{
			"honeycombApiKey": c.secret(when + " honeycomb key"), "metrics": object{"password": c.secret(when + " sealed metrics password")},
		}}}
	}
	c.do(t, runners+"UpdateRunner", settings("first"))
	c.integration = c.do(t, config+"CreateSCMIntegration", object{
		"runnerId": c.runner, "scmId": "gitea", "host": "git.example.com", "pat": true, "oauthClientId": "muster", "oauthPlaintextClientSecret": c.secret("first client secret"),
	}).text("id")
	c.hostToken = c.do(t, config+"CreateHostAuthenticationToken", object{
		"runnerId": c.runner, "host": "git.example.com", "source": "HOST_AUTHENTICATION_TOKEN_SOURCE_OAUTH",
		"token": c.secret("first host token"), "refreshToken": c.secret("first refresh token"), "integrationId": c.integration,
	}).text("token", "id")
	c.model = c.do(t, config+"CreateLLMIntegration", object{
		"runnerId": c.runner, "models": []any{"SUPPORTED_MODEL_SONNET_4"}, "endpoint": "https://llm.example.com", "apiKey": c.secret("first API key"),
	}).text("id")
	c.do(t, config+"UpdateLLMIntegration", object{"id": c.model, "requestHeaders": literal("first header")})
	c.opens(t, 7)

	c.do(t, runners+"UpdateRunner", settings("second"))
	c.do(t, config+"UpdateSCMIntegration", object{"id": c.integration, "oauthPlaintextClientSecret": c.secret("second client secret")})
	c.do(t, config+"UpdateHostAuthenticationToken", object{"id": c.hostToken, "token": c.secret("second host token"), "refreshToken": c.secret("second refresh token")})
	c.do(t, config+"UpdateLLMIntegration", object{"id": c.model, "apiKey": c.secret("second API key"), "requestHeaders": literal("second header")})
	c.do(t, config+"ValidateRunnerConfiguration", object{"runnerId": c.runner, "scmIntegration": object{
		"id": c.integration, "scmId": "gitea", "host": "git.example.com", "oauthClientId": "muster", "oauthPlaintextClientSecret": c.secret("a client secret to validate"),
	}})
	c.opens(t, 7)
}

// refusals sends secrets in requests that are refused.
func (c *configured) refusals(t *testing.T) {
	t.Helper()
	long := strings.Repeat("x", 70_000)
	for i, value := range []string{c.secret("a secret of a refused call"), c.secret("a secret that is too long") + long, "\x00\n" + c.secret("a secret with a line end")} {
		if i == 1 {
			// Its beginning would be what an error quotes.
			c.Secrets = append(c.Secrets, planted.Secret{Name: "the beginning of what is too long", Core: []byte(value[:40])})
		}
		raw := base64.StdEncoding.EncodeToString([]byte(value))
		for procedure, bodies := range map[string][]object{
			config + "CreateSCMIntegration": {
				{"runnerId": c.runner, "scmId": "gitea", "host": "git.example.com", "oauthClientId": "x", "oauthPlaintextClientSecret": value},
				{"runnerId": nobody, "scmId": "gitea", "host": "other.example.com", "oauthClientId": "x", "oauthPlaintextClientSecret": value},
				{"runnerId": c.runner, "scmId": "gitea", "host": "other.example.com", "oauthPlaintextClientSecret": value},
				{"runnerId": c.runner, "scmId": value, "host": value, "oauthClientId": value, "issuerUrl": "https://u:" + value + "@example.com", "oauthPlaintextClientSecret": []any{value}},
			},
			config + "UpdateSCMIntegration": {{"id": nobody, "oauthPlaintextClientSecret": value}, {"id": value}, {"id": c.integration, "oauthClientId": "", "oauthPlaintextClientSecret": value}},
			config + "CreateHostAuthenticationToken": {
				{"runnerId": c.runner, "host": "git.example.com", "source": "HOST_AUTHENTICATION_TOKEN_SOURCE_PAT", "token": value, "refreshToken": value},
				{"runnerId": c.runner, "host": "other.example.com", "source": value, "token": value},
				{"runnerId": c.runner, "host": "other.example.com", "token": object{"x": value}, "integrationId": value},
			},
			config + "UpdateHostAuthenticationToken": {{"id": nobody, "token": value, "refreshToken": value}, {"id": value, "token": value}, {"id": c.hostToken, "expiresAt": value}},
			config + "CreateLLMIntegration":          {{"runnerId": nobody, "models": []any{"SUPPORTED_MODEL_SONNET_4"}, "apiKey": value}, {"runnerId": c.runner, "models": []any{value}, "apiKey": value}},
			config + "UpdateLLMIntegration": {
				{"id": nobody, "apiKey": value, "requestHeaders": []any{object{"key": "X-Key", "value": raw}}},
				{"id": c.model, "requestHeaders": []any{object{"key": "X Key", "value": raw}}},
				{"id": c.model, "requestHeaders": []any{object{"key": value, "value": raw}}},
				{"id": c.model, "requestHeaders": []any{object{"key": "X-Key", "value": raw, "headerType": "LLM_INTEGRATION_REQUEST_HEADER_TYPE_CEL_EXPRESSION"}}},
				{"id": c.model, "requestHeaders": []any{object{"key": "X-Key", "value": value}}},
			},
			runners + "UpdateRunner":               {{"runnerId": nobody, "spec": object{"configuration": object{"honeycombApiKey": value, "metrics": object{"password": value}}}}},
			accounts + "GetServiceAccountToken":    {{"serviceAccountTokenId": value}},
			identities + "GetIDToken":              {{"audience": []any{value, ""}}},
			admins + "AccessService/ExplainAccess": {{"action": value, "resourceId": value}},
			events + "ListAuditLogs":               {{"pagination": object{"token": value}}, {"filter": object{"actorIds": []any{value}}}},
			groups + "CreateMembership":            {{"groupId": value, "subject": object{"id": value}}},
		} {
			for _, body := range bodies {
				status, reply := c.exchange(t, "/"+procedure, "Bearer "+c.token, body)
				if status == http.StatusOK {
					t.Errorf("%s was not refused: %.200v", procedure, body)
				}
				c.answers.Write(reply)
			}
		}
	}
}

// tokens makes everything that proves somebody to be somebody.
func (c *configured) tokens(t *testing.T) {
	t.Helper()
	me := c.do(t, identities+"GetAuthenticatedIdentity", object{})
	audience := object{"audience": []any{"https://example.com"}}
	c.handsOut(t, "an ID token of a person", "token", identities+"GetIDToken", audience)
	c.handsOut(t, "a personal access token", "token", users+"CreatePersonalAccessToken", object{"userId": me.text("subject", "id"), "description": "planted"})
	c.pat = c.do(t, users+"ListPersonalAccessTokens", object{}).text("personalAccessTokens", "0", "id")
	c.account = c.do(t, accounts+"CreateServiceAccount", object{"name": "robot", "validUntil": "2100-01-01T00:00:00Z"}).text("serviceAccount", "id")
	short := c.handsOut(t, "a service account's access token", "token", accounts+"CreateServiceAccountAccessToken", object{"serviceAccountId": c.account})
	admin := c.token
	c.token = short
	long := c.handsOut(t, "a service account's token", "token", accounts+"CreateServiceAccountToken", object{"description": "planted"})
	c.token = long
	c.handsOut(t, "an ID token of a service account", "token", identities+"GetIDToken", audience)
	c.token = c.plantIdentity(t, c.host)
	c.handsOut(t, "an ID token of a runner", "token", identities+"GetIDToken", audience)
	c.token = admin
	c.accountToken = c.do(t, accounts+"ListServiceAccountTokens", object{}).text("tokens", "0", "id")
	c.group = c.do(t, groups+"CreateGroup", object{"organizationId": me.text("organizationId"), "name": "a group"}).text("group", "id")
	c.membership = c.do(t, groups+"CreateMembership", object{"groupId": c.group, "subject": object{"id": c.account, "principal": "PRINCIPAL_SERVICE_ACCOUNT"}}).text("member", "id")
	c.do(t, runners+"CreateRunnerPolicy", object{"runnerId": c.runner, "groupId": c.group, "role": "RUNNER_ROLE_USER"})
	c.class = c.do(t, config+"CreateEnvironmentClass", object{"runnerId": c.runner, "displayName": "Small", "description": "A small one"}).text("id")
	c.misuse(t, c.runner, map[string]string{"account": long, "access": short})
}

// rotations give the runner new tokens: the real one, whose exchange token only
// its form gives away, and one of the test's own, which keeps what it is sent.
func (c *configured) rotations(t *testing.T) {
	t.Helper()
	c.do(t, admins+"RunnerTokenService/RotateRunnerToken", object{"runnerId": c.runner})
	c.plantIdentity(t, c.host)
	muster.Until(t, muster.Patience, func() error {
		status, reply := c.exchange(t, "/"+admins+"RunnerKeyService/CheckRunnerSecrets", "Bearer "+c.token, object{"runnerId": c.runner})
		if status != http.StatusOK {
			return fmt.Errorf("the runner is not back: %s", reply)
		}
		return nil
	})
	c.opens(t, 7)

	exchange := c.handsOut(t, "an exchange token of another runner", "exchangeToken", runners+"CreateRunner", object{"name": "other", "provider": "RUNNER_PROVIDER_LINUX_HOST"})
	other := c.do(t, runners+"ListRunners", object{}).text("runners", "1", "runnerId")
	mine := openLink(t, c.URL, c.redeem(t, exchange))
	sent := make(chan string, 1)
	go func() { sent <- mine.rotation(func(token string) { c.redeem(t, token) }) }()
	c.do(t, admins+"RunnerTokenService/RotateRunnerToken", object{"runnerId": other})
	if token := <-sent; token == "" {
		t.Error("no exchange token was sent")
	}
}

// redeem exchanges a token and plants both.
func (c *configured) redeem(t *testing.T, exchange string) string {
	t.Helper()
	status, reply := c.exchange(t, "/"+identities+"ExchangeToken", "", object{"exchangeToken": exchange})
	made := answer(reply).text("accessToken")
	if status != http.StatusOK || made == "" {
		t.Errorf("redeeming: %d %s", status, reply)
		return ""
	}
	c.Plant("an exchange token that was redeemed", exchange)
	c.Plant("a runner's token that was redeemed", made)
	return made
}

// read calls everything that only reads, and what is served beside the API.
func (c *configured) read(t *testing.T) {
	t.Helper()
	me := c.do(t, identities+"GetAuthenticatedIdentity", object{})
	byRunner, byOrganization := object{"runnerId": c.runner}, object{"organizationId": me.text("organizationId")}
	subject := object{"id": c.account, "principal": "PRINCIPAL_SERVICE_ACCOUNT"}
	for procedure, body := range map[string]object{
		users + "GetUser": {"userId": me.text("subject", "id")}, users + "GetPersonalAccessToken": {"personalAccessTokenId": c.pat},
		orgs + "GetOrganization": byOrganization, orgs + "ListMembers": byOrganization,
		runners + "ListRunnerPolicies":        byRunner,
		events + "GetAuditLog":                {"auditLogEntryId": c.do(t, events+"ListAuditLogs", object{}).text("entries", "0", "id")},
		config + "GetHostAuthenticationToken": {"id": c.hostToken}, config + "GetRunnerConfigurationSchema": byRunner,
		config + "GetSCMIntegration": {"id": c.integration}, config + "GetEnvironmentClass": {"environmentClassId": c.class},
		config + "GetLLMIntegration": {"id": c.model},
		groups + "GetGroup":          {"id": c.group}, groups + "GetMembership": {"groupId": c.group, "subject": subject}, groups + "ListMemberships": {"groupId": c.group},
		accounts + "GetServiceAccount": {"serviceAccountId": c.account}, accounts + "GetServiceAccountToken": {"serviceAccountTokenId": c.accountToken},
		admins + "RunnerKeyService/GetRunnerKeys": byRunner, admins + "RunnerTokenService/ListRunnerTokens": byRunner,
		admins + "AccessService/ExplainAccess": {"subject": subject, "action": "runner.read", "resourceType": "RESOURCE_TYPE_RUNNER", "resourceId": c.runner},
	} {
		c.do(t, procedure, body)
	}
	// The runner opens the credential to ask a host that is not there.
	const host = "git.example.com"
	for procedure, body := range map[string]object{
		runners + "ParseContextURL":            {"runnerId": c.runner, "contextUrl": "https://" + host + "/a/b"},
		runners + "SearchRepositories":         {"runnerId": c.runner, "searchString": "x"},
		runners + "ListSCMOrganizations":       {"runnerId": c.runner, "scmHost": host},
		runners + "CheckAuthenticationForHost": {"runnerId": c.runner, "host": host},
		runners + "CheckRepositoryAccess":      {"runnerId": c.runner, "repositoryUrl": "https://" + host + "/a/b"},
	} {
		c.called[procedure] = true
		c.send(t, "/"+procedure, "Bearer "+c.token, body)
	}
	for _, m := range methods(t) {
		rule, _ := access.RuleOf(procedure(m))
		if rule.Class != access.Reads || rule.Permission == access.Unbuilt || m.IsStreamingServer() || c.called[procedure(m)] {
			continue
		}
		c.do(t, procedure(m), object{}) // the lists, which need nothing
	}

	logs := c.handsOut(t, "a logs token", "accessToken", runners+"CreateRunnerLogsToken", byRunner)
	got := c.do(t, runners+"GetRunner", byRunner)
	for place, content := range map[string][]byte{
		"the logs":           c.get(t, got.text("runner", "status", "logUrl"), logs),
		"the support bundle": planted.Unpack(t, c.get(t, got.text("runner", "status", "supportBundleUrl"), logs)),
	} {
		c.Clean(t, place, content, c.runner)
		noTokens(t, place, content)
	}
	c.Clean(t, "the metrics", c.get(t, c.URL+"/metrics", ""), "muster_links")
	c.Clean(t, "the discovery document", c.get(t, c.URL+"/.well-known/openid-configuration", ""), "jwks_uri")
	c.plantSigningKeys(t)
}

// programs run the exports of the command line.
func (c *configured) programs(t *testing.T) {
	t.Helper()
	for _, tt := range []struct {
		holds string
		args  []string
	}{
		{"keeps secrets", []string{"export"}},
		{c.runner, []string{"audit", "export"}},
		{c.runner, []string{"runner", "get", c.runner, "-o", "json"}},
		{"git.example.com", []string{"host-token", "list", "-o", "yaml"}},
		{"git.example.com", []string{"scm", "list", "-o", "json"}},
		{"llm.example.com", []string{"llm", "list", "-o", "json"}},
	} {
		p := muster.Start(t, []string{"MUSTER_SERVER=" + c.URL, "MUSTER_TOKEN=" + c.token}, tt.args...)
		if code := p.Wait(t, muster.Patience); code != 0 || !strings.Contains(p.Printed(), tt.holds) {
			t.Errorf("%v: code %d, printed %.300s", tt.args, code, p.Printed())
		}
		c.processes = append(c.processes, p)
	}
}

// lookAtHost sees to it that a runner, which has opened everything by now, keeps
// nothing of it: on its disk there is who it is, and no other file is open.
func (c *configured) lookAtHost(t *testing.T) {
	t.Helper()
	open, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", c.host.PID()))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range open {
		to, err := os.Readlink(name)
		if info, statErr := os.Stat(name); err != nil || statErr != nil || !info.Mode().IsRegular() || !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "/sys/") {
			continue // no file on a disk
		}
		if to != filepath.Join(c.host.DataDir, "lock") {
			t.Errorf("the runner has %s open", to)
		}
	}
	c.host.Kill()
	var files []string
	err = filepath.WalkDir(c.host.DataDir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, d.Name())
		}
		return err
	})
	if err != nil || !slices.Equal(files, []string{"identity.json", "lock"}) {
		t.Errorf("the runner keeps %v, %v; want its identity and the lock", files, err)
	}
	identity, err := os.ReadFile(c.host.Identity())
	if err != nil {
		t.Fatal(err)
	}
	own := slices.DeleteFunc(slices.Clone(c.Secrets), func(s planted.Secret) bool { return strings.HasPrefix(s.Name, "the runner's") })
	own.Find(t, "the identity", identity)
	c.CleanFiles(t, c.host.DataDir, "identity.json", "")
}

// lookAtStorage reads everything that is stored, of a control plane that was
// killed, and of the same after a restart.
func (c *configured) lookAtStorage(t *testing.T) {
	t.Helper()
	c.Kill()
	c.lookAtFiles(t)
	d := databaseOf(t, c.Server, c.options)
	dump := d.dump(t)
	c.Clean(t, "the database", dump, "keeps secrets")
	noTokens(t, "the database", dump)
	for column, want := range map[string]int{
		"scm_integrations.oauth_client_secret": 1, "host_tokens.token": 1, "host_tokens.refresh_token": 1, "llm_integrations.api_key": 1,
	} {
		table, name, _ := strings.Cut(column, ".")
		if got := d.count(t, table, "LENGTH("+name+") > 32"); got != want {
			t.Errorf("%d rows of %s hold something sealed, want %d", got, column, want)
		}
	}
}

// lookAtFiles looks through what is stored right now: the files, or what a
// database server has.
func (c *configured) lookAtFiles(t *testing.T) {
	t.Helper()
	if c.options.DatabaseURL != "" {
		c.Clean(t, "the database", databaseOf(t, c.Server, c.options).dump(t), "keeps secrets")
		return
	}
	c.CleanFiles(t, c.DataDir, "secret-key", "keeps secrets")
}

// plantSigningKeys remembers the private halves of all keys that sign. It takes
// the control plane down for a moment.
func (c *configured) plantSigningKeys(t *testing.T) {
	t.Helper()
	c.Kill()
	d := databaseOf(t, c.Server, c.options)
	rows, err := d.QueryContext(t.Context(), "SELECT id, purpose, wrapped FROM signing_keys WHERE retired_at = 0")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close() //nolint:errcheck // it is read to its end
	under, err := seal.LoadKey(filepath.Join(c.DataDir, "secret-key"))
	if err != nil {
		t.Fatal(err)
	}
	purposes := map[string]bool{}
	for rows.Next() {
		var id, purpose string
		var wrapped []byte
		if err := rows.Scan(&id, &purpose, &wrapped); err != nil {
			t.Fatal(err)
		}
		private, err := under.Unwrap(wrapped, keyring.SecretName(id))
		if err != nil {
			t.Fatal(err)
		}
		purposes[purpose] = true
		if len(private) == ed25519.PrivateKeySize {
			c.Secrets = append(c.Secrets, planted.Secret{Name: "the key that signs " + purpose, Core: private[:ed25519.SeedSize]})
			continue
		}
		key, err := x509.ParsePKCS8PrivateKey(private)
		if err != nil {
			t.Fatal(err)
		}
		of := key.(*rsa.PrivateKey)
		c.Secrets = append(c.Secrets, planted.Secret{Name: "the exponent that signs " + purpose, Core: of.D.Bytes()[:32]}, planted.Secret{Name: "the prime that signs " + purpose, Core: of.Primes[0].Bytes()[:32]})
	}
	if err := errors.Join(rows.Err(), d.Close()); err != nil || len(purposes) < 2 || !purposes["id-token"] {
		t.Fatalf("there are keys for %v, %v", purposes, err)
	}
	c.Restart(t)
	c.processes = append(c.processes, c.Process)
	muster.Until(t, muster.Patience, func() error { return links(t, c.Server, 1) })
}

var tokenForm = regexp.MustCompile(`muster_[a-z]+_[0-9A-Za-z]{49}`)

// noTokens looks for whatever is a bearer token by its form, also one that
// nobody planted.
func noTokens(t *testing.T, place string, content []byte) {
	t.Helper()
	for _, found := range tokenForm.FindAllString(string(content), -1) {
		if kind, ok := token.Recognize(found); ok {
			t.Errorf("%s: there is a token of the kind %s", place, kind)
		}
	}
}
