package robust_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/test/muster"
)

// observer is somebody with a token who may watch.
type observer struct {
	*witness
	*muster.Watcher

	id string
}

// organization is the one of a token: what the tests of rights need to make.
type organization struct {
	*witness

	server *muster.Server
	client *http.Client
	id     string
	me     string
	serial int
}

func organizationOf(t *testing.T, s *muster.Server, token string) *organization {
	t.Helper()
	o := &organization{witness: &witness{url: s.URL, token: token}, server: s, client: muster.NewAPI(s.URL, token).HTTP}
	me := o.call(t, identities+"GetAuthenticatedIdentity", object{})
	o.id, o.me = me.text("organizationId"), me.text("subject", "id")
	return o
}

// try calls a procedure, which may fail because nobody is there.
func (o *organization) try(ctx context.Context, procedure string, body object) (answer, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.url+"/"+procedure, bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := o.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	reply, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %d %s", procedure, res.StatusCode, reply)
	}
	return reply, err
}

// person adds a member.
func (o *organization) person(t *testing.T, name string) *observer {
	t.Helper()
	o.serial++
	made := o.call(t, admins+"MemberService/AddMember", object{
		"name": name, "email": fmt.Sprintf("p%d@example.com", o.serial), "role": "ORGANIZATION_ROLE_MEMBER",
	})
	return &observer{witness: &witness{url: o.url, token: made.text("token")}, id: made.text("member", "userId")}
}

// account adds a service account.
func (o *organization) account(t *testing.T, name string) *observer {
	t.Helper()
	made := o.call(t, accounts+"CreateServiceAccount", object{"name": name, "validUntil": "2100-01-01T00:00:00Z"}).text("serviceAccount", "id")
	token := o.call(t, accounts+"CreateServiceAccountAccessToken", object{"serviceAccountId": made}).text("token")
	return &observer{witness: &witness{url: o.url, token: token}, id: made}
}

func (o *organization) group(t *testing.T) string {
	t.Helper()
	o.serial++
	return o.call(t, groups+"CreateGroup", object{"organizationId": o.id, "name": fmt.Sprintf("group %d", o.serial)}).text("group", "id")
}

// join puts somebody into a group and returns the membership.
func (o *organization) join(t *testing.T, group, principal, id string) string {
	t.Helper()
	return o.call(t, groups+"CreateMembership", object{"groupId": group, "subject": object{"id": id, "principal": principal}}).text("member", "id")
}

func (o *organization) policy(t *testing.T, runner, group, role string) {
	t.Helper()
	o.call(t, runners+"CreateRunnerPolicy", object{"runnerId": runner, "groupId": group, "role": role})
}

// mark changes the organization, which all in it may see, so that whoever has
// seen that has seen all that was before it.
func (o *organization) mark(t *testing.T) {
	t.Helper()
	o.serial++
	o.call(t, orgs+"UpdateOrganization", object{"organizationId": o.id, "name": fmt.Sprintf("Name %d", o.serial)})
}

// watch opens a stream of somebody.
func (w *observer) watch(t *testing.T) *observer {
	t.Helper()
	w.Watcher = muster.NewAPI(w.url, w.token).Watch(t)
	return w
}

// marked waits until the observer has seen so many marks.
func (w *observer) marked(t *testing.T, marks int) {
	t.Helper()
	muster.Until(t, muster.Patience, func() error {
		if ended, err := w.Ended(); ended {
			t.Fatalf("the stream ended: %v", err)
		}
		if n := len(w.seen(gitpodv1.ResourceType_RESOURCE_TYPE_ORGANIZATION)); n < marks {
			return fmt.Errorf("%d of %d marks were seen", n, marks)
		}
		return nil
	})
}

// seen lists the events on resources of a type so far.
func (w *observer) seen(typ gitpodv1.ResourceType) []string {
	var all []string
	for _, e := range w.Seen() {
		if e.GetResourceType() == typ {
			all = append(all, said(e))
		}
	}
	return all
}

// deletions lists the deletions so far, sorted.
func (w *observer) deletions() []string {
	var all []string
	for _, e := range w.Seen() {
		if e.GetOperation() == gitpodv1.ResourceOperation_RESOURCE_OPERATION_DELETE {
			all = append(all, said(e))
		}
	}
	slices.Sort(all)
	return all
}

// said is an event in short: "RUNNER DELETE ID".
func said(e *gitpodv1.WatchEventsResponse) string {
	return strings.TrimPrefix(e.GetResourceType().String(), "RESOURCE_TYPE_") + " " +
		strings.TrimPrefix(e.GetOperation().String(), "RESOURCE_OPERATION_") + " " + e.GetResourceId()
}
