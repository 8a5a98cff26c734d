package rpc_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/rpc"
)

// mirror serves every unary procedure of a service with an empty reply, and
// keeps the request.
type mirror struct {
	mu   sync.Mutex
	last protoreflect.Message
}

func (m *mirror) keep(last protoreflect.Message) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last = last
}

func (m *mirror) service(d protoreflect.ServiceDescriptor) rpc.Service {
	return rpc.Service{Name: string(d.FullName()), New: func(opts ...connect.HandlerOption) (string, http.Handler) {
		opts = append(opts, connect.WithRequestInitializer(func(spec connect.Spec, message any) error {
			*message.(*dynamicpb.Message) = *dynamicpb.NewMessage(spec.Schema.(protoreflect.MethodDescriptor).Input())
			return nil
		}))
		mux := map[string]http.Handler{}
		for i := range d.Methods().Len() {
			method := d.Methods().Get(i)
			path := "/" + string(d.FullName()) + "/" + string(method.Name())
			mux[path] = connect.NewUnaryHandler(path, func(_ context.Context, req *connect.Request[dynamicpb.Message]) (*connect.Response[dynamicpb.Message], error) {
				m.keep(req.Msg)
				return connect.NewResponse(dynamicpb.NewMessage(method.Output())), nil
			}, connect.WithSchema(method), connect.WithHandlerOptions(opts...))
		}
		return "/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { mux[r.URL.Path].ServeHTTP(w, r) })
	}}
}

// mirrorWorld serves all of gitpod.v1 from mirrors.
func mirrorWorld(tb testing.TB) (*mirror, string, []protoreflect.MethodDescriptor) {
	m := new(mirror)
	var methods []protoreflect.MethodDescriptor
	cfg := rpc.Config{Authenticate: authenticate}
	protoregistry.GlobalFiles.RangeFilesByPackage("gitpod.v1", func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			cfg.Services = append(cfg.Services, m.service(f.Services().Get(i)))
			for j := range f.Services().Get(i).Methods().Len() {
				methods = append(methods, f.Services().Get(i).Methods().Get(j))
			}
		}
		return true
	})
	h, err := rpc.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	for _, method := range methods {
		h.SetRule(strings.TrimPrefix(procedureOf(method), "/"), &access.Rule{Permission: access.Authenticated})
	}
	w := &world{Handler: h}
	return m, w.start(tb), methods
}

func procedureOf(m protoreflect.MethodDescriptor) string {
	return "/" + string(m.Parent().FullName()) + "/" + string(m.Name())
}

// valid holds what a List request needs besides paging.
func valid(m protoreflect.MethodDescriptor) map[string]any {
	body := map[string]any{}
	for _, name := range []protoreflect.Name{"runner_id", "group_id", "organization_id", "service_account_id"} {
		if f := m.Input().Fields().ByName(name); f != nil {
			body[f.JSONName()] = runnerID
		}
	}
	if f := m.Input().Fields().ByName("scm_host"); f != nil {
		body["scmHost"] = "github.com"
	}
	return body
}

func isPaged(m protoreflect.MethodDescriptor) bool {
	return strings.HasPrefix(string(m.Name()), "List")
}

