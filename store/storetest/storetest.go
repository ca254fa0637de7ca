// Package storetest holds every store to the same suite. It is imported by
// tests only.
//
// It tests what [store.Store] promises of one store that is used by many
// goroutines. What survives a crash is for the tests of each store.
package storetest

import (
	"testing"

	"lockstep/store"
)

// Run runs the suite. open returns a new and empty store for each test, and
// sees to it that it is closed at the end of t.
func Run(t *testing.T, open func(t testing.TB) store.Store) {
	for _, tt := range []struct {
		name string
		test func(*testing.T, store.Store)
	}{
		{"a key never seen has the zero State and no version", unseen},
		{"what was written is read", written},
		{"a swap needs the version that is stored", versions},
		{"a version is never given twice", noABA},
		{"a version of one key is of no use for another", otherKey},
		{"one of 100 claims of a step wins", oneWinner},
		{"no update is lost", noLostUpdate},
		{"keys do not wait for or see one another", manyKeys},
		{"deleted is as never seen", deleted},
		{"the list is whole, in order, and may write", list},
		{"the list stops when told to", listStops},
		{"any bytes are an id", oddIDs},
		{"an id that is empty or too long is refused", badIDs},
		{"a State that could not be read back is refused", badStates},
		{"a big State comes back", bigState},
		{"nothing is shared with the caller", notShared},
		{"a copy that is under way is told until its end", halfCopied},
		{"a context that is done writes nothing", cancelled},
		{"a healthy store is healthy", healthy},
		{"a closed store refuses everything", closed},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, open(t)) })
	}
}
