package sysclock

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// HardwareClock returns how far the hardware clock is ahead of the wall clock,
// negative if it is behind, to half a second: the hardware clock counts whole
// seconds. The error wraps [io/fs.ErrNotExist] where there is none, as in many
// virtual machines and containers.
//
// A hardware clock that is kept in local time, as the last line of /etc/adjtime
// says for machines that share it with another system, is read as such.
func HardwareClock() (ahead time.Duration, err error) {
	return rtc{"/sys/class/rtc/rtc0/since_epoch", "/etc/adjtime"}.ahead(time.Now)
}

// rtc is where the hardware clock is found.
type rtc struct {
	epoch   string // file with its seconds since 1970, taken for UTC
	adjtime string // file that hwclock(8) keeps; need not be there
}

func (r rtc) ahead(wall func() time.Time) (time.Duration, error) {
	text, err := os.ReadFile(r.epoch)
	if err != nil {
		return 0, fmt.Errorf("read the hardware clock: %w", err)
	}
	now := wall()
	seconds, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read the hardware clock: %s: not a number of seconds: %q", r.epoch, text)
	}
	if r.local() {
		_, east := now.Zone()
		seconds -= int64(east)
	}
	// The middle of the second that it shows; Sub of times, because it saturates.
	return time.Unix(seconds, int64(time.Second/2)).Sub(now.Round(0)), nil
}

// local says whether the hardware clock is kept in local time. UTC is the rule,
// also where nothing is said.
func (r rtc) local() bool {
	text, _ := os.ReadFile(r.adjtime)
	lines := strings.Split(string(text), "\n")
	return len(lines) > 2 && strings.TrimSpace(lines[2]) == "LOCAL"
}
