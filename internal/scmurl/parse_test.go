package scmurl_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/scmurl"
)

func TestParse(t *testing.T) {
	for raw, want := range map[string]scmurl.Location{
		"https://github.com/o/r":                           {Host: "github.com", Path: []string{"o", "r"}},
		"HTTPS://GitHub.COM:443//o/r//":                    {Host: "github.com", Path: []string{"o", "r"}},
		"http://github.com:80/o/r":                         {Host: "github.com", Path: []string{"o", "r"}},
		"http://github.com:443/o/r":                        {Host: "github.com", Path: []string{"o", "r"}},
		"https://github.com:/o/r":                          {Host: "github.com", Path: []string{"o", "r"}},
		"https://github.com./o/r#readme":                   {Host: "github.com", Path: []string{"o", "r"}},
		"https://me:secret@github.com/o/r":                 {Host: "github.com", Path: []string{"o", "r"}},
		"https://github.com":                               {Host: "github.com"},
		"https://www.github.com/o/r":                       {Host: "github.com", Path: []string{"o", "r"}},
		"https://www.example.com/o/r":                      {Host: "www.example.com", Path: []string{"o", "r"}},
		"https://ghe.example.com:8443/o%2Fr/a%252Fb":       {Host: "ghe.example.com:8443", Path: []string{"o/r", "a%2Fb"}},
		"ssh://git@gitlab.example.com:2222/g/p.git":        {Host: "gitlab.example.com", Path: []string{"g", "p.git"}, SSH: true},
		"https://xn--bcher-kva.example/o/r":                {Host: "xn--bcher-kva.example", Path: []string{"o", "r"}},
		"https://XN--BCHER-KVA.example/o/r":                {Host: "xn--bcher-kva.example", Path: []string{"o", "r"}},
		"https://b%C3%BCcher.example/o/r":                  {Host: "xn--bcher-kva.example", Path: []string{"o", "r"}},
		"https://[FD00:EC2:0::254]/o/r":                    {Host: "[fd00:ec2::254]", Path: []string{"o", "r"}},
		"https://[::1]:3000/o/r":                           {Host: "[::1]:3000", Path: []string{"o", "r"}},
		"http://169.254.169.254/latest/meta-data":          {Host: "169.254.169.254", Path: []string{"latest", "meta-data"}},
		"https://fabrikam.visualstudio.com/_git/r":         {Host: "dev.azure.com", Path: []string{"fabrikam", "_git", "r"}},
		"ssh://org@vs-ssh.visualstudio.com/v3/org/proj/r":  {Host: "dev.azure.com", Path: []string{"org", "proj", "_git", "r"}, SSH: true},
		"https://a.b.visualstudio.com/x":                   {Host: "a.b.visualstudio.com", Path: []string{"x"}},
		"referrer:vscode/https://github.com/o/r":           {Host: "github.com", Path: []string{"o", "r"}},
		"/referrer:vscode/https://github.com/o/r":          {Host: "github.com", Path: []string{"o", "r"}},
		"referrer:jetbrains-gateway:goland/https://g.co/o": {Host: "g.co", Path: []string{"o"}},
	} {
		got, err := scmurl.Parse(raw)
		got.Query = nil
		if err != nil || cmp.Diff(want, got) != "" {
			t.Errorf("%s: %v\n%s", raw, err, cmp.Diff(want, got))
		}
	}
	l, err := scmurl.Parse("https://github.com/o/r?a%5Bb%5D=c%2Fd&e=f+g;h")
	if want := map[string][]string{"a[b]": {"c/d"}}; err != nil || cmp.Diff(want, map[string][]string(l.Query)) != "" {
		t.Errorf("query: %v, %v", l.Query, err)
	}
}

// The problem never has anything of the text.
func TestParseRefuses(t *testing.T) {
	for _, raw := range append([]string{
		// What people may paste, and programs may not send.
		"git@github.com:o/r.git", "github.com/o/r", "FOO=bar/https://github.com/o/r", "https://github.com/o r\n", "git://github.com/o/r", "<https://github.com/o/r>",
		"https://github.com/o/%zz", "https://github.com/o/a%FFb", "https://github.com/%2e%2e/r", "https://github.com/o/./r",
		"referrer:x/referrer:y/https://github.com/o/r", "referrer:me@x/https://github.com/o/r", "referrer:x",
		"ssh://org@vs-ssh.visualstudio.com/org/proj/r",
	}, hostile...) {
		_, err := scmurl.Parse(raw)
		checkProblem(t, raw, err)
	}
}

