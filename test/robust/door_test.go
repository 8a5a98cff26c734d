package robust_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/types/known/emptypb"

	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/gen/muster/link/v1/linkv1connect"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/test/muster"
)

// behindProxy is a control plane that takes this host's word for who calls.
func behindProxy(t *testing.T, env ...string) *muster.Server {
	return muster.Serve(t, muster.ServerOptions{Env: append(env, "MUSTER_TRUSTED_PROXY=127.0.0.0/8")})
}

// from makes requests in the name of an address, as a proxy does.
type from struct {
	forwarded string
	token     string
	rt        http.RoundTripper
}

func (f from) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if f.forwarded != "" {
		r.Header.Set("X-Forwarded-For", f.forwarded)
	}
	if f.token != "" {
		r.Header.Set("Authorization", "Bearer "+f.token)
	}
	return f.rt.RoundTrip(r)
}

// client makes an HTTP/2 client with a connection of its own.
func client(t *testing.T, forwarded, token string) *http.Client {
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: from{forwarded, token, transport}}
}

// watchHealth opens a stream for which nobody needs a token. It returns the
// refusal; nil means that the stream stands, until the test ends.
func watchHealth(t *testing.T, c *http.Client, url string, opts ...connect.ClientOption) error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	stream, err := connect.NewClient[emptypb.Empty, emptypb.Empty](c, url+"/grpc.health.v1.Health/Watch", opts...).
		CallServerStream(ctx, connect.NewRequest(&emptypb.Empty{}))
	if err != nil {
		t.Fatal(err)
	}
	if stream.Receive() {
		return nil
	}
	return stream.Err()
}

// limited checks that an error refuses because of a limit and says, in each of
// the ways that clients know, when to come back.
func limited(t *testing.T, err error) {
	t.Helper()
	e := new(connect.Error)
	if connect.CodeOf(err) != connect.CodeResourceExhausted || !asError(err, &e) {
		t.Fatalf("%v; want resource_exhausted", err)
	}
	if info := muster.Info(err); info.GetReason() != "limit-reached" {
		t.Errorf("reason %q, want limit-reached", info.GetReason())
	}
	for _, header := range []string{"Retry-After", "RateLimit-RetryAfter"} {
		if n, aerr := strconv.Atoi(e.Meta().Get(header)); aerr != nil || n < 1 {
			t.Errorf("%s is %q", header, e.Meta().Get(header))
		}
	}
	if e.Meta().Get("X-Should-Retry") == "false" {
		t.Error("clients are told not to come back")
	}
	for _, d := range e.Details() {
		if v, verr := d.Value(); verr == nil {
			if retry, ok := v.(*errdetails.RetryInfo); ok && retry.GetRetryDelay().AsDuration() > 0 {
				return
			}
		}
	}
	t.Error("there is no RetryInfo")
}

func asError(err error, e **connect.Error) bool {
	found, ok := err.(*connect.Error) //nolint:errorlint // a client returns it as it is
	*e = found
	return ok
}

// Streams without a token are bounded in all, also for this host; those with a
// token, and who asks whether the process is well, are not in their way.
func TestStreamsWithoutATokenAreBounded(t *testing.T) {
	t.Parallel()
	s := muster.Serve(t, muster.ServerOptions{})
	c := client(t, "", "")
	open, refusal := 0, error(nil)
	for range 520 {
		err := watchHealth(t, c, s.URL)
		if err == nil {
			open++
			continue
		}
		refusal = err
		break
	}
	if open != 500 {
		t.Fatalf("%d streams are open, want 500; then: %v", open, refusal)
	}
	limited(t, refusal)
	// Reflection is a stream for everybody, too, in both of its versions.
	for _, version := range []string{"v1", "v1alpha"} {
		stream := connect.NewClient[emptypb.Empty, emptypb.Empty](c, s.URL+"/grpc.reflection."+version+".ServerReflection/ServerReflectionInfo", connect.WithGRPC()).
			CallBidiStream(t.Context())
		_ = stream.Send(&emptypb.Empty{})
		_, err := stream.Receive()
		limited(t, err)
		_ = stream.CloseRequest()
	}
	if _, err := s.Admin().Runner(t, "01989d2e-7c1b-7000-8000-00000000ffff"); connect.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("a call with a token: %v", err)
	}
	s.Admin().Watch(t)
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		if status, _ := get(t, c, s.URL+path); status != http.StatusOK {
			t.Errorf("%s: %d", path, status)
		}
	}
	_, metrics := get(t, c, s.URL+"/metrics")
	if !strings.Contains(metrics, `muster_refused_total{limit="streams"} 3`) || !strings.Contains(metrics, `muster_open{kind="streams"} 500`) {
		t.Errorf("the metrics do not count: %s", grep(metrics, "muster_refused_total", "muster_open"))
	}
	if log := s.Printed(); strings.Count(log, "a limit is reached") != 1 {
		t.Errorf("the log has not one line of it: %s", log)
	}
}

