package radiusd

import (
	"encoding/binary"
	"errors"
	"fmt"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"

	"lockstep/internal/radius"
)

// access is what an Access-Request says. Its slices point into the packet, and
// are nil where there is no such attribute.
type access struct {
	userName, password, state []byte
	nasID, callingStationID   []byte
	serviceType               uint32 // 0 if absent
	chap, msChap              bool
	eap, proxyState           bool
}

var errTwoMethods = errors.New("more than one of User-Password, CHAP-Password and EAP-Message")

// parseAccess reads the attributes that matter here; others are ignored. An
// error means that the packet contradicts itself, and is to be dropped.
func parseAccess(p radius.Packet) (a access, err error) {
	var chapPassword, serviceType []byte
	for t, v := range p.Attributes() {
		var once *[]byte // for attributes that RFC 2865, section 5.44, allows once
		switch t {
		case rfc2865.UserName_Type:
			once = &a.userName
		case rfc2865.UserPassword_Type:
			once = &a.password
		case rfc2865.CHAPPassword_Type:
			once = &chapPassword
		case rfc2865.State_Type:
			once = &a.state
		case rfc2865.ServiceType_Type:
			once = &serviceType
		case rfc2865.NASIdentifier_Type:
			once = &a.nasID
		case rfc2865.CallingStationID_Type:
			once = &a.callingStationID
		case rfc2865.ProxyState_Type:
			a.proxyState = true
		case rfc2869.EAPMessage_Type:
			a.eap = true
		case rfc2865.VendorSpecific_Type:
			a.msChap = a.msChap || isMSCHAP(v)
		}
		if once != nil {
			if *once != nil {
				return access{}, fmt.Errorf("attribute %d more than once", t)
			}
			*once = v
		}
	}
	a.chap = chapPassword != nil
	return a, a.check(serviceType)
}

func (a *access) check(serviceType []byte) error {
	methods := 0
	for _, used := range []bool{a.password != nil, a.chap, a.eap} {
		if used {
			methods++
		}
	}
	if methods > 1 {
		return errTwoMethods
	}
	if len(a.password)%16 != 0 || len(a.password) > radius.MaxPassword {
		return radius.ErrPasswordLength
	}
	if serviceType != nil {
		if len(serviceType) != 4 {
			return errors.New("Service-Type is not 4 octets long")
		}
		a.serviceType = binary.BigEndian.Uint32(serviceType)
	}
	return nil
}

// otherMethod reports whether a says who somebody is by something that cannot be
// checked here.
func (a *access) otherMethod() bool { return a.chap || a.eap || a.msChap && a.password == nil }

// isMSCHAP reports whether a Vendor-Specific attribute belongs to MS-CHAP, of
// either version (RFC 2548, section 2).
func isMSCHAP(vsa []byte) bool {
	const (
		microsoft       = 311
		msCHAPResponse  = 1
		msCHAPChallenge = 11
		msCHAP2Response = 25
	)
	vendor, err := layeh.Integer(vsa[:min(4, len(vsa))])
	if err != nil || vendor != microsoft {
		return false
	}
	for b := vsa[4:]; len(b) >= 2 && b[1] >= 2 && int(b[1]) <= len(b); b = b[b[1]:] {
		switch b[0] {
		case msCHAPResponse, msCHAPChallenge, msCHAP2Response:
			return true
		}
	}
	return false
}
