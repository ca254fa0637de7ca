package bolt

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"go.etcd.io/bbolt"

	"lockstep/store/bolt/journal"
	"lockstep/verifier"
)

// maxGroup is about the most that goes to disk at once, in bytes.
const maxGroup = 1 << 20

type action int

const (
	swap action = iota
	remove
	probe // changes nothing, and yet has to reach the disk
)

// request is one change that waits for the disk.
type request struct {
	do     action
	id     string
	old    verifier.Version
	record []byte // the encoded State, of a swap

	is    verifier.Version // what counts for id now; the leader's own
	known bool             // whether is says so
	err   error            // of this request alone

	// taken is set once: by the leader, when the outcome becomes its
	// concern, or by the caller, who has given up.
	taken  atomic.Bool
	leads  bool       // the caller has been told to lead; guarded by the queue
	answer chan error // holds one, so that the leader never waits
}

// errLead is the answer to whoever is to lead: call [Store.lead], and wait on.
var errLead = errors.New("lead")

// lead reports whether the caller of r can lead: somebody waits for it who has not
// given up. The queue is locked.
func (r *request) lead() bool {
	r.leads = r.leads || r.do != probe && r.taken.CompareAndSwap(false, true)
	return r.leads
}

// live reports whether r is to be written. From then on it cannot be given up.
func (r *request) live() bool { return r.leads || r.taken.CompareAndSwap(false, true) }

// do has r committed, and returns nil when that is on disk.
func (s *Store) do(ctx context.Context, r *request) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("write state: not begun: %w", err)
	}
	if err := s.enqueue(r); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	var err error
	select {
	case err = <-r.answer:
	case <-ctx.Done():
		if r.taken.CompareAndSwap(false, true) {
			return fmt.Errorf("write state: not begun: %w", ctx.Err())
		}
		err = <-r.answer
	}
	for err == errLead {
		s.lead()
		err = <-r.answer
	}
	if err != nil {
		return fmt.Errorf("write state to %s: %w", s.path, err)
	}
	return nil
}

func (s *Store) enqueue(r *request) error {
	r.answer = make(chan error, 1)
	return s.queue.add(r)
}

// lead writes one group and passes the lead on. What comes while the disk is busy
// makes the next group, and what comes soon after, see pace.
func (s *Store) lead() {
	whole := false
	defer func() {
		if !whole { // a panic, which the caller may survive
			s.abandon()
		}
		clear(s.batch) // or the States of the last group live on till the next
		s.batch = s.batch[:0]
		s.queue.pass()
	}()
	if enough, most := s.pace.wait(s.opts.Now()); most > 0 {
		s.queue.gather(enough, most, s.timer)
	}
	s.pace.began = s.opts.Now()
	s.batch = s.take(s.batch[:0])
	s.pace.size = len(s.batch)
	if len(s.batch) > 0 {
		s.commit(s.batch)
	}
	s.pace.expected = s.pace.size + s.queue.length()
	whole = true
}

// abandon answers a group of which nobody can tell what became of it, and all who
// wait: the leader, who may be one of them, is not there to lead again. What is in
// memory need not be what is on disk any more, so nothing is read or written from
// now on.
func (s *Store) abandon() {
	s.health.condemn(errPanic)
	for _, r := range append(s.batch, s.queue.empty()...) {
		select {
		case r.answer <- errPanic:
		default: // has one
		}
	}
}

// take returns what goes to disk now, without those who have given up.
func (s *Store) take(batch []*request) []*request {
	if s.opts.beforeCommit != nil {
		s.opts.beforeCommit()
	}
	batch = s.queue.take(batch)
	live := batch[:0]
	for _, r := range batch {
		if r.live() {
			live = append(live, r)
		}
	}
	return live
}

// commit writes batch as one group and answers each request. If that fails,
// nobody can tell which of them is on disk, so all fail, those with a conflict
// too: it may be with a change that was never written.
func (s *Store) commit(batch []*request) {
	s.health.begin(s.opts.Now())
	changed, err := s.transact(batch)
	if turned := s.health.end(changed, err); turned && err == nil {
		s.opts.Log.Info("state can be written again", "path", s.path)
	} else if turned {
		s.opts.Log.Error("state cannot be written", "path", s.path, "err", err)
	}
	for _, r := range batch {
		if err != nil {
			r.err = err
		}
		r.answer <- r.err
	}
	s.foldAgain()
}

// transact applies batch and reports whether anything was written.
func (s *Store) transact(batch []*request) (changed bool, err error) {
	if err := s.ready(); err != nil {
		return false, err
	}
	if err := s.lookUp(batch); err != nil {
		return false, err
	}
	s.group.Reset()
	clear(s.changes)
	for _, r := range batch {
		changed = s.apply(r) || changed
	}
	if !changed {
		return false, nil
	}
	if err := s.append(); err != nil {
		return false, err
	}
	s.commits.Add(1)
	s.tables.publish(s.changes)
	return true, nil
}

