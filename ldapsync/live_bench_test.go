package ldapsync

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"lockstep/internal/opaque"
	"lockstep/internal/testenv"
)

// BenchmarkLive follows a real slapd with so many enrolled people. It reports how
// long the first refresh takes, what a record takes of the heap, and how long it
// takes from a writer's acknowledgement until a change counts. LOCKSTEP_BENCH_ENTRIES
// sets other sizes.
func BenchmarkLive(b *testing.B) {
	sizes := []int{10_000, 100_000, 1_000_000}
	if n, err := strconv.Atoi(os.Getenv("LOCKSTEP_BENCH_ENTRIES")); err == nil {
		sizes = []int{n}
	}
	for _, n := range sizes {
		b.Run(strconv.Itoa(n), func(b *testing.B) { benchmarkLive(b, n) })
	}
}

func benchmarkLive(b *testing.B, n int) {
	s := testenv.Slapd(b, testenv.WithSyncprov())
	s.Load(b, n)
	c := Config{URLs: []string{s.URL}, BaseDN: s.BaseDN, BindDN: s.ServiceDN, BindPassword: opaque.Text(s.ServicePassword), Follow: "syncrepl", Timeout: 30 * time.Second}
	for b.Loop() {
		before := heap()
		d := open(b, c)
		ctx, cancel := context.WithCancel(b.Context())
		ended := make(chan error)
		began := time.Now()
		go func() { ended <- d.Run(ctx) }()
		if err := d.WaitReady(ctx); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(time.Since(began).Seconds(), "refresh-s")
		b.ReportMetric(float64(heap()-before)/float64(n), "B/entry")
		reportLatency(b, s, d)
		cancel()
		<-ended
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// reportLatency changes the key of somebody again and again.
func reportLatency(b *testing.B, s *testenv.SlapdServer, d *Directory) {
	l, err := ldap.DialURL(s.URL)
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	if err := l.Bind(s.AdminDN, s.AdminPassword); err != nil {
		b.Fatal(err)
	}
	var all []time.Duration
	for i := range 500 {
		key := fmt.Sprintf("key number %07d of many", i)
		m := ldap.NewModifyRequest("uid="+testenv.LoadedUser(i)+","+s.PeopleDN, nil)
		m.Replace("oathSecret", []string{unpadded.EncodeToString([]byte(key))})
		if err := l.Modify(m); err != nil {
			b.Fatal(err)
		}
		acknowledged := time.Now()
		for {
			if a, err := d.Lookup(testenv.LoadedUser(i)); err == nil && string(a.Tokens[0].Key.Reveal()) == key {
				break
			}
			runtime.Gosched()
		}
		all = append(all, time.Since(acknowledged))
	}
	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-µs")
}
