package server

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"lockstep/admin"
	"lockstep/internal/sysclock"
)

// clock tells what is known of this machine's clock.
func (r *report) clock(w *sysclock.Watch) {
	for _, f := range w.Findings() {
		severity := admin.OK
		if f.Bad {
			severity = admin.Error
		}
		r.add(severity, "clock.kept", "clock", f.Advice, "%s", f.Text)
	}
	if status, err := sysclock.Read(); err == nil && status.Synchronised {
		r.ok("clock.offset", "clock", "off by %s at most, %s as whatever keeps it thinks", brief(status.MaxError), brief(status.EstError))
	}
}

// keepers are the programs that keep a clock, as /proc/PID/comm has them.
var keepers = map[string]string{
	"chronyd": "chrony", "ntpd": "ntpd", "systemd-timesyn": "systemd-timesyncd", "openntpd": "OpenNTPD", "ptp4l": "ptp4l", "phc2sys": "phc2sys",
	"vmtoolsd": "VMware Tools", "VBoxService": "VirtualBox Guest Additions", "qemu-ga": "the QEMU guest agent", "hv_utils": "Hyper-V",
}

// keeper tells which program keeps the clock, and what it says of that. Two of them
// pull it to and fro.
func (r *report) keeper(ctx context.Context, proc string) {
	const id = "clock.keeper"
	switch found := keepersIn(proc); len(found) {
	case 0:
		// The kernel's word counts, see clock.kept: it may be kept from outside of a container.
		r.ok(id, "clock", "no program that keeps clocks is seen to run here")
	case 1:
		r.ok(id, "clock", "%s runs", found[0])
	default:
		r.warn(id, "clock", "see that only one of them sets the clock", "%s run", strings.Join(found, " and "))
	}
	if path, err := exec.LookPath("chronyc"); err == nil && slices.Contains(keepersIn(proc), "chrony") {
		ctx, cancel := context.WithTimeout(ctx, probeTime)
		defer cancel()
		if out, err := exec.CommandContext(ctx, path, "-n", "-c", "tracking").Output(); err == nil {
			r.chrony(out)
		}
	}
}

func keepersIn(proc string) (found []string) {
	list, _ := filepath.Glob(filepath.Join(proc, "[0-9]*", "comm"))
	for _, path := range list {
		comm, _ := os.ReadFile(path)
		if name, ok := keepers[string(bytes.TrimSpace(comm))]; ok && !slices.Contains(found, name) {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return found
}

// chrony tells what "chronyc -c tracking" says: the reference's address is the second
// field, its stratum the third, by how much the clock is off the fifth, and the leap
// status the last.
func (r *report) chrony(out []byte) {
	const id, advice = "clock.source", "look at chronyc sources: are time servers reached, and do they agree?"
	fields, err := csv.NewReader(bytes.NewReader(out)).Read()
	if err != nil || len(fields) < 14 {
		return
	}
	off, err := strconv.ParseFloat(fields[4], 64)
	if err != nil {
		return
	}
	by := time.Duration(off * float64(time.Second)).Abs()
	text := fmt.Sprintf("chrony follows %s (stratum %s), and is off by %s", fields[1], fields[2], brief(by))
	switch {
	case fields[13] == "Not synchronised":
		r.bad(id, "clock", advice, "chrony follows no time server")
	case by > time.Second:
		r.bad(id, "clock", advice, "%s", text)
	default:
		r.ok(id, "clock", "%s", text)
	}
}
