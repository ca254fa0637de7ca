package ldif

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
)

const people = `version: 1

# The people of this office.
dn: dc=example
objectClass: domain

# alice is
#  the first
dn: uid=alice,
  dc=example
objectClass: person
cn: Alice
# her numbers
mail: a@example
mail: alice@examp
 le
sn: A

dn: uid=bob,dc=example
cn:: Qm9i
sn: B`

func TestSetChangesOneRecord(t *testing.T) {
	long := strings.Repeat("0123456789", 16)
	for _, tt := range []struct {
		name     string
		dn       string
		changes  []Change
		old, new string // what is replaced in people
	}{
		{"a new attribute goes to the end of its record", "uid=alice,dc=example",
			[]Change{{Attr: "oathSecret", Values: []string{"JBSW"}}},
			"sn: A\n", "sn: A\noathSecret: JBSW\n"},
		{"values are replaced where the first one was", "UID=Alice, DC=example",
			[]Change{{Attr: "MAIL", Values: []string{"x", "y"}}},
			"mail: a@example\nmail: alice@examp\n le\n", "MAIL: x\nMAIL: y\n"},
		{"an attribute without values is removed", "uid=alice,dc=example",
			[]Change{{Attr: "mail"}},
			"mail: a@example\nmail: alice@examp\n le\n", ""},
		{"removing what is not there changes nothing", "uid=alice,dc=example",
			[]Change{{Attr: "oathSecret"}}, "", ""},
		{"values that are there already stay as they are written", "uid=bob,dc=example",
			[]Change{{Attr: "CN", Values: []string{"Bob"}}}, "", ""},
		{"a value is added after the others", "uid=alice,dc=example",
			[]Change{{Attr: "objectClass", Values: []string{"PERSON", "oathTOTPToken", "oathtotptoken"}, Add: true}},
			"objectClass: person\n", "objectClass: person\nobjectClass: oathTOTPToken\n"},
		{"adding minds the case but for objectClass", "uid=alice,dc=example",
			[]Change{{Attr: "cn", Values: []string{"Alice", "alice"}, Add: true}},
			"cn: Alice\n", "cn: Alice\ncn: alice\n"},
		{"adding nothing changes nothing", "uid=alice,dc=example",
			[]Change{{Attr: "cn", Add: true}}, "", ""},
		{"a file without a last line ending gets one", "uid=bob,dc=example",
			[]Change{{Attr: "l", Values: []string{"x"}}}, "sn: B", "sn: B\nl: x\n"},
		{"a last line without an ending is replaced", "uid=bob,dc=example",
			[]Change{{Attr: "sn", Values: []string{"x"}}}, "sn: B", "sn: x\n"},
		{"changes are made in turn", "uid=bob,dc=example",
			[]Change{{Attr: "cn"}, {Attr: "cn", Values: []string{"1"}, Add: true}, {Attr: "cn", Values: []string{"2"}, Add: true}},
			"cn:: Qm9i\nsn: B", "sn: B\ncn: 1\ncn: 2\n"},
		{"values that need it are in base64", "uid=alice,dc=example",
			[]Change{{Attr: "sn", Values: []string{"", " a", "a ", ":a", "<a", "ë", "\x00", "a\nb", "#a", "\xff"}}},
			"sn: A\n", "sn:\nsn:: IGE=\nsn:: YSA=\nsn:: OmE=\nsn:: PGE=\nsn:: w6s=\nsn:: AA==\nsn:: YQpi\nsn: #a\nsn:: /w==\n"},
		{"long lines are folded at 76 columns", "uid=alice,dc=example",
			[]Change{{Attr: "sn", Values: []string{long}}},
			"sn: A\n", "sn: " + long[:72] + "\n " + long[72:147] + "\n " + long[147:] + "\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := write(t, people)
			if err := Set(path, tt.dn, tt.changes...); err != nil {
				t.Fatal(err)
			}
			want := strings.Replace(people, tt.old, tt.new, 1)
			if got := read(t, path); got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func TestSetKeepsCRLF(t *testing.T) {
	path := write(t, "dn: cn=a\r\ncn: a\r\n\r\n")
	if err := Set(path, "cn=a", Change{Attr: "sn", Values: []string{strings.Repeat("x", 80)}}); err != nil {
		t.Fatal(err)
	}
	want := "dn: cn=a\r\ncn: a\r\nsn: " + strings.Repeat("x", 72) + "\r\n xxxxxxxx\r\n\r\n"
	if got := read(t, path); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSetRefuses(t *testing.T) {
	const canary = "hunter2"
	for _, tt := range []struct {
		name, file, dn string
		change         Change
		want           string
	}{
		{"an unknown DN", people, "uid=eve,dc=example", Change{Attr: "cn"}, "no such record"},
		{"a malformed DN", people, "alice", Change{Attr: "cn"}, "malformed DN"},
		{"a file that is broken elsewhere", people + "\nx hunter2\n", "uid=bob,dc=example", Change{Attr: "cn"}, "line 22"},
		{"an attribute name that is none", people, "uid=bob,dc=example", Change{Attr: "cn\ndn", Values: []string{canary}}, "no attribute name"},
		{"the DN as an attribute", people, "uid=bob,dc=example", Change{Attr: "DN", Values: []string{canary}}, "no attribute"},
		{"a changetype", people, "uid=bob,dc=example", Change{Attr: "changeType", Values: []string{canary}}, "no attribute"},
		{"removing the last attribute", people, "dc=example", Change{Attr: "objectclass"}, "without attributes"},
		{"a value over 64 KiB", people, "uid=bob,dc=example", Change{Attr: "cn", Values: []string{canary + strings.Repeat("x", maxValue)}}, "64 KiB"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := write(t, tt.file)
			before, _ := os.Stat(path)
			err := Set(path, tt.dn, tt.change)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), canary) {
				t.Errorf("got %v; want …%s…", err, tt.want)
			}
			if after, _ := os.Stat(path); !os.SameFile(before, after) || read(t, path) != tt.file {
				t.Error("the file was written")
			}
			wantAlone(t, path)
		})
	}
}

func TestSetNamesItsErrors(t *testing.T) {
	if err := Set(write(t, people), "uid=eve,dc=example", Change{Attr: "cn"}); !errors.Is(err, ErrNoRecord) {
		t.Errorf("unknown DN: got %v, want ErrNoRecord", err)
	}
	var fault *Error
	if err := Set(write(t, "x"), "uid=eve,dc=example"); !errors.As(err, &fault) || fault.Line != 1 {
		t.Errorf("broken file: got %v, want an *Error for line 1", err)
	}
	if err := Set(filepath.Join(t.TempDir(), "none"), "cn=a"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: got %v, want ErrNotExist", err)
	}
	if err := Set(t.TempDir(), "cn=a"); err == nil || !strings.Contains(err.Error(), "regular") {
		t.Errorf("a folder: got %v, want it refused", err)
	}
}

func TestSetKeepsModeAndOwner(t *testing.T) {
	path := write(t, people)
	uid, gid := os.Getuid(), os.Getgid()
	if uid == 0 {
		uid, gid = 12345, 23456
	}
	if err := errors.Join(os.Chown(path, uid, gid), os.Chmod(path, 0o640)); err != nil {
		t.Fatal(err)
	}
	if err := Set(path, "uid=bob,dc=example", Change{Attr: "cn"}); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	if info.Mode() != 0o640 || int(stat.Uid) != uid || int(stat.Gid) != gid {
		t.Errorf("mode %v, owner %d:%d; want 0640, %d:%d", info.Mode(), stat.Uid, stat.Gid, uid, gid)
	}
}

func TestSetFollowsASymbolicLink(t *testing.T) {
	path := write(t, people)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if err := Set(link, "uid=bob,dc=example", Change{Attr: "cn"}); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link became %v, %v", info.Mode(), err)
	}
	if got, want := read(t, path), strings.Replace(people, "cn:: Qm9i\n", "", 1); got != want {
		t.Errorf("the target holds:\n%s", got)
	}
	wantAlone(t, path)
}