// The SDKs' pagers send the paging in the query string, with the body of the
// first page: a server that reads only the body gives the first page for ever.
func TestQueryPagingOnEveryList(t *testing.T) {
	m, base, methods := mirrorWorld(t)
	client := h1(t)
	lists := 0
	for _, method := range methods {
		if !isPaged(method) {
			continue
		}
		lists++
		for _, tt := range []struct {
			query, contentType string
			inBody             map[string]any
			token              string
			size               int64
		}{
			{"", "application/json", nil, "", 0},
			{"", "application/json", map[string]any{"token": "B", "pageSize": 2}, "B", 2},
			{"token=Q", "application/json", map[string]any{"pageSize": 2}, "Q", 2},
			{"token=Q", "application/json; charset=utf-8", map[string]any{"token": "B"}, "Q", 0},
			{"pageSize=3&token=Q", "application/json", nil, "Q", 3},
			{"token=Q&pageSize=3", "application/json", map[string]any{"token": "B", "pageSize": 2}, "Q", 3},
			{"pageSize=3", "application/json", map[string]any{"token": "B", "pageSize": 2}, "B", 3},
			{"token=&pageSize=", "application/json", map[string]any{"token": "B", "pageSize": 2}, "B", 2},
			{"token=a%2Bb%2F%3D", "application/json", nil, "a+b/=", 0},
			{"other=1", "application/json", map[string]any{"token": "B"}, "B", 0},
			// The query string repairs a body that is wrong by itself.
			{"pageSize=4", "application/json", map[string]any{"pageSize": 1000}, "", 4},
		} {
			body := valid(method)
			if tt.inBody != nil {
				body["pagination"] = tt.inBody
			}
			raw, _ := json.Marshal(body)
			m.keep(nil)
			a := post(base+procedureOf(method)+"?"+tt.query, string(raw)).with("Content-Type", tt.contentType).do(t, client)
			if a.status != http.StatusOK {
				t.Fatalf("%s?%s %s: status %d: %s", method.FullName(), tt.query, raw, a.status, a.body)
			}
			p := m.last.Get(method.Input().Fields().ByName("pagination")).Message()
			token := p.Get(p.Descriptor().Fields().ByName("token")).String()
			size := p.Get(p.Descriptor().Fields().ByName("page_size")).Int()
			if token != tt.token || size != tt.size {
				t.Errorf("%s?%s %s: token %q, size %d; want %q, %d", method.FullName(), tt.query, raw, token, size, tt.token, tt.size)
			}
		}
		for _, query := range []string{"pageSize=many", "pageSize=1.5", "pageSize=99999999999", "pageSize=101", "pageSize=-1", "token=%zz"} {
			raw, _ := json.Marshal(valid(method))
			a := post(base+procedureOf(method)+"?"+query, string(raw)).do(t, client)
			if e := a.failure(t); a.status != http.StatusBadRequest || e.Code != "invalid_argument" || e.reason(t) != "invalid-field" {
				t.Errorf("%s?%s: status %d, %s", method.FullName(), query, a.status, a.body)
			}
		}
	}
	if lists < 15 {
		t.Errorf("only %d List procedures were tried", lists)
	}
}

// Clients that speak protobuf page in the body alone.
func TestQueryDoesNotPageBinaryCalls(t *testing.T) {
	w := newWorld(t)
	var got *gitpodv1.PaginationRequest
	w.runners.list = func(_ context.Context, req *gitpodv1.ListRunnersRequest) (*gitpodv1.ListRunnersResponse, error) {
		got = req.GetPagination()
		return &gitpodv1.ListRunnersResponse{}, nil
	}
	a := post(w.start(t)+"/gitpod.v1.RunnerService/ListRunners?token=Q&pageSize=many", "\n\x05\b\x02\x12\x012").
		with("Content-Type", "application/proto").do(t, h1(t))
	if a.status != http.StatusOK || got.GetToken() != "2" || got.GetPageSize() != 2 {
		t.Errorf("status %d, pagination %v", a.status, got)
	}
}

// Python iterates over page.runners unasked, and every SDK looks into
// page.pagination.
func TestListRepliesHaveListsAndPagination(t *testing.T) {
	_, base, methods := mirrorWorld(t)
	for _, method := range methods {
		if !isPaged(method) {
			continue
		}
		raw, _ := json.Marshal(valid(method))
		a := post(base+procedureOf(method), string(raw)).do(t, h1(t))
		var reply map[string]json.RawMessage
		if err := json.Unmarshal(a.body, &reply); err != nil {
			t.Fatalf("%s: %v: %s", method.FullName(), err, a.body)
		}
		if string(reply["pagination"]) != "{}" {
			t.Errorf("%s: pagination is %s, want {}", method.FullName(), reply["pagination"])
		}
		for i := range method.Output().Fields().Len() {
			if f := method.Output().Fields().Get(i); f.IsList() && string(reply[f.JSONName()]) != "[]" {
				t.Errorf("%s: %s is %s, want []", method.FullName(), f.JSONName(), reply[f.JSONName()])
			}
		}
	}
}

func FuzzQueryPaging(f *testing.F) {
	for _, seed := range []string{"", "token=a&pageSize=2", "token=&pageSize=", "pageSize=x", "token=%zz", "pageSize=1&pageSize=2", "a;b", "pageSize=+1", "token=" + stringOf('t', 300)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		token, size, err := rpc.ParsePageQuery(raw)
		values, parseErr := url.ParseQuery(raw)
		if parseErr != nil {
			if err == nil {
				t.Errorf("%q: malformed, and accepted", raw)
			}
			return
		}
		if err == nil && token != values.Get("token") {
			t.Errorf("%q: token %q", raw, token)
		}
		if err != nil && (token != "" || size != 0) {
			t.Errorf("%q: refused, but gives %q and %d", raw, token, size)
		}
		if values.Get("pageSize") == "" && (err != nil || size != 0) {
			t.Errorf("%q: size %d, error %v without a size", raw, size, err)
		}
	})
}
