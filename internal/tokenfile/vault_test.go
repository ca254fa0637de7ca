package tokenfile

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/pbkdf2"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"lockstep/internal/opaque"
)

// seal encrypts text under a fixed IV, with the padding that PKCS #7 and XML
// Encryption share.
func seal(t testing.TB, key, text string) []byte {
	t.Helper()
	block, err := aes.NewCipher([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	pad := aes.BlockSize - len(text)%aes.BlockSize
	padded := []byte(text + strings.Repeat(string(rune(pad)), pad))
	out := []byte("initial vector 1")
	cipher.NewCBCEncrypter(block, out).CryptBlocks(padded, padded)
	return append(out, padded...)
}

// sum is the MAC of octets, in base64.
func sum(algorithm, key string, octets []byte) string {
	mac := hmac.New(macs[algorithm], []byte(key))
	mac.Write(octets)
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// aesKey is a key of size octets.
func aesKey(size int) string { return "0123456789abcdef0123456789ABCDEF"[:size] }

const macKey = "the key of the MAC"

// encrypted describes a PSKC file with one key. Without a prf the encryption key
// is shared; with one it is derived from the password "correct horse".
type encrypted struct {
	size     int
	mac, prf string
}

func (e encrypted) file(t testing.TB) string {
	t.Helper()
	key, how := aesKey(e.size), `<ds:KeyName>shared</ds:KeyName>`
	if e.prf != "" {
		derived, err := pbkdf2.Key(macs[e.prf], "correct horse", []byte("salt"), 10, e.size)
		if err != nil {
			t.Fatal(err)
		}
		key = string(derived)
		how = fmt.Sprintf(`<DerivedKey><KeyDerivationMethod Algorithm="http://www.w3.org/2009/xmlenc11#pbkdf2"><PBKDF2-params>`+
			`<Salt><Specified>c2FsdA==</Specified></Salt><IterationCount>10</IterationCount><KeyLength>%d</KeyLength>`+
			`<PRF Algorithm="http://www.w3.org/2001/04/xmldsig-more#%s"/></PBKDF2-params></KeyDerivationMethod></DerivedKey>`, e.size, e.prf)
	}
	secret := seal(t, key, key64)
	method := fmt.Sprintf(`<xenc:EncryptionMethod Algorithm="http://www.w3.org/2001/04/xmlenc#aes%d-cbc"/>`, e.size*8)
	return fmt.Sprintf(`<KeyContainer Version="1.0" xmlns="urn:ietf:params:xml:ns:keyprov:pskc" xmlns:ds="d" xmlns:xenc="x">
<EncryptionKey>%s</EncryptionKey>
<MACMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#%s"><MACKey>%s<xenc:CipherData><xenc:CipherValue>%s</xenc:CipherValue></xenc:CipherData></MACKey></MACMethod>
<KeyPackage><DeviceInfo><SerialNo>S1</SerialNo></DeviceInfo><Key Id="1" Algorithm="urn:ietf:params:xml:ns:keyprov:pskc:totp">
<AlgorithmParameters><Suite>HMAC-SHA512</Suite><ResponseFormat Length="8" Encoding="DECIMAL"/></AlgorithmParameters>
<Data><Secret><EncryptedValue>%s<xenc:CipherData><xenc:CipherValue>%s</xenc:CipherValue></xenc:CipherData></EncryptedValue>
<ValueMAC>%s</ValueMAC></Secret></Data></Key></KeyPackage></KeyContainer>`,
		how, e.mac, method, base64.StdEncoding.EncodeToString(seal(t, key, macKey)),
		method, base64.StdEncoding.EncodeToString(secret), sum(e.mac, macKey, secret))
}

func TestEncryptedPSKC(t *testing.T) {
	for size := 16; size <= 32; size += 8 {
		for mac := range macs {
			for prf := range macs {
				file := encrypted{size: size, mac: mac, prf: prf}.file(t)
				got, _, err := Read(strings.NewReader(file), Options{Password: opaque.Text("correct horse")})
				if err != nil || len(got) != 1 || string(got[0].Key.Reveal()) != key64 || got[0].Skip != "" {
					t.Errorf("AES-%d, %s, %s: %+v, %v", size*8, mac, prf, got, err)
				}
			}
			file := encrypted{size: size, mac: mac}.file(t)
			for _, key := range []string{aesKey(size), hex.EncodeToString([]byte(aesKey(size))), strings.ToUpper(hex.EncodeToString([]byte(aesKey(size)))) + "\n"} {
				got, _, err := Read(strings.NewReader(file), Options{PreSharedKey: opaque.Text(key)})
				if err != nil || len(got) != 1 || string(got[0].Key.Reveal()) != key64 {
					t.Errorf("AES-%d, %s, shared key of %d characters: %+v, %v", size*8, mac, len(key), got, err)
				}
			}
		}
	}
}

func TestEncryptedPSKCThatIsRefused(t *testing.T) {
	shared := encrypted{size: 16, mac: "hmac-sha256"}.file(t)
	derived := encrypted{size: 16, mac: "hmac-sha256", prf: "hmac-sha1"}.file(t)
	key, password := Options{PreSharedKey: opaque.Text(aesKey(16))}, Options{Password: opaque.Text("correct horse")}
	mac := shared[strings.Index(shared, "<ValueMAC>") : strings.Index(shared, "</ValueMAC>")+len("</ValueMAC>")]
	method := shared[strings.Index(shared, "<MACMethod") : strings.Index(shared, "</MACMethod>")+len("</MACMethod>")]
	encryption := shared[strings.Index(shared, "<EncryptionKey") : strings.Index(shared, "</EncryptionKey>")+len("</EncryptionKey>")]
	short := base64.StdEncoding.EncodeToString([]byte("one block, no IV"))
	for _, tt := range []struct {
		name, file, from, to string
		options              Options
		want                 error
		text                 string
	}{
		{name: "no key", file: shared, want: ErrPreSharedKey},
		{name: "no password", file: derived, options: key, want: ErrPassword},
		{name: "the wrong key", file: shared, options: Options{PreSharedKey: opaque.Text("0123456789abcdeF")}, want: ErrDecrypt},
		{name: "a key of another length", file: shared, options: Options{PreSharedKey: opaque.Text("0123")}, want: ErrDecrypt},
		{name: "the wrong password", file: derived, options: Options{Password: opaque.Text("correct house")}, want: ErrDecrypt},
		{name: "another MAC", file: shared, options: key, from: mac, to: "<ValueMAC>AAAA</ValueMAC>", want: ErrDecrypt},
		{name: "a MAC that is not base64", file: shared, options: key, from: mac, to: "<ValueMAC>!</ValueMAC>", text: "a MAC is not base64"},
		{name: "no MAC", file: shared, options: key, from: mac, text: "without a MAC"},
		{name: "no word on the MAC", file: shared, options: key, from: method, text: "without a MAC"},
		{name: "a MAC of another kind", file: shared, options: key, from: "xmldsig-more#hmac-sha256", to: "xmldsig-more#hmac-md5", text: "a MAC that is not known"},
		{name: "a MAC without a key", file: shared, options: key, from: method, to: `<MACMethod Algorithm="#hmac-sha1"/>`, text: "the key of the MAC is not in the file"},
		{name: "a MAC with an empty key", options: key, want: ErrDecrypt, file: strings.NewReplacer(
			base64.StdEncoding.EncodeToString(seal(t, aesKey(16), macKey)), base64.StdEncoding.EncodeToString(seal(t, aesKey(16), "")),
			mac, "<ValueMAC>"+sum("hmac-sha256", "", seal(t, aesKey(16), key64))+"</ValueMAC>").Replace(shared)},
		{name: "a MAC key too short to be one", file: shared, options: key, from: base64.StdEncoding.EncodeToString(seal(t, aesKey(16), macKey)), to: short, want: ErrDecrypt},
		{name: "triple DES", file: shared, options: key, from: "aes128-cbc", to: "tripledes-cbc", text: "want AES-CBC"},
		{name: "a certificate", file: shared, options: key, from: encryption, to: "<EncryptionKey><X509Data/></EncryptionKey>", text: "encrypted to a certificate"},
		{name: "two encryption keys", file: shared, options: key, from: encryption, to: encryption + encryption, text: "a second or late EncryptionKey"},
		{name: "two MAC methods", file: shared, options: key, from: method, to: method + method, text: "a second or late MACMethod"},
		{name: "no iterations", file: derived, options: password, from: ">10<", to: ">0<", text: "PBKDF2: want a salt, 1 to 10,000,000"},
		{name: "iterations without end", file: derived, options: password, from: ">10<", to: ">10000001<", text: "PBKDF2: want a salt, 1 to 10,000,000"},
		{name: "no salt", file: derived, options: password, from: "c2FsdA==", text: "PBKDF2: want a salt"},
		{name: "a key that fills the memory", file: derived, options: password, from: "<KeyLength>16", to: "<KeyLength>2000000000", text: "PBKDF2: want a salt"},
		{name: "a key of another length than AES wants", file: derived, options: password, from: "<KeyLength>16", to: "<KeyLength>24", text: "not the length"},
		{name: "another function", file: derived, options: password, from: "hmac-sha1\"", to: "hmac-md5\"", text: "PBKDF2: want a salt"},
		{name: "another derivation", file: derived, options: password, from: "#pbkdf2", to: "#scrypt", text: "want PBKDF2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.from != "" && !strings.Contains(tt.file, tt.from) {
				t.Fatalf("%q is not in the file", tt.from)
			}
			got, _, err := Read(strings.NewReader(strings.Replace(tt.file, tt.from, tt.to, -1)), tt.options)
			if err == nil || got != nil || tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%+v, %v; want %v %s", got, err, tt.want, tt.text)
			}
		})
	}
}

