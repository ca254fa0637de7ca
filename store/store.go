// Package store defines what every store of Lockstep can do, and how the State
// of a TOTP key becomes bytes.
//
// A store keeps one [verifier.State] per key: which steps are spent, what
// is known of the device's clock, and how many logins have failed. The id of a
// State is made from the key, and not from the entry in the directory that
// holds it. Package bolt keeps them in a file; package storetest holds every
// store to the same suite.
//
// # What a store promises
//
//   - A nil from CompareAndSwap or Delete means that the change survives
//     kill -9 and power loss.
//   - Of two CompareAndSwap with the same Version at most one returns nil.
//   - A record that cannot be read is an error, and never an empty State: an
//     empty State would make every spent code good again.
//
// It does not promise secrecy: neither a State nor its id is a key, a code or a
// password, but they do say when a key was used, and from where.
//
// An id may hold any bytes, and is never taken for a path or a pattern; one that
// is empty or too long is refused. What is read back from disk is taken for
// damaged until it has proved otherwise.
package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lockstep/verifier"
)

// Store keeps the State of each key, and what an operator needs beside it.
// All methods may be called at once. After Close they return an error wrapping
// [ErrClosed].
type Store interface {
	verifier.Store

	// List calls each for every State, in ascending order of id, bytewise,
	// and stops at the first error of each, which it returns. What changes
	// meanwhile may or may not be seen. each may call the store.
	//
	// Records that cannot be read are left out; the rest is listed, and then
	// List returns an error that says which.
	List(ctx context.Context, each func(id string, s verifier.State) error) error

	// Delete forgets id; it is no error if there is none. Codes that were
	// spent are good again afterwards for as long as they are in the window,
	// so a key must not outlive its State.
	Delete(ctx context.Context, id string) error

	// Restored says when the store was put back from a backup the last time, and
	// the zero time if never: codes that were right by then count as spent, see
	// [verifier.Verifier.SetRestored]. It is an error while a restore, or a copy into
	// the store, is not whole: nobody may be let in by it then.
	Restored(ctx context.Context) (time.Time, error)

	// MarkRestored has Restored return at from now on, cut to milliseconds, unless
	// that is later already.
	MarkRestored(ctx context.Context, at time.Time) error

	// BeginCopy marks the store, for every process that opens it: Restored and
	// MarkRestored return an error wrapping [ErrHalfCopied] from now on, until end
	// has returned nil. Then Restored returns what it did before, or mark.Restored if
	// that is later.
	//
	// Where there is such a mark already, as of a copy that was cut short, this one
	// goes on with it: is says what the mark is now, and the end of the other is an
	// error. That of a restore stays, and is the error.
	BeginCopy(ctx context.Context, mark CopyMark) (is CopyMark, end func(context.Context) error, err error)

	// Check reports whether the store can be written, and is meant to be
	// asked often. While writes succeed it costs nothing. After one has failed
	// it tries a small durable write, at most one a second, and returns the
	// last error until that write succeeds.
	Check(ctx context.Context) error

	// Close finishes what was begun, and frees the store for another process.
	// It may be called more than once.
	Close() error
}

var (
	// ErrClosed is returned by every method of a store that is closed.
	ErrClosed = errors.New("store is closed")

	// ErrBusy is returned at once, with nothing written, when too many writes
	// wait already.
	ErrBusy = errors.New("too many writes are waiting")

	// ErrHalfCopied is wrapped by what [Store.Restored] returns while a copy into the
	// store is under way, and after one that did not come to its end.
	ErrHalfCopied = errors.New("a copy into it is under way, or was cut short: run the same \"lockstep store copy\" again")
)

// CopyMark is what a store into which a copy is under way says of it.
type CopyMark struct {
	Restored time.Time // what [Store.Restored] returns afterwards; zero for never
	Empty    bool      // there was nothing before, so that all that is there is of copies
}

// Merge returns the mark of a copy that goes on where that of m was cut short.
func (m CopyMark) Merge(next CopyMark) CopyMark {
	if next.Restored.After(m.Restored) {
		m.Restored = next.Restored
	}
	return m
}

// Limits that every store keeps to, so that a State that one takes fits the
// others.
const (
	MaxID     = 1024    // bytes of an id
	MaxRecord = 1 << 20 // bytes of an encoded State; 12,000 spent steps take less than a tenth
)

// CheckID returns an error unless id has 1 to MaxID bytes.
func CheckID(id string) error {
	switch {
	case id == "":
		return errors.New("id is empty")
	case len(id) > MaxID:
		return fmt.Errorf("id has %d bytes, more than %d", len(id), MaxID)
	}
	return nil
}
