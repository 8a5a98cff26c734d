package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"net/url"
	"strings"
	"time"

	"connectrpc.com/connect"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
	"github.com/musterhq/muster/internal/agent/home"
	"github.com/musterhq/muster/internal/fault"
)

const redeemTimeout = 30 * time.Second

// join redeems the exchange token and keeps what it was redeemed for.
func (r *runner) join(ctx context.Context) error {
	if r.cfg.ExchangeToken == "" {
		return fault.New(fault.FailedPrecondition, fault.MissingToken,
			"There is no identity in %s, and no exchange token was given. Make one with 'muster runner create NAME', or for a runner that exists with 'muster runner token RUNNER', and join again with --exchange-token.", r.home.Dir())
	}
	if !r.identity.Made() {
		var err error
		if r.identity, err = home.New(r.server.String()); err != nil {
			return fault.Wrap(err, "making a key pair")
		}
	}
	// The token works once. Nothing may keep us from storing what it is redeemed
	// for, so the identity is written, as it is, before.
	if err := r.home.Save(r.identity); err != nil {
		return err
	}
	token, installation, err := r.redeem(ctx)
	if err != nil {
		return err
	}
	r.redeemed = true
	r.identity.Server, r.identity.AccessToken, r.identity.PreviousToken = r.server.String(), token, ""
	r.identity.RunnerID, r.identity.OrganizationID, r.identity.InstallationID = "", "", "" // the first Welcome tells
	r.meet(installation)
	if err := r.home.Save(r.identity); err != nil {
		return fault.New(fault.FailedPrecondition, fault.DataDirectory,
			"The exchange token was redeemed, but the runner's token could not be stored and is lost. %s Then make a new token with 'muster runner token RUNNER' and join again with it.", fault.From(err).Message).WithCause(err)
	}
	return nil
}

// rejoin is called when the control plane does not accept the identity. An
// exchange token that was given and not used may be meant for just that; the
// key pair stays, so that secrets sealed to it can still be opened.
func (r *runner) rejoin(ctx context.Context, refusal error) error {
	// Its first sentence: what it then advises is for people.
	said, _, _ := strings.Cut(refusal.Error(), ". ")
	if r.cfg.ExchangeToken != "" && !r.redeemed {
		r.log.Warn("the control plane does not accept the identity; redeeming the exchange token instead", "error", refusal)
		err := r.join(ctx)
		if err == nil {
			return nil
		}
		refusal = errors.Join(refusal, err)
		if !fault.Is(err, fault.Unauthenticated) {
			return err
		}
	}
	if fault.HasReason(refusal, fault.ExpiredToken) {
		return fault.New(fault.Unauthenticated, fault.ExpiredToken,
			"The access token of runner %s in %s has expired. Make an exchange token with 'muster runner token %s' and join again with --exchange-token.",
			r.identity.RunnerID, r.home.Dir(), r.identity.RunnerID).WithCause(refusal)
	}
	return fault.New(fault.Unauthenticated, fault.UnknownToken,
		"The control plane at %s does not accept the identity of runner %s in %s. It says: %s. Make an exchange token with 'muster runner token %s' and join again with --exchange-token; if there is no such runner any more, remove %s and join as a new one.",
		r.server, r.identity.RunnerID, r.home.Dir(), strings.TrimSuffix(said, "."), r.identity.RunnerID, r.home.Dir()).WithCause(refusal)
}

// redeem calls the control plane until it answers. The token works once, so
// trying it again is also the way to learn whether a try without an answer, or
// with one that the control plane could not be sure of, has used it.
func (r *runner) redeem(ctx context.Context) (token, installation string, err error) {
	var b backoff
	for attempt := 1; ; attempt++ {
		token, installation, err := r.redeemOnce(ctx, r.cfg.ExchangeToken)
		if err == nil {
			return token, installation, nil
		}
		if final := r.judge(err, attempt); final != nil {
			return "", "", final
		}
		wait := b.afterTold(told(err, time.Now()))
		r.log.Warn("the control plane cannot be reached", "error", describe(err), "next", wait.String())
		r.say("cannot reach %s: %s; next try in %s", r.server, describe(err), seconds(wait))
		select {
		case <-ctx.Done():
			return "", "", ctx.Err()
		case <-time.After(wait):
		}
	}
}

// redeemOnce is safe for all.
func (r *runner) redeemOnce(ctx context.Context, exchangeToken string) (token, installation string, err error) {
	ctx, cancel := context.WithTimeout(ctx, redeemTimeout)
	defer cancel()
	conn := r.network.Connect(r.server)
	defer conn.Close()
	request := connect.NewRequest(&gitpodv1.ExchangeTokenRequest{ExchangeToken: exchangeToken})
	request.Header().Set("User-Agent", r.userAgent())
	response, err := gitpodv1connect.NewIdentityServiceClient(conn, r.server.String()).ExchangeToken(ctx, request)
	if err != nil {
		return "", "", err
	}
	if response.Msg.GetAccessToken() == "" {
		return "", "", connect.NewError(connect.CodeUnimplemented, errors.New("the answer holds no token"))
	}
	return response.Msg.GetAccessToken(), response.Header().Get(installationHeader), nil
}

func (r *runner) userAgent() string { return "muster-runner/" + r.cfg.Version }

// judge returns why trying again makes no sense; nil when it does.
func (r *runner) judge(err error, attempt int) error {
	var certificate *tls.CertificateVerificationError
	if errors.As(err, &certificate) {
		return fault.New(fault.FailedPrecondition, fault.InvalidField,
			"The certificate of %s is not trusted: %s. If the control plane has a certificate of your own authority, name that authority's certificate with --ca-file.", r.server, describe(certificate.Err)).WithCause(err)
	}
	switch connect.CodeOf(err) {
	case connect.CodeUnimplemented:
		return fault.New(fault.FailedPrecondition, fault.ReasonUnimplemented,
			"%s does not answer like a Muster control plane: %s. Check --server.", r.server, describe(err)).WithCause(err)
	case connect.CodeUnauthenticated, connect.CodeNotFound, connect.CodeInvalidArgument, connect.CodePermissionDenied, connect.CodeFailedPrecondition:
		if !connect.IsWireError(err) {
			return nil // from something in between
		}
		// What the control plane advises is for people, who did not try again.
		why := describe(err)
		switch reasonOf(err) {
		case fault.UsedExchangeToken:
			why = "it was redeemed before"
			if attempt > 1 {
				why = "it was redeemed before, it seems by an earlier attempt of this runner, whose answer did not reach this host"
			}
		case fault.ExpiredToken:
			why = "it has expired"
		}
		return fault.New(fault.Unauthenticated, fault.UsedExchangeToken,
			"The control plane did not accept the exchange token: %s. It works once and for 24 hours. Make a new one with 'muster runner token RUNNER' and join again.", why).WithCause(err)
	default:
		return nil
	}
}

// describe is an error of a call as a part of a sentence: without the code and
// without the URL of the call.
func describe(err error) string {
	if u := new(url.Error); errors.As(err, &u) {
		err = u.Err
	}
	text := err.Error()
	if c := new(connect.Error); errors.As(err, &c) {
		text = c.Message()
	}
	for len(text) > 0 && text[len(text)-1] == '.' {
		text = text[:len(text)-1]
	}
	return printable(text, 512)
}
