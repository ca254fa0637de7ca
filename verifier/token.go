package verifier

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// token is one of an account's, and what is kept of it. Each has a clock and
// spent steps of its own. The failures of the account are counted on all of them,
// so that whatever is claimed meets a conflict if a failure was counted meanwhile.
type token struct {
	key Key    // with a Label
	id  string // of the State
}

// kept is a token with what was kept of it when it was loaded.
type kept struct {
	token
	State
	version  Version
	restored *time.Time // see SetRestored; nil for never
}

// load returns the attempt's tokens as they are kept now.
func (a *attempt) load(ctx context.Context) ([]kept, error) {
	all, restored := make([]kept, len(a.tokens)), a.restored.Load()
	for i := range a.tokens {
		var err error
		t := &all[i]
		t.token, t.restored = a.tokens[i], restored
		if t.State, t.version, err = a.store.Load(ctx, t.id); err != nil {
			return nil, fmt.Errorf("load state: %w", err)
		}
	}
	return all, nil
}

// retry returns nil if a write that failed with err is to be tried again: it has
// met another, and there is time left. Of those that meet one gets through, but it
// need not be this one.
func retry(ctx context.Context, err error) error {
	if errors.Is(err, ErrConflict) {
		return ctx.Err()
	}
	return err
}

// failures returns how many there were in a row. A token that has come to the
// account since knows of fewer.
func failures(all []kept) int {
	most := uint32(0)
	for i := range all {
		most = max(most, all[i].Failures)
	}
	return int(most)
}

// held says whether an attempt has to be refused unseen, as it has if any of the
// tokens says so. Whoever was asked for a code may answer once without waiting, as
// long as nothing else has failed from there since: a password that looks like
// one with a wrong code counts as a failure, and its delay must not meet the right
// code that follows. So may whoever typed a code out of step, since the next one
// may complete a resynchronization.
func (a *attempt) held(all []kept, r *Request, now time.Time) (Reason, bool) {
	var (
		reason    Reason
		last, far time.Time
	)
	for i := range all {
		t := &all[i]
		why, yes := t.throttled(r.Source, a.maxFailures(), now)
		if yes && why.Until.IsZero() {
			return why, true
		}
		if yes && why.Until.After(reason.Until) {
			reason = why
		}
		if at := t.source(r.Source).Last; at.After(last) {
			last = at
		}
		if t.Far.Source == sourceName(r.Source) && t.Far.At.After(far) {
			far = t.Far.At
		}
	}
	answers := r.Answering && !last.After(r.Asked)
	completes := !far.IsZero() && last.Equal(far)
	if reason.Kind != Locked || answers || completes {
		return Reason{}, false
	}
	return reason, true
}
