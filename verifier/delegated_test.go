package verifier

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"lockstep/internal/opaque"
)

// newDelegated returns a world whose directory checks alice's codes. What it takes
// is her password and then what it is set to show.
func newDelegated(t *testing.T) *world {
	w := newWorld(t)
	w.dir.account = Account{ID: "id-1", Name: "alice", Delegated: true}
	w.shows("123456")
	return w
}

// shows sets the code that the directory takes, once.
func (w *world) shows(code string) { w.dir.password = "secret" + code }

const delegatedID = "delegated:id-1"

func TestDelegated(t *testing.T) {
	for _, tt := range []struct {
		name, password, typed string
		policy                Policy
		want                  Outcome
		kind                  Kind
		asked                 string // "-" for nothing
	}{
		{"password and code", "secret123456", "secret123456", Policy{}, Accepted, None, "secret123456"},
		{"a code of 8 digits", "secret12345678", "secret12345678", Policy{}, Accepted, None, "secret12345678"},
		{"a password that ends in digits", "secret99123456", "secret99123456", Policy{}, Accepted, None, "secret99123456"},
		{"a password of digits", "99123456", "99123456", Policy{}, Accepted, None, "99123456"},
		{"one octet of password", "x123456", "x123456", Policy{}, Accepted, None, "x123456"},
		{"wrong", "secret123456", "secret654321", Policy{}, Refused, WrongPassword, "secret654321"},
		{"a separator", "secret123456", "secret,123456", Policy{Separator: ','}, Accepted, None, "secret123456"},
		{"a separator before 8 digits", "secret12345678", "secret,12345678", Policy{Separator: ','}, Accepted, None, "secret12345678"},
		{"a separator left out", "secret123456", "secret123456", Policy{Separator: ','}, Accepted, None, "secret123456"},
		{"a separator where none is set", "secret,123456", "secret,123456", Policy{}, Accepted, None, "secret,123456"},
		{"nothing", "", "", Policy{}, Refused, NoCode, "-"},
		{"a code alone", "123456", "123456", Policy{}, Refused, NoPassword, "-"},
		{"a separator and a code", "123456", ",123456", Policy{Separator: ','}, Refused, NoPassword, "-"},
		{"blanks and a code", "  123456", "  123456", Policy{}, Refused, NoPassword, "-"},
		{"a password alone", "secret", "secret", Policy{}, Refused, NoCode, "-"},
		{"a long password alone", "secret-secret", "secret-secret", Policy{}, Refused, NoCode, "-"},
		{"a code in front", "secret123456", "123456secret", Policy{}, Refused, NoCode, "-"},
		{"digits that are not ASCII", "secret", "secret１２３４５６", Policy{}, Refused, NoCode, "-"},
		{"a NUL", "sec\x00ret123456", "sec\x00ret123456", Policy{}, Refused, WrongPassword, "-"},
		{"a client that sends the code alone", "123456", "123456", Policy{CodeOnly: true}, Refused, Unusable, "-"},
		{"a client that sends the code alone, and more", "secret123456", "secret123456", Policy{CodeOnly: true}, Refused, Unusable, "-"},
		{"a password, where the code is asked for", "secret123456", "secret", Policy{Challenge: true}, Challenged, NoCode, "-"},
		{"both, where the code is asked for", "secret123456", "secret123456", Policy{Challenge: true}, Challenged, NoCode, "-"},
		{"nothing, where the code is asked for", "secret123456", "", Policy{Challenge: true}, Challenged, NoCode, "-"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newDelegated(t)
			w.dir.password = tt.password
			d, err := w.Verify(t.Context(), Request{User: "alice", Typed: opaque.Text(tt.typed), Policy: tt.policy})
			if err != nil || d.Outcome != tt.want || d.Reason.Kind != tt.kind || d.NotEnrolled || d.Account != "alice" || d.Token != "" {
				t.Errorf("%+v, %v", d, err)
			}
			if d.Outcome == Challenged && (string(d.Keep.Reveal()) != tt.typed || d.Asked != start || d.Late != (len(tt.typed) > 6)) {
				t.Errorf("%+v", d)
			}
			if got := strings.Join(append(w.dir.asked, "-")[:max(1, len(w.dir.asked))], "|"); got != tt.asked {
				t.Errorf("the directory was asked %q, want %q", got, tt.asked)
			}
			if n := w.mem.states[delegatedID].Failures; (n == 1) != (tt.kind == WrongPassword) {
				t.Errorf("%d failures", n)
			}
		})
	}
}

