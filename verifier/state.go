package verifier

import (
	"context"
	"errors"
	"time"
)

// State is what is kept of one key between logins: the steps spent, the clock
// of the device, and the failures of whoever has it. (Of a Delegated account it is
// kept by the account's ID, and has nothing but Recent, with a hash in place of each
// step, Last and the failures.) All of it changes in one
// compare-and-swap, so that a step is never spent without the failures being
// reset, or the other way round. The zero State is that of a key that has never
// been seen.
//
// It is kept by the key and not by the entry in the directory, because a code
// belongs to its key: a rename, an entry made anew, or a second account with
// the same key must not make a spent code good again. A new key starts with no
// failures, but those of the other keys of its account hold it up as well.
type State struct {
	Floor  int64   // this step and all before it count as spent; 0 for none
	Spent  []int64 // above Floor, ascending, no step twice
	Recent []Spent // details of the steps spent last, the latest first
	Last   Login   // what the first of Recent was spent by; zero where that was no login, but an admin

	Clock  Clock // of the device
	Former Clock // the one before the device was set the last time
	Far    Far   // the code out of step that was seen last

	Failures uint32           // in a row, from all sources
	Sources  []SourceFailures // the ones seen last first
}

// Spent is a step that was accepted.
type Spent struct {
	Step int64
	At   time.Time // whole milliseconds, UTC
	By   string    // the client that asked, for the reason of a later refusal
}

// Far remembers a code that was out of step, with every step that it fits. It
// lets nobody in; a later code of the same clock may. The zero Far is none.
type Far struct {
	At     time.Time // whole milliseconds, UTC
	Source string    // where it was typed
	Steps  []int64   // ascending, no step twice
}

// SourceFailures counts the failures in a row from one source.
type SourceFailures struct {
	Source string
	Count  uint32
	Last   time.Time // whole milliseconds, UTC

	// Input tells what was typed then from other input, with a chance of error
	// of 1 in 65,536; Kind is why it was wrong.
	Input uint16
	Kind  Kind
}

// Version tells one stored State from the next. Only stores look inside; 0
// means that there is none.
type Version uint64

// ErrConflict is returned by [Store].CompareAndSwap when the State has changed
// since it was loaded. Nothing was written then.
var ErrConflict = errors.New("state has changed meanwhile")

// Store keeps the State of each key, by [Key.ID], and of each Delegated account.
// All methods may be called at once.
type Store interface {
	// Load returns the State of id, or the zero State and Version 0 where
	// there is none.
	Load(ctx context.Context, id string) (State, Version, error)

	// CompareAndSwap writes next if the stored Version is still old, and
	// returns nil only when next is on disk (or on a quorum). Of two calls
	// with one old, on any server, at most one returns nil. A conflict
	// returns an error wrapping ErrConflict; any other error means that
	// nobody can tell whether next was written. A next that is what old has
	// may leave the Version as it is: it has then been asked whether that is
	// still so, and others may be told the same.
	CompareAndSwap(ctx context.Context, id string, old Version, next State) error
}

// Ager is a Store that can tell by a clock that nobody sets how old a Version is.
type Ager interface {
	// Older reports whether v may have been there for so long, at most 12 s. It may
	// say so 2 s early.
	Older(v Version, than time.Duration) bool
}
