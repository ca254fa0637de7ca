package tokenfile

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"lockstep/internal/opaque"
	"lockstep/internal/testenv"
)

// The keys of RFC 6238, appendix B, in the three ways that files write them.
const (
	key20    = "12345678901234567890"
	key20b32 = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
	key20hex = "3132333435363738393031323334353637383930"
	key20b64 = "MTIzNDU2Nzg5MDEyMzQ1Njc4OTA="
	key32    = "12345678901234567890123456789012"
	key32b32 = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZA"
	key32hex = "3132333435363738393031323334353637383930313233343536373839303132"
	key64    = "1234567890123456789012345678901234567890123456789012345678901234"
	key64b64 = "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNA=="
)

// usual is a token that says nothing of its parameters.
func usual(user, serial, key string, line int) Token {
	return Token{User: user, Serial: serial, Key: opaque.Text(key), Algorithm: "SHA1", Digits: 6, Period: 30 * time.Second, Line: line}
}

func with(t Token, change func(*Token)) Token {
	change(&t)
	return t
}

func skipped(t Token, reason string) Token {
	t.Skip = reason
	return t
}

func TestRead(t *testing.T) {
	eight := func(algorithm string) func(*Token) {
		return func(t *Token) { t.Algorithm, t.Digits = algorithm, 8 }
	}
	for _, tt := range []struct {
		name, format, file string
		options            Options
		want               []Token
	}{
		{name: "a list of names asks for new keys", format: CSV, file: "user\nalice\nbob\n", want: []Token{
			usual("alice", "", "", 2), usual("bob", "", "", 3)}},
		{name: "all columns, in any order and case", format: CSV,
			file: "Serial,SECRET,login,period,digits,algorithm\nT1,gezd gnbv gy3t qojq gezd gnbv gy3t qojq,alice,60,8,sha-256\n",
			want: []Token{with(usual("alice", "T1", key20, 2), func(t *Token) { t.Algorithm, t.Digits, t.Period = "SHA256", 8, time.Minute })}},
		{name: "a spreadsheet's list: byte order mark, semicolons, CR LF, quotes, empty rows", format: CSV,
			file: "\xEF\xBB\xBFuser;key\r\n\"smith; \"\"al\"\"\"; \"" + key20b32 + "\"\r\n;\r\n\r\nbob;\r\n",
			want: []Token{usual(`smith; "al"`, "", key20, 2), usual("bob", "", "", 5)}},
		{name: "rows that cannot be used are told beside those that can", format: CSV,
			file: "user,key,digits,period,algorithm\na," + key20b32 + ",7,,\nb," + key20b32 + ",,10,\nc," + key20b32 + ",,,MD5\nd,GEZDGNBV,,,\ne,GEZDGN1V,,,\nf,,six,,\ng,,,,\nh," + strings.Repeat("A", 208) + ",,,\n",
			want: []Token{
				skipped(with(usual("a", "", key20, 2), func(t *Token) { t.Digits = 7 }), "7 digits, want 6 or 8"),
				skipped(with(usual("b", "", key20, 3), func(t *Token) { t.Period = 10 * time.Second }), "period of 10 s, want 15 to 120"),
				skipped(usual("c", "", key20, 4), "its algorithm is none of SHA1, SHA256 and SHA512"),
				skipped(usual("d", "", "12345", 5), "key of 5 octets, want 10 to 128"),
				skipped(usual("e", "", "", 6), "its key is not base32"),
				skipped(usual("f", "", "", 7), "its number of digits is not a number"),
				usual("g", "", "", 8),
				skipped(usual("h", "", strings.Repeat("\x00", 130), 9), "key of 130 octets, want 10 to 128"),
			}},
		{name: "a name that would write on the terminal", format: CSV, file: "user,serial\n\x1b[2Jalice,T1\n" + strings.Repeat("x", 254) + ",T2\nbob\xff,T3\n", want: []Token{
			skipped(usual("", "T1", "", 2), "its user name is too long or holds control characters"),
			skipped(usual("", "T2", "", 3), "its user name is too long or holds control characters"),
			skipped(usual("", "T3", "", 4), "its user name is too long or holds control characters")}},

		{name: "google-authenticator's file", format: GoogleAuthenticator, options: Options{User: "alice"},
			file: key20b32 + "\n\" RATE_LIMIT 3 30 1700000000\n\" WINDOW_SIZE 17\n\" DISALLOW_REUSE 56666666 56666667\n\" TOTP_AUTH\n12345678\n87654321\n",
			want: []Token{with(usual("alice", "", key20, 1), func(t *Token) { t.Spent = []int64{56666666, 56666667} })}},
		{name: "google-authenticator's file with another period", format: GoogleAuthenticator,
			file: key20b32 + "\n\" STEP_SIZE 60\n\" TOTP_AUTH\n",
			want: []Token{with(usual("", "", key20, 1), func(t *Token) { t.Period = time.Minute })}},
		{name: "google-authenticator counting", format: GoogleAuthenticator, file: key20b32 + "\n\" HOTP_COUNTER 1\n\" TOTP_AUTH\n",
			want: []Token{skipped(usual("", "", key20, 1), skipHOTP)}},
		{name: "google-authenticator without a word on time", format: GoogleAuthenticator, file: key20b32 + "\n\" RATE_LIMIT 3 30\n",
			want: []Token{skipped(usual("", "", key20, 1), skipHOTP)}},
		{name: "google-authenticator disabled", format: GoogleAuthenticator, file: key20b32 + "\n\" OTP_DISABLED\n\" TOTP_AUTH\n",
			want: []Token{skipped(usual("", "", key20, 1), "it is disabled")}},

		{name: "otpauth URIs", format: OTPAuth,
			file: "# phones\notpauth://totp/Example:alice?secret=" + key20b32 + "&issuer=Example\n" +
				"OTPAUTH://TOTP/Example%20Inc:%20bob%40example.com?digits=8&algorithm=SHA256&period=30&secret=" + key32b32 + "\n\n" +
				"otpauth://hotp/carol?counter=1&secret=" + key20b32 + "\notpauth://totp/dave\notpauth://totp/erin?secret=%zz\n",
			want: []Token{
				usual("alice", "", key20, 2),
				with(usual("bob@example.com", "", key32, 3), eight("SHA256")),
				skipped(usual("carol", "", key20, 5), skipHOTP),
				skipped(usual("dave", "", "", 6), "it has no key"),
				skipped(usual("erin", "", "", 7), "its parameters cannot be read"),
			}},

		{name: "FreeIPA's token entries", format: FreeIPA, file: ipaFile, want: []Token{
			with(usual("alice", "phone-1", key20, 8), func(t *Token) {
				t.NotBefore, t.NotAfter = time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC), time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
			}),
			skipped(with(usual("bob", "phone-2", key32, 22), eight("SHA256")), "it is disabled"),
			skipped(usual("carol", "fob", key20, 32), skipHOTP),
			skipped(usual("dave", "hidden", "", 39), "it has no ipatokenOTPkey, which FreeIPA shows to the Directory Manager only"),
			skipped(usual("erin", "odd", key20, 44), "its algorithm is none of SHA1, SHA256 and SHA512"),
		}},

		{name: "privacyIDEA's export as CSV", format: PrivacyIDEA,
			file: "alice@realm1, TOTP0001, " + key20hex + ", totp, 6, 30\nbob@example.com@realm1, TOTP0002, " + key32hex + ", totp, 8, None\n" +
				"n/a, HOTP0001, " + key20hex + ", hotp, 6\nn/a, TOTP0003, " + key20b32 + ", totp, 6, 60",
			want: []Token{
				usual("alice", "TOTP0001", key20, 1),
				with(usual("bob@example.com", "TOTP0002", key32, 2), eight("SHA256")),
				skipped(usual("", "HOTP0001", key20, 3), skipHOTP),
				with(usual("", "TOTP0003", key20, 4), func(t *Token) { t.Period = time.Minute }),
			}},
		{name: "the CSV that privacyIDEA reads", format: PrivacyIDEA,
			file: "# version: 1\nT1, " + key20hex + ", totp, 8, 60\nT2," + key20hex + ",totp,6,30,sha512\nT3, " + key20hex + ", ocra, OCRA-1:HOTP-SHA1-6:QA64\n",
			want: []Token{
				with(usual("", "T1", key20, 2), func(t *Token) { t.Digits, t.Period = 8, time.Minute }),
				with(usual("", "T2", key20, 3), func(t *Token) { t.Algorithm = "SHA512" }),
				skipped(usual("", "T3", key20, 4), "a kind of token other than TOTP"),
			}},
		{name: "privacyIDEA's table with a header", format: PrivacyIDEA,
			file: "serial,otpkey,type,otplen,timestep,hashlib,user\nT1," + key32hex + ",totp,8,30,sha256,alice\n",
			want: []Token{with(usual("alice", "T1", key32, 2), eight("SHA256"))}},
		{name: "privacyIDEA's JSON", format: PrivacyIDEA, file: ideaFile, want: ideaTokens},
		{name: "privacyIDEA's sealed export", format: PrivacyIDEA, file: fernetFile, options: Options{PreSharedKey: opaque.Text(fernetKey + "\n")}, want: ideaTokens},

		{name: "PSKC in clear", format: PSKC, file: pskcFile, want: []Token{
			with(usual("alice", "S1", key64, 4), func(t *Token) {
				t.Algorithm, t.Digits = "SHA512", 8
				t.NotBefore, t.NotAfter = time.Date(2024, 6, 1, 0, 0, 0, 0, time.UTC), time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
			}),
			with(usual("Bob Smith", "KEY2", key20, 15), func(t *Token) { t.Period = time.Minute }),
		}},
		{name: "privacyIDEA's PSKC, all in lower case", format: PSKC, file: ideaPSKC(t), options: Options{PreSharedKey: opaque.Text(hex.EncodeToString([]byte(aesKey(16))))}, want: []Token{
			with(usual("", "TOTP0001", key32, 1), eight("SHA256"))}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, format, err := Read(strings.NewReader(tt.file), tt.options)
			if err != nil || format != tt.format {
				t.Fatalf("Read: format %q, %v; want %q", format, err, tt.format)
			}
			same(t, got, tt.want)
			tt.options.Format = tt.format
			if named, _, err := Read(strings.NewReader(tt.file), tt.options); err != nil || len(named) != len(got) {
				t.Errorf("with the format named: %d tokens, %v; want %d", len(named), err, len(got))
			}
		})
	}
}

