package ldapsync

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"lockstep/internal/opaque"
	"lockstep/ldapsync/ldaptest"
	"lockstep/ldapsync/wire"
)

// A bind with a code is not sent twice. So it must not be sent at all over a
// connection that the server has closed, or the login is lost.
func TestABindWithACodeGoesToNoClosedConnection(t *testing.T) {
	t.Parallel()
	for name, last := range map[string]ldaptest.Message{"closed": {}, "closed with a notice": ldaptest.Notice(52, "idle for long")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var later atomic.Int64
			end := make(chan bool)
			s := ldaptest.Serve(t, func(c *ldaptest.Conn) {
				c.Next()
				c.Send(ldaptest.BindResponse(0, ""))
				<-end
				c.Send(last)
			}, func(c *ldaptest.Conn) {
				c.Next()
				c.Send(ldaptest.BindResponse(0, ""))
				c.Hold()
			})
			d := open(t, Config{URLs: []string{s.URL}, BaseDN: "dc=example,dc=org", Schema: "freeipa", Delegate: true,
				Now: func() time.Time { return time.Now().Add(time.Duration(later.Load())) }})
			p := d.source.(*poller)
			t.Cleanup(p.pool.drain)
			a := Account{Name: "alice", DN: dn("alice"), Delegated: true}
			if err := check(t, d, a, "pw123456"); err != nil {
				t.Fatal(err)
			}
			c := p.pool.idle[p.group.servers[0]][0]
			close(end)
			eventually(t, "the connection is closed", func() bool { return !c.wire.Idle() })
			later.Store(int64(lull))
			if err := check(t, d, a, "pw654321"); err != nil {
				t.Errorf("after the server has closed the connection: %v", err)
			}
		})
	}
}

// Where the server closes it at the very moment, the code may be spent.
func TestABindWithACodeIsNotSentTwice(t *testing.T) {
	t.Parallel()
	for name, last := range map[string]ldaptest.Message{"closed": {}, "closed with a notice": ldaptest.Notice(52, "going down")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var binds atomic.Int64
			s := ldaptest.Serve(t, func(c *ldaptest.Conn) {
				for c.Next(); ; c.Next() {
					if binds.Add(1) == 2 {
						c.Send(last)
						return
					}
					c.Send(ldaptest.BindResponse(0, ""))
				}
			})
			d := open(t, Config{URLs: []string{s.URL, s.URL}, BaseDN: "dc=example,dc=org", Schema: "freeipa", Delegate: true})
			t.Cleanup(d.source.(*poller).pool.drain)
			a := Account{Name: "alice", DN: dn("alice"), Delegated: true}
			if err := check(t, d, a, "pw123456"); err != nil {
				t.Fatal(err)
			}
			if err := check(t, d, a, "pw654321"); err == nil || errors.As(err, new(*PasswordError)) {
				t.Errorf("%v, want an error that is no refusal", err)
			}
			if n := binds.Load(); n != 2 {
				t.Errorf("%d binds, want 2", n)
			}
		})
	}
}

// A server that says goodbye instead of answering is like one that closes.
func TestANoticeInsteadOfAnAnswerIsNoAnswer(t *testing.T) {
	t.Parallel()
	var binds atomic.Int64
	s := ldaptest.Serve(t, func(c *ldaptest.Conn) {
		for c.Next(); ; c.Next() {
			if binds.Add(1) == 2 {
				c.Send(ldaptest.Notice(52, "going down"))
				return
			}
			c.Send(ldaptest.BindResponse(0, ""))
		}
	})
	d := open(t, Config{URLs: []string{s.URL}, BaseDN: "dc=example,dc=org"})
	t.Cleanup(d.source.(*poller).pool.drain)
	for range 2 {
		if err := check(t, d, Account{DN: dn("alice")}, "x"); err != nil {
			t.Error(err)
		}
	}
	if n := binds.Load(); n != 3 {
		t.Errorf("%d binds, want 3", n)
	}
}