func TestDelegatedAnswer(t *testing.T) {
	for _, tt := range []struct {
		name, kept, typed string
		want              Outcome
		kind              Kind
		asked             string
	}{
		{"right", "secret", "123456", Accepted, None, "secret123456"},
		{"in two groups", "secret", "123 456", Accepted, None, "secret123456"},
		{"wrong", "secret", "000000", Refused, WrongPassword, "secret000000"},
		{"both were typed at first", "secret000000", "123456", Refused, WrongPassword, "secret000000123456"},
		{"no password was typed at first", "", "123456", Refused, NoPassword, ""},
		{"a blank one was", " ", "123456", Refused, NoPassword, ""},
		{"no code", "secret", "abc", Refused, NoCode, ""},
		{"nothing", "secret", "", Refused, NoCode, ""},
		{"password and code again", "secret", "secret123456", Refused, NoCode, ""},
	} {
		w := newDelegated(t)
		d, err := w.Verify(t.Context(), Request{User: "alice", Answering: true, Kept: opaque.Text(tt.kept), Typed: opaque.Text(tt.typed), Policy: Policy{Challenge: true}})
		if got := strings.Join(w.dir.asked, "|"); err != nil || d.Outcome != tt.want || d.Reason.Kind != tt.kind || got != tt.asked {
			t.Errorf("%s: %+v, %v, asked %q", tt.name, d, err, got)
		}
	}
}

func TestDelegatedReasons(t *testing.T) {
	w := newDelegated(t)
	for _, tt := range []struct {
		cause, typed, want string
	}{
		{"", "secret000000", "refused by the directory (password or code, the directory does not say which)"},
		{"expired", "secret000001", "refused by the directory (expired)"},
		{"", "secret000001", "refused by the directory (the same as a moment ago)"},
		{"", "secret", "no code of 6 or 8 digits in what was typed"},
		{"", " 123456", "no password typed"},
	} {
		w.dir.cause = tt.cause
		if d, err := w.login(tt.typed); err != nil || d.Reason.String() != tt.want {
			t.Errorf("%q, %v; want %q", d.Reason, err, tt.want)
		}
	}
	d, err := w.Verify(t.Context(), Request{User: "alice", Typed: opaque.Text("secret"), Policy: Policy{Challenge: true}})
	if err != nil || d.Reason.String() != "no code yet, which the directory checks together with the password" {
		t.Errorf("%q, %v", d.Reason, err)
	}
}

// What the directory has taken is refused here for ten minutes, in every form, at
// every server, also if the directory would take it again, and costs it no bind.
func TestDelegatedCodeIsAcceptedOnce(t *testing.T) {
	w := newDelegated(t)
	w.must("secret123456", Accepted, None)
	other := New(w.dir, w.mem, w.Verifier.now)
	for _, after := range []time.Duration{0, time.Minute, 9*time.Minute + 59*time.Second} {
		w.now = start.Add(after)
		for _, v := range []*Verifier{w.Verifier, other} {
			for _, r := range []Request{
				{Typed: opaque.Text("secret123456")},
				{Typed: opaque.Text("secret,123456"), Policy: Policy{Separator: ','}},
				{Typed: opaque.Text("123456"), Answering: true, Kept: opaque.Text("secret"), Policy: Policy{Challenge: true}},
				{Typed: opaque.Text("another123456")},
			} {
				r.User, r.Source = "alice", "x"
				d, err := v.Verify(t.Context(), r)
				if err != nil || d.Outcome != Refused || d.Reason.Kind != Replayed || d.Reason.Ago != after || d.Reason.By != "vpn" {
					t.Errorf("after %v: %+v, %v", after, d, err)
				}
			}
		}
	}
	if len(w.dir.asked) != 1 || w.mem.states[delegatedID].Failures != 0 {
		t.Errorf("%d binds, %d failures", len(w.dir.asked), w.mem.states[delegatedID].Failures)
	}
	w.now = start.Add(-time.Hour) // the server's clock is put back
	w.must("secret123456", Refused, Replayed)
	w.now = start.Add(10 * time.Minute) // and from here on the directory has the say
	w.must("secret123456", Accepted, None)
}

