// Package admin is the admin socket: how the commands of admins and the
// helpdesk reach what only the running server knows.
//
// It is HTTP with JSON on a Unix socket. Whoever can open the socket may use
// all of it, so its mode and group are the access control: the file is created
// with mode 0660. Requests are hostile: names, codes and all else in them are
// passed on as they came, within bounds. No key goes either way. Codes go to the
// server in the body of a request, and neither side puts one into a URL, an
// error or a log line. Every action on a user, and every question about a code,
// is logged with the user ID of the process that asked.
package admin

import (
	"context"
	"errors"
	"io"
	"time"

	"lockstep/internal/opaque"
)

// User is one enrolled account as admins see it.
type User struct {
	Name    string `json:"name"`
	DN      string `json:"dn,omitempty"`
	Problem string `json:"problem,omitempty"` // why the enrolment cannot be used

	// UnusedTokens says why further tokens are not used: disabled, out of date, or
	// with a key that cannot be read.
	UnusedTokens []string `json:"unused_tokens,omitempty"`
	Algorithm    string   `json:"algorithm,omitempty"`
	Digits       int      `json:"digits,omitempty"`
	Period       int      `json:"period_seconds,omitempty"`
	Delegated    bool     `json:"delegated,omitempty"` // the directory checks the codes; of devices nothing is known here

	Failures    int        `json:"failures"` // in a row
	Locked      bool       `json:"locked"`   // until an admin unlocks
	LockedUntil *time.Time `json:"locked_until,omitempty"`
	LastLogin   *time.Time `json:"last_login,omitempty"`
	LastClient  string     `json:"last_client,omitempty"`
	Pending     bool       `json:"pending,omitempty"` // no code has been right yet, at a login or at enrolment

	Clock     *Clock     `json:"clock,omitempty"`   // nil: nothing is known of the device's clock
	Logins    []Login    `json:"logins,omitempty"`  // the last ones, the latest first
	Waiting   []Wait     `json:"waiting,omitempty"` // sources that have to wait
	OutOfStep *OutOfStep `json:"out_of_step,omitempty"`

	// RefusedUntil is when a device that is right is good again: forward_only is
	// set, and a code of the future was used. Nil if it is good.
	RefusedUntil *time.Time `json:"refused_until,omitempty"`
	// Unlearned says why nothing is learned of clocks now; empty if it is.
	Unlearned string `json:"unlearned,omitempty"`

	// Tokens are there where the user has several. What is said above of codes
	// and a device's clock is that of the first of them then; the logins are of
	// all.
	Tokens []Token `json:"tokens,omitempty"`
}

// Token is one of several devices of a user, and says what a User says of the
// only one.
type Token struct {
	Label        string     `json:"label"` // as the directory has it, or a number
	Algorithm    string     `json:"algorithm"`
	Digits       int        `json:"digits"`
	Period       int        `json:"period_seconds"`
	Clock        *Clock     `json:"clock,omitempty"`
	LastLogin    *time.Time `json:"last_login,omitempty"`
	LastClient   string     `json:"last_client,omitempty"`
	OutOfStep    *OutOfStep `json:"out_of_step,omitempty"`
	RefusedUntil *time.Time `json:"refused_until,omitempty"`
}

// Clock is what is known of the clock of a user's device, as of the moment of
// the answer. A positive Offset is a device that is ahead of the server, a
// positive Drift one that gains. The errors are half the width of what is
// possible, and are not negative.
type Clock struct {
	Offset      float64   `json:"offset_seconds"`
	OffsetError float64   `json:"offset_error_seconds"`
	Drift       float64   `json:"drift_seconds_per_day"`
	DriftError  float64   `json:"drift_error_seconds_per_day"`
	Observed    time.Time `json:"observed"` // the last code that said something about it
}

// Login is a login that was accepted.
type Login struct {
	At     time.Time `json:"at"`
	Client string    `json:"client"`
	Token  string    `json:"token,omitempty"` // its label, of a user who has several
}

// Wait is a source that is not listened to until then. Its name may come from
// the network and is hostile.
type Wait struct {
	Source   string    `json:"source"`
	Failures int       `json:"failures"` // in a row
	Until    time.Time `json:"until"`
}

// OutOfStep is a code of another time that came within the last five minutes:
// the next code from the same device completes the resynchronization.
type OutOfStep struct {
	At      time.Time `json:"at"`
	Offsets []float64 `json:"offsets_seconds"` // all that the code fits, positive: ahead
}

// ErrNoUser is returned for a name that is not enrolled.
var ErrNoUser = errors.New("not enrolled")

// Users is what the server behind the socket can do. Errors that wrap ErrNoUser
// are passed on as such; all others mean that it could not tell. Errors are
// shown and logged, so they must not quote a code. The methods may be called at
// once.
type Users interface {
	List(ctx context.Context) ([]User, error)
	Show(ctx context.Context, name string) (User, error)

	// Unlock forgets the user's failures and returns how many there were.
	Unlock(ctx context.Context, name string) (failures int, err error)

	// Explain says what code is to the user, and spends nothing.
	Explain(ctx context.Context, name string, code opaque.Bytes) (Explanation, error)

	// Resync learns the clock of one of the user's devices from two codes that it
	// showed one after the other, and spends both.
	Resync(ctx context.Context, name string, first, second opaque.Bytes) (Resync, error)

	// ResetClock forgets what was learned of the clocks of the user's devices.
	// Spent codes stay spent.
	ResetClock(ctx context.Context, name string) error

	// Seed learns where the clock of a new key's device is from the code of
	// step that confirmed it at that time. The key need not be known from the
	// directory yet; one that was used before is left alone.
	Seed(ctx context.Context, keyID string, period time.Duration, step int64, at time.Time) error

	// SealingKeys returns the IDs of the private keys that open sealed keys.
	SealingKeys(ctx context.Context) ([]string, error)

	// Update reads what has changed in the directory, at once.
	Update(ctx context.Context) error

	// Backup writes a backup of the store. It knows its own end: after an error
	// what was written is of no use, and is seen not to be.
	Backup(ctx context.Context, w io.Writer) error

	// Doctor returns what the server finds in order and what not.
	Doctor(ctx context.Context) ([]Finding, error)
}
