package fakehost

import (
	"encoding/json"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
)

// object is a JSON object.
type object = map[string]any

// answer sends JSON.
func answer(w http.ResponseWriter, v any) {
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json")
	}
	_ = json.NewEncoder(w).Encode(v)
}

// refuse sends JSON with a status.
func refuse(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	answer(w, v)
}

// number is a parameter of the query; preset when it is absent.
func number(r *http.Request, name string, preset int) int {
	if n, err := strconv.Atoi(r.FormValue(name)); err == nil {
		return n
	}
	return preset
}

// Resolve is the full id of a commit; empty when there is none. A nil Repo has
// none.
func (r *Repo) Resolve(revision string) string { return r.look("rev-parse", revision+"^{commit}") }

// Head is the default branch; empty without commits and for a nil Repo.
func (r *Repo) Head() string {
	if r.Resolve("HEAD") == "" {
		return ""
	}
	return r.look("symbolic-ref", "--short", "HEAD")
}

func (r *Repo) look(args ...string) string {
	if r == nil {
		return ""
	}
	out, err := exec.CommandContext(r.t.Context(), "git", append([]string{"--git-dir", r.Dir}, args...)...).Output() //nolint:gosec // a test's own repository
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}
