package fleet

import (
	"context"
	"time"

	"lockstep/verifier"
)

// window accepts steps around a centre, each once.
type window struct {
	key    verifier.Key
	reach  int64 // steps to either side
	centre int64 // steps ahead of the server's clock
	learns bool  // moves the centre to what was accepted last, and resynchronizes
	spent  map[int64]bool

	// The step refused last, which may become the first half of a
	// resynchronization; refusedAt is zero if there is none.
	refused   int64
	refusedAt time.Time
}

// fixed is the window of RFC 6238, section 5.2, around the server's clock. It
// has no resynchronization: somebody outside can only try again.
func fixed(reach int64) enroll { return enrollWindow(reach, false) }

// learned is a window around where the device was seen last (RFC 6238, section
// 6). Two codes that are not spent bring it to anywhere else.
func learned(reach int64) enroll { return enrollWindow(reach, true) }

type enroll = func(context.Context, verifier.Key, int64, time.Time) (Checker, error)

func enrollWindow(reach int64, learns bool) enroll {
	return func(_ context.Context, k verifier.Key, step int64, t time.Time) (Checker, error) {
		w := &window{key: k, reach: reach, learns: learns, spent: make(map[int64]bool)}
		w.take(step, t)
		return w, nil
	}
}

// Acceptable implements [Checker].
func (w *window) Acceptable(_ context.Context, t time.Time) (n int, err error) {
	centre := w.key.Step(t) + w.centre
	for step := centre - w.reach; step <= centre+w.reach; step++ {
		if !w.spent[step] {
			n++
		}
	}
	return n, nil
}

// Accept implements [Checker].
func (w *window) Accept(_ context.Context, step int64, t time.Time) (bool, error) {
	if w.spent[step] {
		return false, nil
	}
	centre := w.key.Step(t) + w.centre
	switch near := step >= centre-w.reach && step <= centre+w.reach; {
	case near:
	case w.second(step, t):
		w.spent[w.refused] = true
	default:
		w.refused, w.refusedAt = step, t
		return false, nil
	}
	w.take(step, t)
	return true, nil
}

// resyncWithin is how far apart the two codes of a resynchronization may be.
const resyncWithin = 5 * time.Minute

// second says whether step completes a resynchronization.
func (w *window) second(step int64, t time.Time) bool {
	return w.learns && step > w.refused && t.Sub(w.refusedAt) <= resyncWithin
}

func (w *window) take(step int64, t time.Time) {
	w.spent[step] = true
	w.refusedAt = time.Time{}
	if w.learns {
		w.centre = step - w.key.Step(t)
	}
}
