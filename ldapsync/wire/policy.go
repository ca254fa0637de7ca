package wire

import (
	"errors"
	"math"
	"strconv"
)

// Policy is what the controls of an answer to a bind say of the password.
type Policy struct {
	// Fault is the error of a password policy control
	// (draft-behera-ldap-password-policy-10, section 6.2); -1 if there is none.
	Fault int

	Expires int // seconds until the password expires; 0 if nothing is said
	Grace   int // logins that are left to an expired password; -1 if nothing is said

	// MustChange is set by a control of draft-vchu-ldap-pwd-policy-00, which means
	// that the password has expired, too.
	MustChange bool
}

const (
	oidPolicy     = "1.3.6.1.4.1.42.2.27.8.5.1"
	oidMustChange = "2.16.840.1.113730.3.4.4"
	oidWarning    = "2.16.840.1.113730.3.4.5"
)

// AskPolicy asks for [Policy].
var AskPolicy = Control{OID: oidPolicy}

// lastFault is the highest error that the draft has.
const lastFault = 8

// policyOf reads the controls of an answer, and tells whether one is about the policy.
// Unknown ones are passed over.
func policyOf(list decoder) (p Policy, told bool) {
	p = Policy{Fault: -1, Grace: -1}
	for list.more() {
		told = p.control(list.enter(tagSequence, "control")) || told
	}
	return p, told
}

func (p *Policy) control(d decoder) (known bool) {
	oid := d.octets("control: type")
	d.boolean(false, "control: criticality")
	known = true
	switch string(oid) {
	default:
		known = false
	case oidPolicy:
		p.state(d.value("password policy"))
	case oidMustChange:
		p.MustChange = true
	case oidWarning:
		p.warning(&d)
	}
	d.skip("control")
	return known
}

// state reads a PasswordPolicyResponseValue.
func (p *Policy) state(d decoder) {
	if d.at(constructed(0)) {
		warning := d.enter(constructed(0), "password policy: warning")
		if warning.at(primitive(0)) {
			p.Expires = warning.number(primitive(0), "password policy: time before expiration")
		} else {
			p.Grace = warning.number(primitive(1), "password policy: grace logins")
		}
		warning.end("password policy: warning")
	}
	if d.at(primitive(1)) {
		p.Fault = d.number(primitive(1), "password policy: error")
		if p.Fault > lastFault {
			d.fail("password policy: error", errors.New("number that the draft does not have"))
		}
	}
	// What is not known could be a fault.
	d.end("password policy")
}

// warning reads the value of draft-vchu's second control: seconds in digits.
func (p *Policy) warning(d *decoder) {
	text := d.octets("password warning")
	n, err := strconv.ParseInt(string(text), 10, 64)
	if *d.fault != nil {
		return
	}
	if err != nil {
		d.fail("password warning", errors.New("want seconds"))
		return
	}
	p.Expires = int(min(max(n, 0), math.MaxInt32))
}
