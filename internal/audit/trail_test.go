package audit

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestOneChainOverRestarts(t *testing.T) {
	path := tempFile(t)
	session(t, path, 2)
	session(t, path, 0)
	session(t, path, 3)
	b := read(t, path)
	if v, err := verify(b); err != nil || v.Records != 5 {
		t.Errorf("%d records, %v", v.Records, why(err))
	}
	if info, _ := os.Stat(path); info.Mode().Perm()&0o037 != 0 {
		t.Errorf("mode %v", info.Mode())
	}
}

// Wherever a process was killed in its last line, the next one goes on, and the
// fragment is described.
func TestKilledInTheMiddleOfALine(t *testing.T) {
	path := tempFile(t)
	session(t, path, 2)
	whole := read(t, path)
	last := bytes.LastIndexByte(whole[:len(whole)-1], '\n') + 1
	for n := last + 1; n < len(whole); n++ {
		write(t, path, whole[:n])
		session(t, path, 1)
		b := read(t, path)
		v, err := verify(b)
		want, torn := uint64(2), uint64(1)
		if n == len(whole)-1 { // nothing but the newline is missing
			want, torn = 3, 0
		}
		if err != nil || v.Records != want || v.Torn != torn {
			t.Fatalf("cut at %d of %d: %d records, %d torn, %v\n%s", n, len(whole), v.Records, v.Torn, why(err), b)
		}
		if torn == 0 {
			continue
		}
		b[last] ^= 1
		if _, err := verify(b); why(err) != "file1:3: changed: it is no record" {
			t.Fatalf("cut at %d, and the fragment changed: %v", n, why(err))
		}
	}
}

// Only a line without an end is taken for what a killed process leaves.
func TestAChangedLastLineStaysBad(t *testing.T) {
	path := tempFile(t)
	session(t, path, 2)
	b := read(t, path)
	write(t, path, bytes.Replace(b, []byte(`"u1"`), []byte(`"u2"`), 1))
	o, log := fileOptions(path), &bytes.Buffer{}
	o.Log = slog.New(slog.NewTextHandler(log, nil))
	trail := mustOpen(t, o, nil)
	trail.Record(t.Context(), "login")
	mustClose(t, trail)
	if _, err := verify(read(t, path)); !strings.HasPrefix(why(err), "file1:3: changed") {
		t.Errorf("%v", why(err))
	}
	if !strings.Contains(log.String(), "the end of the audit trail is damaged") {
		t.Errorf("log:\n%s", log)
	}
}

func TestPowerLostLeavesZeros(t *testing.T) {
	path := tempFile(t)
	session(t, path, 2)
	write(t, path, append(read(t, path), make([]byte, 100_000)...))
	session(t, path, 1)
	if v, err := verify(read(t, path)); err != nil || v.Records != 3 || v.Torn != 1 {
		t.Errorf("%+v, %v", v, why(err))
	}
}

func TestRotation(t *testing.T) {
	path := tempFile(t)
	trail := mustOpen(t, fileOptions(path), nil)
	var files [][]byte
	for i := range 3 {
		for range 2 {
			trail.Record(t.Context(), "login", slog.Int("i", i))
		}
		if err := trail.Reopen(context.Background()); err != nil { // nothing was moved
			t.Fatal(err)
		}
		old := path + ".1"
		if err := os.Rename(path, old); err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			write(t, path, nil) // as logrotate's create does
		}
		trail.Record(t.Context(), "login", slog.String("user", "late"))
		if err := trail.Reopen(context.Background()); err != nil {
			t.Fatal(err)
		}
		files = append(files, read(t, old))
	}
	trail.Record(t.Context(), "login")
	mustClose(t, trail)
	files = append(files, read(t, path))
	if v, err := verify(files...); err != nil || v.Records != 10 {
		t.Errorf("all: %d records, %v", v.Records, why(err))
	}
	if v, err := verify(files[1:]...); err != nil || v.Records != 7 || v.First() != 4 {
		t.Errorf("without the first: %+v, %v", v, why(err))
	}
	if _, err := verify(files[0], files[2]); why(err) != "file2:1: missing: records 4 to 6 are not here" {
		t.Errorf("without the second: %v", why(err))
	}
	if _, err := verify(files[1], files[0]); !strings.HasPrefix(why(err), "file2:1: missing: a new chain") {
		t.Errorf("the first last: %v", why(err))
	}
	if _, err := verify(files[2], files[1]); !strings.HasPrefix(why(err), "file2:1: out of order") {
		t.Errorf("in the wrong order: %v", why(err))
	}
}

// A file that cannot be made is no reason to stop.
func TestReopenThatFails(t *testing.T) {
	path := tempFile(t)
	trail := mustOpen(t, fileOptions(path), nil)
	trail.Record(t.Context(), "login")
	os.Rename(path, path+".1")
	os.Mkdir(path, 0o700)
	if err := trail.Reopen(context.Background()); err == nil {
		t.Error("Reopen of a directory: no error")
	}
	trail.Record(t.Context(), "login")
	mustClose(t, trail)
	if v, err := verify(read(t, path+".1")); err != nil || v.Records != 2 {
		t.Errorf("%+v, %v", v, why(err))
	}
}

