package userpassword

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"lockstep/internal/testenv"
)

const password = "correct horse"

// All were made from the password above by programs other than this one.
var vectors = []struct{ name, value string }{
	// slappasswd -h '{SSHA}' -s 'correct horse'
	{"SSHA", "{SSHA}feawlPf63nRAIHuvPtFf6j2LMUWbBJ3B"},
	// slappasswd -o module-load=pw-sha2 -h '{SSHA256}' -s 'correct horse', and so on
	{"SSHA256", "{SSHA256}yhWA8M1sHJ1gG355A1qjdgDqzwvk9S3xNT1Ni6ThDdZyV09xa+5mZw=="},
	{"SSHA384", "{SSHA384}b0m85u90gE1ag/3YD++WauyNh53RB7+yC8lNM9O6JN11nmLFFr5yIRgWBI9HLK4VZzF0L6vE9Bo="},
	{"SSHA512", "{SSHA512}l3Y2+WKB4ayG1M/9YpqXwK/L8ixC7UzqA9ujixnM6e8OZGpcU45ij9FQkgiRXhuF2rTblOAXSJGZm2x6mmF92cLiu72yVgYH"},
	// slappasswd -o module-load=pw-pbkdf2 -h '{PBKDF2}' -s 'correct horse', and so on
	{"PBKDF2", "{PBKDF2}10000$Stl6h3sBtYePo83q5z.JcQ$zEtUTPJSnSesa5/5DTInII1.vKw"},
	{"PBKDF2-SHA1", "{PBKDF2-SHA1}10000$ib4Ym0.O7ERaSHBLuSFfqw$9P31ZHsf8ASlSHL9Qa.J06d2R0s"},
	{"PBKDF2-SHA256", "{PBKDF2-SHA256}10000$pX9sw9RxVMVHkZrRxLL4Jw$mcf0efHLunuXMlBTLY5legim92M1Xbc9XcI3hft3S0k"},
	{"PBKDF2-SHA512", "{PBKDF2-SHA512}10000$DreD4SoIqeRQ0gUzhHxhKQ$.XnVkSmnh40ImQuBEB9ftk9M9JHN9TQzzpAb96jpQjByGYT7s/8lvxJNgmrOQG4.Mt1WjEYIFipt1PCqScm8WQ"},
	// slappasswd -o module-load=argon2 -h '{ARGON2}' -s 'correct horse'
	{"ARGON2 as slappasswd makes it", "{ARGON2}$argon2i$v=19$m=4096,t=3,p=1$giuzd8RxMwf6k0Ax6qAo6g$zHVb+X3fSysyMJNDv8v7OhectGu5x212zoeoCWC48uY"},
	// slappasswd -o 'module-load=argon2 m=5001 t=2 p=3' -h '{ARGON2}' -s 'correct horse'
	{"ARGON2 with uneven memory", "{ARGON2}$argon2i$v=19$m=5001,t=2,p=3$m/DKKA/WpoFlXbd8Lgmqpw$M3f8JV0uJX0qbuMN95/z2ofJeYQhYfPCxnfO0XWX1R4"},
	// printf 'correct horse' | argon2 somesaltsalt -id -m 12 -t 3 -p 2 -e
	{"ARGON2 argon2id", "{ARGON2}$argon2id$v=19$m=4096,t=3,p=2$c29tZXNhbHRzYWx0$BPgOmw9yaLI9DQ2weTzEq9fmrAhQITd1/6gLMggjHCQ"},
	// printf 'correct horse' | argon2 somesaltsalt -d -m 12 -t 3 -p 2 -e
	{"ARGON2 argon2d", "{ARGON2}$argon2d$v=19$m=4096,t=3,p=2$c29tZXNhbHRzYWx0$6Q8tc/eiOKaWkLRYHQSHAB12gI20yS1qJkuc3N3wKmg"},
	// printf 'correct horse' | argon2 somesaltsalt -id -k 1001 -t 1 -p 3 -l 16 -e
	{"ARGON2 with a short tag", "{ARGON2}$argon2id$v=19$m=1001,t=1,p=3$c29tZXNhbHRzYWx0$8nuIvsHEgCXmHTjhoyz11A"},
	// slappasswd -h '{CRYPT}' -c '$6$rounds=5000$%.12s' -s 'correct horse', and so on
	{"CRYPT SHA-512, rounds given", "{CRYPT}$6$rounds=5000$ITDTolsApgO6$W4NMByOiomYs7sEAA23Z6pU/lYxNFl.E5k2lY.mb6BZS.E5ClyFl9j.JNYNFo9FK2TQs8Huc2ULB5NFFe3Ff1/"},
	{"CRYPT SHA-512", "{CRYPT}$6$YEbNKqrY7wIO$HEZEMkI9kLG2h9FS/T0HGA13IKTKJqkjCKVbN1n2kiTOHWlkMNDCm1KiX7B5TfECj.bIlZGAncuw6T9oYAvRt."},
	{"CRYPT SHA-512, longest salt", "{CRYPT}$6$abcdefghijklmnop$q2YZbPhm1LySTIzZVDisu/y2CX1McrFsw529ViOLMxoKT.sfgjBo4aFu.hwtGjEDxRb6mn/TZMj7V4/1AUTLi1"},
	{"CRYPT SHA-256", "{CRYPT}$5$JFvGpyDdqLdP$FJ3asDmgnxJEy8/rCl6NVWIOTFksQBcMB/okFIkAfPA"},
	{"CRYPT SHA-256, rounds given", "{CRYPT}$5$rounds=1000$4AsNwRwCobn0SuKJ$cVEiFPMPzNT0O7jTl/ANiQ9A5l49qAFoIHJbYNZm8x1"},
	{"CRYPT bcrypt 2a", "{CRYPT}$2a$05$IcV1E4qK6CnYzKSsp8tbXud0s/m6wpj7j2vd8TZD2WCuoHejiyAna"},
	{"CRYPT bcrypt 2b", "{CRYPT}$2b$05$W6BsaM3dVjNqcqztfINZXOY2hL/bHAZUTl2KDFsE5yMyy5VV2Uota"},
	{"CRYPT bcrypt 2y", "{CRYPT}$2y$05$S/HWXKRYtn/Ps/3if..kQuU33sBKT.BcXtRDlHcArSr39yIDyNS7C"},
	// slappasswd -h '{CRYPT}' -c '$y$j9T$%.20s' -s 'correct horse', and so on
	{"CRYPT yescrypt", "{CRYPT}$y$j9T$mtRLE6xA1lUiFb7Tw8JV$wZ1UnNwjvQykFUd2PS1Hnm5.SUb/U5Weoq1UMWErCs7"},
	{"CRYPT yescrypt, least cost", "{CRYPT}$y$j75$2Wc4zsgp$YjQel54PfDWb3xp2LnP952VZ1.CoTCDS3kR75kys.j."},
	{"a scheme in small letters", "{ssha}feawlPf63nRAIHuvPtFf6j2LMUWbBJ3B"},
	{"a scheme in mixed letters", "{Crypt}$5$JFvGpyDdqLdP$FJ3asDmgnxJEy8/rCl6NVWIOTFksQBcMB/okFIkAfPA"},
}

