package verifier

import (
	"encoding/base32"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"lockstep/internal/opaque"
	"lockstep/internal/testenv"
)

func TestRFC6238AppendixB(t *testing.T) {
	key := func(a Algorithm, n int) Key {
		return Key{Bytes: opaque.Text(strings.Repeat("1234567890", 7)[:n]), Algorithm: a, Digits: 8, Period: 30 * time.Second}
	}
	sha1, sha256, sha512 := key(SHA1, 20), key(SHA256, 32), key(SHA512, 64)
	for _, tt := range []struct {
		at   int64
		key  Key
		want string
	}{
		{59, sha1, "94287082"}, {59, sha256, "46119246"}, {59, sha512, "90693936"},
		{1111111109, sha1, "07081804"}, {1111111109, sha256, "68084774"}, {1111111109, sha512, "25091201"},
		{1111111111, sha1, "14050471"}, {1111111111, sha256, "67062674"}, {1111111111, sha512, "99943326"},
		{1234567890, sha1, "89005924"}, {1234567890, sha256, "91819424"}, {1234567890, sha512, "93441116"},
		{2000000000, sha1, "69279037"}, {2000000000, sha256, "90698825"}, {2000000000, sha512, "38618901"},
		{20000000000, sha1, "65353130"}, {20000000000, sha256, "77737706"}, {20000000000, sha512, "47863826"},
	} {
		got, err := tt.key.Code(tt.key.Step(time.Unix(tt.at, 0)))
		if err != nil || got != tt.want {
			t.Errorf("%s at %d: %q, %v; want %q", tt.key.Algorithm, tt.at, got, err, tt.want)
		}
	}
}

func TestRFC4226AppendixD(t *testing.T) {
	k := Key{Bytes: opaque.Text("12345678901234567890"), Algorithm: SHA1, Digits: 6, Period: 30 * time.Second}
	for step, want := range []string{"755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"} {
		if got, err := k.Code(int64(step)); err != nil || got != want {
			t.Errorf("step %d: %q, %v; want %q", step, got, err, want)
		}
	}
}

// oathtool is another implementation.
func TestOathtoolAgrees(t *testing.T) {
	oathtool := testenv.Tool(t, "oathtool")
	for _, a := range []Algorithm{SHA1, SHA256, SHA512} {
		for _, digits := range []int{6, 8} {
			for _, period := range []time.Duration{30 * time.Second, 60 * time.Second} {
				for _, size := range []int{10, 16, 20, 33, 64, 100} {
					k := Key{Bytes: opaque.Text(strings.Repeat("k\x00\xff", 40)[:size]), Algorithm: a, Digits: digits, Period: period}
					at := time.Unix(1_800_000_000+int64(size)*77, 0)
					got, err := k.Code(k.Step(at))
					out, oathErr := exec.Command(oathtool, "--totp="+strings.ToLower(string(a)), fmt.Sprintf("--digits=%d", digits),
						fmt.Sprintf("--time-step-size=%ds", int(period.Seconds())), fmt.Sprintf("--now=@%d", at.Unix()),
						"--base32", base32.StdEncoding.EncodeToString(k.Bytes.Reveal())).Output()
					if want := strings.TrimSpace(string(out)); err != nil || oathErr != nil || got != want {
						t.Errorf("%s, %d digits, %v, %d octets: %q, %v; oathtool says %q, %v", a, digits, period, size, got, err, want, oathErr)
					}
				}
			}
		}
	}
}

func TestKeyID(t *testing.T) {
	base := testKey
	if got, want := base.ID(), "key:00233e7a827405f87f63a67858f380ad"; got != want {
		t.Errorf("ID = %q, want %q: codes that are spent would be good again", got, want)
	}
	same := base
	same.Digits = 8
	if base.ID() != same.ID() {
		t.Error("a step spent with 6 digits would be accepted again with 8")
	}
	for name, edit := range map[string]func(*Key){
		"key":       func(k *Key) { k.Bytes = opaque.Text("12345678901234567891") },
		"algorithm": func(k *Key) { k.Algorithm = SHA256 },
		"period":    func(k *Key) { k.Period = time.Minute },
	} {
		other := base
		edit(&other)
		if base.ID() == other.ID() {
			t.Errorf("another %s has the same ID", name)
		}
	}
}
