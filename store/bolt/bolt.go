// Package bolt keeps the State of TOTP keys in one file, by way of bbolt, with
// a log in front of it.
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
// logins at once cost hardly more than one. Where many come one after the
// other, a write may wait up to two milliseconds for more of them; where they
// come alone, none does. Reads wait for no write.
//
// # The log
//
// A write goes to the log, see package journal, and to a table in memory once
// it is on disk. When a file of the log or the table is full, the next file is
// begun, and what the table holds, of each id the last, goes into the state
// file in the background, with pauses that leave the disk to the logins. There
// are two such tables at most, and two files of the log, so both are bounded: where
// the state file falls behind, writes wait for it, and where it cannot be
// written, they fail.
//
// The files of the log stand beside the state file, as state.db.log- and a
// number. While the program runs, and after it was killed, they are part of
// the state: copy and restore them together with the state file, and all at
// one moment, as by a snapshot. After Close there is no log, and the state
// file is all there is, also to a program that knows of no log. Open refuses
// a state file without the log that it needs, and a log of another state file
// or of another time.
//
// # Backups
//
// [store.Backup] writes what a running Store holds, and [Restore] puts it in the place
// of a file that nobody uses. A file that was restored says so, see
// [store.Store].Restored, and is refused by programs that know of no restores. A file that is put
// back by hand is noticed by what its lock, state.db.lock, remembers: which file was
// used last, and how far it was by the last Close, Open, or fold of the log. It is not
// noticed where the lock goes back too, as with a whole disk or machine.
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
	"lockstep/store/bolt/journal"
	"lockstep/verifier"
)

// ErrInUse is returned by [Open] when another process has the file.
var ErrInUse = errors.New("in use by another process; is lockstep running?")

// Options are the parts of a Store that have defaults.
type Options struct {
	Log *slog.Logger     // told when writes begin to fail and when they succeed again; nil for nobody
	Now func() time.Time // nil for the clock of the system

	// For tests. beforeCommit runs in the leader, when the requests of a
	// group are chosen; afterCommit once it is on disk, and its error is taken
	// for that of the disk; afterChunk when a part of the log is in the file.
	beforeCommit func()
	afterCommit  func() error
	afterChunk   func()
	limits       limits // zero for the default ones
}

// Store is a [store.Store] in a file. All methods may be called at once.
type Store struct {
	path   string
	opts   Options
	health health

	writing      sync.Mutex    // held to write the file; before mu
	beforeUpdate func() error  // for tests; guarded by writing, its error is that of the file
	mu           sync.RWMutex  // guards db
	db           *bbolt.DB     // nil while the file cannot be opened, and after Close
	info         os.FileInfo   // of the file first opened
	lock         *os.File      // held until Close
	seen         atomic.Int64  // the size it had at least
	restored     atomic.Int64  // see Restored, in milliseconds; 0 for never
	half         atomic.Bool   // see BeginCopy
	copies       atomic.Int64  // that were begun by this process
	noted        atomic.Uint64 // see remember

	queue *queue

	tables tables
	keeper keeper
	active atomic.Uint64                 // number of the segment in use, 0 for none
	taken  atomic.Int64                  // of that segment, in thousandths
	blank  atomic.Pointer[journal.Blank] // made ahead, nil for none

	commits atomic.Int64 // groups that reached the disk

	// What follows is the leader's own.
	batch     []*request  // the group
	pace      pace        // of the last group
	timer     *time.Timer // stopped
	id        journal.ID
	segment   *journal.Segment // in use, nil before the first group
	number    uint64           // of the last segment that there was
	mark      journal.Mark     // of the last group before the first segment
	last      uint64           // the Version given last
	announced bool             // whether the file says that there is a log
	group     journal.Group
	changes   map[string]change // those of group
}

