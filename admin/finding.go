package admin

// Severity says what a [Finding] asks of whoever reads it. The zero Severity,
// which no finding has, is taken for Unknown: it is what an answer of another
// version of this program may hold.
type Severity string

// The severities, in the order of how much they matter.
const (
	OK      Severity = "ok"
	Warning Severity = "warning" // it works, but somebody should look into it
	Unknown Severity = "unknown" // could not be told, and so may be either
	Error   Severity = "error"   // somebody has to do something
)

// Finding is one thing that the doctor has looked at.
type Finding struct {
	// ID says what was looked at, such as "directory.certificate", for programs:
	// it stays the same from one version to the next. Several findings have one
	// ID where there are several of a thing.
	ID       string   `json:"id"`
	Subject  string   `json:"subject"` // what was looked at, for people, such as "directory ldaps://ldap1.example.com"
	Severity Severity `json:"severity"`
	Text     string   `json:"text"`             // what was found
	Advice   string   `json:"advice,omitempty"` // what to do about it, one line
}

// known returns f with a Severity that is one of ours.
func (f Finding) known() Finding {
	switch f.Severity {
	case OK, Warning, Error:
	default:
		f.Severity = Unknown
	}
	return f
}
