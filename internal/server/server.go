// Package server is where the parts meet: it builds a directory, a store, a
// verifier, the RADIUS server and the admin socket out of one configuration,
// runs them, and translates between them, since none knows the others.
//
// It promises that a server that has started answers every login it can decide
// and stays silent where it cannot, also while the directory or the store is
// away; that a reload either takes the whole new configuration or changes
// nothing; and that Shutdown answers what is in flight.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"lockstep/admin"
	"lockstep/config"
	"lockstep/internal/audit"
	"lockstep/internal/sysclock"
	"lockstep/ldapsync"
	"lockstep/radiusd"
	"lockstep/store"
	"lockstep/verifier"
)

// Server is a running server. Its methods may be called at once.
type Server struct {
	cfg      *config.Config
	log      *slog.Logger
	ctx      context.Context // of the directory; ends last
	stop     context.CancelFunc
	store    store.Store
	dir      *directory
	verifier *verifier.Verifier
	radius   *radiusd.Server
	admin    *http.Server
	clock    *sysclock.Watch
	alarms   *alarms
	trail    *audit.Trail // nil keeps nothing
	sharing  *sharing     // nil for a store of this server alone
	metrics  *measuring   // nil if nobody is to see any
	sockets  []net.PacketConn
	began    time.Time // by the clock of this machine
	space    spaceTrend

	adminSocket net.Listener // nil for none
	failed      chan error
	consulting  sync.Mutex // by whom the doctor is asked

	mu     sync.Mutex // guards closed, and is held while Reload adds to wait
	closed bool

	clients  atomic.Pointer[[]config.Client] // in use
	rules    atomic.Pointer[[]config.Rule]   // in use
	storeErr atomic.Pointer[error]           // of the last look at the store; nil if it was well
	looked   atomic.Pointer[time.Time]       // when that look ended
	unfit    bool                            // told by tellUnfit; of whoever looks
	wait     sync.WaitGroup
}

// Start runs a server for cfg. It returns when the sockets are open; until the
// directory has been read for the first time logins meet with silence. Nothing
// keeps running when the error is not nil.
func Start(cfg *config.Config, log *slog.Logger) (*Server, error) {
	return StartAt(cfg, log, time.Now)
}

// StartAt is Start with a clock for the verifier and the store.
func StartAt(cfg *config.Config, log *slog.Logger, now func() time.Time) (*Server, error) {
	s := &Server{cfg: cfg, log: log, failed: make(chan error, 16), began: time.Now()}
	s.ctx, s.stop = context.WithCancel(context.Background())
	if err := s.start(now); err != nil {
		s.stop()
		s.close()
		s.trail.Note("start", slog.String("result", "failed"), slog.String("reason", err.Error()))
		ctx, cancel := context.WithTimeout(context.Background(), trailTime)
		defer cancel()
		s.trail.Close(ctx)
		return nil, err
	}
	return s, nil
}

func (s *Server) start(now func() time.Time) error {
	name, err := serverName(s.cfg)
	if err != nil {
		return err
	}
	if err := s.openTrail(); err != nil {
		return err
	}
	if s.store, err = OpenStore(s.cfg.Store, name, s.log, now); err != nil {
		return fmt.Errorf("open store: %w", err)
	}
	s.dir = &directory{log: s.log}
	if err := s.startMeasuring(); err != nil {
		return err
	}
	s.verifier = verifier.New(s.metrics.directory(s.dir), s.metrics.storeFor(s.store), now)
	if err := s.beginRestored(); err != nil {
		return fmt.Errorf("open store: %w", err)
	}
	s.clock = &sysclock.Watch{Trust: s.cfg.Verifier.TrustClock, Log: s.log}
	s.alarms = &alarms{log: s.log}
	s.verifier.SetTrusted(s.clock.Trusted)
	s.tune(s.cfg)

	s.radius = &radiusd.Server{Log: s.log, Now: time.Now, Ready: s.ready, Audit: s.auditLogin()}
	if err := s.radius.SetClients(s.gate(clients(s.cfg.Radius, s.verifier, s.dir))); err != nil {
		return err
	}
	shared, ok := s.store.(common)
	s.verifier.SetSole(!ok)
	if ok {
		s.verifier.SetServer(name)
		s.sharing = &sharing{name: name, store: shared, log: s.log, radius: s.radius, verifier: s.verifier}
		notYet := errors.New("not heard of yet")
		s.storeErr.Store(&notYet)
	}
	next, err := ldapsync.Open(directoryConfig(s.cfg.Directory, s.log))
	if err != nil {
		return fmt.Errorf("open directory: %w", err)
	}
	auth, err := s.open(s.cfg.Radius.Listen)
	if err != nil {
		return err
	}
	acct, err := s.open(s.cfg.Radius.Accounting)
	if err != nil {
		return err
	}
	if err := s.openAdmin(); err != nil {
		return err
	}
	s.noteLook()
	s.dir.begin(s.ctx, &s.wait, next)
	s.wait.Go(func() { s.clock.Run(s.ctx) })
	s.wait.Go(s.watch)
	if s.sharing == nil {
		s.wait.Go(s.watchSpace)
	}
	s.serve(auth, acct)
	return nil
}

