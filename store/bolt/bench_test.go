package bolt

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/store/storetest"
	"lockstep/verifier"
)

// cpu returns what this process has used.
func cpu() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// claims runs b.N claims with so many at once, and reports what they cost. To
// the end belongs that all is in the state file.
func claims(b *testing.B, s *Store, atOnce int, claim func() error) {
	var next atomic.Int64
	took := make([][]time.Duration, atOnce)
	b.ReportAllocs()
	before := s.commits.Load()
	b.ResetTimer()
	used := cpu()
	var wg sync.WaitGroup
	for i := range atOnce {
		wg.Go(func() {
			for next.Add(1) <= int64(b.N) {
				began := time.Now()
				if err := claim(); err != nil {
					b.Error(err)
					return
				}
				took[i] = append(took[i], time.Since(began))
			}
		})
	}
	wg.Wait()
	elapsed := b.Elapsed()
	commits := s.commits.Load() - before
	if err := s.foldNow(); err != nil {
		b.Fatal(err)
	}
	used = cpu() - used
	b.StopTimer()
	all := slices.Concat(took...)
	slices.Sort(all)
	b.ReportMetric(float64(b.N)/elapsed.Seconds(), "claims/s")
	b.ReportMetric(float64(used.Microseconds())/float64(b.N), "cpu-us/claim")
	b.ReportMetric(float64(b.N)/float64(max(1, commits)), "claims/commit")
	b.ReportMetric(float64(all[len(all)/2].Microseconds()), "p50-us")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-us")
	b.ReportMetric(float64(all[len(all)-1].Microseconds()), "max-us")
}

// BenchmarkClaim is what a login asks of the store: a Load and a
// CompareAndSwap that is on disk at the end.
func BenchmarkClaim(b *testing.B) {
	for _, atOnce := range []int{1, 8, 64} {
		b.Run(strconv.Itoa(atOnce)+" at once", func(b *testing.B) {
			s := open(b, filepath.Join(b.TempDir(), "state.db"), Options{})
			var step atomic.Int64
			claims(b, s, atOnce, func() error {
				n := step.Add(1)
				return storetest.Claim(b.Context(), s, "key"+strconv.FormatInt(n%int64(atOnce), 10), n)
			})
		})
	}
}

// few is what the State of somebody looks like who logs in now and then.
func few(i int) verifier.State {
	step := int64(57_000_000 + i)
	now := time.Unix(30*step, 0)
	s := verifier.State{Floor: step - 10, Spent: []int64{step - 4, step}}
	for _, at := range s.Spent {
		s.Recent = append(s.Recent, verifier.Spent{Step: at, At: now, By: "vpn"})
	}
	s.Clock = verifier.Clock{At: now, Offset: verifier.Offsets{Low: -time.Second, High: time.Second}, Rate: verifier.Rates{Low: -60_000, High: 60_000},
		Since: now, Start: verifier.Offsets{Low: -time.Second, High: time.Second}}
	return s
}

func manyID(i int) string { return fmt.Sprintf("%032x", uint64(i)*0x9e3779b97f4a7c15) }

// BenchmarkClaimOfMany is the same where each claim is of any of so many
// people. Of a million, nearly every one costs the state file a page in the
// end.
func BenchmarkClaimOfMany(b *testing.B) {
	for _, people := range []int{256, 1_000_000} {
		if people > 256 && testing.Short() {
			continue // takes a minute to make them
		}
		path := filepath.Join(b.TempDir(), "state.db")
		fill(b, path, people)
		for _, atOnce := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("%d people, %d at once", people, atOnce), func(b *testing.B) {
				s := open(b, path, Options{})
				claims(b, s, atOnce, func() error { return login(b, s, rand.IntN(people)) })
			})
		}
	}
}

func fill(b *testing.B, path string, people int) {
	s := open(b, path, Options{})
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 256 {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < people; i = int(next.Add(1)) - 1 {
				if err := s.CompareAndSwap(b.Context(), manyID(i), 0, few(i)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}

func login(b *testing.B, s *Store, i int) error {
	id := manyID(i)
	for {
		_, v, err := s.Load(b.Context(), id)
		if err != nil {
			return err
		}
		if err := s.CompareAndSwap(b.Context(), id, v, few(i)); !errors.Is(err, verifier.ErrConflict) {
			return err
		}
	}
}

// BenchmarkLoad is the part of it that does not wait for the disk.
func BenchmarkLoad(b *testing.B) {
	for _, from := range []string{"log", "file"} {
		b.Run("from the "+from, func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "state.db")
			s := open(b, path, Options{})
			for step := range int64(5) {
				if err := storetest.Claim(b.Context(), s, "alice", step+1); err != nil {
					b.Fatal(err)
				}
			}
			if from == "file" {
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
				s = open(b, path, Options{})
			}
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, _, err := s.Load(b.Context(), "alice"); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}
