package journal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var owner = ID{1, 2, 3}

// run is a small log: groups of which some take several sectors, in as many
// segments as there are lists.
var run = [][][]Record{
	{
		{{ID: "alice", Version: 1, Value: []byte("one")}},
		{{ID: "alice", Version: 2, Value: bytes.Repeat([]byte("two "), 200)}, {ID: "bob", Version: 3, Value: []byte{}}},
		{},
		{{ID: "bob", Version: 3, Deleted: true}},
	},
	{
		{{ID: "carol", Version: 4, Value: bytes.Repeat([]byte{7}, 480)}},
		{{ID: "dave", Version: 5, Value: []byte("dave")}, {ID: "erin", Version: 6, Value: bytes.Repeat([]byte("erin "), 150)}},
	},
}

const groupsOfRun = 6

func begin(t testing.TB, base string, number uint64, after Mark) *Segment {
	t.Helper()
	b, err := NewBlank(base, 12*sectorBytes)
	if err != nil {
		t.Fatal(err)
	}
	s, err := b.Begin(owner, number, after)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func add(t testing.TB, s *Segment, records []Record) {
	t.Helper()
	var g Group
	for _, r := range records {
		g.Add(r)
	}
	if err := s.Append(&g); err != nil {
		t.Fatal(err)
	}
}

// write writes the run, and returns the Marks of its groups.
func write(t testing.TB, base string) (marks []Mark) {
	t.Helper()
	last := Mark{}
	for i, groups := range run {
		s := begin(t, base, uint64(i+1), last)
		for _, g := range groups {
			add(t, s, g)
			marks = append(marks, s.Last())
		}
		last = s.Last()
	}
	return marks
}

// images returns the files of the run.
func images(t testing.TB) [][]byte {
	t.Helper()
	base := filepath.Join(t.TempDir(), "state.db")
	write(t, base)
	var all [][]byte
	for i := range run {
		data, err := os.ReadFile(Path(base, uint64(i+1)))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, data)
	}
	return all
}

// read does what Recover does with files of that content.
func read(images [][]byte, applied Mark) (records []Record, end Mark, err error) {
	files := make([]file, len(images))
	for i := range images {
		files[i] = file{path: fmt.Sprint("file ", i+1), data: images[i]}
		if err := files[i].parse(owner, uint64(i+1)); err != nil {
			return nil, Mark{}, err
		}
	}
	end, err = replay(files, applied, func(r Record) { records = append(records, r) })
	return records, end, err
}

// first returns the records of the first n groups of the run.
func first(n int) (records []Record) {
	for _, groups := range run {
		for _, g := range groups {
			if n--; n >= 0 {
				records = append(records, g...)
			}
		}
	}
	return records
}

func same(a, b []Record) bool {
	return slices.EqualFunc(a, b, func(a, b Record) bool {
		return a.ID == b.ID && a.Version == b.Version && a.Deleted == b.Deleted && bytes.Equal(a.Value, b.Value)
	})
}

func TestWhatWasAppendedIsRecovered(t *testing.T) {
	base := filepath.Join(t.TempDir(), "state.db")
	marks := write(t, base)
	for n := 0; n <= groupsOfRun; n++ {
		applied := Mark{}
		if n > 0 {
			applied = marks[n-1]
		}
		var got []Record
		end, err := Recover(base, owner, applied, 2, func(r Record) { got = append(got, r) })
		if want := first(groupsOfRun)[len(first(n)):]; err != nil || end != marks[groupsOfRun-1] || !same(got, want) {
			t.Errorf("after group %d: Recover gives %+v, %+v, %v; want %+v", n, got, end, err, want)
		}
	}
}

func clone(images [][]byte) [][]byte {
	c := make([][]byte, len(images))
	for i := range images {
		c[i] = bytes.Clone(images[i])
	}
	return c
}

// span returns where the last group stands in the last file.
func span(t testing.TB, last []byte) (begun, ended int) {
	t.Helper()
	f := file{data: last}
	if err := f.parse(owner, uint64(len(run))); err != nil {
		t.Fatal(err)
	}
	s := newScanner(f.data, f.label)
	if err := s.replayAll(Mark{}, func(Record) {}); err != nil {
		t.Fatal(err)
	}
	return s.begun, s.off
}

