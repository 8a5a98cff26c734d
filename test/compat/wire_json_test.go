package compat

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestWireJSONRequests(t *testing.T) {
	t.Parallel()
	s := serve(t)
	w := s.wire(t, bootstrapToken)
	const list, create = "/api/gitpod.v1.RunnerService/ListRunners", "/api/gitpod.v1.RunnerService/CreateRunner"
	for i := range 3 {
		if r := w.json(t, create, fmt.Sprintf(`{"name":"runner %d","provider":"RUNNER_PROVIDER_LINUX_HOST"}`, i)); r.status != http.StatusOK {
			t.Fatalf("CreateRunner: %d %s", r.status, r.body)
		}
	}

	t.Run("forms of the same thing", func(t *testing.T) {
		for _, body := range []string{
			`{}`, ``, `{"empty":true}`, `{"pagination":null,"filter":null}`, `{"filter":{"creatorIds":[],"kinds":null}}`,
			`{"pagination":{"pageSize":0,"token":""}}`, `{"pagination":{"page_size":25}}`, `{"aFieldOfTomorrow":{"with":["anything"]}}`,
			`{"filter":{"providers":["RUNNER_PROVIDER_LINUX_HOST"],"since":"tomorrow"}}`,
		} {
			if names, _ := runnersOf(t, w.json(t, list, body)); names != "runner 0, runner 1, runner 2" {
				t.Errorf("%s: %s", body, names)
			}
		}
		for _, contentType := range []string{"application/json; charset=utf-8", "application/json;charset=UTF-8"} {
			r := w.post(t, list, map[string]string{"Content-Type": contentType}, []byte(`{}`))
			if names, _ := runnersOf(t, r); names != "runner 0, runner 1, runner 2" {
				t.Errorf("%s: %s", contentType, names)
			}
		}
	})

	t.Run("paging", func(t *testing.T) {
		names, first := runnersOf(t, w.json(t, list+"?pageSize=1", `{}`))
		if names != "runner 0" || first == "" {
			t.Fatalf("the first page has %s, next %q", names, first)
		}
		if first != strings.Map(urlSafe, first) {
			t.Errorf("the token %q needs escaping in URLs", first)
		}
		_, second := runnersOf(t, w.json(t, list+"?pageSize=1&token="+first, `{}`))
		for _, test := range []struct{ query, body, want string }{
			{"?pageSize=2", `{"pagination":{"pageSize":1}}`, "runner 0, runner 1"},
			{"?token=&pageSize=", `{}`, "runner 0, runner 1, runner 2"},
			{"?token=", `{"pagination":{"token":"` + first + `"}}`, "runner 1, runner 2"},
			{"?token=" + first, `{"pagination":{"pageSize":1}}`, "runner 1"},
			{"?token=" + second, `{"pagination":{"pageSize":1,"token":"` + first + `"}}`, "runner 2"},
			{"?token=" + second, `{"pagination":{"pageSize":1,"token":"garbage"}}`, "runner 2"},
			{"?pageSize=1&token=" + first, `{"pagination":{"pageSize":100}}`, "runner 1"},
			{"?somethingElse=1", `{}`, "runner 0, runner 1, runner 2"},
		} {
			if names, _ := runnersOf(t, w.json(t, list+test.query, test.body)); names != test.want {
				t.Errorf("%s %s: %s, want %s", test.query, test.body, names, test.want)
			}
		}
		for _, query := range []string{"?pageSize=many", "?pageSize=101", "?pageSize=-1", "?token=garbage", "?token=%20"} {
			w.json(t, list+query, `{}`).want(t, http.StatusBadRequest, "invalid_argument")
		}
		// Page 1 of 3 with three rows has no next page, and never an empty one.
		if names, next := runnersOf(t, w.json(t, list+"?pageSize=3", `{}`)); names == "" || next != "" {
			t.Errorf("a page that has it all: %s, next %q", names, next)
		}
	})

	t.Run("refused", func(t *testing.T) {
		for _, body := range []string{`{`, `[]`, `"runners"`, `{"filter":7}`, `{"filter":{"kinds":["LOCAL"]}}`, `{"pagination":{"pageSize":"all"}}`} {
			w.json(t, list, body).want(t, http.StatusBadRequest, "invalid_argument")
		}
		// The documentation's HTTP example has no name.
		w.json(t, create, `{}`).want(t, http.StatusBadRequest, "invalid_argument")
	})
}