func TestOneWriterAtATime(t *testing.T) {
	path := tempFile(t)
	trail := mustOpen(t, fileOptions(path), nil)
	defer mustClose(t, trail)
	if _, err := Open(fileOptions(path)); !errors.Is(err, errOther) {
		t.Errorf("a second one: %v", err)
	}
	if _, err := Open(fileOptions(t.TempDir())); err == nil {
		t.Error("a directory: no error")
	}
	if _, err := Open(fileOptions("/dev/null")); err == nil {
		t.Error("a device: no error")
	}
}

func TestNoTrail(t *testing.T) {
	trail, err := Open(Options{})
	if trail != nil || err != nil {
		t.Fatalf("%v, %v", trail, err)
	}
	trail.Note("x")
	if err := errors.Join(trail.Record(t.Context(), "x"), trail.Ready(), trail.Reopen(context.Background()), trail.Close(t.Context())); err != nil || trail.Status() != (Status{}) {
		t.Error(err)
	}
}

func TestManyAtOnce(t *testing.T) {
	for _, required := range []bool{false, true} {
		path := tempFile(t)
		o := fileOptions(path)
		o.Required = required
		trail := mustOpen(t, o, nil)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 100 {
					if err := trail.Record(t.Context(), "login", slog.String("user", "alice")); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		mustClose(t, trail)
		if v, err := verify(read(t, path)); err != nil || v.Records != 800 {
			t.Errorf("required %v: %d records, %v", required, v.Records, why(err))
		}
	}
}

// With Required the record is in the file when Record returns.
func TestRequiredIsThere(t *testing.T) {
	o := fileOptions(tempFile(t))
	o.Required = true
	trail := mustOpen(t, o, nil)
	defer mustClose(t, trail)
	for i := range 20 {
		if err := trail.Record(t.Context(), "login", slog.Int("i", i)); err != nil {
			t.Fatal(err)
		}
		if v, err := verify(read(t, o.File)); err != nil || v.Records != uint64(i+1) {
			t.Fatalf("after %d: %d records, %v", i+1, v.Records, why(err))
		}
	}
}

// disk is a disk with so much room.
type disk struct {
	mu   sync.Mutex
	room int
}

func (d *disk) set(room int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.room = room
}

func (d *disk) of(f *file) func([]byte) (int, error) {
	return func(b []byte) (int, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		n := min(len(b), d.room)
		d.room -= n
		if n, err := f.File.Write(b[:n]); err != nil || n == len(b) {
			return n, err
		}
		return n, syscall.ENOSPC
	}
}

// onDisk returns a trail on a disk with room, which is not to be reopened.
func onDisk(t *testing.T, o Options) (*Trail, *disk) {
	t.Helper()
	trail := mustOpen(t, o, nil)
	d := &disk{room: 1 << 30}
	trail.Record(t.Context(), "start")
	synctest.Wait()
	time.Sleep(10 * time.Millisecond) // of the bubble: the writer waits for more
	synctest.Wait()
	trail.file.write = d.of(trail.file)
	return trail, d
}

func TestDiskFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := fileOptions(tempFile(t))
		log := &bytes.Buffer{}
		o.Log = slog.New(slog.NewTextHandler(log, nil))
		trail, d := onDisk(t, o)
		d.set(300) // one record and a part of the next
		for range 5 {
			if err := trail.Record(t.Context(), "login", slog.String("user", "alice")); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if v, err := verify(read(t, o.File)); err != nil || v.Records == 6 {
			t.Errorf("while it is full: %d records, %v", v.Records, why(err))
		}
		if s := trail.Status(); !errors.Is(s.Failing, syscall.ENOSPC) {
			t.Errorf("status %+v", s)
		}
		if err := trail.Ready(); err != nil {
			t.Errorf("Ready: %v", err)
		}
		d.set(1 << 30)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		mustClose(t, trail)
		if v, err := verify(read(t, o.File)); err != nil || v.Records != 6 || v.Lost+v.Torn != 0 {
			t.Errorf("after that: %+v, %v", v, why(err))
		}
		if strings.Count(log.String(), "cannot be written") != 1 || !strings.Contains(log.String(), "can be written again") {
			t.Errorf("log:\n%s", log)
		}
	})
}

func TestDiskFullWithRequired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := fileOptions(tempFile(t))
		o.Required = true
		trail, d := onDisk(t, o)
		d.set(10)
		if err := trail.Record(t.Context(), "login"); !errors.Is(err, ErrUnwritten) || !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("Record: %v", err)
		}
		if err := trail.Ready(); !errors.Is(err, ErrUnwritten) {
			t.Errorf("Ready: %v", err)
		}
		d.set(1 << 30)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if err := errors.Join(trail.Ready(), trail.Record(t.Context(), "login")); err != nil {
			t.Errorf("with room again: %v", err)
		}
		mustClose(t, trail)
		if v, err := verify(read(t, o.File)); err != nil || v.Records != 3 {
			t.Errorf("%+v, %v", v, why(err))
		}
	})
}

