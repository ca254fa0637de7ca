package store

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"lockstep/verifier"
)

// A backup is a stream of bytes, of a format of its own that all stores share:
//
//	magic    8 bytes
//	format   uint32, the high byte first
//	head     its length as uvarint, then a BackupHead as JSON
//	records  each: 1, the id and the encoded State, either with its length as uvarint
//	         before it; in ascending order of id, bytewise
//	end      0, the number of records as uvarint, a note with its length before it
//	sum      32 bytes, SHA-256 of all above; nothing follows
//
// It holds neither the keys that servers share nor anything of what people typed:
// see [Bare]. The sum tells accidents, not attackers.
const (
	backupMagic  = "\xe7LkBack\n"
	backupFormat = 1

	recordMark = 1
	endMark    = 0

	maxHead = 4 << 10
	maxNote = 4 << 10
)

// ErrBackup is wrapped by the error about a file that is no backup, or not as it
// was written.
var ErrBackup = errors.New("not a whole backup")

// BackupHead says what a backup is of.
type BackupHead struct {
	Made     time.Time `json:"made"`              // when it was begun, by the clock of who made it
	Restored time.Time `json:"restored,omitzero"` // what the store said of itself; zero for never
	Engine   string    `json:"engine"`            // of the store, for people
	Program  string    `json:"program"`           // its version, for people
}

// BackupEnd says what a backup has come to.
type BackupEnd struct {
	Records int    `json:"records"`
	Note    string `json:"note,omitempty"` // which records could not be read and are left out; mostly empty
}

// Bare returns s without the hashes of what was typed last, which are of use for
// seconds. With them old copies of a store, beside the keys, would say something of
// passwords.
func Bare(s verifier.State) verifier.State {
	s.Last = verifier.Login{}
	s.Sources = append([]verifier.SourceFailures(nil), s.Sources...)
	for i := range s.Sources {
		s.Sources[i].Input = 0
	}
	return s
}

// snapshotter is a Store whose List is not always of one moment, and which has
// another that is, or fails.
type snapshotter interface {
	Snapshot(ctx context.Context, each func(id string, s verifier.State) error) error
}

// Backup writes what from holds to w, while it is in use. Each State is as it was at
// some moment since the beginning; what was acknowledged before that is in it. step
// is told how many are written; nil for nobody.
//
// After an error w has no end, and cannot be taken for a backup. Records that are
// damaged are left out, and the end says so: their keys count as never seen, after
// [Store].MarkRestored with its floor. A record of a newer Lockstep is an error.
func Backup(ctx context.Context, from Store, w io.Writer, head BackupHead, step func(done int)) (BackupEnd, error) {
	out, err := newBackupWriter(w, head)
	if err != nil {
		return BackupEnd{}, fmt.Errorf("backup: %w", err)
	}
	list := from.List
	if s, ok := from.(snapshotter); ok {
		list = s.Snapshot
	}
	var end BackupEnd
	var failed error
	err = list(ctx, func(id string, s verifier.State) error {
		if failed = out.record(id, s); failed != nil {
			return failed
		}
		if end.Records++; step != nil {
			step(end.Records)
		}
		return nil
	})
	if failed == nil && errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNewer) {
		end.Note, err = cut(err.Error(), maxNote), nil
	}
	if err == nil {
		err = out.end(end)
	}
	if err != nil {
		return BackupEnd{}, fmt.Errorf("backup: %w", err)
	}
	return end, nil
}

func cut(s string, most int) string { return s[:min(len(s), most)] }

// backupWriter writes through a buffer, and adds up what it writes.
type backupWriter struct {
	out *bufio.Writer
	sum hash.Hash
	buf []byte
}

func newBackupWriter(w io.Writer, head BackupHead) (*backupWriter, error) {
	text, err := json.Marshal(head)
	if err != nil {
		return nil, err
	}
	b := &backupWriter{out: bufio.NewWriterSize(w, 64<<10), sum: sha256.New()}
	b.buf = binary.BigEndian.AppendUint32(append(b.buf, backupMagic...), backupFormat)
	b.buf = appendString(b.buf, string(text))
	return b, b.flush()
}

func (b *backupWriter) record(id string, s verifier.State) error {
	b.buf = append(b.buf[:0], recordMark)
	b.buf = appendString(b.buf, id)
	b.buf = appendString(b.buf, string(Encode(Bare(s))))
	return b.flush()
}

func (b *backupWriter) end(e BackupEnd) error {
	b.buf = binary.AppendUvarint(append(b.buf[:0], endMark), uint64(e.Records))
	b.buf = appendString(b.buf, e.Note)
	if err := b.flush(); err != nil {
		return err
	}
	if _, err := b.out.Write(b.sum.Sum(nil)); err != nil {
		return err
	}
	return b.out.Flush()
}

func (b *backupWriter) flush() error {
	b.sum.Write(b.buf)
	_, err := b.out.Write(b.buf)
	return err
}

// BackupReader reads a backup. What it returns before the end is not known to be
// whole: do nothing by it that cannot be undone until Next has returned io.EOF.
type BackupReader struct {
	Head BackupHead
	End  BackupEnd // once Next has returned io.EOF

	in   *bufio.Reader
	sum  hash.Hash
	last string
	n    int
	err  error
}

