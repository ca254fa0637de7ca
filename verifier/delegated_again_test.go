package verifier

import (
	"context"
	"fmt"
	"testing"
	"time"

	"lockstep/internal/opaque"
)

// newDelegatedPair returns two servers that know each other's logins.
func newDelegatedPair(t *testing.T) *pair {
	p := newPair(newDelegated(t))
	key := opaque.Text("a cluster key of 32 octets......")
	p.SetClusterKey(key)
	p.other.SetClusterKey(key)
	p.third.SetClusterKey(key)
	return p
}

// The directory, which would refuse the code, is not asked again.
func TestDelegatedLoginThatComesAgain(t *testing.T) {
	for _, answering := range []bool{false, true} {
		p := newDelegatedPair(t)
		r := alices("secret123456")
		if answering {
			r.Answering, r.Kept, r.Typed = true, opaque.Text("secret"), opaque.Text("123456")
		}
		if d, err := p.Verify(t.Context(), r); err != nil || d.Outcome != Accepted || d.Repeated {
			t.Fatalf("%+v, %v", d, err)
		}
		p.shows("222222")
		before := p.mem.states[delegatedID]
		denied := r
		denied.Authorize = func(context.Context, Account) error { return &DeniedError{Cause: "no"} }
		if d, err := p.other.Verify(t.Context(), denied); err != nil || d.Reason.Kind != Denied {
			t.Errorf("not allowed any more: %+v, %v", d, err)
		}
		for name, v := range p.servers() {
			if d, err := v.Verify(t.Context(), r); err != nil || d.Outcome != Accepted || !d.Repeated {
				t.Errorf("%s: %+v, %v", name, d, err)
			}
		}
		p.now = p.now.Add(10*time.Second + time.Millisecond)
		if d, err := p.other.Verify(t.Context(), r); err != nil || d.Reason.Kind != Replayed {
			t.Errorf("too late: %+v, %v", d, err)
		}
		if s := p.mem.states[delegatedID]; len(p.dir.asked) != 1 || len(s.Recent) != 1 || s.Failures != 0 || s.Last != before.Last {
			t.Errorf("asked %q, %+v", p.dir.asked, s)
		}
	}
}

// Without a key that both have, the other server refuses.
func TestDelegatedLoginWithoutAClusterKey(t *testing.T) {
	p := newPair(newDelegated(t))
	p.other.SetClusterKey(opaque.Text("a cluster key of 32 octets......"))
	p.other.SetClusterKey(opaque.Bytes{})
	p.must("secret123456", Accepted, None)
	p.must("secret123456", Refused, Replayed)
	if d, err := p.other.Verify(t.Context(), alices("secret123456")); err != nil || d.Reason.Kind != Replayed {
		t.Errorf("the other server: %+v, %v", d, err)
	}
}

// Whoever saw the code and guesses at what else was typed has half a dozen
// guesses of 65,536, from the one place where they are guesses at all.
func TestDelegatedGuessesAreFew(t *testing.T) {
	p := newDelegatedPair(t)
	p.must("secret123456", Accepted, None)
	looked := 0
	for i := range 1000 {
		r := alices(fmt.Sprintf("guess%d,123456", i))
		d, err := p.other.Verify(t.Context(), r)
		if err != nil || d.Outcome != Refused {
			t.Fatalf("%+v, %v", d, err)
		}
		if d.Reason.Kind == Replayed {
			looked++
		}
		p.now = p.now.Add(10 * time.Millisecond)
	}
	if s := p.mem.states[delegatedID]; looked > 7 || int(s.Failures) != looked || len(p.dir.asked) != 1 {
		t.Errorf("%d guesses were looked at, %d counted, %d binds", looked, s.Failures, len(p.dir.asked))
	}
	p = newDelegatedPair(t)
	p.must("secret123456", Accepted, None)
	for i := range 20 {
		w := alices(fmt.Sprintf("guess%d,123456", i))
		w.Source = "elsewhere" // where the right one would be refused, too
		if d, err := p.Verify(t.Context(), w); err != nil || d.Reason.Kind != Replayed {
			t.Errorf("%+v, %v", d, err)
		}
	}
	p.now = p.now.Add(11 * time.Second)
	p.must("guess123456", Refused, Replayed) // and so would it here
	if n := p.mem.states[delegatedID].Failures; n != 0 {
		t.Errorf("%d failures", n)
	}
}

// A login whose password nobody has checked this time spends nothing, whatever
// becomes of the State meanwhile.
func TestDelegatedStateThatIsGone(t *testing.T) {
	p := newDelegatedPair(t)
	p.must("secret123456", Accepted, None)
	r := alices("secret123456")
	r.Authorize = func(context.Context, Account) error {
		p.mem.mu.Lock()
		defer p.mem.mu.Unlock()
		delete(p.mem.states, delegatedID)
		delete(p.mem.versions, delegatedID)
		return nil
	}
	if d, err := p.other.Verify(t.Context(), r); err != nil || d.Reason.Kind != Replayed {
		t.Errorf("%+v, %v", d, err)
	}
	if s, is := p.mem.states[delegatedID]; is {
		t.Errorf("%+v", s)
	}
}

// The loser of a race sees what the winner has done: in the claim, or when the
// directory has refused it because the code is spent by now.
func TestDelegatedServersRace(t *testing.T) {
	p := newDelegatedPair(t)
	win := func() {
		if d, err := p.other.Verify(t.Context(), alices("secret123456")); err != nil || d.Outcome != Accepted {
			t.Errorf("the other server: %+v, %v", d, err)
		}
		p.shows("222222")
	}
	p.mem.before = func() { p.mem.before = nil; win() }
	if d := p.must("secret123456", Accepted, None); !d.Repeated || len(p.mem.states[delegatedID].Recent) != 1 {
		t.Errorf("in the claim: %+v", d)
	}
	for typed, want := range map[string]Kind{"secret123456": None, "Secret123456": Replayed, "secret654321": WrongPassword} {
		p = newDelegatedPair(t)
		slow := New(beforeBind{p.dir, win}, p.mem, p.Verifier.now)
		slow.cluster.Store(p.cluster.Load())
		slow.SetServer("slow")
		d, err := slow.Verify(t.Context(), alices(typed))
		if err != nil || d.Reason.Kind != want || d.Repeated != (want == None) {
			t.Errorf("%s is refused by the directory: %+v, %v", typed, d, err)
		}
		if n := p.mem.states[delegatedID].Failures; (n == 0) != (want == None) {
			t.Errorf("%s: %d failures", typed, n)
		}
	}
}

// beforeBind is a directory that does something before it looks at a password.
type beforeBind struct {
	*directory
	do func()
}

func (b beforeBind) CheckPassword(ctx context.Context, a Account, password opaque.Bytes) (PasswordInfo, error) {
	b.do()
	return b.directory.CheckPassword(ctx, a, password)
}
