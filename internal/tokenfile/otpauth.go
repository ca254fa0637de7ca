package tokenfile

import (
	"errors"
	"net/url"
	"strings"
)

// readOTPAuth reads otpauth URIs, one a line, as authenticators take them in QR
// codes. The errors of package url quote the URI, key and all, and are dropped.
func readOTPAuth(data []byte, _ Options) ([]Token, error) {
	var tokens batch
	err := lines(data, func(num int, line string) error {
		u, err := url.Parse(line)
		if err != nil || !strings.EqualFold(u.Scheme, "otpauth") {
			return errors.New("not an otpauth URI")
		}
		t := Token{Line: num, User: strings.Clone(account(u.Path))}
		t.applyURI(u)
		return tokens.add(t)
	})
	return tokens, err
}

func (t *Token) applyURI(u *url.URL) {
	switch strings.ToLower(u.Host) {
	case "totp":
	case "hotp":
		t.refuse(skipHOTP)
	default:
		t.refuse("a kind of code other than TOTP")
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		t.refuse("its parameters cannot be read")
		return
	}
	t.setKey(q.Get("secret"), fromBase32)
	t.setAlgorithm(q.Get("algorithm"))
	t.setDigits(q.Get("digits"))
	t.setPeriod(q.Get("period"))
}

// account returns the user's part of a label such as "/Issuer: user". Issuers
// have no colon.
func account(label string) string {
	label = strings.TrimPrefix(label, "/")
	if _, user, ok := strings.Cut(label, ":"); ok {
		label = user
	}
	return strings.TrimSpace(label)
}