func TestWireJSONReplies(t *testing.T) {
	t.Parallel()
	s := serve(t)
	w := s.wire(t, bootstrapToken)
	const service = "/api/gitpod.v1.RunnerService/"
	// Whoever reads a page without looking needs its list, and its paging.
	sameJSON(t, "an empty list", onlySet(t, string(w.json(t, service+"ListRunners", `{}`).body)), `{"runners":[],"pagination":{}}`)
	sameJSON(t, "no gateways", onlySet(t, string(w.json(t, "/api/gitpod.v1.GatewayService/ListGateways", `{}`).body)), `{"gateways":[],"pagination":{}}`)

	created := w.json(t, service+"CreateRunner", `{"name":"json","provider":"RUNNER_PROVIDER_LINUX_HOST","spec":{"configuration":{"updateWindow":{"startHour":0}}}}`)
	var got struct {
		Runner map[string]any `json:"runner"`
	}
	if err := json.Unmarshal(created.body, &got); err != nil {
		t.Fatal(err)
	}
	id, _ := got.Runner["runnerId"].(string)
	spec, _ := got.Runner["spec"].(map[string]any)
	configuration, _ := spec["configuration"].(map[string]any)
	if window, _ := configuration["updateWindow"].(map[string]any); len(window) != 1 || window["startHour"] != 0.0 {
		t.Errorf("the window is %v: only what was sent is there", window)
	}
	if strings.Contains(string(created.body), "null") {
		t.Errorf("an unset message is null: %s", created.body)
	}

	for _, call := range []struct{ method, body string }{
		{"UpdateRunner", `{"runnerId":"` + id + `","name":"renamed"}`},
		{"DeleteRunner", `{"runnerId":"` + id + `"}`},
	} {
		r := w.json(t, service+call.method, call.body)
		if string(r.body) != "{}" || r.status != http.StatusOK || !strings.HasPrefix(r.header.Get("Content-Type"), "application/json") {
			t.Errorf("%s: %d %q %s", call.method, r.status, r.body, r.header.Get("Content-Type"))
		}
	}
}

// TestWireSteering: the SDKs retry by status unless a header says otherwise.
func TestWireSteering(t *testing.T) {
	t.Parallel()
	s := serve(t)
	w := s.wire(t, bootstrapToken)
	for _, path := range []string{"/api/gitpod.v1.AccountService/GetAccount", "/gitpod.v1.SecretService/ListSecrets", "/api/gitpod.v1.ProjectService/CreateProject"} {
		r := w.json(t, path, `{}`)
		r.want(t, http.StatusNotImplemented, "unimplemented")
		if r.header.Get("X-Should-Retry") != "false" {
			t.Errorf("%s: X-Should-Retry is %q", path, r.header.Get("X-Should-Retry"))
		}
	}
	// The token is looked at before anything else.
	for _, path := range []string{"/api/gitpod.v1.RunnerService/ListRunners", "/api/gitpod.v1.AccountService/GetAccount", "/gitpod.v1.EventService/WatchEvents"} {
		s.wire(t, "").json(t, path, `{`).want(t, http.StatusUnauthorized, "unauthenticated")
	}
	// A redirect would become a GET without a body.
	for _, path := range []string{
		"/api/gitpod.v1.RunnerService/ListRunners/", "//api/gitpod.v1.RunnerService/ListRunners", "/api//gitpod.v1.RunnerService/ListRunners",
		"/api", "/api/", "/API/gitpod.v1.RunnerService/ListRunners", "/api/../gitpod.v1.RunnerService/ListRunners",
	} {
		if r := w.json(t, path, `{}`); r.status >= 300 && r.status < 400 {
			t.Errorf("%s: redirected to %s", path, r.header.Get("Location"))
		}
	}
	for _, test := range []struct {
		contentType string
		status      int
	}{{"text/plain", http.StatusUnsupportedMediaType}, {"application/x-www-form-urlencoded", http.StatusUnsupportedMediaType}} {
		r := w.post(t, "/api/gitpod.v1.RunnerService/ListRunners", map[string]string{"Content-Type": test.contentType}, []byte(`{}`))
		if r.status != test.status {
			t.Errorf("%s: %d", test.contentType, r.status)
		}
	}
}

// runnersOf reads a page of runners: their names and the next token.
func runnersOf(t *testing.T, r reply) (names, next string) {
	t.Helper()
	if r.status != http.StatusOK {
		t.Fatalf("ListRunners: %d %s", r.status, r.body)
	}
	var page struct {
		Runners []struct {
			Name string `json:"name"`
		} `json:"runners"`
		Pagination struct {
			NextToken string `json:"nextToken"`
		} `json:"pagination"`
	}
	if err := json.Unmarshal(r.body, &page); err != nil {
		t.Fatalf("%v in %s", err, r.body)
	}
	var all []string
	for _, runner := range page.Runners {
		all = append(all, runner.Name)
	}
	return strings.Join(all, ", "), page.Pagination.NextToken
}

func urlSafe(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
		return r
	}
	return '?'
}
