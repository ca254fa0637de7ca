package ldapsync

import (
	"fmt"
	"reflect"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"lockstep/internal/opaque"
	"lockstep/internal/testenv"
	"lockstep/ldapsync/ldaptest"
	"lockstep/ldapsync/wire"
)

// questioned is a followed directory with a clock that can be set, and what the last bind
// of a user was sent with.
type questioned struct {
	*Directory
	t     *testing.T
	root  atomic.Pointer[message] // nil for none that can be seen
	binds chan []wire.Control
	later atomic.Int64
	end   chan bool    // ends the session
	looks atomic.Int64 // at the root DSE by users' connections
	hang  atomic.Bool  // a connection ends where it is to be looked at
}

func askedAt(t *testing.T, root *message, change ...func(*Config)) *questioned {
	s := &questioned{t: t, binds: make(chan []wire.Control, 1), end: make(chan bool)}
	s.root.Store(root)
	fake := ldaptest.Serve(t, s.act)
	c := Config{URLs: []string{fake.URL}, BaseDN: "dc=example,dc=org", BindDN: "cn=svc", BindPassword: opaque.Text("x"),
		Timeout: 5 * time.Second, Now: func() time.Time { return time.Now().Add(time.Duration(s.later.Load())) },
		pace: pace{changes: time.Millisecond, full: time.Hour, watch: time.Hour, stall: 10 * time.Second}}
	for _, f := range change {
		f(&c)
	}
	s.Directory = open(t, c)
	follow(t, s.Directory)
	eventually(t, "the directory is followed", s.source.(*poller).live.Load)
	if !s.bind(alice) {
		t.Error("the first bind does not ask")
	}
	return s
}

func (s *questioned) act(c *ldaptest.Conn) {
	service := false
	for r := c.Next(); ; r = c.Next() {
		switch {
		case r.Kind == ldaptest.Bind && r.DN == "cn=svc":
			service = true
			c.Send(ldaptest.BindResponse(0, ""))
		case r.Kind == ldaptest.Bind:
			s.binds <- r.Controls
			c.Send(ldaptest.BindResponse(0, ""))
		case r.Sync != nil:
			c.Send(whole("", is("alice", 1))...)
			select {
			case <-s.end:
			case <-s.t.Context().Done():
			}
			return
		case slices.Contains(r.Attributes, "supportedControl") && service:
			root := openLDAP()
			c.Send(root, ldaptest.Done(0, ""))
		case slices.Contains(r.Attributes, "supportedControl"):
			s.looks.Add(1)
			if s.hang.Swap(false) {
				return
			}
			if root := s.root.Load(); root != nil {
				c.Send(*root)
			}
			c.Send(ldaptest.Done(0, ""))
		default:
			c.Send(ldaptest.Done(0, ""))
		}
	}
}

// bind checks a password and returns whether the policy was asked about.
func (s *questioned) bind(a Account) bool {
	s.t.Helper()
	if err := check(s.t, s.Directory, a, "pw123456"); err != nil {
		s.t.Fatal(err)
	}
	got := <-s.binds
	if len(got) > 1 || len(got) == 1 && !reflect.DeepEqual(got[0], wire.AskPolicy) {
		s.t.Fatalf("sent with %+v", got)
	}
	return len(got) == 1
}

var alice = Account{Name: "alice", DN: dn("alice")}

// rootOf is what a server says of itself that names these controls.
func rootOf(class string, controls ...string) *message {
	about := []string{"objectClass", "top", "objectClass", class, "namingContexts", "dc=example,dc=org"}
	for _, oid := range controls {
		about = append(about, "supportedControl", oid)
	}
	about = append(about, "supportedExtension", "1.3.6.1.1.21.3", "supportedExtension", oidTransactions)
	m := ldaptest.Entry("", about...)
	return &m
}

func TestAServerThatHasNoPoliciesIsNotAsked(t *testing.T) {
	t.Parallel()
	s := askedAt(t, rootOf("OpenLDAProotDSE", oidSync))
	for range 3 {
		if s.bind(alice) {
			t.Error("it is asked")
		}
	}
	if n := s.looks.Load(); n != 1 {
		t.Errorf("%d looks at what it can do, want 1", n)
	}
}