func TestMatches(t *testing.T) {
	for _, tt := range vectors {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h, err := Parse(tt.value)
			if err != nil {
				t.Fatal(err)
			}
			for _, try := range []struct {
				password string
				want     bool
			}{
				{password, true},
				{"correct hors", false},
				{"correct horse ", false},
				{"Correct horse", false},
				{"", false},
				{"\x00", false},
				{password + "\x00", false},
				{password + "\x00x", false},
			} {
				wantMatch(t, h, try.password, try.want)
			}
		})
	}
}

// Made by crypt(3) of libxcrypt 4.4.33, through Python's crypt.crypt.
func TestMatchesPasswordsBeyondASCII(t *testing.T) {
	for _, value := range []string{
		"{CRYPT}$y$j75$abcdefgh$Bhlb5lbzrOeSFheILpoKUrQhV2EEEBDgsUaXBplDotA",
		"{CRYPT}$2b$04$abcdefghijklmnopqrstuuyx2n0Zzopyr9QuYTMCfOJJOj526QVoC",
		"{CRYPT}$6$rounds=1000$salt$EnJZbjWoj15ga4Nv8Mwc/LFH.tCHMBwdLwpPZcVFJfO0/nM6UdCvae1cHvewEWnTXx.6tMgqD6FiWJecqIycS/",
	} {
		h, err := Parse(value)
		if err != nil {
			t.Fatal(err)
		}
		wantMatch(t, h, "pässwörd", true)
		wantMatch(t, h, "passwörd", false)
	}
}

