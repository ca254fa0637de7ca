package ldapsync

import (
	"fmt"
	"testing"
)

// BenchmarkEntry is what a bind costs of the replica, beside the Lookup before it.
func BenchmarkEntry(b *testing.B) {
	const n = 100_000
	value, ring := sealedFor(b, "user0000007")
	for _, keys := range []struct{ name, value string }{{"plain", key1}, {"sealed", value}} {
		b.Run(keys.name, func(b *testing.B) {
			d := open(b, Config{URLs: []string{"ldap://127.0.0.1"}, BaseDN: "dc=example,dc=org", Keyring: ring})
			filled(d.replica, keys.value, n)
			names := make([]string, 1000)
			for i := range names {
				names[i] = fmt.Sprintf("user%07d", i*7919%n)
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if _, err := d.Entry(names[i]); err != nil {
					b.Fatal(err)
				}
				i = (i + 1) % len(names)
			}
		})
	}
}