const ipaFile = `version: 1

# extended LDIF
dn: cn=otp,dc=example,dc=com
objectClass: nsContainer
cn: otp

dn: ipatokenuniqueid=phone-1,cn=otp,dc=example,dc=com
objectClass: top
objectClass: ipatoken
objectClass: ipatokentotp
ipatokenUniqueID: phone-1
ipatokenOwner: uid=alice,cn=users,cn=accounts,dc=example,dc=com
ipatokenOTPkey:: ` + key20b64 + `
ipatokenOTPalgorithm: sha1
ipatokenOTPdigits: 6
ipatokenTOTPtimeStep: 30
ipatokenTOTPclockOffset: 0
ipatokenNotBefore: 20240102030405Z
ipatokenNotAfter: 20300101000000Z

dn: ipatokenuniqueid=phone-2,cn=otp,dc=example,dc=com
objectClass: ipaTokenTOTP
ipatokenUniqueID: phone-2
ipatokenOwner: uid=bob,cn=users,cn=accounts,dc=example,dc=com
ipatokenOTPkey: ` + key32 + `
ipatokenOTPalgorithm: sha256
ipatokenOTPdigits: 8
ipatokenTOTPtimeStep: 30
ipatokenDisabled: TRUE

dn: ipatokenuniqueid=fob,cn=otp,dc=example,dc=com
objectClass: ipatokenHOTP
ipatokenUniqueID: fob
ipatokenOwner: uid=carol,cn=users,cn=accounts,dc=example,dc=com
ipatokenOTPkey: ` + key20 + `
ipatokenHOTPcounter: 5

dn: ipatokenuniqueid=hidden,cn=otp,dc=example,dc=com
objectClass: ipatokenTOTP
ipatokenUniqueID: hidden
ipatokenOwner: uid=dave,cn=users,cn=accounts,dc=example,dc=com

dn: ipatokenuniqueid=odd,cn=otp,dc=example,dc=com
objectClass: ipatokenTOTP
ipatokenUniqueID: odd
ipatokenOwner: uid=erin,cn=users,cn=accounts,dc=example,dc=com
ipatokenOTPkey: ` + key20 + `
ipatokenOTPalgorithm: sha384
`

