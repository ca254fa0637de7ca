package loglines

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// sink is a destination that remembers each write, and can block and fail.
type sink struct {
	t      *testing.T
	busy   atomic.Bool
	mu     sync.Mutex
	writes []string
	err    error
	gate   chan struct{} // if there is one, each write takes something from it
}

func (s *sink) Write(p []byte) (int, error) {
	if s.busy.Swap(true) {
		s.t.Error("two write at once")
	}
	defer s.busy.Store(false)
	if s.gate != nil {
		<-s.gate
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes = append(s.writes, string(p))
	return len(p), s.err
}

// took returns what has been written since it was last called, one element for
// each write.
func (s *sink) took() []string {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	writes := s.writes
	s.writes = nil
	return writes
}

func (s *sink) want(t *testing.T, when string, want ...string) {
	t.Helper()
	if got := s.took(); strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("%s: written %q, want %q", when, got, want)
	}
}

func inBubble(t *testing.T, test func(t *testing.T, w *Writer, to *sink)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		to := &sink{t: t}
		w := NewWriter(to)
		test(t, w, to)
		w.Close()
	})
}

func write(t *testing.T, w *Writer, line string) {
	t.Helper()
	if n, err := w.Write([]byte(line)); n != len(line) || err != nil {
		t.Errorf("Write(%q) = %d, %v", line, n, err)
	}
}

func TestALineAfterAPauseIsWrittenAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, w *Writer, to *sink) {
		for range 3 {
			write(t, w, "a\n")
			to.want(t, "at once", "a\n")
			if w.timer != nil {
				t.Error("there is a timer, with nothing to wait for")
			}
			time.Sleep(pause)
		}
	})
}

func TestLinesThatComeTogetherAreWrittenTogether(t *testing.T) {
	inBubble(t, func(t *testing.T, w *Writer, to *sink) {
		for _, line := range []string{"a\n", "b\n", "c\n"} {
			write(t, w, line)
		}
		to.want(t, "at once", "a\n")
		time.Sleep(Longest - 1)
		write(t, w, "d\n")
		to.want(t, "before their time")
		time.Sleep(time.Nanosecond)
		to.want(t, "in time", "b\nc\nd\n")
		write(t, w, "e\n")
		to.want(t, "soon after a write")
		time.Sleep(Longest)
		to.want(t, "the second time", "e\n")
		time.Sleep(time.Hour)
		to.want(t, "much later")
	})
}

func TestALotIsWrittenBeforeItsTime(t *testing.T) {
	inBubble(t, func(t *testing.T, w *Writer, to *sink) {
		line := strings.Repeat("x", 1023) + "\n"
		for range 1 + 2*most/len(line) {
			write(t, w, line)
		}
		if got := to.took(); len(got) != 3 || len(got[1]) != most || len(got[2]) != most {
			t.Errorf("%d writes, want one and two of %d octets", len(got), most)
		}
		long := strings.Repeat("y", 5*most) + "\n"
		write(t, w, "short\n")
		write(t, w, long)
		to.want(t, "a line longer than all that may wait", "short\n"+long)
	})
}

func TestFlushAndClose(t *testing.T) {
	inBubble(t, func(t *testing.T, w *Writer, to *sink) {
		w.Flush()
		to.want(t, "with nothing there")
		write(t, w, "a\n")
		write(t, w, "b\n")
		w.Flush()
		to.want(t, "after Flush", "a\n", "b\n")
		write(t, w, "c\n")
		w.Close()
		to.want(t, "after Close", "c\n")
		write(t, w, "d\n")
		write(t, w, "e\n")
		to.want(t, "what comes after Close", "d\n", "e\n")
	})
}

func TestADestinationThatBlocksStopsWritersAndLosesNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, w *Writer, to *sink) {
		to.gate = make(chan struct{})
		const writers, each = 8, 40
		var ended sync.WaitGroup
		for i := range writers {
			ended.Go(func() {
				for n := range each {
					write(t, w, fmt.Sprintf("%d %d %s\n", i, n, strings.Repeat("x", 1000)))
				}
			})
		}
		synctest.Wait()
		w.mu.Lock()
		if held := cap(w.lines); len(w.lines) > most || len(w.lines) < most-1100 || held > 2*most {
			t.Errorf("%d octets wait in %d, want about %d", len(w.lines), held, most)
		}
		w.mu.Unlock()
		close(to.gate)
		ended.Wait()
		w.Close()
		next := [writers]int{}
		for line := range strings.Lines(strings.Join(to.took(), "")) {
			var i, n int
			var x string
			if _, err := fmt.Sscanf(line, "%d %d %s\n", &i, &n, &x); err != nil || len(x) != 1000 {
				t.Fatalf("line %.20q of %d octets: %v", line, len(line), err)
			}
			if n != next[i] {
				t.Fatalf("line %d of writer %d after %d", n, i, next[i]-1)
			}
			next[i]++
		}
		for i, n := range next {
			if n != each {
				t.Errorf("%d lines of writer %d, want %d", n, i, each)
			}
		}
	})
}