// Every bit of what is encrypted is covered by its MAC, the initial vector too.
func TestAnyChangedBitIsNoticed(t *testing.T) {
	octets := seal(t, aesKey(16), key64)
	file := encrypted{size: 16, mac: "hmac-sha256"}.file(t)
	value := base64.StdEncoding.EncodeToString(octets)
	for i := range octets {
		octets[i] ^= 1
		changed := strings.Replace(file, value, base64.StdEncoding.EncodeToString(octets), 1)
		octets[i] ^= 1
		if got, _, err := Read(strings.NewReader(changed), Options{PreSharedKey: opaque.Text(aesKey(16))}); !errors.Is(err, ErrDecrypt) {
			t.Errorf("octet %d changed: %+v, %v", i, got, err)
		}
	}
}

func TestPadding(t *testing.T) {
	block, err := aes.NewCipher([]byte(aesKey(16)))
	if err != nil {
		t.Fatal(err)
	}
	for pad := range 256 {
		octets := append([]byte("initial vector 1"), strings.Repeat("x", 31)+string([]byte{byte(pad)})...)
		cipher.NewCBCEncrypter(block, octets[:16]).CryptBlocks(octets[16:], octets[16:])
		text, err := decryptCBC([]byte(aesKey(16)), octets)
		if good := 1 <= pad && pad <= 16; good && (err != nil || len(text) != 32-pad) || !good && !errors.Is(err, ErrDecrypt) {
			t.Errorf("padding of %d: %q, %v", pad, text, err)
		}
	}
}

