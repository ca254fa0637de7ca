package faults

import (
	"crypto/sha1"
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"lockstep/internal/opaque"
	"lockstep/internal/testenv"
	"lockstep/verifier"
)

// person is somebody who is enrolled, with a clock that is right. One goroutine
// at a time has it.
type person struct {
	number int
	key    verifier.Key
	last   int64 // step of the last code that was typed
}

func newPerson(number int, period time.Duration) *person {
	return &person{number: number, key: verifier.Key{
		Bytes: opaque.Of(testenv.LoadedKey(number)), Algorithm: verifier.SHA1, Digits: 6, Period: period,
	}}
}

// enrol has slapd know n people.
func enrol(t testing.TB, slapd *testenv.SlapdServer, n int, period time.Duration) {
	t.Helper()
	const salt = "salt"
	sum := sha1.Sum([]byte(testenv.LoadedPassword + salt))
	password := "{SSHA}" + base64.StdEncoding.EncodeToString(append(sum[:], salt...))
	slapd.LoadLDIF(t, func(w io.Writer) error {
		for i := range n {
			_, err := fmt.Fprintf(w, "dn: uid=%[1]s,%[2]s\nobjectClass: inetOrgPerson\nobjectClass: oathTOTPToken\nobjectClass: oathTOTPParams\n"+
				"uid: %[1]s\ncn: %[1]s\nsn: %[1]s\nuserPassword: %[3]s\noathSecret: %[4]s\noathOTPLength: 6\noathHMACAlgorithm: 1.2.840.113549.2.7\n"+
				"oathTOTPTimeStepPeriod: %[5]d\noathTOTPTimeStepWindow: 1\n\n", testenv.LoadedUser(i), slapd.PeopleDN, password,
				base32.StdEncoding.EncodeToString(testenv.LoadedKey(i)), int(period/time.Second))
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func (p *person) name() string { return testenv.LoadedUser(p.number) }

func (p *person) code(step int64) string {
	code, err := p.key.Code(step)
	if err != nil {
		panic(fmt.Sprintf("code of %s: %v", p.name(), err))
	}
	return code
}

// next returns the step of the next code that p types, of those that it has not
// typed yet, or how long p has to wait for one.
func (p *person) next(now time.Time) (step int64, wait time.Duration) {
	current, period := p.key.Step(now), p.key.Period
	into := now.Sub(time.Unix(current*int64(period/time.Second), 0))
	step = max(p.last+1, current)
	// After that the code of the step before could be too old at the last of the
	// servers that an appliance asks.
	if into < period*2/3 {
		step = max(p.last+1, current-1)
	}
	for !p.unique(step) {
		step++
	}
	if step > current {
		return 0, time.Duration(step-current)*period - into
	}
	p.last = step
	return step, 0
}

// unique says that no other step within the reach of a stepped clock has the same
// code: who had it could not be blamed for an Accept.
func (p *person) unique(step int64) bool {
	code := p.code(step)
	for other := step - 30; other <= step+30; other++ {
		if other != step && p.code(other) == code {
			return false
		}
	}
	return true
}

// wrong returns a code that is none of p's around step.
func (p *person) wrong(step int64, draw func(int) int) string {
	taken := map[string]bool{}
	for other := step - 30; other <= step+30; other++ {
		taken[p.code(other)] = true
	}
	for {
		if code := fmt.Sprintf("%06d", draw(1_000_000)); !taken[code] {
			return code
		}
	}
}

// lot draws for many at once.
type lot struct {
	mu     sync.Mutex
	random *rand.Rand
}

func newLot(seed, stream uint64) *lot { return &lot{random: rand.New(rand.NewPCG(seed, stream))} }

// n returns a number from 0 to n-1.
func (l *lot) n(n int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.random.IntN(n)
}

func (l *lot) shuffle(n int, swap func(i, j int)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.random.Shuffle(n, swap)
}

func (l *lot) chance(p float64) bool { return l.n(1_000_000) < int(p*1_000_000) }

func (l *lot) between(from, to time.Duration) time.Duration {
	return from + time.Duration(l.n(int((to-from)/time.Microsecond)))*time.Microsecond
}