const ideaFile = `[
  {"serial": "TOTP0001", "type": "totp", "otpkey": "` + key32hex + `", "otplen": 8, "active": true, "revoked": false,
   "info_list": {"hashlib": "sha256", "timeStep": "30", "tokenkind": "software"},
   "user": {"login": "alice", "realm": "realm1", "resolver": "ldap", "uid": "1"}},
  {"serial": "TOTP0002", "type": "totp", "otpkey": "` + key20hex + `", "otplen": "6", "active": false, "info_list": {}, "user": null},
  {"serial": "HOTP0001", "type": "hotp", "otpkey": "` + key20hex + `", "count": 7}
]`

var ideaTokens = []Token{
	with(usual("alice", "TOTP0001", key32, 1), func(t *Token) { t.Algorithm, t.Digits = "SHA256", 8 }),
	skipped(usual("", "TOTP0002", key20, 2), "it is disabled, locked or revoked"),
	skipped(usual("", "HOTP0001", key20, 3), skipHOTP),
}

const pskcFile = `<?xml version="1.0"?>
<KeyContainer Version="1.0" xmlns="urn:ietf:params:xml:ns:keyprov:pskc"><KeyPackage>
<DeviceInfo><SerialNo> S1 </SerialNo><StartDate>2024-01-01T00:00:00Z</StartDate><ExpiryDate>2030-01-01T01:00:00+01:00</ExpiryDate></DeviceInfo>
<Key Id="KEY1" Algorithm="urn:ietf:params:xml:ns:keyprov:pskc:totp">
<AlgorithmParameters><Suite>HMAC-SHA512</Suite><ResponseFormat Length="8" Encoding="DECIMAL"/></AlgorithmParameters>
<Data><Secret><PlainValue>` + key64b64 + `</PlainValue></Secret>
<Time><PlainValue>0</PlainValue></Time><TimeInterval><PlainValue>30</PlainValue></TimeInterval></Data>
<UserId>uid=alice,ou=people,dc=example,dc=com</UserId>
<Policy><StartDate>2024-06-01</StartDate><ExpiryDate>2031-01-01T00:00:00</ExpiryDate><KeyUsage>OTP</KeyUsage></Policy>
</Key></KeyPackage>
<!-- another vendor -->

<KeyPackage><DeviceInfo>
<UserId>CN=Bob Smith,CN=Users,DC=example,DC=com</UserId></DeviceInfo>
<Key Id="KEY2" Algorithm="urn:ietf:params:xml:ns:keyprov:pskc#totp">
<Data><Secret><PlainValue>` + key20b64 + `</PlainValue></Secret><TimeInterval><PlainValue>60</PlainValue></TimeInterval></Data>
</Key></KeyPackage></KeyContainer>`

