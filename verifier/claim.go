package verifier

import (
	"context"
	"fmt"
	"time"
)

// claim is how spending what was found went.
type claim struct {
	no    Reason // why it was not spent, if again and of are not set
	again bool   // it was spent by the same login before
	ago   time.Duration

	of   *kept // the token as it was before; set also where nobody can tell whether next was written
	next State // of it
	all  []kept
	at   time.Time
}

// spend spends what was found. Of several that do, on any server, one has it, and
// with it those that are the same login.
//
// For these the State is written as it is. Nothing has changed then, but the store
// has said that it is still so: what was read can be behind what another server
// knows, of an account that is locked, or of a later login.
func (a *attempt) spend(ctx context.Context, r *Request, f *finding, all []kept) (claim, error) {
	for {
		t, now := &all[f.token], a.now()
		ago, again := a.again(r, f.right[len(f.right)-1], t, now)
		if reason, yes := a.taken(f, t, now); yes && !again {
			return claim{no: reason}, nil
		}
		// Failures that another server counted meanwhile hold here too, or a
		// burst of guesses at several servers would get round the throttle.
		if reason, yes := a.held(all, r, now); yes {
			return claim{no: reason}, nil
		}
		next := t.State
		if !again {
			next = a.accepted(t, f, r, now)
		}
		err := a.store.CompareAndSwap(ctx, t.id, t.version, next)
		if err == nil {
			a.unsure.settle(t.id)
		}
		if err == nil && again {
			a.told.note(t.id, t.Last, now)
			return claim{again: true, ago: ago, next: next, all: all, at: now}, nil
		}
		c := claim{of: t, next: next, all: all, at: now}
		if err == nil {
			return c, nil
		}
		if err = retry(ctx, err); err != nil {
			a.unsure.note(t.id, next.Last, now)
			return c, fmt.Errorf("spend step: %w", err)
		}
		if all, err = a.load(ctx); err != nil {
			return claim{}, err
		}
	}
}

// claimed is the decision about somebody who may log in, by how the claim of f went.
func (a *attempt) claimed(ctx context.Context, r *Request, f *finding, c *claim) Decision {
	switch {
	case c.again:
		d := Decision{Outcome: Accepted, Repeated: true, Ago: c.ago}
		d.Offset, _ = c.next.Clock.at(a.tokens[f.token].key, c.at).Likely()
		return d
	case c.of == nil:
		return Decision{Reason: c.no}
	}
	a.forget(ctx, r, c.all, c.of.id)
	return a.admit(f, c.of, &c.next, c.at)
}

// admit is the decision about somebody whose claim of f has made next of t.
func (a *attempt) admit(f *finding, t *kept, next *State, now time.Time) Decision {
	d := Decision{Outcome: Accepted, Resynchronized: len(f.right) > 1}
	if a.account.Delegated {
		return d
	}
	if !a.decoy {
		// For those who watch the server's own clock.
		a.together.note(t.id, t.moved(t.key, f.right[len(f.right)-1], now), now)
	}
	d.Offset, _ = next.Clock.at(t.key, now).Likely()
	return d
}

// taken says whether what was found has been spent since, or was before.
func (a *attempt) taken(f *finding, t *kept, now time.Time) (Reason, bool) {
	if f.again {
		return f.reason, true
	}
	if a.account.Delegated {
		return t.usedUp(f.right[0], now)
	}
	for _, step := range f.right {
		switch {
		case t.spent(step):
			return replayed(t.details(step), now), true
		case a.forwardOnly.Load() && t.behind(step):
			return tooEarly(t.key, t.mark(), step, now), true
		}
	}
	return Reason{}, false
}

// accepted returns t's State with the steps spent, the clock learned and the
// failures forgotten.
func (a *attempt) accepted(t *kept, f *finding, r *Request, now time.Time) State {
	s, _ := t.forgiven(r.Source)
	if a.account.Delegated {
		s = s.use(Spent{Step: f.right[0], At: stamp(now), By: r.Client})
		s.Last = a.login(r, t.key)
		return s
	}
	last := f.right[len(f.right)-1]
	for _, step := range f.right {
		s = s.spend(t.key, Spent{Step: step, At: stamp(now), By: r.Client})
	}
	s.Last = a.login(r, t.key)
	switch {
	case len(f.right) > 1:
		s = s.resynchronized(t.key, f.right[0], last, f.began, f.at)
	case a.learning(now):
		s = s.learn(t.key, last, f.at)
	default:
		s = s.recall(t.key, last, f.at)
	}
	s.Far = Far{}
	return s
}

// forgetTime is how long somebody who is in waits for failures to be forgotten.
const forgetTime = time.Second

// forget forgets the failures on all tokens but the one that was claimed. Who is
// in stays in where that cannot be done. What is left then is forgotten at the next
// login, and so adds to the failures until then, and to no others.
func (a *attempt) forget(ctx context.Context, r *Request, all []kept, claimed string) {
	if len(all) == 1 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), forgetTime)
	defer cancel()
	for _, t := range all {
		if _, some := t.forgiven(r.Source); !some || t.id == claimed {
			continue
		}
		_ = a.change(ctx, t.id, func(s State, _ Version) (State, error) {
			if next, some := s.forgiven(r.Source); some {
				return next, nil
			}
			return s, errNoChange
		})
	}
}
