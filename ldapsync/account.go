package ldapsync

import (
	"errors"
	"time"

	"lockstep/internal/opaque"
)

// Account is an enrolled person, as the directory has them.
type Account struct {
	ID     string // stable over renames where the directory allows it: that of entryUUID, objectGUID or nsUniqueId, else "dn:" and the normalised DN; 1000 octets at most unless unusable
	Name   string // canonical login name, see [Canonical]
	DN     string // as the directory spells it; what a password is bound with
	Tokens []Token

	// Delegated is set where the directory itself checks the code, which is sent
	// to it behind the password. There are no Tokens then.
	Delegated bool

	// Problems say which further tokens cannot be used, and why.
	Problems []string

	read reading
}

// reading tells what an account was read of: a replica, after so many changes at
// least.
type reading struct {
	of      *replica
	changes uint64
}

// Token is a key with the parameters of its codes.
type Token struct {
	Name      string // its serial number, or "1", "2" … within the account
	Key       opaque.Bytes
	Algorithm string // "SHA1", "SHA256" or "SHA512"
	Digits    int    // 6 or 8
	Period    time.Duration
}

var (
	// ErrNotReady is returned until the first complete refresh.
	ErrNotReady = errors.New("the directory has not been read yet")

	// ErrNoAccount is returned where nobody enrolled has the name.
	ErrNoAccount = errors.New("no enrolled account has this name")

	// ErrAmbiguous is returned where two entries have the same canonical name.
	// Neither may be used, since a login cannot say which is meant.
	ErrAmbiguous = errors.New("two entries have this name")

	// ErrEnrolled is returned by Enroll where the entry has a key already.
	ErrEnrolled = errors.New("the entry has a key already")

	// ErrNotEnrolled is returned by Revoke where the entry has no key.
	ErrNotEnrolled = errors.New("the entry has no key")

	// ErrNoEntry is returned by Enroll and Revoke where no entry has the name.
	ErrNoEntry = errors.New("no entry has this name")
)

// UnusableError is returned for an account that is enrolled but cannot be used
// as it stands in the directory.
type UnusableError struct{ Why string }

// Error implements error.
func (e *UnusableError) Error() string { return "account unusable: " + e.Why }

// PasswordError is returned by CheckPassword where the password is refused.
type PasswordError struct {
	// Cause is fixed text, for the log and the admin. Some causes, such as
	// "expired", tell that the password was right: it must not be shown to
	// whoever typed it.
	Cause string
}

// Error implements error.
func (e *PasswordError) Error() string { return "password refused: " + e.Cause }

// PasswordInfo is what a directory says of a password that is right. The zero
// PasswordInfo says nothing.
type PasswordInfo struct {
	ExpiresIn time.Duration // until it has to be changed; 0 if that is not said

	// Expired is set where the password is over, and lets in GraceLogins times
	// more, which may be none.
	Expired     bool
	GraceLogins int
}
