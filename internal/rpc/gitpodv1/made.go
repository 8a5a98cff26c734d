package gitpodv1

import (
	"connectrpc.com/connect"

	"github.com/musterhq/muster/internal/id"
)

// madeTokenID is the header of an answer with a new token that says the id of that,
// for which the contract has no field: a program that cannot show the token takes it
// back by the id.
const madeTokenID = "Muster-Token-Id" //nolint:gosec // no credential

// made is an answer with a new token.
func made[T any](answer *T, token id.Token) *connect.Response[T] {
	resp := connect.NewResponse(answer)
	resp.Header().Set(madeTokenID, string(token))
	return resp
}
