package fleet

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"lockstep/internal/opaque"
	"lockstep/verifier"
)

const day = 86_400 // seconds

// epoch is when the first day begins. Times here are seconds since then.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func moment(seconds float64) time.Time { return epoch.Add(time.Duration(seconds * 1e9)) }

// person is somebody with a device, and all that they are going to do unless
// they are refused.
type person struct {
	index    int
	kind     Kind
	key      verifier.Key
	enrolled login
	logins   []login // by time
}

// login is a code that is read and typed.
type login struct {
	at    float64 // when it gets to the server
	delay float64 // seconds since it was read
	clock clock
}

// generator returns the random numbers for one purpose. Every person has their
// own, and so has every login that is refused, so that neither other people nor
// other models have a part in what they do.
func (s Settings) generator(purpose string, numbers ...int) *rand.Rand {
	sum := sha256.Sum256(fmt.Append(nil, purpose, s.Seed, numbers))
	return rand.New(rand.NewPCG(binary.BigEndian.Uint64(sum[:]), binary.BigEndian.Uint64(sum[8:])))
}

// person returns the one with this number.
func (s Settings) person(i int) person {
	r := s.generator("person", i)
	p := person{index: i, kind: s.Mix.kind(i, s.Users), key: s.key(r)}
	gap := s.gap(i)
	c := s.clock(r, p.kind)
	next := func(at float64) login {
		l := login{at: at, delay: s.delay(r), clock: c}
		if p.kind == Phone {
			l.clock = s.clock(r, Phone)
		}
		return l
	}
	p.enrolled = next(day * r.Float64())
	end := p.enrolled.at + s.Years*365.25*day
	for at := p.enrolled.at + gap*r.ExpFloat64(); at < end; at += gap * r.ExpFloat64() {
		p.logins = append(p.logins, next(at))
	}
	return p
}

// gap returns the mean time between logins of person i. Multiples of the golden
// ratio spread people more evenly than chance would: those who come often make
// most of the logins, and a few more or less of them would hide what is to be
// compared.
func (s Settings) gap(i int) float64 {
	_, share := math.Modf(s.generator("gaps").Float64() + float64(i)*math.Phi)
	return day * s.MinGap * math.Pow(s.MaxGap/s.MinGap, share)
}

func (s Settings) key(r *rand.Rand) verifier.Key {
	var key []byte
	for range 3 {
		key = binary.BigEndian.AppendUint64(key, r.Uint64())
	}
	period := time.Duration(s.Period) * time.Second
	return verifier.Key{Bytes: opaque.Of(key[:20]), Algorithm: verifier.SHA1, Digits: 6, Period: period}
}

// delay returns the time from reading a code to its arrival.
func (s Settings) delay(r *rand.Rand) float64 {
	return min(s.EntryMin+s.EntryMean*r.ExpFloat64(), s.EntryMax)
}

// clock is a device's.
type clock struct {
	period float64
	offset float64 // seconds ahead of true time at epoch
	drift  float64 // seconds gained in a second
}

func (s Settings) clock(r *rand.Rand, k Kind) clock {
	c := clock{period: float64(s.Period)}
	switch k {
	case Phone:
		c.offset = s.PhoneOffset * (2*r.Float64() - 1)
	case Hand:
		c.offset, c.drift = s.HandOffset*(2*r.Float64()-1), s.HandDrift*1e-6*r.NormFloat64()
	case Token:
		c.offset, c.drift = s.TokenOffset*r.NormFloat64(), s.TokenDrift*1e-6*r.NormFloat64()
	}
	return c
}

// step returns the step whose code is shown at t.
func (c clock) step(t float64) int64 {
	return int64(math.Floor((float64(epoch.Unix()) + t + c.offset + c.drift*t) / c.period))
}

// shows returns the moment from which on step's code is shown.
func (c clock) shows(step int64) float64 {
	return (float64(step)*c.period - float64(epoch.Unix()) - c.offset) / (1 + c.drift)
}

// read returns the step of the code that l brings to the server, and when it
// gets there. Nobody types a code again: who sees one that they have typed, the
// last step of which was last, waits for the next.
func (l login) read(last int64) (step int64, at float64) {
	step = l.clock.step(l.at - l.delay)
	if step > last {
		return step, l.at
	}
	return last + 1, l.clock.shows(last+1) + l.delay
}
