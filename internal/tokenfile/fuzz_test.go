package tokenfile

import (
	"os"
	"path/filepath"
	"testing"

	"lockstep/internal/opaque"
)

// The fuzz targets, one a format, hold what examine says of every input.

func fuzz(f *testing.F, format string, o Options, more ...string) {
	f.Add([]byte(samples(f)[format]))
	for _, seed := range more {
		f.Add([]byte(seed))
	}
	o.Format = format
	f.Fuzz(func(t *testing.T, file []byte) { examine(t, string(file), o) })
}

func FuzzCSV(f *testing.F) { fuzz(f, CSV, Options{}, "user;key\n\"a\"\"b\";\n") }

func FuzzGoogleAuthenticator(f *testing.F) { fuzz(f, GoogleAuthenticator, Options{User: "alice"}) }

func FuzzOTPAuth(f *testing.F) {
	fuzz(f, OTPAuth, Options{}, "otpauth://hotp/x?secret=&counter=1\notpauth://totp/%zz")
}

func FuzzFreeIPA(f *testing.F) {
	fuzz(f, FreeIPA, Options{}, "dn: a=b\nobjectClass: ipatokenTOTP\nipatokenOwner: uid=a\\,b+cn=#04,dc=c\nipatokenNotAfter: 20300101000000+0100\n")
}

func FuzzPrivacyIDEA(f *testing.F) {
	fuzz(f, PrivacyIDEA, Options{PreSharedKey: opaque.Text(fernetKey)}, fernetFile,
		"alice@r, T1, "+key20hex+", totp, 6, 30\nn/a, T2, , hotp, 6\n", "serial,otpkey,type\nT1,"+key20b32+",totp\n", ideaPSKC(f))
}

func FuzzPSKC(f *testing.F) {
	seeds := []string{pskcFile, ideaPSKC(f), encrypted{size: 16, mac: "hmac-sha1"}.file(f)}
	figures, err := filepath.Glob("testdata/rfc6030-*.xml")
	if err != nil || len(figures) != 6 {
		f.Fatalf("figures of RFC 6030: %q, %v", figures, err)
	}
	for _, name := range figures {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		seeds = append(seeds, string(text))
	}
	// No password: nothing is learnt from a fuzzer that asks for ten million
	// rounds each time.
	fuzz(f, PSKC, Options{PreSharedKey: opaque.Text(aesKey(16))}, seeds...)
}

// FuzzGuess looks for files that are read as what they are not and then break
// a promise.
func FuzzGuess(f *testing.F) {
	for _, file := range samples(f) {
		f.Add([]byte(file))
	}
	f.Fuzz(func(t *testing.T, file []byte) { examine(t, string(file), Options{}) })
}