// Open opens the file at path, and creates it, and the directories that lead
// to it, where there is none. It waits for about a second for a file that
// another process has, then returns an error wrapping [ErrInUse]. A file that
// is damaged, empty, not of Lockstep, or of a newer Lockstep is an error, and
// is left as it is. So is one that does not belong to the log beside it.
func Open(path string, opts Options) (*Store, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.limits == (limits{}) {
		opts.limits = defaultLimits
	}
	s := &Store{path: path, opts: opts, timer: time.NewTimer(time.Hour),
		tables: tables{active: newTable()}, changes: map[string]change{},
		keeper: keeper{work: make(chan errand, 1), rush: make(chan struct{}, 1), stopped: make(chan struct{})}}
	s.timer.Stop()
	s.queue = newQueue(s.lead)
	if err := createIfAbsent(path); err != nil {
		return nil, fmt.Errorf("create state file %s: %w", path, err)
	}
	var err error
	if s.lock, err = lock(path, openTimeout); err != nil {
		return nil, fmt.Errorf("open state file %s: %w", path, err)
	}
	if err := s.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("open state file %s: %w", path, err), s.lock.Close())
	}
	if s.tables.pending() != nil {
		s.keeper.work <- errand{}
	}
	go s.keep()
	return s, nil
}

// open opens the file and reads its log.
func (s *Store) open() error {
	db, file, err := openFile(s.path, openTimeout, nil)
	if err != nil {
		return err
	}
	if s.info, err = file.Stat(); err != nil {
		return errors.Join(err, db.Close())
	}
	s.db = db
	s.seen.Store(s.info.Size())
	err = s.recover()
	if err == nil {
		err = s.recall()
	}
	if err != nil {
		return errors.Join(err, s.closeFile())
	}
	return nil
}

// Load implements [verifier.Store]. It waits for no write.
func (s *Store) Load(ctx context.Context, id string) (state verifier.State, v verifier.Version, err error) {
	if err := errors.Join(ctx.Err(), store.CheckID(id)); err != nil {
		return verifier.State{}, 0, fmt.Errorf("read state: %w", err)
	}
	if c, ok := s.tables.get(id); ok {
		return s.loadChange(c)
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

func (s *Store) loadChange(c change) (verifier.State, verifier.Version, error) {
	if err := s.health.condemned(); err != nil {
		return verifier.State{}, 0, fmt.Errorf("read state from %s: %w", s.path, err)
	}
	if c.deleted {
		return verifier.State{}, 0, nil
	}
	state, err := store.Decode(c.record)
	if err != nil {
		return verifier.State{}, 0, fmt.Errorf("read state from the log of %s: %w", s.path, err)
	}
	return state, verifier.Version(c.version), nil
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
	if err := store.Check(record); err != nil {
		return fmt.Errorf("write state: refused: %w", err)
	}
	return s.do(ctx, &request{do: swap, id: id, old: old, record: record})
}

// Delete implements [store.Store]. It waits as CompareAndSwap does.
func (s *Store) Delete(ctx context.Context, id string) error {
	if err := store.CheckID(id); err != nil {
		return fmt.Errorf("delete state: %w", err)
	}
	return s.do(ctx, &request{do: remove, id: id})
}

// Close implements [store.Store]. What waits to be written is written first,
// then the log is put into the file and removed. After an error there may be a
// log, and nothing is lost: the next Open reads it.
func (s *Store) Close() error {
	first := s.queue.close()
	<-s.queue.ended
	if !first {
		<-s.keeper.stopped
		return nil
	}
	s.keeper.hasten()
	close(s.keeper.work)
	<-s.keeper.stopped
	err := s.finish()
	s.tables.clear()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := errors.Join(err, s.closeFile(), s.lock.Close()); err != nil {
		return fmt.Errorf("close state file %s: %w", s.path, err)
	}
	return nil
}

// finish puts all of the log into the file and removes the log.
func (s *Store) finish() error {
	if b := s.blank.Swap(nil); b != nil {
		b.Discard()
	}
	if s.health.condemned() != nil {
		return nil // the log keeps what there is
	}
	err := s.fold(true)
	if err != nil || s.segment == nil {
		return err
	}
	s.active.Store(0)
	s.tables.seal(s.segment.Number(), s.segment.Last())
	return errors.Join(s.fold(true), s.segment.Close())
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
