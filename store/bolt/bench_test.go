package bolt

import (
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"

	"lockstep/store/storetest"
)

// BenchmarkClaim is what a login asks of the store: a Load and a
// CompareAndSwap that is on disk at the end.
func BenchmarkClaim(b *testing.B) {
	for _, atOnce := range []int{1, 64} {
		b.Run(strconv.Itoa(atOnce)+" at once", func(b *testing.B) {
			s := open(b, filepath.Join(b.TempDir(), "state.db"), Options{})
			var key, next atomic.Int64
			work := make(chan struct{}, b.N)
			for range b.N {
				work <- struct{}{}
			}
			close(work)
			b.ReportAllocs()
			b.ResetTimer()
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
			b.ReportMetric(float64(b.N)/float64(max(1, s.commits.Load())), "claims/commit")
		})
	}
}

// BenchmarkLoad is the part of it that does not wait for the disk.
func BenchmarkLoad(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "state.db"), Options{})
	for step := range int64(5) {
		if err := storetest.Claim(b.Context(), s, "alice", step+1); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, _, err := s.Load(b.Context(), "alice"); err != nil {
				b.Fatal(err)
			}
		}
	})
}
