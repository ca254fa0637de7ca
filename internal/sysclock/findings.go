package sysclock

import (
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// Finding is one thing to know about the clock, for an admin to read.
type Finding struct {
	Bad    bool   // somebody should do something
	Text   string // what is so; lower case, no full stop
	Advice string // what to do; empty if nothing
}

const (
	keeperAdvice = "install chrony and look at chronyc tracking (without rtcsync in its configuration it does not tell the kernel), " +
		"or run timedatectl set-ntp true; if the clock is kept by a virtual machine's host, set verifier.trust_clock = true"
	unreadableAdvice = "allow the system call adjtimex: in a systemd unit by SystemCallFilter=adjtimex and without ProtectClock"
	jumpAdvice       = "find out what sets the clock (chronyc tracking, timedatectl, the tools of a virtual machine's host) and see that only one thing does; " +
		"nothing is learned from logins for ten minutes after a jump"
	errorAdvice    = "look at chronyc tracking and chronyc sources: are time servers reached, and do they agree?"
	hardwareAdvice = "once the system clock is right, run hwclock --systohc"
)

const (
	maxEstError = time.Second
	maxHardware = 5 * time.Second
)

// Findings says what there is to know about the clock now: who keeps it, the
// jumps of the last day, and the hardware clock. It asks the kernel afresh.
// There is always at least one. Run need not run, but without it jumps are not
// known.
func (w *Watch) Findings() []Finding {
	v, _ := w.look()
	all := w.keeperFindings()
	w.mu.Lock()
	for _, j := range w.jumps {
		if v.at.boot-j.boot < 24*time.Hour {
			all = append(all, j.finding())
		}
	}
	w.mu.Unlock()
	return append(all, w.hardwareFindings()...)
}

func (w *Watch) keeperFindings() []Finding {
	status, err := w.read()
	switch {
	case err != nil:
		return []Finding{{true, "cannot tell whether anything keeps this clock right: " + err.Error(), unreadableAdvice}}
	case !status.Synchronised && w.Trust:
		return []Finding{{false, "the kernel says that nothing keeps this clock right; it is trusted all the same, because verifier.trust_clock says that something does", ""}}
	case !status.Synchronised:
		// Its EstError is no estimate then but what the kernel begins with.
		return []Finding{{true, "the kernel says that nothing keeps this clock right; codes are checked against it, but nothing is learned from them", keeperAdvice}}
	case status.EstError > maxEstError:
		return []Finding{{true, "this clock is being kept right, but is still off by " + words(status.EstError) + " as the kernel estimates", errorAdvice}}
	}
	return []Finding{{false, "the kernel says that this clock is kept right", ""}}
}

func (j jump) finding() Finding {
	way := "forward"
	if j.By < 0 {
		way = "back"
	}
	return Finding{true, fmt.Sprintf("this clock was put %s by %s at %s", way, words(j.By), j.At.Format(time.DateTime)), jumpAdvice}
}

func (w *Watch) hardwareFindings() []Finding {
	read := HardwareClock
	if w.Hardware != nil {
		read = w.Hardware
	}
	ahead, err := read()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return []Finding{{false, "cannot " + err.Error(), ""}}
	case ahead.Abs() <= maxHardware:
		return nil
	}
	way := "ahead"
	if ahead < 0 {
		way = "behind"
	}
	return []Finding{{true, fmt.Sprintf("after the next boot the clock would be wrong by %s, until something sets it: the hardware clock is %s by as much",
		words(ahead), way), hardwareAdvice}}
}

// words returns the size of d as people say it: "0.7 s", "1 min 30 s",
// "3 h 5 min", "400 days".
func words(d time.Duration) string {
	d = d.Abs().Round(100 * time.Millisecond)
	if d < time.Minute {
		return fmt.Sprintf("%g s", d.Seconds())
	}
	d = d.Round(time.Second)
	h, m, s := int64(d.Hours()), int64(d.Minutes())%60, int64(d.Seconds())%60
	switch {
	case h >= 48:
		return fmt.Sprintf("%d days", h/24)
	case h > 0:
		return fmt.Sprintf("%d h %d min", h, m)
	}
	return fmt.Sprintf("%d min %d s", m, s)
}
