package robust_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/test/muster"
)

// Garbage on a link ends that link, with words, and nothing else.
func TestGarbageOnTheLink(t *testing.T) {
	t.Parallel()
	s := muster.Serve(t, muster.ServerOptions{})
	innocent := connected(t, s, "innocent")
	events := s.Admin().Watch(t)

	random := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 100_000)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	hello := func(change func(*linkv1.Hello)) []byte {
		h := &linkv1.Hello{
			ProtocolVersion: 1, BootId: "01990000-0000-7000-8000-000000000001", HostName: "garbage", PublicKey: make([]byte, 32),
			Report: &linkv1.Report{Phase: gitpodv1.RunnerPhase_RUNNER_PHASE_ACTIVE},
		}
		change(h)
		return frame(t, &linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Hello{Hello: h}})
	}
	good := hello(func(*linkv1.Hello) {})
	report := func(r *linkv1.Report) []byte {
		return append(bytes.Clone(good), frame(t, &linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Report{Report: r}})...)
	}
	const ok = "" // ends without an error

	for name, tt := range map[string]struct {
		sent []byte
		code string
	}{
		"nothing":                        {nil, ok},
		"noise":                          {noise, "resource_exhausted"},
		"an envelope that is cut":        {[]byte{0, 0, 0}, "invalid_argument"},
		"a message that is cut":          {good[:len(good)-3], "invalid_argument"},
		"a huge envelope":                {[]byte{0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3}, "resource_exhausted"},
		"unknown flags":                  {append([]byte{0xf0}, good[1:]...), "invalid_argument"},
		"compressed without saying":      {append([]byte{1}, good[1:]...), "invalid_argument"},
		"the end of a stream":            {envelope(2, []byte("{}")), ok},
		"a message of noise":             {envelope(0, noise[:500]), "invalid_argument"},
		"an empty message":               {envelope(0, nil), "failed_precondition"},
		"a renewal first":                {frame(t, renewal(1)), "failed_precondition"},
		"a future protocol":              {hello(func(h *linkv1.Hello) { h.ProtocolVersion = 99 }), "failed_precondition"},
		"a boot id of noise":             {hello(func(h *linkv1.Hello) { h.BootId = "../x" }), "failed_precondition"},
		"a host name without end":        {hello(func(h *linkv1.Hello) { h.HostName = strings.Repeat("x", 10_000) }), "failed_precondition"},
		"NUL in the host name":           {hello(func(h *linkv1.Hello) { h.HostName = "a\x00b" }), "invalid_argument"},
		"a short key":                    {hello(func(h *linkv1.Hello) { h.PublicKey = []byte("short") }), "failed_precondition"},
		"a phase that is none":           {hello(func(h *linkv1.Hello) { h.Report.Phase = 99 }), "failed_precondition"},
		"a phase that is not its to say": {hello(func(h *linkv1.Hello) { h.Report.Phase = gitpodv1.RunnerPhase_RUNNER_PHASE_DELETING }), "failed_precondition"},
		"hello twice":                    {append(bytes.Clone(good), good...), "failed_precondition"},
		"hello and then noise":           {append(bytes.Clone(good), noise...), "resource_exhausted"},
		"a report without end":           {report(&linkv1.Report{Message: strings.Repeat("x", 100_000)}), "failed_precondition"},
		"many facts":                     {report(&linkv1.Report{AdditionalInfo: make([]*gitpodv1.FieldValue, 1000)}), "failed_precondition"},
		"NUL in a report":                {report(&linkv1.Report{Phase: gitpodv1.RunnerPhase_RUNNER_PHASE_ACTIVE, Version: "a\x00b"}), ok},
		"degraded without a reason":      {report(&linkv1.Report{Phase: gitpodv1.RunnerPhase_RUNNER_PHASE_DEGRADED}), "failed_precondition"},
		"renewals of noise":              {append(bytes.Clone(good), frames(t, renewal(0), renewal(^uint64(0)), renewal(5))...), ok},
		"bytes of no stream": {append(bytes.Clone(good), frames(t,
			&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_StreamData{StreamData: &linkv1.StreamData{StreamId: 77, Data: noise[:1000]}}},
			&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_StreamClose{StreamClose: &linkv1.StreamClose{StreamId: 77, Error: "x"}}},
			&linkv1.RunnerFrame{},
		)...), ok},
		"a deletion that nobody asked for": {append(bytes.Clone(good), frames(t, &linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Deleted{}})...), ok},
		"an acknowledgement of nothing": {append(bytes.Clone(good), frames(t,
			&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_ConfigurationAck{ConfigurationAck: &linkv1.ConfigurationAck{
				Revision: -1 << 62, Error: strings.Repeat("x", 100_000), Unsupported: []string{strings.Repeat("y", 100_000)},
			}}})...), ok},
	} {
		t.Run(name, func(t *testing.T) {
			id, token := s.Admin().NewRunner(t, "garbage")
			token, err := s.Admin().Redeem(t, token)
			if err != nil {
				t.Fatal(err)
			}
			status, reply := sendLink(t, s, token, bytes.NewReader(tt.sent))
			if status != http.StatusOK {
				t.Fatalf("status %d: %s", status, reply)
			}
			e := &apiError{}
			if end := endOfStream(reply); end != nil {
				if e, err = readError(end); err != nil {
					t.Fatal(err)
				}
				if flaw := e.flaw(0, true); flaw != "" {
					t.Error(flaw)
				}
			}
			if e.Code != tt.code {
				t.Errorf("it ended with %q (%s), want %q", e.Code, e.Message, tt.code)
			}
			if _, err := s.Admin().Runner(t, id); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("silence", func(t *testing.T) {
		_, token := s.Admin().NewRunner(t, "silent")
		token, err := s.Admin().Redeem(t, token)
		if err != nil {
			t.Fatal(err)
		}
		silent, speaker := io.Pipe()
		defer speaker.Close()
		begun := time.Now()
		_, reply := sendLink(t, s, token, silent)
		e, err := readError(endOfStream(reply))
		if err != nil || e.Code != "deadline_exceeded" || time.Since(begun) > muster.Limit(t, 20*time.Second, begun) {
			t.Errorf("after %s: %s, %v", time.Since(begun), reply, err)
		}
	})
	for _, token := range []string{s.Token, "", "x", "muster_runner_x"} {
		if status, reply := sendLink(t, s, token, bytes.NewReader(good)); status == http.StatusOK && endOfStream(reply) == nil {
			t.Errorf("a link was opened with the token %q", token)
		}
	}
	if err := innocent.is(active); err != nil {
		t.Error(err)
	}
	if n := statusUpdates(t, events, innocent.id); n != 0 {
		t.Errorf("%d events about a runner that had nothing to do with it", n)
	}
	unharmed(t, s)
}

func renewal(n uint64) *linkv1.RunnerFrame {
	return &linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Renewal{Renewal: &linkv1.Renewal{Sequence: n}}}
}

func frame(t *testing.T, f *linkv1.RunnerFrame) []byte {
	t.Helper()
	raw, err := proto.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	return envelope(0, raw)
}

func frames(t *testing.T, sent ...*linkv1.RunnerFrame) []byte {
	t.Helper()
	var all []byte
	for _, f := range sent {
		all = append(all, frame(t, f)...)
	}
	return all
}

// sendLink sends bytes where a runner's frames go, and returns what came back
// until the other side ended it.
func sendLink(t *testing.T, s *muster.Server, token string, body io.Reader) (status int, reply []byte) {
	t.Helper()
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/muster.link.v1.LinkService/Connect", body)
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = -1
	req.Header.Set("Content-Type", "application/connect+proto")
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := (&http.Client{Transport: transport, Timeout: 30 * time.Second}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	reply, err = io.ReadAll(res.Body)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(fmt.Errorf("the link has no end: %w", err))
	}
	return res.StatusCode, reply
}
