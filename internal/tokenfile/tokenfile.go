// Package tokenfile reads the enrolments of other systems from their files:
// lists of users as CSV, google-authenticator's file, PSKC (RFC 6030), FreeIPA's
// token entries as LDIF, exports of privacyIDEA, and otpauth URIs.
//
// It reads and judges; it enrols nobody. Whoever calls it looks the users up,
// minds the dates, and writes to the directory.
//
// # What it promises
//
//   - Either the whole file was understood, and every token of it is returned,
//     or there is an error and no token. A token that Lockstep cannot use is
//     returned with its reason in Skip, and must not be enrolled.
//   - An encrypted value is given only after its MAC was verified. One without
//     a MAC makes the file unreadable.
//   - Neither an error nor a Skip quotes anything of the file but small numbers:
//     when columns are shifted, a key may stand where a name is expected.
//   - Any input is taken, however hostile, within these limits: 64 MiB a file, a
//     million tokens, 1 MiB a record, 10 million rounds of key derivation.
//     Nothing that a file names is opened or fetched.
//
// It does not promise that a key in an unencrypted file is the one that its
// author wrote.
package tokenfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"lockstep/internal/opaque"
)

// The limits of what Read accepts.
const (
	maxFile   = 64 << 20
	maxRecord = 1 << 20
	maxTokens = 1_000_000
)

// Token is one enrolment as a file has it.
type Token struct {
	// User is the login name as the file has it, in valid UTF-8 without control
	// characters and up to 253 octets long, or "" if it has none. It is not in
	// canonical form, and may be nobody's.
	User string

	// Serial is the token's number or other name, under the same rules, or "".
	Serial string

	// Key is 10 to 128 octets long if Skip is empty. In a CSV file it may also
	// be empty, which asks for a new key.
	Key opaque.Bytes

	Algorithm string        // "SHA1", "SHA256" or "SHA512"; "SHA1" where the file says nothing
	Digits    int           // 6 or 8; 6 where the file says nothing
	Period    time.Duration // whole seconds, 15 s to 120 s; 30 s where the file says nothing

	// NotBefore and NotAfter bound the time in which the token may be used, as
	// its file says; the zero time is no bound. Whether they are past or to come
	// has no part in Skip.
	NotBefore, NotAfter time.Time

	// Line is the line that the token begins in, or in JSON its place in the
	// list; both count from 1.
	Line int

	// Skip says why the token cannot be used, or is "". Then the other fields
	// hold what could be read, in any range.
	Skip string

	// Spent lists the steps of Period that were used already. Only
	// google-authenticator's files tell them.
	Spent []int64
}

// refuse sets Skip. The first reason stays.
func (t *Token) refuse(reason string) {
	if t.Skip == "" {
		t.Skip = reason
	}
}

// The formats that Read knows, as [Options] names them.
const (
	CSV                 = "csv"
	FreeIPA             = "freeipa"
	GoogleAuthenticator = "google-authenticator"
	OTPAuth             = "otpauth"
	PrivacyIDEA         = "privacyidea"
	PSKC                = "pskc"
)

var readers = map[string]func([]byte, Options) ([]Token, error){
	CSV:                 readCSV,
	FreeIPA:             readFreeIPA,
	GoogleAuthenticator: readGoogle,
	OTPAuth:             readOTPAuth,
	PrivacyIDEA:         readPrivacyIDEA,
	PSKC:                readPSKC,
}

// Options say what a file is and how to open it. The zero Options are right for
// a file that is not encrypted.
type Options struct {
	// Format is one of the constants, or "" to tell it from the content.
	Format string

	// Password opens a PSKC file whose key is derived from a password.
	Password opaque.Bytes

	// PreSharedKey opens a PSKC file that is encrypted with a key known to both
	// sides, given as 16, 24 or 32 octets or as hexadecimal digits, and an
	// encrypted export of privacyIDEA, given in base64 as privacyIDEA prints it.
	PreSharedKey opaque.Bytes

	// User is whose file of google-authenticator it is. Others ignore it.
	User string
}

// What a caller may ask the administrator for, and try again.
var (
	// ErrPassword is returned when the file needs Options.Password.
	ErrPassword = errors.New("encrypted with a password, which was not given")
	// ErrPreSharedKey is returned when the file needs Options.PreSharedKey.
	ErrPreSharedKey = errors.New("encrypted with a key, which was not given")
	// ErrDecrypt is returned when the password or key is wrong or the file was
	// changed; the three cannot be told apart.
	ErrDecrypt = errors.New("cannot be decrypted: the password or key is wrong, or the file was changed")
)

// Read returns the tokens of r, in the order of the file, and the format that it
// was read as, which is "" if it could not be told.
//
// An error means that the file was not understood as a whole; there are no
// tokens then. It wraps what r returned if r failed.
func Read(r io.Reader, o Options) (tokens []Token, format string, err error) {
	data, err := readAll(r)
	if err != nil {
		return nil, "", err
	}
	if format = o.Format; format == "" {
		format = guess(data)
	}
	read, ok := readers[format]
	switch {
	case !ok && o.Format == "":
		return nil, "", errors.New("cannot tell the format of the file; name it: " + formatNames)
	case !ok:
		return nil, "", fmt.Errorf("no format %q; want one of %s", o.Format, formatNames)
	}
	if tokens, err = read(data, o); err != nil {
		return nil, format, fmt.Errorf("read %s file: %w", format, err)
	}
	for i := range tokens {
		tokens[i].check(format)
	}
	return tokens, format, nil
}

var formatNames = strings.Join([]string{CSV, FreeIPA, GoogleAuthenticator, OTPAuth, PrivacyIDEA, PSKC}, ", ")

// readAll returns what r holds, without the byte order mark that some editors
// put in front of UTF-8.
func readAll(r io.Reader) ([]byte, error) {
	var data bytes.Buffer
	n, err := io.Copy(&data, io.LimitReader(r, maxFile+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read token file: %w", err)
	case n > maxFile:
		return nil, errors.New("read token file: larger than 64 MiB")
	}
	return bytes.TrimPrefix(data.Bytes(), []byte("\xEF\xBB\xBF")), nil
}

// A batch collects tokens up to the limit.
type batch []Token

func (b *batch) add(t Token) error {
	if len(*b) == maxTokens {
		return fmt.Errorf("more than %d tokens", maxTokens)
	}
	*b = append(*b, t)
	return nil
}

// at adds the line to an error. The text must quote nothing of the file.
func at(line int, err error) error { return fmt.Errorf("line %d: %w", line, err) }
