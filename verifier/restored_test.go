package verifier

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"lockstep/internal/opaque"
)

// loss is somebody with one device, whose server's store is put back from a backup.
type loss struct {
	*world
	off    time.Duration // of the device
	sent   []int64       // steps whose codes were sent since the backup
	source int
}

// step is the one whose code the device shows.
func (l *loss) step() int64 { return testKey.Step(l.now.Add(l.off)) }

func (l *loss) shown() string { return l.of(l.step()) }

func (l *loss) of(step int64) string {
	l.t.Helper()
	code, err := testKey.Code(step)
	if err != nil {
		l.t.Fatal(err)
	}
	return code
}

// try sends a code from a new place, so that nothing is held up.
func (l *loss) try(code string) bool {
	l.t.Helper()
	l.source++
	d, err := l.Verify(l.t.Context(), Request{User: "alice", Typed: opaque.Text(code), Client: "vpn", Source: fmt.Sprint(l.source), Policy: Policy{CodeOnly: true}})
	if err != nil {
		l.t.Fatal(err)
	}
	return d.Outcome == Accepted
}

// use logs in, with as many codes as that takes, so often.
func (l *loss) use(logins int) {
	l.t.Helper()
	for codes := 0; logins > 0; l.now = l.now.Add(30 * time.Second) {
		l.sent = append(l.sent, l.step())
		if l.try(l.shown()) {
			logins, codes = logins-1, 0
		} else if codes++; codes > 3 {
			l.t.Fatalf("%v: not in after %d codes", l.off, codes)
		}
	}
}

// replay sends all that was sent since the backup and is good for nobody, twice over.
func (l *loss) replay(good func(step int64) bool) {
	l.t.Helper()
	for i, step := range slices.Concat(l.sent, l.sent) {
		if !good(step) && l.try(l.of(step)) {
			l.t.Fatalf("device %v ahead, %v after the store was put back: code %d of %d is accepted again", l.off, l.now.Sub(*l.restored.Load()), i, len(l.sent))
		}
	}
}

func never(int64) bool { return false }

// restoredLoss has the store put back as it was when the device had logged in so
// often.
func restoredLoss(t *testing.T, off time.Duration, before int) *loss {
	l := &loss{world: newWorld(t), off: off}
	l.use(before)
	states, versions := maps.Clone(l.mem.states), maps.Clone(l.mem.versions)
	l.now = l.now.Add(2 * time.Hour)
	l.sent = nil
	l.use(4)
	l.now = l.now.Add(-29 * time.Second) // right after the last
	l.mem.states, l.mem.versions = states, versions
	l.SetRestored(l.now)
	return l
}

var lossOffsets = []time.Duration{0, 12 * time.Second, -20 * time.Second, 45 * time.Second, -70 * time.Second,
	3 * time.Minute, -3 * time.Minute, 9 * time.Minute, -9 * time.Minute, 5 * time.Hour, -5 * time.Hour}

// Nothing that was spent before the store was put back is good afterwards, and
// the device's own codes are, after a minute or two.
func TestRestoredOfADeviceThatTheBackupKnows(t *testing.T) {
	long(t)
	t.Parallel()
	for _, off := range lossOffsets {
		l := restoredLoss(t, off, 3)
		for range 8 {
			l.replay(never)
			l.now = l.now.Add(140 * time.Second)
		}
		l = restoredLoss(t, off, 3)
		l.comesBack(2*time.Minute, 1)
	}
}

// comesBack has the device's own codes sent, and expects them to be good in time.
func (l *loss) comesBack(within time.Duration, logins int) {
	l.t.Helper()
	began := l.now
	for next := time.Duration(0); ; next += 30 * time.Second {
		l.now = began.Add(next)
		if l.try(l.shown()) {
			if logins--; logins == 0 {
				return
			}
		}
		if next > within {
			l.t.Fatalf("device %v ahead: not in %v after the store was put back", l.off, next)
		}
	}
}