// hostile are no URLs of repositories, whoever gives them.
var hostile = []string{
	"", "x", "://", "https://", "https:///o/r", "https:github.com/o/r", "file:///etc/passwd", "file:/etc/passwd", "javascript:alert(1)", "data:text/html,x",
	"ftp://github.com/o/r", "ext::sh -c x", "open-prebuild/id/https://github.com/o/r", "imagebuild/https://github.com/o/r",
	"snapshot/id", "prebuild/https://github.com/o/r", "mailto:me@example.com",
	"ssh://-oProxyCommand=x/o/r", "https://-x.example/o/r", "https://a-/o/r", "https://a..b/o/r", "https://a b/o/r", "https://a,b/o/r",
	"https://github.com:99999/o/r", "https://github.com:0/o/r", "https://github.com:x/o/r", "https://[::1/o/r", "https://[fe80::1%25eth0]/o/r",
	"https://[1.2.3.4]/o/r", "https://\\github.com/o/r", "https://github.com\\@evil.example/o/r", "https://github.com\\x@evil.example/o/r", "https://" + strings.Repeat("a.", 127) + "com/o/r",
	"https://github.com/" + strings.Repeat("a", 4096), "https://github.com%2Fx/o/r", "https://github.com%00/o/r", "\x00", "https://github.com/o/r\x7f",
}

func checkProblem(t *testing.T, raw string, err error) {
	t.Helper()
	var p scmurl.Problem
	if !errors.As(err, &p) || p == "" {
		t.Errorf("%.80q: %v", raw, err)
	}
}

