package agent_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/agent"
	"github.com/musterhq/muster/internal/agent/home"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
)

func TestJoinOnceThenRestartWithoutToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		first := p.join(t, nil)
		l := p.accept(t)
		before := readIdentity(t, first.dir)
		if before.AccessToken != access || before.RunnerID != "" || before.Server != p.url {
			t.Errorf("before the first welcome the identity is %+v", before)
		}

		h, r := l.hello, l.hello.GetReport()
		if l.authorization != "Bearer "+access || h.GetProtocolVersion() != 1 || !id.Valid(h.GetBootId()) || h.GetHostName() != "host-a" ||
			string(h.GetPublicKey()) != string(before.PublicKey) || len(h.GetPublicKey()) != 32 || h.GetStandby() || h.GetAppliedRevision() != 0 {
			t.Errorf("hello: %v", h)
		}
		if r.GetPhase() != gitpodv1.RunnerPhase_RUNNER_PHASE_ACTIVE || r.GetVersion() != "1.2.3" || !strings.Contains(r.GetSystemDetails(), "Linux ") ||
			!slices.Equal(r.GetCapabilities(), []gitpodv1.RunnerCapability{
				gitpodv1.RunnerCapability_RUNNER_CAPABILITY_LIST_SCM_ORGANIZATIONS, gitpodv1.RunnerCapability_RUNNER_CAPABILITY_CHECK_REPOSITORY_ACCESS,
			}) || r.GetMessage() != "" || r.GetLogUrl() != "" || r.GetSupportBundleUrl() != "" {
			t.Errorf("report: %v", r)
		}
		checkSchema(t, h.GetSchema())

		l.welcome(t, nil)
		synctest.Wait()
		after := readIdentity(t, first.dir)
		if after.RunnerID != runnerID || after.OrganizationID != orgID || after.AccessToken != access || string(after.PrivateKey) != string(before.PrivateKey) {
			t.Errorf("after the first welcome the identity is %+v", after)
		}
		first.out.has(t, "joined as runner "+runnerID, "connected to http://muster.example", "lease 30.0 s")
		if err := first.stop(nil); err != nil {
			t.Fatal(err)
		}

		// Neither the token nor the server is needed any more.
		second := p.join(t, func(c *agent.Config) { c.DataDir, c.ExchangeToken, c.Server = first.dir, "", "" })
		l = p.welcomed(t)
		if string(l.hello.GetPublicKey()) != string(before.PublicKey) || l.hello.GetBootId() == h.GetBootId() || l.authorization != "Bearer "+access {
			t.Errorf("the restarted runner says %v", l.hello)
		}
		_ = second.stop(nil)

		// The same command line as the first time works, too.
		third := p.join(t, func(c *agent.Config) { c.DataDir = first.dir })
		p.welcomed(t)
		synctest.Wait()
		third.logs.has(t, "the exchange token was not used")
		if n := p.exchanges.Load(); n != 1 {
			t.Errorf("the token was redeemed %d times", n)
		}
	})
}

func TestDataDirectoryIsProvedBeforeTheTokenIsRedeemed(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, dir string){
		"not a directory": func(t *testing.T, dir string) {
			if err := os.WriteFile(dir, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"the identity cannot be replaced": func(t *testing.T, dir string) {
			if err := os.MkdirAll(filepath.Join(dir, "identity.json", "x"), 0o700); err != nil {
				t.Fatal(err)
			}
		},
		"the identity is damaged": func(t *testing.T, dir string) {
			_ = os.Mkdir(dir, 0o700)
			if err := os.WriteFile(filepath.Join(dir, "identity.json"), []byte("{"), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"in use": func(t *testing.T, dir string) {
			h, err := home.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = h.Close() })
		},
		"on a file system that refuses it": func(t *testing.T, dir string) {
			if err := os.Symlink("/proc", dir); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := inMemory(t)
				dir := filepath.Join(t.TempDir(), "data")
				prepare(t, dir)
				err := p.join(t, func(c *agent.Config) { c.DataDir = dir }).wait()
				if !fault.HasReason(err, fault.DataDirectory) || !strings.Contains(fault.From(err).Message, dir) {
					t.Errorf("got %v", err)
				}
				if n := p.exchanges.Load(); n != 0 {
					t.Error("the token was burned")
				}
			})
		})
	}
}

func TestRedeemedTokenThatCannotBeStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		dir := filepath.Join(t.TempDir(), "data")
		p.redeem = func(string) (string, error) {
			path := filepath.Join(dir, "identity.json")
			return access, errors.Join(os.Remove(path), os.MkdirAll(filepath.Join(path, "x"), 0o700))
		}
		err := p.join(t, func(c *agent.Config) { c.DataDir = dir }).wait()
		if !fault.HasReason(err, fault.DataDirectory) || !strings.Contains(fault.From(err).Message, "muster runner token") || strings.Contains(err.Error(), access) {
			t.Errorf("got %v", err)
		}
	})
}

