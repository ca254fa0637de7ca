// Package etcd keeps the State of TOTP keys in an etcd cluster, for several
// servers that share it.
//
// It implements [store.Store], and promises beside what stands there:
//
//   - What was acknowledged is on the disks of a quorum. Of two servers that
//     spend one step, one gets a conflict, whatever their clocks and copies say.
//   - Each server remembers records that it has read or written, so that a login
//     costs one transaction. What it remembers is used only while the quorum
//     answers and the watch keeps up: it shows everything that was acknowledged
//     over [trust] ago. A server that is cut off says so, by errors, within that time.
//   - A write whose answer is lost is sent again, to another node, and known by
//     a number in the record if it was done the first time. A node that is slow,
//     stopped or cut off costs a part of a second.
//   - Nothing expires: there are no leases.
//
// What cannot be noticed: a cluster that was restored from a snapshot of etcd's own,
// and not by [Store.Restore], or made anew, while no server ran. Spent codes are good again then, for as long as
// their time lasts. While a server runs it refuses such a cluster until
// it is started again. An operator who restores etcd itself should keep the servers
// stopped for the time that codes are accepted after their time, or for a day if
// phones are far out of step.
//
// etcd's quota (NOSPACE) stops plain writes, but not the grouped ones of
// logins, in the versions known to us. They go on until the disk is full. The
// alarm is logged and in [Health]; Compact keeps it from coming.
//
// Hostile input: none by intention, since whoever can write to etcd can make
// spent codes good. All the same nothing that is read is believed before it is
// checked. Give Lockstep an etcd of its own, and let in by client certificates
// alone: etcd 3.4 lets those write who may not, by transactions within another.
package etcd

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"lockstep/internal/opaque"
	"lockstep/store"
	"lockstep/verifier"
)

// Options say where the cluster is and who we are.
type Options struct {
	Endpoints []string         // client URLs of the nodes, http(s)://host:port; at least one
	Prefix    string           // of all keys; "" for "/lockstep/". A slash is added where it ends in none
	TLS       *tls.Config      // for https, with the client certificate; nil for the CAs of the system
	User      string           // of etcd's own authentication, "" for none
	Password  opaque.Bytes     // of User
	Name      string           // of this server, for people
	Version   string           // of this program, for people; "" for that of its build
	Compact   bool             // take turns with the other servers in compacting the history
	Cache     int              // bytes of records remembered; 0 for 64 MiB
	Log       *slog.Logger     // nil for nobody
	Now       func() time.Time // what Peers are told of our clock; nil for the clock of the system

	compactEvery, keepHistory time.Duration        // for tests
	elapsed                   func() time.Duration // what has gone by for the sealing keys; for tests
}

// Store is a [store.Store] in etcd. All methods may be called at once.
type Store struct {
	opts    Options
	id      string // of this process
	cluster *cluster
	pulse   pulse
	mirror  *mirror
	writes  *batcher
	reads   *batcher
	peers   peers
	ring    ring
	groups  atomic.Int64 // transactions that wrote

	watching atomic.Pointer[watching]

	mu     sync.Mutex // guards closed
	closed bool
	end    context.CancelFunc // of what runs in the background
	done   sync.WaitGroup     // the same

	background context.Context
	began      time.Time // for elapsed
}

const (
	defaultPrefix = "/lockstep/"
	defaultCache  = 64 << 20
)

// Open returns a Store. It checks opts, and connects in the background: that no
// node answers is no error here, but one of every method until one does.
func Open(opts Options) (*Store, error) {
	if err := opts.complete(); err != nil {
		return nil, fmt.Errorf("open etcd: %w", err)
	}
	s := &Store{opts: opts, id: rand.Text(), mirror: newMirror(opts.Cache), began: time.Now()}
	s.peers.own = s.id
	if s.opts.elapsed == nil {
		s.opts.elapsed = s.elapsed
	}
	s.background, s.end = context.WithCancel(context.Background())
	s.cluster = newCluster(opts, s.elapsed, s.pulse.hear)
	if err := s.cluster.start(s.background, &s.done); err != nil {
		s.end()
		s.cluster.close()
		return nil, fmt.Errorf("open etcd: %w", err)
	}
	s.writes, s.reads = newBatcher(s.write), newBatcher(s.read)
	s.writes.start(writers)
	s.reads.start(readers)
	s.done.Go(s.follow)
	s.done.Go(s.attend)
	s.done.Go(s.watchAlarms)
	if opts.Compact {
		s.done.Go(s.compact)
	}
	return s, nil
}

func (o *Options) complete() error {
	if len(o.Endpoints) == 0 {
		return errors.New("no endpoint is given")
	}
	for _, endpoint := range o.Endpoints {
		u, err := url.Parse(endpoint)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			return fmt.Errorf("endpoint %q: want a URL such as https://etcd1.example.com:2379", endpoint)
		}
	}
	if (o.User == "") != (o.Password.Len() == 0) {
		return errors.New("want both a user and a password, or neither")
	}
	if o.Prefix == "" {
		o.Prefix = defaultPrefix
	}
	if !strings.HasSuffix(o.Prefix, "/") {
		o.Prefix += "/"
	}
	if o.Cache <= 0 {
		o.Cache = defaultCache
	}
	if o.Version == "" {
		if info, ok := debug.ReadBuildInfo(); ok {
			o.Version = info.Main.Version
		}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.compactEvery == 0 {
		o.compactEvery, o.keepHistory = compactEvery, keepHistory
	}
	return nil
}

