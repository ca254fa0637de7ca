package server

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"

	"lockstep/config"
	"lockstep/internal/opaque"
	"lockstep/internal/radius"
	"lockstep/internal/testenv"
	"lockstep/verifier"
)

// The load comes from another process, so that the CPU time of this one is the
// server's. Each person logs in once a pass, and the verifier's clock is a step
// further on at each.
const (
	benchPeople   = 2000
	benchPassword = "benchmark-password"
	benchSecret   = "a shared secret for benchmarks"
	asLoad        = "LOCKSTEP_BENCH_LOAD"
)

var benchStart = time.Unix(1_800_000_000, 0)

func TestMain(m *testing.M) {
	if addr := os.Getenv(asLoad); addr != "" {
		if err := load(addr, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func benchKey(i int) verifier.Key {
	sum := sha1.Sum(fmt.Append(nil, "benchmark key ", i))
	return verifier.Key{Bytes: opaque.Of(sum[:]), Algorithm: verifier.SHA1, Digits: 6, Period: 30 * time.Second}
}

func benchEntry(i int) string {
	salted := sha1.Sum([]byte(benchPassword + "salt"))
	hash := "{SSHA}" + base64.StdEncoding.EncodeToString(append(salted[:], "salt"...))
	return fmt.Sprintf("dn: uid=u%[1]d,ou=people,dc=example,dc=org\nobjectClass: inetOrgPerson\nobjectClass: oathTOTPToken\nuid: u%[1]d\ncn: u%[1]d\nsn: u%[1]d\nuserPassword: %[2]s\noathSecret: %[3]s\n",
		i, hash, base32.StdEncoding.EncodeToString(benchKey(i).Bytes.Reveal()))
}

// benchMetrics is the zero Metrics but while BenchmarkMeasuredLogin runs.
var benchMetrics config.Metrics

// BenchmarkMeasuredLogin is BenchmarkLogin with metrics.
func BenchmarkMeasuredLogin(b *testing.B) {
	benchMetrics.Listen = netip.MustParseAddrPort("127.0.0.1:0")
	defer func() { benchMetrics = config.Metrics{} }()
	BenchmarkLogin(b)
}

// BenchmarkLogin is a whole login: UDP, code, password, a durable claim, reply.
func BenchmarkLogin(b *testing.B) {
	for _, outstanding := range []int{1, 64} {
		b.Run(fmt.Sprintf("ldif/%d", outstanding), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "people.ldif")
			var text strings.Builder
			for i := range benchPeople {
				text.WriteString(benchEntry(i) + "\n")
			}
			if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
				b.Fatal(err)
			}
			benchLogins(b, config.Directory{URLs: []string{"ldif:" + path}}, outstanding)
		})
		b.Run(fmt.Sprintf("slapd/%d", outstanding), func(b *testing.B) {
			slapd := testenv.Slapd(b)
			var text strings.Builder
			for i := range benchPeople {
				text.WriteString(benchEntry(i) + "\n")
			}
			slapd.Add(b, text.String())
			benchLogins(b, config.Directory{URLs: []string{slapd.URL}, BaseDN: "dc=example,dc=org",
				BindDN: slapd.ServiceDN, BindPassword: opaque.Text(slapd.ServicePassword)}, outstanding)
		})
	}
}

func benchLogins(b *testing.B, dir config.Directory, outstanding int) {
	dir.LoginAttribute, dir.Schema, dir.KeyAttribute, dir.KeyEncoding = "uid", "oath", "oathSecret", "base32"
	dir.Timeout, dir.Pool = 2*time.Second, 16
	var clock atomic.Int64 // steps since benchStart
	s, err := StartAt(&config.Config{
		Directory: dir,
		Store:     config.Store{Engine: "bolt", Path: filepath.Join(b.TempDir(), "state.db")},
		Verifier:  config.Verifier{MaxFailures: verifier.DefaultMaxFailures},
		Metrics:   benchMetrics,
		Radius: config.Radius{
			Listen: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")},
			Clients: []config.Client{{Name: "bench", Address: netip.MustParsePrefix("127.0.0.0/8"),
				Secret: opaque.Text(benchSecret), RequireMessageAuthenticator: true, Factors: "password+code"}},
		},
	}, slog.New(slog.DiscardHandler), func() time.Time { return benchStart.Add(time.Duration(clock.Load()) * 30 * time.Second) })
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Shutdown(context.Background()) })
	if err := s.WaitReady(b.Context()); err != nil {
		b.Fatal(err)
	}
	passes := startLoad(b, s.Addrs()[0])

	b.ResetTimer()
	before := cpuTime()
	for done := 0; done < b.N; done += benchPeople {
		passes(int(clock.Add(1)), min(benchPeople, b.N-done), outstanding)
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "logins/s")
	b.ReportMetric(float64((cpuTime()-before).Microseconds())/float64(b.N), "cpu-µs/login")
}

// startLoad starts the other process. The function it returns has the first so
// many people log in with the codes of a step, so many at once.
func startLoad(b *testing.B, addr netip.AddrPort) func(step, people, outstanding int) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asLoad+"="+addr.String())
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { in.Close(); cmd.Wait() })
	return func(step, people, outstanding int) {
		fmt.Fprintln(in, step, people, outstanding)
		var accepted int
		if _, err := fmt.Fscan(out, &accepted); err != nil || accepted != people {
			b.Fatalf("%d of %d logins accepted, %v", accepted, people, err)
		}
	}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// load is the other process.
func load(addr string, in io.Reader, out io.Writer) error {
	r := bufio.NewReader(in)
	for {
		var step, people, outstanding int
		if _, err := fmt.Fscanln(r, &step, &people, &outstanding); err != nil {
			return nil // the benchmark has ended
		}
		base := benchKey(0).Step(benchStart) + int64(step)
		var accepted, next atomic.Int64
		var wg sync.WaitGroup
		for range outstanding {
			wg.Go(func() {
				conn, err := net.Dial("udp4", addr)
				if err != nil {
					return
				}
				defer conn.Close()
				for i := next.Add(1) - 1; i < int64(people); i = next.Add(1) - 1 {
					if logIn(conn, int(i), base) {
						accepted.Add(1)
					}
				}
			})
		}
		wg.Wait()
		fmt.Fprintln(out, accepted.Load())
	}
}

// logIn has person i log in and reports whether that was accepted.
func logIn(conn net.Conn, i int, step int64) bool {
	code, err := benchKey(i).Code(step)
	if err != nil {
		return false
	}
	p, err := radius.NewRequest(layeh.CodeAccessRequest, []byte(benchSecret), []byte(benchPassword+code),
		radius.Attribute{Type: rfc2865.UserName_Type, Value: fmt.Append(nil, "u", i)})
	if err != nil {
		return false
	}
	reply := make([]byte, radius.MaxLen)
	for range 3 {
		conn.Write(p)
		conn.SetReadDeadline(time.Now().Add(3 * time.Second))
		n, err := conn.Read(reply)
		if err == nil {
			return layeh.Code(reply[0]) == layeh.CodeAccessAccept && n >= radius.HeaderLen
		}
	}
	return false
}
