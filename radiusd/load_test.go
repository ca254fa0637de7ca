package radiusd

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	layeh "layeh.com/radius"

	"lockstep/internal/radius"
)

// loadVariable makes the test binary a load generator, so that the processor
// time of a server under test is its own.
const loadVariable = "RADIUSD_TEST_LOAD"

func TestMain(m *testing.M) {
	if order := os.Getenv(loadVariable); order != "" {
		if err := generate(order, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// load is what a load generator is to do: a number of logins of distinct
// users, with as many outstanding, from a number of sockets; or, if there is a
// Rate, as many in a second for some seconds, whatever becomes of them, each
// three times two seconds apart.
type load struct {
	Server                       string
	Logins, Outstanding, Sockets int
	Rate, Seconds                int
}

// loadResult is what came of it. Lost is the number of logins that were sent
// again after a second without a reply.
type loadResult struct {
	Lost     int
	P50, P99 time.Duration

	Sent, Accepted, Other int // with a Rate: datagrams sent, logins accepted, and answered otherwise
}

// generator is a process that waits for its sign to begin.
type generator struct {
	in  io.WriteCloser
	out *json.Decoder
}

func startLoad(t testing.TB, l load) *generator {
	t.Helper()
	order, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), loadVariable+"="+string(order))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Process.Kill(); cmd.Wait() })
	g := &generator{in, json.NewDecoder(out)}
	var ready bool
	if err := g.out.Decode(&ready); err != nil {
		t.Fatal(err)
	}
	return g
}

// run lets it begin, and returns when it has done.
func (g *generator) run(t testing.TB) (r loadResult) {
	t.Helper()
	if _, err := io.WriteString(g.in, "go\n"); err != nil {
		t.Fatal(err)
	}
	if err := g.out.Decode(&r); err != nil {
		t.Fatal(err)
	}
	return r
}

func generate(order string, in io.Reader, out io.Writer) error {
	var l load
	if err := json.Unmarshal([]byte(order), &l); err != nil {
		return err
	}
	if l.Rate > 0 {
		return generateAtRate(l, in, out)
	}
	sockets := make([]*loadSocket, min(l.Sockets, l.Outstanding))
	for i := range sockets {
		conn, err := net.Dial("udp", l.Server)
		if err != nil {
			return err
		}
		sockets[i] = newLoadSocket(conn.(*net.UDPConn), i, l.Logins/len(sockets), l.Outstanding/len(sockets))
	}
	sockets[0].left += l.Logins % len(sockets)
	fmt.Fprintln(out, "true")
	if _, err := bufio.NewReader(in).ReadString('\n'); err != nil {
		return err
	}
	var all sync.WaitGroup
	for _, s := range sockets {
		all.Go(s.run)
	}
	all.Wait()
	var r loadResult
	var took []time.Duration
	for _, s := range sockets {
		took = append(took, s.took...)
		r.Lost += s.lost
	}
	slices.Sort(took)
	if n := len(took); n > 0 {
		r.P50, r.P99 = took[n/2], took[n*99/100]
	}
	return json.NewEncoder(out).Encode(r)
}

// loadSocket keeps a number of logins outstanding, each with an Identifier of
// its own.
type loadSocket struct {
	conn   *net.UDPConn
	number uint64
	left   int // to be sent
	out    []radius.Packet
	sent   []time.Time
	next   uint64
	took   []time.Duration
	lost   int
}

func newLoadSocket(conn *net.UDPConn, number, logins, outstanding int) *loadSocket {
	s := &loadSocket{conn: conn, number: uint64(number), left: logins}
	for i := range max(1, outstanding) {
		s.out = append(s.out, login(byte(i), "user000000000", loadPassword))
		s.sent = append(s.sent, time.Time{})
	}
	return s
}

