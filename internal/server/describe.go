package server

import (
	"slices"
	"time"

	"lockstep/admin"
	"lockstep/verifier"
)

// maxLogins is how many of a user's last logins are told.
const maxLogins = 16

// describeTokens fills in what is known of the user's devices, and the last logins
// with all of them.
func describeTokens(user *admin.User, st verifier.Standing) {
	for _, t := range st.Tokens {
		token, last := describeToken(t), logins(t)
		if len(last) > 0 {
			token.LastLogin, token.LastClient = &last[0].At, last[0].Client
		}
		user.Tokens, user.Logins = append(user.Tokens, token), append(user.Logins, last...)
	}
	slices.SortStableFunc(user.Logins, func(a, b admin.Login) int { return b.At.Compare(a.At) })
	user.Logins = user.Logins[:min(len(user.Logins), maxLogins)]
	if len(user.Logins) > 0 {
		user.LastLogin, user.LastClient = &user.Logins[0].At, user.Logins[0].Client
	}
	if len(user.Tokens) == 0 {
		return
	}
	first := user.Tokens[0]
	user.Clock, user.OutOfStep, user.RefusedUntil = first.Clock, first.OutOfStep, first.RefusedUntil
	if len(user.Tokens) > 1 {
		return
	}
	user.Tokens = nil
	for i := range user.Logins {
		user.Logins[i].Token = ""
	}
}

// logins returns the last ones with a token, the latest first.
func logins(t verifier.TokenStanding) []admin.Login {
	var all []admin.Login
	for _, spent := range t.Recent {
		if n := len(all); spent.By == verifier.ByAdmin || n > 0 && all[n-1].At.Equal(spent.At) {
			continue // no login, or the other code of a resynchronization
		}
		all = append(all, admin.Login{At: spent.At, Client: spent.By, Token: t.Key.Label})
	}
	return all
}

func describeToken(t verifier.TokenStanding) admin.Token {
	k := t.Key
	token := admin.Token{Label: k.Label, Algorithm: string(k.Algorithm), Digits: k.Digits, Period: int(k.Period / time.Second), RefusedUntil: optional(t.Until)}
	if c := t.Clock; !c.At.IsZero() {
		const day = 86_400.0
		likely, wrong := t.Offset.Likely()
		low, high := float64(c.Rate.Low)/1e9*day, float64(c.Rate.High)/1e9*day
		token.Clock = &admin.Clock{
			Offset:      likely.Seconds(),
			OffsetError: wrong.Seconds(),
			Drift:       (low + high) / 2,
			DriftError:  (high - low) / 2,
			Observed:    c.At,
		}
	}
	if len(t.Far.Steps) > 0 {
		token.OutOfStep = &admin.OutOfStep{At: t.Far.At}
		for _, step := range t.Far.Steps {
			ahead := time.Duration(step-k.Step(t.Far.At)) * k.Period
			token.OutOfStep.Offsets = append(token.OutOfStep.Offsets, ahead.Seconds())
		}
	}
	return token
}

// describeWaits fills in who has to wait.
func describeWaits(user *admin.User, st verifier.Standing) {
	for _, w := range st.Waiting {
		user.Waiting = append(user.Waiting, admin.Wait{Source: w.Source, Failures: w.Failures, Until: w.Until})
		if user.LockedUntil == nil || w.Until.After(*user.LockedUntil) {
			user.LockedUntil = &w.Until
		}
	}
}