// The same input at several servers at once gets in once, though the directory
// takes it each time.
func TestDelegatedRace(t *testing.T) {
	w := newDelegated(t)
	var (
		wg       sync.WaitGroup
		outcomes = make([]Decision, 12)
	)
	for i := range outcomes {
		v := New(w.dir, w.mem, w.Verifier.now)
		wg.Go(func() {
			d, err := v.Verify(t.Context(), Request{User: "alice", Typed: opaque.Text("secret123456"), Source: fmt.Sprint(i)})
			if err != nil || d.Outcome != Accepted && d.Reason.Kind != Replayed {
				t.Errorf("%+v, %v", d, err)
			}
			outcomes[i] = d
		})
	}
	wg.Wait()
	if n := len(slices.DeleteFunc(outcomes, func(d Decision) bool { return d.Outcome != Accepted })); n != 1 {
		t.Errorf("%d got in", n)
	}
}

// Nor does it get in twice where the directory was asked in between.
func TestDelegatedClaimLooksAgain(t *testing.T) {
	w := newDelegated(t)
	other := New(w.dir, w.mem, w.Verifier.now)
	w.mem.before = func() {
		w.mem.before = nil
		d, err := other.Verify(t.Context(), Request{User: "alice", Typed: opaque.Text("secret123456")})
		if err != nil || d.Outcome != Accepted {
			t.Errorf("the other server: %+v, %v", d, err)
		}
	}
	w.must("secret123456", Refused, Replayed)
}

// Guesses reach the directory, so the throttle is all there is before it.
func TestDelegatedThrottle(t *testing.T) {
	w := newDelegated(t)
	for i := range 50 {
		w.login(fmt.Sprintf("secret%06d", i))
	}
	if len(w.dir.asked) != freeFailures {
		t.Errorf("%d binds, want %d", len(w.dir.asked), freeFailures)
	}
	w.must("secret123456", Refused, Locked)
	w.now = w.now.Add(time.Second)
	w.must("secret123456", Accepted, None)
	if s := w.mem.states[delegatedID]; s.Failures != 0 || len(s.Sources) != 0 {
		t.Errorf("%+v", s)
	}
	for i := range DefaultMaxFailures {
		w.fail(fmt.Sprint("source", i), i)
	}
	w.shows("222222")
	w.must("secret222222", Refused, Locked)
	st, err := w.Standing(t.Context(), w.dir.account)
	if err != nil || !st.Locked || st.Failures != 100 || len(st.Tokens) != 1 || len(st.Tokens[0].Recent) != 1 || st.Tokens[0].Key.Period != 0 {
		t.Errorf("%+v, %v", st, err)
	}
	if n, err := w.Unlock(t.Context(), w.dir.account); n != 100 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	w.must("secret222222", Accepted, None)
}

// An appliance that sends a wrong login again makes no second bind and no second
// failure. Another input does.
func TestDelegatedInputIsAskedOnce(t *testing.T) {
	w := newDelegated(t)
	for range 10 {
		w.must("secret000000", Refused, WrongPassword)
	}
	w.must("secret000001", Refused, WrongPassword)
	if s := w.mem.states[delegatedID]; len(w.dir.asked) != 2 || s.Failures != 2 {
		t.Errorf("%d binds, %d failures", len(w.dir.asked), s.Failures)
	}
}