func grep(text string, words ...string) (found string) {
	for line := range strings.Lines(text) {
		for _, w := range words {
			if strings.Contains(line, w) {
				found += line
			}
		}
	}
	return found
}

func get(t *testing.T, c *http.Client, url string) (status int, body string) {
	t.Helper()
	res, err := c.Get(url) //nolint:noctx // a test
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(raw)
}

// One address has so many streams, in every protocol; its neighbours have their
// own. Only what the proxy itself wrote tells who calls.
func TestStreamsOfAnAddress(t *testing.T) {
	t.Parallel()
	s := behindProxy(t)
	for i := range 20 {
		// What is left of the caller, the caller made up; 127.0.0.9 is a second proxy.
		forwarded := fmt.Sprintf("198.51.100.%d, 203.0.113.7:%d, 127.0.0.9", i, 40000+i)
		if err := watchHealth(t, client(t, forwarded, ""), s.URL); err != nil {
			t.Fatalf("stream %d: %v", i+1, err)
		}
	}
	for name, opts := range map[string][]connect.ClientOption{"connect": nil, "gRPC": {connect.WithGRPC()}, "gRPC-Web": {connect.WithGRPCWeb()}} {
		t.Log(name)
		limited(t, watchHealth(t, client(t, "203.0.113.7", ""), s.URL, opts...))
	}
	if err := watchHealth(t, client(t, "203.0.113.8", ""), s.URL); err != nil {
		t.Errorf("another address: %v", err)
	}
	// A subscriber has 64 bits of IPv6.
	for i := range 20 {
		if err := watchHealth(t, client(t, fmt.Sprintf("2001:db8:0:1::%x", i+1), ""), s.URL); err != nil {
			t.Fatalf("stream %d over IPv6: %v", i+1, err)
		}
	}
	limited(t, watchHealth(t, client(t, "2001:db8:0:1:ffff::1", ""), s.URL))
	if err := watchHealth(t, client(t, "2001:db8:0:2::1", ""), s.URL); err != nil {
		t.Errorf("another network: %v", err)
	}
	// The proxy itself, and what it cannot name, count in all only.
	for range 25 {
		for _, forwarded := range []string{"", "unknown", "203.0.113.7, nonsense"} {
			if err := watchHealth(t, client(t, forwarded, ""), s.URL); err != nil {
				t.Fatalf("forwarded for %q: %v", forwarded, err)
			}
		}
	}
}

// Without a word about proxies, nobody can say that somebody else calls.
func TestForwardedForIsNobodysWord(t *testing.T) {
	t.Parallel()
	s := muster.Serve(t, muster.ServerOptions{Env: []string{"MUSTER_TRUSTED_PROXY=192.0.2.0/24"}})
	c := client(t, "203.0.113.7", "")
	for i := range 30 {
		if err := watchHealth(t, c, s.URL); err != nil {
			t.Fatalf("stream %d of this host: %v", i+1, err)
		}
	}
}