// tune sets what can change while the server runs.
func (s *Server) tune(c *config.Config) {
	s.verifier.SetMaxFailures(c.Verifier.MaxFailures)
	s.verifier.SetForwardOnly(c.Verifier.ForwardOnly)
	s.clients.Store(&c.Radius.Clients)
	s.rules.Store(&c.Radius.Rules)
	s.metrics.show(s)
}

// serve begins to answer, when all there is to open is open.
func (s *Server) serve(auth, acct []net.PacketConn) {
	for _, conn := range auth {
		s.run("serve "+conn.LocalAddr().String(), func() error { return s.radius.Serve(conn) })
	}
	for _, conn := range acct {
		s.run("serve accounting "+conn.LocalAddr().String(), func() error { return s.radius.ServeAccounting(conn) })
	}
	if s.adminSocket != nil {
		s.run("serve the admin socket", func() error { return s.admin.Serve(s.adminSocket) })
	}
	s.metrics.serve(&s.wait, s.log)
}

func (s *Server) open(addrs []netip.AddrPort) ([]net.PacketConn, error) {
	var conns []net.PacketConn
	for _, addr := range addrs {
		conn, err := radiusd.Listen(s.ctx, addr)
		if errors.Is(err, syscall.EAFNOSUPPORT) && addr.Addr() == netip.IPv6Unspecified() {
			s.log.Warn("this machine has no IPv6, address left out", "address", addr.String())
			continue
		}
		if err != nil {
			return nil, err
		}
		s.sockets = append(s.sockets, conn)
		conns = append(conns, conn)
		s.log.Info("listening", "address", conn.LocalAddr().String())
	}
	if len(addrs) > 0 && len(conns) == 0 {
		return nil, errors.New("there is no address left to listen on")
	}
	return conns, nil
}

func (s *Server) openAdmin() (err error) {
	s.admin = admin.NewServer(s.users(), s.log, s.adminTrail())
	if s.cfg.Admin.Socket != "" {
		s.adminSocket, err = admin.Listen(s.cfg.Admin.Socket, s.cfg.Admin.Group)
	}
	return err
}

// run runs f until the server ends; an end before that is a failure of the
// whole server.
func (s *Server) run(what string, f func() error) {
	s.wait.Go(func() {
		err := f()
		if err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			s.failed <- fmt.Errorf("%s: %w", what, err)
		}
	})
}

// ready says whether logins can be decided now, without waiting for anything.
// Where they cannot, Status-Server is not answered, so that appliances turn to
// their next server (RFC 5997, section 4.2).
func (s *Server) ready() error {
	if err := s.mayDecide(); err != nil {
		return err
	}
	return s.dir.healthy()
}

