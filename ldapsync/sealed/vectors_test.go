package sealed

import (
	"bytes"
	"crypto/hpke"
	"encoding/hex"
	"testing"
	"time"

	"lockstep/internal/opaque"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestRFC9180AppendixA21 holds the suite of this package to the vector for
// DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and ChaCha20Poly1305 in base mode.
func TestRFC9180AppendixA21(t *testing.T) {
	private, err := kem.NewPrivateKey(unhex(t, "8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb"))
	if err != nil {
		t.Fatal(err)
	}
	public := unhex(t, "4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a")
	if got := private.PublicKey().Bytes(); !bytes.Equal(got, public) {
		t.Errorf("public key %x, want %x", got, public)
	}
	enc := unhex(t, "1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a")
	info := unhex(t, "4f6465206f6e2061204772656369616e2055726e")
	r, err := hpke.NewRecipient(enc, private, kdf, aead, info)
	if err != nil {
		t.Fatal(err)
	}
	aad := unhex(t, "436f756e742d30")
	sealed := unhex(t, "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28")
	want := unhex(t, "4265617574792069732074727574682c20747275746820626561757479")
	if got, err := r.Open(aad, sealed); err != nil || !bytes.Equal(got, want) {
		t.Errorf("opened %x, %v; want %x", got, err, want)
	}
}

// Made from the description in the package comment by another implementation of
// HPKE, which passes the vector above.
const (
	goldenPrivate = "LOCKSTEP-PRIVATE-KEY:1:UqiPZTFc:OCoo-IbTVzVfysEDCnsew3Ub-f3z_5wlY99uFIc6HEQ"
	goldenPublic  = "lockstep-public-key:1:UqiPZTFc:IL5tYMjoqjSPjjvv8Z264A-vORKTT_yi5HFT436W4zI"
	goldenValue   = "{HPKE}1$UqiPZTFc$YZC8M5RlJeflfZuZYj1g56bmwV6Cx8EknglwthZWoj0jk2MsC23C3MSafHdZL-zQaQcwDavsJGCBjZqyRJtXJxw16HRCOisWRaAZ6T-hJqcuadtrp3Kz_DL2JFGi"
)

var golden = Content{opaque.Text("12345678901234567890123456789012"), "SHA256", 8, time.Minute, time.Unix(1798761599, 0)}

func goldenRing(t testing.TB) *Keyring {
	t.Helper()
	keys, err := ParsePrivate([]byte(goldenPrivate))
	if err != nil {
		t.Fatal(err)
	}
	return ring(t, keys...)
}

// Values in directories outlive this program: what was sealed once must open for
// ever.
func TestGolden(t *testing.T) {
	r := goldenRing(t)
	for _, k := range r.keys {
		if got := k.Public().String(); got != goldenPublic {
			t.Errorf("public key %q, want %q", got, goldenPublic)
		}
	}
	if got, err := r.Open(alice, goldenValue); err != nil || !same(got, golden) {
		t.Errorf("opened %+v, %v; want %+v", got, err, golden)
	}
}