// NewBackupReader reads the head. Errors wrap [ErrBackup], or are those of r.
func NewBackupReader(r io.Reader) (*BackupReader, error) {
	b := &BackupReader{in: bufio.NewReaderSize(r, 64<<10), sum: sha256.New()}
	start := b.bytes(len(backupMagic) + 4)
	switch {
	case b.err != nil:
	case string(start[:len(backupMagic)]) != backupMagic:
		b.fail("it does not begin like one")
	case binary.BigEndian.Uint32(start[len(backupMagic):]) != backupFormat:
		b.fail("it has format %d, written by a newer lockstep; this one knows up to %d", binary.BigEndian.Uint32(start[len(backupMagic):]), backupFormat)
	}
	text := b.chunk(maxHead)
	if b.err != nil {
		return nil, b.err
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&b.Head); err != nil || b.Head.Made.IsZero() || dec.More() {
		b.fail("its head is not readable")
		return nil, b.err
	}
	return b, nil
}

// Next returns the next record, and io.EOF at the end of a backup that is whole.
func (b *BackupReader) Next() (id string, s verifier.State, err error) {
	switch mark := b.bytes(1); {
	case b.err != nil:
	case mark[0] == endMark:
		b.finish()
	case mark[0] == recordMark:
		id, s = b.record()
	default:
		b.fail("a record is of no known kind")
	}
	if b.err != nil {
		return "", verifier.State{}, b.err
	}
	return id, s, nil
}

func (b *BackupReader) record() (string, verifier.State) {
	id := string(b.chunk(MaxID))
	raw := b.chunk(MaxRecord)
	if b.err != nil {
		return "", verifier.State{}
	}
	if err := CheckID(id); err != nil {
		b.fail("%v", err)
	} else if id <= b.last {
		b.fail("its records are not in order")
	}
	s, err := Decode(raw)
	if err != nil {
		b.fail("state %q: %w", id, err)
	}
	b.last = id
	b.n++
	return id, s
}

func (b *BackupReader) finish() {
	n := b.uvarint()
	note := b.chunk(maxNote)
	want := b.sum.Sum(nil)
	sum := make([]byte, sha256.Size)
	if b.err != nil {
		return
	}
	_, err := io.ReadFull(b.in, sum)
	switch _, more := b.in.ReadByte(); {
	case err != nil:
		b.fault(err)
	case !bytes.Equal(sum, want):
		b.fail("its checksum is wrong")
	case n != uint64(b.n):
		b.fail("it has %d records, and says %d", b.n, n)
	case more == nil:
		b.fail("something follows its end")
	case more != io.EOF:
		b.err = more
	default:
		b.End = BackupEnd{Records: b.n, Note: string(note)}
		b.err = io.EOF
	}
}

func (b *BackupReader) fail(format string, args ...any) {
	if b.err == nil {
		b.err = fmt.Errorf("%w: %w", ErrBackup, fmt.Errorf(format, args...))
	}
}

// fault takes an error of the source.
func (b *BackupReader) fault(err error) {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		b.fail("it ends early")
	} else if b.err == nil {
		b.err = fmt.Errorf("read backup: %w", err)
	}
}

func (b *BackupReader) bytes(n int) []byte {
	if b.err != nil {
		return nil
	}
	buf := make([]byte, n)
	if _, err := io.ReadFull(b.in, buf); err != nil {
		b.fault(err)
		return nil
	}
	b.sum.Write(buf)
	return buf
}

// chunk returns what has its length before it, which is most at most.
func (b *BackupReader) chunk(most int) []byte {
	n := b.uvarint()
	if n > uint64(most) {
		b.fail("a part is too long")
	}
	return b.bytes(int(min(n, uint64(most))))
}

// uvarint takes the shortest form alone, so that there is one form of each backup.
func (b *BackupReader) uvarint() uint64 {
	var raw []byte
	for len(raw) < binary.MaxVarintLen64 {
		one := b.bytes(1)
		if b.err != nil {
			return 0
		}
		if raw = append(raw, one[0]); one[0] < 0x80 {
			break
		}
	}
	v, n := binary.Uvarint(raw)
	if n <= 0 || n > 1 && raw[n-1] == 0 {
		b.fail("a number is out of range")
		return 0
	}
	return v
}

// BackupSummary says what is in a backup.
type BackupSummary struct {
	BackupHead
	BackupEnd
	Newest time.Time `json:"newest"` // the latest time in it: that it was made, or of a login
}

// CheckBackup reads all of r, and returns an error unless that is a whole backup.
// step is told how many records have been read; nil for nobody.
func CheckBackup(r io.Reader, step func(done int)) (BackupSummary, error) {
	b, err := NewBackupReader(r)
	if err != nil {
		return BackupSummary{}, err
	}
	s := BackupSummary{BackupHead: b.Head, Newest: b.Head.Made}
	for {
		_, state, err := b.Next()
		if err == io.EOF {
			s.BackupEnd = b.End
			return s, nil
		}
		if err != nil {
			return BackupSummary{}, err
		}
		if step != nil {
			step(b.n)
		}
		for _, used := range state.Recent {
			if used.At.After(s.Newest) {
				s.Newest = used.At
			}
		}
	}
}
