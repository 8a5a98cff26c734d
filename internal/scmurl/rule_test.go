package scmurl_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/musterhq/muster/internal/scmurl"
)

// checkRule compares a problem with a part of the one that is wanted; none with
// the empty text.
func checkRule(t *testing.T, of string, err error, want string) {
	t.Helper()
	if want == "" && err == nil {
		return
	}
	var p scmurl.Problem
	if !errors.As(err, &p) || want == "" || !strings.Contains(string(p), want) {
		t.Errorf("%.80q: %v, want %q", of, err, want)
	}
}

func TestCheckHost(t *testing.T) {
	for host, want := range map[string]string{
		"github.com": "", "GitHub.com": "", "localhost": "", "localhost:3000": "", "10.0.0.1": "", "[::1]": "", "[fd00::1]:8443": "", "git_lab.internal": "",
		"xn--bcher-kva.example": "", "gitlab.example.com/git": "", "gitlab.example.com/a/b": "",
		"": "is required", "https://github.com": "not a URL", "me@github.com": "user name", "https://me:pw@github.com": "not a URL",
		"github.com:": "port", "github.com:0": "port", "github.com:65536": "port", "github.com:080": "port", "github.com:x": "port",
		"github com": "host name", " github.com": "host name", "github.com.": "host name", ".com": "host name", "a..b": "host name", "-a.com": "host name", "a-.com": "host name",
		"bücher.example": "ASCII", "a.com/": "path", "a.com//b": "path", "a.com/../b": "path", "a.com/b?c": "path", "a.com?b": "host name", "a.com#b": "host name",
		"::1": "host name", "[::1": "host name", "[::1]x": "host name", "[fe80::1%eth0]": "host name", "[1.2.3.4]": "host name", "a\x00b": "host name",
		strings.Repeat("a", 64) + ".com": "host name", strings.Repeat("a.", 127) + "com": "253",
		"a.com/a/b/c/d/e": "", "a.com/a/b/c/d/e/f": "more than 5 segments", "a.com/" + strings.Repeat("p", 255): "", "a.com/" + strings.Repeat("p", 256): "path",
	} {
		checkRule(t, host, scmurl.CheckHost(scmurl.GitLab, host), want)
		checkRule(t, host, scmurl.CheckHost("", host), want)
	}
	for kind, want := range map[string]string{
		scmurl.GitHub: "without a path", scmurl.Bitbucket: "without a path", scmurl.AzureDevOpsServer: "virtual directory",
		scmurl.BitbucketServer: "", scmurl.AzureDevOpsEntra: "dev.azure.com", scmurl.Gitea: "",
	} {
		checkRule(t, kind, scmurl.CheckHost(kind, "h.example/a"), want)
	}
	for host, want := range map[string]string{
		"dev.azure.com": "", "dev.azure.com/acme": "", "Dev.Azure.com/Acme": "", "dev.azure.com:443/acme": "", "acme.visualstudio.com": "", "acme.visualstudio.com/DefaultCollection": "",
		"dev.azure.com/acme/tools": "dev.azure.com", "dev.azure.com:8443/acme": "dev.azure.com", "ssh.dev.azure.com": "dev.azure.com", "vs-ssh.visualstudio.com": "dev.azure.com",
		"acme.visualstudio.com/tools": "dev.azure.com", "a.acme.visualstudio.com": "dev.azure.com", "visualstudio.com": "dev.azure.com", "dev.azure.com.evil.example/acme": "dev.azure.com",
		"evildev.azure.com": "dev.azure.com", "evil.example": "azuredevops_server", "": "is required", "dev.azure.com/": "path", "dev.azure.com:x": "port",
	} {
		checkRule(t, host, scmurl.CheckHost(scmurl.AzureDevOpsEntra, host), want)
	}
}

func TestCheckVirtualDirectory(t *testing.T) {
	for directory, want := range map[string]string{
		"/": "", "/tfs": "", "/tfs/": "", "/a/b": "", "": "needs a virtual directory", "tfs": "path such as", "/tfs/../x": "path such as", "/a?b": "path such as",
		"//": "path such as", "/a%2Fb": "path such as", "/" + strings.Repeat("a", 255): "path such as",
	} {
		checkRule(t, directory, scmurl.CheckVirtualDirectory(scmurl.AzureDevOpsServer, directory), want)
	}
	checkRule(t, "", scmurl.CheckVirtualDirectory(scmurl.GitHub, ""), "")
	checkRule(t, "/tfs", scmurl.CheckVirtualDirectory(scmurl.GitHub, "/tfs"), "leave it out")
}

func TestCheckIssuer(t *testing.T) {
	for issuer, want := range map[string]string{
		"https://login.microsoftonline.com/tenant/v2.0": "", "https://login.example.com:8443/x": "",
		"": "required", "login.example.com": "https", "http://login.example.com": "https", "https:///x": "https", "https://a b/": "https",
		"https://me:pw@login.example.com": "credentials", "https://login.example.com?": "query", "https://login.example.com?a=b": "query",
		"https://login.example.com#": "fragment", "https://login.example.com/" + strings.Repeat("a", 2048): "https",
	} {
		checkRule(t, issuer, scmurl.CheckIssuer(scmurl.AzureDevOpsEntra, issuer), want)
	}
	checkRule(t, "", scmurl.CheckIssuer(scmurl.GitHub, ""), "")
	checkRule(t, "issuer", scmurl.CheckIssuer(scmurl.GitHub, "https://login.example.com"), "leave it out")
}
