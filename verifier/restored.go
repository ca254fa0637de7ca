package verifier

import (
	"slices"
	"time"
)

// SetRestored says when the Store was put back from a backup; the zero time is
// never. What was spent between the backup and then is not known any more, so every
// code that can have let somebody in by then counts as spent, whether its key has a
// State or not:
//
//   - All steps that a device can have shown by then, by what is known of its clock
//     now. One of which nothing is known is taken to be within a step of the server.
//     A device that is known to be behind goes on with the first that it has not
//     shown yet.
//   - Of the codes that let in by twos (RFC 6238, section 6), those of up to a day
//     later, until their time has come. [Verifier.Resync] takes them: an admin knows
//     who reads them out.
//   - For ten minutes, all codes of Delegated accounts.
//
// What is left is a device that was set, or seen first, after the backup, and was
// ahead by more than a step: a code that it has shown before can be used once more
// when its time comes. It may be called at any time.
func (v *Verifier) SetRestored(at time.Time) {
	if at.IsZero() {
		v.restored.Store(nil)
		return
	}
	v.restored.Store(&at)
}

// unsure says whether step can have been spent before the Store was restored.
func (t *kept) unsure(step int64, now time.Time) bool {
	if t.restored == nil {
		return false
	}
	shown, all := t.shownBy(*t.restored)
	switch {
	case step > all:
		return false
	case step <= shown || t.Clock.At.IsZero():
		return true
	}
	// Of the steps above it the device has shown none, but the server's own clock,
	// or where the device was before, may have let them in.
	return !slices.Contains(reached(nil, t.key, now, t.Clock.at(t.key, now)), step)
}

// shownBy returns the last step that the device can have shown at a time, and the
// last that can have been right by then for any other reason.
func (t *kept) shownBy(at time.Time) (shown, all int64) {
	shown = slices.Max(reached(nil, t.key, at, t.Clock.at(t.key, at)))
	all = max(shown, t.key.Step(at))
	if t.formerCounts(at) {
		all = max(all, slices.Max(reached(nil, t.key, at, t.Former.at(t.key, at))))
	}
	return shown, all
}

// unsureFar says whether step, which lets in with another alone, can have done so
// before the Store was restored. Once its time has come, it can be right alone as
// well, of a device that is right, and then nobody can tell.
func (t *kept) unsureFar(step int64, now time.Time) bool {
	if t.restored == nil {
		return false
	}
	ahead := step > t.key.Step(now)
	return t.unsure(step, now) || ahead && step <= t.key.Step(t.restored.Add(farthest))
}

// doubtful looks among the codes that would let in, had the Store not been restored.
func (l look) doubtful(now time.Time) finding {
	if l.restored == nil {
		return finding{}
	}
	var room [24]int64
	steps := slices.DeleteFunc(l.acceptable(room[:0], l.key, now), func(step int64) bool { return !l.unsure(step, now) })
	if way, step, ok := l.coder.among(steps, l.typed); ok {
		return finding{way: l.ways[way], spent: step, reason: l.mayBeSpent()}
	}
	return finding{}
}

// mayBeSpent is why a code is refused that may have been used.
func (t *kept) mayBeSpent() Reason {
	return Reason{Kind: Replayed, Ago: -1, Cause: "it may have been used before the store was restored at " + t.restored.Local().Format(time.DateTime)}
}

// heldBack says whether the codes of a Delegated account are refused for now.
func (t *kept) heldBack(now time.Time) (Reason, bool) {
	if t.restored == nil || now.Sub(*t.restored) >= usedAge {
		return Reason{}, false
	}
	return Reason{Kind: Replayed, Ago: -1, Delegated: true, Cause: "the store was restored: codes that the directory checks are refused until " +
		t.restored.Add(usedAge).Local().Format(time.DateTime)}, true
}
