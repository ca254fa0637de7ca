package ldapsync

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"lockstep/ldapsync/wire"
)

// refusePassword refuses what must never reach a bind. With an empty password
// a bind is anonymous and may succeed (RFC 4513, section 5.1.2), and some
// servers cut a password at a NUL or trim spaces.
func refusePassword(password []byte) error {
	switch {
	case len(password) == 0:
		return &PasswordError{Cause: "empty"}
	case len(bytes.Trim(password, " ")) == 0:
		return &PasswordError{Cause: "blank"}
	case bytes.IndexByte(password, 0) >= 0:
		return &PasswordError{Cause: "NUL in it"}
	}
	return nil
}

// passwordInfo reads what an answer says of a password's age.
func passwordInfo(p wire.Policy) (info PasswordInfo) {
	if p.Expires > 0 {
		info.ExpiresIn = seconds(p.Expires)
	}
	if p.Grace >= 0 {
		info.Expired, info.GraceLogins = true, min(p.Grace, 1000)
	}
	return info
}

// seconds is a time that a server has sent, within reason.
func seconds(n int) time.Duration { return time.Duration(min(n, 10*365*24*3600)) * time.Second }

// verdict reads the answer to a user's bind (RFC 4511, section 4.2.2).
//
//	code                          means
//	 0 success                    right, unless a control says that the password
//	                              must be changed first
//	49 invalidCredentials         refused; a control or AD's sub-code says why
//	48 inappropriateAuthentication  refused: the entry has no password (389-DS)
//	19 constraintViolation        refused: locked (389-DS)
//	53 unwillingToPerform         refused if the text says that the account is
//	                              inactivated or disabled (389-DS)
//
// All others say nothing of the password: it could not be told. Among them are
// 32 noSuchObject, which a server gives while its data is being loaded, and 10
// referral. On 51 busy, 52 unavailable, and 53 of a server in restricted
// operation, the next server is asked.
func verdict(r wire.BindResponse) error {
	policy := policyCause(r.Policy)
	if r.Code == ldap.LDAPResultSuccess {
		if policy == "" {
			return nil
		}
		return &PasswordError{Cause: policy}
	}
	text := oneLine(r.Text)
	switch r.Code {
	case ldap.LDAPResultInvalidCredentials:
		return &PasswordError{Cause: or(policy, or(activeDirectoryCause(text), "invalid credentials"))}
	case ldap.LDAPResultInappropriateAuthentication:
		return &PasswordError{Cause: "no password"}
	case ldap.LDAPResultConstraintViolation:
		return &PasswordError{Cause: "locked"}
	case ldap.LDAPResultUnwillingToPerform:
		if holdsAny(text, "inactivated", "disabled") {
			return &PasswordError{Cause: "disabled"}
		}
	}
	code := uint16(min(r.Code, math.MaxUint16))
	answer := &ldap.Error{ResultCode: code, MatchedDN: r.MatchedDN, Err: errors.New(text)}
	return fmt.Errorf("bind as the user: %w%s", answer, bindHint(code))
}

// isVerdict tells a yes or no to a password from an error.
func isVerdict(err error) bool {
	if err == nil {
		return true
	}
	_, refused := errors.AsType[*PasswordError](err)
	return refused
}

func bindHint(code uint16) string {
	switch code {
	case ldap.LDAPResultConfidentialityRequired, ldap.LDAPResultStrongAuthRequired:
		return " (the directory wants TLS: use ldaps:// or StartTLS)"
	case ldap.LDAPResultReferral:
		return " (the server refers to another, which is not followed: name that one)"
	}
	return ""
}

// restricted recognises a server that takes no binds for now.
func restricted(err error) bool {
	answer, ok := errors.AsType[*ldap.Error](err)
	return ok && answer.ResultCode == ldap.LDAPResultUnwillingToPerform &&
		holdsAny(answer.Err.Error(), "operation restricted", "shutting down")
}

func holdsAny(text string, parts ...string) bool {
	text = strings.ToLower(text)
	for _, part := range parts {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

// policyCauses are the errors of the password policy control
// (draft-behera-ldap-password-policy-10, section 6.2), by number.
var policyCauses = map[int]string{0: "expired", 1: "locked", 2: "must be changed"}

// policyCause returns what the controls of an answer say against the password.
// With "must be changed" the bind succeeds, so the result alone is no yes. 389-DS
// sends the control for that with each expired password, too: the newer one says
// which, and whether a grace login was granted.
func policyCause(p wire.Policy) string {
	switch {
	case p.Fault >= 0:
		return or(policyCauses[p.Fault], "refused by the password policy")
	case p.MustChange && p.Grace < 0:
		return "must be changed"
	}
	return ""
}

// What Active Directory says beside invalidCredentials: "... data 52e, v4563".
var activeDirectoryData = regexp.MustCompile(`\bdata ([0-9a-f]{3}),`)

var activeDirectoryCauses = map[string]string{
	"525": "no such entry",
	"52e": "invalid credentials",
	"530": "not allowed at this hour",
	"531": "not allowed from here",
	"532": "expired",
	"533": "disabled",
	"701": "account expired",
	"773": "must be changed",
	"775": "locked",
}

func activeDirectoryCause(text string) string {
	if m := activeDirectoryData.FindStringSubmatch(text); m != nil {
		return activeDirectoryCauses[m[1]]
	}
	return ""
}
