package fleet

import (
	"context"
	"fmt"
)

// visit leads p through enrolment and all logins with m.
func (s Settings) visit(ctx context.Context, p person, m Model) (Tally, error) {
	step, at := p.enrolled.read(0)
	c, err := m.Enroll(ctx, p.key, step, moment(at))
	if err != nil {
		return Tally{}, fmt.Errorf("%s: enroll person %d: %w", m.Name, p.index, err)
	}
	v := visit{Settings: s, ctx: ctx, person: p, checker: c, last: step, now: at, tally: Tally{Users: 1}}
	for i := range p.logins {
		if err := v.login(i); err != nil {
			return Tally{}, fmt.Errorf("%s: login %d of person %d: %w", m.Name, i, p.index, err)
		}
	}
	if v.tally.Stranded > 0 {
		v.tally.StrandedUsers = 1
	}
	return v.tally, nil
}

// visit is a person on their way through the logins.
type visit struct {
	Settings
	ctx     context.Context
	person  person
	checker Checker
	last    int64   // step whose code was typed last
	now     float64 // when it got to the server
	tally   Tally
}

// login makes one login, with as many tries as it takes.
func (v *visit) login(i int) error {
	l := v.person.logins[i]
	l.at = max(l.at, v.now) // not before the one before has come to an end
	accepted, err := v.first(l)
	if accepted || err != nil {
		return err
	}
	v.tally.Refused++
	accepted, err = v.again(i, l.clock)
	switch {
	case err != nil:
		return err
	case accepted:
		v.tally.Resynchronized++
	default:
		v.tally.Stranded++
	}
	return nil
}

// first makes the first try, and counts what would have been accepted then.
func (v *visit) first(l login) (accepted bool, err error) {
	v.last, v.now = l.read(v.last)
	codes, err := v.checker.Acceptable(v.ctx, moment(v.now))
	if err != nil {
		return false, err
	}
	v.tally.Logins++
	v.tally.Codes += codes
	return v.checker.Accept(v.ctx, v.last, moment(v.now))
}

// again makes all further tries of login i, with later codes.
func (v *visit) again(i int, c clock) (accepted bool, err error) {
	r, end := v.generator("retry", v.person.index, i), v.now+v.RetryWithin
	for try := 1; try < v.Tries && !accepted && err == nil; try++ {
		wait := v.RetryMin + (v.RetryMax-v.RetryMin)*r.Float64()
		step, at := login{at: v.now + wait, delay: v.delay(r), clock: c}.read(v.last)
		if at > end {
			break
		}
		v.last, v.now = step, at
		accepted, err = v.checker.Accept(v.ctx, step, moment(at))
	}
	return accepted, err
}
