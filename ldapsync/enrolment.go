package ldapsync

import (
	"errors"
	"io"
	"time"

	"lockstep/internal/opaque"
)

// Enrolment is what Enroll writes.
type Enrolment struct {
	Key       opaque.Bytes  // 10 to 128 octets
	Algorithm string        // "SHA1", "SHA256", "SHA512"; "" is SHA1
	Digits    int           // 6 or 8; 0 is 6
	Period    time.Duration // 15 s to 120 s, whole seconds; 0 is 30 s
	Serial    string        // what the token is called, where the schema has a place for it; "" is none
}

// EnrollOptions say how Enroll and Revoke write.
type EnrollOptions struct {
	// BindDN and BindPassword are the admin's own. An empty BindDN means the
	// service account of the Config. A file needs neither.
	BindDN       string
	BindPassword opaque.Bytes

	Replace bool // replace the keys that are there
	Add     bool // add a key to those that are there, where the schema allows several
	DryRun  bool // say whether it could be done, as far as that shows without writing

	// LDIF, unless nil, gets what would be done as LDIF change records, and
	// nothing is done. A key in clear is readable in them.
	LDIF io.Writer
}

var (
	// ErrUncertain is returned where the directory was to write something and did
	// not answer: nobody can tell whether it has.
	ErrUncertain = errors.New("no answer, and so nobody can tell whether it was written")

	// ErrParameters is returned where the schema has no place for parameters, and
	// those of the token are not the usual ones.
	ErrParameters = errors.New("no place for parameters: only SHA1, 6 digits and 30 s can be enrolled in clear")
)
