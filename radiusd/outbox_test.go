package radiusd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/ipv4"
	layeh "layeh.com/radius"

	"lockstep/internal/opaque"
	"lockstep/internal/radius"
)

// fakeBatches is a batchConn that tells what it is given.
type fakeBatches struct {
	during func(call int) // called within WriteBatch
	refuse string         // an address that nothing can be sent to

	mu      sync.Mutex
	calls   int
	batches [][]string // of what was sent, "address reply"
}

func (f *fakeBatches) WriteBatch(batch []ipv4.Message, _ int) (int, error) {
	f.mu.Lock()
	f.calls++
	call := f.calls
	f.mu.Unlock()
	if f.during != nil {
		f.during(call)
	}
	var sent []string
	for _, m := range batch {
		if m.Addr.String() == f.refuse {
			break
		}
		sent = append(sent, m.Addr.String()+" "+string(m.Buffers[0])+string(m.OOB))
	}
	if len(sent) == 0 {
		return 0, errors.New("refused")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.batches = append(f.batches, sent)
	return len(sent), nil
}

// boxed returns a server that has more than one job under way, and a socket that
// sends by f.
func boxed(t *testing.T, f *fakeBatches) (*Server, *socket) {
	t.Helper()
	s := &Server{}
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	s.crew.mu.Lock()
	s.crew.running[fresh] = 2
	s.crew.mu.Unlock()
	socket := newSocket(newFakeConn(), 0)
	socket.out.conn = f
	return s, socket
}

func from(socket *socket, i int) peer {
	return peer{socket: socket, addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 1000), info: []byte{'!'}}
}

func letter(i int) string { return fmt.Sprintf("192.0.2.%d:1000 reply %d!", i, i) }

// What is put while a batch is on its way makes the next one, each with its own
// address, also in memory that has been used before.
func TestOutboxSendsTogetherWhatComesTogether(t *testing.T) {
	var s *Server
	var socket *socket
	f := &fakeBatches{}
	f.during = func(call int) {
		for i := range map[int]int{1: 3, 2: 2}[call] {
			s.post(from(socket, 10*call+i), []byte(fmt.Sprint("reply ", 10*call+i)))
		}
	}
	s, socket = boxed(t, f)
	s.post(from(socket, 1), []byte("reply 1"))
	s.post(from(socket, 2), []byte("reply 2"))
	want := "[[" + letter(1) + "] [" + letter(10) + " " + letter(11) + " " + letter(12) + "] [" + letter(20) + " " + letter(21) + "] [" + letter(2) + "]]"
	if got := fmt.Sprint(f.batches); got != want {
		t.Errorf("sent %s, want %s", got, want)
	}
}

// The first of all is not waited with, and one alone goes straight to the socket.
func TestOutboxIsNotUsedByOneAlone(t *testing.T) {
	f := &fakeBatches{}
	s, socket := boxed(t, f)
	s.crew.running[fresh] = 1
	s.post(from(socket, 1), []byte("reply 1"))
	if conn := socket.PacketConn.(*fakeConn); len(f.batches) != 0 || len(conn.sent()) != 1 {
		t.Errorf("sent in batches: %v", f.batches)
	}
}

// A client that cannot be reached costs nobody else a reply.
func TestOutboxGoesOnBehindWhatCannotBeSent(t *testing.T) {
	f := &fakeBatches{refuse: "192.0.2.12:1000"}
	var s *Server
	var socket *socket
	f.during = func(call int) {
		if call == 1 {
			for i := 11; i < 14; i++ {
				s.post(from(socket, i), []byte(fmt.Sprint("reply ", i)))
			}
		}
	}
	s, socket = boxed(t, f)
	s.post(from(socket, 1), []byte("reply 1"))
	want := "[[" + letter(1) + "] [" + letter(11) + "] [" + letter(13) + "]]"
	if got := fmt.Sprint(f.batches); got != want {
		t.Errorf("sent %s, want %s", got, want)
	}
	if got := s.Counters()["SendErrors"]; got != 1 {
		t.Errorf("SendErrors is %d, want 1", got)
	}
}

// Where the socket takes nothing, replies do not pile up: those beyond a number
// wait for the socket as they would without a box.
func TestOutboxIsBounded(t *testing.T) {
	f := &fakeBatches{}
	var s *Server
	var socket *socket
	f.during = func(call int) {
		if call == 1 {
			for i := range mostWaiting + 3 {
				s.post(from(socket, i%200), []byte("reply"))
			}
		}
	}
	s, socket = boxed(t, f)
	s.post(from(socket, 1), []byte("reply 1"))
	if got := len(socket.PacketConn.(*fakeConn).sent()); got != 3 {
		t.Errorf("%d replies went past the box, want 3", got)
	}
	if len(f.batches) != 2 || len(f.batches[1]) != mostWaiting {
		t.Errorf("%d batches; want one of 1 and one of %d", len(f.batches), mostWaiting)
	}
}

