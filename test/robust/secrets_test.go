package robust_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/musterhq/muster/test/muster"
	"github.com/musterhq/muster/test/planted"
)

// Secrets are where they belong, and in no log, event, answer, error, support
// bundle or file besides.
func TestSecretsStayWhereTheyBelong(t *testing.T) {
	t.Parallel()
	s := muster.Serve(t, muster.ServerOptions{LogLevel: "debug"})
	w := &witness{url: s.URL, token: s.Token, processes: []*muster.Process{s.Process}}
	w.Plant("the bootstrap token", s.Token)
	password, honeycomb := `mëtrics/pass+word "&=?<1>`, `höney/comb+key "&=?<2>`
	w.Plant("the metrics password", password)
	w.Plant("the honeycomb key", honeycomb)
	events := w.watch(t)

	// Everything that hands out a secret.
	me := w.call(t, "gitpod.v1.IdentityService/GetAuthenticatedIdentity", object{}).text("subject", "id")
	pat := w.handsOut(t, "a personal access token", "token", "gitpod.v1.UserService/CreatePersonalAccessToken", object{"userId": me, "description": "planted"})
	w.handsOut(t, "a member's token", "token", "muster.admin.v1.MemberService/AddMember",
		object{"name": "Member", "email": "member@example.com", "role": "ORGANIZATION_ROLE_MEMBER"})
	w.handsOut(t, "another token of a member", "token", "muster.admin.v1.MemberService/CreateMemberToken", object{"userId": me})
	exchange := w.handsOut(t, "a redeemed exchange token", "exchangeToken", "gitpod.v1.RunnerService/CreateRunner", object{
		"name": "keeps secrets", "provider": "RUNNER_PROVIDER_LINUX_HOST", "spec": object{"configuration": object{
			"metrics": object{"enabled": true, "url": "https://metrics.example.com", "username": "u", "password": password},
		}},
	})
	runner := w.call(t, "gitpod.v1.RunnerService/ListRunners", object{}).text("runners", "0", "runnerId")
	byID := object{"runnerId": runner}
	unused := w.handsOut(t, "an unused exchange token", "exchangeToken", "gitpod.v1.RunnerService/CreateRunnerToken", byID)

	host := s.Join(t, exchange)
	w.processes = append(w.processes, host.Process)
	ready := func(phase, revision string) func() error {
		return func() error {
			if got := w.call(t, "gitpod.v1.RunnerService/GetRunner", byID); got.text("runner", "status", "phase") != phase || !strings.Contains(string(got), revision) {
				return fmt.Errorf("the runner is not ready: %s", got)
			}
			return nil
		}
	}
	muster.Until(t, muster.Patience, ready("RUNNER_PHASE_ACTIVE", `"revision 1 applied"`))
	runnerToken := w.plantIdentity(t, host)
	w.call(t, "gitpod.v1.RunnerService/UpdateRunner", object{"runnerId": runner, "spec": object{"configuration": object{
		"honeycombApiKey": honeycomb, "logLevel": "LOG_LEVEL_DEBUG", "metrics": object{"password": password},
	}}})
	muster.Until(t, muster.Patience, ready("RUNNER_PHASE_ACTIVE", `"revision 2 applied"`))

	logs := w.handsOut(t, "a logs token", "accessToken", "gitpod.v1.RunnerService/CreateRunnerLogsToken", byID)
	got := w.call(t, "gitpod.v1.RunnerService/GetRunner", byID)
	w.Clean(t, "the logs", w.get(t, got.text("runner", "status", "logUrl"), logs), runner)
	w.Clean(t, "the support bundle", planted.Unpack(t, w.get(t, got.text("runner", "status", "supportBundleUrl"), logs)), runner)
	w.Clean(t, "the metrics", w.get(t, s.URL+"/metrics", ""), "muster_links")

	w.misuse(t, runner, map[string]string{
		"password": password, "bootstrap": s.Token, "pat": pat, "redeemed": exchange, "unused": unused, "logs": logs, "runner": runnerToken,
	})
	for _, token := range []string{exchange, unused[:len(unused)-4], pat} {
		failing := s.Join(t, token)
		w.processes = append(w.processes, failing.Process)
		if code := failing.Wait(t, muster.Patience); code == 0 {
			t.Error("a host joined with a token that is no good")
		}
	}

	// The files of a process that was killed have everything in them that it
	// had written, its write-ahead log included.
	host.Kill()
	s.Kill()
	s.Restart(t)
	w.processes = append(w.processes, s.Process)
	for _, list := range []string{"RunnerService/ListRunners", "UserService/ListPersonalAccessTokens"} {
		w.call(t, "gitpod.v1."+list, object{})
	}
	s.Kill()

	w.Clean(t, "the event stream", events(), runner)
	w.Clean(t, "the answers", w.answers.Bytes(), runner)
	for i, p := range w.processes {
		w.Clean(t, fmt.Sprintf("the output of process %d, %s", i+1, p), []byte(p.Printed()), "")
	}
	w.CleanFiles(t, s.DataDir, "secret-key", "keeps secrets")
	w.CleanFiles(t, host.DataDir, "identity.json", "")
}

