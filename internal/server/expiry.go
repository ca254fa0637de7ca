package server

import (
	"fmt"
	"time"

	"lockstep/verifier"
)

// expiry is what somebody who is let in is told of their password; empty for
// nothing.
func expiry(p verifier.PasswordInfo) string {
	switch {
	case p.Expired && p.GraceLogins <= 0:
		return "Your password has expired. This was the last login with it."
	case p.Expired:
		return "Your password has expired. It can be used for " + count(p.GraceLogins, "more login") + "."
	case p.ExpiresIn <= 0:
		return ""
	case p.ExpiresIn < time.Hour:
		return "Your password expires within the hour."
	case p.ExpiresIn < 24*time.Hour:
		return "Your password expires in " + count(int(p.ExpiresIn/time.Hour), "hour") + "."
	}
	return "Your password expires in " + count(int(p.ExpiresIn/(24*time.Hour)), "day") + "."
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
