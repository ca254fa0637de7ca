package ldapsync

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"lockstep/internal/opaque"
)

// clock is a time that a test moves.
type clock struct{ passed atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(1e9, c.passed.Load()) }
func (c *clock) advance(d time.Duration) { c.passed.Add(int64(d)) }

// deadAddress is an address at which nobody listens.
func deadAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestAServerThatFailsAndComesBackIsToldOnceEachTime(t *testing.T) {
	t.Parallel()
	yes := []*reply{result(ldap.ApplicationBindResponse, 0, "")}
	live := serve(t, func(request) []*reply { return yes })
	dead := deadAddress(t)
	log, logged := logTo(t)
	var at clock
	c := fakeConfig(&fakeServer{url: "ldap://" + dead}, live)
	c.Log, c.Now = log, at.now
	d := open(t, c)
	logins := func(down, again int) {
		t.Helper()
		for range 3 {
			for range 2 {
				if err := check(t, d, Account{DN: dn("alice")}, "x"); err != nil {
					t.Error(err)
				}
			}
			at.advance(2 * time.Minute) // longer than any pause
		}
		url := " url=ldap://" + dead
		gotDown := strings.Count(logged(), `level=WARN msg="directory server is not used for now"`+url+" err=")
		gotAgain := strings.Count(logged(), `level=INFO msg="directory server is used again"`+url)
		if gotDown != down || gotAgain != again {
			t.Errorf("told down %d times and again %d, want %d and %d:\n%s", gotDown, gotAgain, down, again, logged())
		}
	}
	logins(1, 0)
	var down atomic.Bool
	first := serveAt(t, dead, func(request) []*reply {
		if down.Load() {
			return nil
		}
		return yes
	})
	before := live.binds.Load()
	logins(1, 1)
	if first.binds.Load() != 6 || live.binds.Load() != before {
		t.Errorf("%d binds at the first server, want 6", first.binds.Load())
	}
	down.Store(true)
	logins(2, 1)
	down.Store(false)
	logins(2, 2)
	if strings.Contains(logged(), "url="+live.url) {
		t.Errorf("the second server never failed:\n%s", logged())
	}
}

// The log has what becomes of following it; there is no other to be used.
func TestAnOnlyServerIsNotToldAsNotUsed(t *testing.T) {
	t.Parallel()
	log, logged := logTo(t)
	c := fakeConfig(&fakeServer{url: "ldap://" + deadAddress(t)})
	c.Log = log
	if err := open(t, c).Refresh(t.Context()); err == nil || !strings.Contains(logged(), "cannot be followed") || strings.Contains(logged(), "not used") {
		t.Errorf("%v, log:\n%s", err, logged())
	}
}

func TestErrorsNameTheServerTheyAreAbout(t *testing.T) {
	t.Parallel()
	refuses := func(r request) []*reply {
		if r.op.Tag == ldap.ApplicationBindRequest {
			return []*reply{result(ldap.ApplicationBindResponse, 1, "")}
		}
		return []*reply{result(ldap.ApplicationSearchResultDone, 50, "")}
	}
	for _, tt := range []struct {
		name          string
		second        func(request) []*reply // nil is dead, too
		svc           string
		namesTheFirst bool
	}{
		{"the second cannot be reached either", nil, "cn=svc", true},
		{"the second breaks off", func(request) []*reply { return nil }, "cn=other", true},
		{"the second refuses binds and searches", refuses, "cn=svc", false},
		{"the second refuses the service account", refuses, "cn=other", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			first, second := "ldap://"+deadAddress(t), "ldap://"+deadAddress(t)
			if tt.second != nil {
				second = serve(t, tt.second).url
			}
			log, logged := logTo(t)
			c := fakeConfig(&fakeServer{url: first}, &fakeServer{url: second})
			c.BindDN, c.Log = tt.svc, log
			wanted := func(what string, err error) {
				t.Helper()
				if err == nil || !strings.Contains(err.Error(), second) || strings.Contains(err.Error(), first) != tt.namesTheFirst || strings.Contains(err.Error(), "\n") {
					t.Errorf("%s: %v, want %s named, and %s: %v", what, err, second, first, tt.namesTheFirst)
				}
			}
			wanted("CheckPassword", check(t, open(t, c), Account{DN: dn("alice")}, "x"))
			wanted("Enroll", open(t, c).Enroll(t.Context(), "alice", Enrolment{Key: opaque.Text("12345678901234567890")}, EnrollOptions{}))
			d := open(t, c)
			wanted("Refresh", d.Refresh(t.Context()))
			if st := d.Status(); st.URL != second {
				t.Errorf("Status() = %+v, want %s, which was tried last", st, second)
			}
			if !strings.Contains(logged(), `the accounts stay as they are" url=`+second) {
				t.Errorf("not told as of %s:\n%s", second, logged())
			}
		})
	}
}

// Which servers are asked, and so the text of the error, is another at each try.
func TestAnOutageOfAllServersIsToldOnce(t *testing.T) {
	t.Parallel()
	link := &linkError{err: errors.New("refused")}
	answer := func(server string, code uint16) error {
		return fmt.Errorf("%s: %w", server, ldap.NewError(code, errors.New("text")))
	}
	for _, tt := range []struct {
		name     string
		was, err error
		told     int
	}{
		{"another server is away", link, fmt.Errorf("other: %w", link), 1},
		{"busy, then away", answer("a", 51), link, 1},
		{"away, then busy and away", link, both(answer("a", 51), link), 1},
		{"busy, then not asked", answer("a", 51), fmt.Errorf("%w: x", errAway), 1},
		{"the same answer of another server", answer("a", 50), answer("b", 50), 1},
		{"another answer", answer("a", 50), answer("a", 4), 2},
		{"away, then an answer", link, answer("a", 50), 2},
	} {
		log, logged := logTo(t)
		c := fakeConfig(&fakeServer{url: "ldap://127.0.0.1"})
		c.Log = log
		p := open(t, c).source.(*poller)
		p.note(tt.was)
		p.note(tt.err)
		if n := strings.Count(logged(), "cannot be followed"); n != tt.told {
			t.Errorf("%s: told %d times, want %d:\n%s", tt.name, n, tt.told, logged())
		}
	}
}
