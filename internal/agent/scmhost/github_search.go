package scmhost

import (
	"context"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/google/go-github/v92/github"

	"github.com/musterhq/muster/internal/fault"
)

// Search with words finds what belongs to the user and the user's organizations
// first, and then whatever else the credential may read.
func (g *gitHub) Search(ctx context.Context, q Query) (Repositories, error) {
	if q.Native {
		return g.find(ctx, q.Text)(q.Page, q.Size)
	}
	words := gitHubWords(q.Text)
	own := func(page, size int) (Repositories, error) {
		terms := []string{"user:@me"}
		if words != "" {
			terms = []string{words, "in:name", "user:@me"}
		}
		orgs, _, err := g.memberships(ctx, 1, maxPage)
		if err != nil && !fault.Is(err, fault.PermissionDenied) && !fault.Is(err, fault.NotFound) {
			return Repositories{}, err
		}
		for _, m := range orgs {
			terms = append(terms, "org:"+m.GetOrganization().GetLogin())
		}
		found, err := g.find(ctx, strings.Join(terms, " "))(page, size)
		if fault.Is(err, fault.InvalidArgument) {
			return Repositories{}, nil // GitHub refuses to search users who have no repository
		}
		return found, err
	}
	return ownFirst(Query{Text: words, Page: q.Page, Size: q.Size}, own, g.find(ctx, words+" in:name"))
}

// gitHubMost is how many of its results GitHub shows at most.
const gitHubMost = 1000

func (g *gitHub) find(ctx context.Context, query string) lister {
	return func(page, size int) (Repositories, error) {
		if (page-1)*size >= gitHubMost {
			return Repositories{Pages: pages(gitHubMost, size), Total: gitHubMost}, nil
		}
		result, resp, err := g.client.Search.Repositories(ctx, query, &github.SearchOptions{ListOptions: github.ListOptions{Page: page, PerPage: size}})
		if resp != nil && resp.StatusCode == http.StatusUnprocessableEntity {
			return Repositories{}, fault.New(fault.InvalidArgument, fault.InvalidField, "%s does not understand this query, or may not search where it says.", g.Host)
		}
		if err != nil {
			return Repositories{}, g.failed(resp, err, "search")
		}
		if result == nil {
			return Repositories{}, g.garbled()
		}
		found := Repositories{Total: min(result.GetTotal(), gitHubMost)}
		found.Pages = pages(found.Total, size)
		found.More = page < found.Pages
		for _, r := range result.Repositories {
			if r.GetFullName() == "" {
				return Repositories{}, g.garbled()
			}
			found.Rows = append(found.Rows, FoundRepository{Name: r.GetFullName(), URL: gitHubTarget(r).URL(g.Integration)})
		}
		return found, nil
	}
}

// gitHubWords writes words so that GitHub takes them as words: what could be a
// qualifier or an operator is quoted. Nothing can be escaped within quotes, so
// quotes and backslashes divide words, like spaces.
func gitHubWords(text string) string {
	words := strings.FieldsFunc(text, func(r rune) bool {
		return r == '"' || r == '\\' || unicode.IsSpace(r) || unicode.IsControl(r)
	})
	for i, word := range words {
		if !gitHubWord.MatchString(word) || slices.Contains([]string{"AND", "OR", "NOT"}, strings.ToUpper(word)) {
			words[i] = `"` + word + `"`
		}
	}
	return strings.Join(words, " ")
}

var gitHubWord = regexp.MustCompile(`^[\pL\pN_.][\pL\pN_.-]*$`)
