package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/agent/bundle"
)

// nothingMore makes a reader of the log book stop at its end.
func nothingMore() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// writeLogs writes the newest lines, and new ones until the channel is closed.
func (r *runner) writeLogs(ctx context.Context, w io.Writer, tail int, until <-chan struct{}) error {
	reader := r.book.Read(tail, until)
	for {
		lines, err := reader.Next(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if _, err := w.Write(lines); err != nil {
			return err
		}
	}
}

// writeBundle writes a support bundle.
func (r *runner) writeBundle(ctx context.Context, w io.Writer) error {
	configuration, err := r.configurationJSON()
	if err != nil {
		return err
	}
	var logs bytes.Buffer
	if err := r.writeLogs(ctx, &logs, 0, nothingMore()); err != nil {
		return err
	}
	return bundle.Write(w, bundle.Contents{Configuration: configuration, System: r.system, Logs: logs.Bytes()})
}

// configurationJSON is what may be shown of the configuration: each field is
// here because it holds no secret.
func (r *runner) configurationJSON() ([]byte, error) {
	s := r.published.Load()
	spec := &gitpodv1.RunnerConfiguration{}
	if given := s.configuration.GetSpec(); given != nil {
		spec = proto.CloneOf(given)
		spec.ProtoReflect().SetUnknown(nil)
		spec.EncryptedHoneycombApiKey = nil
		if m := spec.GetMetrics(); m != nil {
			m.ProtoReflect().SetUnknown(nil)
			m.Password = ""
			m.Url = withoutSecrets(m.GetUrl())
		}
	}
	desired, err := protojson.Marshal(spec)
	if err != nil {
		return nil, err
	}
	advertised := ""
	if r.advertised != nil {
		advertised = r.advertised.String()
	}
	return json.MarshalIndent(map[string]any{
		"runnerId":        s.runnerID,
		"organizationId":  s.organizationID,
		"version":         r.cfg.Version,
		"server":          r.server.String(),
		"dataDir":         r.home.Dir(),
		"caFile":          r.cfg.CAFile,
		"region":          r.cfg.Region,
		"privateHosts":    r.cfg.PrivateHosts,
		"issuerHosts":     r.cfg.IssuerHosts,
		"logListen":       r.cfg.LogListen,
		"logAdvertiseUrl": advertised,
		"hostName":        r.hostName,
		"bootId":          r.bootID,
		"epoch":           s.epoch,
		"leaseHeld":       r.hold.held(),
		"logLevel":        r.level.Level().String(),
		"configuration": map[string]any{
			"revision":    s.configuration.GetRevision(),
			"applied":     s.applied,
			"spec":        json.RawMessage(desired),
			"unsupported": s.unsupported,
		},
		"troubles": s.troubles(),
	}, "", "  ")
}

// withoutSecrets cuts off a URL what commonly carries a password or a key.
func withoutSecrets(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Opaque != "" {
		return ""
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return strings.TrimSuffix(u.String(), "?")
}

// followUntil ends a follower with its token, or when finishing is closed. stop
// must be called.
func followUntil(finishing <-chan struct{}, t time.Time) (ended <-chan struct{}, stop func()) {
	over := make(chan struct{})
	end := sync.OnceFunc(func() { close(over) })
	timer := time.AfterFunc(time.Until(t), end)
	done := make(chan struct{})
	go func() {
		select {
		case <-finishing:
			end()
		case <-done:
		}
	}()
	return over, func() {
		timer.Stop()
		close(done)
	}
}
