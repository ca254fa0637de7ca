package ldapsync

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"lockstep/internal/opaque"
	"lockstep/internal/testenv"
	"lockstep/ldapsync/sealed"
)

// What is written by several at once, or to a server that dies, is written as a
// whole or not at all.

func TestSlapdWritesAreWhole(t *testing.T) {
	t.Parallel()
	s := testenv.Slapd(t)
	writes{&s.Directory, configAt(&s.Directory), addPeople(t, &s.Directory)}.test(t)
}

func TestDirectoryServer389WritesAreWhole(t *testing.T) {
	t.Parallel()
	s := testenv.DirectoryServer389(t)
	writes{&s.Directory, configAt(&s.Directory), addPeople(t, &s.Directory)}.test(t)
}

func TestSambaADWritesAreWhole(t *testing.T) {
	t.Parallel()
	s := testenv.SambaAD(t)
	var names []string
	for i := range 20 {
		names = append(names, fmt.Sprint("u", i))
		s.Modify(t, "dn: "+s.AddUser(t, names[i], adPassword)+"\nadd: adminDescription\nadminDescription: "+keyNumber(i)+"\n")
	}
	c := adConfig(t, s)
	c.pace.changes = time.Hour
	writes{&s.Directory, c, names}.test(t)
}

func addPeople(t *testing.T, s *testenv.Directory) (names []string) {
	t.Helper()
	var all strings.Builder
	for i := range 100 {
		names = append(names, fmt.Sprint("u", i))
		all.WriteString(person(names[i], "objectClass: oathTOTPToken", "oathSecret: "+keyNumber(i)))
	}
	s.Add(t, all.String())
	return names
}

// writes holds a server, at which the names have [keyNumber] each, to that.
type writes struct {
	*testenv.Directory
	config Config
	names  []string
}

func (w writes) admin() EnrollOptions {
	return EnrollOptions{BindDN: w.AdminDN, BindPassword: opaque.Text(w.AdminPassword)}
}

func (w writes) test(t *testing.T) {
	d := refreshed(t, w.config)
	w.alone(t, d, "u0")
	w.together(t, d, "u1")
	w.killedEnrolling(t, d, "u2")
	w.killedRewrapping(t, w.names[3:])
}

// enrolmentNumber has parameters that tell whose they are.
func enrolmentNumber(n int) Enrolment {
	e := Enrolment{Key: opaque.Of(fmt.Appendf(nil, "key number %09d", n)), Digits: 6, Algorithm: "SHA1"}
	if n%2 == 1 {
		e.Digits, e.Algorithm = 8, "SHA512"
	}
	return e
}

// numberOf returns the n of the one token that name has, which must be whole.
func numberOf(t *testing.T, d *Directory, name string) (n int) {
	t.Helper()
	if err := d.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	a := lookup(t, d, name)
	if len(a.Tokens) != 1 || len(a.Problems) != 0 {
		t.Fatalf("%s = %+v, want one token", name, a)
	}
	if _, err := fmt.Sscanf(string(a.Tokens[0].Key.Reveal()), "key number %d", &n); err != nil {
		t.Fatal(err)
	}
	if e := enrolmentNumber(n); a.Tokens[0].Digits != e.Digits || a.Tokens[0].Algorithm != e.Algorithm {
		t.Errorf("%s has key %d with %d digits and %s, which are not its own", name, n, a.Tokens[0].Digits, a.Tokens[0].Algorithm)
	}
	return n
}

// atOnce has eight enrol name, from a number on, and returns the numbers of those
// who were told that they did. The others are told no.
func (w writes) atOnce(t *testing.T, name string, from int, o EnrollOptions) (won []int) {
	t.Helper()
	const many = 8
	errs := make([]error, many)
	start := make(chan struct{})
	var wait sync.WaitGroup
	for i := range many {
		d := open(t, w.config)
		wait.Go(func() { <-start; errs[i] = d.Enroll(t.Context(), name, enrolmentNumber(from+i), o) })
	}
	close(start)
	wait.Wait()
	for i, err := range errs {
		n := from + i
		var answer *ldap.Error
		switch {
		case err == nil:
			won = append(won, n)
		case !errors.Is(err, ErrEnrolled) && !(errors.As(err, &answer) && strings.Contains(err.Error(), "somebody else")):
			t.Errorf("enrolment %d of %s: %v", n, name, err)
		case strings.ContainsAny(err.Error(), "\n\x00"):
			t.Errorf("enrolment %d of %s: more than a line: %q", n, name, err)
		}
	}
	return won
}

