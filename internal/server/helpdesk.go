package server

import (
	"context"
	"fmt"
	"strings"
	"time"

	"lockstep/admin"
	"lockstep/internal/opaque"
	"lockstep/ldapsync"
	"lockstep/verifier"
)

func (u users) Resync(ctx context.Context, name string, first, second opaque.Bytes) (admin.Resync, error) {
	a, err := u.lookup(name)
	if err != nil {
		return admin.Resync{}, err
	}
	reason, offset, err := u.verifier.Resync(ctx, account(a), first, second)
	likely, wrong := offset.Likely()
	return admin.Resync{Done: reason.Kind == verifier.None, Offset: likely.Seconds(), OffsetError: wrong.Seconds(), Reason: reason.String()}, err
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
	x := admin.Explanation{User: a.Name}
	switch e.Reason.Kind {
	case verifier.None:
		current(&x, e)
	case verifier.Replayed:
		spent(&x, e)
	case verifier.OutOfStep:
		outOfStep(&x, e)
	case verifier.TooEarly:
		x.Verdict, x.Text, x.Until = admin.VerdictEarly, e.Reason.String(), optional(e.Reason.Until)
		x.Advice = "wait until then; forward_only = false in the configuration lets such codes in"
	case verifier.WrongCode, verifier.NoCode:
		wrong(&x, a, e)
	}
	if e.Locked {
		x.Accepted = false
		x.Text += "; but the account is locked"
		x.Advice = "lockstep user unlock " + admin.Argument(a.Name)
	}
	return x, nil
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

func wrong(x *admin.Explanation, a ldapsync.Account, e verifier.Explanation) {
	x.Verdict, x.Text = admin.VerdictWrong, "no code of this key within a day of this server's clock"
	x.Advice = "perhaps it is of another account in the authenticator; otherwise the device has another key: enrol it anew"
	if e.Reason.Kind == verifier.NoCode {
		x.Verdict, x.Text = admin.VerdictNoCode, fmt.Sprintf("not a code: %s's have %d digits", a.Name, a.Tokens[0].Digits)
		x.Advice = ""
	}
	if o := e.Other; o.Period != 0 {
		x.Verdict = admin.VerdictOther
		x.Text = fmt.Sprintf("a code of this key with %s; the account has %s", parameters(string(o.Algorithm), o.Digits, o.Period),
			parameters(a.Tokens[0].Algorithm, a.Tokens[0].Digits, a.Tokens[0].Period))
		x.Advice = "correct the parameters of the entry in the directory, or enrol the device anew"
	}
}

func parameters(algorithm string, digits int, period time.Duration) string {
	return strings.Join([]string{algorithm, fmt.Sprintf("%d digits", digits), fmt.Sprintf("%d s", period/time.Second)}, ", ")
}

func seconds(d time.Duration) *float64 {
	s := d.Seconds()
	return &s
}

// describeClock fills in what is known of the device's clock.
func describeClock(user *admin.User, st verifier.Standing, period time.Duration) {
	if c := st.Clock; !c.At.IsZero() {
		const day = 86_400.0
		likely, wrong := st.Offset.Likely()
		low, high := float64(c.Rate.Low)/1e9*day, float64(c.Rate.High)/1e9*day
		user.Clock = &admin.Clock{
			Offset:      likely.Seconds(),
			OffsetError: wrong.Seconds(),
			Drift:       (low + high) / 2,
			DriftError:  (high - low) / 2,
			Observed:    c.At,
		}
	}
	if len(st.Far.Steps) > 0 {
		user.OutOfStep = &admin.OutOfStep{At: st.Far.At}
		for _, step := range st.Far.Steps {
			here := verifier.Key{Period: period}.Step(st.Far.At)
			user.OutOfStep.Offsets = append(user.OutOfStep.Offsets, (time.Duration(step-here) * period).Seconds())
		}
	}
}

// describeLogins fills in the last logins and who has to wait.
func describeLogins(user *admin.User, st verifier.Standing) {
	for _, spent := range st.Recent {
		if n := len(user.Logins); spent.By == verifier.ByAdmin || n > 0 && user.Logins[n-1].At.Equal(spent.At) {
			continue // no login, or the other code of a resynchronization
		}
		user.Logins = append(user.Logins, admin.Login{At: spent.At, Client: spent.By})
	}
	if len(user.Logins) > 0 {
		user.LastLogin, user.LastClient = &user.Logins[0].At, user.Logins[0].Client
	}
	for _, w := range st.Waiting {
		user.Waiting = append(user.Waiting, admin.Wait{Source: w.Source, Failures: w.Failures, Until: w.Until})
		if user.LockedUntil == nil || w.Until.After(*user.LockedUntil) {
			user.LockedUntil = &w.Until
		}
	}
}
