package identity

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/change"
	"github.com/musterhq/muster/internal/departure"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/limit"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/token"
)

// Service is the domain of organizations, people and personal access tokens.
type Service struct {
	store  Store
	links  departure.Links
	limits limit.Limits
	log    *slog.Logger
	cache  *cache
	holds  *holds
	uses   chan use
}

// New makes the service. Run must run for the last use of tokens to be stored.
func New(store Store, links departure.Links, log *slog.Logger) *Service {
	return &Service{
		store:  store,
		links:  links,
		limits: limit.Default(),
		log:    log,
		cache:  newCache(),
		holds:  newHolds(),
		uses:   make(chan use, 256),
	}
}

// SetLimits replaces the default limits. It is called before anything else.
func (s *Service) SetLimits(l limit.Limits) { s.limits = l }

// patObject is a personal access token as permissions see it.
func patObject(r token.Record) access.Object {
	return access.Object{Type: resource.PersonalAccessToken, ID: string(r.ID), Organization: r.Organization, Owner: r.Subject}
}

// MinBootstrapToken is the shortest token that an operator may choose, in bytes.
const MinBootstrapToken = 32

// CheckBootstrapToken refuses a token that an operator chose and that cannot be
// used as one. The empty one, which chooses none, is fine.
func CheckBootstrapToken(chosen string) error {
	if chosen != "" && len(chosen) < MinBootstrapToken {
		return fault.New(fault.InvalidArgument, fault.InvalidField,
			"MUSTER_BOOTSTRAP_TOKEN must have at least %d characters, has %d. \"openssl rand -hex 32\" makes a good one.", MinBootstrapToken, len(chosen))
	}
	if kind, ok := token.Recognize(chosen); !ok || kind != "" && kind != token.Personal || strings.ContainsAny(chosen, " \t\r\n") && strings.TrimSpace(chosen) != chosen {
		return fault.New(fault.InvalidArgument, fault.InvalidField,
			"MUSTER_BOOTSTRAP_TOKEN cannot be used as a token: it begins like one of Muster's own and is none, or it begins or ends with a space. \"openssl rand -hex 32\" makes a good one.")
	}
	return nil
}

// The first admin, until somebody changes it.
const (
	firstAdminName  = "Administrator"
	firstAdminEmail = "admin@localhost"
)

// Bootstrap makes the first organization with an admin and a token, unless
// there is an organization already. chosen is the operator's own token; when it
// is empty, a fresh one is made and returned. The returned token is empty when
// nothing was made.
func (s *Service) Bootstrap(ctx context.Context, chosen string) (fresh string, err error) {
	if err := CheckBootstrapToken(chosen); err != nil {
		return "", err
	}
	secret, hash := chosen, token.Hash(chosen)
	if chosen == "" {
		secret, hash = token.New(token.Personal)
	}
	now := time.Now()
	org := Organization{ID: id.Organization(id.New()), Name: "Default organization", Operates: true, CreatedAt: now, UpdatedAt: now}
	admin := newUser(org.ID, firstAdminName, firstAdminEmail, resource.RoleOrgAdmin, now)
	rec := token.Record{
		ID: id.Token(id.New()), Organization: org.ID, Kind: token.Personal, Hash: hash, Subject: admin.Subject(), Creator: admin.Subject(),
		Description: "Made at the first start", CreatedAt: now,
	}
	var exists bool
	err = s.store.Write(ctx, func(tx Tx) error {
		var err error
		if _, exists, err = tx.OperatingOrganization(ctx); err != nil || exists {
			return err
		}
		if err := tx.InsertOrganization(ctx, org); err != nil { // lost to another replica that starts, at most
			return err
		}
		err = change.Write(ctx, tx, change.Record{
			Actor: access.System, Action: "organization.create", Object: access.OrganizationObject(org.ID), Event: event.Created,
		})
		if err != nil {
			return err
		}
		return insertUser(ctx, tx, admin, rec, access.System)
	})
	if fault.HasReason(err, fault.OutcomeUnknown) {
		// What can only be shown now is shown, if it is there.
		if made, _, lookErr := s.store.OperatingOrganization(ctx); lookErr == nil && made.ID == org.ID {
			err = nil
		}
	}
	switch {
	case fault.HasReason(err, fault.OutcomeUnknown):
		return "", fault.New(fault.Unknown, fault.OutcomeUnknown,
			"It is not known whether the first organization was made. Start muster again; if it shows no token then, make one with \"muster admin reset\".").WithCause(err)
	case err != nil:
		return "", fault.Wrap(err, "making the first organization")
	case chosen == "" && !exists:
		return secret, nil
	case exists && chosen != "":
		s.log.Warn("MUSTER_BOOTSTRAP_TOKEN is ignored: this control plane has been set up before")
	}
	return "", nil
}