func TestPSKCThatIsSkipped(t *testing.T) {
	for _, tt := range []struct{ name, from, to, want string }{
		{"OCRA", "pskc:totp", "pskc#OCRA-1:HOTP-SHA512-8:C-QN08", "OCRA, which answers challenges"},
		{"another vendor's kind", "urn:ietf:params:xml:ns:keyprov:pskc:totp", "http://www.yubico.com/#totp", "a kind of key other than TOTP"},
		{"codes in hexadecimal", `Encoding="DECIMAL"`, `Encoding="HEXADECIMAL"`, "its codes are not decimal"},
		{"a check digit", `Encoding="DECIMAL"`, `Encoding="DECIMAL" CheckDigits="true"`, "its codes have a check digit"},
		{"seven digits", `Length="8"`, `Length="7"`, "7 digits, want 6 or 8"},
		{"digits without end", `Length="8"`, `Length="99999999999999999999"`, "its number of digits is not a number"},
		{"a hash that RFC 6238 has not", "HMAC-SHA512", "HMAC-SHA3-512", "its algorithm is none of SHA1, SHA256 and SHA512"},
		{"time from another day", "<Time><PlainValue>0", "<Time><PlainValue>1", "its time does not begin in 1970"},
		{"a period of no length", "<TimeInterval><PlainValue>30", "<TimeInterval><PlainValue>0", "its period is not a number of seconds"},
		{"a key for signing", "<KeyUsage>OTP", "<KeyUsage>Sign", "its policy does not allow one-time passwords"},
		{"a PIN with the code", "<KeyUsage>OTP", `<PINPolicy PINUsageMode="Append"/><KeyUsage>OTP`, "its policy asks for a PIN with the code"},
		{"so many logins and no more", "<KeyUsage>OTP", "<NumberOfTransactions>5</NumberOfTransactions><KeyUsage>OTP", "its policy has a condition that is not known here"},
		{"a date that is none", "2024-06-01", "June", "its start date cannot be read"},
		{"a key that is not base64", key64b64, "Canary!", "its key is not base64"},
		{"no key", "<Secret><PlainValue>" + key64b64 + "</PlainValue></Secret>", "", "it has no key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if !strings.Contains(pskcFile, tt.from) {
				t.Fatalf("%q is not in the file", tt.from)
			}
			got, _, err := Read(strings.NewReader(strings.Replace(pskcFile, tt.from, tt.to, 1)), Options{})
			if err != nil || len(got) != 2 || got[0].Skip != tt.want || got[1].Skip != "" {
				t.Errorf("%+v, %v; want %q for the first", got, err, tt.want)
			}
		})
	}
}

