package verifier

import (
	"testing"
	"time"
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