// A disk that hangs delays a login with Required until it is too late, and no
// other.
func TestDiskHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := fileOptions(tempFile(t))
		o.Required = true
		trail, _ := onDisk(t, o)
		free := make(chan struct{})
		write := trail.file.write
		trail.file.write = func(b []byte) (int, error) { <-free; return write(b) }
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := trail.Record(ctx, "login"); !errors.Is(err, ErrUnwritten) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Record: %v", err)
		}
		close(free)
		mustClose(t, trail)
	})
}

func TestRotationMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := fileOptions(tempFile(t))
		trail, d := onDisk(t, o)
		d.set(50)
		trail.Record(t.Context(), "login")
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		os.Rename(o.File, o.File+".1")
		if err := trail.Reopen(context.Background()); err != nil { // a file on a disk with room
			t.Fatal(err)
		}
		mustClose(t, trail)
		if v, err := verify(read(t, o.File+".1"), read(t, o.File)); err != nil || v.Records != 2 {
			t.Errorf("%+v, %v", v, why(err))
		}
	})
}

// More than the queue has room for is lost, counted, and told in the trail.
func TestOverload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := fileOptions(tempFile(t))
		trail, _ := onDisk(t, o)
		free := make(chan struct{})
		write := trail.file.write
		trail.file.write = func(b []byte) (int, error) { <-free; return write(b) }
		const n = 30_000
		long := slog.String("user", strings.Repeat("x", 500))
		for range n {
			trail.Record(t.Context(), "login", long)
		}
		close(free)
		synctest.Wait()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		trail.Record(t.Context(), "login", long)
		mustClose(t, trail)
		v, err := verify(read(t, o.File))
		lost := trail.Status().Lost
		if err != nil || v.Lost == 0 || v.Lost != lost {
			t.Errorf("%d records, %d lost of %d, %v", v.Records, v.Lost, lost, why(err))
		}
		if got := uint64(len(records(t, read(t, o.File)))); got != v.Records || v.Records+v.Lost < n {
			t.Errorf("%d lines, %d records and %d lost of %d", got, v.Records, v.Lost, n)
		}
	})
}

// What a file does not get because the disk was full for too long, a header counts.
func TestDiskFullForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := fileOptions(tempFile(t))
		trail, d := onDisk(t, o)
		d.set(0)
		long := slog.String("user", strings.Repeat("x", 900))
		const n = 20_000
		for i := range n {
			trail.Record(t.Context(), "login", long)
			if i%1000 == 0 {
				time.Sleep(10 * time.Millisecond)
				synctest.Wait()
			}
		}
		d.set(1 << 30)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		trail.Record(t.Context(), "login")
		mustClose(t, trail)
		v, err := verify(read(t, o.File))
		if err != nil || v.Lost == 0 || v.Records+v.Lost < n || v.Lost != trail.Status().Lost {
			t.Errorf("%d records, %d lost, status %+v, %v", v.Records, v.Lost, trail.Status(), why(err))
		}
	})
}

func TestLateRecordsAreNotTaken(t *testing.T) {
	o := fileOptions(tempFile(t))
	o.Required = true
	trail := mustOpen(t, o, nil)
	mustClose(t, trail)
	mustClose(t, trail)
	if err := trail.Record(t.Context(), "login"); !errors.Is(err, ErrUnwritten) {
		t.Errorf("Record after Close: %v", err)
	}
	if err := trail.Reopen(context.Background()); err == nil {
		t.Error("Reopen after Close: no error")
	}
}

func TestTheHeadIsInTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := fileOptions(tempFile(t))
		log := &bytes.Buffer{}
		o.Log = slog.New(slog.NewTextHandler(log, nil))
		trail := mustOpen(t, o, nil)
		trail.Record(t.Context(), "login")
		time.Sleep(headEvery + time.Second)
		synctest.Wait()
		v, _ := verify(read(t, o.File))
		_, hash := v.Head()
		if !strings.Contains(log.String(), "records=1 hash="+hash) {
			t.Errorf("log:\n%s", log)
		}
		mustClose(t, trail)
	})
}

func BenchmarkRecord(b *testing.B) {
	for _, required := range []bool{false, true} {
		b.Run(map[bool]string{false: "queued", true: "required"}[required], func(b *testing.B) {
			o := fileOptions(tempFile(b))
			o.Required = required
			trail := mustOpen(b, o, nil)
			before := cpuTime()
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if i%4096 == 4095 && !required {
					trail.Reopen(context.Background()) // waits for the writer: nobody logs in as fast as this
				}
				trail.Record(b.Context(), "login", slog.String("result", "accept"), slog.String("user", "alice"), slog.String("client", "vpn"),
					slog.String("src", "192.0.2.7:40000"), slog.Uint64("q", 4711), slog.Int("id", 7), slog.String("calling", "198.51.100.9"), slog.Int64("took_us", 900))
			}
			mustClose(b, trail)
			b.ReportMetric(float64((cpuTime()-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
			b.ReportMetric(float64(trail.Status().Lost)/float64(b.N), "lost/op")
		})
	}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
