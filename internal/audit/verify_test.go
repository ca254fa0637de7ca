package audit

import (
	"bytes"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestVerifyNamesTheFirstBadLine(t *testing.T) {
	path := tempFile(t)
	session(t, path, 3)
	session(t, path, 2)
	good := read(t, path)
	lines := bytes.SplitAfter(good, []byte("\n")) // header, 1, 2, 3, header, 4, 5, ""
	if v, err := verify(good); err != nil || v.Records != 5 || v.First() != 1 || v.Lost+v.Torn != 0 {
		t.Fatalf("%+v, %v", v, err)
	}
	pick := func(numbers ...int) []byte {
		var b []byte
		for _, n := range numbers {
			b = append(b, lines[n]...)
		}
		return b
	}
	for _, tt := range []struct {
		name string
		file []byte
		want string
	}{
		{"a changed octet", bytes.Replace(good, []byte(`"u1"`), []byte(`"u9"`), 1), "file1:3: changed"},
		{"a changed header", bytes.Replace(good, []byte(`here`), []byte(`hero`), 1), "file1:1: changed"},
		{"a record left out", pick(0, 1, 3, 4, 5, 6), "file1:3: missing: record 2 is not here"},
		{"two records left out", pick(0, 1, 4, 5, 6), "file1:3: missing: records 2 to 3 are not here"},
		{"two records swapped", pick(0, 2, 1, 3), "file1:2: missing: record 1"},
		{"a record moved back", pick(0, 1, 2, 1), "file1:4: out of order: it is record 1, behind record 2"},
		{"a record twice", pick(0, 1, 1, 2), "file1:3: out of order"},
		{"a header moved back", pick(0, 1, 2, 3, 4, 5, 4), "file1:7: out of order"},
		{"no header", pick(1, 2, 3), "file1:1: missing: the file does not begin with a header"},
		{"the end of a line cut off", good[:len(good)-20], "file1:7: torn"},
		{"the newline cut off", good[:len(good)-1], "file1:7: torn"},
		{"a new chain behind the old", append(slices.Clone(good), good...), "file1:8: missing: a new chain"},
		{"a line of one's own", append(pick(0, 1), "{}\n"...), "file1:3: changed: it is no record"},
		{"an empty line", append(pick(0, 1), "\n"...), "file1:3: changed: it is no record"},
		{"a long line", append(pick(0, 1), strings.Repeat("x", 1<<20)+"\n"...), "file1:3: changed: it is no record"},
		{"nothing", nil, "file1:1: missing: the file is empty"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := verify(tt.file); !strings.HasPrefix(why(err), tt.want) {
				t.Errorf("%v, want %q", why(err), tt.want)
			}
		})
	}
}

// Whatever octet is changed to whatever else, it is found in the line where it is.
func TestEveryOctetCounts(t *testing.T) {
	path := tempFile(t)
	session(t, path, 2)
	session(t, path, 1)
	good := read(t, path)
	for i := range good {
		for _, change := range []byte{1, 0x20, 0x80, 'x'} {
			b := bytes.Clone(good)
			b[i] ^= change
			_, err := verify(b)
			bad := (*BadLine)(nil)
			if !errors.As(err, &bad) {
				t.Fatalf("octet %d of %q changed by %#x: %v", i, good, change, err)
			}
			if line := 1 + bytes.Count(good[:i], []byte("\n")); bad.Line != line && bad.Line != line+1 {
				t.Fatalf("octet %d, which is in line %d: %v", i, line, bad)
			}
		}
	}
}

func TestACutOffEndIsFoundByAHashFromElsewhere(t *testing.T) {
	path := tempFile(t)
	session(t, path, 3)
	good := read(t, path)
	all, _ := verify(good)
	_, wanted := all.Head()
	cut := good[:bytes.LastIndexByte(good[:len(good)-1], '\n')+1]
	for _, tt := range []struct {
		file []byte
		want bool
	}{{good, true}, {cut, false}} {
		v := &Verifier{Wanted: wanted}
		if err := v.File("x", bytes.NewReader(tt.file)); err != nil || v.Found != tt.want {
			t.Errorf("%d octets: %v, found %v, want %v", len(tt.file), err, v.Found, tt.want)
		}
	}
}

func FuzzVerify(f *testing.F) {
	path := tempFile(f)
	session(f, path, 2)
	whole := read(f, path)
	f.Add(whole)
	f.Add(whole[:len(whole)-9])
	write(f, path, whole[:len(whole)-9])
	session(f, path, 1)
	f.Add(read(f, path))
	f.Add([]byte(`{"after":18446744073709551615,"prev":"` + strings.Repeat("0", 64) + `","x":1,"hash":"` + strings.Repeat("f", 64) + "\"}\n"))
	f.Add([]byte("\n\n\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := verify(b)
		if err == nil && (len(b) == 0 || b[len(b)-1] != '\n') {
			t.Error("a file without an end is right")
		}
		if n := uint64(bytes.Count(b, []byte("\n"))); v.Records+v.Torn > n {
			t.Errorf("%d records and %d fragments in %d lines", v.Records, v.Torn, n)
		}
		// Opening such a file does not go wrong either.
		opened := &file{}
		opened.look(b, true)
		if opened.damaged || len(b) == 0 {
			return
		}
		if opened.end != (head{}) && !bytes.Contains(b, []byte(hex.EncodeToString(opened.end.hash[:]))) {
			t.Error("it ends with a hash that it does not hold")
		}
	})
}
