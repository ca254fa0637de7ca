// Package sealed seals TOTP keys to the public key of a server, so that they can
// lie in a directory.
//
// Whoever enrols people needs the [PublicKey] alone, and cannot read what others
// have enrolled. The server opens a value at login with its [Keyring]. A value is
// text, about 130 characters and 269 at most:
//
//	{HPKE}1$ ID $ base64url of the encapsulated key and the ciphertext
//
// It is sealed with HPKE (RFC 9180) in base mode, with DHKEM(X25519, HKDF-SHA256),
// HKDF-SHA256 and ChaCha20Poly1305. The digit before the first dollar sign stands
// for all of that, so there is nothing to negotiate. ID is that of the public key,
// see [PublicKey.ID]. The info of RFC 9180, section 5.1, is a label, the three
// parts of the [Binding] and the ID, each after its length in four octets.
//
// # What it promises
//
//   - Reading or copying values gains nothing: a value opens only with the private
//     key, and only for the user, slot and realm that it was sealed for.
//   - Algorithm, digits, period and time of sealing are inside. Nobody can change
//     one of them and keep the key.
//   - A value has one spelling. A change of any bit, also of bits that base64 does
//     not use, makes it unusable.
//   - What is opened is checked as strictly as what is sealed: whoever has the
//     public key may have sealed anything.
//   - Private keys and TOTP keys do not print, and are in no error.
//
// # What it does not
//
// A value does not say who sealed it. Whoever may write the attribute and has the
// public key can put another key in its place; and whoever may write it can put
// back an older value of the same user, slot and realm, without any key. The
// directory has to guard who may write it. Private and TOTP keys live in ordinary
// memory.
//
// # Hostile input
//
// Values come from a directory and may be anything. Key files are read from disk
// and need not be well formed.
//
// All types here are safe for concurrent use.
package sealed
