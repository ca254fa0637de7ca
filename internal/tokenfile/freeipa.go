package tokenfile

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"lockstep/internal/opaque"
	"lockstep/ldapsync/ldif"
)

// generalizedTime is the syntax of RFC 4517, section 3.3.13, as FreeIPA writes
// it.
const generalizedTime = "20060102150405Z0700"

// readFreeIPA reads the token entries of FreeIPA, which lie below cn=otp, from
// LDIF. Other entries are left out, so that an export of a whole directory
// will do.
func readFreeIPA(data []byte, _ Options) ([]Token, error) {
	records, err := ldif.Parse(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	var tokens batch
	for _, r := range records {
		if kind := ipaKind(r); kind != "" {
			if err := tokens.add(ipaToken(r, kind)); err != nil {
				return nil, err
			}
		}
	}
	if len(tokens) == 0 {
		return nil, errors.New("no entry of objectClass ipatokenTOTP")
	}
	return tokens, nil
}

// ipaKind returns the object class, in lower case, that makes r a token, or "".
func ipaKind(r ldif.Record) string {
	for _, class := range r.Attrs["objectclass"] {
		class = strings.ToLower(class)
		if slices.Contains([]string{"ipatokentotp", "ipatokenhotp"}, class) {
			return class
		}
	}
	return ""
}

func ipaToken(r ldif.Record, kind string) Token {
	t := Token{User: login(r.Get("ipatokenowner")), Serial: r.Get("ipatokenuniqueid"), Line: r.Line}
	key := r.Get("ipatokenotpkey")
	switch {
	case kind == "ipatokenhotp":
		t.refuse(skipHOTP)
	case strings.EqualFold(r.Get("ipatokendisabled"), "TRUE"):
		t.refuse("it is disabled")
	case key == "":
		t.refuse("it has no ipatokenOTPkey, which FreeIPA shows to the Directory Manager only")
	}
	t.Key = opaque.Text(key)
	t.setAlgorithm(r.Get("ipatokenotpalgorithm"))
	t.setDigits(r.Get("ipatokenotpdigits"))
	t.setPeriod(r.Get("ipatokentotptimestep"))
	t.setDates(r.Get("ipatokennotbefore"), r.Get("ipatokennotafter"), generalizedTime)
	return t
}
