package server

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode"

	"lockstep/internal/metrics"
	"lockstep/internal/opaque"
	"lockstep/radiusd"
	"lockstep/store"
	"lockstep/verifier"
)

// Where in kinds the outcomes are. Of those refused there is one for each
// verifier.Kind.
const (
	kindAccepted = iota
	kindRepeated
	kindResynchronized
	kindRefused

	kindChallenged = kindRefused + int(verifier.Denied) + 1
	kindNextCode   = kindChallenged + 1
	kindUndecided  = kindNextCode + 1
)

// kinds are what logins are counted by.
var kinds = makeKinds()

func makeKinds() []metrics.Kind {
	all := []metrics.Kind{{Outcome: metrics.Accepted, Reason: "none"}, {Outcome: metrics.Accepted, Reason: "repeated"}, {Outcome: metrics.Accepted, Reason: "resynchronized"}}
	for k := verifier.None; k <= verifier.Denied; k++ {
		all = append(all, metrics.Kind{Outcome: metrics.Refused, Reason: k.String()})
	}
	return append(all, metrics.Kind{Outcome: metrics.Challenged, Reason: "none"}, metrics.Kind{Outcome: metrics.Challenged, Reason: verifier.OutOfStep.String()},
		metrics.Kind{Outcome: metrics.Undecided, Reason: "none"})
}

func kindOf(d verifier.Decision) int {
	switch {
	case d.Outcome == verifier.Accepted && d.Repeated:
		return kindRepeated
	case d.Outcome == verifier.Accepted && d.Resynchronized:
		return kindResynchronized
	case d.Outcome == verifier.Accepted:
		return kindAccepted
	case d.Outcome == verifier.Challenged && d.NextCode:
		return kindNextCode
	case d.Outcome == verifier.Challenged:
		return kindChallenged
	case d.Reason.Kind < verifier.None || d.Reason.Kind > verifier.Denied:
		return kindRefused
	}
	return kindRefused + int(d.Reason.Kind)
}

// measured counts the logins at one client that nobody could decide.
type measured struct {
	radiusd.Authenticator
	counts *metrics.Client
}

func (m measured) Authenticate(ctx context.Context, r *radiusd.Request) (radiusd.Answer, error) {
	a, err := m.Authenticator.Authenticate(ctx, r)
	if err != nil {
		m.counts.Login(kindUndecided, time.Since(r.Received))
	}
	return a, err
}

// countDecision takes in a decision about r.
func countDecision(to *metrics.Client, d verifier.Decision, r *radiusd.Request) {
	if to == nil {
		return
	}
	to.Login(kindOf(d), time.Since(r.Received))
	// It is 0 where the directory checks the code, and nothing is known of a clock.
	if d.Outcome == verifier.Accepted && !d.Repeated && d.Offset != 0 {
		to.Offset(d.Offset)
	}
}

// measure has the logins at a client counted.
func (m *measuring) measure(c *radiusd.Client) {
	if m == nil {
		return
	}
	counts := m.set.Client(c.Name)
	if a, ok := c.Auth.(authenticator); ok {
		a.counts = counts
		c.Auth = a
	}
}

// countUndecided has those counted that come to no decision. It goes outside of
// all that can say so.
func (m *measuring) countUndecided(c *radiusd.Client) {
	if m != nil {
		c.Auth = measured{c.Auth, m.set.Client(c.Name)}
	}
}

// timedDirectory measures how long passwords take.
type timedDirectory struct {
	waitingDirectory
	set *metrics.Set
}

type waitingDirectory interface {
	verifier.Directory
	verifier.Waiting
}

func (t timedDirectory) CheckPassword(ctx context.Context, a verifier.Account, password opaque.Bytes) (verifier.PasswordInfo, error) {
	return t.timed(func() (verifier.PasswordInfo, error) { return t.waitingDirectory.CheckPassword(ctx, a, password) })
}

// CheckPasswordMeanwhile measures what takes longer, the password or what is done
// meanwhile.
func (t timedDirectory) CheckPasswordMeanwhile(ctx context.Context, a verifier.Account, password opaque.Bytes, meanwhile func() (late func())) (verifier.PasswordInfo, error) {
	return t.timed(func() (verifier.PasswordInfo, error) {
		return t.waitingDirectory.CheckPasswordMeanwhile(ctx, a, password, meanwhile)
	})
}

func (t timedDirectory) timed(check func() (verifier.PasswordInfo, error)) (verifier.PasswordInfo, error) {
	began := time.Now()
	info, err := check()
	answer := metrics.Yes
	if err != nil {
		answer = metrics.Unknown
		if _, refused := errors.AsType[*verifier.PasswordError](err); refused {
			answer = metrics.No
		}
	}
	t.set.PasswordChecked(answer, time.Since(began))
	return info, err
}

// directory returns d as the verifier is to see it.
func (m *measuring) directory(d waitingDirectory) verifier.Directory {
	if m == nil {
		return d
	}
	return timedDirectory{d, m.set}
}

// timedStore measures how long writes take.
type timedStore struct {
	verifier.Store
	set *metrics.Set
}

func (t timedStore) CompareAndSwap(ctx context.Context, id string, old verifier.Version, next verifier.State) error {
	began := time.Now()
	err := t.Store.CompareAndSwap(ctx, id, old, next)
	answer := metrics.Yes
	switch {
	case err == nil:
	case errors.Is(err, verifier.ErrConflict):
		answer = metrics.No
	default:
		answer = metrics.Unknown
	}
	t.set.StateWritten(answer, time.Since(began))
	return err
}

// timedAger is a timedStore that is a verifier.Ager too, as the store is.
type timedAger struct {
	timedStore
	verifier.Ager
}

// storeFor returns s as the verifier is to see it: it looks for an Ager in it.
func (m *measuring) storeFor(s store.Store) verifier.Store {
	if m == nil {
		return s
	}
	timed := timedStore{s, m.set}
	if ager, ok := s.(verifier.Ager); ok {
		return timedAger{timed, ager}
	}
	return timed
}

// dropReason turns the name of one of radiusd's counters into the reason of a
// drop, as in "queue full", unless it counts something else.
func dropReason(name string) (string, bool) {
	rest, ok := strings.CutPrefix(name, "Drop")
	if !ok {
		return "", false
	}
	var words strings.Builder
	for i, r := range rest {
		if unicode.IsUpper(r) && i > 0 {
			words.WriteByte(' ')
		}
		words.WriteRune(unicode.ToLower(r))
	}
	return words.String(), true
}