// All of a log can be lost but the last group: only that can have been torn.
func TestAByteThatChangesIsNeverLost(t *testing.T) {
	whole := images(t)
	begun, ended := span(t, whole[1])
	torn := 0
	for i := range whole {
		for at := range whole[i] {
			for _, change := range []func(byte) byte{func(b byte) byte { return ^b }, func(b byte) byte { return b ^ 1 }, func(byte) byte { return 0 }} {
				now := change(whole[i][at])
				if now == whole[i][at] {
					continue
				}
				was := whole[i][at]
				whole[i][at] = now
				got, _, err := read(whole, Mark{})
				whole[i][at] = was
				inLast := i == 1 && at >= begun && at < ended
				switch {
				case err != nil || same(got, first(groupsOfRun)):
				case inLast && same(got, first(groupsOfRun-1)):
					torn++
				default:
					t.Fatalf("byte %d of file %d goes from %#x to %#x: read gives %d records", at, i+1, was, now, len(got))
				}
			}
		}
	}
	if torn > 0 {
		t.Errorf("%d changes of one byte are taken for a torn write; want none here", torn)
	}
}

func TestAFileCutShortIsAnError(t *testing.T) {
	whole := images(t)
	for i := range whole {
		for at := range whole[i] {
			now := slices.Clone(whole)
			now[i] = whole[i][:at]
			if got, _, err := read(now, Mark{}); !errors.Is(err, ErrDamaged) {
				t.Fatalf("file %d of %d bytes: read gives %d records, %v; want %v", i+1, at, len(got), err, ErrDamaged)
			}
		}
	}
}

// A power cut leaves any of the sectors of the group that was being written.
func TestATornGroupIsCutOff(t *testing.T) {
	whole := images(t)
	begun, ended := span(t, whole[1])
	n := (ended - begun) / sectorBytes
	if n < 2 {
		t.Fatalf("the last group has %d sectors; want some", n)
	}
	for missing := 1; missing < 1<<n; missing++ {
		now := clone(whole)
		for i := range n {
			if missing>>i&1 == 1 {
				clear(now[1][begun+i*sectorBytes:][:sectorBytes])
			}
		}
		if got, _, err := read(now, Mark{}); err != nil || !same(got, first(groupsOfRun-1)) {
			t.Errorf("without sectors %b of %d: read gives %d records, %v; want %d and no error", missing, n, len(got), err, len(first(groupsOfRun-1)))
		}
	}
}

// The other groups were synced before the next was begun: what lacks of them is
// damage.
func TestASectorThatIsGoneBeforeTheLastGroupIsDamage(t *testing.T) {
	whole := images(t)
	begun, _ := span(t, whole[1])
	for i := range whole {
		for at := sectorBytes; at < len(whole[i]) && (i == 0 || at < begun); at += sectorBytes {
			now := clone(whole)
			clear(now[i][at:][:sectorBytes])
			if bytes.Equal(now[i], whole[i]) {
				continue
			}
			if got, _, err := read(now, Mark{}); !errors.Is(err, ErrDamaged) {
				t.Errorf("file %d without the sector at %d: read gives %d records, %v; want %v", i+1, at, len(got), err, ErrDamaged)
			}
		}
	}
}

// A group that failed may be on disk all the same. Once the next segment has
// begun it counts no more.
func TestAGroupThatFailedIsVoidOnceAnotherFollows(t *testing.T) {
	base := filepath.Join(t.TempDir(), "state.db")
	one := begin(t, base, 1, Mark{})
	add(t, one, []Record{{ID: "alice", Version: 1, Value: []byte("good")}})
	good := one.Last()
	add(t, one, []Record{{ID: "alice", Version: 2, Value: []byte("failed")}})
	one.Disown()
	if got := one.Last(); got != good {
		t.Errorf("Last = %v; want %v", got, good)
	}
	if err := one.Append(&Group{}); !errors.Is(err, ErrDoubtful) {
		t.Errorf("Append = %v; want %v", err, ErrDoubtful)
	}
	read := func() (values []string) {
		if _, err := Recover(base, owner, Mark{}, 0, func(r Record) { values = append(values, string(r.Value)) }); err != nil {
			t.Error(err)
		}
		return values
	}
	if got := read(); !reflect.DeepEqual(got, []string{"good", "failed"}) {
		t.Errorf("alone: %q", got)
	}
	two := begin(t, base, 2, good)
	if got := read(); !reflect.DeepEqual(got, []string{"good"}) {
		t.Errorf("with the next segment: %q", got)
	}
	add(t, two, []Record{{ID: "alice", Version: 3, Value: []byte("later")}})
	if got := read(); !reflect.DeepEqual(got, []string{"good", "later"}) {
		t.Errorf("with a later group: %q", got)
	}
}

