package verifier

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strconv"
	"time"
)

// repeatAge is how long a wrong input that is sent again counts as the same
// failure.
const repeatAge = time.Minute

// repeated says whether r's input is the one that failed last from its source,
// less than repeatAge ago, and why it failed, by the State of the key k.
func (a *attempt) repeated(r *Request, k Key, s State, now time.Time) (Kind, bool) {
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
// kept, so that a retry counts once at all servers, and a login is known again.
// Without the TOTP key they say nothing. With it, being so short, they leave one
// password in 65,536 that is not the right one.
func (a *attempt) input(r *Request, k Key) uint16 {
	kept, typed := r.Kept.Reveal(), r.Typed.Reveal()
	var scratch [512]byte
	m := newMAC(&hashSHA256, k.Bytes.Reveal(), 96+len(a.account.Name)+len(kept)+len(typed), scratch[:])
	b := append(m.start(), "lockstep wrong input\x00"...)
	b = append(appendLength(b, len(a.account.Name)), a.account.Name...)
	b = append(appendLength(b, len(kept)), kept...)
	b = append(appendLength(b, len(typed)), typed...)
	var sum [sha256.Size]byte
	return binary.BigEndian.Uint16(m.end(sum[:0], b))
}

func appendLength(b []byte, n int) []byte { return append(strconv.AppendInt(b, int64(n), 10), ':') }