// A job whose reply was the first ends, however many come behind it, and what is
// left is waited for at the end.
func TestOutboxIsEmptiedByOthersInTheEnd(t *testing.T) {
	const most = 3 * mostBatches
	returned, late := make(chan struct{}), false
	f := &fakeBatches{}
	var s *Server
	var socket *socket
	f.during = func(call int) {
		if call > mostBatches {
			select {
			case <-returned:
			case <-time.After(10 * time.Second):
				late = true
			}
		}
		if call < most {
			s.post(from(socket, call), []byte("reply"))
		}
	}
	s, socket = boxed(t, f)
	s.inflight.Add(1)
	s.post(from(socket, 1), []byte("reply 1"))
	close(returned)
	s.inflight.Done()
	s.inflight.Wait()
	if late {
		t.Error("the job did not end")
	}
	if len(f.batches) != most {
		t.Errorf("%d batches when all was to be sent, want %d", len(f.batches), most)
	}
}

// Over real sockets: each gets the reply to its own request, from the address that
// it asked, of either version, though all become ready at once.
func TestRepliesOfOneMoment(t *testing.T) {
	t.Parallel()
	const each = 40
	ips := []string{"127.0.0.1", "127.0.0.7", "127.1.2.3", "::1"}
	var arrived sync.WaitGroup
	arrived.Add(len(ips) * each)
	auth := authFunc(func(_ context.Context, r *Request) (Answer, error) {
		arrived.Done()
		arrived.Wait()
		return Answer{Outcome: Accept, Message: "for " + r.UserName}, nil
	})
	bound := serveUDP(t, &Server{Workers: 2 * len(ips) * each}, auth, "0.0.0.0:0", "[::]:0")
	var clients sync.WaitGroup
	for _, ip := range ips {
		server := bound[0]
		if strings.Contains(ip, ":") {
			server = bound[1]
		}
		for i := range each {
			name := fmt.Sprint(ip, " ", i)
			clients.Go(func() {
				c := radius.Client{Server: at(ip, server), Secret: opaque.Text(testSecret), Timeout: 20 * time.Second, Tries: 1, RequireMessageAuthenticator: true}
				got, err := c.Exchange(t.Context(), radius.AccessRequest{UserName: name, Password: opaque.Text("x")})
				if err != nil || got.Code != layeh.CodeAccessAccept || got.ReplyMessage != "for "+name {
					t.Errorf("%s: got %+v, %v", name, got, err)
				}
			})
		}
	}
	clients.Wait()
}

// A panic while replies are sent costs nobody who comes later a reply, and does not
// end the program, whoever sends them.
func TestOutboxSurvivesAPanic(t *testing.T) {
	for _, at := range []int{1, mostBatches + 1} {
		f := &fakeBatches{}
		var s *Server
		var socket *socket
		f.during = func(call int) {
			if call == at {
				panic("as a log handler may")
			}
			if call < at {
				s.post(from(socket, 10), []byte("reply 10"))
			}
		}
		s, socket = boxed(t, f)
		s.inflight.Add(1)
		s.post(from(socket, 1), []byte("reply 1"))
		s.inflight.Done()
		s.inflight.Wait()
		if len(f.batches) != at-1 || s.Counters()["DropPanic"] != 1 {
			t.Errorf("call %d: %d batches, counters %v", at, len(f.batches), s.Counters())
		}
		s.post(from(socket, 2), []byte("reply 2"))
		if got, want := fmt.Sprint(f.batches[len(f.batches)-1]), "["+letter(2)+"]"; got != want {
			t.Errorf("call %d: sent %s afterwards, want %s", at, got, want)
		}
	}
}

// What the kernel refuses within a batch, it refuses alone.
func TestOutboxOverARealSocketWithErrorsInBetween(t *testing.T) {
	conn, err := Listen(t.Context(), netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	s, _ := boxed(t, nil)
	socket := newSocket(conn, 0)
	good := client.LocalAddr().(*net.UDPAddr).AddrPort()
	var want []string
	for i := range 200 {
		to := good
		if i%7 == 0 || i > 100 && i < 110 || i > 190 {
			to = netip.AddrPortFrom(good.Addr(), 0) // which is refused
		} else {
			want = append(want, fmt.Sprint(i))
		}
		socket.out.put(peer{socket: socket, addr: to}, []byte(fmt.Sprint(i)))
	}
	s.empty(socket)
	buffer := make([]byte, 100)
	for _, want := range want {
		client.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, err := client.Read(buffer)
		if got := string(buffer[:n]); err != nil || got != want {
			t.Fatalf("got %q, %v, want %q", got, err, want)
		}
	}
	if got := int(s.Counters()["SendErrors"]); got != 200-len(want) {
		t.Errorf("SendErrors is %d, want %d", got, 200-len(want))
	}
}

// What sends batches would be refused an IPv4 address at a socket for both versions,
// and may take the zone for an interface that is gone.
func TestOutboxLeavesSomeAddressesToTheSocket(t *testing.T) {
	conn, err := net.ListenPacket("udp", "[::]:0")
	if err != nil {
		t.Skip(err)
	}
	defer conn.Close()
	socket := newSocket(conn, 0)
	for addr, want := range map[string]bool{"[::ffff:127.0.0.1]:1000": false, "[fe80::1%lo]:1000": false, "[::1]:1000": true} {
		if _, taken := socket.out.put(peer{socket: socket, addr: netip.MustParseAddrPort(addr)}, []byte("reply")); taken != want {
			t.Errorf("%s: taken into a batch: %v", addr, taken)
		}
	}
}
