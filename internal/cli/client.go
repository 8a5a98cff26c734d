package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"

	"connectrpc.com/connect"

	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
	"github.com/musterhq/muster/gen/muster/admin/v1/adminv1connect"
)

// Client is a connection to one control plane with one token.
type Client struct {
	Server string
	CAFile string

	Identity        gitpodv1connect.IdentityServiceClient
	Users           gitpodv1connect.UserServiceClient
	Organizations   gitpodv1connect.OrganizationServiceClient
	Runners         gitpodv1connect.RunnerServiceClient
	Configuration   gitpodv1connect.RunnerConfigurationServiceClient
	Events          gitpodv1connect.EventServiceClient
	Members         adminv1connect.MemberServiceClient
	Retention       adminv1connect.RetentionServiceClient
	ServiceAccounts gitpodv1connect.ServiceAccountServiceClient
	Groups          gitpodv1connect.GroupServiceClient
	Installation    adminv1connect.InstallationServiceClient
	Keys            adminv1connect.RunnerKeyServiceClient
	RunnerTokens    adminv1connect.RunnerTokenServiceClient
	Audit           adminv1connect.AuditServiceClient
	Access          adminv1connect.AccessServiceClient

	// http carries no token: log URLs are the runners' own, and must not see it.
	http *http.Client
	env  *Env
}

// connect finds the control plane that the flags choose and makes a client for
// it. It sends nothing yet.
func (r *Remote) connect(env *Env) (*Client, error) {
	c, err := r.credentials(env)
	if err != nil {
		return nil, err
	}
	return NewClient(env, c)
}

// NewClient makes a client. It sends nothing yet.
func NewClient(env *Env, c Credentials) (*Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("reading the certificate authority: %w", err)
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no PEM certificate", c.CAFile)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	h := &http.Client{Transport: &expiryReader{RoundTripper: transport, ends: &env.ends, server: c.Server, token: c.Token}}
	opts := connect.WithInterceptors(&caller{
		server: c.Server, token: c.Token,
		agent: fmt.Sprintf("muster/%s (%s/%s)", env.Version, runtime.GOOS, runtime.GOARCH),
	})
	return &Client{
		Server:          c.Server,
		CAFile:          c.CAFile,
		Identity:        gitpodv1connect.NewIdentityServiceClient(h, c.Server, opts),
		Users:           gitpodv1connect.NewUserServiceClient(h, c.Server, opts),
		Organizations:   gitpodv1connect.NewOrganizationServiceClient(h, c.Server, opts),
		Runners:         gitpodv1connect.NewRunnerServiceClient(h, c.Server, opts),
		Configuration:   gitpodv1connect.NewRunnerConfigurationServiceClient(h, c.Server, opts),
		Events:          gitpodv1connect.NewEventServiceClient(h, c.Server, opts),
		ServiceAccounts: gitpodv1connect.NewServiceAccountServiceClient(h, c.Server, opts),
		Groups:          gitpodv1connect.NewGroupServiceClient(h, c.Server, opts),
		Installation:    adminv1connect.NewInstallationServiceClient(h, c.Server, opts),
		Members:         adminv1connect.NewMemberServiceClient(h, c.Server, opts),
		Retention:       adminv1connect.NewRetentionServiceClient(h, c.Server, opts),
		Keys:            adminv1connect.NewRunnerKeyServiceClient(h, c.Server, opts),
		RunnerTokens:    adminv1connect.NewRunnerTokenServiceClient(h, c.Server, opts),
		Audit:           adminv1connect.NewAuditServiceClient(h, c.Server, opts),
		Access:          adminv1connect.NewAccessServiceClient(h, c.Server, opts),
		http:            h,
		env:             env,
	}, nil
}

// caller adds the token to every call and puts network errors into words.
type caller struct{ server, token, agent string }

func (c *caller) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		c.introduce(req.Header())
		var sent atomic.Bool
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }})
		resp, err := next(ctx, req)
		lost := err != nil && sent.Load() && !answered(err) && !reads(req.Spec().Procedure)
		err = unreachable(c.server, err)
		if _, away := errors.AsType[*turnedAway](err); lost && !away {
			err = &unanswered{err}
		}
		return resp, err
	}
}

// reads tells whether a procedure changes nothing.
func reads(procedure string) bool {
	name := path.Base(procedure)
	return slices.ContainsFunc([]string{"Get", "List", "Search", "Parse", "Check", "Validate", "Explain"}, func(verb string) bool {
		return strings.HasPrefix(name, verb)
	})
}

func (c *caller) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, spec)
		c.introduce(conn.RequestHeader())
		return conn
	}
}

func (c *caller) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

func (c *caller) introduce(h http.Header) {
	h.Set("Authorization", "Bearer "+c.token)
	h.Set("User-Agent", c.agent)
}
