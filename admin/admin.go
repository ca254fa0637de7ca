// Package admin is the admin socket: how the commands of admins and the
// helpdesk reach what only the running server knows.
//
// It is HTTP with JSON on a Unix socket. Whoever can open the socket may use
// all of it, so its mode and group are the access control: the file is created
// with mode 0660. Names in requests are hostile; nothing secret goes either way.
package admin

import (
	"context"
	"errors"
	"time"
)

// User is one enrolled account as admins see it.
type User struct {
	Name      string `json:"name"`
	DN        string `json:"dn,omitempty"`
	Problem   string `json:"problem,omitempty"` // why the enrolment cannot be used
	Algorithm string `json:"algorithm,omitempty"`
	Digits    int    `json:"digits,omitempty"`
	Period    int    `json:"period_seconds,omitempty"`

	Failures    int        `json:"failures"` // in a row
	Locked      bool       `json:"locked"`   // until an admin unlocks
	LockedUntil *time.Time `json:"locked_until,omitempty"`
	LastLogin   *time.Time `json:"last_login,omitempty"`
	LastClient  string     `json:"last_client,omitempty"`
}

// ErrNoUser is returned for a name that is not enrolled.
var ErrNoUser = errors.New("not enrolled")

// Users is what the server behind the socket can do. Errors that wrap ErrNoUser
// are passed on as such; all others mean that it could not tell. The methods
// may be called at once.
type Users interface {
	List(ctx context.Context) ([]User, error)
	Show(ctx context.Context, name string) (User, error)

	// Unlock forgets the user's failures and returns how many there were.
	Unlock(ctx context.Context, name string) (failures int, err error)
}
