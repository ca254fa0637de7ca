package tokenfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
)

// ideaColumns are the columns of a table with a header.
var ideaColumns = map[string]string{
	"owner": "owner", "user": "user", "serial": "serial", "otpkey": "otpkey", "type": "type",
	"otplen": "otplen", "timestep": "timestep", "hashlib": "hashlib",
}

// The tables that privacyIDEA writes and reads have no header. What they hold
// is told by where the type of token stands.
var (
	ideaExport = []string{"owner", "serial", "otpkey", "type", "otplen", "timestep"}
	ideaImport = []string{"serial", "otpkey", "type", "otplen", "timestep", "hashlib"}
	ideaTypes  = []string{"totp", "hotp", "ocra", "ocra2", "motp", "tan", "pw", "daypassword"}
)

func ideaLayout(row []string) []string {
	for _, layout := range [][]string{ideaImport, ideaExport} {
		at := slices.Index(layout, "type")
		if at < len(row) && slices.Contains(ideaTypes, strings.ToLower(row[at])) {
			return layout
		}
	}
	return nil
}

// readPrivacyIDEA reads what pi-tokenjanitor exports: its own format, which is
// JSON in a Fernet envelope, that JSON taken out, and CSV. Its PSKC files are
// read as such.
func readPrivacyIDEA(data []byte, o Options) ([]Token, error) {
	begin := bytes.TrimSpace(data)
	switch {
	case bytes.HasPrefix(begin, []byte(fernetPrefix)):
		text, err := openFernet(begin, o.PreSharedKey)
		if err != nil {
			return nil, err
		}
		return ideaJSON(text)
	case bytes.HasPrefix(begin, []byte("[")):
		return ideaJSON(begin)
	case bytes.HasPrefix(begin, []byte("<")):
		return readPSKC(data, o)
	}
	return ideaCSV(data)
}

// idea is a token as privacyIDEA has it, all of it text.
type idea struct {
	user, serial, otpkey, kind, otplen, timestep, hashlib string
	off                                                   bool
}

func (i idea) token(line int) Token {
	t := Token{User: strings.Clone(i.user), Serial: strings.Clone(i.serial), Line: line}
	switch {
	case strings.EqualFold(i.kind, "hotp"):
		t.refuse(skipHOTP)
	case !strings.EqualFold(i.kind, "totp"):
		t.refuse("a kind of token other than TOTP")
	case i.off:
		t.refuse("it is disabled, locked or revoked")
	}
	t.setKey(i.otpkey, fromHex)
	t.setAlgorithm(i.hashlib)
	t.setDigits(i.otplen)
	t.setPeriod(i.timestep)
	return t
}

// ideaCSV reads a table. Where it does not name the hash, the length of the key
// does: privacyIDEA makes keys as long as their hash, and leaves the hash out
// of its exports.
func ideaCSV(data []byte) ([]Token, error) {
	var tokens batch
	var columns []string
	err := rows(data, '#', -1, func(line int, row []string) (err error) {
		layout := ideaLayout(row)
		if len(tokens) == 0 && columns == nil && layout == nil {
			columns, err = header(row, ideaColumns)
			return err
		}
		if columns != nil {
			layout = columns
		}
		if layout == nil || len(row) > len(layout) || columns != nil && len(row) < len(columns) {
			return errors.New("not the columns that privacyIDEA writes: owner, serial, otpkey, type, otplen, timestep")
		}
		t := ideaRow(named(layout[:len(row)], row)).token(line)
		if t.Algorithm == "" {
			t.Algorithm = map[int]string{32: "SHA256", 64: "SHA512"}[t.Key.Len()]
		}
		return tokens.add(t)
	})
	return tokens, err
}

func ideaRow(cell map[string]string) idea {
	i := idea{user: cell["user"], serial: cell["serial"], otpkey: cell["otpkey"], kind: cell["type"], otplen: cell["otplen"], timestep: cell["timestep"], hashlib: cell["hashlib"]}
	if owner := cell["owner"]; owner != "" && owner != "n/a" {
		// It always adds its realm, also to a name that has an @ of its own.
		i.user = owner[:max(strings.LastIndexByte(owner, '@'), 0)]
		if i.user == "" {
			i.user = owner
		}
	}
	if i.timestep == "None" {
		i.timestep = ""
	}
	return i
}

// ideaJSON reads a list of objects. The library's errors quote numbers, and so
// are dropped.
func ideaJSON(data []byte) ([]Token, error) {
	var tokens batch
	source := newRation(data)
	d := json.NewDecoder(source)
	if _, err := d.Token(); err != nil { // "[", which brought us here
		return nil, errJSON
	}
	for d.More() {
		source.refill()
		var o ideaObject
		if err := d.Decode(&o); err != nil {
			return nil, at(len(tokens)+1, errJSON)
		}
		if err := tokens.add(o.idea().token(len(tokens) + 1)); err != nil {
			return nil, err
		}
	}
	if _, err := d.Token(); err != nil { // "]", or the file was cut short
		return nil, errJSON
	}
	return tokens, nil
}

var errJSON = errors.New("not a whole list of tokens in JSON")

type ideaObject struct {
	Serial, Type, OTPKey, OTPLen scalar
	Active, Revoked, Locked      scalar
	Info                         struct{ Hashlib, TimeStep scalar } `json:"info_list"`
	User                         struct{ Login scalar }
}

func (o ideaObject) idea() idea {
	off := strings.EqualFold(string(o.Active), "false") ||
		strings.EqualFold(string(o.Revoked), "true") || strings.EqualFold(string(o.Locked), "true")
	return idea{user: string(o.User.Login), serial: string(o.Serial), otpkey: string(o.OTPKey), kind: string(o.Type),
		otplen: string(o.OTPLen), timestep: string(o.Info.TimeStep), hashlib: string(o.Info.Hashlib), off: off}
}

// A scalar is text, a number or a boolean, as text: privacyIDEA's versions
// differ in which they write. null is "".
type scalar string

// UnmarshalJSON implements [json.Unmarshaler].
func (s *scalar) UnmarshalJSON(b []byte) error {
	switch b[0] {
	case '"':
		return json.Unmarshal(b, (*string)(s))
	case '{', '[':
		return errJSON
	case 'n':
		*s = ""
	default:
		*s = scalar(b)
	}
	return nil
}
