package wire

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// Result is how an operation ended (RFC 4511, section 4.1.9).
type Result struct {
	Code      int    // 0 is success
	MatchedDN string // as sent by the server
	Text      string // as sent by the server
}

// Err returns nil for success, else a *[ResultError].
func (r Result) Err() error {
	if r.Code == 0 {
		return nil
	}
	return &ResultError{r.Code, r.Text}
}

// ResultError is a result other than success.
type ResultError struct {
	Code int
	Text string // as sent by the server, maybe empty; not to be printed as it is
}

// maxText is how much of a server's text an error shows, in octets.
const maxText = 200

// Error is printable, and short, whatever the server has sent.
func (e *ResultError) Error() string {
	text := "result " + strconv.Itoa(e.Code)
	// The codes from 200 are of the library's own making.
	if name, ok := ldap.LDAPResultCodeMap[uint16(e.Code)]; ok && e.Code < 200 {
		text += " (" + strings.ToLower(name) + ")"
	}
	if e.Text == "" {
		return text
	}
	return text + ": " + strconv.Quote(e.Text[:min(maxText, len(e.Text))])
}

// ErrDisconnected comes with the *[ResultError] of a server that has said that
// it will close the connection (RFC 4511, section 4.4.1).
var ErrDisconnected = errors.New("the server ends the connection")

const oidDisconnection = "1.3.6.1.4.1.1466.20036"

// result reads what all LDAPResults begin with. The referral is not looked at.
func (d *decoder) result() Result {
	r := Result{
		Code:      d.number(tagEnumerated, "result code"),
		MatchedDN: string(d.octets("matched DN")),
		Text:      string(d.octets("diagnostic message")),
	}
	if d.at(constructed(3)) {
		d.any("referral")
	}
	return r
}

// extended reads an ExtendedResponse (RFC 4511, section 4.12).
func (d *decoder) extended() (r Result, name string) {
	r = d.result()
	if d.at(primitive(10)) {
		_, oid := d.any("response name")
		name = string(oid)
	}
	d.skip("extended response")
	return r, name
}

// unsolicited returns the error that a message with the ID 0 is.
func (e envelope) unsolicited() error {
	if e.op == opExtendedResponse {
		var fault error
		d := decoder{e.content, &fault}
		if r, name := d.extended(); fault == nil && name == oidDisconnection {
			return fmt.Errorf("%w: %w", ErrDisconnected, &ResultError{r.Code, r.Text})
		}
	}
	return errors.New("unsolicited message that is no notice of disconnection")
}
