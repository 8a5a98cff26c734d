package arch_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// room says what the packages below a folder may import beside the standard
// library. Folders are those of this module; a folder stands for all below it.
type room struct {
	own     []string
	foreign []string
}

const (
	connect  = "connectrpc.com/connect"
	protobuf = "google.golang.org/protobuf"
	details  = "google.golang.org/genproto/googleapis/rpc/errdetails"
	jose     = "github.com/go-jose/go-jose/v4"
	metrics  = "github.com/prometheus/client_golang/prometheus"
)

// rooms is the whole house, from the ground up. A new package needs a place
// here. The longest folder that matches counts.
var rooms = map[string]room{
	// The ground: nothing but the standard library and each other.
	"internal/fault": {},
	"internal/clock": {},
	"internal/id":    {},
	"internal/page":  {own: []string{"internal/fault"}},

	"internal/limit":    {own: []string{"internal/fault"}},
	"internal/pace":     {},
	"internal/durable":  {},
	"internal/datadir":  {},
	"internal/resource": {},

	// What the domain stands on.
	"internal/access": {own: []string{"internal/fault", "internal/id", "internal/resource"}},
	"internal/audit":  {own: []string{"internal/access", "internal/id", "internal/resource"}},
	// The chain of the audit log: whoever verifies an export needs nothing else.
	"internal/audit/chain": {},
	"internal/event":       {own: []string{"internal/access", "internal/id", "internal/resource"}},
	"internal/change":      {own: []string{"internal/access", "internal/audit", "internal/event", "internal/id", "internal/resource"}},
	"internal/token":       {own: []string{"internal/access", "internal/id"}},
	"internal/logtoken":    {own: []string{"internal/id"}, foreign: []string{jose}},
	"internal/seal":        {foreign: []string{"golang.org/x/crypto"}},

	// What goes with something that is removed; it knows no noun.
	"internal/departure": {own: []string{
		"internal/access", "internal/audit", "internal/change", "internal/event", "internal/fault", "internal/id", "internal/resource", "internal/seal",
		"internal/token",
	}},

	// What comes in before it is known who comes.
	"internal/door": {own: []string{"internal/fault", "internal/pace"}},

	// What a process can run out of.
	"internal/vitals": {own: []string{"internal/pace"}},

	// The domain: no wire, no SQL, and no noun imports another.
	"internal/fleet": {own: []string{
		"internal/departure", "internal/durable", "internal/limit",
		"internal/access", "internal/change", "internal/event", "internal/fault", "internal/id", "internal/page", "internal/resource", "internal/seal",
		"internal/token",
	}},
	"internal/identity": {own: []string{
		"internal/limit",
		"internal/access", "internal/audit", "internal/event", "internal/fault", "internal/id", "internal/page", "internal/token",
		"internal/change",
		"internal/departure",
		"internal/resource",
	}},
	"internal/group": {own: []string{
		"internal/departure", "internal/durable", "internal/limit",
		"internal/access", "internal/change", "internal/event", "internal/fault", "internal/id", "internal/page", "internal/resource",
	}},
	// What belongs to runners may know them, and nothing of each other.
	"internal/sealed": {own: []string{
		"internal/access", "internal/change", "internal/fault", "internal/fleet", "internal/id", "internal/resource", "internal/seal",
	}},
	// The audit log; it knows no noun.
	"internal/auditlog": {own: []string{
		"internal/access", "internal/audit", "internal/change", "internal/fault", "internal/id", "internal/page", "internal/resource",
	}},
	// Which database and data directory belong together.
	"internal/installation": {own: []string{"internal/durable", "internal/fault", "internal/id"}},
	// By which time things are removed by age; it knows no noun.
	"internal/confirmed": {own: []string{"internal/access", "internal/audit", "internal/change", "internal/event", "internal/fault", "internal/id"}},
	// The control plane's own keys, and the tokens that one of them signs.
	"internal/keyring": {own: []string{"internal/access", "internal/change", "internal/fault", "internal/id", "internal/seal"}},
	"internal/idtoken": {own: []string{"internal/access", "internal/change", "internal/fault", "internal/id", "internal/pace"}, foreign: []string{jose}},
	"internal/retention": {own: []string{
		"internal/access", "internal/change", "internal/event", "internal/fault", "internal/fleet", "internal/id", "internal/page",
		"internal/resource", "internal/token",
	}},
	"internal/llm": {own: []string{
		"internal/access", "internal/change", "internal/event", "internal/fault", "internal/fleet", "internal/id", "internal/page",
		"internal/resource", "internal/seal",
	}},
	// What URLs of source code hosts mean; pure.
	"internal/scmurl": {foreign: []string{"golang.org/x/net/idna"}},
	// What schemas of runners say; pure.
	"internal/runnerschema": {},
	// Questions about source code hosts: who may ask, and which runner answers.
	"internal/codehost": {own: []string{
		"internal/access", "internal/fault", "internal/fleet", "internal/id", "internal/page", "internal/resource", "internal/scmurl", "internal/seal",
	}},
	"internal/scm": {own: []string{
		"internal/departure",
		"internal/access", "internal/change", "internal/event", "internal/fault", "internal/fleet", "internal/id", "internal/page",
		"internal/resource", "internal/runnerschema", "internal/scmurl", "internal/seal",
	}},
	"internal/hosttoken": {own: []string{
		"internal/access", "internal/change", "internal/event", "internal/fault", "internal/fleet", "internal/id", "internal/page",
		"internal/resource", "internal/scmurl", "internal/seal",
	}},
	// Signing in to source code hosts ends in a host token.
	"internal/signin": {own: []string{
		"internal/access", "internal/codehost", "internal/fault", "internal/fleet", "internal/hosttoken", "internal/id", "internal/pace", "internal/scmurl", "internal/seal",
	}},
	"internal/envclass": {own: []string{
		"internal/access", "internal/change", "internal/event", "internal/fault", "internal/fleet", "internal/id", "internal/page", "internal/resource",
		"internal/runnerschema",
	}},
	"internal/serviceaccount": {own: []string{
		"internal/limit",
		"internal/access", "internal/change", "internal/departure", "internal/event", "internal/fault", "internal/id", "internal/page",
		"internal/resource", "internal/token",
	}},
	"internal/lease": {own: []string{"internal/clock", "internal/fault", "internal/id", "internal/pace"}},

	// The database implements what the domain asks for.
	"internal/store/migrations":     {},
	"internal/store/sqlstore/query": {},
	"internal/store/sqlstore": {
		own: []string{
			"internal/datadir",
			"internal/access", "internal/audit", "internal/auditlog", "internal/event", "internal/fault", "internal/fleet", "internal/id", "internal/identity",
			"internal/lease", "internal/page", "internal/seal", "internal/store/migrations", "internal/store/sqlstore/query", "internal/token",
			"internal/llm", "internal/sealed",
			"internal/keyring", "internal/idtoken",
			"internal/envclass", "internal/runnerschema",
			"internal/hosttoken", "internal/scm",
			"internal/group", "internal/resource",
			"internal/departure",
			"internal/confirmed", "internal/installation",
			"internal/serviceaccount", "internal/retention",
			"internal/codehost", "internal/scmurl", "internal/signin",
		},
		foreign: []string{"github.com/jackc/pgx/v5", "github.com/pressly/goose/v3", "modernc.org/sqlite"},
	},
	"internal/store/pgtest": {foreign: []string{"github.com/jackc/pgx/v5"}},
	"internal/store/storetest": {
		own: []string{
			"internal/departure",
			"internal/access", "internal/audit", "internal/auditlog", "internal/event", "internal/fault", "internal/fleet", "internal/id", "internal/identity",
			"internal/lease", "internal/page", "internal/seal", "internal/sealed", "internal/store/sqlstore", "internal/token",
			"internal/keyring", "internal/confirmed",
			"internal/envclass", "internal/runnerschema",
			"internal/hosttoken", "internal/scm",
			"internal/group", "internal/resource",
			"internal/serviceaccount", "internal/llm", "internal/retention",
			"internal/codehost", "internal/scmurl", "internal/signin",
		},
		foreign: []string{"github.com/google/go-cmp", "pgregory.net/rapid"},
	},

	// The edges: what speaks the wire.
	"internal/link": {
		own: []string{
			"gen", "internal/access", "internal/clock", "internal/codehost", "internal/fault", "internal/fleet", "internal/hosttoken", "internal/id", "internal/pace",
			"internal/scmurl", "internal/seal", "internal/signin",
		},
		foreign: []string{connect, protobuf},
	},
	"internal/rpc/codec":  {own: []string{"internal/fault"}, foreign: []string{protobuf}},
	"internal/rpc/jsonl":  {},
	"internal/rpc/rpcerr": {own: []string{"internal/fault"}, foreign: []string{connect, protobuf, details}},
	"internal/rpc/oauth":  {own: []string{"internal/audit", "internal/door", "internal/fault", "internal/signin"}},
	"internal/rpc/oidc":   {own: []string{"internal/audit", "internal/idtoken", "internal/rpc/rpcerr"}, foreign: []string{connect}},
	"internal/rpc/relay": {
		own:     []string{"internal/audit", "internal/door", "internal/fault", "internal/id", "internal/link", "internal/logtoken", "internal/rpc/rpcerr"},
		foreign: []string{connect},
	},
	"internal/rpc/gitpodv1": {
		own: []string{
			"gen", "internal/access", "internal/audit", "internal/auditlog", "internal/event", "internal/fault", "internal/fleet", "internal/id", "internal/identity", "internal/link",
			"internal/page", "internal/seal", "internal/token",
			"internal/idtoken",
			"internal/envclass", "internal/runnerschema", "internal/scm",
			"internal/hosttoken",
			"internal/group", "internal/resource",
			"internal/serviceaccount", "internal/llm",
			"internal/codehost", "internal/scmurl", "internal/rpc/rpcerr",
		},
		foreign: []string{connect, protobuf},
	},
	"internal/rpc/adminv1": {
		own: []string{
			"gen", "internal/access", "internal/audit/chain", "internal/auditlog", "internal/fault", "internal/fleet", "internal/id", "internal/identity", "internal/rpc/gitpodv1", "internal/seal",
			"internal/sealed", "internal/token",
			"internal/keyring",
			"internal/group", "internal/resource",
			"internal/page", "internal/retention",
		},
		foreign: []string{connect, protobuf},
	},
	// The transport knows no noun.
	"internal/rpc": {
		own: []string{
			"gen", "internal/access", "internal/audit", "internal/door", "internal/event", "internal/fault", "internal/id", "internal/pace", "internal/rpc/codec", "internal/rpc/jsonl",
			"internal/rpc/rpcerr",
		},
		foreign: []string{connect, "connectrpc.com/grpcreflect", "buf.build/go/protovalidate", protobuf, metrics},
	},
	"internal/app": {
		own: []string{
			"internal/departure", "internal/durable", "internal/limit",
			"gen", "internal/access", "internal/audit", "internal/auditlog", "internal/event", "internal/fault", "internal/fleet", "internal/id", "internal/identity",
			"internal/lease", "internal/link", "internal/logtoken", "internal/rpc", "internal/seal", "internal/store/sqlstore", "internal/token",
			"internal/sealed",
			"internal/audit/chain", "internal/idtoken", "internal/keyring",
			"internal/envclass",
			"internal/hosttoken", "internal/scm",
			"internal/group",
			"internal/serviceaccount", "internal/llm", "internal/retention",
			"internal/confirmed",
			"internal/codehost", "internal/signin", "internal/door", "internal/vitals",
			"internal/datadir", "internal/installation",
		},
		foreign: []string{connect, protobuf, metrics},
	},

	// The runner and the command line: nothing of the server.
	"internal/agent": {
		own:     []string{"gen", "internal/agent", "internal/clock", "internal/datadir", "internal/door", "internal/durable", "internal/fault", "internal/id", "internal/logtoken", "internal/pace", "internal/scmurl", "internal/seal", "internal/vitals"},
		foreign: []string{connect, protobuf, details, "golang.org/x/net/http/httpproxy"},
	},
	// Vendors' own clients are known here and nowhere else; nothing of the link is.
	"internal/agent/scmhost": {
		own: []string{"internal/agent/scmhost", "internal/fault", "internal/pace", "internal/scmurl"},
		foreign: []string{
			"code.gitea.io/sdk/gitea", "github.com/google/go-github/v92", "gitlab.com/gitlab-org/api/client-go/v2",
			"golang.org/x/oauth2", "golang.org/x/sync",
		},
	},
	"internal/cli": {
		own: []string{
			"gen", "internal/audit/chain", "internal/cli/manifest", "internal/cli/out",
			"internal/access", "internal/resource", // which roles have an effect
			"internal/scmurl", // what people paste
		},
		foreign: []string{connect, protobuf, details, "github.com/alecthomas/kong", "golang.org/x/sys/unix"},
	},
	"internal/cli/manifest": {foreign: []string{"go.yaml.in/yaml/v3"}},
	"internal/cli/out":      {foreign: []string{protobuf, "go.yaml.in/yaml/v3"}},

	"cmd/muster": {
		own:     []string{"internal/agent", "internal/app", "internal/cli", "internal/clock", "internal/confirmed", "internal/datadir", "internal/durable", "internal/fault", "internal/limit"},
		foreign: []string{"github.com/alecthomas/kong", "github.com/lmittmann/tint"},
	},

	// Generated.
	"gen": {own: []string{"gen"}, foreign: []string{connect, protobuf, "buf.build/gen/go/bufbuild/protovalidate"}},
}