func TestAServerThatHasNoPoliciesIsAskedWhereThatIsWanted(t *testing.T) {
	t.Parallel()
	s := askedAt(t, rootOf("OpenLDAProotDSE", oidSync), func(c *Config) { c.AskPolicy = true })
	for range 3 {
		if !s.bind(alice) {
			t.Error("it is not asked")
		}
	}
}

func TestWhoMayHavePoliciesIsAsked(t *testing.T) {
	t.Parallel()
	for name, root := range map[string]*message{
		"knows them":                      rootOf("OpenLDAProotDSE", oidSync, wire.AskPolicy.OID),
		"a proxy, which tells nothing":    rootOf("OpenLDAProotDSE"),
		"not OpenLDAP":                    rootOf("top", oidSync),
		"does not say what it is":         nil,
		"a user may not see what it is":   rootOf("OpenLDAProotDSE"),
		"in other letters, and no policy": rootOf("openldaprootdse", "1.3.6.1.4.1.4203.1.9.1.2"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if s := askedAt(t, root); !s.bind(alice) {
				t.Error("it is not asked")
			}
		})
	}
}

// The overlay can be loaded while connections are open.
func TestAServerIsLookedAtAgain(t *testing.T) {
	t.Parallel()
	s := askedAt(t, rootOf("OpenLDAProotDSE", oidSync))
	if s.bind(alice) {
		t.Fatal("it is asked")
	}
	s.root.Store(rootOf("OpenLDAProotDSE", oidSync, wire.AskPolicy.OID))
	for _, step := range []struct {
		at   time.Duration
		asks bool
	}{{30 * time.Second, false}, {61 * time.Second, true}, {62 * time.Second, true}, {-time.Hour, true}} {
		s.later.Store(int64(step.at))
		if s.bind(alice) != step.asks {
			t.Errorf("after %v it is asked: %v, want %v", step.at, !step.asks, step.asks)
		}
	}
}

// A server that does not tell of changes at the moment may be another one by now.
func TestAServerThatIsNotFollowedIsAsked(t *testing.T) {
	t.Parallel()
	s := askedAt(t, rootOf("OpenLDAProotDSE", oidSync))
	if s.bind(alice) {
		t.Fatal("it is asked")
	}
	s.end <- true
	p := s.source.(*poller)
	eventually(t, "the session is over", func() bool { return !p.live.Load() })
	if !s.bind(alice) {
		t.Error("it is not asked")
	}
}

func TestALookThatFailsCostsNoLogin(t *testing.T) {
	t.Parallel()
	s := askedAt(t, rootOf("OpenLDAProotDSE", oidSync))
	s.bind(alice)
	s.later.Store(int64(50 * time.Second))
	s.bind(alice) // so that it is not idle for long
	s.later.Store(int64(70 * time.Second))
	s.hang.Store(true)
	if !s.bind(alice) || s.bind(alice) {
		t.Error("the first bind of the new connection does not ask, or the second one does")
	}
}

func TestWhatSlapdIsAsked(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		options []testenv.SlapdOption
		plain   bool
	}{
		"no policies": {[]testenv.SlapdOption{testenv.WithSyncprov(), testenv.WithoutPolicies()}, true},
		"policies":    {[]testenv.SlapdOption{testenv.WithSyncprov(), testenv.WithPPolicy()}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := testenv.Slapd(t, tt.options...)
			s.Add(t, enrolled("alice"))
			d := open(t, live(s))
			run(t, d)
			settled(t, d, 1)
			if err := check(t, d, alice, "alice-pw"); err != nil {
				t.Fatal(err)
			}
			p := d.source.(*poller)
			if c := p.pool.idle[p.group.servers[0]][0]; c.plain != tt.plain || c.looked.IsZero() {
				t.Errorf("plain: %v, looked at %v; want %v", c.plain, c.looked, tt.plain)
			}
			if err := check(t, d, alice, "wrong"); cause(err) != "invalid credentials" {
				t.Error(fmt.Sprint(err))
			}
		})
	}
}
