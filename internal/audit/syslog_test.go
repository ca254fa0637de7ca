package audit

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lockstep/internal/testenv"
)

// receiver is a syslog server that keeps the messages it gets.
type receiver struct {
	mu       sync.Mutex
	messages []string
	conns    []net.Conn
	bad      error
}

func (r *receiver) serve(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go r.read(conn)
	}
}

// read takes messages by octet counting (RFC 6587, section 3.4.1).
func (r *receiver) read(conn net.Conn) {
	r.mu.Lock()
	r.conns = append(r.conns, conn)
	r.mu.Unlock()
	for b := bufio.NewReader(conn); ; {
		text, err := b.ReadString(' ')
		if err != nil {
			return
		}
		n, err := strconv.Atoi(strings.TrimSuffix(text, " "))
		message := make([]byte, max(n, 0))
		if err == nil {
			_, err = io.ReadFull(b, message)
		}
		r.mu.Lock()
		if err != nil {
			r.bad = fmt.Errorf("length %q: %w", text, err)
		} else {
			r.messages = append(r.messages, string(message))
		}
		r.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (r *receiver) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.messages...)
}

// hangUp closes all connections.
func (r *receiver) hangUp() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		c.Close()
	}
	r.conns = nil
}

var message = regexp.MustCompile(`^<(\d+)>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z here lockstep \d+ ([a-z-]+) - (\{.*\})$`)

// trailOf returns the lines that the messages carry.
func trailOf(t *testing.T, messages []string) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, m := range messages {
		parts := message.FindStringSubmatch(m)
		if parts == nil {
			t.Fatalf("message %q", m)
		}
		b.WriteString(parts[3] + "\n")
	}
	return b.Bytes()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func TestSyslogOverTCP(t *testing.T) {
	l, r := listen(t), &receiver{}
	go r.serve(l)
	o := fileOptions(tempFile(t))
	o.Syslog = "tcp://" + l.Addr().String()
	trail := mustOpen(t, o, nil)
	trail.Record(t.Context(), "login", slog.String("result", "accept"), slog.String("user", "é\n"))
	trail.Record(t.Context(), "login", slog.String("result", "reject"), slog.String("user", strings.Repeat("\x00", 2000)))
	trail.Record(t.Context(), "login", slog.String("result", "error"))
	trail.Record(t.Context(), "admin", slog.String("action", "unlock"))
	mustClose(t, trail)
	testenv.Eventually(t, "five messages", func() bool { return len(r.all()) == 5 })
	for i, want := range []string{"<109>", "<110>", "<109>", "<108>", "<109>"} {
		if m := r.all()[i]; !strings.HasPrefix(m, want) || len(m) > 8192 {
			t.Errorf("message %d: %q, want %s", i, m, want)
		}
	}
	if got := trailOf(t, r.all()); !bytes.Equal(got, read(t, o.File)) {
		t.Errorf("got\n%s\nthe file has\n%s", got, read(t, o.File))
	}
}

// certificate returns one for 127.0.0.1 that is its own authority.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func TestSyslogOverTLS(t *testing.T) {
	cert, pool := certificate(t)
	l, r := listen(t), &receiver{}
	go r.serve(tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}}))
	trail := mustOpen(t, Options{Syslog: "tls://" + l.Addr().String(), TLS: &tls.Config{RootCAs: pool}, Host: "here", Log: quiet()}, nil)
	for range 3 {
		trail.Record(t.Context(), "login")
	}
	testenv.Eventually(t, "four messages", func() bool { return len(r.all()) == 4 })
	r.hangUp() // which is noticed before there is anything to send, or that would be lost
	testenv.Eventually(t, "another connection", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.conns) == 1
	})
	for range 3 {
		trail.Record(t.Context(), "login")
	}
	mustClose(t, trail)
	testenv.Eventually(t, "all messages", func() bool { return len(r.all()) == 7 })
	if v, err := verify(trailOf(t, r.all())); err != nil || v.Records != 6 {
		t.Errorf("%d records, %v", v.Records, why(err))
	}

	stranger := mustOpen(t, Options{Syslog: "tls://" + l.Addr().String(), Host: "here", Log: quiet()}, nil)
	unknown := x509.UnknownAuthorityError{}
	testenv.Eventually(t, "the certificate to be refused", func() bool { return errors.As(stranger.Status().Syslog, &unknown) })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := stranger.Close(ctx); err == nil {
		t.Error("Close with records that nobody has got: no error")
	}
}