// watchSpace looks every so often how much room the store has. A disk that hangs does
// not answer that either, which must not look like a fault of watch to the watchdog.
func (s *Server) watchSpace() {
	tick := time.NewTicker(spaceEvery + time.Second)
	defer tick.Stop()
	for {
		s.space.look(filepath.Dir(s.cfg.Store.Path), time.Now(), freeOn)
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// watch looks every so often whether the store can be used, and whether devices
// move together.
func (s *Server) watch() {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		s.lookAtStore()
		s.noteLook()
		s.metrics.tick(time.Now())
		alarm, on := s.verifier.Alarm()
		s.alarms.look(alarm, on, time.Now())
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		}
	}
}

const (
	watchEvery = 500 * time.Millisecond
	lookTime   = 2 * time.Second
)

// lookAtStore asks whether the store can be written to, which it may have to try,
// while a disk can take its time, and takes in what other servers share.
func (s *Server) lookAtStore() {
	ctx, cancel := context.WithTimeout(s.ctx, lookTime)
	defer cancel()
	err := s.store.Check(ctx)
	if err == nil {
		err = s.sharing.look(ctx) // says in the log what is wrong
	}
	if err == nil {
		err = s.tellUnfit(s.takeRestored(ctx))
	}
	if err != nil {
		s.storeErr.Store(&err)
	} else {
		s.storeErr.Store(nil)
	}
}

// Failed returns a channel that gets an error when a part of the server has
// ended by itself.
func (s *Server) Failed() <-chan error { return s.failed }

// WaitReady waits until the directory has been read for the first time.
func (s *Server) WaitReady(ctx context.Context) error { return s.dir.waitReady(ctx) }

// Addrs returns the addresses of the open RADIUS sockets, authentication first.
func (s *Server) Addrs() []netip.AddrPort {
	var addrs []netip.AddrPort
	for _, conn := range s.sockets {
		addrs = append(addrs, conn.LocalAddr().(*net.UDPAddr).AddrPort())
	}
	return addrs
}

// Reload takes cfg in place of the configuration so far: when its directory has
// been read, and all at once. Until then, or the next Reload, the old one goes
// on. Sockets and store stay as they are; where cfg has others, the log says that
// a restart is needed. An error means that nothing changes.
func (s *Server) Reload(cfg *config.Config) error {
	next, err := ldapsync.Open(directoryConfig(cfg.Directory, s.log))
	if err != nil {
		return fmt.Errorf("open directory: %w", err)
	}
	list := s.gate(clients(cfg.Radius, s.verifier, s.dir))
	if err := radiusd.CheckClients(list); err != nil {
		return err
	}
	for _, key := range needRestart(s.cfg, cfg) {
		s.log.Warn("a change of this setting takes effect at the next start", "key", key)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.New("the server is stopping")
	}
	s.dir.replace(s.ctx, &s.wait, next, func() {
		if err := s.radius.SetClients(list); err != nil {
			s.log.Error("clients are not taken, the old ones go on", "err", err)
		}
		s.tune(cfg)
		s.log.Info("configuration in use", "entries", next.Status().Entries)
	})
	return nil
}

// Shutdown stops reading, answers what is in flight, and closes everything. If
// ctx ends before that, what is left is dropped unanswered, and what cannot be
// closed, such as a store on a disk that hangs, is left to the end of the
// process.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	err := s.radius.Shutdown(ctx)
	if e := s.admin.Shutdown(ctx); e != nil {
		err = errors.Join(err, e, s.admin.Close())
	}
	s.stop()
	done := make(chan error, 1)
	go func() {
		e := s.closeTrail(ctx) // which does not wait for the store
		e = errors.Join(e, s.close())
		s.wait.Wait()
		done <- e
	}()
	select {
	case e := <-done:
		return errors.Join(err, e)
	case <-ctx.Done():
		return errors.Join(err, fmt.Errorf("close: %w", context.Cause(ctx)))
	}
}

func (s *Server) close() error {
	var err error
	for _, conn := range s.sockets {
		if e := conn.Close(); e != nil && !errors.Is(e, net.ErrClosed) {
			err = errors.Join(err, e)
		}
	}
	s.metrics.close()
	if s.adminSocket != nil {
		s.adminSocket.Close() // again after Shutdown, which is no fault
	}
	if s.store != nil {
		err = errors.Join(err, s.store.Close())
	}
	return err
}
