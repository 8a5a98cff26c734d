package fault

// Reason names a failure for programs. A reason never changes its meaning;
// each has a page docs/errors/<reason>.md.
type Reason string

// All reasons. A test holds this list to the pages.
const (
	ReasonInternal      Reason = "internal"
	ReasonCanceled      Reason = "canceled"
	ReasonDeadline      Reason = "deadline-exceeded"
	ReasonUnimplemented Reason = "unimplemented"
	ReasonNotFound      Reason = "not-found"
	InvalidField        Reason = "invalid-field"
	InvalidPageToken    Reason = "invalid-page-token"
	BodyTooLarge        Reason = "body-too-large"
	MissingToken        Reason = "missing-token"
	MalformedToken      Reason = "malformed-token"
	UnknownToken        Reason = "unknown-token"
	ExpiredToken        Reason = "expired-token"
	SuspendedPrincipal  Reason = "suspended"
	UsedExchangeToken   Reason = "exchange-token-used"
	NotAllowed          Reason = "not-allowed"
	ReadOnlyToken       Reason = "read-only-token"
	Conflict            Reason = "conflict"
	AlreadyThere        Reason = "already-exists"
	LimitReached        Reason = "limit-reached"
	LastAdmin           Reason = "last-admin"
	ReasonImmutable     Reason = "immutable"
	RunnerOffline       Reason = "runner-offline"
	RunnerGone          Reason = "runner-gone"
	RunnerRefused       Reason = "runner-refused"
	RunnerIncapable     Reason = "runner-lacks-capability"
	KeyMismatch         Reason = "runner-key-mismatch"
	NoPublicKey         Reason = "runner-has-no-key"
	AccessChanged       Reason = "access-changed"
	SystemManaged       Reason = "system-managed"
	AuditBroken         Reason = "audit-log-broken"
	IdentityHeld        Reason = "identity-held-elsewhere"
	ProtocolVersion     Reason = "link-protocol-version"
	MalformedFrame      Reason = "link-malformed-frame"
	ShuttingDown        Reason = "shutting-down"
	WatcherTooSlow      Reason = "watcher-too-slow"
	StorageUnavailable  Reason = "storage-unavailable"
	OutcomeUnknown      Reason = "outcome-unknown"
	DataDirectory       Reason = "data-directory"
	SignInRequired      Reason = "sign-in-required"
	SignInFailed        Reason = "sign-in-failed"
	HostNotConfigured   Reason = "host-not-configured"
	HostUnavailable     Reason = "host-unavailable"
	HostRefused         Reason = "host-refused"
	HostLimited         Reason = "host-rate-limited"
	HostNotAllowed      Reason = "host-address-not-allowed"
)

// Reasons lists every reason.
func Reasons() []Reason {
	return []Reason{
		ReasonInternal, ReasonCanceled, ReasonDeadline, ReasonUnimplemented, ReasonNotFound, InvalidField,
		InvalidPageToken, BodyTooLarge, MissingToken, MalformedToken, UnknownToken, ExpiredToken,
		SuspendedPrincipal, UsedExchangeToken, NotAllowed, ReadOnlyToken, Conflict, AlreadyThere, LimitReached, LastAdmin,
		ReasonImmutable, RunnerOffline, RunnerGone, RunnerRefused, RunnerIncapable, KeyMismatch, NoPublicKey, AccessChanged, SystemManaged, AuditBroken, IdentityHeld, ProtocolVersion,
		MalformedFrame, ShuttingDown, WatcherTooSlow, StorageUnavailable, OutcomeUnknown, DataDirectory,
		SignInRequired, SignInFailed, HostNotConfigured, HostUnavailable, HostRefused, HostLimited, HostNotAllowed,
	}
}