// The connection that was used last is the best: the others grow old together and are
// closed.
func TestTheConnectionUsedLastIsUsedFirst(t *testing.T) {
	t.Parallel()
	hold := make(chan bool)
	s := ldaptest.Serve(t, func(c *ldaptest.Conn) {
		for r := c.Next(); r.Kind == ldaptest.Bind; r = c.Next() {
			if r.Password == "wait" {
				<-hold
			}
			c.Send(ldaptest.BindResponse(0, ""))
		}
	})
	var later atomic.Int64
	d := open(t, Config{URLs: []string{s.URL}, BaseDN: "dc=example,dc=org",
		Now: func() time.Time { return time.Now().Add(time.Duration(later.Load())) }})
	p := d.source.(*poller)
	t.Cleanup(p.pool.drain)
	done := make(chan error)
	for range 3 {
		go func() {
			_, err := d.CheckPassword(t.Context(), Account{DN: dn("alice")}, opaque.Text("wait"))
			done <- err
		}()
	}
	eventually(t, "three wait", func() bool { return len(p.pool.slots) == 3 })
	close(hold)
	for range 3 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	for range 70 {
		later.Add(int64(time.Second))
		if err := check(t, d, Account{DN: dn("alice")}, "x"); err != nil {
			t.Fatal(err)
		}
	}
	p.pool.sweep()
	if idle := len(p.pool.idle[p.group.servers[0]]); idle != 1 || s.Accepted() != 3 {
		t.Errorf("%d connections idle, %d made; want 1 of 3", idle, s.Accepted())
	}
}

// A server that says which controls it knows, and not that of password policies, is not
// asked about them. A code is always asked for where one is wanted.
// Whether a password must be changed first is said in the answer to that control
// alone, and a proxy does not list what the servers behind it know.
func TestEveryServerIsAskedAboutThePasswordsPolicy(t *testing.T) {
	t.Parallel()
	policy, code := wire.AskPolicy, wire.Control{OID: "2.16.840.1.113730.3.8.10.7", Critical: true}
	root := func(controls ...string) []ldaptest.Message {
		about := []string{"objectClass", "top", "namingContexts", "dc=example,dc=org"}
		for _, oid := range controls {
			about = append(about, "supportedControl", oid)
		}
		return []ldaptest.Message{ldaptest.Entry("", about...), ldaptest.Done(0, "")}
	}
	for name, tt := range map[string]struct {
		unread bool // nobody has asked what the server is
		root   []ldaptest.Message
	}{
		"it lists others":           {root: root("1.2.840.113556.1.4.319", oidSync)},
		"it lists that one, too":    {root: root("1.2.840.113556.1.4.319", policy.OID)},
		"it lists none":             {root: root()},
		"it says nothing of itself": {root: []ldaptest.Message{ldaptest.Done(0, "")}},
		"it was not asked yet":      {unread: true},
	} {
		for _, delegated := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, code %v", name, delegated), func(t *testing.T) {
				t.Parallel()
				bind := make(chan []wire.Control, 1)
				s := ldaptest.Serve(t, func(c *ldaptest.Conn) {
					for r := c.Next(); ; r = c.Next() {
						switch {
						case r.Kind == ldaptest.Bind && r.DN == dn("alice"):
							bind <- r.Controls
							c.Send(ldaptest.BindResponse(0, ""))
						case r.Kind == ldaptest.Bind:
							c.Send(ldaptest.BindResponse(0, ""))
						case slices.Contains(r.Attributes, "supportedControl"):
							c.Send(tt.root...)
						default:
							c.Send(ldaptest.Done(0, ""))
						}
					}
				})
				d := open(t, Config{URLs: []string{s.URL}, BaseDN: "dc=example,dc=org", BindDN: "cn=svc", BindPassword: opaque.Text("x"),
					Schema: "freeipa", Delegate: delegated})
				p := d.source.(*poller)
				t.Cleanup(func() { p.disconnect(); p.pool.drain() })
				if !tt.unread {
					if err := d.Refresh(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				if err := check(t, d, Account{Name: "alice", DN: dn("alice"), Delegated: delegated}, "pw123456"); err != nil {
					t.Fatal(err)
				}
				want := []wire.Control{policy}
				if delegated {
					want = append(want, code)
				}
				if got := <-bind; !reflect.DeepEqual(got, want) {
					t.Errorf("controls %+v, want %+v", got, want)
				}
			})
		}
	}
}