// Requests of an address without a token are so many a second, whatever they are
// for; tokens that are none count, and do not keep out those that are.
func TestRequestsOfAnAddress(t *testing.T) {
	t.Parallel()
	// So few that a busy machine goes beyond them, too.
	s := behindProxy(t, "MUSTER_LIMIT_ADDRESS_REQUESTS=2")
	good := client(t, "203.0.113.9", s.Token)
	ask := func(t *testing.T, c *http.Client, method, path, contentType, body string) (*http.Response, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", contentType)
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		raw, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res, string(raw)
	}
	const json = "application/json"
	for i, tt := range []struct {
		name, token, method, path, contentType, body string
		status                                       int
	}{
		{"health page", "", "GET", "/healthz", "", "", 200},
		{"ready page", "", "GET", "/readyz", "", "", 200},
		{"metrics", "", "GET", "/metrics", "", "", 200},
		{"discovery", "", "GET", "/.well-known/openid-configuration", "", "", 200},
		{"keys", "", "GET", "/.well-known/jwks.json", "", "", 200},
		{"sign-in page", "", "GET", "/oauth/begin?link=x", "", "", 0},
		{"sign-in callback", "", "GET", "/oauth/callback?state=x&code=y", "", "", 0},
		{"no such page", "", "GET", "/nothing/here", "", "", 404},
		{"unclean path", "", "GET", "//healthz", "", "", 404},
		{"health call", "", "POST", "/grpc.health.v1.Health/Check", json, "{}", 200},
		{"exchange token", "", "POST", "/api/gitpod.v1.IdentityService/ExchangeToken", json, `{"exchangeToken":"x"}`, 0},
		{"wrong method", "", "PUT", "/gitpod.v1.RunnerService/ListRunners", json, "{}", 405},
		{"no token", "", "POST", "/gitpod.v1.RunnerService/ListRunners", json, "{}", 401},
		{"no token, no such procedure", "", "POST", "/gitpod.v1.RunnerService/Nothing", json, "{}", 401},
		{"token that cannot be", "muster_pat_0000", "POST", "/gitpod.v1.RunnerService/ListRunners", json, "{}", 401},
		{"unknown token", "nobody-has-this-token-of-32-characters", "POST", "/gitpod.v1.RunnerService/ListRunners", json, "{}", 401},
		{"unknown token, watching", "nobody-has-this-token-of-32-characters", "POST", "/gitpod.v1.EventService/WatchEvents", "application/jsonl", `{"organization":true}`, 401},
		{"unknown logs token", "nobody", "GET", "/runners/01989d2e-7c1b-7000-8000-00000000ffff/logs?tail=x", "", "", 401},
		{"no logs token", "", "GET", "/runners/01989d2e-7c1b-7000-8000-00000000ffff/support-bundle", "", "", 401},
	} {
		t.Run(tt.name, func(t *testing.T) {
			address := fmt.Sprintf("203.0.113.%d", 100+i)
			c := client(t, address, tt.token)
			refused, first := 0, 0
			var last *http.Response
			var text string
			for range 40 {
				res, body := ask(t, c, tt.method, tt.path, tt.contentType, tt.body)
				if first == 0 {
					first = res.StatusCode
				}
				if res.StatusCode == http.StatusTooManyRequests {
					refused++
					last, text = res, body
				}
			}
			if tt.status != 0 && first != tt.status || first == http.StatusTooManyRequests {
				t.Errorf("the first answer is %d, want %d", first, tt.status)
			}
			if refused == 0 {
				t.Fatal("40 requests were all answered")
			}
			if last.Header.Get("Retry-After") != "1" || last.Header.Get("Ratelimit-Retryafter") != "1" ||
				!strings.Contains(text, "resource_exhausted") || !strings.Contains(text, "RetryInfo") || !strings.Contains(text, address) {
				t.Errorf("the refusal: %v %s", last.Header, text)
			}
			res, body := ask(t, client(t, address, s.Token), "POST", "/gitpod.v1.RunnerService/ListRunners", json, "{}")
			if res.StatusCode != http.StatusOK {
				t.Errorf("a good token from the same address: %d %s", res.StatusCode, body)
			}
		})
	}
	for range 50 { // with a token, calls are not counted
		if res, body := ask(t, good, "POST", "/gitpod.v1.RunnerService/ListRunners", json, "{}"); res.StatusCode != http.StatusOK {
			t.Fatalf("%d %s", res.StatusCode, body)
		}
	}
}

