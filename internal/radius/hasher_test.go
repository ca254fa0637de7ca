package radius

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"testing"
)

// The standard library is the yardstick, for keys shorter and longer than a
// block, one after the other with what they leave behind.
func TestHasher(t *testing.T) {
	message := []byte("Message-Authenticator = HMAC-MD5 (Type, Identifier, Length, Request Authenticator, Attributes)")
	for length := 200; length >= 0; length-- {
		key := bytes.Repeat([]byte{byte(length)}, length)
		want := hmac.New(md5.New, key)
		want.Write(message)
		h := newHasher()
		h.beginMAC(key)
		h.write(message[:length%len(message)])
		h.write(message[length%len(message):])
		if got := h.endMAC(); !hmac.Equal(got[:], want.Sum(nil)) {
			t.Errorf("HMAC with a key of %d octets: %x, want %x", length, got, want.Sum(nil))
		}
		h.write(message)
		if got := h.end(); got != md5.Sum(message) {
			t.Errorf("MD5 after an HMAC: %x, want %x", got, md5.Sum(message))
		}
		h.free()
	}
}

func BenchmarkMessageAuthenticator(b *testing.B) {
	p, err := NewRequest(1, rfcSecret, []byte("correct horse 123456"), Attribute{Type: 1, Value: []byte("alice")})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if p.VerifyMessageAuthenticator(rfcSecret) != nil {
			b.Fatal("does not verify")
		}
	}
}
