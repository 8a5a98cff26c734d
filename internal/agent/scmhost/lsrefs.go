package scmhost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/musterhq/muster/internal/fault"
)

const (
	// maxListing bounds a list of refs, in bytes, and maxAdvertisement what a
	// server without version 2 says, which is all of its refs.
	maxListing       = 256 << 10
	maxAdvertisement = maxBody
)

// refLister asks repositories for refs with git's own protocol, which is the same on
// all hosts: https://git-scm.com/docs/protocol-v2.
type refLister struct {
	Site
	auth  string
	cache *cache
}

// list asks a repository for HEAD and for refs by their full names. It is one
// call, and one more for the first repository of a host.
func (l refLister) list(ctx context.Context, cloneURL string, names []string) (refs, error) {
	key := l.cache.key(l.Site, l.Credential.Token, append([]string{"refs", cloneURL}, names...)...)
	return recall(ctx, l.cache, key, refsLife, func(ctx context.Context) (refs, error) {
		known := l.cache.key(l.Site, "", "version 2")
		hashed := l.cache.key(l.Site, l.Credential.Token, "sha256", cloneURL)
		if l.cache.has(known) {
			r, err := l.listing(ctx, cloneURL, names, l.cache.has(hashed))
			if !errors.Is(err, errNotGit) && !errors.Is(err, troubleMoved) {
				return r, err
			}
		}
		a, at, err := l.advertised(ctx, cloneURL, names)
		if err != nil || !a.v2 {
			return a.refs, err
		}
		l.cache.note(known, protocolLife)
		if a.sha256 {
			l.cache.note(hashed, protocolLife)
		}
		return l.listing(ctx, at, names, a.sha256)
	})
}

// listing makes the one call of version 2.
func (l refLister) listing(ctx context.Context, cloneURL string, names []string, sha256 bool) (refs, error) {
	var body bytes.Buffer
	packet := func(text string) { _, _ = fmt.Fprintf(&body, "%04x%s\n", len(text)+5, text) }
	packet("command=ls-refs")
	if sha256 {
		packet("object-format=sha256")
	}
	body.WriteString("0001")
	packet("peel")
	packet("symrefs")
	packet("ref-prefix HEAD")
	for _, n := range shortest(names) {
		packet("ref-prefix " + n)
	}
	body.WriteString("0000")
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, cloneURL+"/git-upload-pack", &body)
	if err != nil {
		return refs{}, l.badName()
	}
	req.Header.Set("Content-Type", "application/x-git-upload-pack-request")
	req.Header.Set("Accept", "application/x-git-upload-pack-result")
	var r refs
	err = l.do(req, func(resp *http.Response) error {
		r, err = readListing(newPackets(resp.Body, maxListing), names)
		return err
	})
	return r, err
}

// advertised makes the first call to a repository. From a server without version
// 2 it brings the refs. It tells where the repository is, which is elsewhere on
// the host when it was renamed.
func (l refLister) advertised(ctx context.Context, cloneURL string, names []string) (a advertisement, at string, err error) {
	const page = "/info/refs"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, cloneURL+page+"?service=git-upload-pack", http.NoBody)
	if err != nil {
		return advertisement{}, "", l.badName()
	}
	err = l.do(req, func(resp *http.Response) (err error) {
		moved := *resp.Request.URL
		moved.RawQuery = ""
		at = strings.TrimSuffix(moved.String(), page)
		a, err = readAdvertisement(newPackets(resp.Body, maxAdvertisement), names)
		return err
	})
	return a, at, err
}

func (l refLister) do(req *http.Request, read func(*http.Response) error) error {
	req.Header.Set("Git-Protocol", "version=2")
	if l.auth != "" {
		req.Header.Set("Authorization", l.auth)
	}
	resp, err := l.HTTP.Do(req)
	if err != nil {
		return l.faultOf(nil, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return l.faultOf(resp, nil)
	}
	switch err := read(resp); {
	case errors.Is(err, errNotGit):
		return fault.New(fault.Unavailable, fault.HostUnavailable, "%s answered with something that is not git's protocol.", l.Host).WithCause(errNotGit)
	case err != nil:
		return l.faultOf(nil, err)
	}
	return nil
}

func (l refLister) badName() error {
	return fault.New(fault.InvalidArgument, fault.InvalidField, "%s cannot be asked about this: the name does not fit into a URL.", l.Host)
}

// shortest leaves out the names that begin with another one: as prefixes they
// say nothing more.
func shortest(names []string) []string {
	var kept []string
	for _, n := range slices.Sorted(slices.Values(names)) {
		if len(kept) == 0 || !strings.HasPrefix(n, kept[len(kept)-1]) {
			kept = append(kept, n)
		}
	}
	return kept
}