// misuse sends every secret where it does not belong; the errors must not repeat
// it.
func (w *witness) misuse(t *testing.T, runner string, secrets map[string]string) {
	t.Helper()
	for name, secret := range secrets {
		for _, header := range []string{"Bearer " + secret, "Bearer " + secret[:len(secret)-2], "Bearer " + secret + " " + secret, "Basic " + secret, secret} {
			w.send(t, "/gitpod.v1.RunnerService/ListRunners", header, object{})
			w.send(t, "/muster.admin.v1.MemberService/AddMember", header, object{})
			w.fetch(t, w.url+"/runners/"+runner+"/logs", header)
			w.fetch(t, w.url+"/runners/"+runner+"/support-bundle?tail="+name, header)
		}
		w.send(t, "/gitpod.v1.IdentityService/ExchangeToken", "", object{"exchangeToken": secret[:len(secret)-1] + "x"})
		if name != "unused" {
			w.send(t, "/gitpod.v1.IdentityService/ExchangeToken", "", object{"exchangeToken": secret})
		}
		for _, misplaced := range []any{
			object{"runnerId": secret},
			object{"runnerId": []string{secret}},
			object{"runnerId": runner, "spec": object{"desiredPhase": secret}},
			object{"runnerId": runner, "spec": object{"configuration": object{"logLevel": secret}}},
			object{"runnerId": runner, "spec": object{"configuration": object{"honeycombApiKey": []string{secret}}}},
			object{"runnerId": runner, "spec": object{"configuration": object{"honeycombApiKey": secret + strings.Repeat("x", 5000)}}},
			object{"runnerId": runner, "spec": object{"configuration": object{"metrics": object{"password": object{"x": secret}}}}},
			object{"runnerId": runner, "spec": object{"configuration": object{"metrics": object{"password": secret + strings.Repeat("x", 5000)}}}},
			object{"runnerId": runner, "spec": object{"configuration": object{"metrics": object{"url": "https://u:" + secret + "@example.com"}}}},
			object{"runnerId": runner, "spec": object{"configuration": object{"metrics": secret}}},
			object{"runnerId": runner, "name": secret + strings.Repeat("x", 200)},
			json.RawMessage(`{"runnerId": "` + runner + `", "name": ` + secret),
			json.RawMessage(secret),
		} {
			w.send(t, "/gitpod.v1.RunnerService/UpdateRunner", "Bearer "+w.token, misplaced)
		}
		w.send(t, "/gitpod.v1.RunnerService/ListRunners", "Bearer "+w.token, object{"pagination": object{"token": secret}})
	}
}
