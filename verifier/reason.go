package verifier

import (
	"fmt"
	"time"
)

// Kind is what a [Reason] is about. New kinds are added at the end only.
type Kind int

// The kinds of reason.
const (
	None          Kind = iota
	NotEnrolled        // nobody with that name has a key
	Unusable           // enrolled, but the entry cannot be used; Cause says why
	Locked             // too many failures: until Until, or for good if that is zero
	WrongCode          // digits were typed that are no code of this key
	NoCode             // nothing typed looks like a code
	OutOfStep          // the code of a step that is not accepted alone; Offset says how far
	Replayed           // a spent step
	WrongPassword      // the code was right and is not spent; Cause says more
	NoPassword         // nothing was typed but the code, which was right and is not spent
	TooEarly           // a later step is spent, and forward_only; Until says how long yet
	Denied             // code and password were right, and the code is not spent; Cause says which rule it was
)

var kinds = [...]string{"none", "not enrolled", "unusable", "locked", "code wrong", "no code", "out of step",
	"replayed", "password wrong", "no password", "too early", "not allowed"}

// String returns the kind in a few words that never change, for metrics.
func (k Kind) String() string { return kinds[k] }

// Reason says why somebody was not let in. It is for the log and for admins,
// never for the person or machine that asked.
type Reason struct {
	Kind     Kind
	Ago      time.Duration // Replayed: since the step was spent; negative if unknown
	By       string        // Replayed: the client that had it accepted
	Offset   time.Duration // OutOfStep: positive if the device is ahead of the server
	Until    time.Time     // Locked, TooEarly
	Failures int           // Locked: in a row
	Digits   int           // NoCode: how many were looked for; 0 for 6 or 8
	Cause    string        // Unusable, WrongPassword, WrongCode, Denied; Replayed where nobody knows whether it was

	// OutOfStep is the offset of a code that came with a WrongPassword; 0 if
	// that code was right.
	OutOfStep time.Duration

	// Spent is set where the same login was accepted a moment ago: the code of a
	// WrongPassword or a Denied is spent then.
	Spent bool

	// Delegated is set where the directory checks the codes: a WrongPassword can
	// be a wrong code there, and it has spent the code of a Denied.
	Delegated bool
}

// String returns the reason as a log line has it, with its number.
func (r Reason) String() string {
	switch r.Kind {
	case None:
		return ""
	case Unusable:
		return "enrolment unusable: " + r.Cause
	case Locked:
		return r.locked()
	case WrongCode:
		return "code wrong" + inBrackets(r.Cause)
	case NoCode:
		return r.noCode()
	case OutOfStep:
		return "out of step: device is " + Ahead(r.Offset)
	case Replayed:
		return r.replayed()
	case WrongPassword:
		return r.wrongPassword()
	case NoPassword:
		return "no password typed" + r.unspent()
	case TooEarly:
		return "older than the last code used, refused until " + r.Until.Local().Format(time.DateTime) + " (forward_only)"
	case Denied:
		return "not allowed" + inBrackets(r.Cause) + r.unspent()
	}
	return r.Kind.String()
}

func (r Reason) locked() string {
	if r.Until.IsZero() {
		return fmt.Sprintf("locked after %d failures in a row, until an admin unlocks", r.Failures)
	}
	return fmt.Sprintf("locked until %s after %d failures in a row", r.Until.Local().Format(time.TimeOnly), r.Failures)
}

func (r Reason) noCode() string {
	switch {
	case r.Delegated:
		return "no code yet, which the directory checks together with the password"
	case r.Digits == 0:
		return "no code of 6 or 8 digits in what was typed"
	}
	return fmt.Sprintf("no code of %d digits in what was typed", r.Digits)
}

// unspent says what is known of the code that was typed.
func (r Reason) unspent() string {
	switch {
	case r.Delegated:
		return ""
	case r.Spent:
		return ", code right and spent a moment ago"
	}
	return ", code right and not spent"
}

func (r Reason) wrongPassword() string {
	if r.Delegated {
		return "refused by the directory" + inBrackets(r.Cause)
	}
	if r.OutOfStep != 0 {
		return "password wrong" + inBrackets(r.Cause) + ", and out of step: device is " + Ahead(r.OutOfStep)
	}
	return "password wrong" + r.unspent() + inBrackets(r.Cause)
}

func (r Reason) replayed() string {
	if r.Cause != "" {
		return "replayed" + inBrackets(r.Cause)
	}
	if r.Ago < 0 {
		return "replayed (an old code)"
	}
	return fmt.Sprintf("replayed (%s ago, by %s)", Words(r.Ago), r.By)
}

// Ahead returns an offset in words: "7 min 30 s ahead", "12 s behind".
func Ahead(offset time.Duration) string {
	if offset < 0 {
		return Words(-offset) + " behind"
	}
	return Words(offset) + " ahead"
}

func inBrackets(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}

// Words returns d as people say it: "40 s", "7 min 30 s", "3 h 5 min".
func Words(d time.Duration) string {
	d = d.Round(time.Second)
	h, m, s := int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60
	switch {
	case h > 0:
		return fmt.Sprintf("%d h %d min", h, m)
	case m > 0:
		return fmt.Sprintf("%d min %d s", m, s)
	}
	return fmt.Sprintf("%d s", s)
}