func TestRecoverRefuses(t *testing.T) {
	copyFile := func(t *testing.T, from, to string) {
		data, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name    string
		spoil   func(t *testing.T, base string)
		id      ID
		applied func(marks []Mark) Mark
		newest  uint64
		want    string
	}{
		{name: "no file", spoil: func(t *testing.T, base string) { os.Remove(Path(base, 1)); os.Remove(Path(base, 2)) }, newest: 2, want: "log-0000000000000002 is missing"},
		{name: "no last file", spoil: func(t *testing.T, base string) { os.Remove(Path(base, 2)) }, newest: 2, want: "log-0000000000000002 is missing"},
		{name: "no first file", spoil: func(t *testing.T, base string) { os.Remove(Path(base, 1)) }, want: "do not belong together"},
		{name: "another owner", id: ID{9}, want: "of another state file"},
		{name: "an owner that is further on", applied: func([]Mark) Mark { return Mark{99, 7} }, want: "do not belong together"},
		{name: "an owner with another past", applied: func(m []Mark) Mark { return Mark{m[1].Group, m[1].Sum + 1} }, want: "do not belong together"},
		{name: "an owner with another past, at the end of a file", applied: func(m []Mark) Mark { return Mark{m[3].Group, m[3].Sum + 1} }, want: "do not belong together"},
		{name: "an owner with another past, at the very end", applied: func(m []Mark) Mark { return Mark{m[5].Group, m[5].Sum + 1} }, want: "do not belong together"},
		{name: "a renamed file", spoil: func(t *testing.T, base string) { os.Rename(Path(base, 2), Path(base, 3)) }, want: "renamed"},
		{name: "a file twice", spoil: func(t *testing.T, base string) { copyFile(t, Path(base, 1), Path(base, 2)) }, want: "renamed"},
		{name: "a file that is longer", spoil: func(t *testing.T, base string) { os.Truncate(Path(base, 2), 1<<20) }, want: "damaged"},
		{name: "an empty file", spoil: func(t *testing.T, base string) { os.Truncate(Path(base, 2), 0) }, want: "damaged"},
		{name: "a file that is too large", spoil: func(t *testing.T, base string) { os.Truncate(Path(base, 2), maxSize+1) }, want: "is not a log"},
		{name: "a link", spoil: func(t *testing.T, base string) {
			os.Rename(Path(base, 2), base+".elsewhere")
			os.Symlink(base+".elsewhere", Path(base, 2))
		}, want: "too many levels of symbolic links"},
		{name: "a directory", spoil: func(t *testing.T, base string) { os.Remove(Path(base, 2)); os.Mkdir(Path(base, 2), 0o700) }, want: "is not a log"},
		{name: "a name that is none", spoil: func(t *testing.T, base string) { copyFile(t, Path(base, 1), base+".log-1") }, want: "not a name of a log"},
		{name: "a gap", spoil: func(t *testing.T, base string) {
			begin(t, base, 3, Mark{99, 1})
		}, want: "damaged"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			base := filepath.Join(t.TempDir(), "state.db")
			marks := write(t, base)
			if tt.spoil != nil {
				tt.spoil(t, base)
			}
			if tt.id == (ID{}) {
				tt.id = owner
			}
			var applied Mark
			if tt.applied != nil {
				applied = tt.applied(marks)
			}
			if _, err := Recover(base, tt.id, applied, tt.newest, func(Record) {}); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Recover = %v; want an error with %q", err, tt.want)
			}
		})
	}
}

// Two that have gone on from one copy have the same id and the same numbers.
func TestPartsOfTwoPastsAreNotOneLog(t *testing.T) {
	ours := images(t)
	was := run[0][0][0].Value
	run[0][0][0].Value = []byte("two")
	theirs := images(t)
	run[0][0][0].Value = was
	group := clone(ours)
	copy(group[0][sectorBytes:2*sectorBytes], theirs[0][sectorBytes:])
	for name, now := range map[string][][]byte{"a file": {theirs[0], ours[1]}, "a group": group, "the group before the end": {group[0]}} {
		if got, _, err := read(now, Mark{}); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s of the other: read gives %+v, %v; want %v", name, got, err, ErrDamaged)
		}
	}
}

func TestAFileThatWasMovedOrCutIsNotWritten(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"moved":     func(path string) error { return os.Rename(path, path+".away") },
		"cut short": func(path string) error { return os.Truncate(path, 1024) },
		"replaced": func(path string) error {
			return errors.Join(os.Rename(path, path+".away"), os.WriteFile(path, make([]byte, 12*sectorBytes), 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			base := filepath.Join(t.TempDir(), "state.db")
			s := begin(t, base, 1, Mark{})
			add(t, s, nil)
			if err := spoil(Path(base, 1)); err != nil {
				t.Fatal(err)
			}
			if err := s.Append(&Group{}); err == nil || !s.Doubtful() {
				t.Errorf("Append = %v; want an error, and doubt", err)
			}
		})
	}
}