func (s *loadSocket) run() {
	defer s.conn.Close()
	waiting := 0
	for i := range s.out {
		if s.send(i) {
			waiting++
		}
	}
	buffer := make([]byte, radius.MaxLen)
	for waiting > 0 {
		s.conn.SetReadDeadline(time.Now().Add(time.Second))
		n, err := s.conn.Read(buffer)
		if err != nil {
			s.again()
			continue
		}
		i := int(buffer[1])
		if n < radius.HeaderLen || i >= len(s.out) || s.sent[i].IsZero() || buffer[0] != byte(layeh.CodeAccessAccept) {
			continue
		}
		s.took = append(s.took, time.Since(s.sent[i]))
		s.sent[i] = time.Time{}
		if !s.send(i) {
			waiting--
		}
	}
}

const loadPassword = "correct horse 123456"

// renew makes a login one of another user.
func renew(p radius.Packet, n uint64) {
	binary.BigEndian.PutUint64(p[4:], n)
	copy(p[38+6:], fmt.Sprintf("%09d", n))
	copy(p[len(p)-32:], hide([]byte(loadPassword), p.Authenticator()))
	clear(p[22:38])
	copy(p[22:38], hmacMD5(p))
}

// send makes the login of an Identifier a new one of another user.
func (s *loadSocket) send(i int) bool {
	if s.left == 0 {
		return false
	}
	s.left--
	s.next++
	p := s.out[i]
	renew(p, s.number*1_000_000+s.next)
	s.sent[i] = time.Now()
	s.conn.Write(p)
	return true
}

func (s *loadSocket) again() {
	for i, p := range s.out {
		if !s.sent[i].IsZero() {
			s.lost++
			s.conn.Write(p)
		}
	}
}

// steady is a login of a load at a rate.
type steady struct {
	packet   radius.Packet
	conn     *net.UDPConn
	first    time.Time
	sent     int
	answered atomic.Bool
}

func generateAtRate(l load, in io.Reader, out io.Writer) error {
	var r loadResult
	var accepted, other atomic.Int64
	conns := make([]*net.UDPConn, l.Sockets)
	logins := make([][256]atomic.Pointer[steady], l.Sockets)
	for i := range conns {
		conn, err := net.Dial("udp", l.Server)
		if err != nil {
			return err
		}
		defer conn.Close()
		conns[i] = conn.(*net.UDPConn)
		go func() {
			buffer := make([]byte, radius.MaxLen)
			for {
				n, err := conn.Read(buffer)
				if err != nil {
					return
				}
				q := logins[i][buffer[1]].Load()
				switch {
				case n < radius.HeaderLen || q == nil || q.answered.Swap(true):
				case buffer[0] == byte(layeh.CodeAccessAccept):
					accepted.Add(1)
				default:
					other.Add(1)
				}
			}
		}()
	}
	fmt.Fprintln(out, "true")
	if _, err := bufio.NewReader(in).ReadString('\n'); err != nil {
		return err
	}
	const again, tries = 2 * time.Second, 3
	var due []*steady
	send := func(q *steady) {
		q.sent++
		r.Sent++
		q.conn.Write(q.packet)
		if q.sent < tries {
			due = append(due, q)
		}
	}
	begun := time.Now()
	for n := 0; time.Since(begun) < time.Duration(l.Seconds)*time.Second; time.Sleep(time.Millisecond) {
		for len(due) > 0 && time.Since(due[0].first) >= again*time.Duration(due[0].sent) {
			q := due[0]
			due = due[1:]
			if !q.answered.Load() {
				send(q)
			}
		}
		for ; n < int(time.Since(begun).Seconds()*float64(l.Rate)); n++ {
			at, id := n%l.Sockets, byte(n/l.Sockets)
			q := &steady{packet: login(id, "user000000000", loadPassword), conn: conns[at], first: time.Now()}
			renew(q.packet, uint64(n))
			logins[at][id].Store(q)
			send(q)
		}
	}
	r.Accepted, r.Other = int(accepted.Load()), int(other.Load())
	return json.NewEncoder(out).Encode(r)
}
