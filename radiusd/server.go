package radiusd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"lockstep/internal/opaque"
)

// ErrServerClosed is returned by Serve and ServeAccounting after Shutdown.
var ErrServerClosed = errors.New("RADIUS server is shut down")

// Server answers RADIUS requests. Its fields are set before the first Serve
// and not changed afterwards. All methods may be called at once. The zero
// Server works, and knows no clients.
type Server struct {
	Log *slog.Logger     // default: none
	Now func() time.Time // default time.Now

	// StateKey, 32 octets, is the StateKey with the ID 0 if SetStateKeys has not
	// been called before the first Serve. Empty means a key of this Server alone.
	StateKey opaque.Bytes

	// Ready returns nil if logins can be decided. Otherwise Status-Server gets
	// no answer, so that clients turn to another server. It is called while
	// packets wait and must not block. Nil means always ready.
	Ready func() error

	// Audit is told of each decision before its reply leaves, and of each request
	// about which there could be none; not of packets that are dropped. An error
	// means that no reply is sent. Several goroutines call it at once. Nil is told
	// nothing.
	Audit func(context.Context, Decided) error

	// Workers is how many logins are decided at once; default 512. A worker
	// waits for a directory or a store most of the time: there must be more of
	// them than a slow one can hold, for the logins that do not need it. While
	// decisions take over half of Patience there are fewer, down to 64: more would only
	// wait for one another. Eight are for answers to challenges alone.
	Workers int

	// Queue is how many requests may wait for a worker, fresh and challenged
	// ones each; default 1024.
	Queue int

	// Patience is how long a request may wait for a worker; default 1 s. It is
	// dropped then, without a decision, since its client is about to give up.
	// Sent again meanwhile, it may wait as long again.
	Patience time.Duration

	Deadline   time.Duration // of one request, from its arrival; default 5 s
	Duplicates int           // requests and replies remembered; default 131072, which is enough for 26,000 in a second
	Delayed    int           // replies that may wait for their time; default 16384

	once     sync.Once
	startErr error
	log      *slog.Logger
	now      func() time.Time
	clients  atomic.Pointer[clientTable]
	counters counters
	q        atomic.Uint64
	sealer   atomic.Pointer[stateRing]
	states   *stateSet
	dedupe   *dedupe
	warnings *sometimes // about clients
	unknown  *sometimes // about sources that are no clients

	crew      *crew
	deadlines *deadlines
	delayed   atomic.Int64 // replies that wait for their time
	inflight  sync.WaitGroup
	readers   sync.WaitGroup
	base      context.Context // ends when nothing more is to be decided
	quit      context.CancelFunc

	mu      sync.Mutex // guards those below, and writing to clients
	closed  bool
	sockets []*socket
}

// SetClients replaces the clients, also while the server runs. A request goes
// by the clients of the time when it came. An error means that nothing changed.
func (s *Server) SetClients(clients []Client) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	table, err := newClientTable(clients, s.clients.Load())
	if err != nil {
		return err
	}
	s.clients.Store(table)
	return nil
}

// Serve answers Access-Request and Status-Server on conn until Shutdown, when
// it returns nil, or until conn fails. It may be called for several
// connections. Shutdown closes conn; wait for it to return.
func (s *Server) Serve(conn net.PacketConn) error { return s.serve(conn, authPort) }

// ServeAccounting is like Serve, for Accounting-Request and Status-Server.
// What accounting says is acknowledged and not kept: some clients treat a
// login as failed without that.
func (s *Server) ServeAccounting(conn net.PacketConn) error { return s.serve(conn, acctPort) }

// Shutdown stops reading, finishes what has been read, rejects that wait
// included, and then closes the connections. If ctx ends first, what is left
// is dropped, and the error is ctx's.
func (s *Server) Shutdown(ctx context.Context) error {
	if err := s.start(); err != nil {
		return err
	}
	sockets := s.close()
	for _, socket := range sockets {
		socket.SetReadDeadline(time.Unix(1, 0))
	}
	done := make(chan struct{})
	go func() {
		s.readers.Wait()
		s.inflight.Wait() // only readers and work in flight add to it
		close(done)
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = fmt.Errorf("shut down RADIUS server: %w", context.Cause(ctx))
	}
	s.quit()
	s.crew.stop()
	for _, socket := range sockets {
		socket.Close()
	}
	return err
}

func (s *Server) close() []*socket {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return s.sockets
}

// stopped reports whether Shutdown is over: nothing is decided or sent any more.
func (s *Server) stopped() bool { return s.base.Err() != nil }

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

func (s *Server) addSocket(conn net.PacketConn) (*socket, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrServerClosed
	}
	socket := newSocket(conn, uint32(len(s.sockets)))
	s.sockets = append(s.sockets, socket)
	s.readers.Add(1)
	return socket, nil
}

// start fills in the defaults and starts the workers, once.
func (s *Server) start() error {
	s.once.Do(func() { s.startErr = s.init() })
	return s.startErr
}

func (s *Server) init() (err error) {
	if err := s.initStateKeys(); err != nil {
		return err
	}
	s.log, s.now = s.Log, s.Now
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	duplicates := orDefault(s.Duplicates, 1<<17)
	s.dedupe = newDedupe(duplicates, s.now())
	s.states = newStateSet(duplicates)
	s.warnings = newSometimes(time.Minute, 1<<14)
	s.unknown = newSometimes(time.Minute, 1<<10)
	s.base, s.quit = context.WithCancel(context.Background())
	s.deadlines = &deadlines{base: s.base, after: s.deadline()}
	s.crew = newCrew(orDefault(s.Workers, 512), orDefault(s.Queue, 1024), orDefault(s.Patience, defaultPatience), s.now, s.work)
	return nil
}

func orDefault[T int | time.Duration](v, fallback T) T {
	if v > 0 {
		return v
	}
	return fallback
}

func (s *Server) deadline() time.Duration { return orDefault(s.Deadline, 5*time.Second) }

func (s *Server) mostDelayed() int64 { return int64(orDefault(s.Delayed, 1<<14)) }

// unmap returns the address that a client is known by: IPv4 in IPv6 is IPv4.
func unmap(addr netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
}
