package verifier

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"lockstep/internal/opaque"
)

// office is many people with a device each, at one server whose clock can be
// wrong.
type office struct {
	t       *testing.T
	v       *Verifier
	true    time.Time
	wrong   time.Duration // of the server
	devices []time.Duration
	rng     *rand.Rand
}

func (o *office) key(i int) Key {
	return Key{Bytes: opaque.Text(fmt.Sprintf("key of number %08d", i)), Algorithm: SHA1, Digits: 6, Period: 30 * time.Second}
}

func (o *office) Account(name string) (Account, error) {
	var i int
	_, err := fmt.Sscan(name, &i)
	return Account{ID: name, Name: name, Keys: []Key{o.key(i)}}, err
}

func (o *office) CheckPassword(context.Context, Account, opaque.Bytes) (PasswordInfo, error) {
	return PasswordInfo{}, nil
}

func newOffice(t *testing.T, people int) *office {
	o := &office{t: t, true: start, rng: rand.New(rand.NewPCG(1, 2))}
	mem := &memory{states: map[string]State{}, versions: map[string]Version{}}
	o.v = New(o, mem, func() time.Time { return o.true.Add(o.wrong) })
	for i := range people {
		offset := time.Duration(o.rng.Int64N(int64(2*time.Second))) - time.Second
		if i%5 == 0 { // hard tokens
			offset = time.Duration(o.rng.NormFloat64() * float64(10*time.Second))
		}
		o.devices = append(o.devices, offset)
	}
	return o
}

// code is what somebody reads and types within a few seconds.
func (o *office) login(i int) int {
	o.t.Helper()
	for n := 1; n <= 10; n++ {
		k := o.key(i)
		read := o.true.Add(o.devices[i])
		code, err := k.Code(k.Step(read))
		if err != nil {
			o.t.Fatal(err)
		}
		o.true = o.true.Add(4 * time.Second)
		d, err := o.v.Verify(o.t.Context(), Request{User: fmt.Sprint(i), Typed: opaque.Text(code), Policy: Policy{CodeOnly: true}, Source: fmt.Sprint(i)})
		if err != nil {
			o.t.Fatal(err)
		}
		if d.Outcome == Accepted {
			return n
		}
		o.true = k.Start(k.Step(read) + 1).Add(-o.devices[i])
		if next := read.Add(30 * time.Second); o.true.Before(next) {
			o.true = next
		}
	}
	return 0
}

// everybody logs in once; it returns how many codes that took, in all and at most.
func (o *office) everybody() (codes, most int) {
	for _, i := range o.rng.Perm(len(o.devices)) {
		n := o.login(i)
		if n == 0 {
			o.t.Errorf("number %d is locked out", i)
		}
		codes, most = codes+n, max(most, n)
	}
	return codes, most
}

// The server's clock steps by 90 s under 200 users, and is put right: the alarm
// names it, and nobody is locked out, neither then nor afterwards.
func TestServerSteps(t *testing.T) {
	long(t)
	for _, step := range []time.Duration{90 * time.Second, -90 * time.Second} {
		o := newOffice(t, 200)
		for range 3 {
			o.everybody()
			o.true = o.true.Add(8 * time.Hour)
		}
		if codes, _ := o.everybody(); codes != 200 {
			t.Errorf("%v: before: %d codes for 200 people", step, codes)
		}
		if a, on := o.v.Alarm(); on {
			t.Errorf("%v: alarm before anything has happened: %v", step, a)
		}
		o.true = o.true.Add(8 * time.Hour)

		o.wrong = step
		for i := range 12 {
			o.login(i)
		}
		a, on := o.v.Alarm()
		if !on || (a.Moved+step).Abs() > 25*time.Second {
			t.Errorf("%v: alarm %v, %v after 12 people", step, on, a)
		}
		if codes, most := o.everybody(); most > 2 || codes > 400 {
			t.Errorf("%v: while it is wrong: %d codes for 200 people, %d for one", step, codes, most)
		}
		o.true = o.true.Add(time.Hour)
		o.wrong = 0
		for range 3 {
			// A code that was taken for one typed slowly may have taught something wrong.
			if codes, most := o.everybody(); most > 2 || codes > 203 {
				t.Errorf("%v: after it was put right: %d codes for 200 people, %d for one", step, codes, most)
			}
			o.true = o.true.Add(time.Hour)
		}
		o.true = o.true.Add(16 * time.Minute)
		if a, on := o.v.Alarm(); on {
			t.Errorf("%v: the alarm does not end: %v", step, a)
		}
	}
}

// A server that was wrong for long and is put right raises the alarm as well, but
// what is right now is learned in the end.
func TestAlarmDoesNotLastForEver(t *testing.T) {
	o := newOffice(t, 50)
	o.wrong = -90 * time.Second
	for range 5 {
		o.everybody()
		o.true = o.true.Add(12 * time.Hour)
	}
	o.wrong = 0
	for range 30 {
		o.everybody()
	}
	if a, on := o.v.Alarm(); on {
		t.Errorf("still on: %v", a)
	}
}
