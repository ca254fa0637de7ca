package main

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// machine is where it was measured, and what.
type machine struct {
	Processor  string `json:"processor"`
	Processors int    `json:"processors"`
	Memory     int64  `json:"memory_octets"`
	Kernel     string `json:"kernel"`
	Disk       string `json:"disk"` // the file system of the stores
	FreeRADIUS string `json:"freeradius"`
	Slapd      string `json:"slapd"`
	Lockstep   string `json:"lockstep"` // of each program, the commit it was built from
	Go         string `json:"go"`
	Date       string `json:"date"`
	Command    string `json:"command"`
}

func describe(ctx context.Context, args, commits []string, dir string) machine {
	m := machine{Processors: runtime.NumCPU(), Go: runtime.Version(), Date: time.Now().UTC().Format(time.DateOnly),
		Command: strings.Join(append([]string{"benchpeer"}, args...), " "), Disk: fileSystem(dir)}
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			m.Processor = strings.TrimSpace(value)
		}
	}
	eachField("/proc/meminfo", func(name string, n int64) {
		if name == "MemTotal" {
			m.Memory = n << 10
		}
	})
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	m.FreeRADIUS = version(ctx, "FreeRADIUS Version ", "freeradius", "-v")
	m.Slapd = version(ctx, "OpenLDAP: slapd ", "slapd", "-VV")
	m.Lockstep = strings.Join(commits, " and ")
	return m
}

// commit is what a program of another checkout was built from, if it says so.
func commit(program string) string {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value[:min(12, len(s.Value))]
		}
	}
	return filepath.Base(program)
}

// checkedOut is the commit of this checkout.
func checkedOut(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// version finds the word after a mark in what a program prints.
func version(ctx context.Context, mark, name string, args ...string) string {
	program, err := tool(name)
	if err != nil {
		return "not installed"
	}
	out, _ := exec.CommandContext(ctx, program, args...).CombinedOutput()
	_, after, _ := strings.Cut(string(out), mark)
	word, _, _ := strings.Cut(strings.TrimSpace(after), " ")
	word, _, _ = strings.Cut(word, "\n")
	return strings.TrimRight(word, ",")
}

// fileSystem is the type of the file system that dir is in, since a claim in
// memory is none.
func fileSystem(dir string) string {
	dir, _ = filepath.Abs(dir)
	text, _ := os.ReadFile("/proc/self/mounts")
	best, kind := "", "unknown"
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 3 || len(fields[1]) < len(best) {
			continue
		}
		if in, err := filepath.Rel(fields[1], dir); err == nil && !strings.HasPrefix(in, "..") {
			best, kind = fields[1], fields[2]
		}
	}
	return kind
}

// ticks are what all processors have done so far, in hundredths of a second.
type ticks struct{ busy, all int64 }

// readTicks reads the first line of /proc/stat. What a hypervisor took away
// counts as busy.
func readTicks() (t ticks, err error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return t, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	const idle, iowait, steal = 3, 4, 7
	for i, field := range strings.Fields(strings.TrimPrefix(line, "cpu")) {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return t, fmt.Errorf("read /proc/stat: %w", err)
		}
		if i > steal { // guests are counted in the first two
			break
		}
		t.all += n
		if i != idle && i != iowait {
			t.busy += n
		}
	}
	return t, nil
}

// others returns the share of the machine, 0 to 1, that went to something else
// than what used so much time of it between two readings.
func others(before, after ticks, ours time.Duration) float64 {
	all := after.all - before.all
	if all <= 0 {
		return 0
	}
	const tick = 10 * time.Millisecond
	return max(0, float64(after.busy-before.busy)-float64(ours)/float64(tick)) / float64(all)
}