func TestSyslogURLs(t *testing.T) {
	for _, to := range []string{"udp://127.0.0.1:514", "tcp://127.0.0.1", "tls://:6514", "127.0.0.1:514", "tcp://a b:1"} {
		if _, err := Open(Options{Syslog: to, Log: quiet()}); err == nil {
			t.Errorf("%s: no error", to)
		}
	}
}

// away is a server that can be away. Its clock is that of the bubble.
type away struct {
	receiver
	gone  bool
	tries []time.Duration
	since time.Time
}

func (a *away) dial(context.Context) (net.Conn, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tries = append(a.tries, time.Since(a.since))
	if a.gone {
		return nil, errors.New("connection refused")
	}
	here, there := net.Pipe()
	go a.read(there)
	return here, nil
}

func (a *away) set(gone bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.gone = gone
}

func TestSyslogAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &away{gone: true, since: time.Now()}
		o := fileOptions(tempFile(t))
		o.Syslog = "tcp://192.0.2.1:601"
		log := &bytes.Buffer{}
		o.Log = slog.New(slog.NewTextHandler(log, nil))
		trail := mustOpen(t, o, a.dial)
		trail.Record(t.Context(), "login")
		time.Sleep(200 * time.Second)
		synctest.Wait()
		if got, want := fmt.Sprint(a.tries), "[0s 1s 3s 7s 15s 31s 1m3s 2m3s 3m3s]"; got != want {
			t.Errorf("tried at %s, want %s", got, want)
		}
		if s := trail.Status(); s.Syslog == nil || s.Failing != nil {
			t.Errorf("status %+v", s)
		}
		a.set(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := len(a.all()); n != 2 || trail.Status().Syslog != nil {
			t.Errorf("%d messages, status %+v", n, trail.Status())
		}
		if n := strings.Count(log.String(), "cannot be reached"); n != 1 {
			t.Errorf("said %d times:\n%s", n, log)
		}
		a.set(true)
		a.hangUp()
		for range 3 {
			trail.Record(t.Context(), "login")
		}
		time.Sleep(time.Second)
		a.set(false)
		time.Sleep(time.Minute)
		mustClose(t, trail)
		if got := trailOf(t, a.all()); !bytes.Equal(got, read(t, o.File)) {
			t.Errorf("got\n%s\nthe file has\n%s", got, read(t, o.File))
		}
	})
}

// What a server that is away for long does not get, a record counts.
func TestSyslogAwayForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &away{gone: true, since: time.Now()}
		o := fileOptions(tempFile(t))
		o.Syslog = "tcp://192.0.2.1:601"
		trail := mustOpen(t, o, a.dial)
		long := slog.String("user", strings.Repeat("x", 900))
		const n = 10_000
		for i := range n {
			trail.Record(t.Context(), "login", long)
			if i%500 == 0 {
				time.Sleep(10 * time.Millisecond)
			}
		}
		time.Sleep(time.Second)
		synctest.Wait()
		lost := trail.Status().SyslogLost
		if lost == 0 || len(trail.remote.lines) > maxQueue+MaxLine {
			t.Errorf("%d lost, %d octets wait", lost, len(trail.remote.lines))
		}
		a.set(false)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		mustClose(t, trail)
		last := a.all()[len(a.all())-1]
		if want := fmt.Sprintf(`"event":"lost-at-syslog","records":%d,`, lost); !strings.Contains(last, want) {
			t.Errorf("the last message is %s, want %s", last, want)
		}
		if v, err := verify(read(t, o.File)); err != nil || v.Records != n+1 || v.Lost != 0 {
			t.Errorf("the file: %d records, %v", v.Records, why(err))
		}
		if _, err := verify(trailOf(t, a.all())); !strings.Contains(why(err), ": missing: records") {
			t.Errorf("what the server has: %v", why(err))
		}
	})
}
