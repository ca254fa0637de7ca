package server

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"lockstep/admin"
	"lockstep/internal/opaque"
	"lockstep/verifier"
)

func (u users) Resync(ctx context.Context, name string, first, second opaque.Bytes) (admin.Resync, error) {
	a, err := u.lookup(name)
	if err != nil {
		return admin.Resync{}, err
	}
	r, err := u.verifier.Resync(ctx, account(a), first, second)
	likely, wrong := r.Offset.Likely()
	return admin.Resync{Done: err == nil && r.Reason.Kind == verifier.None, Offset: likely.Seconds(), OffsetError: wrong.Seconds(),
		Token: r.Token, Reason: r.Reason.String()}, err
}

func (u users) ResetClock(ctx context.Context, name string) error {
	a, err := u.lookup(name)
	if err != nil {
		return err
	}
	return u.verifier.ResetClock(ctx, account(a))
}

func (u users) Seed(ctx context.Context, keyID string, period time.Duration, step int64, at time.Time) error {
	return u.verifier.Seed(ctx, keyID, period, step, at)
}

func (u users) Explain(ctx context.Context, name string, code opaque.Bytes) (admin.Explanation, error) {
	a, err := u.lookup(name)
	if err != nil {
		return admin.Explanation{}, err
	}
	e, err := u.verifier.Explain(ctx, account(a), code)
	if err != nil {
		return admin.Explanation{}, err
	}
	return explanation(a.Name, e), nil
}

func explanation(user string, e verifier.Explanation) admin.Explanation {
	x := admin.Explanation{User: user}
	explain(&x, e)
	if e.Of > 1 && e.Key.Period != 0 {
		x.Token = e.Key.Label
		x.Text = "token " + x.Token + ": " + x.Text
	}
	if e.Locked {
		x.Accepted = false
		x.Text += "; but the account is locked"
		x.Advice = "lockstep user unlock " + admin.Argument(user)
	}
	return x
}

func explain(x *admin.Explanation, e verifier.Explanation) {
	switch e.Reason.Kind {
	case verifier.None:
		current(x, e)
	case verifier.Replayed:
		spent(x, e)
	case verifier.OutOfStep:
		outOfStep(x, e)
	case verifier.TooEarly:
		x.Verdict, x.Text, x.Until = admin.VerdictEarly, e.Reason.String(), optional(e.Reason.Until)
		x.Advice = "wait until then; forward_only = false in the configuration lets such codes in"
	case verifier.WrongCode, verifier.NoCode:
		wrong(x, e)
	case verifier.Unusable:
		x.Verdict, x.Text = admin.VerdictElsewhere, e.Reason.Cause
		x.Advice = "look at the token in the directory"
	}
}

func current(x *admin.Explanation, e verifier.Explanation) {
	x.Verdict, x.Accepted, x.Offset = admin.VerdictCurrent, true, seconds(e.Offset)
	x.Text = "a right code, not used yet: with the password it lets " + x.User + " in"
	if e.Offset != 0 {
		x.Text += " (of a clock that is " + verifier.Ahead(e.Offset) + ", as this device's may be)"
	}
}

func spent(x *admin.Explanation, e verifier.Explanation) {
	x.Verdict, x.SpentBy, x.SpentAt = admin.VerdictSpent, e.Spent.By, optional(e.Spent.At)
	x.Text = "used already"
	if x.SpentAt != nil {
		x.Text = fmt.Sprintf("used already, %s ago by %s, at %s", verifier.Words(e.Reason.Ago), e.Reason.By, x.SpentAt.Local().Format(time.DateTime))
	}
	x.Advice = "each code is good for one login; wait for the next"
}

func outOfStep(x *admin.Explanation, e verifier.Explanation) {
	x.Verdict, x.Offset = admin.VerdictOut, seconds(e.Offset)
	x.Text = "a code of this key, but of a clock that is " + verifier.Ahead(e.Offset)
	x.Advice = "type two codes, one after the other as they are shown: two logins within 5 min, or lockstep user resync " + admin.Argument(x.User) +
		"; and have the device's clock set right"
}

func wrong(x *admin.Explanation, e verifier.Explanation) {
	x.Verdict, x.Text = admin.VerdictWrong, "no code of "+theKeys(e)+" within a day of this server's clock"
	x.Advice = "perhaps it is of another account in the authenticator; otherwise the device has another key: enrol it anew"
	if e.Reason.Kind == verifier.NoCode {
		x.Verdict, x.Text = admin.VerdictNoCode, fmt.Sprintf("not a code: %s's have %s digits", x.User, digits(e.Reason.Digits))
		x.Advice = ""
	}
	if o, k := e.Other, e.Key; o.Period != 0 {
		x.Verdict = admin.VerdictOther
		x.Text = fmt.Sprintf("a code of this key with %s; the account has %s", parameters(o), parameters(k))
		x.Advice = "correct the parameters of the entry in the directory, or enrol the device anew"
	}
}

func theKeys(e verifier.Explanation) string {
	if e.Of > 1 {
		return fmt.Sprintf("any of the %d keys", e.Of)
	}
	return "this key"
}

func digits(n int) string {
	if n == 0 {
		return "6 or 8"
	}
	return strconv.Itoa(n)
}

func parameters(k verifier.Key) string {
	return fmt.Sprintf("%s, %d digits, %d s", k.Algorithm, k.Digits, k.Period/time.Second)
}

func seconds(d time.Duration) *float64 {
	s := d.Seconds()
	return &s
}
