package ldapsync

import (
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"lockstep/internal/opaque"
	"lockstep/ldapsync/ldaptest"
	"lockstep/ldapsync/wire"
)

type message = ldaptest.Message

// talk is one session of a scripted server: what it is asked, what it says, and
// what is known of the directory when it is over.
type talk struct {
	cookie string    // that must be sent; "" for none
	says   []message // the first answers, and the changes behind them
	hangUp bool      // the server ends the connection then; else it waits for the client to
	end    message   // what is said last, before that
	want   string    // see known
}

// play is a directory that is followed through a row of sessions. All but the last
// must end.
type play struct {
	t     testing.TB
	talks []talk
	d     *Directory
	log   func() string

	root func() message // what the server says of itself
	csn  func() string  // its newest change
	page []message      // what it answers to an ordinary search

	mu    sync.Mutex // guards what follows
	begun int        // sessions
	ended bool       // what comes now is of no interest
}

func openLDAP() message {
	return ldaptest.Entry("", "objectClass", "top", "objectClass", "OpenLDAProotDSE",
		"supportedControl", oidSync, "namingContexts", "dc=example,dc=org")
}

func otherServer() message {
	return ldaptest.Entry("", "objectClass", "top", "supportedControl", oidSync, "namingContexts", "dc=example,dc=org",
		"vendorName", "389 Project")
}

// act is the script of one connection. What it is for shows by what is asked.
func (p *play) act(c *ldaptest.Conn) {
	for {
		r := c.Search()
		switch {
		case r.Sync != nil:
			p.session(c, r)
			return
		case slices.Contains(r.Attributes, "supportedControl"):
			c.Send(p.root(), ldaptest.Done(0, ""))
		case slices.Contains(r.Attributes, "contextCSN"):
			c.Send(ldaptest.Entry("dc=example,dc=org", "contextCSN", p.csn()), ldaptest.Done(0, ""))
		default:
			c.Send(append(slices.Clone(p.page), ldaptest.Done(0, ""))...)
		}
	}
}

// session plays the next talk. When it begins, the one before is over.
func (p *play) session(c *ldaptest.Conn, r *ldaptest.Request) {
	p.mu.Lock()
	n, ended := p.begun, p.ended
	p.begun++
	p.mu.Unlock()
	if ended {
		c.Hold()
		return
	}
	if n > 0 && n <= len(p.talks) {
		if got := known(p.d); got != p.talks[n-1].want {
			p.t.Errorf("after session %d: %s, want %s", n, got, p.talks[n-1].want)
		}
	}
	if n >= len(p.talks) {
		p.t.Errorf("session %d, cookie %q: want only %d", n+1, r.Sync.Cookie, len(p.talks))
		c.Hold()
		return
	}
	k := p.talks[n]
	if string(r.Sync.Cookie) != k.cookie || (r.Sync.Cookie != nil) != (k.cookie != "") || !r.Sync.Persist {
		p.t.Errorf("session %d: asked with %+v, want cookie %q", n+1, r.Sync, k.cookie)
	}
	c.Send(k.says...)
	if n == len(p.talks)-1 {
		c.Send(lastWord)
	}
	c.Send(k.end)
	if !k.hangUp {
		c.Hold()
	}
}

// lastWord is a change that tells when all before has been taken.
var lastWord = is("last-word", 9999)

// known is what is known of the directory: "not ready", or the names of those who
// can log in, and with an exclamation mark those who cannot.
func known(d *Directory) string {
	if !d.Status().Ready {
		return "not ready"
	}
	var all []string
	for a := range d.Accounts() {
		if a.Name != "last-word" {
			all = append(all, a.Name)
		}
	}
	for name := range d.Unusable() {
		all = append(all, name+"!")
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// started plays talks against a directory, and returns when all has been said.
func started(t *testing.T, p *play, change ...func(*Config)) *play {
	t.Helper()
	p.t = t
	if p.root == nil {
		p.root = openLDAP
	}
	if p.csn == nil {
		p.csn = func() string { return "" }
	}
	s := ldaptest.Serve(t, p.act)
	c := Config{
		URLs: []string{s.URL}, BaseDN: "dc=example,dc=org", BindDN: "cn=svc", BindPassword: opaque.Text("x"), Timeout: 5 * time.Second,
		pace: pace{changes: time.Millisecond, full: time.Millisecond, watch: time.Hour, stall: 10 * time.Second},
	}
	var log *slog.Logger
	log, p.log = logTo(t)
	c.Log = log
	for _, f := range change {
		f(&c)
	}
	p.d = open(t, c)
	follow(t, p.d)
	return p
}

// follow runs d until the end of t, and does not wait until it is ready.
func follow(t testing.TB, d *Directory) {
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	wait.Go(func() {
		if err := d.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Run() = %v, want the cause of its end", err)
		}
	})
	t.Cleanup(func() { cancel(); wait.Wait() })
}

// played plays talks to the end and looks at what has come of them.
func played(t *testing.T, p *play, change ...func(*Config)) {
	t.Helper()
	started(t, p, change...)
	eventually(t, "the last session is complete", func() bool { return has(p.d, "last-word") })
	p.over()
}

// over looks at what is known in the end.
func (p *play) over() {
	p.t.Helper()
	if got, want := known(p.d), p.talks[len(p.talks)-1].want; got != want {
		p.t.Errorf("in the end: %s, want %s", got, want)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.begun != len(p.talks) {
		p.t.Errorf("%d sessions, want %d", p.begun, len(p.talks))
	}
	p.ended = true
}

// is says that the entry of name is there, as one added.
func is(name string, id int, more ...string) message {
	return entry(name, more...).State(wire.Add, ldaptest.UUID(id))
}

func entry(name string, more ...string) message {
	return ldaptest.Entry(dn(name), append([]string{"objectClass", "inetOrgPerson", "uid", name, "oathSecret", key1}, more...)...)
}

// state is a message without content: that the entry is present, or deleted.
func state(name string, id int, s wire.State) message {
	return ldaptest.Entry(dn(name)).State(s, ldaptest.UUID(id))
}

func ids(from, to int) (all [][16]byte) {
	for n := from; n <= to; n++ {
		all = append(all, ldaptest.UUID(n))
	}
	return all
}

// csn is a cookie that has seen the changes of each server up to one, such as
// "001:5 002:7".
func csn(changes ...string) string {
	var list []string
	for _, change := range changes {
		sid, n, _ := strings.Cut(change, ":")
		list = append(list, change20(n)+"#000000#"+sid+"#000000")
	}
	return "rid=000,csn=" + strings.Join(list, ";")
}

func change20(n string) string {
	return "202611221200" + strings.Repeat("0", 2-len(n)) + n + ".000000Z"
}

func uuidText(id int) string {
	u := ldaptest.UUID(id)
	h := hex.EncodeToString(u[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
