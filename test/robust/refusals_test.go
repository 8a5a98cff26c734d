package robust_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	adminv1 "github.com/musterhq/muster/gen/muster/admin/v1"
	"github.com/musterhq/muster/gen/muster/admin/v1/adminv1connect"
	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/gen/muster/link/v1/linkv1connect"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/test/muster"
)

// Whoever fails to sign in, anywhere, is in the log with the real address and the
// reason, and never with what they came with.
func TestRefusedSignInsAreLogged(t *testing.T) {
	t.Parallel()
	s := behindProxy(t)
	admin := s.Admin()
	members := adminv1connect.NewMemberServiceClient(client(t, "", s.Token), s.URL)
	ann, err := members.AddMember(t.Context(), connect.NewRequest(&adminv1.AddMemberRequest{Name: "Ann", Email: "ann@example.com", Role: 2}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := members.SuspendMember(t.Context(), connect.NewRequest(&adminv1.SuspendMemberRequest{UserId: ann.Msg.GetMember().GetUserId()})); err != nil {
		t.Fatal(err)
	}
	_, exchange := admin.NewRunner(t, "joined once")
	if _, err := admin.Redeem(t, exchange); err != nil {
		t.Fatal(err)
	}
	const (
		json    = "application/json"
		list    = "/gitpod.v1.RunnerService/ListRunners"
		watch   = "/gitpod.v1.EventService/WatchEvents"
		redeem  = "/gitpod.v1.IdentityService/ExchangeToken"
		nobodys = "nobody-has-this-token-of-32-characters"
	)
	attempts := []struct {
		name, token, method, path, contentType, body string
		reason                                       string
	}{
		{"unknown token", nobodys, "POST", list, json, "{}", "unknown-token"},
		{"cut off token", "muster_pat_0000secret", "POST", list, json, "{}", "malformed-token"},
		{"no token", "", "POST", list, json, "{}", "missing-token"},
		{"suspended", ann.Msg.GetToken(), "POST", list, json, "{}", "suspended"},
		{"exchange token as a token", exchange, "POST", list, json, "{}", "malformed-token"},
		{"over gRPC", nobodys, "POST", list, "application/grpc+proto", "", "unknown-token"},
		{"over gRPC-Web", nobodys, "POST", list, "application/grpc-web+proto", "", "unknown-token"},
		{"watching in lines", nobodys, "POST", watch, json, "{}", "unknown-token"},
		{"watching", nobodys, "POST", watch, "application/connect+json", "", "unknown-token"},
		{"used exchange token", "", "POST", redeem, json, `{"exchangeToken":"` + exchange + `"}`, "exchange-token-used"},
		{"no exchange token", "", "POST", redeem, json, `{"exchangeToken":"` + nobodys + `"}`, "unknown-token"},
		{"logs token", nobodys, "GET", "/runners/01989d2e-7c1b-7000-8000-00000000ffff/logs", "", "", "unknown-token"},
		{"no logs token", "", "GET", "/runners/01989d2e-7c1b-7000-8000-00000000ffff/support-bundle", "", "", "missing-token"},
		{"sign-in at a host", "", "GET", "/oauth/callback?state=" + nobodys + "&code=" + nobodys, "", "", "sign-in-failed"},
		{"link", nobodys, "POST", "/muster.link.v1.LinkService/Connect", "application/connect+proto", "", "unknown-token"},
	}
	for i, a := range attempts {
		send(t, client(t, fmt.Sprintf("203.0.113.%d", 10+i), a.token), a.method, s.URL+a.path, a.contentType, a.body)
	}
	lines := func(what string) []string {
		return regexp.MustCompile(`(?m)^.*"msg":"`+what+`".*$`).FindAllString(s.Printed(), -1)
	}
	for i, a := range attempts {
		address := fmt.Sprintf(`"address":"203.0.113.%d"`, 10+i)
		what := "a sign-in was refused"
		if a.name == "link" {
			what = "a link was refused"
		}
		muster.Until(t, muster.Patience, func() error {
			for _, line := range lines(what) {
				if strings.Contains(line, address) && strings.Contains(line, `"reason":"`+a.reason+`"`) {
					return nil
				}
			}
			return fmt.Errorf("%s: the log has no line with %s and %s: %s", a.name, address, a.reason, grep(s.Printed(), address))
		})
	}

	// A flood of them does not bury what else the log says.
	const flood = 150
	before := len(lines("a sign-in was refused"))
	begun := time.Now()
	for i := range flood {
		send(t, client(t, fmt.Sprintf("198.51.%d.%d", i/100, i%100), nobodys), "POST", s.URL+list, json, "{}")
	}
	if n, most := len(lines("a sign-in was refused"))-before, 21+int(time.Since(begun).Seconds()); n > most {
		t.Errorf("%d of %d refusals were logged, at most %d may be", n, flood, most)
	}
	left := regexp.MustCompile(`"not_shown_before":([1-9]\d*)`)
	muster.Until(t, muster.Patience, func() error {
		send(t, client(t, "203.0.113.99", nobodys), "POST", s.URL+list, json, "{}")
		for _, line := range lines("a sign-in was refused") {
			if m := left.FindStringSubmatch(line); m != nil {
				if n, _ := strconv.Atoi(m[1]); n > 0 {
					return nil
				}
			}
		}
		return fmt.Errorf("the log does not say how many were left out")
	})
	for _, secret := range []string{nobodys, "0000secret", exchange, ann.Msg.GetToken(), s.Token} {
		if strings.Contains(s.Printed(), secret) {
			t.Errorf("the log has the token %q: %s", secret, grep(s.Printed(), secret))
		}
	}
}

// Calls that anybody can make fail are told apart by their address, and bury nothing
// either; the last of a flood are counted without another one after them.
func TestCallsOfNobodyThatFailAreBounded(t *testing.T) {
	t.Parallel()
	s := behindProxy(t)
	lines := func(message string) (found []string) {
		for line := range strings.Lines(s.Printed()) {
			if strings.Contains(line, `"msg":"`+message+`"`) {
				found = append(found, line)
			}
		}
		return found
	}
	const (
		redeem = "/gitpod.v1.IdentityService/ExchangeToken"
		health = "/grpc.health.v1.Health/Check"
		flood  = 60
	)
	for _, kind := range []struct{ message, path, contentType, body string }{
		{"a sign-in was refused", redeem, "application/json", "{}"},
		{"a sign-in was refused", redeem, "application/json", "{"},
		{"a sign-in was refused", redeem, "text/plain", "x"},
		{"a call without a token failed", health, "application/json", "{"},
		{"a call without a token failed", health, "text/plain", "x"},
	} {
		for i := range flood {
			send(t, client(t, fmt.Sprintf("203.0.113.%d", i), ""), "POST", s.URL+kind.path, kind.contentType, kind.body)
		}
	}
	for _, message := range []string{"a sign-in was refused", "a call without a token failed"} {
		muster.Until(t, muster.Patience, func() error {
			for _, line := range lines("more of these were not shown") {
				if strings.Contains(line, message) {
					return nil
				}
			}
			return fmt.Errorf("nothing says how many of %q were not shown", message)
		})
		found := lines(message)
		if len(found) == 0 || len(found) > flood {
			t.Errorf("%q is logged %d times", message, len(found))
		}
		for _, line := range found {
			if !strings.Contains(line, `"address":"203.0.113.`) {
				t.Errorf("without its address: %s", line)
			}
		}
	}
	if calls := lines("call"); len(calls) > 0 {
		t.Errorf("%d lines are not bounded, such as %s", len(calls), calls[0])
	}
}

func send(t *testing.T, c *http.Client, method, url, contentType, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	c.CloseIdleConnections()
}

// A runner that is known and still not let in is a link that is refused.
func TestRefusedLinksAreLogged(t *testing.T) {
	t.Parallel()
	s := behindProxy(t)
	admin := s.Admin()
	runner, exchange := admin.NewRunner(t, "of another release")
	token, err := admin.Redeem(t, exchange)
	if err != nil {
		t.Fatal(err)
	}
	for i, tt := range []struct {
		token   string
		version uint32
		reason  string
	}{
		{token, 99, "link-protocol-version"},
		{s.Token, 1, "not-allowed"}, // an admin is no runner
	} {
		address := fmt.Sprintf("203.0.113.%d", 10+i)
		ctx, cancel := context.WithTimeout(t.Context(), muster.Patience)
		stream := linkv1connect.NewLinkServiceClient(client(t, address, tt.token), s.URL).Connect(ctx)
		_ = stream.Send(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Hello{Hello: &linkv1.Hello{
			ProtocolVersion: tt.version, BootId: id.New(), HostName: "other", PublicKey: make([]byte, 32), Report: &linkv1.Report{},
		}}})
		if _, err := stream.Receive(); err == nil {
			t.Fatal("it was let in")
		}
		cancel()
		line := regexp.MustCompile(`"msg":"a link was refused"[^\n]*"address":"` + address + `"[^\n]*"reason":"` + tt.reason + `"`)
		muster.Until(t, muster.Patience, func() error {
			if !line.MatchString(s.Printed()) {
				return fmt.Errorf("the log does not say so: %s", s.Printed())
			}
			return nil
		})
	}
	if !strings.Contains(s.Printed(), `"caller":"runner `+runner+`"`) {
		t.Errorf("the log does not name the runner: %s", s.Printed())
	}
}

// Durations in logs have units, in JSON too.
func TestDurationsHaveUnits(t *testing.T) {
	t.Parallel()
	s := muster.Serve(t, muster.ServerOptions{LogLevel: "debug"})
	r := connected(t, s, "verbose")
	r.host.Stop(t)
	if _, err := s.Admin().Runner(t, r.id); err != nil {
		t.Fatal(err)
	}
	bare := regexp.MustCompile(`"(duration|took|in|next|for|lease|reconnect|wait|retry_in)":-?[0-9]`)
	unit := regexp.MustCompile(`"duration":"[0-9.]+(ns|µs|ms|s)"`)
	for _, log := range []string{s.Printed(), r.host.Printed()} {
		if bad := bare.FindString(log); bad != "" {
			t.Errorf("%s has no unit: %s", bad, grep(log, bad))
		}
	}
	if !unit.MatchString(s.Printed()) {
		t.Errorf("no call has a duration: %s", s.Printed())
	}
}
