package ldapsync

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
)

// BenchmarkResident is what refreshes of a million take of the machine's memory, not
// counting the network: at most while they run, and what stays. Run it alone.
func BenchmarkResident(b *testing.B) {
	const n = 1_000_000
	for b.Loop() {
		debug.FreeOSMemory()
		before := resident(b, "VmRSS")
		r := replicaFor(b)
		for _, refresh := range []string{"first", "second"} {
			os.WriteFile("/proc/self/clear_refs", []byte("5"), 0o200) // forgets the peak
			filled(r, key1, n)
			b.ReportMetric(resident(b, "VmHWM")-before, refresh+"-peak-MiB")
		}
		runtime.GC()
		began := cpuOf(b, os.Getpid())
		runtime.GC()
		b.ReportMetric(float64((cpuOf(b, os.Getpid())-began).Microseconds())/1000, "cpu-ms/GC")
		debug.FreeOSMemory()
		b.ReportMetric(resident(b, "VmRSS")-before, "kept-MiB")
		runtime.KeepAlive(r)
	}
}

// resident is a line of /proc/self/status in MiB.
func resident(b *testing.B, name string) float64 {
	b.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), name+":")
	var kilobytes float64
	if _, err := fmt.Sscan(rest, &kilobytes); err != nil {
		b.Fatal(err)
	}
	return kilobytes / 1024
}
