package ldif

import (
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

func TestParse(t *testing.T) {
	alice := func(attrs map[string][]string) []Record {
		return []Record{{DN: "uid=alice,dc=example", Attrs: attrs, Line: 1}}
	}
	for _, tt := range []struct {
		name, in string
		want     []Record
	}{
		{name: "an empty file is no records", in: "", want: []Record{}},
		{name: "a version and comments alone are no records", in: "# x\nversion: 1\n\n#y", want: []Record{}},
		{name: "names are lower-cased, options kept, values in order",
			in: "dn: uid=alice,dc=example\nCN;lang-EN: b\nUID: alice\ncn;lang-en: a\n",
			want: alice(map[string][]string{
				"cn;lang-en": {"b", "a"}, "uid": {"alice"}})},
		{name: "a folded line is one line, less one space each",
			in:   "dn: uid=al\n ice,dc=example\ncn: a\n  b\n  c\n",
			want: alice(map[string][]string{"cn": {"a b c"}})},
		{name: "an attribute name may be folded",
			in:   "dn: uid=alice,dc=example\nc\n n\n : x\n",
			want: alice(map[string][]string{"cn": {"x"}})},
		{name: "comments are skipped, folded ones too, within a record as well",
			in:   "dn: uid=alice,dc=example\n# a\n  secret: x\ncn: x\n#\nsn: y\n",
			want: alice(map[string][]string{"cn": {"x"}, "sn": {"y"}})},
		{name: "base64 may hold any octet",
			in:   "dn: uid=alice,dc=example\ncn::AP8K\nsn::  eA==\n",
			want: alice(map[string][]string{"cn": {"\x00\xff\n"}, "sn": {"x"}})},
		{name: "a DN may be in base64", in: "dn:: dWlkPWFsaWNlLGRjPWV4YW1wbGU=\ncn: x\n",
			want: alice(map[string][]string{"cn": {"x"}})},
		{name: "values may be empty in each form",
			in:   "dn: uid=alice,dc=example\ncn:\nsn: \nl::\no:: \n",
			want: alice(map[string][]string{"cn": {""}, "sn": {""}, "l": {""}, "o": {""}})},
		{name: "lines may end in CR LF and the file in none",
			in:   "dn: uid=alice,dc=example\r\ncn: a\r\n b\r\nsn: c",
			want: alice(map[string][]string{"cn": {"ab"}, "sn": {"c"}})},
		{name: "a byte order mark is skipped", in: "\uFEFFdn: uid=alice,dc=example\ncn: x\n",
			want: alice(map[string][]string{"cn": {"x"}})},
		{name: "text in UTF-8 needs no base64", in: "dn: uid=alice,dc=example\ncn: Zoë\n",
			want: alice(map[string][]string{"cn": {"Zoë"}})},
		{name: "a value keeps its colons and its spaces at the end",
			in:   "dn: uid=alice,dc=example\ncn: a: b<c \n",
			want: alice(map[string][]string{"cn": {"a: b<c "}})},
		{name: "an attribute may be named by its OID",
			in:   "dn: uid=alice,dc=example\n2.5.4.3;binary: x\n",
			want: alice(map[string][]string{"2.5.4.3;binary": {"x"}})},
		{name: "version is an attribute like others inside a record",
			in:   "dn: uid=alice,dc=example\nversion: 7\n",
			want: alice(map[string][]string{"version": {"7"}})},
		{name: "records are apart by any number of blank lines, and know their line",
			in: "version: 1\ndn: cn=a\ncn: a\n\n\n# b\ndn: cn=b\ncn: b\n",
			want: []Record{
				{DN: "cn=a", Attrs: map[string][]string{"cn": {"a"}}, Line: 2},
				{DN: "cn=b", Attrs: map[string][]string{"cn": {"b"}}, Line: 7},
			}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Parse(strings.NewReader(tt.in))
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("Parse(%q) = %+v, %v; want %+v", tt.in, got, err, tt.want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	const canary = "hunter2"
	for _, tt := range []struct {
		name, in string
		line     int
		want     string
	}{
		{"a value from a URL", "dn: cn=a\njpegPhoto:< file:///etc/hunter2\n", 2, "URL"},
		{"a DN from a URL", "dn:< file:///etc/hunter2\ncn: a\n", 1, "URL"},
		{"a URL after a fold", "dn: cn=a\njpegPhoto:\n < file:///etc/hunter2\n", 2, "URL"},
		{"a list of changes", "dn: cn=a\nChangeType: add\ncn: hunter2\n", 2, "list of changes"},
		{"a control", "dn: cn=a\ncontrol: 1.2.3 true: hunter2\n", 2, "list of changes"},
		{"a DN twice", "dn: cn=a,dc=x\ncn: a\n\ndn: CN = A , DC=\\58\ncn: hunter2\n", 4, "the first is at line 1"},
		{"two DNs in a record", "dn: cn=a\ncn: a\ndn: cn=hunter2\n", 3, "blank line"},
		{"records parted by a line with a space", "dn: cn=a\ncn: a\n \ndn: cn=hunter2\ncn: b\n", 4, "blank line"},
		{"a line before the first dn", "cn: hunter2\n", 1, `want "dn:"`},
		{"the summary of ldapsearch", "dn: cn=a\ncn: a\n\nsearch: 2\n", 4, "-LLL"},
		{"another version", "version: 2\n", 1, "version 1"},
		{"a late version", "dn: cn=a\ncn: a\n\nversion: 1\n", 4, "before the first record"},
		{"a record without attributes", "\ndn: cn=a\n\n", 2, "without attributes"},
		{"a record without attributes at the end", "dn: cn=a", 1, "without attributes"},
		{"an empty DN", "dn:\ncn: a\n", 1, "empty DN"},
		{"a malformed DN", "dn: hunter2\ncn: a\n", 1, "malformed DN"},
		{"a DN with a broken type", "dn: hunter2 x=1\ncn: a\n", 1, "malformed DN"},
		{"NUL in a DN", "dn:: Y249YQBodW50ZXIy\ncn: a\n", 1, "malformed DN"},
		{"NUL escaped in a DN", "dn: cn=hunter2\\00\ncn: a\n", 1, "NUL in a DN"},
		{"BER in a DN", "dn: cn=#04847fffffff\ncn: a\n", 1, "hexadecimal"},
		{"a DN that is not UTF-8", "dn:: Y249/w==\ncn: a\n", 1, "not UTF-8"},
		{"NUL in a line", "dn: cn=a\ncn: hunter2\x00\n", 2, "NUL"},
		{"a carriage return in a line", "dn: cn=a\ncn: hunter2\rx\n", 2, "carriage return"},
		{"a carriage return in base64", "dn: cn=a\ncn:: aHVu\rdGVyMg==\n", 2, "carriage return"},
		{"text that is not UTF-8", "dn: cn=a\ncn: hunter2\xff\n", 2, "not UTF-8"},
		{"broken base64", "dn: cn=a\ncn:: hunter2\n", 2, "not base64"},
		{"base64 with bits left over", "dn: cn=a\ncn:: eB==\n", 2, "not base64"},
		{"a line without a colon", "dn: cn=a\ncn: a\nhunter2\n", 3, "attribute: value"},
		{"an attribute name that is none", "dn: cn=a\nhunter2_: a\n", 2, "no attribute name"},
		{"a name that begins with a dash", "dn: cn=a\n-hunter2: a\n", 2, "no attribute name"},
		{"a broken OID", "dn: cn=a\n2.5..4: hunter2\n", 2, "no attribute name"},
		{"an OID with letters", "dn: cn=a\n2.hunter2: a\n", 2, "no attribute name"},
		{"an empty name", "dn: cn=a\n: hunter2\n", 2, "no attribute name"},
		{"an empty option", "dn: cn=a\nhunter2;: a\n", 2, "no attribute name"},
		{"a continuation of nothing", " hunter2\n", 1, "continuation"},
		{"a continuation of a blank line", "dn: cn=a\ncn: a\n\n hunter2\n", 4, "continuation"},
		{"a value that begins with a colon", "dn: cn=a\ncn: :hunter2\n", 2, "needs base64"},
		{"a value that begins with <", "dn: cn=a\ncn: <hunter2\n", 2, "needs base64"},
		{"a long value", "dn: cn=a\ncn: hunter2" + strings.Repeat("x", maxValue) + "\n", 2, "64 KiB"},
		{"many lines", strings.Repeat("\n", maxLines+1), maxLines + 1, "lines"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			records, err := Parse(strings.NewReader(tt.in))
			var fault *Error
			if !errors.As(err, &fault) || fault.Line != tt.line || !strings.Contains(fault.Msg, tt.want) || records != nil {
				t.Errorf("Parse = %+v, %v; want line %d: …%s…", records, err, tt.line, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), canary) {
				t.Errorf("the error quotes the file: %v", err)
			}
		})
	}
}

func TestParseAcceptsTheLongestValue(t *testing.T) {
	records, err := Parse(strings.NewReader("dn: cn=a\ncn: " + strings.Repeat("x", maxValue)))
	if err != nil || len(records[0].Get("CN")) != maxValue {
		t.Errorf("got %v; want a value of 64 KiB", err)
	}
}

func TestParseRefusesAFileOver64MiB(t *testing.T) {
	if testing.Short() {
		t.Skip("fills 64 MiB")
	}
	t.Parallel()
	_, err := Parse(&repeat{text: strings.Repeat("x", 1<<20)})
	var fault *Error
	if !errors.As(err, &fault) || !strings.Contains(fault.Msg, "64 MiB") {
		t.Errorf("got %v; want it refused for its size", err)
	}
}

// repeat is a file without end.
type repeat struct{ text string }

func (r *repeat) Read(p []byte) (int, error) { return copy(p, r.text), nil }

func TestParsePassesOnReadErrors(t *testing.T) {
	in := io.MultiReader(strings.NewReader("dn: cn=a\ncn: a\n\n"), iotest.ErrReader(iotest.ErrTimeout))
	records, err := Parse(in)
	if records != nil || !errors.Is(err, iotest.ErrTimeout) {
		t.Errorf("Parse = %v, %v; want no records and the reader's error", records, err)
	}
}

func TestGet(t *testing.T) {
	r := Record{Attrs: map[string][]string{"cn": {"a", "b"}}}
	if got := r.Get("CN"); got != "a" {
		t.Errorf("Get(CN) = %q, want the first value", got)
	}
	if got := r.Get("sn"); got != "" {
		t.Errorf("Get(sn) = %q, want none", got)
	}
}

func TestNormalizeDN(t *testing.T) {
	for _, tt := range []struct {
		name string
		a, b string
		same bool
	}{
		{"case", "UID=Alice,DC=Example", "uid=alice,dc=example", true},
		{"spaces around", " uid = alice , dc=example", "uid=alice,dc=example", true},
		{"spaces inside", "cn=Alice  B", "cn=alice b", true},
		{"hexadecimal escapes", "cn=\\41lice", "cn=alice", true},
		{"escaped comma", "cn=a\\,b", "cn=a\\2cb", true},
		{"case beyond ASCII", "cn=STRAßE", "cn=strasse", true},
		{"the order in a multi-valued RDN", "cn=a+sn=b", "SN=b+CN=a", true},
		{"a semicolon parts RDNs", "cn=a;dc=x", "cn=a,dc=x", true},
		{"another value", "cn=a", "cn=b", false},
		{"another type", "cn=a", "sn=a", false},
		{"an escaped comma is no part", "cn=a\\,dc=x", "cn=a,dc=x", false},
		{"an escaped plus is no part", "cn=a\\+sn=b", "cn=a+sn=b", false},
	} {
		a, errA := NormalizeDN(tt.a)
		b, errB := NormalizeDN(tt.b)
		if errA != nil || errB != nil || (a == b) != tt.same {
			t.Errorf("%s: %q and %q, %v, %v; want same = %v", tt.name, a, b, errA, errB, tt.same)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "version: 1\n\ndn: cn=a\ncn: a\n", "\uFEFFdn:: Y249YQ==\r\ncn::AP8K\r\n\r\n",
		"dn: cn=a+sn=\\2cb\\ ,dc=x\n# c\n d\nuserCertificate;binary:: AA==\n2.5.4.3:\n x\n",
		"dn: cn=#0403616263\ncn:< file:///etc/passwd\n", " x\n", "dn: cn=a\ncn: a\n\ndn: CN=A\ncn: b",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		records, err := Parse(strings.NewReader(string(data)))
		var fault *Error
		if err != nil && (records != nil || !errors.As(err, &fault)) {
			t.Fatalf("Parse = %v, %v; want records or an *Error", records, err)
		}
		seen := map[string]bool{}
		for _, r := range records {
			key, err := NormalizeDN(r.DN)
			if err != nil || seen[key] || len(r.Attrs) == 0 || r.Line < 1 {
				t.Fatalf("record %+v, %v: bad or twice", r, err)
			}
			seen[key] = true
			again, err := NormalizeDN(key)
			if err != nil || again != key {
				t.Fatalf("normal form %q normalises to %q, %v", key, again, err)
			}
		}
	})
}
