package server

import (
	"testing"
	"time"

	"lockstep/internal/opaque"
	"lockstep/verifier"
)

func TestReasonOfARepetition(t *testing.T) {
	for ago, want := range map[time.Duration]string{
		2123 * time.Millisecond: "repeated 2.1 s after it was accepted, token blue",
		-3 * time.Second:        "repeated 0.0 s after it was accepted, token blue",
	} {
		if got := reason(verifier.Decision{Outcome: verifier.Accepted, Repeated: true, Ago: ago, Token: "blue"}); got != want {
			t.Errorf("%v: %q, want %q", ago, got, want)
		}
	}
}

// What one server packs another has to know again: no part of it may depend on the
// process.
func TestWhatAChallengeKeepsIsTheSameEverywhere(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 123e6, time.UTC)
	const want = "\x00\x00\x01\x9c\xa9\x45\x0a\x7b" + "\x4e\xa1\x40\x58\x81\x50\x77\x3c" + "secret"
	if got := string(pack(at, "home", opaque.Text("secret")).Reveal()); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