// alone: of those who enrol somebody at once without -replace one does.
func (w writes) alone(t *testing.T, d *Directory, name string) {
	t.Helper()
	for round := range 3 {
		if err := d.Revoke(t.Context(), name, w.admin()); err != nil {
			t.Fatal(err)
		}
		won := w.atOnce(t, name, 100*(round+1), w.admin())
		if n := numberOf(t, d, name); len(won) != 1 || won[0] != n {
			t.Errorf("%v were told that they enrolled %s, the key is that of %d", won, name, n)
		}
	}
}

// together: of those who replace a key, the last has.
func (w writes) together(t *testing.T, d *Directory, name string) {
	t.Helper()
	o := w.admin()
	o.Replace = true
	for round := range 3 {
		won := w.atOnce(t, name, 100*(round+1), o)
		n := numberOf(t, d, name)
		found := false
		for _, m := range won {
			found = found || m == n
		}
		if !found {
			t.Errorf("%v were told that they enrolled %s, the key is that of %d", won, name, n)
		}
	}
}

// killedEnrolling: the key that is there is the last that was written, or the one
// that was being written, or where the server keeps changes back one from before.
func (w writes) killedEnrolling(t *testing.T, d *Directory, name string) {
	t.Helper()
	o := w.admin()
	o.Replace = true
	began, last := make(chan struct{}), 0
	var wait sync.WaitGroup
	wait.Go(func() {
		for n := 1; ; n++ {
			if err := d.Enroll(t.Context(), name, enrolmentNumber(n), o); err != nil {
				return
			}
			if last = n; n == 10 {
				close(began)
			}
		}
	})
	<-began
	w.Kill(t)
	wait.Wait()
	w.Start(t)
	eventually(t, "it is read again", func() bool { return d.Refresh(t.Context()) == nil })
	n := numberOf(t, d, name)
	t.Logf("of %d enrolments the server has number %d", last, n)
	if n > last+1 || n < last && w.AdminDN != "cn=Directory Manager" {
		t.Errorf("key %d is there, want %d or the next", n, last)
	}
}

// killedRewrapping: each value is in clear as before, or sealed, and the same key;
// and another rewrap does the rest.
func (w writes) killedRewrapping(t *testing.T, names []string) {
	t.Helper()
	c := w.config
	if c.SealTo == nil {
		private, err := sealed.Generate()
		if err != nil {
			t.Fatal(err)
		}
		c.SealTo = private.Public()
		if c.Keyring, err = sealed.NewKeyring(private); err != nil {
			t.Fatal(err)
		}
	}
	d := refreshed(t, c)
	half, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		done, err := d.Rewrap(t.Context(), w.admin(), func(done, _ int) {
			if done == len(names)/2 {
				close(half)
			}
		})
		if err == nil && len(done.Failed) == 0 || done.Sealed == 0 {
			t.Errorf("Rewrap() at a server that is killed: %d sealed, %d failed, %v", done.Sealed, len(done.Failed), err)
		}
	}()
	<-half
	w.Kill(t)
	<-ended
	w.Start(t)
	eventually(t, "it is read again", func() bool { return d.Refresh(t.Context()) == nil })
	census := d.Census()
	t.Logf("of %d keys %d are sealed", census.Keys, census.Sealed[c.SealTo.ID()])
	w.sameKeys(t, d, names)
	done, err := d.Rewrap(t.Context(), w.admin(), nil)
	if err != nil || len(done.Failed) != 0 {
		t.Errorf("Rewrap() again: %+v, %v", done, err)
	}
	if err := d.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.sameKeys(t, d, names)
	if census := d.Census(); census.Sealed[c.SealTo.ID()] != census.Keys {
		t.Errorf("%+v, want all sealed", census)
	}
}

// sameKeys fails unless each has the key of the beginning, in clear or sealed.
func (w writes) sameKeys(t *testing.T, d *Directory, names []string) {
	t.Helper()
	for i, name := range names {
		a, err := d.Lookup(name)
		if refused := (*UnusableError)(nil); errors.As(err, &refused) && refused.Why == errPlain.Error() {
			continue // as it was
		}
		if err != nil || len(a.Tokens) != 1 || unpadded.EncodeToString(a.Tokens[0].Key.Reveal()) != keyNumber(i+3) {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
	}
}
