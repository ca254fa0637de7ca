package tokenfile

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"hash"
	"strings"

	"lockstep/internal/opaque"
)

// maxRounds bounds the work that a file can ask for to some seconds.
const maxRounds = 10_000_000

// The algorithms known, by the fragment of their URIs (RFC 9231).
var (
	keySizes = map[string]int{"aes128-cbc": 16, "aes192-cbc": 24, "aes256-cbc": 32}
	macs     = map[string]func() hash.Hash{"hmac-sha1": sha1.New, "hmac-sha256": sha256.New, "hmac-sha384": sha512.New384, "hmac-sha512": sha512.New}
)

func fragment(uri string) string {
	return strings.ToLower(uri[strings.LastIndexByte(uri, '#')+1:])
}

// A vault opens the encrypted values of one container (RFC 6030, section 6).
type vault struct {
	encryption, mac     *node // EncryptionKey and MACMethod, nil if the file has none
	password, preShared opaque.Bytes

	derived []byte // from the password, once it was
	macKey  []byte // once it was decrypted
}

// A value is what a data element holds: text as it is written, or octets that
// were encrypted.
type value struct {
	octets []byte
	clear  bool
}

// read returns the value of a data element such as Secret, which may be nil.
func (v *vault) read(n *node) (value, error) {
	sealed := n.first("encryptedvalue")
	if sealed == nil {
		return value{octets: []byte(n.value("plainvalue")), clear: true}, nil
	}
	octets, err := v.open(sealed, n.value("valuemac"))
	return value{octets: octets}, err
}

// open verifies and decrypts, in this order. CBC tells nothing about changes to
// a value, so RFC 6030, section 6.1.1, wants a MAC beside it.
func (v *vault) open(sealed *node, sum string) ([]byte, error) {
	if v.mac == nil || sum == "" {
		return nil, errors.New("an encrypted value without a MAC is not read")
	}
	want, err := fromBase64(sum)
	if err != nil {
		return nil, errors.New("a MAC is not base64")
	}
	key, octets, err := v.sealed(sealed)
	if err != nil {
		return nil, err
	}
	mac, err := v.newMAC()
	if err != nil {
		return nil, err
	}
	mac.Write(octets)
	if !hmac.Equal(mac.Sum(nil), want) {
		return nil, ErrDecrypt
	}
	return decryptCBC(key, octets)
}

// sealed returns the octets of an encrypted element, IV and all, and the key to
// decrypt them with.
func (v *vault) sealed(n *node) (key, octets []byte, err error) {
	size, ok := keySizes[fragment(n.first("encryptionmethod").attr("algorithm"))]
	if !ok {
		return nil, nil, errors.New("encrypted in a way that is not known here: want AES-CBC of 128, 192 or 256 bits")
	}
	octets, err = fromBase64(n.value("cipherdata", "ciphervalue"))
	if err != nil {
		return nil, nil, errors.New("an encrypted value is not base64")
	}
	key, err = v.key(size)
	return key, octets, err
}

// newMAC begins a MAC with the key that the file has for it, encrypted.
func (v *vault) newMAC() (hash.Hash, error) {
	algorithm, ok := macs[fragment(v.mac.attr("algorithm"))]
	if !ok {
		return nil, errors.New("a MAC that is not known here: want HMAC with SHA1, SHA256, SHA384 or SHA512")
	}
	if v.macKey == nil {
		n := v.mac.first("mackey")
		if n == nil {
			return nil, errors.New("the key of the MAC is not in the file")
		}
		key, octets, err := v.sealed(n)
		if err != nil {
			return nil, err
		}
		if v.macKey, err = decryptCBC(key, octets); err != nil {
			return nil, err
		}
		if len(v.macKey) == 0 {
			// Else everybody could make the MAC.
			return nil, ErrDecrypt
		}
	}
	return hmac.New(algorithm, v.macKey), nil
}

// key returns the encryption key, which must be size octets long.
func (v *vault) key(size int) ([]byte, error) {
	if v.encryption.first("x509data") != nil {
		return nil, errors.New("encrypted to a certificate, which is not supported; want a password or a shared key")
	}
	if v.encryption.first("derivedkey") == nil {
		return preShared(v.preShared, size)
	}
	if v.derived == nil {
		var err error
		if v.derived, err = v.derive(); err != nil {
			return nil, err
		}
	}
	if len(v.derived) != size {
		return nil, errors.New("the derived key has not the length that the encryption wants")
	}
	return v.derived, nil
}

// derive makes the key from the password by PBKDF2 (RFC 8018, section 5.2).
func (v *vault) derive() ([]byte, error) {
	method := v.encryption.first("derivedkey", "keyderivationmethod")
	p := method.first("pbkdf2-params")
	if fragment(method.attr("algorithm")) != "pbkdf2" || p == nil {
		return nil, errors.New("the key is derived in a way that is not known here: want PBKDF2")
	}
	prf := "hmac-sha1" // the default of RFC 8018, appendix A.2
	if uri := p.first("prf").attr("algorithm"); uri != "" {
		prf = fragment(uri)
	}
	newHash, ok := macs[prf]
	salt, err := fromBase64(p.value("salt", "specified"))
	rounds, counted := number(p.value("iterationcount"), maxRounds)
	size, sized := number(p.value("keylength"), 32)
	if !ok || err != nil || len(salt) == 0 || !counted || rounds == 0 || !sized || size == 0 {
		return nil, errors.New("PBKDF2: want a salt, 1 to 10,000,000 iterations, a key of 16, 24 or 32 octets, and HMAC with SHA1, SHA256, SHA384 or SHA512")
	}
	if v.password.Len() == 0 {
		return nil, ErrPassword
	}
	return pbkdf2.Key(newHash, string(v.password.Reveal()), salt, rounds, size)
}

// preShared returns the key as octets, also where it was given in hexadecimal or
// with the line end of its file.
func preShared(key opaque.Bytes, size int) ([]byte, error) {
	b := key.Reveal()
	if len(b) == 0 {
		return nil, ErrPreSharedKey
	}
	if len(b) == size {
		return b, nil
	}
	if b, err := hex.DecodeString(strings.TrimSpace(string(b))); err == nil && len(b) == size {
		return b, nil
	}
	return nil, ErrDecrypt
}

// decryptCBC decrypts octets, of which the first block is the IV, and takes the
// padding off. Only its last octet has a meaning in XML Encryption, section
// 5.2. A fault is ErrDecrypt.
func decryptCBC(key, octets []byte) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, ErrDecrypt
	}
	if len(octets) < 2*aes.BlockSize || len(octets)%aes.BlockSize != 0 {
		return nil, ErrDecrypt
	}
	text := make([]byte, len(octets)-aes.BlockSize)
	cipher.NewCBCDecrypter(block, octets[:aes.BlockSize]).CryptBlocks(text, octets[aes.BlockSize:])
	pad := int(text[len(text)-1])
	if pad < 1 || pad > aes.BlockSize {
		return nil, ErrDecrypt
	}
	return text[:len(text)-pad], nil
}
