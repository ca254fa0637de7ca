package tokenfile

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"

	"lockstep/internal/opaque"
)

// fernetPrefix is how every Fernet envelope of our time begins: its version and
// the upper octets of its date, in base64.
const fernetPrefix = "gAAAA"

// openFernet opens a Fernet envelope: version (1 octet), date (8), IV (16),
// AES-128-CBC, HMAC-SHA256 (32) over all that precedes it. The key is 16 octets
// for the HMAC and 16 for AES, in base64. The date is not looked at.
func openFernet(envelope []byte, key opaque.Bytes) ([]byte, error) {
	if key.Len() == 0 {
		return nil, ErrPreSharedKey
	}
	k, err := base64.URLEncoding.DecodeString(string(bytes.TrimSpace(key.Reveal())))
	if err != nil || len(k) != 32 {
		return nil, ErrDecrypt
	}
	raw := make([]byte, base64.URLEncoding.DecodedLen(len(envelope)))
	n, err := base64.URLEncoding.Decode(raw, envelope)
	if err != nil || n < 1+8+16+16+sha256.Size {
		return nil, ErrDecrypt
	}
	sealed, sum := raw[:n-sha256.Size], raw[n-sha256.Size:n]
	mac := hmac.New(sha256.New, k[:16])
	mac.Write(sealed)
	if sealed[0] != 0x80 || !hmac.Equal(mac.Sum(nil), sum) {
		return nil, ErrDecrypt
	}
	return decryptCBC(k[16:], sealed[9:])
}
