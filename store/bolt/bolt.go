// Package bolt keeps the State of TOTP keys in one file, by way of bbolt.
//
// It is the store for a single server: one process has the file at a time. It
// implements [store.Store], and promises beside what stands there:
//
//   - What was acknowledged is on disk. A kill -9 or a power cut at any moment
//     loses nothing of it and leaves the file whole, as long as the disk keeps
//     what it said it has.
//   - When the disk is full or fails, every write is an error, and so is every
//     read that cannot be trusted. Writes are tried anew all the time, and
//     succeed again once the disk does; nobody has to restart anything.
//   - If the file is moved away, replaced or damaged under the running
//     program, the answer is an error and never an empty State.
//
// Writes that wait while another is synced go to disk together, so that many
// logins at once cost hardly more than one. Reads wait for no write.
//
// The content of the file is taken for damaged until it has proved otherwise;
// whoever can write the file can make spent codes good again.
package bolt

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"lockstep/store"
	"lockstep/verifier"
)

// ErrInUse is returned by [Open] when another process has the file.
var ErrInUse = errors.New("in use by another process; is lockstep running?")

// Options are the parts of a Store that have defaults.
type Options struct {
	Log *slog.Logger     // told when writes begin to fail and when they succeed again; nil for nobody
	Now func() time.Time // nil for the clock of the system

	// For tests. beforeCommit runs in the committer, when the requests of a
	// commit are chosen; afterCommit once it is on disk, and its error is
	// taken for that of the disk.
	beforeCommit func()
	afterCommit  func() error
}

// Store is a [store.Store] in a file. All methods may be called at once.
type Store struct {
	path   string
	opts   Options
	health health

	mu   sync.RWMutex // guards db for readers; the committer alone changes it
	db   *bbolt.DB    // nil while the file cannot be opened, and after Close
	info os.FileInfo  // of the file first opened

	queueMu sync.RWMutex // guards closed, and queue against a send after close
	closed  bool
	queue   chan *request
	stopped chan struct{} // closed when the committer has ended

	last    uint64       // the Version given last; the committer's own
	commits atomic.Int64 // that reached the disk
}

// Open opens the file at path, and creates it, and the directories that lead
// to it, where there is none. It waits for about a second for a file that
// another process has, then returns an error wrapping [ErrInUse]. A file that
// is damaged, empty, not of Lockstep, or of a newer Lockstep is an error, and
// is left as it is.
func Open(path string, opts Options) (*Store, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	s := &Store{path: path, opts: opts, queue: make(chan *request, maxWaiting), stopped: make(chan struct{})}
	if err := createIfAbsent(path); err != nil {
		return nil, fmt.Errorf("create state file %s: %w", path, err)
	}
	db, file, err := openFile(path, openTimeout, nil)
	if err != nil {
		return nil, fmt.Errorf("open state file %s: %w", path, err)
	}
	if s.info, err = file.Stat(); err != nil {
		return nil, errors.Join(fmt.Errorf("open state file %s: %w", path, err), db.Close())
	}
	s.db = db
	go s.run()
	return s, nil
}

// Load implements [verifier.Store]. It waits for no write.
func (s *Store) Load(ctx context.Context, id string) (state verifier.State, v verifier.Version, err error) {
	if err := errors.Join(ctx.Err(), store.CheckID(id)); err != nil {
		return verifier.State{}, 0, fmt.Errorf("read state: %w", err)
	}
	err = s.view(func(tx *bbolt.Tx) error {
		raw := tx.Bucket(recordsBucket).Get([]byte(id))
		if raw == nil {
			return nil
		}
		state, v, err = parseRecord(raw)
		return err
	})
	if err != nil {
		return verifier.State{}, 0, fmt.Errorf("read state from %s: %w", s.path, err)
	}
	return state, v, nil
}

// CompareAndSwap implements [verifier.Store]. While it waits for its turn it
// gives up when ctx is done, and nothing was written then. Once its commit has
// begun it stays to the end, however late: to leave would be a code spent and
// nobody told.
func (s *Store) CompareAndSwap(ctx context.Context, id string, old verifier.Version, next verifier.State) error {
	record := store.Encode(next)
	if err := store.CheckID(id); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	// What cannot be read back would shut the key out for good.
	if _, err := store.Decode(record); err != nil {
		return fmt.Errorf("write state: refused: %w", err)
	}
	return s.do(ctx, func(tx *bbolt.Tx) (bool, error) { return s.swap(tx, []byte(id), old, record) })
}

// Delete implements [store.Store]. It waits as CompareAndSwap does.
func (s *Store) Delete(ctx context.Context, id string) error {
	if err := store.CheckID(id); err != nil {
		return fmt.Errorf("delete state: %w", err)
	}
	return s.do(ctx, func(tx *bbolt.Tx) (bool, error) {
		b := tx.Bucket(recordsBucket)
		if b.Get([]byte(id)) == nil {
			return false, nil
		}
		return true, b.Delete([]byte(id))
	})
}

// Close implements [store.Store]. What waits to be written is written first.
func (s *Store) Close() error {
	s.queueMu.Lock()
	first := !s.closed
	s.closed = true
	if first {
		close(s.queue)
	}
	s.queueMu.Unlock()
	<-s.stopped
	if !first {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.closeFile(); err != nil {
		return fmt.Errorf("close state file %s: %w", s.path, err)
	}
	return nil
}

// A record is the Version, 8 bytes with the high one first, and the encoded
// State.
const versionBytes = 8

func recordVersion(raw []byte) (verifier.Version, error) {
	if len(raw) <= versionBytes {
		return 0, fmt.Errorf("%w: record is too short", store.ErrDamaged)
	}
	v := verifier.Version(binary.BigEndian.Uint64(raw))
	if v == 0 {
		return 0, fmt.Errorf("%w: version is 0", store.ErrDamaged)
	}
	return v, nil
}

// parseRecord returns what raw holds, and shares nothing with it: raw is part
// of the file, and gone when the transaction ends.
func parseRecord(raw []byte) (verifier.State, verifier.Version, error) {
	v, err := recordVersion(raw)
	if err != nil {
		return verifier.State{}, 0, err
	}
	state, err := store.Decode(raw[versionBytes:])
	if err != nil {
		return verifier.State{}, 0, err
	}
	return state, v, nil
}
