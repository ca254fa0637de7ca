package radius

import (
	"bytes"
	"crypto/md5"
	"crypto/subtle"
	"errors"
	"fmt"
)

// MaxPassword is the most octets that a User-Password holds (RFC 2865,
// section 5.2).
const MaxPassword = 128

// What [RevealPassword] and [HidePassword] return.
var (
	// ErrPasswordLength: the attribute's length is none that a client can
	// produce, or the password to hide is too long.
	ErrPasswordLength = errors.New("User-Password has a length that cannot be")

	// ErrPasswordNUL: there is a NUL inside the password. A directory or C
	// library might end the password there.
	ErrPasswordNUL = errors.New("User-Password holds a NUL")
)

// RevealPassword returns the password in the value of a User-Password of a
// packet with that Request Authenticator (RFC 2865, section 5.2). NULs at the
// end are padding and cut off; an empty value, and one of nothing but padding,
// is the empty password.
//
// A wrong secret is not noticed here: the result is then octets at random.
func RevealPassword(value, secret []byte, authenticator [16]byte) ([]byte, error) {
	if len(value)%md5.Size != 0 || len(value) > MaxPassword {
		return nil, ErrPasswordLength
	}
	password := make([]byte, len(value))
	previous := authenticator[:]
	for i := 0; i < len(value); i += md5.Size {
		pad := passwordPad(secret, previous)
		previous = value[i : i+md5.Size]
		subtle.XORBytes(password[i:], previous, pad[:])
	}
	password = bytes.TrimRight(password, "\x00")
	if bytes.IndexByte(password, 0) >= 0 {
		return nil, ErrPasswordNUL
	}
	return password, nil
}

// HidePassword is the opposite of [RevealPassword]. The result is 16 to 128
// octets long, also for the empty password.
func HidePassword(password, secret []byte, authenticator [16]byte) ([]byte, error) {
	if len(password) > MaxPassword {
		return nil, fmt.Errorf("%w: more than %d octets", ErrPasswordLength, MaxPassword)
	}
	if bytes.IndexByte(password, 0) >= 0 {
		return nil, ErrPasswordNUL
	}
	value := make([]byte, max(1, (len(password)+md5.Size-1)/md5.Size)*md5.Size)
	copy(value, password)
	previous := authenticator[:]
	for i := 0; i < len(value); i += md5.Size {
		pad := passwordPad(secret, previous)
		previous = value[i : i+md5.Size]
		subtle.XORBytes(previous, previous, pad[:])
	}
	return value, nil
}

func passwordPad(secret, previous []byte) (pad [md5.Size]byte) {
	h := newHasher()
	defer h.free()
	h.write(secret)
	h.writeShort([md5.Size]byte(previous))
	return h.end()
}