// outside lists the folders whose packages no product code imports, and which
// may import anything.
var outside = []string{"bench", "proto/contracttest", "proto/rpctable", "test"}

func TestImportRules(t *testing.T) {
	folders := slices.Collect(maps.Keys(rooms))
	seen := map[string]bool{}
	for _, s := range sources(t) {
		if _, ok := longest(outside, s.dir()); ok {
			continue
		}
		folder, ok := longest(folders, s.dir())
		if !ok {
			t.Errorf("%s: the package has no place in the table of %s; say there what it may import", s.path, "test/arch/imports_test.go")
			continue
		}
		seen[folder] = true
		if s.isTest() {
			continue
		}
		for _, p := range s.imports() {
			allowed := rooms[folder].foreign
			own, isOwn := strings.CutPrefix(p, module+"/")
			if isOwn {
				p, allowed = own, rooms[folder].own
			}
			if _, ok := longest(allowed, p); !ok && (isOwn || !isStandard(p)) {
				t.Errorf("%s: packages of %s may not import %s", s.path, folder, p)
			}
		}
	}
	for _, folder := range folders {
		if !seen[folder] {
			t.Errorf("the table names %s, which has no package; take it out", folder)
		}
	}
}

// longest returns the longest of the folders that is p or above it.
func longest(folders []string, p string) (string, bool) {
	best, ok := "", false
	for _, f := range folders {
		if (p == f || strings.HasPrefix(p, f+"/")) && len(f) >= len(best) {
			best, ok = f, true
		}
	}
	return best, ok
}

// isStandard tells whether an import path is of the standard library.
func isStandard(p string) bool {
	first, _, _ := strings.Cut(p, "/")
	return !strings.Contains(first, ".")
}