// Of one that the backup does not know, codes that are ahead are not taken, neither
// alone nor by twos, before their time has come.
func TestRestoredOfADeviceThatTheBackupDoesNotKnow(t *testing.T) {
	long(t)
	t.Parallel()
	for _, off := range lossOffsets {
		l := restoredLoss(t, off, 0)
		last := testKey.Step(l.now.Add(testKey.Period))
		timely := func(step int64) bool { return step > last && step <= testKey.Step(l.now.Add(testKey.Period)) } // see SetRestored
		for range 8 {
			l.replay(timely)
			l.now = l.now.Add(140 * time.Second)
		}
		l = restoredLoss(t, off, 0)
		switch {
		case off <= testKey.Period:
			l.comesBack(max(-off, 0)+3*time.Minute, 1)
		default:
			first := l.shown()
			l.now = l.now.Add(30 * time.Second)
			if r, err := l.Resync(t.Context(), l.dir.account, opaque.Text(first), opaque.Text(l.shown())); err != nil || r.Reason.Kind != None {
				t.Fatalf("device %v ahead: an admin cannot help: %v, %v", off, r.Reason, err)
			}
			l.replay(never)
			l.comesBack(3*time.Minute, 1)
			again := restoredLoss(t, off, 0)
			again.now = again.now.Add(24*time.Hour + time.Minute - off)
			again.comesBack(2*time.Minute, 1)
		}
	}
}

// What is refused because nobody knows whether it was used is no failure.
func TestRestoredCountsNoFailures(t *testing.T) {
	l := restoredLoss(t, 0, 2)
	d, err := l.Verify(t.Context(), Request{User: "alice", Typed: opaque.Text(l.shown()), Source: "home", Policy: Policy{CodeOnly: true}})
	if err != nil || d.Reason.Kind != Replayed || d.Reason.Cause == "" {
		t.Errorf("%q, %v", d.Reason, err)
	}
	if n := l.mem.states[testKey.ID()].Failures; n != 0 {
		t.Errorf("%d failures", n)
	}
	l.SetRestored(time.Time{})
	if !l.try(l.shown()) {
		t.Error("refused, though nothing was restored")
	}
}

// The codes of a Delegated account cannot be told from those that were used: all are
// refused for as long as a used one would be.
func TestRestoredOfADelegatedAccount(t *testing.T) {
	w := newDelegated(t)
	w.must("secret123456", Accepted, None)
	w.mem.states, w.mem.versions = map[string]State{}, map[string]Version{}
	w.SetRestored(w.now)
	asked := len(w.dir.asked)
	w.now = w.now.Add(usedAge - time.Second)
	w.replayed("secret123456")
	if len(w.dir.asked) != asked {
		t.Error("the directory was asked")
	}
	w.now = w.now.Add(time.Second)
	w.must("secret123456", Accepted, None) // as far as this directory, which forgets, is concerned
}

// Several tokens have a floor each.
func TestRestoredOfSeveralTokens(t *testing.T) {
	l := restoredLoss(t, -3*time.Minute, 3)
	other := testKey
	other.Bytes = opaque.Text("another key of 20 octets")
	l.dir.account.Keys = append(l.dir.account.Keys, other)
	l.replay(never)
	l.comesBack(2*time.Minute, 1)
	code, _ := other.Code(other.Step(l.now))
	if l.now.Sub(*l.restored.Load()) < testKey.Period && l.try(code) {
		t.Error("a code of a token that was never seen is accepted, of the moment of the restore")
	}
	l.now = l.now.Add(90 * time.Second)
	if code, _ = other.Code(other.Step(l.now)); !l.try(code) {
		t.Error("a later one is refused")
	}
}

// A device that is set after the backup: its codes may have been let in by the server's
// own clock, or by where the device was before.
func TestRestoredOfADeviceThatWasSetSince(t *testing.T) {
	for _, tt := range []struct {
		name        string
		were, since []time.Duration // how far it was ahead, at the logins before the backup and after it
	}{
		{"it was behind, and is right", []time.Duration{-6 * time.Minute}, []time.Duration{0}},
		{"it was ahead, then right, and is ahead as before", []time.Duration{9 * time.Minute, 0}, []time.Duration{9 * time.Minute}},
		{"it was right, then behind, and is right as before", []time.Duration{0, -9 * time.Minute}, []time.Duration{0}},
	} {
		l := &loss{world: newWorld(t)}
		for _, l.off = range tt.were {
			l.use(2)
		}
		states, versions := maps.Clone(l.mem.states), maps.Clone(l.mem.versions)
		l.now, l.sent = l.now.Add(2*time.Hour), nil
		for _, l.off = range tt.since {
			l.use(2)
		}
		if len(l.sent) != 2 {
			t.Fatalf("%s: let in by %d codes; the row is about single ones", tt.name, len(l.sent))
		}
		l.now = l.now.Add(-29 * time.Second)
		l.mem.states, l.mem.versions = states, versions
		l.SetRestored(l.now)
		t.Log(tt.name)
		l.replay(never)
		l.comesBack(2*time.Minute, 1)
	}
}