func TestFlushWaitsForAWriteThatIsUnderWay(t *testing.T) {
	inBubble(t, func(t *testing.T, w *Writer, to *sink) {
		to.gate = make(chan struct{})
		go write(t, w, "a\n")
		synctest.Wait()
		write(t, w, "b\n") // does not wait: there is room
		flushed := make(chan struct{})
		go func() {
			w.Flush()
			close(flushed)
		}()
		for range 2 {
			synctest.Wait()
			select {
			case <-flushed:
				t.Error("flushed, with something not written")
			default:
			}
			to.gate <- struct{}{}
		}
		<-flushed
		to.want(t, "after Flush", "a\n", "b\n")
	})
}

func TestFlushWaitsForAWriteThatHasTakenAll(t *testing.T) {
	inBubble(t, func(t *testing.T, w *Writer, to *sink) {
		to.gate = make(chan struct{})
		go write(t, w, "a\n")
		synctest.Wait()
		go func() {
			time.Sleep(time.Second)
			to.gate <- struct{}{}
		}()
		begun := time.Now()
		w.Flush()
		if took := time.Since(begun); took != time.Second {
			t.Errorf("flushed after %v, written after a second", took)
		}
	})
}

func TestLinesThatComeDuringAWriteAreWrittenSoon(t *testing.T) {
	inBubble(t, func(t *testing.T, w *Writer, to *sink) {
		to.gate = make(chan struct{})
		go write(t, w, "a\n")
		synctest.Wait()
		write(t, w, "b\n")
		write(t, w, "c\n")
		time.Sleep(time.Hour)
		close(to.gate)
		to.want(t, "when it no longer blocks", "a\n")
		time.Sleep(Longest)
		to.want(t, "soon after", "b\nc\n")
	})
}

func TestAnErrorOfTheDestinationIsNotTheEnd(t *testing.T) {
	inBubble(t, func(t *testing.T, w *Writer, to *sink) {
		to.err = errors.New("no space left on device")
		for range 3 {
			write(t, w, "a\n")
		}
		time.Sleep(Longest)
		to.want(t, "with errors", "a\n", "a\na\n")
		to.err = nil
		write(t, w, "b\n")
		time.Sleep(Longest)
		to.want(t, "without", "b\n")
	})
}

func TestWarningsDoNotWait(t *testing.T) {
	inBubble(t, func(t *testing.T, w *Writer, to *sink) {
		bare := slog.NewTextHandler(w, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}})
		log := slog.New(Handler(bare, w))
		for _, log := range []*slog.Logger{log, log.With("q", 1), log.WithGroup("g")} {
			log.Info("a")
			time.Sleep(pause)
			to.took()
			log.Info("a")
			log.Info("b")
			log.Debug("not at this level")
			if got := to.took(); len(got) != 1 {
				t.Errorf("%q, want the first alone", got)
			}
			log.Warn("c")
			if got := to.took(); len(got) != 1 || strings.Count(got[0], "\n") != 2 || !strings.Contains(got[0], "level=WARN msg=c") {
				t.Errorf("%q, want the second line and the warning", got)
			}
			log.Error("d")
			if got := to.took(); len(got) != 1 || !strings.Contains(got[0], "level=ERROR msg=d") {
				t.Errorf("%q, want the error", got)
			}
			time.Sleep(pause)
		}
	})
}

func BenchmarkWriter(b *testing.B) {
	w := NewWriter(&nothing{})
	defer w.Close()
	line := []byte(strings.Repeat("x", 230) + "\n")
	b.ReportAllocs()
	for b.Loop() {
		w.Write(line)
	}
}

type nothing struct{}

func (*nothing) Write(p []byte) (int, error) { return len(p), nil }
