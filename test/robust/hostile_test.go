package robust_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/test/muster"
)

// Nonsense in any request to any procedure gets an answer that says what is
// wrong, and harms nobody.
func TestNonsenseIsRefusedInWords(t *testing.T) {
	t.Parallel()
	s := muster.Serve(t, muster.ServerOptions{})
	api := s.Admin()
	good := goodRequests(t, s)

	work := make(chan func())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for f := range work {
				f()
			}
		})
	}
	var complaints complaints
	sent := 0
	for _, m := range methods(t) {
		for _, n := range nonsenseFor(t, m, good[procedure(m)]) {
			sent++
			work <- func() { complaints.add(procedure(m), n, judge(t, api, m, n)) }
		}
	}
	close(work)
	wg.Wait()
	complaints.report(t)
	t.Logf("%d requests", sent)
	unharmed(t, s)
}

// methods lists all procedures that take one request.
func methods(t *testing.T) []protoreflect.MethodDescriptor {
	t.Helper()
	var all []protoreflect.MethodDescriptor
	for f := range protoregistry.GlobalFiles.RangeFiles {
		for i := range f.Services().Len() {
			for j := range f.Services().Get(i).Methods().Len() {
				if m := f.Services().Get(i).Methods().Get(j); !m.IsStreamingClient() {
					all = append(all, m)
				}
			}
		}
	}
	if len(all) < 90 {
		t.Fatalf("only %d procedures are known", len(all))
	}
	return all
}

func procedure(m protoreflect.MethodDescriptor) string {
	return string(m.Parent().FullName()) + "/" + string(m.Name())
}

// judge sends nonsense and says what is wrong with the answer.
func judge(t *testing.T, api *muster.API, m protoreflect.MethodDescriptor, n nonsense) string {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	contentType, body := n.contentType, n.body
	if m.IsStreamingServer() {
		// A stream that is accepted has no end; what comes at once will do.
		defer time.AfterFunc(200*time.Millisecond, cancel).Stop()
		if contentType == asBinary {
			contentType, body = "application/connect+proto", envelope(0, body)
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, api.URL+"/"+procedure(m), bytes.NewReader(body))
	if err != nil {
		return err.Error()
	}
	req.Header.Set("Content-Type", contentType)
	res, err := api.HTTP.Do(req)
	if err != nil {
		if m.IsStreamingServer() && ctx.Err() != nil {
			return ""
		}
		return "no answer: " + err.Error()
	}
	defer res.Body.Close()
	reply, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil && ctx.Err() == nil {
		return "half an answer: " + err.Error()
	}
	rule, _ := access.RuleOf(procedure(m))
	switch unbuilt := rule.Permission == access.Unbuilt; {
	case unbuilt != (res.StatusCode == http.StatusNotImplemented):
		return fmt.Sprintf("status %d of a procedure that is unbuilt: %v", res.StatusCode, unbuilt)
	case res.StatusCode == http.StatusOK && !strings.HasPrefix(contentType, "application/connect"):
		return ""
	case res.StatusCode == http.StatusOK:
		reply = endOfStream(reply)
		if reply == nil {
			return ""
		}
	}
	e, err := readError(reply)
	if err != nil {
		return fmt.Sprintf("status %d: %v", res.StatusCode, err)
	}
	return e.flaw(res.StatusCode, n.unreadable)
}

// complaints are the flaws that were found, of which a test shows some.
type complaints struct {
	mu  sync.Mutex
	all []string
}

func (c *complaints) add(procedure string, n nonsense, flaw string) {
	if flaw == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, fmt.Sprintf("%s, %s, %s: %s", procedure, n.contentType, n.what, flaw))
}

func (c *complaints) report(t *testing.T) {
	t.Helper()
	const most = 50
	for i, complaint := range c.all {
		if i == most {
			t.Errorf("and %d more", len(c.all)-most)
			return
		}
		t.Error(complaint)
	}
}

// unharmed checks that a control plane works and has nothing to regret.
func unharmed(t *testing.T, s *muster.Server) {
	t.Helper()
	id, token := s.Admin().NewRunner(t, "still works")
	if _, err := s.Admin().Runner(t, id); err != nil {
		t.Error(err)
	}
	worksOnce(t, muster.NewAPI(s.URL, ""), id, token, "")
	for line := range strings.Lines(s.Printed()) {
		if strings.Contains(line, `"level":"ERROR"`) || strings.Contains(line, "panic") {
			t.Errorf("the control plane logged: %.600s", line)
		}
	}
}
