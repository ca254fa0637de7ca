package testenv

import (
	"testing"
	"time"
)

// patience is how long a test waits for what another process or goroutine is to
// bring about. Only a test that fails waits for so long; what is right takes a
// second, and ten on a machine with too much else to do.
const patience = time.Minute

// Await polls until holds returns true, and reports whether it did in time.
func Await(holds func() bool) bool { return AwaitFor(patience, holds) }

// AwaitFor is Await for something that may fail to come, and is tried again then.
func AwaitFor(d time.Duration, holds func() bool) bool {
	return awaitEvery(5*time.Millisecond, d, holds)
}

// awaitEvery is for what costs something to look at.
func awaitEvery(pause, d time.Duration, holds func() bool) bool {
	give, look := time.After(d), time.NewTicker(pause)
	defer look.Stop()
	for !holds() {
		select {
		case <-give:
			return false
		case <-look.C:
		}
	}
	return true
}

// Eventually fails t unless holds returns true in time.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	if !Await(holds) {
		t.Fatalf("waited for %s in vain", what)
	}
}
