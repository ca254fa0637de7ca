package userpassword

import (
	"errors"
	"regexp"
	"strconv"
	"strings"

	"github.com/go-crypt/crypt/algorithm"
	"github.com/go-crypt/crypt/algorithm/bcrypt"
	"github.com/go-crypt/crypt/algorithm/scrypt"
	"github.com/go-crypt/crypt/algorithm/shacrypt"
)

// What the hashes of crypt(3) may cost.
const (
	maxRounds       = 1_000_000
	maxBcryptCost   = 16
	maxYescryptSize = 256 << 20 // octets
)

// maxBcryptPassword is what bcrypt takes of a password, in octets. crypt(3) drops
// the rest without a word: every password with the same first 72 octets would
// match. Here a longer one matches never, not even the one that was hashed.
const maxBcryptPassword = 72

// The forms that crypt(3) writes, crypt(5).
var (
	shaForm      = regexp.MustCompile(`^\$[56]\$(?:rounds=([1-9][0-9]{3,8})\$)?[A-Za-z0-9./]{1,16}\$([A-Za-z0-9./]+)$`)
	bcryptForm   = regexp.MustCompile(`^\$2[aby]\$([0-9]{2})\$[A-Za-z0-9./]{53}$`)
	yescryptForm = regexp.MustCompile(`^\$y\$j([A-Za-z0-9./])([A-Za-z0-9./])\$[A-Za-z0-9./]{1,86}\$[A-Za-z0-9./]{43}$`)
)

func crypt(rest string) (Hash, error) {
	switch {
	case rest == "":
		return Hash{}, errDamaged
	case strings.HasPrefix(rest, "!"), strings.HasPrefix(rest, "*"):
		// The mark of passwd -l, and what crypt(3) returns when it fails: by
		// shadow(5) no password matches.
		return Hash{match: func([]byte) (bool, error) { return false, nil }}, nil
	case strings.HasPrefix(rest, "$5$"), strings.HasPrefix(rest, "$6$"):
		return shaCrypt(rest)
	case strings.HasPrefix(rest, "$2a$"), strings.HasPrefix(rest, "$2b$"), strings.HasPrefix(rest, "$2y$"):
		return bcryptCrypt(rest)
	case strings.HasPrefix(rest, "$y$"):
		return yescryptCrypt(rest)
	case strings.HasPrefix(rest, "$1$"):
		return Hash{}, errors.New("MD5 ($1$) is weak; " + instead)
	case !strings.HasPrefix(rest, "$"):
		return Hash{}, errors.New("DES is weak; " + instead)
	}
	return Hash{}, errors.New("want $5$, $6$, $2a$, $2b$, $2y$ or $y$; " + instead)
}

func shaCrypt(rest string) (Hash, error) {
	parts := shaForm.FindStringSubmatch(rest)
	size := map[byte]int{'5': 43, '6': 86}[rest[1]]
	if parts == nil || len(parts[2]) != size {
		return Hash{}, errDamaged
	}
	if rounds, _ := strconv.Atoi(parts[1]); rounds > maxRounds {
		return Hash{}, errors.New("over 1 million rounds; " + instead)
	}
	return digest(shacrypt.Decode(rest))
}

func bcryptCrypt(rest string) (Hash, error) {
	parts := bcryptForm.FindStringSubmatch(rest)
	if parts == nil {
		return Hash{}, errDamaged
	}
	if cost, _ := strconv.Atoi(parts[1]); cost > maxBcryptCost {
		return Hash{}, errors.New("bcrypt cost over 16; " + instead)
	}
	h, err := digest(bcrypt.Decode(rest))
	if err != nil {
		return Hash{}, err
	}
	whole := h.match
	h.match = func(password []byte) (bool, error) {
		if len(password) > maxBcryptPassword {
			return false, nil
		}
		return whole(password)
	}
	return h, nil
}

func yescryptCrypt(rest string) (Hash, error) {
	parts := yescryptForm.FindStringSubmatch(rest)
	if parts == nil {
		return Hash{}, errDamaged
	}
	log2N, r := number(parts[1])+1, number(parts[2])+1
	// Of larger values yescrypt writes several characters, which the form above
	// does not let through.
	if log2N < 10 || log2N > 18 || r > 32 || 128*r<<log2N > maxYescryptSize {
		return Hash{}, errors.New("yescrypt needs over 256 MiB, or has parameters that are not known; " + instead)
	}
	d, err := scrypt.Decode(rest)
	if err != nil || d.Encode() != rest {
		return Hash{}, errDamaged
	}
	return digest(d, nil)
}

// number is the value of a character in the base64 of crypt(3).
func number(c string) int {
	return strings.Index("./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", c)
}

// digest makes a Hash of what a decoder returned. The decoder's error is dropped
// because it quotes what it could not read.
func digest(d algorithm.Digest, err error) (Hash, error) {
	if err != nil {
		return Hash{}, errDamaged
	}
	return Hash{slow: true, match: d.MatchBytesAdvanced}, nil
}
