package sealed

import (
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"lockstep/internal/opaque"
)

// A key is a line: its prefix, its ID, a colon, and the base64url of the key as RFC
// 9180, section 7.1.1 and 7.1.2, serializes it. The ID is there so that a mistyped
// or mangled key is noticed before anything is sealed to it.
const (
	privatePrefix = "LOCKSTEP-PRIVATE-KEY:1:"
	publicPrefix  = "lockstep-public-key:1:"
)

// String returns p as the line that [ParsePublic] reads, without a line break.
func (p *PublicKey) String() string {
	return publicPrefix + p.id + ":" + text.EncodeToString(p.key.Bytes())
}

// Marshal returns k as the text of a file that [ParsePrivate] reads. Its comments
// tell when it was created, and the public key.
func (k *PrivateKey) Marshal(created time.Time) (opaque.Bytes, error) {
	key, err := k.reveal().Bytes()
	if err != nil {
		return opaque.Bytes{}, fmt.Errorf("marshal a private key: %w", err)
	}
	return opaque.Text(fmt.Sprintf("# created: %s\n# public key: %s\n%s%s:%s\n",
		created.UTC().Format(time.RFC3339), k.public, privatePrefix, k.ID(), text.EncodeToString(key))), nil
}

// ParsePrivate reads the private keys in a file, in their order; by custom the
// newest is first. There is at least one, and no two are the same. Blank lines and
// those that begin with # are comments; a line of any other kind, a public key
// too, is an error that tells its number and nothing of its content.
func ParsePrivate(file []byte) ([]*PrivateKey, error) {
	var keys []*PrivateKey
	for n, line := range keyLines(string(file)) {
		k, err := privateKey(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("there is no private key in it, which is a line that begins with %q", privatePrefix)
	}
	if _, err := NewKeyring(keys...); err != nil {
		return nil, err
	}
	return keys, nil
}

// ParsePublic reads the one public key in s, which may be a file: comments are as
// for [ParsePrivate]. A private key is refused as one, and not quoted.
func ParsePublic(s string) (*PublicKey, error) {
	var key *PublicKey
	for n, line := range keyLines(s) {
		if key != nil {
			return nil, fmt.Errorf("line %d: a second public key, where one is wanted", n)
		}
		var err error
		if key, err = publicKey(line); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	if key == nil {
		return nil, fmt.Errorf("there is no public key in it, which is a line that begins with %q", publicPrefix)
	}
	return key, nil
}

// keyLines yields the lines of s that are not comments, trimmed, by their numbers.
func keyLines(s string) iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		n := 0
		for line := range strings.Lines(s) {
			n++
			line = strings.TrimSpace(line)
			if line != "" && line[0] != '#' && !yield(n, line) {
				return
			}
		}
	}
}

func privateKey(line string) (*PrivateKey, error) {
	if strings.HasPrefix(line, publicPrefix) {
		return nil, fmt.Errorf("this is a public key, where the private key is wanted, which begins with %q", privatePrefix)
	}
	id, octets, err := keyOctets(line, privatePrefix)
	if err != nil {
		return nil, err
	}
	k, err := kem.NewPrivateKey(octets)
	if err != nil {
		return nil, errMangled
	}
	p := newPrivateKey(k)
	if p.ID() != id {
		return nil, errMangled
	}
	return p, nil
}

func publicKey(line string) (*PublicKey, error) {
	if strings.HasPrefix(line, privatePrefix) {
		return nil, fmt.Errorf("this is a private key, which belongs to the server alone; the public key is wanted, which begins with %q", publicPrefix)
	}
	id, octets, err := keyOctets(line, publicPrefix)
	if err != nil {
		return nil, err
	}
	k, err := kem.NewPublicKey(octets)
	if err != nil {
		return nil, errMangled
	}
	p := newPublicKey(k)
	if p.id != id {
		return nil, errMangled
	}
	return p, nil
}

var errMangled = errors.New("the key does not fit its ID: it is incomplete or has been altered")

// keyOctets returns the ID and the key that a line with that prefix holds.
func keyOctets(line, prefix string) (id string, octets []byte, err error) {
	rest, ok := strings.CutPrefix(line, prefix)
	if !ok {
		return "", nil, fmt.Errorf("neither a comment nor a key that begins with %q", prefix)
	}
	id, encoded, ok := strings.Cut(rest, ":")
	if !ok {
		return "", nil, errMangled
	}
	if octets, err = decode(nil, encoded); err != nil {
		return "", nil, errMangled
	}
	return id, octets, nil
}
