package ldapsync

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"lockstep/internal/opaque"
	"lockstep/ldapsync/sealed"
	"lockstep/ldapsync/wire"
)

// feed gives a replica entries as a session does, one message after the other in
// the same memory.
type feed struct {
	uuid    [16]byte
	message wire.Message
	dn, uid []byte
}

func newFeed(key string) *feed {
	f := &feed{}
	value := func(v string) [][]byte { return [][]byte{[]byte(v)} }
	f.message.Attributes = []wire.Attribute{
		{Name: []byte("objectClass"), Values: append(value("inetOrgPerson"), value("oathTOTPToken")...)},
		{Name: []byte("uid"), Values: [][]byte{nil}},
		{Name: []byte("oathSecret"), Values: value(key)},
	}
	return f
}

func (f *feed) entry(n int) rawEntry {
	binary.BigEndian.PutUint64(f.uuid[8:], uint64(n))
	f.uid = fmt.Appendf(f.uid[:0], "user%07d", n)
	f.dn = append(append(append(f.dn[:0], "uid="...), f.uid...), ",ou=people,dc=example,dc=org"...)
	f.message.Attributes[1].Values[0] = f.uid
	return rawEntry{dn: f.dn, uuid: f.uuid[:], get: f.message.Values}
}

func replicaFor(t testing.TB, change ...func(*Config)) *replica {
	t.Helper()
	c := Config{URLs: []string{"ldap://127.0.0.1"}, BaseDN: "dc=example,dc=org"}
	for _, f := range change {
		f(&c)
	}
	return open(t, c).replica
}

func filled(r *replica, key string, n int) *replica {
	f := newFeed(key)
	r.begin()
	for i := range n {
		r.put(f.entry(i))
	}
	r.sweep()
	r.complete(time.Now())
	return r
}

// sealedFor returns a key sealed for a user, and what opens it.
func sealedFor(t testing.TB, user string) (string, *sealed.Keyring) {
	t.Helper()
	private, err := sealed.Generate()
	if err != nil {
		t.Fatal(err)
	}
	ring, err := sealed.NewKeyring(private)
	if err != nil {
		t.Fatal(err)
	}
	value, err := private.Public().Seal(sealed.Binding{Realm: "dc=example,dc=org", User: user, Slot: "1"},
		sealed.Content{Key: opaque.Text("12345678901234567890"), Algorithm: "SHA1", Digits: 6, Period: 30 * time.Second, Created: time.Unix(1e9, 0)})
	if err != nil {
		t.Fatal(err)
	}
	return value, ring
}

var sizes = []struct {
	name string
	n    int
}{{"10k", 10_000}, {"100k", 100_000}, {"1M", 1_000_000}}

// BenchmarkRefresh is a first refresh, without the network.
func BenchmarkRefresh(b *testing.B) {
	value, _ := sealedFor(b, "user0000000")
	for _, keys := range []struct{ name, value string }{{"plain", key1}, {"sealed", value}} {
		for _, size := range sizes {
			b.Run(keys.name+"/"+size.name, func(b *testing.B) {
				b.ReportAllocs()
				before := int64(liveHeap())
				var r *replica
				for b.Loop() {
					r = filled(replicaFor(b), keys.value, size.n)
				}
				b.ReportMetric(float64(int64(liveHeap())-before)/float64(size.n), "B/record")
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*size.n), "ns/record")
				runtime.KeepAlive(r)
			})
		}
	}
}

func liveHeap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkRefreshUnchanged is one in which everything is as it was.
func BenchmarkRefreshUnchanged(b *testing.B) {
	const n = 100_000
	r := filled(replicaFor(b), key1, n)
	b.ReportAllocs()
	for b.Loop() {
		filled(r, key1, n)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/record")
}

func BenchmarkLookup(b *testing.B) {
	const n = 10_000
	value, ring := sealedFor(b, "user0000007")
	inAnyOrder := make([]string, n)
	for i, k := range rand.Perm(n) {
		inAnyOrder[i] = fmt.Sprintf("user%07d", k)
	}
	for _, keys := range []struct {
		name, value string
		users       []string // who are looked up
	}{{"plain", key1, inAnyOrder}, {"sealed", value, []string{"user0000007"}}} {
		b.Run(keys.name, func(b *testing.B) {
			d := open(b, Config{URLs: []string{"ldap://127.0.0.1"}, BaseDN: "dc=example,dc=org", Keyring: ring})
			filled(d.replica, keys.value, n)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if _, err := d.Lookup(keys.users[i]); err != nil {
					b.Fatal(err)
				}
				i = (i + 1) % len(keys.users)
			}
		})
	}
}

func TestMemoryOfARecord(t *testing.T) {
	value, _ := sealedFor(t, "user0000000")
	const n = 25_000 // right after the indexes have grown, when they are emptiest
	for name, value := range map[string]string{"plain": key1, "sealed": value} {
		before := int64(liveHeap())
		r := filled(replicaFor(t), value, n)
		octets := (int64(liveHeap()) - before) / n
		t.Logf("%s: %d octets", name, octets)
		if octets > 300 {
			t.Errorf("%s: %d octets a record, want at most 300", name, octets)
		}
		runtime.KeepAlive(r)
	}
}
