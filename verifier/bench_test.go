package verifier

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
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

// town is a Directory of many people with a device each, whose password is
// "secret".
type town map[string]Account

func (d town) Account(name string) (Account, error) { return d[name], nil }

func (town) CheckPassword(context.Context, Account, opaque.Bytes) (PasswordInfo, error) {
	return PasswordInfo{}, nil
}

// BenchmarkVerifyMany is what a login costs at a server of 10,000 people, of whom
// each logs in seldom, so that nothing of them is in the processor's caches.
func BenchmarkVerifyMany(b *testing.B) {
	const people = 10_000
	now := start
	dir, mem := town{}, &memory{states: map[string]State{}, versions: map[string]Version{}}
	logins := make([][]Request, 4)
	for i := range people {
		name := fmt.Sprintf("user%05d", i)
		k := Key{Bytes: opaque.Text(fmt.Sprintf("key of number %06d", i)), Algorithm: SHA1, Digits: 6, Period: 30 * time.Second}
		dir[name] = Account{ID: fmt.Sprintf("id-%05d", i), Name: name, Keys: []Key{k}}
		var s State
		for at := now.Add(-8 * 12 * time.Hour); at.Before(now); at = at.Add(12 * time.Hour) {
			s = s.spend(k, Spent{Step: k.Step(at), At: stamp(at), By: "vpn"}).learn(k, k.Step(at), at)
		}
		mem.states[k.ID()], mem.versions[k.ID()] = s, 1
		for round := range logins {
			code, err := k.Code(k.Step(now) + int64(round))
			if err != nil {
				b.Fatal(err)
			}
			logins[round] = append(logins[round], Request{User: name, Typed: opaque.Text("secret" + code), Client: "vpn", Source: "192.0.2.1"})
		}
	}
	for _, round := range logins {
		rand.Shuffle(people, func(i, j int) { round[i], round[j] = round[j], round[i] })
	}
	states := maps.Clone(mem.states)
	v := New(dir, mem, func() time.Time { return now })
	v.SetServer("a")
	v.SetTrusted(func() bool { return true })
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if i == len(logins)*people {
			b.StopTimer()
			i, now, mem.states = 0, start, maps.Clone(states)
			b.StartTimer()
		}
		if d, err := v.Verify(b.Context(), logins[i/people][i%people]); err != nil || d.Outcome != Accepted {
			b.Fatal(d, err)
		}
		if i++; i%people == 0 {
			now = now.Add(30 * time.Second)
		}
	}
}
