package verifier

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"lockstep/internal/opaque"
)

// repeatAge is how long a wrong input that is sent again counts as the same
// failure.
const repeatAge = time.Minute

// repeated says whether r's input is the one that failed last from its source,
// less than repeatAge ago, and why it failed, by the State of the key k.
func (a attempt) repeated(r Request, k Key, s State, now time.Time) (Kind, bool) {
	last := s.source(r.Source)
	again := last.Count > 0 && between(last.Last, now).Abs() < repeatAge && last.Input == a.input(r, k)
	return last.Kind, again
}

// restated returns s with another cause of the last failure from source.
func (s State) restated(source string, kind Kind) State {
	s.Sources = slices.Clone(s.Sources)
	for i := range s.Sources {
		if s.Sources[i].Source == sourceName(source) {
			s.Sources[i].Kind = kind
		}
	}
	return s
}

// input returns 16 bits that tell what was typed from other input. They are
// kept, so that a retry counts once at all servers. Under the TOTP key, and so
// short, they help nobody who guesses at a password, not even with that key.
func (a attempt) input(r Request, k Key) uint16 {
	mac := hmac.New(sha256.New, k.Bytes.Reveal())
	mac.Write([]byte("lockstep wrong input\x00"))
	for _, part := range []opaque.Bytes{opaque.Text(a.account.Name), r.Kept, r.Typed} {
		fmt.Fprintf(mac, "%d:", part.Len())
		mac.Write(part.Reveal())
	}
	return binary.BigEndian.Uint16(mac.Sum(nil))
}