// elapsed is the time since Open. It is no clock: nobody sets it.
func (s *Store) elapsed() time.Duration { return time.Since(s.began) }

func (s *Store) key(id string) string { return s.opts.Prefix + "state/" + id }

// Load implements [verifier.Store].
func (s *Store) Load(ctx context.Context, id string) (verifier.State, verifier.Version, error) {
	r, err := s.load(ctx, id)
	if err != nil {
		return verifier.State{}, 0, fmt.Errorf("read state: %w", err)
	}
	if r.rev == 0 {
		return verifier.State{}, 0, nil
	}
	state, err := decodeRecord(r.value)
	if err != nil {
		return verifier.State{}, 0, fmt.Errorf("read state %q: %w", id, err)
	}
	return state, verifier.Version(r.rev), nil
}

func (s *Store) load(ctx context.Context, id string) (record, error) {
	if err := errors.Join(ctx.Err(), store.CheckID(id), s.usable()); err != nil {
		return record{}, err
	}
	return s.get(ctx, s.key(id))
}

// get returns what is at key, from what is remembered if that can be trusted.
func (s *Store) get(ctx context.Context, key string) (record, error) {
	if s.pulse.fresh(s.elapsed()) {
		if r, ok := s.mirror.get(key); ok {
			return r, nil
		}
	}
	return s.fetch(ctx, key)
}

// fetch asks the quorum.
func (s *Store) fetch(ctx context.Context, key string) (record, error) {
	s.mirror.expect(key)
	o := s.reads.do(ctx, &request{key: key})
	return o.is, o.err
}

// CompareAndSwap implements [verifier.Store]. When ctx is done it leaves; what
// had been sent by then may still be done.
func (s *Store) CompareAndSwap(ctx context.Context, id string, old verifier.Version, next verifier.State) error {
	if err := errors.Join(ctx.Err(), store.CheckID(id), s.usable()); err != nil {
		return fmt.Errorf("write state: not begun: %w", err)
	}
	value, err := encodeRecord(next)
	if err != nil {
		return fmt.Errorf("write state: refused: %w", err)
	}
	if err := s.swap(ctx, s.key(id), int64(old), value); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	return nil
}

// swap writes value to key, if what is there has revision old. The value begins
// with a nonce.
func (s *Store) swap(ctx context.Context, key string, old int64, value []byte) error {
	if old < 0 {
		return verifier.ErrConflict // no revision is negative
	}
	r := &request{key: key, old: old, value: value}
	if is, ok := s.mirror.get(key); ok && is.rev == old && same(is.value, value) {
		r.value, r.same = is.value, true
	}
	o := s.writes.do(ctx, r)
	switch {
	case errors.Is(o.err, errUnknown):
		// Who loads next shall see what has become of it.
		s.mirror.forget(key)
		return o.err
	case o.err != nil || o.done:
		return o.err
	case o.resent && !r.same:
		return s.settle(ctx, key, old, value, o.is)
	default:
		return verifier.ErrConflict
	}
}

// Older implements [verifier.Ager]. What came while this process was not there, or
// heard nothing, counts as old: there is nothing to go by but clocks, which may have
// been set.
func (s *Store) Older(v verifier.Version, than time.Duration) bool {
	return s.pulse.older(int64(v), than, s.elapsed())
}

// Delete implements [store.Store].
func (s *Store) Delete(ctx context.Context, id string) error {
	r, err := s.load(ctx, id)
	// Of a given revision, and not whatever is there: a request that is delayed
	// on its way must not remove what is written later.
	for err == nil && r.rev != 0 {
		o := s.writes.do(ctx, &request{key: s.key(id), old: r.rev})
		if o.done {
			return nil
		}
		r, err = o.is, o.err
		if err == nil && o.resent && r.rev != 0 {
			// The first try may have done it, and this be written since.
			err = errUnknown
		}
	}
	if err != nil {
		s.mirror.forget(s.key(id))
		return fmt.Errorf("delete state: %w", err)
	}
	return nil
}

// closeWait is how long Close waits for what was begun, if the quorum answers.
const closeWait = 2 * time.Second

// Close implements [store.Store]. It waits for up to two seconds for writes
// that are under way, and not at all where there is no quorum to do them.
func (s *Store) Close() error {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	s.mu.Unlock()
	if !first {
		s.done.Wait()
		return nil
	}
	drained := make(chan struct{})
	go func() {
		s.writes.close()
		s.reads.close()
		s.leave()
		close(drained)
	}()
	wait := closeWait
	if silent, ever := s.pulse.silent(s.elapsed()); !ever || silent > away {
		wait = 0
	}
	select {
	case <-drained:
	case <-time.After(wait):
	}
	s.end()
	<-drained
	s.done.Wait()
	s.cluster.close()
	return nil
}

// usable returns an error if no question should be asked at all.
func (s *Store) usable() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return store.ErrClosed
	}
	return s.cluster.condemned()
}