// A reader that opened the file before sees all of the old content, one that
// opens it after sees all of the new: it is replaced, not written into.
func TestSetReplacesTheFileAtOneStroke(t *testing.T) {
	path := write(t, people)
	early, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer early.Close()
	if err := Set(path, "uid=bob,dc=example", Change{Attr: "cn"}); err != nil {
		t.Fatal(err)
	}
	var old bytes.Buffer
	if _, err := old.ReadFrom(early); err != nil || old.String() != people {
		t.Errorf("the early reader got %q, %v", old.String(), err)
	}
	wantAlone(t, path)
}

func TestSetLosesNoChangeOfAnother(t *testing.T) {
	t.Parallel()
	path := write(t, people)
	const editors, rounds = 8, 10
	var wg sync.WaitGroup
	for i := range editors {
		wg.Go(func() {
			for j := range rounds {
				attr := fmt.Sprintf("x-%d-%d", i, j)
				if err := Set(path, "uid=alice,dc=example", Change{Attr: attr, Values: []string{"x"}}); err != nil {
					t.Errorf("%s: %v", attr, err)
				}
			}
		})
	}
	wg.Wait()
	if got := strings.Count(read(t, path), "\nx-"); got != editors*rounds {
		t.Errorf("%d changes are in the file, want %d", got, editors*rounds)
	}
	wantAlone(t, path)
}

