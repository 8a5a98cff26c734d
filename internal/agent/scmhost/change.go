package scmhost

import (
	"strings"

	"github.com/musterhq/muster/internal/scmurl"
)

// Change is a pull request or a merge request.
type Change struct {
	Number, Title string
	// URL is that of its page.
	URL string
	// Author is the login of who opened it; empty when the account is gone.
	Author     string
	State      ChangeState
	Draft      bool
	FromBranch string
	ToBranch   string
	// Head is where the change comes from; nil when that repository is gone.
	Head *Repository
	// Base is where the change goes to.
	Base Repository
	// Commit is the newest of the change; empty when the host has dropped it.
	Commit string
}

// ChangeState is what became of a change.
type ChangeState uint8

// The states.
const (
	ChangeUnknown ChangeState = iota
	ChangeOpen
	ChangeClosed // without having been merged
	ChangeMerged
)

// changeState reads the word of a host; no two hosts mean different things by one.
func changeState(word string) ChangeState {
	switch strings.ToLower(word) {
	case "open", "opened", "active",
		"locked": // being merged at this moment, on GitLab
		return ChangeOpen
	case "closed", "declined", "superseded", "abandoned":
		return ChangeClosed
	case "merged", "completed":
		return ChangeMerged
	}
	return ChangeUnknown
}

// changeStateOf reads the state of hosts that call merged changes closed, too.
func changeStateOf(word string, merged bool) ChangeState {
	if merged {
		return ChangeMerged
	}
	return changeState(word)
}

// changeURL is that of the page of a change.
func (s Site) changeURL(base Repository, number string) string {
	return scmurl.Target{Owner: base.Owner, Repo: base.Repo, Page: scmurl.ChangePage, Number: number}.URL(s.Integration)
}
