package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// forged is a header as anybody can make it who can read the file: no key is needed.
func forged(at line, body string) []byte {
	return newChain(head{}).header(nil, at.at, []byte(`"time":"2026-03-01T12:00:00.000000Z",`+body))
}

func parsed(t *testing.T, text []byte) line {
	t.Helper()
	l, err := parseLine(bytes.TrimSuffix(text, []byte("\n")))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Nobody can take records out, or put lines in, by a header of their own: the
// records behind it stay as they were, and so does the hash that is kept elsewhere.
func TestForgedHeadersAreFound(t *testing.T) {
	path := tempFile(t)
	session(t, path, 5)
	lines := bytes.SplitAfter(read(t, path), []byte("\n")) // header, 1 to 5, ""
	gap := forged(parsed(t, lines[3]), `"event":"file","lost":2,"host":"here"`)
	end := forged(parsed(t, lines[5]), `"event":"file","lost":4,"host":"here"`)
	fake := []byte(`{"seq":3,"event":"login","result":"accept","user":"mallory"}`)
	of := sha256.Sum256(fake)
	torn := forged(parsed(t, lines[2]), fmt.Sprintf(`"event":"file","torn":%d,"torn_sha256":"%s","host":"here"`, len(fake), hex.EncodeToString(of[:])))
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	for _, tt := range []struct {
		name string
		file []byte
		want string
	}{
		{"records 2 and 3 are said to be lost", join(lines[0], lines[1], gap, lines[4], lines[5]), "file1:4: missing"},
		{"a header that looks like a login", join(lines[0], lines[1], forged(parsed(t, lines[1]), `"event":"login","user":"mallory","host":"here"`), lines[2]), "file1:3: changed"},
		{"a header with another event besides", join(lines[0], lines[1], forged(parsed(t, lines[1]), `"event":"file","host":"here","event":"login"`), lines[2]), "file1:3: changed"},
		{"a login that is said to be a fragment", join(lines[0], lines[1], lines[2], fake, []byte("\n"), torn, lines[3]), "file1:4: changed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := verify(tt.file); !strings.HasPrefix(why(err), tt.want) {
				t.Errorf("%v, want %q", why(err), tt.want)
			}
		})
	}
	last := parsed(t, lines[5])
	for name, file := range map[string][]byte{"all but the first are said to be lost": join(lines[0], lines[1], end), "all of them were before": forged(last, `"event":"file","host":"here"`)} {
		v := &Verifier{Wanted: hex.EncodeToString(last.hash[:])}
		if err := v.File("x", bytes.NewReader(file)); err == nil && v.Found {
			t.Errorf("%s: the hash of a record is found that is not there", name)
		}
	}
}

// A long line is not kept, and may be an object all the same.
func TestALongFragmentIsNoObject(t *testing.T) {
	path := tempFile(t)
	session(t, path, 2)
	lines := bytes.SplitAfter(read(t, path), []byte("\n"))
	fake := []byte(` {"event":"login","user":"mallory","x":"` + strings.Repeat("x", 1<<20) + `"}`)
	of := sha256.Sum256(fake)
	torn := forged(parsed(t, lines[1]), fmt.Sprintf(`"event":"file","torn":%d,"torn_sha256":"%s","host":"here"`, len(fake), hex.EncodeToString(of[:])))
	if _, err := verify(bytes.Join([][]byte{lines[0], lines[1], fake, []byte("\n"), torn, lines[2]}, nil)); !strings.HasPrefix(why(err), "file1:3: changed") {
		t.Errorf("%v", why(err))
	}
}

// With Required nil means that the record is there, also when the disk has room
// again in the very moment in which too much waited for it.
func TestRequiredIsNoSkippedRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := fileOptions(tempFile(t))
		o.Required = true
		trail, d := onDisk(t, o)
		d.set(0)
		long := slog.String("user", strings.Repeat("x", 900))
		for range 6 {
			for range maxQueue / 2000 {
				trail.Note("login", long)
			}
			synctest.Wait()
		}
		d.set(1 << 30)
		err := trail.Record(t.Context(), "login", slog.String("user", "mallory"))
		mustClose(t, trail)
		b := read(t, o.File)
		if _, e := verify(b); e != nil {
			t.Error(e)
		}
		if err == nil && !bytes.Contains(b, []byte(`"mallory"`)) {
			t.Error("Record returns nil for a record that the file has not")
		}
	})
}

// The folder may belong to the server's user, and whoever opens the file may be root.
func TestSymbolicLinksAreNotFollowed(t *testing.T) {
	for _, there := range []bool{false, true} {
		path := tempFile(t)
		to := filepath.Join(t.TempDir(), "passwd")
		if there {
			write(t, to, nil)
		}
		if err := os.Symlink(to, path); err != nil {
			t.Fatal(err)
		}
		trail, err := Open(fileOptions(path))
		if err == nil {
			mustClose(t, trail)
			t.Error("a symbolic link was followed")
		}
		if b, err := os.ReadFile(to); (err == nil) != there || len(b) > 0 {
			t.Errorf("what it led to: %q, %v", b, err)
		}
	}
}

// A disk that hangs holds up nobody who wants the file reopened, which is done later.
func TestReopenWhileTheDiskHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := fileOptions(tempFile(t))
		trail, _ := onDisk(t, o)
		free := make(chan struct{})
		write := trail.file.write
		trail.file.write = func(b []byte) (int, error) { <-free; return write(b) }
		trail.Record(t.Context(), "login")
		synctest.Wait()
		os.Rename(o.File, o.File+".1")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := trail.Reopen(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Reopen: %v", err)
		}
		time.Sleep(10 * time.Second)
		if s := trail.Status(); s.Failing == nil {
			t.Error("nothing is said of a write that takes seconds")
		}
		close(free)
		synctest.Wait()
		time.Sleep(time.Second)
		trail.Record(t.Context(), "login")
		mustClose(t, trail)
		if v, err := verify(read(t, o.File+".1"), read(t, o.File)); err != nil || v.Records != 3 {
			t.Errorf("%+v, %v", v, why(err))
		}
	})
}

// What has waited reaches a server that needs longer for all of it than for a part.
func TestABacklogPassesASlowLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(context.Context) (net.Conn, error) {
			here, there := net.Pipe()
			go func() {
				b := make([]byte, 32<<10)
				for {
					if _, err := io.ReadFull(there, b); err != nil {
						return
					}
					time.Sleep(time.Second) // 32 KiB a second
				}
			}()
			return here, nil
		}
		o := Options{Syslog: "tcp://192.0.2.1:601", Log: quiet()}
		trail := mustOpen(t, o, slow)
		for range 1000 {
			trail.Record(t.Context(), "login", slog.String("user", strings.Repeat("x", 900)))
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		left := trail.remote.waiting()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := trail.Close(ctx)
		if s := trail.Status(); left > 0 || s.Syslog != nil {
			t.Errorf("after two minutes: %d octets wait, %v, Close: %v", left, s.Syslog, err)
		}
	})
}