func TestReplaceNoticesAnEditorWithoutTheLock(t *testing.T) {
	path := write(t, people)
	old, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	const saved = "dn: cn=a\ncn: saved by hand\n"
	if err := os.WriteFile(path, []byte(saved), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := replace(path, old, []byte(people)); err == nil || !strings.Contains(err.Error(), "another program") {
		t.Errorf("got %v; want it refused", err)
	}
	if read(t, path) != saved {
		t.Error("what was saved by hand is lost")
	}
	wantAlone(t, path)
}

func TestVerifyFindsEveryDifference(t *testing.T) {
	before, err := parse([]byte(people))
	if err != nil {
		t.Fatal(err)
	}
	for _, broken := range []string{
		strings.Replace(people, "Alice", "Alicia", 1),                      // the target
		strings.Replace(people, "sn: B", "sn: C", 1),                       // another record
		strings.Replace(people, "sn: B", "sm: B", 1),                       // another attribute
		strings.Replace(people, "uid=bob", "uid=bop", 1),                   // another name
		strings.Replace(people, "uid=bob", "uid=Bob", 1),                   // another spelling
		strings.Replace(people, "\n\ndn: uid=bob,dc=example\n", "\n", 1),   // a record less
		people + "\n\ndn: cn=new\ncn: new\n",                               // a record more
		strings.Replace(people, "\ndn: uid=bob", "\n dn: uid=bob", 1),      // not valid
		strings.Replace(people, "mail: a@example\n", "", 1) + "\nmail: a@", // a value elsewhere
	} {
		if err := verify([]byte(broken), before, 1, before[1].attrs()); err == nil {
			t.Errorf("verify accepts:\n%s", broken)
		}
	}
	if err := verify([]byte(people), before, 1, before[1].attrs()); err != nil {
		t.Errorf("verify of the same: %v", err)
	}
}

// FuzzEdit holds edit to its promise without its own check: the record reads as
// intended, and every byte outside it is as it was.
func FuzzEdit(f *testing.F) {
	f.Add([]byte(people), uint(1), "mail", "a\x00b", "", false)
	f.Add([]byte(people), uint(2), "objectClass", "top", "x", true)
	f.Add([]byte("dn: cn=a\r\ncn: a\r\n# x\r\n y\r\n\r\ndn: cn=b\ncn: b"), uint(0), "cn;x", " a", "#", false)
	f.Fuzz(func(t *testing.T, data []byte, index uint, attr, v, w string, add bool) {
		before, err := parse(data)
		if err != nil || len(before) == 0 || len(data) > maxFile/2 || len(v) > maxValue || len(w) > maxValue {
			t.Skip()
		}
		c := Change{Attr: attr, Values: []string{v, w}, Add: add}
		if c.check() != nil {
			t.Skip()
		}
		target := int(index % uint(len(before)))
		out, err := edit(data, before[target].dn, []Change{c})
		if err != nil {
			t.Fatalf("edit: %v", err)
		}

		e := before[target]
		if !bytes.HasPrefix(out, data[:e.start]) || !bytes.HasSuffix(out, data[e.end:]) {
			t.Fatalf("bytes outside the record changed:\n%q\n%q", data, out)
		}
		got, err := Parse(bytes.NewReader(out))
		if err != nil || len(got) != len(before) {
			t.Fatalf("the result does not parse to %d records: %v", len(before), err)
		}
		for i, r := range got {
			want := before[i].attrs()
			if i == target {
				delete(want, c.name())
				wantValues(t, r.Attrs[c.name()], before[i].attrs()[c.name()], c)
				delete(r.Attrs, c.name())
			}
			if r.DN != before[i].dn || !reflect.DeepEqual(r.Attrs, want) {
				t.Fatalf("record %d is %+v, want %q", i, r, want)
			}
		}
	})
}

func wantValues(t *testing.T, got, before []string, c Change) {
	t.Helper()
	want := c.Values
	if c.Add {
		want = before
		for _, v := range c.Values {
			if c.name() == "objectclass" && len(got) > len(want) && strings.EqualFold(v, got[len(want)]) ||
				c.name() != "objectclass" && !contains(want, v) {
				want = append(want, v)
			}
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("values are %q, want %q", got, want)
	}
}

func contains(list []string, v string) bool {
	for _, x := range list {
		if x == v {
			return true
		}
	}
	return false
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "directory.ldif")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// wantAlone fails if a temporary file was left beside path.
func wantAlone(t *testing.T, path string) {
	t.Helper()
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(files) != 1 {
		t.Errorf("the folder holds %v, %v; want one file", files, err)
	}
}
