package userpassword

import (
	"errors"
	"regexp"
	"strconv"

	"github.com/go-crypt/crypt/algorithm/argon2"
)

// What an Argon2 hash may cost.
const (
	maxArgonMemory  = 256 << 10 // KiB
	maxArgonPasses  = 16
	maxArgonThreads = 64
)

// argonForm is what slapd's argon2 module writes: the encoding of the reference
// implementation, version 1.3, with a salt of 8 to 64 octets and a tag of 16 to 64.
var argonForm = regexp.MustCompile(`^\$argon2(?:id|i|d)\$v=19\$m=([1-9][0-9]{0,8}),t=([1-9][0-9]{0,8}),p=([1-9][0-9]{0,8})` +
	`\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{22,86}$`)

func argon(rest string) (Hash, error) {
	parts := argonForm.FindStringSubmatch(rest)
	if parts == nil {
		return Hash{}, errDamaged
	}
	for i, limit := range []int{maxArgonMemory, maxArgonPasses, maxArgonThreads} {
		if cost, _ := strconv.Atoi(parts[i+1]); cost > limit {
			return Hash{}, errors.New("costs more than m=262144 (256 MiB), t=16, p=64; " + instead)
		}
	}
	digest, err := argon2.Decode(rest)
	// What does not encode to itself was read in another sense than written.
	if err != nil || digest.Encode() != rest {
		return Hash{}, errDamaged
	}
	return Hash{slow: true, match: digest.MatchBytesAdvanced}, nil
}

// New returns a fresh value for userPassword: {ARGON2} with Argon2id, 19 MiB,
// two passes, one thread and a random salt, about 30 ms a check. slapd with its
// argon2 module accepts it too. A password that could never match is refused:
// empty, over 1024 octets, or with NUL in it.
func New(password []byte) (string, error) {
	if !usable(password) {
		return "", errors.New("make password hash: the password is empty, over 1024 octets, or holds NUL")
	}
	hasher, err := argon2.New(argon2.WithVariantID(), argon2.WithM(19<<10), argon2.WithT(2), argon2.WithP(1), argon2.WithK(32), argon2.WithS(16))
	if err != nil {
		return "", errors.New("make password hash: the parameters are refused")
	}
	digest, err := hasher.Hash(string(password))
	if err != nil {
		return "", errors.New("make password hash: no random salt")
	}
	return "{ARGON2}" + digest.Encode(), nil
}
