package verifier

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"lockstep/internal/opaque"
)

// Account is one enrolled person.
type Account struct {
	ID   string // of the entry, for the Directory, which has given it; no other account has it
	Name string // canonical login name
	Keys []Key  // of the person's tokens, 1 to MaxKeys in an order that stays; none if Delegated

	// Delegated is set where the directory checks the codes, too: one bind with
	// the password and the code after it.
	Delegated bool

	// Handle is the Directory's own, so that it need not look for the account again.
	// It is nil if there is none, and nobody else looks at it.
	Handle any
}

// MaxKeys is how many tokens somebody may have. Each of them multiplies the
// chance of a guess, and the work of a login.
const MaxKeys = 8

// Check says what is wrong with a, or nil. The text holds nothing secret.
func (a Account) Check() error {
	switch n := len(a.Keys); {
	case a.Delegated && n > 0:
		return errors.New("keys beside codes that the directory checks")
	case a.Delegated:
		return nil
	case n == 0:
		return errors.New("no token")
	case n > MaxKeys:
		return fmt.Errorf("more than %d tokens", MaxKeys)
	case n == 1:
		return a.Keys[0].Check()
	}
	for i, k := range a.Keys {
		if err := k.Check(); err != nil {
			return fmt.Errorf("token %s: %w", label(k, i), err)
		}
	}
	return nil
}

// label names a token for people; i is its place among those of its account.
func label(k Key, i int) string {
	if k.Label != "" {
		return k.Label
	}
	return strconv.Itoa(i + 1)
}

// tokens returns a's tokens, with nothing known of them yet. A key that is there
// twice, with whatever digits, is one: the first.
func (a Account) tokens() []token {
	all := make([]token, 0, len(a.Keys))
	for i, k := range a.Keys {
		t := token{key: k, id: k.ID()}
		t.key.Label = label(k, i)
		if !slices.ContainsFunc(all, func(other token) bool { return other.id == t.id }) {
			all = append(all, t)
		}
	}
	return all
}

// Directory knows the accounts. Its methods may be called at once.
type Directory interface {
	// Account returns the account of a login name, as typed and hostile. It
	// asks no network. The error is an [AccountError] where there is none to
	// be had, with the canonical name in the Account's Name if there is such a
	// thing; any other error means that nobody can tell.
	Account(name string) (Account, error)

	// CheckPassword returns nil if password is a's, and a [PasswordError] if
	// it is refused; any other error means that nobody can tell. Of a Delegated
	// account the password has the code at its end, and must be sent to one
	// server of the directory at most: the first that sees it may spend the code.
	CheckPassword(ctx context.Context, a Account, password opaque.Bytes) (PasswordInfo, error)
}

// PasswordInfo is what the directory says of a password that is right. The zero
// PasswordInfo says nothing.
type PasswordInfo struct {
	ExpiresIn time.Duration // until it has to be changed; 0 if that is not said

	// Expired is set where the password is over, and lets in GraceLogins times
	// more, which may be none.
	Expired     bool
	GraceLogins int
}

// AccountError says that nobody can log in by that name. Kind is NotEnrolled or
// Unusable, and Cause holds nothing secret.
type AccountError struct {
	Kind  Kind
	Cause string
}

func (e *AccountError) Error() string { return Reason{Kind: e.Kind, Cause: e.Cause}.String() }

// PasswordError says that the directory refused the password. Cause is empty
// for an ordinary wrong one, else such as "expired"; it is never shown to the
// one who asked.
type PasswordError struct{ Cause string }

func (e *PasswordError) Error() string { return "password refused" + inBrackets(e.Cause) }

// DeniedError says that the account may not log in here, though code and
// password are right. Cause says which rule it was, and holds nothing secret; it
// is never shown to the one who asked.
type DeniedError struct{ Cause string }

func (e *DeniedError) Error() string { return "not allowed" + inBrackets(e.Cause) }
