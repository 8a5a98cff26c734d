package scmhost

import (
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
)

// refs is what a repository says of the refs that it was asked for.
type refs struct {
	// branch is the one that HEAD points at, and commit what is there; both are
	// empty for a repository without commits, and branch for a detached HEAD.
	branch, commit string
	// found has the commits of those that are there, by their full names.
	found map[string]string
	// open are those that may or may not be there: the answer was too long to read
	// to its end.
	open []string
}

// add puts in what was asked for again.
func (r *refs) add(again refs) {
	all := maps.Clone(again.found)
	maps.Copy(all, r.found)
	r.found, r.open = all, again.open
}

// reading collects refs out of an answer.
type reading struct {
	refs
	// wanted has the names by themselves: those in answers share memory with more.
	wanted map[string]string
	// last is the newest name, and sorted says that all came in order: those that
	// come before it and were not seen are not there.
	last   string
	sorted bool
	ended  bool
}

func newReading(names []string) *reading {
	r := &reading{refs: refs{found: map[string]string{}}, wanted: map[string]string{}, sorted: true}
	for _, n := range names {
		r.wanted[n] = n
	}
	return r
}

// see takes one ref; peeled is what an annotated tag points at.
func (r *reading) see(name, id, peeled string) error {
	if peeled == "" {
		peeled = id
	}
	if !isID(id) || !isID(peeled) || name == "" || strings.Contains(name, " ") {
		return errNotGit
	}
	if name == "HEAD" {
		r.commit = strings.Clone(peeled)
		return nil
	}
	if want, ok := r.wanted[name]; ok {
		r.found[want] = strings.Clone(peeled)
	}
	r.sorted = r.sorted && r.last < name
	r.last = name
	return nil
}

// decided tells whether it is known whether a ref is there.
func (r *reading) decided(name string) bool {
	_, found := r.found[name]
	return found || r.ended || r.sorted && name < r.last
}

// done returns what was read.
func (r *reading) done() refs {
	for name := range r.wanted {
		if !r.decided(name) {
			r.open = append(r.open, name)
		}
	}
	slices.Sort(r.open)
	return r.refs
}

// readListing reads the answer to ls-refs of version 2:
//
//	ID NAME [symref-target:NAME] [peeled:ID]
//	unborn HEAD symref-target:NAME
func readListing(p *packets, names []string) (refs, error) {
	r := newReading(names)
	for {
		line, ok, err := p.next()
		switch {
		case errors.Is(err, io.EOF) && p.limit.N <= 0:
			return r.done(), nil
		case errors.Is(err, io.EOF):
			return refs{}, errNotGit // it ends with a flush packet
		case err != nil:
			return refs{}, err
		case !ok:
			r.ended = true
			return r.done(), nil
		}
		words := strings.Split(line, " ")
		if len(words) < 2 || words[0] == "ERR" {
			return refs{}, errNotGit
		}
		if words[0] == "unborn" {
			continue
		}
		peeled, target := "", ""
		for _, w := range words[2:] {
			if v, ok := strings.CutPrefix(w, "peeled:"); ok {
				peeled = v
			} else if v, ok := strings.CutPrefix(w, "symref-target:"); ok {
				target = v
			}
		}
		if words[1] == "HEAD" {
			r.branch = branchOf(target)
		}
		if err := r.see(words[1], words[0], peeled); err != nil {
			return refs{}, err
		}
	}
}

// advertisement is the answer to the first request to a repository.
type advertisement struct {
	// v2 says that it lists what the server can do, and no refs.
	v2 bool
	// sha256 says that the ids of the repository are SHA-256.
	sha256 bool
	refs
}

// readAdvertisement reads what a server says of a repository at first. Of
// version 2 that is what it can do; before, it is the refs:
//
//	ID NAME NUL CAPABILITIES
//	ID NAME
//	ID NAME^{}
func readAdvertisement(p *packets, names []string) (advertisement, error) {
	line, ok, err := p.next()
	service := strings.HasPrefix(line, "# service=")
	if err == nil && service {
		if _, _, err = p.next(); err == nil {
			line, ok, err = p.next()
		}
	}
	if err == nil && line == "version 1" {
		line, ok, err = p.next()
	}
	switch {
	case err == nil && !ok && service: // some say nothing of an empty repository
		r := newReading(names)
		r.ended = true
		return advertisement{refs: r.done()}, nil
	case errors.Is(err, io.EOF), err == nil && !ok:
		return advertisement{}, errNotGit
	case err != nil:
		return advertisement{}, err
	case line == "version 2":
		return readCapabilities(p)
	}
	first, capabilities, _ := strings.Cut(line, "\x00")
	a := advertisement{}
	r := newReading(names)
	for w := range strings.SplitSeq(capabilities, " ") {
		if target, ok := strings.CutPrefix(w, "symref=HEAD:"); ok {
			r.branch = branchOf(target)
		}
		a.sha256 = a.sha256 || w == "object-format=sha256"
	}
	line = first
	for {
		id, name, _ := strings.Cut(line, " ")
		tag, peeled := strings.CutSuffix(name, "^{}")
		switch {
		case name == "capabilities^{}": // there are no refs
		case peeled && isID(id):
			if want, ok := r.wanted[tag]; ok {
				r.found[want] = strings.Clone(id)
			}
		case id == "shallow":
		default:
			if err := r.see(name, id, ""); err != nil {
				return advertisement{}, err
			}
		}
		if r.settled() {
			break
		}
		line, ok, err = p.next()
		if errors.Is(err, io.EOF) && p.limit.N <= 0 {
			break
		}
		if errors.Is(err, io.EOF) {
			return advertisement{}, errNotGit
		}
		if err != nil {
			return advertisement{}, err
		}
		if !ok {
			r.ended = true
			break
		}
	}
	if r.commit == "" {
		r.branch = ""
	}
	a.refs = r.done()
	return a, nil
}

// settled tells whether nothing more needs to be read: HEAD comes first, and the
// others in order.
func (r *reading) settled() bool {
	if r.last == "" && len(r.wanted) > 0 || r.last == "" && r.commit == "" {
		return false
	}
	for name := range r.wanted {
		// The line after a tag may tell what it points at.
		if !r.sorted || name >= r.last {
			return false
		}
	}
	return true
}

func readCapabilities(p *packets) (advertisement, error) {
	a := advertisement{}
	for {
		line, ok, err := p.next()
		switch {
		case errors.Is(err, io.EOF):
			return advertisement{}, errNotGit
		case err != nil:
			return advertisement{}, err
		case !ok && !a.v2:
			return advertisement{}, errNotGit // it cannot list refs
		case !ok:
			return a, nil
		}
		a.v2 = a.v2 || line == "ls-refs" || strings.HasPrefix(line, "ls-refs=")
		a.sha256 = a.sha256 || line == "object-format=sha256"
	}
}

// branchOf is the branch of a ref; empty when it is none.
func branchOf(ref string) string {
	branch, ok := strings.CutPrefix(ref, "refs/heads/")
	if !ok {
		return ""
	}
	return strings.Clone(refName(branch)) // without the rest of the line
}

// isID tells whether a text is an object id, SHA-1 or SHA-256.
func isID(s string) bool {
	return (len(s) == 40 || len(s) == 64) && isLowerHex(s)
}

func isLowerHex(s string) bool {
	return strings.Trim(s, "0123456789abcdef") == ""
}
