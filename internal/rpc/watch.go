package rpc

import (
	"context"
	"io"
	"net/http"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
	"github.com/musterhq/muster/internal/rpc/codec"
	"github.com/musterhq/muster/internal/rpc/jsonl"
)

const watchProcedure = gitpodv1connect.EventServiceWatchEventsProcedure

// watchLines answers WatchEvents in lines of JSON. Until the subscription
// stands, a failure is an ordinary answer; afterwards these clients know none,
// and the stream just ends.
func (h *Handler) watchLines(c *call, r *http.Request) {
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(context.Canceled)
	var lines *jsonl.Stream
	defer func() {
		if lines != nil {
			lines.Close()
		}
	}()
	send := func(event *gitpodv1.WatchEventsResponse) error {
		if lines == nil {
			lines = jsonl.Open(c, jsonl.Options{KeepAlive: h.cfg.KeepAlive, WriteTimeout: h.cfg.WriteTimeout, Broken: cancel})
		}
		if event == nil {
			return nil
		}
		line, err := codec.JSON{}.Marshal(event)
		if err != nil {
			return err
		}
		return lines.Send(line)
	}
	req, err := h.watchRequest(r)
	if err == nil {
		c.receive()
		err = h.cfg.Watch(ctx, req, send)
	}
	switch {
	case err == nil && lines == nil:
		_ = send(nil)
	case err != nil && lines == nil:
		h.refuse(c, r, err)
	case err != nil:
		_ = c.fail(ctx, err)
	}
}

func (h *Handler) watchRequest(r *http.Request) (*gitpodv1.WatchEventsRequest, error) {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	req := new(gitpodv1.WatchEventsRequest)
	if err := (codec.JSON{}).Unmarshal(data, req); err != nil {
		return nil, err
	}
	if err := codec.Failure(req); err != nil {
		return nil, err
	}
	return req, h.validation.check(req)
}