func TestFilesAreForTheOwnerAlone(t *testing.T) {
	base := filepath.Join(t.TempDir(), "state.db")
	write(t, base)
	b, err := NewBlank(base, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Discard()
	entries, err := os.ReadDir(filepath.Dir(base))
	if err != nil || len(entries) != 3 {
		t.Fatalf("directory holds %v, %v", entries, err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s has mode %v, %v", e.Name(), info.Mode(), err)
		}
	}
	RemoveBlanks(base)
	if err := Remove(base, 1); err != nil {
		t.Error(err)
	}
	if got, err := Files(base); err != nil || !slices.Equal(got, []uint64{2}) {
		t.Errorf("Files = %v, %v", got, err)
	}
	if err := Remove(base, 9); err != nil {
		t.Error(err)
	}
	if entries, _ := os.ReadDir(filepath.Dir(base)); len(entries) != 0 {
		t.Errorf("directory holds %v; want nothing", entries)
	}
}

// FuzzRead takes the files for what somebody found on disk. What is read is
// the beginning of what was written there, or an error; and reading what was
// read once more gives the same.
func FuzzRead(f *testing.F) {
	whole := images(f)
	f.Add(whole[0], whole[1])
	f.Add(whole[0], []byte{})
	f.Add(whole[0][:sectorBytes], whole[1][:sectorBytes])
	f.Add(whole[1], whole[0])
	f.Fuzz(func(t *testing.T, one, two []byte) {
		images := [][]byte{one, two}
		if len(two) == 0 {
			images = images[:1]
		}
		records, end, err := read(images, Mark{})
		if err != nil {
			return
		}
		again, endAgain, err := read(images, Mark{})
		if err != nil || endAgain != end || !same(again, records) {
			t.Errorf("read twice: %+v, %v, then %+v, %v, %v", records, end, again, endAgain, err)
		}
		if rest, _, err := read(images, end); err != nil || len(rest) != 0 {
			t.Errorf("after the end: %+v, %v", rest, err)
		}
	})
}

// FuzzOverwrite overwrites part of a good log. All that can be lost of it
// unseen is the end, if it is zeros now.
func FuzzOverwrite(f *testing.F) {
	whole := images(f)
	f.Add(uint16(600), []byte("x"))
	f.Add(uint16(2*sectorBytes+1), make([]byte, 3000))
	f.Fuzz(func(t *testing.T, at uint16, with []byte) {
		now := clone(whole)
		file := now[int(at)%2]
		copy(file[int(at)%len(file):], with)
		got, _, err := read(now, Mark{})
		if err != nil {
			return
		}
		for n := groupsOfRun; n >= len(run[0]); n-- {
			if same(got, first(n)) {
				return
			}
		}
		t.Errorf("%q at %d: read gives %+v", with, at, got)
	})
}

func FuzzRecords(f *testing.F) {
	f.Add(appendRecord(appendRecord(nil, run[0][0][0]), run[0][3][0]))
	f.Add([]byte{1, 0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		var again []byte
		n := 0
		err := parseRecords(b, func(r Record) { again = appendRecord(again, r); n += len(r.Value) + len(r.ID) })
		if n > len(b) {
			t.Errorf("%d bytes out of %d", n, len(b))
		}
		if err != nil {
			return
		}
		var twice []byte
		if err := parseRecords(again, func(r Record) { twice = appendRecord(twice, r) }); err != nil || !bytes.Equal(again, twice) {
			t.Errorf("%x becomes %x, then %x, %v", b, again, twice, err)
		}
	})
}

// The last group may be in the page cache alone, and may not be shown so. No
// test can see whether it is on disk, but whether it was written again.
func TestTheLastGroupIsWrittenAgain(t *testing.T) {
	base := filepath.Join(t.TempDir(), "state.db")
	write(t, base)
	long := time.Unix(1e9, 0)
	for i := range run {
		if err := os.Chtimes(Path(base, uint64(i+1)), long, long); err != nil {
			t.Fatal(err)
		}
	}
	before, err := os.ReadFile(Path(base, 2))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Recover(base, owner, Mark{}, 2, func(Record) {}); err != nil {
		t.Fatal(err)
	}
	if is, err := os.Stat(Path(base, 2)); err != nil || is.ModTime().Equal(long) {
		t.Errorf("the last file was written last at %v, %v", is.ModTime(), err)
	}
	if after, err := os.ReadFile(Path(base, 2)); err != nil || !bytes.Equal(after, before) {
		t.Errorf("Recover changes the file, %v", err)
	}
}
