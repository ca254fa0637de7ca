package testenv

import (
	"testing"
	"time"
)

// patience is how long a test waits for what another process or goroutine is to
// bring about.
const patience = 20 * time.Second

// Await polls until holds returns true, and reports whether it did in time.
func Await(holds func() bool) bool { return awaitFor(patience, holds) }

func awaitFor(d time.Duration, holds func() bool) bool {
	give, look := time.After(d), time.NewTicker(5*time.Millisecond)
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
