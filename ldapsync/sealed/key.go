package sealed

import (
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
)

// The suite that the version digit 1 stands for.
var (
	kem  = hpke.DHKEM(ecdh.X25519())
	kdf  = hpke.HKDFSHA256()
	aead = hpke.ChaCha20Poly1305()
)

// PublicKey seals TOTP keys. It is no secret, but whoever can exchange it where
// people are enrolled can read what is enrolled from then on.
type PublicKey struct {
	key hpke.PublicKey
	id  string
}

// PrivateKey opens, by way of a [Keyring], what was sealed to its PublicKey. It
// does not print. It is made by [Generate] and [ParsePrivate]; the zero PrivateKey
// is good for nothing.
type PrivateKey struct {
	// reveal is a func for the reasons that opaque.Bytes has one.
	reveal func() hpke.PrivateKey
	public *PublicKey
}

// Generate returns a new private key.
func Generate() (*PrivateKey, error) {
	k, err := kem.GenerateKey()
	if err != nil {
		return nil, fmt.Errorf("make a private key: %w", err)
	}
	return newPrivateKey(k), nil
}

func newPrivateKey(k hpke.PrivateKey) *PrivateKey {
	return &PrivateKey{reveal: func() hpke.PrivateKey { return k }, public: newPublicKey(k.PublicKey())}
}

func newPublicKey(k hpke.PublicKey) *PublicKey {
	sum := sha256.Sum256(append([]byte("lockstep-kid-v1"), k.Bytes()...))
	return &PublicKey{key: k, id: text.EncodeToString(sum[:6])}
}

// Public returns the public key of k.
func (k *PrivateKey) Public() *PublicKey { return k.public }

// ID returns the ID of k, which is that of its public key.
func (k *PrivateKey) ID() string { return k.public.id }

// ID returns what values that are sealed to p carry: 8 characters of base64url, the
// first 6 octets of the SHA-256 of "lockstep-kid-v1" and the key.
func (p *PublicKey) ID() string { return p.id }

const redacted = "[redacted]"

// Format implements [fmt.Formatter], so that no verb prints k.
func (PrivateKey) Format(s fmt.State, _ rune) { io.WriteString(s, redacted) }

// LogValue implements [slog.LogValuer].
func (PrivateKey) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements [encoding.TextMarshaler], which JSON uses. It is not how a
// key is kept: see [PrivateKey.Marshal].
func (PrivateKey) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Seal returns c as a value for the directory, that opens with b alone. No two
// values are the same, also for the same b and c. It fails where a part of b is
// empty or c is out of its ranges.
func (p *PublicKey) Seal(b Binding, c Content) (string, error) {
	if err := b.check(); err != nil {
		return "", fmt.Errorf("seal a key: %w", err)
	}
	if err := c.check(); err != nil {
		return "", fmt.Errorf("seal a key: %w", err)
	}
	body, err := hpke.Seal(p.key, kdf, aead, b.info(p.id), c.encode())
	if err != nil {
		return "", fmt.Errorf("seal a key to %s: %w", p.id, err)
	}
	return prefixV1 + p.id + "$" + text.EncodeToString(body), nil
}

// Keyring holds private keys: the newest, and those that values in the directory
// are still sealed to. A nil Keyring has none, and opens nothing.
type Keyring struct{ keys map[string]*PrivateKey } // by ID

// NewKeyring returns a Keyring of keys, of which no two may have the same ID.
func NewKeyring(keys ...*PrivateKey) (*Keyring, error) {
	r := &Keyring{keys: make(map[string]*PrivateKey, len(keys))}
	for _, k := range keys {
		if k == nil || k.reveal == nil {
			return nil, errors.New("make a keyring: a private key is missing")
		}
		if r.keys[k.ID()] != nil {
			return nil, fmt.Errorf("make a keyring: two private keys have the ID %s", k.ID())
		}
		r.keys[k.ID()] = k
	}
	return r, nil
}

// IDs returns the IDs of the keys in r, sorted.
func (r *Keyring) IDs() []string {
	if r == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(r.keys))
}

// Open returns what value holds, which was sealed with b. An error is an
// [*UnknownKeyError], is [ErrBinding], or wraps [ErrMalformed] or [ErrVersion]; it
// is another one where a part of b is empty. It costs one multiplication on
// Curve25519 where value is well formed and its key is known, whether it opens or
// not.
func (r *Keyring) Open(b Binding, value string) (Content, error) {
	if err := b.check(); err != nil {
		return Content{}, fmt.Errorf("open a key: %w", err)
	}
	id, body, err := parse(nil, value)
	if err != nil {
		return Content{}, err
	}
	if r == nil || r.keys[id] == nil {
		return Content{}, &UnknownKeyError{ID: id}
	}
	plain, err := hpke.Open(r.keys[id].reveal(), kdf, aead, b.info(id), body)
	if err != nil {
		return Content{}, ErrBinding
	}
	return decodeContent(plain)
}