func TestParseRefuses(t *testing.T) {
	md5sum, sha1sum := md5.Sum([]byte(password)), sha1.Sum([]byte(password))
	b64 := base64.StdEncoding.EncodeToString
	argon := func(params string) string {
		return "{ARGON2}$argon2id$v=19$" + params + "$c29tZXNhbHRzYWx0$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	}
	key43, key86 := strings.Repeat("A", 43), strings.Repeat("A", 86)
	for _, tt := range []struct{ name, value, want string }{
		{"nothing", "", "empty"},
		{"clear text", password, "clear text"},
		{"clear text with a brace", "{correct horse", "clear text"},
		{"clear text with another brace", "correct}horse", "clear text"},
		{"clear text that looks like a scheme", "{correct}horse", "no known scheme"},
		{"an empty scheme", "{}correct horse", "no known scheme"},
		{"the scheme for clear text", "{ClearText}" + password, "{CLEARTEXT} is clear text"},
		{"SHA", "{SHA}" + b64(sha1sum[:]), "{SHA} has no salt"},
		{"SHA256", "{SHA256}QQTTb42iwlQ0n4WDZ5Pr4CngyVcGOjTJHC6SAxh7VjE=", "{SHA256} has no salt"},
		{"MD5", "{MD5}" + b64(md5sum[:]), "{MD5} is weak"},
		{"SMD5", "{SMD5}MXHXmxlrKHcyqrWhuD1odV249mI=", "{SMD5} is weak"},
		{"SASL", "{SASL}correct@horse", "{SASL} is checked by another"},
		{"DES", "{CRYPT}MYzaEpoyP.okQ", "DES is weak"},
		{"DES of BSD", "{CRYPT}_J9..WG/hGMYe7Idwrsw", "DES is weak"},
		{"MD5 of crypt", "{CRYPT}$1$NoeiL0SZ$hOnqrIRm07T4/Pn/m/ZZ5/", "MD5 ($1$) is weak"},
		{"bcrypt with the sign bug", "{CRYPT}$2x$05$U2KCjob8CobMWr8H2K./AukYQaObAoF55uJjCOvLcWK8wC8LiwChq", "want $5$"},
		{"SHA-1 of crypt", "{CRYPT}$sha1$1000$p6XIO7aR$vwf7.VRT5jN4gO5xZOAdpQboag4D", "want $5$"},
		{"gost-yescrypt", "{CRYPT}$gy$j9T$.Y0DST8mL5Zi3wl7oB4RX.$alfGgp2truZvM/3vVwt7SyY8oZvegVQZpThOXLjr5k6", "want $5$"},
		{"an empty CRYPT", "{CRYPT}", "damaged"},

		{"SSHA without salt", "{SSHA}" + b64(sha1sum[:]), "damaged"},
		{"SSHA with a line ending", "{SSHA}feawlPf63nRAIHuvPtFf6j2LMUWbBJ3B\n", "damaged"},
		{"SSHA with a space", "{SSHA} feawlPf63nRAIHuvPtFf6j2LMUWbBJ3B", "damaged"},
		{"SSHA with bits left over", "{SSHA}feawlPf63nRAIHuvPtFf6j2LMUWbBJ3BAB==", "damaged"},
		{"SSHA cut short", "{SSHA}feawlPf63nRAIHuvPtFf6j2LMUWbBJ3", "damaged"},
		{"SSHA with a huge salt", "{SSHA}" + b64(make([]byte, 100)), "damaged"},
		{"PBKDF2 cut short", "{PBKDF2}10000$Stl6h3sBtYePo83q5z.JcQ$zEtUTPJSnSesa5/5DTInII1.vK", "damaged"},
		{"PBKDF2 with the key of another hash", "{PBKDF2-SHA256}10000$Stl6h3sBtYePo83q5z.JcQ$zEtUTPJSnSesa5/5DTInII1.vKw", "damaged"},
		{"PBKDF2 with an empty key", "{PBKDF2}10000$Stl6h3sBtYePo83q5z.JcQ$", "damaged"},
		{"PBKDF2 without iterations", "{PBKDF2}0$Stl6h3sBtYePo83q5z.JcQ$zEtUTPJSnSesa5/5DTInII1.vKw", "damaged"},
		{"PBKDF2 with negative iterations", "{PBKDF2}-1$Stl6h3sBtYePo83q5z.JcQ$zEtUTPJSnSesa5/5DTInII1.vKw", "damaged"},
		{"PBKDF2 that costs too much", "{PBKDF2}10000001$Stl6h3sBtYePo83q5z.JcQ$zEtUTPJSnSesa5/5DTInII1.vKw", "10 million"},
		{"PBKDF2 with iterations beyond int", "{PBKDF2}99999999999999999999$Stl6h3sBtYePo83q5z.JcQ$zEtUTPJSnSesa5/5DTInII1.vKw", "damaged"},
		{"argon2 with too much memory", argon("m=262145,t=1,p=1"), "256 MiB"},
		{"argon2 with too many passes", argon("m=64,t=17,p=1"), "t=16"},
		{"argon2 with too many threads", argon("m=4096,t=1,p=65"), "p=64"},
		{"argon2 with less memory than its threads need", argon("m=15,t=1,p=2"), "damaged"},
		{"argon2 with a parameter twice", argon("m=64,t=1,p=1,m=4194304"), "damaged"},
		{"argon2 with an unknown parameter", argon("m=64,t=1,p=1,k=1"), "damaged"},
		{"argon2 of version 1.0", strings.Replace(argon("m=64,t=1,p=1"), "v=19", "v=16", 1), "damaged"},
		{"argon2 without a version", strings.Replace(argon("m=64,t=1,p=1"), "v=19$", "", 1), "damaged"},
		{"argon2 with a key of one octet", "{ARGON2}$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzYWx0$AA", "damaged"},
		{"argon2 with bits left over", "{ARGON2}$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzYWx0$AAAAAAAAAAAAAAAAAAAAAB", "damaged"},
		{"crypt with too many rounds", "{CRYPT}$6$rounds=1000001$salt$" + key86, "1 million"},
		{"crypt with too few rounds", "{CRYPT}$6$rounds=999$salt$" + key86, "damaged"},
		{"crypt with a long salt", "{CRYPT}$6$abcdefghijklmnopq$" + key86, "damaged"},
		{"crypt with the key of SHA-256 for SHA-512", "{CRYPT}$6$salt$" + key43, "damaged"},
		{"crypt with the key of SHA-512 for SHA-256", "{CRYPT}$5$salt$" + key86, "damaged"},
		{"bcrypt that costs too much", "{CRYPT}$2b$17$" + strings.Repeat("a", 53), "cost over 16"},
		{"bcrypt that costs too little", "{CRYPT}$2b$03$" + strings.Repeat("a", 53), "damaged"},
		{"bcrypt cut short", "{CRYPT}$2b$05$" + strings.Repeat("a", 52), "damaged"},
		{"yescrypt with too much memory", "{CRYPT}$y$jFT$abcdefgh$" + key43, "256 MiB"},
		{"yescrypt with a huge N", "{CRYPT}$y$jj5$abcdefgh$" + key43, "256 MiB"},
		{"yescrypt with other flags", "{CRYPT}$y$.75$abcdefgh$" + key43, "damaged"},
		{"yescrypt with a salt that decodes to nothing", "{CRYPT}$y$j75$a$" + key43, "damaged"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, err := Parse(tt.value)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "slappasswd") {
				t.Errorf("got %v; want …%s… and what to use", err, tt.want)
			}
			if h.match != nil {
				t.Error("there is a Hash beside the error")
			}
			if err != nil && (strings.Contains(err.Error(), "correct") || strings.Contains(err.Error(), "abcdefgh")) {
				t.Errorf("the error quotes the value: %v", err)
			}
		})
	}
}

