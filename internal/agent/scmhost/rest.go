package scmhost

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/scmurl"
)

// rest is a REST API of a site that has no client of its own here.
type rest struct {
	Site
	// authorization is the header's value; empty without a credential.
	authorization string
}

// bearer is the value of an Authorization header for a token; empty without one.
func (s Site) bearer() string {
	if s.Credential.Token == "" {
		return ""
	}
	return "Bearer " + s.Credential.Token
}

// get reads root/path[0]/path[1]... into out; every part of the path is escaped.
// What names the thing asked for, for when it is missing.
func (r rest) get(ctx context.Context, what string, out any, root string, query url.Values, path ...string) (http.Header, error) {
	for _, part := range path {
		// Nothing is called that, and some of it would lead to another place.
		if part == "" || part == "." || part == ".." || strings.Contains(part, "/") {
			return nil, r.missing(what)
		}
		root += "/" + url.PathEscape(part)
	}
	if len(query) > 0 {
		root += "?" + query.Encode()
	}
	header, err := r.getJSON(ctx, root, r.authorization, out)
	if fault.Is(err, fault.NotFound) {
		return nil, r.missing(what)
	}
	return header, err
}

// repository is a repository as the host spells it. Clone URLs are made here: those
// that hosts tell hold the caller's name, and the address that the host believes to
// have.
func (r rest) repository(owner, repo string) (Repository, error) {
	if owner == "" || repo == "" {
		return Repository{}, r.garbled()
	}
	return Repository{Owner: owner, Repo: repo, CloneURL: r.target(owner, repo).CloneURL(r.Integration)}, nil
}

func (r rest) found(owner, repo string) FoundRepository {
	return FoundRepository{Name: owner + "/" + repo, URL: r.target(owner, repo).URL(r.Integration)}
}

func (rest) target(owner, repo string) scmurl.Target { return scmurl.Target{Owner: owner, Repo: repo} }

// garbled is the fault of an answer in JSON that lacks what it must have.
func (s Site) garbled() error {
	return fault.New(fault.Unavailable, fault.HostUnavailable, "%s gave an answer that is not one of its API.", s.Host)
}

// answered is in the chain of faults that a status led to which means nothing of
// its own.
type answered int

// Error implements error.
func (a answered) Error() string { return "HTTP status " + strconv.Itoa(int(a)) }

// hasStatus tells whether the host answered with a status that getJSON has no
// meaning for.
func hasStatus(err error, status int) bool {
	var a answered
	return errors.As(err, &a) && int(a) == status
}

// offset is a cursor that counts the rows of the pages before; pageCursor makes
// it. It is zero for the beginning.
func offset(cursor string) (int, error) {
	if cursor == "" {
		return 0, nil
	}
	return pageNumber(cursor)
}