func TestJoinErrorsSayWhatToDo(t *testing.T) {
	unauthenticated := connect.NewError(connect.CodeUnauthenticated, errors.New("The exchange token was used before."))
	for name, c := range map[string]struct {
		change func(*agent.Config)
		redeem error
		want   []string
	}{
		"no identity and no token": {func(c *agent.Config) { c.ExchangeToken = "" }, nil, []string{"muster runner create", "muster runner token", "--exchange-token"}},
		"no server":                {func(c *agent.Config) { c.Server = "" }, nil, []string{"--server"}},
		"a server without scheme":  {func(c *agent.Config) { c.Server = "muster.example" }, nil, []string{"--server", "https://"}},
		"a server with password":   {func(c *agent.Config) { c.Server = "https://a:planted@b" }, nil, []string{"--server", "user name"}},
		"no data directory":        {func(c *agent.Config) { c.DataDir = "" }, nil, []string{"--data-dir"}},
		"no CA file":               {func(c *agent.Config) { c.CAFile = "nowhere.pem" }, nil, []string{"--ca-file", "nowhere.pem"}},
		"half a listener":          {func(c *agent.Config) { c.LogListen = "127.0.0.1:0" }, nil, []string{"--log-advertise-url"}},
		"a used token":             {nil, unauthenticated, []string{"The exchange token was used before. It works once", "muster runner token"}},
		"not a control plane":      {nil, connect.NewError(connect.CodeUnimplemented, errors.New("404 Not Found")), []string{"http://muster.example", "--server"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := inMemory(t)
				if c.redeem != nil {
					p.redeem = func(string) (string, error) { return "", c.redeem }
				}
				err := p.join(t, c.change).wait()
				if err == nil {
					t.Fatal("there is no error")
				}
				message := fault.From(err).Message
				for _, want := range c.want {
					if !strings.Contains(message, want) {
						t.Errorf("%q does not say %q", message, want)
					}
				}
				if strings.Contains(err.Error(), "planted") {
					t.Errorf("the error holds a secret: %v", err)
				}
			})
		})
	}
}

// An exchange token that was used, it seems by an earlier attempt of the runner
// itself, is nothing that anybody else is to blame for, and one new one is enough.
func TestJoinWithATokenThatAnAttemptHasUsed(t *testing.T) {
	for attempts, want := range map[int64]string{1: "it was redeemed before. It works once", 2: "by an earlier attempt of this runner"} {
		synctest.Test(t, func(t *testing.T) {
			used := connect.NewError(connect.CodeUnauthenticated, errors.New("The exchange token was already redeemed. If none of your hosts did that, delete the runner; otherwise make a new one."))
			detail, err := connect.NewErrorDetail(&errdetails.ErrorInfo{Reason: string(fault.UsedExchangeToken)})
			if err != nil {
				t.Fatal(err)
			}
			used.AddDetail(detail)
			p := inMemory(t)
			p.redeem = func(string) (string, error) {
				if p.exchanges.Load() < attempts {
					return "", connect.NewError(connect.CodeUnavailable, errors.New("lost"))
				}
				return "", used
			}
			message := fault.From(p.join(t, nil).wait()).Message
			if !strings.Contains(message, want) || strings.Count(strings.ToLower(message), "make a new one") != 1 || strings.Contains(message, "delete the runner") {
				t.Errorf("after %d attempts: %s", attempts, message)
			}
		})
	}
}

func TestJoinWaitsForTheControlPlane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		p.redeem = func(string) (string, error) {
			if p.exchanges.Load() < 4 {
				return "", connect.NewError(connect.CodeUnavailable, errors.New("starting"))
			}
			return access, nil
		}
		pr := p.join(t, nil)
		p.welcomed(t)
		pr.out.has(t, "cannot reach http://muster.example: starting; next try in ")
		if strings.Contains(pr.out.String(), "planted") {
			t.Errorf("a secret was printed: %s", pr.out)
		}
	})
}

// A load balancer's 401 must not make a runner believe that its token is bad.
func TestRefusalBySomethingInBetweenIsNotFinal(t *testing.T) {
	p, handler := newPlane(t)
	refusals := 0
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refusals++; refusals%2 == 1 {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	serveHTTP2(server)
	server.Start()
	t.Cleanup(server.Close)
	p.url = server.URL
	pr := p.join(t, nil)
	p.welcomed(t)
	if err := pr.stop(nil); err != nil {
		t.Error(err)
	}
}

func TestRefusedIdentityStaysAndIsExplained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		pr := p.join(t, nil)
		p.welcomed(t).end(t, connect.NewError(connect.CodeUnauthenticated, errors.New("revoked")))
		err := pr.wait()
		if !fault.HasReason(err, fault.UnknownToken) {
			t.Fatalf("got %v", err)
		}
		for _, want := range []string{runnerID, pr.dir, "muster runner token " + runnerID, "--exchange-token"} {
			if !strings.Contains(fault.From(err).Message, want) {
				t.Errorf("%q does not say %q", fault.From(err).Message, want)
			}
		}
		before := readIdentity(t, pr.dir)

		// A fresh token brings the runner back with its old key, to which secrets
		// are sealed.
		p.redeem = func(string) (string, error) { return "muster_runner_second", nil }
		again := p.join(t, func(c *agent.Config) { c.DataDir, c.ExchangeToken = pr.dir, "muster_exchange_second" })
		p.accept(t).end(t, connect.NewError(connect.CodeUnauthenticated, errors.New("revoked")))
		l := p.welcomed(t)
		synctest.Wait()
		after := readIdentity(t, pr.dir)
		if l.authorization != "Bearer muster_runner_second" || after.AccessToken != "muster_runner_second" || string(after.PrivateKey) != string(before.PrivateKey) || after.RunnerID != runnerID {
			t.Errorf("the identity is %+v", after)
		}
		_ = again.stop(nil)

		// A token that does not work leaves the identity as it is.
		p.redeem = func(string) (string, error) {
			return "", connect.NewError(connect.CodeUnauthenticated, errors.New("used"))
		}
		third := p.join(t, func(c *agent.Config) { c.DataDir = pr.dir })
		p.accept(t).end(t, connect.NewError(connect.CodeUnauthenticated, errors.New("revoked")))
		if err := third.wait(); !fault.HasReason(err, fault.UnknownToken) {
			t.Errorf("got %v", err)
		}
		if readIdentity(t, pr.dir).AccessToken != "muster_runner_second" {
			t.Error("the identity was changed")
		}
	})
}
