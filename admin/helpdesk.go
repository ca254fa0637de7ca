package admin

import (
	"regexp"
	"time"
)

// The verdicts of an [Explanation].
const (
	VerdictCurrent = "current"          // the code of now
	VerdictSpent   = "spent"            // accepted before
	VerdictOut     = "out of step"      // of another time, near enough for a resynchronization
	VerdictOther   = "other parameters" // of the same key with other digits, period or algorithm
	VerdictEarly   = "too early"        // refused until its step is above all that were spent
	VerdictWrong   = "wrong"            // no code of this key that could be found
	VerdictNoCode  = "no code"          // not the digits of a code at all

	VerdictElsewhere = "checked by the directory" // and nothing is known of it here
)

// Explanation says what a code is to a user. It never holds the code.
type Explanation struct {
	User     string     `json:"user"`
	Token    string     `json:"token,omitempty"` // whose code it is, of a user who has several
	Verdict  string     `json:"verdict"`
	Accepted bool       `json:"accepted"`                 // would let in now, with the password
	Offset   *float64   `json:"offset_seconds,omitempty"` // of the device, positive: ahead
	SpentAt  *time.Time `json:"spent_at,omitempty"`
	SpentBy  string     `json:"spent_by,omitempty"` // the client
	Until    *time.Time `json:"until,omitempty"`    // too early: until then
	Text     string     `json:"text"`               // all of that in words, one line
	Advice   string     `json:"advice,omitempty"`   // what to do, one line
}

// Resync is the outcome of a resynchronization.
type Resync struct {
	Done        bool    `json:"done"`
	Offset      float64 `json:"offset_seconds"`       // if Done: of the device, positive: ahead
	OffsetError float64 `json:"offset_error_seconds"` // by how much that can be wrong
	Token       string  `json:"token,omitempty"`      // if Done: which of several it was
	Reason      string  `json:"reason,omitempty"`     // if not
}

var plainName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._@-]*$`)

// Argument returns name as it can be pasted into a shell, or USER: a name comes
// from the directory and could hold another command.
func Argument(name string) string {
	if plainName.MatchString(name) {
		return name
	}
	return "USER"
}