func TestWhatIsNotUnderstoodIsAnError(t *testing.T) {
	for _, tt := range []struct{ name, format, file, want string }{
		{"nothing", "", "", "cannot tell the format"},
		{"prose", "", "Dear all,\n", "cannot tell the format"},
		{"a format that is none", "xlsx", "user\n", `no format "xlsx"; want one of csv, freeipa`},
		{"a list without a header", CSV, "alice," + key20b32 + "\n", "line 1: the name of column 1 is none of algorithm, digits, key, login, period, secret, serial, uid, user"},
		{"a column twice", CSV, "user,login\n", `line 1: column 2 is a second "user"`},
		{"an empty list", CSV, "\n", "no row that names the columns"},
		{"a row too short", CSV, "user,key\nalice\n", "line 2: wrong number of fields"},
		{"a quote that is not closed", CSV, "user,key\n\"alice," + key20b32 + "\n", "line 2: extraneous or missing"},
		{"google-authenticator without a key", GoogleAuthenticator, "# nothing\n", "no key"},
		{"google-authenticator with something else in it", GoogleAuthenticator, key20b32 + "\n" + key20b32 + "\n", "line 2: neither an option nor a scratch code"},
		{"steps that cannot be read", GoogleAuthenticator, key20b32 + "\n\" DISALLOW_REUSE 5x\n\" TOTP_AUTH\n", "DISALLOW_REUSE: not a list of steps"},
		{"two lists of steps", GoogleAuthenticator, key20b32 + "\n\" DISALLOW_REUSE 5\n\" DISALLOW_REUSE 6\n", "line 3: a second DISALLOW_REUSE"},
		{"another URI", OTPAuth, "https://example.com/?secret=" + key20b32 + "\n", "line 1: not an otpauth URI"},
		{"a URI that is none", OTPAuth, "otpauth://totp/%zz?secret=" + key20b32 + "\n", "line 1: not an otpauth URI"},
		{"LDIF without tokens", FreeIPA, "dn: cn=otp\nobjectClass: nsContainer\n", "no entry of objectClass ipatokenTOTP"},
		{"LDIF with a fault", FreeIPA, "dn: cn=otp\nipatokenOTPkey:: " + key20b32 + "!\n", "line 2: value is not base64"},
		{"privacyIDEA's table without a kind", PrivacyIDEA, "T1," + key20hex + "\n", "line 1: the name of column 1 is none of hashlib"},
		{"privacyIDEA's table that changes", PrivacyIDEA, "T1," + key20hex + ",totp,6\nT1,x\n", "line 2: not the columns that privacyIDEA writes"},
		{"privacyIDEA's JSON cut short", PrivacyIDEA, ideaFile[:len(ideaFile)-1], "not a whole list"},
		{"privacyIDEA's JSON of another kind", PrivacyIDEA, `[{"otpkey": {"x": 1}}]`, "line 1: not a whole list"},
		{"XML of another kind", PSKC, "<Tokens/>", "line 1: the outermost element is not a KeyContainer"},
		{"XML cut short", PSKC, pskcFile[:len(pskcFile)-5], "not a whole XML document"},
		{"a document type", PSKC, `<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><KeyContainer/>`, "line 1: document type declarations are not read"},
		{"an entity", PSKC, strings.Replace(pskcFile, key20b64, "&a;", 1), "line 16: not a whole XML document"},
		{"another encoding", PSKC, `<?xml version="1.0" encoding="ISO-8859-1"?><KeyContainer/>`, "not a whole XML document"},
		{"elements without end", PSKC, "<KeyContainer>" + strings.Repeat("<a>", maxNodes+1), "too many elements"},
		{"elements side by side without end", PSKC, "<KeyContainer><KeyPackage>" + strings.Repeat("<a/>", maxNodes), "too many elements"},
		{"attributes without end", PSKC, "<KeyContainer " + strings.Repeat("a='' ", maxRecord), "larger than 1 MiB"},
		{"cells without end", CSV, "user" + strings.Repeat(",user", maxRecord), "larger than 1 MiB"},
		{"a quoted cell without end", CSV, "user\n\"" + strings.Repeat("a\n", maxRecord), "larger than 1 MiB"},
		{"a URI without end", OTPAuth, "otpauth://totp/" + strings.Repeat("a", maxRecord), "larger than 1 MiB"},
		{"an object without end", PrivacyIDEA, `[{"serial":"` + strings.Repeat("a", maxRecord+8192), "line 1: not a whole list"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tokens, _, err := Read(strings.NewReader(tt.file), Options{Format: tt.format})
			if err == nil || !strings.Contains(err.Error(), tt.want) || tokens != nil {
				t.Fatalf("%d tokens, %v; want an error with %q", len(tokens), err, tt.want)
			}
			quotesNothing(t, err.Error())
		})
	}
}