func TestALockedHashMatchesNothing(t *testing.T) {
	for _, value := range []string{"{CRYPT}!", "{CRYPT}*", "{CRYPT}*0", "{CRYPT}!$5$JFvGpyDdqLdP$FJ3asDmgnxJEy8/rCl6NVWIOTFksQBcMB/okFIkAfPA"} {
		h, err := Parse(value)
		if err != nil {
			t.Fatalf("Parse(%q): %v", value, err)
		}
		for _, p := range []string{password, "!", "*", "*0"} {
			wantMatch(t, h, p, false)
		}
	}
}

func TestBcryptDoesNotTruncate(t *testing.T) {
	// python3 -c 'import crypt; print(crypt.crypt("a"*72, "$2b$04$abcdefghijklmnopqrstuu"))'
	// prints the same for 73 and more.
	h, err := Parse("{CRYPT}$2b$04$abcdefghijklmnopqrstuuBzzIgyKkz7xMWYSzkIjUSnxEQFQ0WNe")
	if err != nil {
		t.Fatal(err)
	}
	wantMatch(t, h, strings.Repeat("a", 71), false)
	wantMatch(t, h, strings.Repeat("a", 72), true)
	wantMatch(t, h, strings.Repeat("a", 73), false)
	wantMatch(t, h, strings.Repeat("a", 72)+"x", false)
}

