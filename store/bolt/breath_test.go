package bolt

import (
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// slowly returns a clock by which everything takes a millisecond, while that of
// the bubble shows what was waited for.
func slowly() func() time.Time {
	var n atomic.Int64
	return func() time.Time { return time.Now().Add(time.Duration(n.Add(1)) * time.Millisecond) }
}

// beginFold returns a store that has begun to fold a table of many chunks, and
// the channel that tells of each chunk when it was in the file.
func beginFold(t *testing.T) (s *Store, chunks chan time.Time) {
	chunks = make(chan time.Time, 1000)
	few := limits{first: 1 << 20, segment: 1 << 20, table: 8 << 10, chunk: 3}
	s = open(t, filepath.Join(t.TempDir(), "state.db"), Options{Now: slowly(), limits: few, afterChunk: func() { chunks <- time.Now() }})
	for i := 0; s.tables.pending() == nil; i++ {
		write(t, s, fmt.Sprint("user", i), 1)
	}
	return s, chunks
}

func TestAFoldLeavesTimeBetweenItsChunks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, chunks := beginFold(t)
		time.Sleep(time.Minute) // until it must be over
		if len(chunks) < 10 {
			t.Fatalf("%d chunks; want more", len(chunks))
		}
		for last := <-chunks; len(chunks) > 1; {
			next := <-chunks
			if pause := next.Sub(last); pause < pauseFor*time.Millisecond || pause > longestPause {
				t.Errorf("pause of %v; want %v at least", pause, pauseFor*time.Millisecond)
			}
			last = next
		}
	})
}

func TestAFoldThatIsWaitedForDoesNotPause(t *testing.T) {
	for name, end := range map[string]func(*Store) error{"by a write": (*Store).foldNow, "by Close": (*Store).Close} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, _ := beginFold(t)
				synctest.Wait() // for the first pause
				began := time.Now()
				if err := end(s); err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took != 0 {
					t.Errorf("it waits %v", took)
				}
			})
		})
	}
}

func TestAFoldThatFallsBehindDoesNotPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, chunks := beginFold(t)
		synctest.Wait() // for the first pause
		s.taken.Store(1000)
		for range len(chunks) {
			<-chunks
		}
		time.Sleep(time.Minute)
		first := <-chunks
		for len(chunks) > 0 {
			if pause := (<-chunks).Sub(first); pause != 0 {
				t.Fatalf("it pauses for %v when the next segment has to begin", pause)
			}
		}
	})
}