// Who is refused by nobody but a rule is told apart, after the bind and before
// anything is kept.
func TestDelegatedIsAuthorized(t *testing.T) {
	w := newDelegated(t)
	door := &doorman{err: &DeniedError{Cause: "not in the group vpn"}, dir: w.dir}
	r := Request{User: "alice", Typed: opaque.Text("secret123456"), Authorize: door.ask}
	d, err := w.Verify(t.Context(), r)
	if err != nil || d.Reason.Kind != Denied || d.Reason.String() != "not allowed (not in the group vpn)" || door.binds != 1 {
		t.Errorf("%+v, %v, asked after %d binds", d, err, door.binds)
	}
	if s := w.mem.states[delegatedID]; !reflect.DeepEqual(s, State{}) {
		t.Errorf("%+v", s)
	}
	r.Typed = opaque.Text("secret000000")
	if d, err := w.Verify(t.Context(), r); err != nil || d.Reason.Kind != WrongPassword || len(door.asked) != 1 {
		t.Errorf("%+v, %v, asked %q", d, err, door.asked)
	}
	door.err = nil
	w.now = w.now.Add(time.Minute)
	w.shows("222222")
	r.Typed = opaque.Text("secret222222")
	if d, err := w.Verify(t.Context(), r); err != nil || d.Outcome != Accepted || d.Offset != 0 {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestDelegatedErrorsDecideNothing(t *testing.T) {
	broken := errors.New("broken")
	for name, brk := range map[string]func(*world){
		"the directory is away":    func(w *world) { w.dir.err = broken },
		"the store does not load":  func(w *world) { w.mem.err = broken },
		"the store does not write": func(w *world) { w.mem.before = func() { w.mem.err = broken } },
	} {
		w := newDelegated(t)
		brk(w)
		if d, err := w.login("secret123456"); !errors.Is(err, broken) || !reflect.DeepEqual(d, Decision{}) {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
		if len(w.dir.asked) > 1 {
			t.Errorf("%s: %d binds", name, len(w.dir.asked))
		}
		w.dir.err, w.mem.err, w.mem.before = nil, nil, nil
		if n := w.mem.states[delegatedID].Failures; n != 0 {
			t.Errorf("%s: %d failures", name, n)
		}
		w.must("secret123456", Accepted, None)
	}
}

// Nothing of a password is kept, neither right nor wrong: what is kept of a code
// that was accepted is the same for every password, and what is kept of the input
// depends on a key that the process has for itself, or all servers together.
func TestDelegatedPasswordsAreNotKept(t *testing.T) {
	kept := func(password string) State {
		w := newDelegated(t)
		w.dir.password = password + "123456"
		w.must(password+"123456", Accepted, None)
		s := w.mem.states[delegatedID]
		s.Last.Input = 0
		return s
	}
	if a, b := kept("secret"), kept("another"); !reflect.DeepEqual(a, b) {
		t.Errorf("%+v, %+v", a, b)
	}
	wrong, right := map[uint16]bool{}, map[uint16]bool{}
	for i := range 8 {
		w := newDelegated(t)
		if i > 3 {
			w.SetClusterKey(opaque.Text(fmt.Sprintf("a cluster key of 32 octets, no %d", i)))
		}
		w.must("secret000000", Refused, WrongPassword)
		wrong[w.mem.states[delegatedID].Sources[0].Input] = true
		w.must("secret123456", Accepted, None)
		right[w.mem.states[delegatedID].Last.Input] = true
	}
	if len(wrong) < 7 || len(right) < 7 {
		t.Errorf("of 8 keys %d keep different things of a wrong input, %d of a right one", len(wrong), len(right))
	}
}

// What is kept tells codes apart, and the accounts that they are of.
func TestTagsDiffer(t *testing.T) {
	tags := map[int64]string{}
	for _, id := range []string{"a", "b"} {
		for _, code := range []string{"123456", "123457", "654321"} {
			a := attempt{account: Account{ID: id}}
			tag := a.tag([]byte(code))
			if was, is := tags[tag]; is || tag <= 0 || tag > 1<<16 {
				t.Errorf("%s %s: %d, as %s", id, code, tag, was)
			}
			tags[tag] = id + code
			if a.tag([]byte("00"+code)) != tag {
				t.Error("8 digits are not the last 6 of them")
			}
		}
	}
}

// Codes are kept as long as they count, and a few for admins to see.
func TestUsedCodesStayFew(t *testing.T) {
	s := State{}
	for i := range int64(100) {
		s = s.use(Spent{Step: i, At: start.Add(time.Duration(i) * 30 * time.Second)})
		now := s.Recent[0].At
		for j := max(0, i-19); j <= i; j++ {
			if _, used := s.usedUp(j, now); !used {
				t.Fatalf("%d is forgotten after %d", j, i)
			}
		}
	}
	if n := len(s.Recent); n < 20 || n > 21 {
		t.Errorf("%d are kept", n)
	}
	for i := range int64(2 * maxUsed) {
		s = s.use(Spent{Step: i, At: start.Add(2 * time.Hour)})
	}
	if n := len(s.Recent); n != maxUsed {
		t.Errorf("%d are kept of many at once", n)
	}
	s = s.use(Spent{Step: 1, At: start.Add(3 * time.Hour)})
	if n := len(s.Recent); n != keptRecent {
		t.Errorf("%d are kept for admins", n)
	}
}

// An account has keys here, or codes elsewhere.
func TestDelegatedWithKeysIsUnusable(t *testing.T) {
	w := newDelegated(t)
	w.dir.account.Keys = []Key{testKey}
	w.must("secret123456", Refused, Unusable)
}

func TestDelegatedCodesAreExplainedElsewhere(t *testing.T) {
	w := newDelegated(t)
	w.mem.states[delegatedID] = State{Failures: DefaultMaxFailures}
	if e, err := w.Explain(t.Context(), w.dir.account, opaque.Text("123456")); err != nil || e.Reason != elsewhere || !e.Locked || e.Of != 0 {
		t.Errorf("%+v, %v", e, err)
	}
	if r, err := w.Resync(t.Context(), w.dir.account, opaque.Text("123456"), opaque.Text("123457")); err != nil || r.Reason != elsewhere {
		t.Errorf("%+v, %v", r, err)
	}
	if err := w.ResetClock(t.Context(), w.dir.account); err == nil {
		t.Error("a clock was reset")
	}
	if len(w.mem.states) != 1 || len(w.dir.asked) != 0 {
		t.Errorf("%+v, asked %q", w.mem.states, w.dir.asked)
	}
}

// Whatever is typed: the code is digits, what is bound with has it at its end and
// something before, and nothing was added to what was typed.
func FuzzLastDigits(f *testing.F) {
	f.Add([]byte("secret"), []byte("123 456"), byte(','), true)
	f.Add([]byte(""), []byte("secret,12345678"), byte(','), false)
	f.Add([]byte(""), []byte("123456123456"), byte(0), false)
	f.Add([]byte(""), []byte("1,23456"), byte(','), false)
	f.Fuzz(func(t *testing.T, kept, typed []byte, separator byte, answering bool) {
		r := Request{Kept: opaque.Of(kept), Typed: opaque.Of(typed), Answering: answering, Policy: Policy{Separator: separator}}
		way, ok := r.lastDigits()
		n := len(way.code)
		switch {
		case !ok:
			if !answering && len(typed) > 6 && isDigits(typed[len(typed)-6:]) {
				t.Errorf("no code at the end of %q", typed)
			}
		case n != 6 && n != 8 || !isDigits(way.code):
			t.Errorf("%q is a code", way.code)
		case answering && !bytes.Equal(way.password, kept):
			t.Errorf("the password kept was %q, and is %q", kept, way.password)
		case !answering && (!bytes.HasPrefix(typed, way.password) || !bytes.HasSuffix(typed, way.code) || len(typed)-len(way.password)-n > 1):
			t.Errorf("%q became %q and %q", typed, way.password, way.code)
		}
	})
}