// ideaPSKC is a file as privacyIDEA writes it: through a writer of HTML, which
// puts all names in lower case.
func ideaPSKC(t testing.TB) string {
	t.Helper()
	secret := seal(t, aesKey(16), key32)
	return fmt.Sprintf(`<keycontainer version="1.0" xmlns="urn:ietf:params:xml:ns:keyprov:pskc" xmlns:ds="http://www.w3.org/2000/09/xmldsig#" xmlns:xenc="http://www.w3.org/2001/04/xmlenc#"><encryptionkey><ds:keyname>Pre-shared-key</ds:keyname></encryptionkey><macmethod algorithm="http://www.w3.org/2000/09/xmldsig#hmac-sha1"><mackey><xenc:encryptionmethod algorithm="http://www.w3.org/2001/04/xmlenc#aes128-cbc"></xenc:encryptionmethod><xenc:cipherdata><xenc:ciphervalue>%s</xenc:ciphervalue></xenc:cipherdata></mackey></macmethod><keypackage><deviceinfo><manufacturer></manufacturer><serialno>TOTP0001</serialno></deviceinfo><key algorithm="urn:ietf:params:xml:ns:keyprov:pskc:totp" id="TOTP0001"><algorithmparameters><responseformat encoding="DECIMAL" length="8"></responseformat><suite hashalgo="sha256"></suite></algorithmparameters><data><secret><encryptedvalue><xenc:encryptionmethod algorithm="http://www.w3.org/2001/04/xmlenc#aes128-cbc"></xenc:encryptionmethod><xenc:cipherdata><xenc:ciphervalue>%s</xenc:ciphervalue></xenc:cipherdata></encryptedvalue><valuemac>%s</valuemac></secret><time><plainvalue>0</plainvalue></time><timeinterval><plainvalue>30</plainvalue></timeinterval><counter><plainvalue>4</plainvalue></counter><timedrift><plainvalue>-2</plainvalue></timedrift></data></key></keypackage></keycontainer>`,
		base64.StdEncoding.EncodeToString(seal(t, aesKey(16), macKey)), base64.StdEncoding.EncodeToString(secret), sum("hmac-sha1", macKey, secret))
}