func TestNormalise(t *testing.T) {
	for pasted, want := range map[string]string{
		"https://github.com/o/r":                                "https://github.com/o/r",
		"  https://github.com/o/r\n":                            "https://github.com/o/r",
		"http://github.com/o/r#x":                               "http://github.com/o/r",
		"HTTPS://Me:Secret@GitHub.com:443/o/r/tree/a?b=c":       "https://github.com/o/r/tree/a?b=c",
		"https://a@b@github.com/o/r":                            "https://github.com/o/r",
		"github.com/o/r":                                        "https://github.com/o/r",
		"//github.com/o/r":                                      "https://github.com/o/r",
		"github.com":                                            "https://github.com",
		"github.com:o@x/r":                                      "ssh://github.com/o@x/r",
		"git@github.com/o/r":                                    "https://github.com/o/r",
		"localhost/o/r":                                         "https://localhost/o/r",
		"tfs:8080/tfs/DefaultCollection/_git/r":                 "https://tfs:8080/tfs/DefaultCollection/_git/r",
		"gitlab.example.com:8443/g/p":                           "https://gitlab.example.com:8443/g/p",
		"[::1]:3000/o/r":                                        "https://[::1]:3000/o/r",
		"[::1]/o/r":                                             "https://[::1]/o/r",
		"git@github.com:eclipse-theia/theia.git":                "ssh://github.com/eclipse-theia/theia.git",
		"git@github.com:/eclipse-theia/theia.git":               "ssh://github.com//eclipse-theia/theia.git",
		"github.com:eclipse-theia/theia.git":                    "ssh://github.com/eclipse-theia/theia.git",
		"git@stash:42/r":                                        "ssh://stash/42/r",
		"git@github.com:o@x/r":                                  "ssh://github.com/o@x/r",
		"org@vs-ssh.visualstudio.com:v3/org/proj/repo":          "ssh://vs-ssh.visualstudio.com/v3/org/proj/repo",
		"git@ssh.dev.azure.com:v3/org/My%20Project/r":           "ssh://ssh.dev.azure.com/v3/org/My%20Project/r",
		"git@[::1]:o/r":                                         "ssh://[::1]/o/r",
		"ssh://git@gitlab.example.com:2222/g/p.git":             "ssh://gitlab.example.com:2222/g/p.git",
		"referrer:vscode/https://github.com/o/r":                "https://github.com/o/r",
		"/referrer:gateway:goland/github.com/o/r":               "https://github.com/o/r",
		"FOO=bar/https://github.com/o/r":                        "https://github.com/o/r",
		"foo1=a,foo2=b/https://github.com/o/r":                  "https://github.com/o/r",
		"passedin=test%20value/https://github.com/o/r":          "https://github.com/o/r",
		"FOO==/https://github.com/o/r":                          "https://github.com/o/r",
		"=x/https://github.com/o/r":                             "https://github.com/o/r",
		"FOO=$(id)/referrer:x/BAR=/git@github.com:o/r":          "ssh://github.com/o/r",
		"https://dev.azure.com/org/My Project/_git/My Repo":     "https://dev.azure.com/org/My%20Project/_git/My%20Repo",
		"https://bücher.example/ä/r":                            "https://xn--bcher-kva.example/%C3%A4/r",
		"https://BÜCHER。example/o/r":                            "https://xn--bcher-kva.example/o/r",
		"https://gitlab.com/g/p/-/merge_requests/new?a[b]=c|d^": "https://gitlab.com/g/p/-/merge_requests/new?a%5Bb%5D=c%7Cd%5E",
		"https://github.com/o/r/tree/100%/%zz%2":                "https://github.com/o/r/tree/100%25/%25zz%252",
		"https://bitbucket.org/{ws}/{repo}":                     "https://bitbucket.org/%7Bws%7D/%7Brepo%7D",
		"https://github.com/o/r/tree/a\\b`\"<>c":                "https://github.com/o/r/tree/a%5Cb%60%22%3C%3Ec",
		"git clone https://github.com/o/r.git":                  "https://github.com/o/r.git",
		"$ git clone  git@github.com:o/r.git folder":            "ssh://github.com/o/r.git",
		"git clone 'https://github.com/o/r'":                    "https://github.com/o/r",
		"<https://me:secret@github.com/o/r>":                    "https://github.com/o/r",
		"\"github.com/o/r\"":                                    "https://github.com/o/r",
		"`git@github.com:o/r.git`.":                             "ssh://github.com/o/r.git",
		"https://github.com/o/r,":                               "https://github.com/o/r",
		"https://github.com/o/r/pull/1#x.":                      "https://github.com/o/r/pull/1",
		"https://github.com/o/r.#x":                             "https://github.com/o/r",
		"(https://github.com/o/r).":                             "https://github.com/o/r",
		"<https://github.com>":                                  "https://github.com",
		"github.com.":                                           "https://github.com",
		"https://github.com/o/r/tree/a(b)":                      "https://github.com/o/r/tree/a(b)",
		"https://github.com/o/r/compare/a...":                   "https://github.com/o/r/compare/a...",
		"https://github.com/o/r?a=b'":                           "https://github.com/o/r?a=b",
		"git+ssh://git@github.com/o/r.git":                      "ssh://github.com/o/r.git",
		"git://github.com/o/r.git":                              "https://github.com/o/r.git",
		"GIT+https://me:secret@github.com/o/r.git":              "https://github.com/o/r.git",
	} {
		got, err := scmurl.Normalise(pasted)
		if err != nil || got != want {
			t.Errorf("%q: %q, %v, want %q", pasted, got, err, want)
		}
	}
	for _, pasted := range append([]string{
		"   ", "o/r", "http", "C:\\r", "./r", "git@host", "git@:o/r", "a\xffb.example/o/r", "github.com/o/\nr", "secret@-x:o/r", "https://github.com/a/../b",
		"(see https://github.com/o/r)", "git clone", "git clone --depth 1 https://github.com/o/r", "git clone ", "<>", "...", "https://github.com/a/..", "user:secret@h:o/r", "me:secret@github.com/o/r", "ａ ｂ.example/o/r",
	}, hostile...) {
		got, err := scmurl.Normalise(pasted)
		if got != "" {
			t.Errorf("%q: %q", pasted, got)
		}
		checkProblem(t, pasted, err)
	}
}

func TestClean(t *testing.T) {
	for raw, want := range map[string]string{
		"https://alice@bitbucket.org/gitpod/r.git":          "https://bitbucket.org/gitpod/r.git",
		"http://alice@h:7990/scm/git/r.git":                 "http://h:7990/scm/git/r.git",
		"https://org@dev.azure.com/org/My%20Project/_git/r": "https://dev.azure.com/org/My%20Project/_git/r",
		"https://x:SECRET@github.com/o/r?a=b#c":             "https://github.com/o/r?a=b#c",
		"https://github.com/o/a%2Fb":                        "https://github.com/o/a%2Fb",
		"ssh://git@github.com/o/r.git":                      "ssh://github.com/o/r.git",
		"referrer:vscode/https://TOKEN@github.com/o/r":      "referrer:vscode/https://github.com/o/r",
		"referrer:https://TOKEN@github.com/o/r":             "",
		"referrer:x:y@z/https://TOKEN@github.com/o/r":       "",
		"git@github.com:o/r":                                "",
		"https://SECRET@":                                   "",
		"javascript:alert(1)":                               "",
		"":                                                  "",
	} {
		if got := scmurl.Clean(raw); got != want {
			t.Errorf("%q: %q, want %q", raw, got, want)
		}
	}
}