func TestMatchesRefusesLongPasswords(t *testing.T) {
	salt := []byte("salt")
	for n, want := range map[int]bool{maxPassword: true, maxPassword + 1: false} {
		long := bytes.Repeat([]byte("x"), n)
		sum := sha1.Sum(append(bytes.Clone(long), salt...))
		h, err := Parse("{SSHA}" + base64.StdEncoding.EncodeToString(append(sum[:], salt...)))
		if err != nil {
			t.Fatal(err)
		}
		wantMatch(t, h, string(long), want)
	}
}

func TestTheZeroHashIsAnError(t *testing.T) {
	for _, p := range []string{"", password} {
		if ok, err := (Hash{}).Matches(t.Context(), []byte(p)); ok || err == nil {
			t.Errorf("Matches(%q) = %v, %v; want an error", p, ok, err)
		}
	}
}

func TestAFailingHashIsAnErrorAndNeverTrue(t *testing.T) {
	h := Hash{match: func([]byte) (bool, error) { return true, errors.New(password) }}
	ok, err := h.Matches(t.Context(), []byte(password))
	if ok || err == nil || strings.Contains(err.Error(), password) {
		t.Errorf("got %v, %v; want false and an error that quotes nothing", ok, err)
	}
}

func TestMatchesWaitsForASlotUntilTheContextEnds(t *testing.T) {
	slow, err := Parse("{PBKDF2}10000$Stl6h3sBtYePo83q5z.JcQ$zEtUTPJSnSesa5/5DTInII1.vKw")
	if err != nil {
		t.Fatal(err)
	}
	fast, err := Parse("{SSHA}feawlPf63nRAIHuvPtFf6j2LMUWbBJ3B")
	if err != nil {
		t.Fatal(err)
	}
	for range cap(slots) {
		slots <- struct{}{}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if ok, err := slow.Matches(ctx, []byte(password)); ok || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("all slots taken: got %v, %v; want DeadlineExceeded", ok, err)
	}
	wantMatch(t, fast, password, true)
	for range cap(slots) {
		<-slots
	}
	wantMatch(t, slow, password, true)
	if len(slots) != 0 {
		t.Errorf("%d slots are still taken", len(slots))
	}
	if ok, err := slow.Matches(ctx, []byte(password)); ok || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("context over: got %v, %v; want DeadlineExceeded", ok, err)
	}
}

func TestNew(t *testing.T) {
	a, errA := New([]byte(password))
	b, errB := New([]byte(password))
	if errA != nil || errB != nil || a == b {
		t.Fatalf("New = %v, %v; want two values that differ", errA, errB)
	}
	if !strings.HasPrefix(a, "{ARGON2}$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Error("the parameters are not the documented ones")
	}
	h, err := Parse(a)
	if err != nil {
		t.Fatal(err)
	}
	wantMatch(t, h, password, true)
	wantMatch(t, h, "wrong", false)
}

func TestNewRefusesWhatCannotMatch(t *testing.T) {
	for _, p := range []string{"", "a\x00b", strings.Repeat("x", maxPassword+1)} {
		if value, err := New([]byte(p)); err == nil || value != "" {
			t.Errorf("New of %d octets: got no error", len(p))
		}
	}
}

