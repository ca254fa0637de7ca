package sealed

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

const (
	prefix   = "{HPKE}" // of every version
	prefixV1 = "{HPKE}1$"
	idLength = 8 // characters

	encapsulated = 32 // octets of an X25519 public key
	tag          = 16 // octets that ChaCha20Poly1305 adds
	minBody      = encapsulated + header + minKey + tag
	maxBody      = encapsulated + header + maxKey + tag
)

var (
	// ErrMalformed is wrapped by errors about a value that is no sealed key, is
	// cut off or mangled, or that holds what cannot be used.
	ErrMalformed = errors.New("sealed key is malformed")

	// ErrVersion is wrapped by errors about a value that was sealed in a way that
	// this version of the program does not know.
	ErrVersion = errors.New("sealed key is of an unknown version")

	// ErrBinding is returned for a value that does not open with the private key
	// it was sealed to. HPKE cannot tell the causes apart.
	ErrBinding = errors.New("the key was sealed for another user, slot or realm, or has been altered")
)

// UnknownKeyError is returned for a value that is sealed to a key that is not in
// the Keyring.
type UnknownKeyError struct {
	ID string // of the key it is sealed to, 8 characters of base64url
}

// Error implements error.
func (e *UnknownKeyError) Error() string {
	return "sealed to key " + e.ID + ", which is none of this server's private keys"
}

// Binding says whom a key is sealed for. A value opens only with the Binding that
// it was sealed with, octet by octet. No part may be empty.
type Binding struct {
	Realm string // names the directory, so that another's values do not open here
	User  string // the canonical login name
	Slot  string // tells several keys of a user apart, [DefaultSlot] for the first
}

// DefaultSlot is the slot of a user's only key.
const DefaultSlot = "1"

func (b Binding) check() error {
	if b.Realm == "" || b.User == "" || b.Slot == "" {
		return errors.New("a key is sealed for a user, a slot and a realm, and one of them is empty")
	}
	return nil
}

// info is what a value is bound to. A length before each part keeps an octet from
// moving from one into the next.
func (b Binding) info(id string) []byte {
	var out []byte
	for _, part := range []string{"lockstep/hpke-otp-secret/v1", b.Realm, b.User, b.Slot, id} {
		out = binary.BigEndian.AppendUint32(out, uint32(len(part)))
		out = append(out, part...)
	}
	return out
}

// Sealed reports whether value begins as a sealed key does, of whatever version.
func Sealed(value string) bool { return strings.HasPrefix(value, prefix) }

// KeyID returns the ID of the public key that value is sealed to. Errors are those
// of [Check].
func KeyID(value string) (string, error) {
	id, _, err := parse(nil, value)
	return id, err
}

// Check says what can be seen to be wrong with value without a private key, or
// nil. Errors wrap [ErrMalformed] or [ErrVersion]; they quote nothing of value but
// its version.
func Check(value string) error {
	var buffer [maxBody]byte
	_, _, err := parse(buffer[:0], value)
	return err
}

// text is the base64 of values and key files.
var text = base64.RawURLEncoding.Strict()

// parse takes value apart, and appends its encapsulated key and ciphertext to dst.
func parse(dst []byte, value string) (id string, body []byte, err error) {
	rest, ok := strings.CutPrefix(value, prefixV1)
	if !ok {
		return "", nil, otherVersion(value)
	}
	id, encoded, ok := strings.Cut(rest[:min(len(rest), idLength+1)], "$")
	if !ok || len(id) != idLength || encoded != "" {
		return "", nil, fmt.Errorf("%w: no key ID of %d characters", ErrMalformed, idLength)
	}
	var octets [6]byte
	if _, err := decode(octets[:0], id); err != nil {
		return "", nil, fmt.Errorf("%w: key ID: %w", ErrMalformed, err)
	}
	encoded = rest[idLength+1:]
	if n := text.DecodedLen(len(encoded)); n < minBody || n > maxBody {
		return "", nil, fmt.Errorf("%w: %d characters after the key ID, want %d to %d",
			ErrMalformed, len(encoded), text.EncodedLen(minBody), text.EncodedLen(maxBody))
	}
	if body, err = decode(dst, encoded); err != nil {
		return "", nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return id, body, nil
}

var errBase64 = errors.New("not base64url without padding, in its one spelling")

// decode appends what encoded stands for to dst.
func decode(dst []byte, encoded string) ([]byte, error) {
	// The library skips line breaks, in strict mode too.
	if strings.ContainsAny(encoded, "\r\n") {
		return nil, errBase64
	}
	out, err := text.AppendDecode(dst, []byte(encoded))
	if err != nil {
		return nil, errBase64 // the library's tells where, which is a hint to what is there
	}
	return out, nil
}

// otherVersion says what value is that does not begin as version 1 does.
func otherVersion(value string) error {
	rest, ok := strings.CutPrefix(value, prefix)
	if !ok {
		return fmt.Errorf("%w: it does not begin with %s", ErrMalformed, prefix)
	}
	version, _, ok := strings.Cut(rest[:min(len(rest), 4)], "$")
	if !ok || version == "" || strings.Trim(version, "0123456789") != "" {
		return fmt.Errorf("%w: no version after %s", ErrMalformed, prefix)
	}
	return fmt.Errorf("%w, %s", ErrVersion, version)
}
