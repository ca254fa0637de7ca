package etcd

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"lockstep/internal/testenv"
	"lockstep/store/storetest"
)

// BenchmarkClaim is what a login asks of the store: a Load and a CompareAndSwap
// that a quorum has on disk at the end. The three nodes share this machine.
func BenchmarkClaim(b *testing.B) {
	c := testenv.Etcd(b, 3, testenv.WithEtcdDisk())
	for _, atOnce := range []int{1, 64} {
		b.Run(strconv.Itoa(atOnce)+" at once", func(b *testing.B) {
			s := open(b, Options{Endpoints: c.Endpoints(), Prefix: newPrefix()})
			var key, next atomic.Int64
			work := make(chan struct{}, b.N)
			for range b.N {
				work <- struct{}{}
			}
			close(work)
			b.ReportAllocs()
			b.ResetTimer()
			before, theirs := cpu(b), etcdCPU(b, c)
			done := make(chan struct{})
			for range atOnce {
				go func() {
					defer func() { done <- struct{}{} }()
					id := "key" + strconv.FormatInt(key.Add(1), 10)
					for range work {
						if err := storetest.Claim(b.Context(), s, id, next.Add(1)); err != nil {
							b.Error(err)
							return
						}
					}
				}()
			}
			for range atOnce {
				<-done
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "claims/s")
			b.ReportMetric(float64(b.N)/float64(max(1, s.groups.Load())), "claims/txn")
			b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N), "cpu-us/claim")
			b.ReportMetric(float64((etcdCPU(b, c)-theirs).Microseconds())/float64(b.N), "etcd-cpu-us/claim")
		})
	}
}

// cpu is what this process has used.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// etcdCPU is what the nodes have used, to a hundredth of a second.
func etcdCPU(b *testing.B, c *testenv.EtcdCluster) (used time.Duration) {
	b.Helper()
	for i := range c.Nodes() {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.Node(i).PID()))
		if err != nil {
			b.Fatal(err)
		}
		// Fields 14 and 15, counted from behind the name of the program.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		for _, field := range fields[11:13] {
			ticks, err := strconv.Atoi(field)
			if err != nil {
				b.Fatal(err)
			}
			used += time.Duration(ticks) * 10 * time.Millisecond
		}
	}
	return used
}
