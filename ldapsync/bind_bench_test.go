package ldapsync

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"lockstep/internal/opaque"
	"lockstep/internal/testenv"
)

// BenchmarkBind checks right passwords at a real slapd with 10,000 people, so many at
// once over so many connections. Beside the rate it reports the CPU time of a bind,
// here and at slapd. LOCKSTEP_BENCH_POOLS sets other sizes of the pool.
func BenchmarkBind(b *testing.B) {
	const people = 10_000
	s := testenv.Slapd(b)
	s.Load(b, people)
	slapd := childNamed(b, "slapd")
	pools := []int{16}
	if list := os.Getenv("LOCKSTEP_BENCH_POOLS"); list != "" {
		pools = nil
		for _, v := range strings.Split(list, ",") {
			n, err := strconv.Atoi(v)
			if err != nil {
				b.Fatal(err)
			}
			pools = append(pools, n)
		}
	}
	for _, atOnce := range []int{1, 8, 64, 128} {
		for _, pool := range pools {
			b.Run(fmt.Sprintf("%d/pool=%d", atOnce, pool), func(b *testing.B) {
				c := configFor(s)
				c.Pool = pool
				d := open(b, c)
				b.Cleanup(d.source.(*poller).pool.drain)
				bindMany(b, d, s, atOnce, people, 4*atOnce) // connections are made
				own, theirs := cpuOf(b, os.Getpid()), cpuOf(b, slapd)
				b.ReportAllocs()
				b.ResetTimer()
				bindMany(b, d, s, atOnce, people, b.N)
				b.StopTimer()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "binds/s")
				b.ReportMetric(float64((cpuOf(b, os.Getpid())-own).Microseconds())/float64(b.N), "cpu-µs/bind")
				b.ReportMetric(float64((cpuOf(b, slapd)-theirs).Microseconds())/float64(b.N), "slapd-µs/bind")
			})
		}
	}
}

func bindMany(b *testing.B, d *Directory, s *testenv.SlapdServer, atOnce, people, n int) {
	var next atomic.Int64
	var wait sync.WaitGroup
	for range atOnce {
		wait.Go(func() {
			ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
			defer cancel()
			password := opaque.Text(testenv.LoadedPassword)
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				a := Account{DN: "uid=" + testenv.LoadedUser(int(i*7919)%people) + "," + s.PeopleDN}
				if _, err := d.CheckPassword(ctx, a, password); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
}

// cpuOf is how much CPU time a process has taken.
func cpuOf(b *testing.B, pid int) time.Duration {
	b.Helper()
	if pid == os.Getpid() {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	// Fields are counted behind the name, which may hold anything.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	ticks := 0
	for _, f := range fields[11:13] {
		n, err := strconv.Atoi(string(f))
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// childNamed returns the process of that name that this one has started.
func childNamed(b *testing.B, name string) int {
	b.Helper()
	all, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range all {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		front, back, ok := strings.Cut(string(stat), ") ")
		if fields := strings.Fields(back); ok && strings.HasSuffix(front, "("+name) && fields[1] == strconv.Itoa(os.Getpid()) {
			pid, _, _ := strings.Cut(front, " ")
			n, _ := strconv.Atoi(pid)
			return n
		}
	}
	b.Fatalf("no process %s", name)
	return 0
}
