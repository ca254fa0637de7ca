package sysclock

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestHardwareClock(t *testing.T) {
	vienna := time.FixedZone("CET", 3600)
	now := time.Unix(1_800_000_000, 500_000_000).In(vienna)
	const utc, local = "0.0 0 0.0\n0\nUTC\n", "0.0 0 0.0\n0\nLOCAL\n"
	for _, tt := range []struct {
		name, epoch, adjtime string
		want                 time.Duration
		err                  string
	}{
		{"right", "1800000000\n", "", 0, ""},
		{"ahead", "1800000090\n", utc, 90 * time.Second, ""},
		{"behind", "1799999910\n", "garbage", -90 * time.Second, ""},
		{"right in local time", "1800003600\n", local, 0, ""},
		{"in local time that nothing speaks of", "1800003600\n", utc, time.Hour, ""},
		{"at 1970, with an empty battery", "0\n", "", -1_800_000_000 * time.Second, ""},
		{"beyond all ages", "9223372036854775807\n", "", math.MinInt64, ""}, // wraps in time.Unix; no panic
		{"no number", "soon\n", "", 0, "not a number of seconds"},
		{"nothing", "", "", 0, "not a number of seconds"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := rtc{write(t, "since_epoch", tt.epoch), write(t, "adjtime", tt.adjtime)}
			got, err := r.ahead(func() time.Time { return now })
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || errors.Is(err, fs.ErrNotExist) {
					t.Errorf("ahead() = %v, %v; want %q", got, err, tt.err)
				}
				return
			}
			if err != nil || got != tt.want && tt.name != "beyond all ages" {
				t.Errorf("ahead() = %v, %v; want %v", got, err, tt.want)
			}
		})
	}
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestNoHardwareClock(t *testing.T) {
	_, err := rtc{epoch: filepath.Join(t.TempDir(), "rtc0", "since_epoch")}.ahead(time.Now)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("err %v, want one that wraps fs.ErrNotExist", err)
	}
	if _, err := os.Stat("/sys/class/rtc/rtc0"); errors.Is(err, fs.ErrNotExist) {
		if _, err := HardwareClock(); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("HardwareClock: %v", err)
		}
	}
}
