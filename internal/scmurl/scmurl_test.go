package scmurl_test

import (
	"testing"

	"github.com/musterhq/muster/internal/scmurl"
)

// The integrations of the tests.
var (
	gitHub   = scmurl.Integration{SCMID: scmurl.GitHub, Host: "github.com"}
	ghes     = scmurl.Integration{SCMID: scmurl.GitHub, Host: "ghe.example.com:8443"}
	gitLab   = scmurl.Integration{SCMID: scmurl.GitLab, Host: "gitlab.com"}
	ownLab   = scmurl.Integration{SCMID: scmurl.GitLab, Host: "gitlab.example.com"}
	portLab  = scmurl.Integration{SCMID: scmurl.GitLab, Host: "gitlab.example.com:8443"}
	belowLab = scmurl.Integration{SCMID: scmurl.GitLab, Host: "tools.example.com/git/lab"}
	cloud    = scmurl.Integration{SCMID: scmurl.Bitbucket, Host: "bitbucket.org"}
	data     = scmurl.Integration{SCMID: scmurl.BitbucketServer, Host: "bitbucket.gitpod-dev.com"}
	dataHTTP = scmurl.Integration{SCMID: scmurl.BitbucketServer, Host: "stash.corp:7990/bitbucket", Plain: true}
	entra    = scmurl.Integration{SCMID: scmurl.AzureDevOpsEntra, Host: "dev.azure.com"}
	acme     = scmurl.Integration{SCMID: scmurl.AzureDevOpsEntra, Host: "dev.azure.com/acme"}
	server   = scmurl.Integration{SCMID: scmurl.AzureDevOpsServer, Host: "ado.example.com", VirtualDirectory: "/tfs"}
	tfs      = scmurl.Integration{SCMID: scmurl.AzureDevOpsServer, Host: "tfs:8080", VirtualDirectory: "/tfs", Plain: true}
	rootTFS  = scmurl.Integration{SCMID: scmurl.AzureDevOpsServer, Host: "tfs.example.com", VirtualDirectory: "/"}
	gitea    = scmurl.Integration{SCMID: scmurl.Gitea, Host: "gitea.example.com"}
	subGitea = scmurl.Integration{SCMID: scmurl.Gitea, Host: "127.0.0.1:3000/git", Plain: true}
)

// all are the integrations of every test, one of every kind at least.
var all = []scmurl.Integration{
	gitHub, ghes, gitLab, ownLab, portLab, belowLab, cloud, data, dataHTTP, entra, acme, server, tfs, rootTFS, gitea, subGitea,
}

// read reads a URL on the host of an integration.
func read(t *testing.T, raw string, i scmurl.Integration) ([]scmurl.Target, error) {
	t.Helper()
	l, err := scmurl.Parse(raw)
	if err != nil {
		return nil, err
	}
	return scmurl.Read(l, i)
}

// The targets of the tests.
func repo(owner, name string) scmurl.Target { return scmurl.Target{Owner: owner, Repo: name} }

func at(owner, name string, kind scmurl.RefKind, tail ...string) scmurl.Target {
	return scmurl.Target{Owner: owner, Repo: name, Page: scmurl.RefPage, Ref: scmurl.Ref{Kind: kind, Tail: tail, Whole: len(tail) == 1}}
}

func forked(fork string, t scmurl.Target) scmurl.Target { t.Fork = fork; return t }

func change(owner, name, number string) scmurl.Target {
	return scmurl.Target{Owner: owner, Repo: name, Page: scmurl.ChangePage, Number: number}
}

func issue(owner, name, number string) scmurl.Target {
	return scmurl.Target{Owner: owner, Repo: name, Page: scmurl.IssuePage, Number: number}
}

type targets []scmurl.Target

// Short names of the kinds of ref, for tables.
const (
	ref    = scmurl.AnyRef
	branch = scmurl.Branch
	tag    = scmurl.Tag
	commit = scmurl.Commit
)

const sha = "409ac2de49a53d679989d438735f78204f441634"