// The owner of a token opens so many streams a second.
func TestStreamsOfACaller(t *testing.T) {
	t.Parallel()
	s := muster.Serve(t, muster.ServerOptions{Env: []string{"MUSTER_LIMIT_CALLER_STREAMS=12"}})
	c := client(t, "", s.Token)
	watch := func() (status int, header http.Header, body io.ReadCloser) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/gitpod.v1.EventService/WatchEvents", bytes.NewBufferString(`{"organization":true}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = res.Body.Close() })
		return res.StatusCode, res.Header, res.Body
	}
	opened, refused, begun := 0, 0, time.Now()
	for range 60 {
		status, header, body := watch()
		if status == http.StatusOK {
			opened++
			_ = body.Close() // the next one is one more to open, not one more that is open
			continue
		}
		refused++
		if status != http.StatusTooManyRequests || header.Get("Retry-After") != "1" {
			t.Fatalf("status %d, %v", status, header)
		}
	}
	if most := 11 + int(10*time.Since(begun).Seconds()); opened > most || refused == 0 {
		t.Errorf("%d streams were opened in %s, at most %d may be; %d were refused", opened, time.Since(begun), most, refused)
	}
	// Who waits as asked gets as many as may be open at the same time.
	open := 0
	muster.Until(t, muster.Patience, func() error {
		status, _, _ := watch()
		if status == http.StatusOK {
			open++
		}
		if metrics := metricsOf(t, s); !strings.Contains(metrics, `muster_refused_total{limit="caller-streams"} `) || strings.Contains(metrics, `muster_refused_total{limit="caller-streams"} 0`) {
			return fmt.Errorf("%d streams are open", open)
		}
		return nil
	})
	if open != 12 {
		t.Errorf("%d streams are open at the same time, want 12", open)
	}
}

func metricsOf(t *testing.T, s *muster.Server) string {
	_, text := get(t, http.DefaultClient, s.URL+"/metrics")
	return text
}

// A runner that opens one link after the other is welcomed once a second.
func TestWelcomesOfARunner(t *testing.T) {
	t.Parallel()
	s := muster.Serve(t, muster.ServerOptions{Env: []string{"MUSTER_LIMIT_WELCOME_BURST=3"}})
	admin := s.Admin()
	_, exchange := admin.NewRunner(t, "in a loop")
	token, err := admin.Redeem(t, exchange)
	if err != nil {
		t.Fatal(err)
	}
	welcomed, refusal, boot, begun := 0, error(nil), id.New(), time.Now()
	for refusal == nil && welcomed < 40 || time.Since(begun) < 3*time.Second {
		c := client(t, "", token)
		ctx, cancel := context.WithCancel(t.Context())
		stream := linkv1connect.NewLinkServiceClient(c, s.URL).Connect(ctx)
		_ = stream.Send(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Hello{Hello: &linkv1.Hello{
			ProtocolVersion: 1, BootId: boot, HostName: "loop", PublicKey: make([]byte, 32), Report: &linkv1.Report{},
		}}})
		first, err := stream.Receive()
		if err == nil && first.GetWelcome() != nil {
			welcomed++
		} else if connect.CodeOf(err) == connect.CodeResourceExhausted {
			refusal = err
		}
		cancel()
		c.CloseIdleConnections()
	}
	if most := 4 + int(time.Since(begun).Seconds()); welcomed > most || welcomed < 3 {
		t.Errorf("%d welcomes, want 3 to %d", welcomed, most)
	}
	if refusal == nil {
		t.Fatal("no link was refused")
	}
	limited(t, refusal)
}
