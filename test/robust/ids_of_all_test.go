package robust_test

import (
	"strings"
	"testing"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/test/muster"
)

// An id in a request, whichever it is, that names nothing is not found, and
// neither is one of another organization's; both are told in the same words.
func TestIdsOfNothingInAllRequests(t *testing.T) {
	t.Parallel()
	s := muster.Serve(t, muster.ServerOptions{})
	admin := &witness{url: s.URL, token: s.Token}
	good := goodRequests(t, s)
	foreign := &witness{url: s.URL, token: admin.call(t, admins+"InstallationService/CreateOrganization", object{
		"name": "Second", "adminName": "Eve", "adminEmail": "eve@example.com",
	}).text("token")}
	asked := 0
	for _, m := range methods(t) {
		name := procedure(m)
		rule, _ := access.RuleOf(name)
		if rule.Permission == access.Unbuilt || m.IsStreamingServer() {
			continue
		}
		for field, value := range good[name] {
			text, _ := value.(string)
			if !id.Valid(text) {
				continue
			}
			asked++
			for what, nothing := range map[string]string{
				"unknown": nobody, "in upper case": strings.ToUpper(nobody), "zero": "00000000-0000-0000-0000-000000000000",
			} {
				admin.notFound(t, field+" "+what, name, with(good[name], []string{field}, nothing))
			}
			foreign.notFound(t, "of another organization", name, good[name])
		}
	}
	if asked < 60 {
		t.Errorf("only %d fields were tried", asked)
	}
	unharmed(t, s)
}