// lookUp finds the Version that counts for each request.
func (s *Store) lookUp(batch []*request) error {
	missing := false
	for _, r := range batch {
		var c change
		if c, r.known = s.tables.get(r.id); r.known && !c.deleted {
			r.is = verifier.Version(c.version)
		}
		missing = missing || !r.known && r.do != probe
	}
	if !missing {
		return nil
	}
	// Begun after all looks at the tables, see get.
	return s.view(func(tx *bbolt.Tx) error {
		b := tx.Bucket(recordsBucket)
		for _, r := range batch {
			if r.known || r.do == probe {
				continue
			}
			if raw := b.Get([]byte(r.id)); raw != nil {
				r.is, r.err = recordVersion(raw)
			}
		}
		return nil
	})
}

// apply adds the change of r to the group, and reports whether there is one.
func (s *Store) apply(r *request) (changed bool) {
	if r.do == probe {
		return true
	}
	if c, ok := s.changes[r.id]; ok { // by another request of the group
		r.is, r.err = verifier.Version(c.version), nil
		if c.deleted {
			r.is = 0
		}
	}
	if r.err != nil && r.do == swap {
		return false
	}
	if r.do == remove {
		if r.is == 0 && r.err == nil {
			return false
		}
		r.err = nil // what cannot be read can be deleted
		s.record(strings.Clone(r.id), change{version: s.last, deleted: true})
		return true
	}
	if r.is != r.old {
		r.err = verifier.ErrConflict
		return false
	}
	// s.last never goes back, also when a group fails.
	s.last++
	s.record(strings.Clone(r.id), change{version: s.last, record: r.record})
	return true
}

func (s *Store) record(id string, c change) {
	s.changes[id] = c
	s.group.Add(journal.Record{ID: id, Version: c.version, Deleted: c.deleted, Value: c.record})
}

// append writes the group, to the next segment where the one in use takes no
// more.
func (s *Store) append() error {
	if s.segment == nil || !s.segment.Takes(&s.group) || s.tables.filled(s.opts.limits.table) > 1 {
		if err := s.roll(); err != nil {
			return err
		}
	}
	if err := s.announce(); err != nil {
		return err
	}
	if err := s.segment.Append(&s.group); err != nil {
		return err
	}
	s.taken.Store(s.segment.Used() * 1000 / s.segment.Size())
	if s.opts.afterCommit != nil {
		if err := s.opts.afterCommit(); err != nil {
			s.segment.Disown()
			return err
		}
	}
	return nil
}

var errFull = errors.New("the log is full, and cannot be put into the state file")

// roll begins the next segment, and has the changes of those before it put
// into the file. There are two tables at most: where the file falls behind,
// writes wait for it, and where it cannot be written, they fail.
func (s *Store) roll() error {
	if s.tables.pending() != nil {
		if err := s.foldNow(); err != nil {
			return fmt.Errorf("%w: %w", errFull, err)
		}
	}
	next, err := s.nextSegment()
	if err != nil {
		return err
	}
	if s.segment != nil {
		s.tables.seal(s.segment.Number(), s.segment.Last())
		_ = s.segment.Close() // all that counts of it was synced
	}
	s.segment = next
	if s.tables.pending() != nil {
		s.tend(next.Size())
	}
	return nil
}

// nextSegment follows on the last group that was acknowledged.
func (s *Store) nextSegment() (*journal.Segment, error) {
	after := s.mark
	if s.segment != nil {
		after = s.segment.Last()
	}
	if err := s.identify(); err != nil {
		return nil, err
	}
	blank, err := s.nextBlank()
	if err != nil {
		return nil, err
	}
	next, err := blank.Begin(s.id, s.number+1, after)
	if err != nil {
		return nil, err
	}
	s.number++
	s.active.Store(s.number)
	s.taken.Store(0)
	return next, nil
}

// nextBlank returns the one made ahead, or makes one. Each is larger than the
// one before, so that a store of few logins takes little of the disk.
func (s *Store) nextBlank() (*journal.Blank, error) {
	if blank := s.blank.Swap(nil); blank != nil {
		if blank.Fits(&s.group) {
			return blank, nil
		}
		blank.Discard()
	}
	least := max(s.opts.limits.first, journal.SizeFor(&s.group))
	size := least
	if s.segment != nil {
		size = max(least, s.segment.Size())
		if !s.segment.Doubtful() {
			size = max(least, s.opts.limits.after(size))
		}
	}
	blank, err := journal.NewBlank(s.path, size)
	if err != nil && size > least { // a disk that is full, a quota, or another limit
		blank, err = journal.NewBlank(s.path, least)
	}
	return blank, err
}
