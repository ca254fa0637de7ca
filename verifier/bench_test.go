package verifier

import (
	"testing"
	"time"

	"lockstep/internal/opaque"
)

// What a wrong code costs: every step of two days, twice where it can be read in
// two ways.
func BenchmarkFarSearch(b *testing.B) {
	for _, algorithm := range []Algorithm{SHA1, SHA256, SHA512} {
		b.Run(string(algorithm), func(b *testing.B) {
			k := Key{Bytes: testKey.Bytes, Algorithm: algorithm, Digits: 6, Period: 30 * time.Second}
			for b.Loop() {
				newCoder(k).farHits(k, start, []uint32{123456, 654321})
			}
		})
	}
}

// BenchmarkVerify is what a login costs beside the store and the directory: of
// somebody who has logged in often before, with a step between one login and the
// next.
func BenchmarkVerify(b *testing.B) {
	for name, kept := range map[string]int64{"new": 0, "typical": keptSpent} {
		b.Run(name, func(b *testing.B) {
			now := start
			dir := &directory{account: Account{ID: "id-1", Name: "alice", Keys: []Key{testKey}}, password: "secret"}
			var s State
			for i := range kept {
				at := now.Add(time.Duration(i-kept) * 12 * time.Hour)
				s = s.spend(testKey, Spent{Step: testKey.Step(at), At: stamp(at), By: "vpn"}).learn(testKey, testKey.Step(at), at)
			}
			mem := &memory{states: map[string]State{testKey.ID(): s}, versions: map[string]Version{}}
			v := New(dir, mem, func() time.Time { return now })
			logins := make([]Request, 100)
			for i := range logins {
				code, err := testKey.Code(testKey.Step(now) + int64(i))
				if err != nil {
					b.Fatal(err)
				}
				logins[i] = Request{User: "alice", Typed: opaque.Text("secret" + code), Client: "vpn", Source: "192.0.2.1"}
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if i == len(logins) {
					i, now, mem.states[testKey.ID()] = 0, start, s
					dir.asked = dir.asked[:0]
				}
				if d, err := v.Verify(b.Context(), logins[i]); err != nil || d.Outcome != Accepted {
					b.Fatal(d, err)
				}
				i, now = i+1, now.Add(testKey.Period)
			}
		})
	}
}
