//go:build race

package verifier

import "testing"

// long is called by tests that go through so many cases, on one goroutine, that the
// race detector makes minutes of seconds: "make test" runs them without it.
func long(t *testing.T) {
	t.Helper()
	t.Skip("too long with -race")
}
