package main

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/radius"
)

const (
	sockets  = 16              // so that Identifiers do not run out, and the kernel can spread the load over readers
	patience = 3 * time.Second // as appliances have it
	tries    = 3

	maxOutstanding = 1024 // a quarter of the Identifiers of all sockets, which are drawn at random
)

// load does a job: a closed loop with exactly so many logins outstanding, until
// the last have begun. One thread does it all, which is the cheapest way for a
// generator that shares the processors with what it measures.
func load(j job) (outcome, error) {
	packets, err := j.packets()
	if err != nil {
		return outcome{}, err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))

	l := &loop{job: j, packets: packets, sent: make([]time.Time, len(packets)), tries: make([]int8, len(packets)), socket: make([]int8, len(packets))}
	if err := l.open(); err != nil {
		return outcome{}, err
	}
	defer l.close()
	before := cpuTime()
	began := time.Now()
	if err := l.run(); err != nil {
		return outcome{}, err
	}
	l.outcome.Took, l.outcome.CPU = time.Since(began), cpuTime()-before
	l.percentiles()
	return l.outcome, nil
}

type loop struct {
	job
	outcome
	packets []radius.Packet
	sent    []time.Time // when each was sent first
	tries   []int8
	socket  []int8
	next    int // to be sent
	done    int // answered or given up
	epoll   int
	socks   [sockets]int
	flight  [sockets][256]int // by Identifier, the login outstanding, and 1 more
	took    []float64
	buffer  [radius.MaxLen]byte
}

func (l *loop) open() (err error) {
	server, err := netip.ParseAddrPort(l.Server)
	if err != nil {
		return err
	}
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	for i := range l.socks {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("socket: %w", err)
		}
		l.socks[i] = fd
		if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(server.Port()), Addr: server.Addr().As4()}); err != nil {
			return fmt.Errorf("connect: %w", err)
		}
		event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)}
		if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
			return fmt.Errorf("epoll: %w", err)
		}
	}
	return nil
}

func (l *loop) close() {
	for _, fd := range l.socks {
		unix.Close(fd)
	}
	unix.Close(l.epoll)
}

func (l *loop) run() error {
	for range min(l.Outstanding, len(l.packets)) {
		if err := l.begin(); err != nil {
			return err
		}
	}
	const look = 100 * time.Millisecond
	var events [sockets]unix.EpollEvent
	for checked := time.Now(); l.done < len(l.packets); {
		n, err := unix.EpollWait(l.epoll, events[:], int(look.Milliseconds()))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("epoll: %w", err)
		}
		for _, e := range events[:max(0, n)] {
			if err := l.receive(int(e.Fd)); err != nil {
				return err
			}
		}
		if now := time.Now(); now.Sub(checked) > look {
			checked = now
			if err := l.resend(now); err != nil {
				return err
			}
		}
	}
	return nil
}

// begin sends the next login, if there is one.
func (l *loop) begin() error {
	i := l.next
	if i == len(l.packets) {
		return nil
	}
	l.next++
	// Sockets in turn, but for those with the same Identifier outstanding.
	id, s := l.packets[i].Identifier(), i%sockets
	for l.flight[s][id] != 0 {
		if s = (s + 1) % sockets; s == i%sockets {
			return errors.New("out of Identifiers")
		}
	}
	l.flight[s][id], l.socket[i] = i+1, int8(s)
	l.sent[i] = time.Now()
	return l.send(i)
}

func (l *loop) send(i int) error {
	l.tries[i]++
	_, err := unix.Write(l.socks[l.socket[i]], l.packets[i])
	if err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.ECONNREFUSED) {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// receive takes one reply from a socket, and begins another login for it.
func (l *loop) receive(socket int) error {
	n, err := unix.Read(l.socks[socket], l.buffer[:])
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.ECONNREFUSED) {
		return nil
	} else if err != nil {
		return fmt.Errorf("receive: %w", err)
	}
	now := time.Now()
	p, err := radius.Check(l.buffer[:n])
	if err != nil {
		l.Bad++
		return nil
	}
	slot := &l.flight[socket][p.Identifier()]
	i := *slot - 1
	if i < 0 {
		return nil // to a request that was sent again and answered twice
	}
	if p.VerifyReply(l.packets[i], []byte(sharedSecret), true) != nil {
		l.Bad++
		return nil
	}
	*slot = 0
	l.done++
	l.outcome.Logins++
	if p.Code() != l.Want {
		l.Wrong++
	}
	l.took = append(l.took, float64(now.Sub(l.sent[i]).Nanoseconds())/1e3)
	return l.begin()
}

// resend sends what has had no answer once more, or gives it up.
func (l *loop) resend(now time.Time) error {
	for s := range l.flight {
		for id, i := range l.flight[s] {
			i--
			if i < 0 || now.Sub(l.sent[i]) < patience*time.Duration(l.tries[i]) {
				continue
			}
			l.Timeouts++
			act := l.send
			if l.tries[i] == tries {
				l.flight[s][id] = 0
				l.done++
				l.Lost++
				act = func(int) error { return l.begin() }
			}
			if err := act(i); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *loop) percentiles() {
	if len(l.took) == 0 {
		return
	}
	slices.Sort(l.took)
	at := func(share float64) float64 { return l.took[int(share*float64(len(l.took)-1))] }
	l.P50, l.P95, l.P99, l.Max = at(.50), at(.95), at(.99), at(1)
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
