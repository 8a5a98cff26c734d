package compat

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
)

const watchEvents = "/api/gitpod.v1.EventService/WatchEvents"

// frame reads one enveloped message of a Connect stream.
func frame(t *testing.T, r io.Reader) (flags byte, payload []byte) {
	t.Helper()
	var prefix [5]byte
	if _, err := io.ReadFull(r, prefix[:]); err != nil {
		t.Fatalf("reading a frame: %v", err)
	}
	payload = make([]byte, binary.BigEndian.Uint32(prefix[1:]))
	if _, err := io.ReadFull(r, payload); err != nil {
		t.Fatalf("reading a frame of %d bytes: %v", len(payload), err)
	}
	return prefix[0], payload
}

// endOfStream is what the last frame of a Connect stream says.
type endOfStream struct {
	Error *wireError `json:"error"`
}

const endFlag = 0x02

func envelope(message string) []byte {
	b := make([]byte, 5, 5+len(message))
	binary.BigEndian.PutUint32(b[1:], uint32(len(message)))
	return append(b, message...)
}

// eachChange makes one event of each kind that needs no host, and calls seen
// after each: of what waits for a slow watcher, a deletion replaces the rest.
func eachChange(t *testing.T, w *wire, seen func(op gitpodv1.ResourceOperation, id string)) {
	t.Helper()
	var created gitpodv1.CreateRunnerResponse
	w.must(t, createRunner, &gitpodv1.CreateRunnerRequest{Name: "watched", Provider: gitpodv1.RunnerProvider_RUNNER_PROVIDER_LINUX_HOST}, &created)
	id := created.GetRunner().GetRunnerId()
	seen(gitpodv1.ResourceOperation_RESOURCE_OPERATION_CREATE, id)
	w.must(t, updateRunner, &gitpodv1.UpdateRunnerRequest{RunnerId: id, Name: proto.String("renamed")}, &gitpodv1.UpdateRunnerResponse{})
	seen(gitpodv1.ResourceOperation_RESOURCE_OPERATION_UPDATE, id)
	w.must(t, deleteRunner, &gitpodv1.DeleteRunnerRequest{RunnerId: id}, &gitpodv1.DeleteRunnerResponse{})
	seen(gitpodv1.ResourceOperation_RESOURCE_OPERATION_DELETE, id)
}

// TestWireConnectStream watches as the TypeScript SDK and connect-go do.
func TestWireConnectStream(t *testing.T) {
	t.Parallel()
	s := serve(t)
	w := s.wire(t, bootstrapToken)
	res := w.open(t, watchEvents, map[string]string{"Content-Type": "application/connect+proto", "Connect-Protocol-Version": "1"}, envelope("\x08\x01"))
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "application/connect+proto" {
		t.Fatalf("%d %s", res.StatusCode, res.Header.Get("Content-Type"))
	}
	eachChange(t, w, func(op gitpodv1.ResourceOperation, id string) {
		flags, payload := frame(t, res.Body)
		var e gitpodv1.WatchEventsResponse
		if err := proto.Unmarshal(payload, &e); err != nil || flags != 0 {
			t.Fatalf("flags %#x, %v", flags, err)
		}
		if e.GetOperation() != op || e.GetResourceType() != gitpodv1.ResourceType_RESOURCE_TYPE_RUNNER || e.GetResourceId() != id {
			t.Errorf("got %v, want %s of %s", &e, op, id)
		}
	})
	s.stop(t)
	flags, payload := frame(t, res.Body)
	var end endOfStream
	if err := json.Unmarshal(payload, &end); err != nil || flags != endFlag {
		t.Fatalf("the last frame has flags %#x and says %q: %v", flags, payload, err)
	}
	if end.Error != nil && end.Error.Code != "unavailable" {
		t.Errorf("the stream of a stopping control plane ends with %+v", end.Error)
	}
	if rest, err := io.ReadAll(res.Body); err != nil || len(rest) != 0 {
		t.Errorf("after the end of the stream: %q, %v", rest, err)
	}
}

// TestWireConnectStreamRefused: a stream's errors stand in its last frame.
func TestWireConnectStreamRefused(t *testing.T) {
	t.Parallel()
	s := serve(t)
	headers := map[string]string{"Content-Type": "application/connect+proto", "Connect-Protocol-Version": "1"}
	for name, test := range map[string]struct {
		token, message, code string
	}{
		"no token":            {"", "\x08\x01", "unauthenticated"},
		"no such environment": {bootstrapToken, "\x12\x24d2c94c27-3b76-4a42-b88c-95a85e392c68", "not_found"},
		"no environment id":   {bootstrapToken, "\x12\x01x", "invalid_argument"},
	} {
		res := s.wire(t, test.token).open(t, watchEvents, headers, envelope(test.message))
		if res.StatusCode != http.StatusOK {
			t.Errorf("%s: status %d", name, res.StatusCode)
			continue
		}
		flags, payload := frame(t, res.Body)
		var end endOfStream
		if err := json.Unmarshal(payload, &end); err != nil || flags != endFlag || end.Error == nil || end.Error.Code != test.code || end.Error.Message == "" {
			t.Errorf("%s: flags %#x, %s, want %s", name, flags, payload, test.code)
		}
	}
}

// TestWireConnectJSONStream is the same in JSON.
func TestWireConnectJSONStream(t *testing.T) {
	t.Parallel()
	s := serve(t)
	w := s.wire(t, bootstrapToken)
	res := w.open(t, "/gitpod.v1.EventService/WatchEvents", map[string]string{"Content-Type": "application/connect+json"}, envelope(`{"organization":true}`))
	eachChange(t, w, func(op gitpodv1.ResourceOperation, id string) {
		flags, payload := frame(t, res.Body)
		var e map[string]string
		if err := json.Unmarshal(payload, &e); err != nil || flags != 0 || e["operation"] != op.String() || e["resourceId"] != id {
			t.Errorf("flags %#x, %s, %v, want %s", flags, payload, err, op)
		}
	})
}

// TestWireLines watches as the Stainless SDKs do.
func TestWireLines(t *testing.T) {
	t.Parallel()
	s := serve(t)
	w := s.wire(t, bootstrapToken)
	var streams []*bufio.Reader
	for _, contentType := range []string{"application/json", "application/jsonl"} {
		res := w.open(t, watchEvents, map[string]string{
			"Content-Type": contentType, "Accept": "application/jsonl", "Accept-Encoding": "gzip, deflate",
		}, []byte(`{"organization":true}`))
		if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "application/jsonl" ||
			res.Header.Get("Content-Encoding") != "" || res.Header.Get("Cache-Control") != "no-store" || res.ContentLength != -1 {
			t.Fatalf("%s: %d %v", contentType, res.StatusCode, res.Header)
		}
		streams = append(streams, bufio.NewReader(res.Body))
	}
	eachChange(t, w, func(op gitpodv1.ResourceOperation, id string) {
		for _, lines := range streams {
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			sameJSON(t, "a line", line, `{"operation":"`+op.String()+`","resourceType":"RESOURCE_TYPE_RUNNER","resourceId":"`+id+`"}`)
		}
	})
	s.stop(t)
	for _, lines := range streams {
		// A blank line or a blank at the end would be an error to the SDKs.
		if rest, err := lines.ReadString('\n'); !errors.Is(err, io.EOF) || strings.TrimSpace(rest) != rest || rest != "" {
			t.Errorf("after the end: %q, %v", rest, err)
		}
	}
}