// quotesNothing fails t if text holds a piece of a key. The pieces in digits are
// longer than any number of a line.
func quotesNothing(t *testing.T, text string) {
	t.Helper()
	for _, piece := range []string{"GEZDG", "gezd", "3132333435", "MTIzN", "1234567890", "Canary"} {
		if strings.Contains(text, piece) {
			t.Errorf("%q holds %q", text, piece)
		}
	}
}

func TestTokensHaveAnEnd(t *testing.T) {
	full := make(batch, maxTokens)
	if err := full.add(Token{}); err == nil || len(full) != maxTokens {
		t.Errorf("%d tokens, %v", len(full), err)
	}
	var few batch
	if err := few.add(Token{User: "alice"}); err != nil || len(few) != 1 {
		t.Errorf("%d tokens, %v", len(few), err)
	}
}

func TestReaderThatFails(t *testing.T) {
	t.Parallel()
	lost := errors.New("connection lost")
	if _, _, err := Read(iotest.ErrReader(lost), Options{}); !errors.Is(err, lost) {
		t.Errorf("error %v, want %v", err, lost)
	}
	endless := io.MultiReader(strings.NewReader("user\n"), zeros{})
	if _, _, err := Read(endless, Options{}); err == nil || !strings.Contains(err.Error(), "larger than 64 MiB") {
		t.Errorf("a file without end: %v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// However a good file is cut or changed, no text quotes it, and what is given as
// usable is.
func TestDamagedFilesGiveNothingAway(t *testing.T) {
	for name, file := range samples(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for i := 0; i < len(file); i += 1 + len(file)/200 {
				examine(t, file[:i], Options{Format: name})
				for _, c := range "\x00\"<&,;=\n9" {
					examine(t, file[:i]+string(c)+file[i+1:], Options{Format: name})
				}
			}
		})
	}
}

// samples holds a good file of every format, by format.
func samples(t testing.TB) map[string]string {
	return map[string]string{
		CSV:                 "user,key,serial,digits,period,algorithm\nalice," + key20b32 + ",T1,8,60,SHA256\n\"b\"\"ob\",,,,,\n",
		GoogleAuthenticator: key20b32 + "\n\" STEP_SIZE 30\n\" DISALLOW_REUSE 56666666 56666667\n\" TOTP_AUTH\n98765432\n",
		OTPAuth:             "otpauth://totp/Example:alice?secret=" + key20b32 + "&digits=8\n",
		FreeIPA:             ipaFile,
		PrivacyIDEA:         ideaFile,
		PSKC:                encrypted{size: 32, mac: "hmac-sha256", prf: "hmac-sha256"}.file(t),
	}
}

// examine holds what Read promises of every input.
func examine(t *testing.T, file string, o Options) {
	t.Helper()
	tokens, format, err := Read(strings.NewReader(file), o)
	if err != nil {
		if tokens != nil {
			t.Errorf("tokens and the error %v", err)
		}
		quotesNothing(t, err.Error())
	}
	for _, token := range tokens {
		quotesNothing(t, token.Skip)
		if strings.ContainsAny(token.User+token.Serial, "\x00\x1b\n\r") || len(token.User) > maxName || len(token.Serial) > maxName {
			t.Errorf("token %+v of %q", token, file)
		}
		if n := token.Key.Len(); token.Skip == "" && (n < minKey && (n > 0 || format != CSV) || n > maxKey ||
			token.Digits != 6 && token.Digits != 8 || token.Period < minPeriod || token.Period > maxPeriod || token.Line < 1 ||
			token.Algorithm != "SHA1" && token.Algorithm != "SHA256" && token.Algorithm != "SHA512") {
			t.Errorf("token %+v with a key of %d octets may be used", token, n)
		}
	}
}

// The codes of RFC 6238, appendix B, come from the keys as they were read, by
// another program.
func TestAnotherProgramMakesTheCodes(t *testing.T) {
	oathtool := testenv.Tool(t, "oathtool")
	codes := map[string]string{"SHA1": "94287082", "SHA256": "46119246", "SHA512": "90693936"}
	csv := "user,key,digits,algorithm\n1," + key20b32 + ",8,SHA1\n2," + key32b32 + ",8,SHA256\n"
	password := Options{Password: opaque.Text("correct horse")}
	for _, tt := range []struct {
		file    string
		options Options
	}{{csv, Options{}}, {pskcFile, Options{}}, {encrypted{size: 24, mac: "hmac-sha512", prf: "hmac-sha512"}.file(t), password}, {ideaFile, Options{}}} {
		tokens, format, err := Read(strings.NewReader(tt.file), tt.options)
		if err != nil {
			t.Fatal(err)
		}
		for _, token := range tokens {
			if token.Skip != "" || token.Digits != 8 {
				continue
			}
			out, err := exec.Command(oathtool, "--totp="+token.Algorithm, "-d", strconv.Itoa(token.Digits),
				"-s", fmt.Sprint(token.Period), "-N", "1970-01-01 00:00:59 UTC", hex.EncodeToString(token.Key.Reveal())).Output()
			if got := strings.TrimSpace(string(out)); err != nil || got != codes[token.Algorithm] {
				t.Errorf("%s, %s: code %q, %v; want %q", format, token.Algorithm, got, err, codes[token.Algorithm])
			}
		}
	}
}
