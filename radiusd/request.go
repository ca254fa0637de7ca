package radiusd

import (
	"errors"
	"unicode"
	"unicode/utf8"

	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc3576"

	"lockstep/internal/opaque"
	"lockstep/internal/radius"
)

// Reasons to reject a request without asking the Authenticator. They are for
// the log.
const (
	refuseEAP         = "EAP is not served: set this client to PAP"
	refuseCHAP        = "CHAP cannot be checked: set this client to PAP"
	refuseMSCHAP      = "MS-CHAP cannot be checked: set this client to PAP"
	refuseServiceType = "Service-Type asks for no login"
	refuseNoUser      = "no User-Name"
	refuseUser        = "User-Name is not UTF-8 or holds control characters"
	refuseNoPassword  = "neither User-Password nor State"
	refuseNUL         = "password holds a NUL"
	refuseSecret      = "the shared secret of this client is probably wrong: the password decodes to no text"
)

// request fills in what to ask the Authenticator, as far as it can, and returns
// why there is nothing to ask, if so.
func (s *Server) request(j *job) (refusal string) {
	a := &j.access
	j.request = Request{
		Q:                j.q,
		Client:           &j.client.Client,
		UserName:         string(a.userName),
		Challenged:       a.state != nil,
		CallingStationID: string(a.callingStationID),
		NASID:            string(a.nasID),
		Received:         j.received,
	}
	if refusal = a.refuse(); refusal != "" {
		if refusal == refuseEAP || refusal == refuseCHAP || refusal == refuseMSCHAP {
			s.warnClient(j.incoming, "client uses a method that is not served, rejected", refusal)
		}
		return refusal
	}
	typed, refusal := j.typed(a.password)
	if refusal != "" {
		if refusal == refuseSecret {
			j.client.stats.add(tallyBadAuthenticators)
			s.warnClient(j.incoming, "password decodes to no text, rejected", refusal)
		}
		return refusal
	}
	if j.stateErr != nil {
		return j.stateErr.Error()
	}
	j.request.Typed, j.request.Kept = opaque.Of(typed), j.state.keep
	return ""
}

func (a *access) refuse() string {
	switch {
	case a.eap:
		return refuseEAP
	case a.serviceType == uint32(rfc2865.ServiceType_Value_CallCheck),
		a.serviceType == uint32(rfc3576.ServiceType_Value_AuthorizeOnly):
		return refuseServiceType // RFC 5080, section 2.1.1
	case a.chap:
		return refuseCHAP
	case a.password == nil && a.msChap:
		return refuseMSCHAP
	case len(a.userName) == 0:
		return refuseNoUser
	case !isText(a.userName):
		return refuseUser
	case a.password == nil && a.state == nil:
		return refuseNoPassword // RFC 5080, section 2.1.1
	}
	return ""
}

// typed reveals the password. Without a Message-Authenticator, a wrong secret
// shows only in that the password is no text; the Authenticator must not take
// that for a wrong password. A User-Password without a value is no text either:
// it is empty under any secret, so a forger who knows none could make failures
// count against users. The empty password of a client fills a block (RFC 2865,
// section 5.2).
func (j *job) typed(hidden []byte) (password []byte, refusal string) {
	password, err := radius.RevealPassword(hidden, j.client.Secret.Reveal(), j.packet.Authenticator())
	switch {
	case !j.signed && (err != nil || hidden != nil && len(hidden) == 0 || !isText(password)):
		return nil, refuseSecret
	case errors.Is(err, radius.ErrPasswordNUL):
		return nil, refuseNUL
	case err != nil:
		return nil, err.Error()
	}
	return password, ""
}

// isText reports whether b is valid UTF-8 without control characters.
func isText(b []byte) bool {
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		if r == utf8.RuneError && size == 1 || unicode.IsControl(r) {
			return false
		}
		b = b[size:]
	}
	return true
}

// cut returns s as the value of an attribute: 253 octets at most, and no
// character cut in two.
func cut(s string) []byte {
	const most = 253
	if len(s) <= most {
		return []byte(s)
	}
	end := most
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return []byte(s[:end])
}
