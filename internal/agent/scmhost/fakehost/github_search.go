package fakehost

import (
	"net/http"
	"regexp"
	"strings"
)

// search answers a search for repositories. Of GitHub's qualifiers it knows user,
// org, is and in; a qualifier is one only outside of quotes.
func (g *GitHub) search(w http.ResponseWriter, r *http.Request, user GitHubUser) {
	q, ok := parseSearch(r.FormValue("q"), user.Login)
	page, size := number(r, "page", 1), number(r, "per_page", 30)
	switch {
	case !ok || strings.TrimSpace(r.FormValue("q")) == "":
		g.fail(w, http.StatusUnprocessableEntity, "Validation Failed")
		return
	case (page-1)*size >= 1000:
		g.fail(w, http.StatusUnprocessableEntity, "Only the first 1000 search results are available")
		return
	}
	known := len(q.owners) == 0
	rows := []object{}
	for _, repo := range g.Repositories {
		owned := len(q.owners) == 0 || q.owners[strings.ToLower(repo.Owner)]
		known = known || owned
		if owned && repo.seenBy(user) && q.matches(repo) {
			rows = append(rows, g.repository(repo))
		}
	}
	if !known {
		// What GitHub says when none of the owners has a repository.
		g.fail(w, http.StatusUnprocessableEntity, "The listed users and repositories cannot be searched")
		return
	}
	total := len(rows)
	rows = rows[:min(total, 1000)]
	answer(w, object{
		"total_count": total, "incomplete_results": false,
		"items": rows[min((page-1)*size, len(rows)):min(page*size, len(rows))],
	})
}

// search is a query that was understood.
type search struct {
	words   []string
	owners  map[string]bool
	private *bool
}

var searchTerm = regexp.MustCompile(`"([^"]*)"|([a-z]+):(\S+)|([^\s"]+)`)

func parseSearch(text, login string) (search, bool) {
	q := search{owners: map[string]bool{}}
	for _, m := range searchTerm.FindAllStringSubmatch(text, -1) {
		switch key, value := m[2], strings.ToLower(m[3]); {
		case key == "user" && value == "@me":
			q.owners[strings.ToLower(login)] = true
		case key == "user" || key == "org":
			q.owners[value] = true
		case key == "is" && (value == "public" || value == "private"):
			q.private = new(value == "private")
		case key == "in" && value == "name":
		case key != "":
			return search{}, false
		default:
			q.words = append(q.words, strings.ToLower(m[1]+m[4]))
		}
	}
	return q, true
}

func (q search) matches(repo *GitHubRepository) bool {
	for _, word := range q.words {
		if !strings.Contains(strings.ToLower(repo.Name), word) {
			return false
		}
	}
	return q.private == nil || *q.private == repo.Private
}