func TestAHashDoesNotPrint(t *testing.T) {
	for _, tt := range vectors {
		h, err := Parse(tt.value)
		if err != nil {
			t.Fatal(err)
		}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
			out := fmt.Sprintf(verb, h)
			if tail := tt.value[len(tt.value)-12:]; strings.Contains(out, tail) || len(out) > 100 {
				t.Errorf("%s prints %q", verb, out)
			}
		}
	}
}

// TestSlappasswd checks values as they are made today, with other salts each time.
func TestSlappasswd(t *testing.T) {
	slappasswd := testenv.Tool(t, "slappasswd")
	for _, args := range [][]string{
		{"-h", "{SSHA}"},
		{"-o", "module-load=pw-sha2", "-h", "{SSHA256}"},
		{"-o", "module-load=pw-sha2", "-h", "{SSHA384}"},
		{"-o", "module-load=pw-sha2", "-h", "{SSHA512}"},
		{"-o", "module-load=pw-pbkdf2", "-h", "{PBKDF2}"},
		{"-o", "module-load=pw-pbkdf2", "-h", "{PBKDF2-SHA1}"},
		{"-o", "module-load=pw-pbkdf2", "-h", "{PBKDF2-SHA256}"},
		{"-o", "module-load=pw-pbkdf2", "-h", "{PBKDF2-SHA512}"},
		{"-o", "module-load=argon2", "-h", "{ARGON2}"},
		{"-o", "module-load=argon2 m=300 t=1 p=2", "-h", "{ARGON2}"},
		{"-h", "{CRYPT}", "-c", "$5$%.16s"},
		{"-h", "{CRYPT}", "-c", "$6$rounds=1234$%.8s"},
		{"-h", "{CRYPT}", "-c", "$2b$05$%.22s"},
		{"-h", "{CRYPT}", "-c", "$2y$05$%.22s"},
		{"-h", "{CRYPT}", "-c", "$y$j85$%.20s"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			t.Parallel()
			args := append([]string{"-o", "module-path=/usr/lib/ldap:/usr/lib/openldap:/usr/libexec/openldap", "-s", password}, args...)
			out, err := exec.Command(slappasswd, args...).CombinedOutput()
			if err != nil && strings.Contains(strings.Join(args, " "), "module-load") && !testenv.All() {
				t.Skipf("slappasswd has no such module: %s", out)
			}
			if err != nil {
				t.Fatalf("slappasswd: %v (its modules are in slapd and slapd-contrib): %s", err, out)
			}
			h, err := Parse(strings.TrimSpace(string(out)))
			if err != nil {
				t.Fatal(err)
			}
			wantMatch(t, h, password, true)
			wantMatch(t, h, "wrong", false)
		})
	}
}

// FuzzParse holds Parse to not panicking, to quoting nothing, and what it takes
// to be checked without an error. Costly values are not checked.
func FuzzParse(f *testing.F) {
	for _, v := range vectors {
		f.Add(v.value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		h, err := Parse(value)
		if err != nil {
			if h.match != nil {
				t.Error("a Hash beside an error")
			}
			return
		}
		if ok, err := h.Matches(t.Context(), nil); ok || err != nil {
			t.Errorf("Matches of nothing = %v, %v", ok, err)
		}
		if cheap(value) {
			if ok, err := h.Matches(t.Context(), []byte("\xffnot it")); ok || err != nil {
				t.Errorf("Matches = %v, %v", ok, err)
			}
		}
	})
}

// cheap reports whether the numbers in value are all of three digits at most
// and it is no yescrypt, so that a check is quick.
func cheap(value string) bool {
	digits := 0
	for _, c := range value {
		if digits++; c < '0' || c > '9' {
			digits = 0
		}
		if digits > 3 {
			return false
		}
	}
	return !strings.Contains(value, "$y$") && !strings.Contains(value, "$2")
}

func wantMatch(t *testing.T, h Hash, password string, want bool) {
	t.Helper()
	got, err := h.Matches(context.Background(), []byte(password))
	if got != want || err != nil {
		t.Errorf("Matches(%.20q) = %v, %v; want %v", password, got, err, want)
	}
}
