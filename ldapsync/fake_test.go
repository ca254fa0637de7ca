package ldapsync

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"lockstep/internal/opaque"
)

// fakeServer is an LDAP server that can be made to misbehave.
type fakeServer struct {
	url   string
	binds atomic.Int64 // that a user's answer was asked for
}

// request is one request to a fakeServer.
type request struct {
	id   int64
	op   *ber.Packet
	page string // the cookie of the paged results control, for a search
}

// reply is one message of a fakeServer.
type reply struct{ op, controls *ber.Packet }

// serve starts a server that calls answer for each request but for those of
// the service account "cn=svc", whose bind succeeds. What answer returns is
// sent; nil closes the connection.
func serve(t *testing.T, answer func(request) []*reply) *fakeServer {
	t.Helper()
	return serveAt(t, "127.0.0.1:0", answer)
}

func serveAt(t *testing.T, addr string, answer func(request) []*reply) *fakeServer {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeServer{url: "ldap://" + l.Addr().String()}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			go f.talk(c, answer)
		}
	}()
	return f
}

func (f *fakeServer) talk(c net.Conn, answer func(request) []*reply) {
	defer c.Close()
	for {
		packet, err := ber.ReadPacket(c)
		if err != nil || len(packet.Children) < 2 {
			return
		}
		r := request{id: packet.Children[0].Value.(int64), op: packet.Children[1]}
		out := []*reply{result(ldap.ApplicationBindResponse, 0, "")}
		if r.op.Tag == ldap.ApplicationSearchRequest && r.op.Children[0].Value == "" && len(r.op.Children[7].Children) > 1 {
			out = []*reply{result(ldap.ApplicationSearchResultDone, 50, "")} // what the server can do is not shown
		} else if r.op.Tag != ldap.ApplicationBindRequest || r.op.Children[1].Value != "cn=svc" {
			if r.op.Tag == ldap.ApplicationBindRequest {
				f.binds.Add(1)
			}
			if len(packet.Children) > 2 {
				r.page = cookie(packet.Children[2])
			}
			out = answer(r)
		}
		if out == nil {
			return
		}
		for _, p := range out {
			envelope := ber.NewSequence("")
			envelope.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, r.id, ""))
			envelope.AppendChild(p.op)
			if p.controls != nil {
				envelope.AppendChild(p.controls)
			}
			if _, err := c.Write(envelope.Bytes()); err != nil {
				return
			}
		}
	}
}

func cookie(controls *ber.Packet) string {
	for _, c := range controls.Children {
		if control, err := ldap.DecodeControl(c); err == nil {
			if paging, ok := control.(*ldap.ControlPaging); ok {
				return string(paging.Cookie)
			}
		}
	}
	return ""
}

func text(s string) *ber.Packet {
	return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, s, "")
}

func result(tag ber.Tag, code int64, message string) *reply {
	p := ber.Encode(ber.ClassApplication, ber.TypeConstructed, tag, nil, "")
	p.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, code, ""))
	p.AppendChild(text(""))
	p.AppendChild(text(message))
	return &reply{op: p}
}

// withControl adds a control with the octets of value to a result.
func withControl(r *reply, oid, value string) *reply {
	controls := ber.Encode(ber.ClassContext, ber.TypeConstructed, 0, nil, "")
	control := ber.NewSequence("")
	control.AppendChild(text(oid))
	control.AppendChild(text(value))
	controls.AppendChild(control)
	return &reply{r.op, controls}
}

func morePages(r *reply, cookie string) *reply {
	value := ber.NewSequence("")
	value.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, 0, ""))
	value.AppendChild(text(cookie))
	return withControl(r, ldap.ControlTypePaging, string(value.Bytes()))
}

// found is the search result entry of an enrolled person.
func found(uid string) *reply { return foundAs(uid, "id-of-"+uid) }

func foundAs(uid, id string) *reply {
	p := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchResultEntry, nil, "")
	p.AppendChild(text(dn(uid)))
	attrs := ber.NewSequence("")
	for name, value := range map[string]string{"uid": uid, "oathSecret": key1, "entryUUID": id} {
		attr := ber.NewSequence("")
		attr.AppendChild(text(name))
		set := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, "")
		set.AppendChild(text(value))
		attr.AppendChild(set)
		attrs.AppendChild(attr)
	}
	p.AppendChild(attrs)
	return &reply{op: p}
}

func fakeConfig(servers ...*fakeServer) Config {
	c := Config{BaseDN: "dc=example,dc=org", BindDN: "cn=svc", BindPassword: opaque.Text("x"), Timeout: 300 * time.Millisecond}
	for _, s := range servers {
		c.URLs = append(c.URLs, s.url)
	}
	return c
}

func TestAnswersToABind(t *testing.T) {
	t.Parallel()
	bind := func(code int64, message string) *reply {
		return result(ldap.ApplicationBindResponse, code, message)
	}
	const behera = ldap.ControlTypeBeheraPasswordPolicy
	ad := func(data string) *reply {
		return bind(49, "80090308: LdapErr: DSID-0C09044E, comment: AcceptSecurityContext error, data "+data+", v4563")
	}
	for _, tt := range []struct {
		name   string
		answer []*reply // nil closes the connection, empty never answers
		cause  string   // of a refusal; "" if it could not be told
		second int64    // binds at the second server
	}{
		{"wrong password", []*reply{bind(49, "")}, "invalid credentials", 0},
		{"must be changed, bind succeeded", []*reply{withControl(bind(0, ""), behera, "\x30\x03\x81\x01\x02")}, "must be changed", 0},
		{"must be changed (389-DS)", []*reply{withControl(bind(0, ""), ldap.ControlTypeVChuPasswordMustChange, "0")}, "must be changed", 0},
		{"locked", []*reply{withControl(bind(49, ""), behera, "\x30\x03\x81\x01\x01")}, "locked", 0},
		{"expired", []*reply{withControl(bind(49, ""), behera, "\x30\x03\x81\x01\x00")}, "expired", 0},
		{"policy says something else", []*reply{withControl(bind(0, ""), behera, "\x30\x03\x81\x01\x05")}, "refused by the password policy", 0},
		{"AD: wrong", []*reply{ad("52e")}, "invalid credentials", 0},
		{"AD: hours", []*reply{ad("530")}, "not allowed at this hour", 0},
		{"AD: workstation", []*reply{ad("531")}, "not allowed from here", 0},
		{"AD: expired", []*reply{ad("532")}, "expired", 0},
		{"AD: disabled", []*reply{ad("533")}, "disabled", 0},
		{"AD: account expired", []*reply{ad("701")}, "account expired", 0},
		{"AD: must be changed", []*reply{ad("773")}, "must be changed", 0},
		{"AD: locked", []*reply{ad("775")}, "locked", 0},
		{"AD: a code of next year", []*reply{ad("fff")}, "invalid credentials", 0},
		{"389-DS: retry limit", []*reply{bind(19, "Exceed password retry limit.")}, "locked", 0},
		{"389-DS: inactivated", []*reply{bind(53, "Account inactivated. Contact system administrator.")}, "disabled", 0},
		{"389-DS: no password", []*reply{bind(48, "")}, "no password", 0},
		{"referral", []*reply{bind(10, "")}, "", 0},
		{"no such object", []*reply{bind(32, "")}, "", 0},
		{"operations error", []*reply{bind(1, "")}, "", 0},
		{"confidentiality required", []*reply{bind(13, "")}, "", 0},
		{"unwilling, no reason", []*reply{bind(53, "")}, "", 0},
		{"SASL in progress", []*reply{bind(14, "")}, "", 0},
		{"other", []*reply{bind(80, "")}, "", 0},
		{"a code of no standard", []*reply{bind(4096, "")}, "", 0},
		{"a control that does not decode", []*reply{withControl(bind(0, ""), behera, "\x30\x03\x81\x01\x63")}, "", 0},
		{"a control that does not decode, refused", []*reply{withControl(bind(49, ""), behera, "\xff\xff")}, "", 0},
		{"busy", []*reply{bind(51, "")}, "", 1},
		{"unavailable", []*reply{bind(52, "")}, "", 1},
		{"in restricted operation", []*reply{bind(53, "operation restricted")}, "", 1},
		{"closes without answer", nil, "", 1},
		{"never answers", []*reply{}, "", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			first := serve(t, func(request) []*reply { return tt.answer })
			second := serve(t, func(request) []*reply { return nil })
			d := open(t, fakeConfig(first, second))
			_, err := d.CheckPassword(t.Context(), Account{Name: "alice", DN: dn("alice")}, opaque.Text("canary-pw"))
			if err == nil {
				t.Fatal("accepted")
			}
			if refused := errors.As(err, new(*PasswordError)); refused != (tt.cause != "") || refused && cause(err) != tt.cause {
				t.Errorf("%v, want refused with cause %q", err, tt.cause)
			}
			if n := first.binds.Load(); n != 1 {
				t.Errorf("%d binds at the first server, want 1", n)
			}
			if n := second.binds.Load(); n != tt.second {
				t.Errorf("%d binds at the second server, want %d", n, tt.second)
			}
			if strings.Contains(err.Error(), "canary") {
				t.Errorf("password in the error: %v", err)
			}
		})
	}
}

func TestIncompleteRefreshDropsNothing(t *testing.T) {
	t.Parallel()
	done := func(code int64) *reply { return result(ldap.ApplicationSearchResultDone, code, "") }
	whole := []*reply{found("alice"), found("bob"), done(0)}
	for _, tt := range []struct {
		name string
		bad  func(r request) []*reply
	}{
		{"connection closed at once", func(request) []*reply { return nil }},
		{"never answers", func(request) []*reply { return []*reply{} }},
		{"stops after an entry", func(request) []*reply { return []*reply{found("alice")} }},
		{"connection closed after the first page", func(r request) []*reply {
			if r.page != "" {
				return nil
			}
			return []*reply{found("alice"), morePages(done(0), "more")}
		}},
		{"size limit", func(request) []*reply { return []*reply{found("alice"), done(4)} }},
		{"time limit", func(request) []*reply { return []*reply{found("alice"), done(3)} }},
		{"admin limit", func(request) []*reply { return []*reply{done(11)} }},
		{"referral", func(request) []*reply { return []*reply{done(10)} }},
		{"busy", func(request) []*reply { return []*reply{done(51)} }},
		{"not allowed any more", func(request) []*reply { return []*reply{done(50)} }},
		{"base has gone", func(request) []*reply { return []*reply{done(32)} }},
		{"done does not decode", func(request) []*reply {
			return []*reply{{op: ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchResultDone, nil, "")}}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var bad atomic.Bool
			s := serve(t, func(r request) []*reply {
				if bad.Load() {
					return tt.bad(r)
				}
				return whole
			})
			d := refreshed(t, fakeConfig(s))
			bad.Store(true)
			if err := d.Refresh(t.Context()); err == nil {
				t.Error("no error")
			}
			for _, name := range []string{"alice", "bob"} {
				if !has(d, name) {
					t.Errorf("%s was dropped", name)
				}
			}
			never := open(t, fakeConfig(s))
			if err := never.Refresh(t.Context()); err == nil || never.Status().Ready {
				t.Errorf("first refresh: %v, ready %v", err, never.Status().Ready)
			}
			bad.Store(false)
			eventually(t, "it recovers", func() bool { return d.Refresh(t.Context()) == nil })
		})
	}
}

func TestLongIDFromAServer(t *testing.T) {
	t.Parallel()
	s := serve(t, func(request) []*reply {
		return []*reply{foundAs("alice", strings.Repeat("x", 1000)), foundAs("bob", strings.Repeat("x", 1001)),
			result(ldap.ApplicationSearchResultDone, 0, "")}
	})
	d := refreshed(t, fakeConfig(s))
	lookup(t, d, "alice")
	wantUnusable(t, d, "bob", "ID of 1001 octets")
}

func TestMassDeletionMustBeSeenTwice(t *testing.T) {
	t.Parallel()
	var all []*reply
	for i := range 40 {
		all = append(all, found(fmt.Sprint("u", i)))
	}
	done := result(ldap.ApplicationSearchResultDone, 0, "")
	var searches, shortTimes atomic.Int64
	s := serve(t, func(request) []*reply {
		searches.Add(1)
		if shortTimes.Add(-1) >= 0 {
			return append(append([]*reply{}, all[:20]...), done)
		}
		return append(append([]*reply{}, all...), done)
	})
	d := refreshed(t, fakeConfig(s))
	for short, want := range map[int64]int{1: 40, 2: 20} {
		shortTimes.Store(short)
		before := searches.Load()
		if err := d.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := d.Status().Entries; n != want || searches.Load()-before != 2 {
			t.Errorf("20 of 40 missing %d times: %d entries after %d searches, want %d after 2", short, n, searches.Load()-before, want)
		}
		shortTimes.Store(0)
		if err := d.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// The password would go wherever the server says.
func TestReferralsAreNotFollowed(t *testing.T) {
	t.Parallel()
	elsewhere := serve(t, func(request) []*reply { return nil })
	s := serve(t, func(r request) []*reply {
		answer := result(ldap.ApplicationBindResponse, 10, "")
		referral := ber.Encode(ber.ClassContext, ber.TypeConstructed, 3, nil, "")
		referral.AppendChild(text(elsewhere.url + "/dc=example,dc=org"))
		answer.op.AppendChild(referral)
		return []*reply{answer}
	})
	d := open(t, fakeConfig(s))
	_, err := d.CheckPassword(t.Context(), Account{DN: dn("alice")}, opaque.Text("x"))
	if err == nil || errors.As(err, new(*PasswordError)) || elsewhere.binds.Load() != 0 {
		t.Errorf("%v, %d binds elsewhere", err, elsewhere.binds.Load())
	}
}

func TestAFullPoolWaitsNoLongerThanTheCaller(t *testing.T) {
	t.Parallel()
	s := serve(t, func(request) []*reply { return []*reply{} })
	c := fakeConfig(s)
	c.Pool, c.Timeout = 1, 10*time.Second
	d := open(t, c)
	first, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { _, err := d.CheckPassword(first, Account{DN: dn("alice")}, opaque.Text("x")); ended <- err }()
	eventually(t, "the first bind is under way", func() bool { return s.binds.Load() == 1 })
	second, cancelSecond := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancelSecond()
	if _, err := d.CheckPassword(second, Account{DN: dn("alice")}, opaque.Text("x")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("second: %v", err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("first, cancelled: %v", err)
	}
	if err := d.source.reachable(); err != nil {
		t.Errorf("callers that went away made the server unhealthy: %v", err)
	}
}

// verifier.Directory says of a Delegated account: to one server at most.
func TestDelegatedCodeIsSentToOneServer(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string][]*reply{"closes without answer": nil, "never answers": {}} {
		first := serve(t, func(request) []*reply { return answer })
		second := serve(t, func(request) []*reply { return []*reply{result(ldap.ApplicationBindResponse, 49, "")} })
		c := fakeConfig(first, second)
		c.Schema, c.Delegate = "freeipa", true
		d := open(t, c)
		_, err := d.CheckPassword(t.Context(), Account{DN: dn("alice"), Delegated: true}, opaque.Text("pw123456"))
		if n := first.binds.Load() + second.binds.Load(); n != 1 || errors.As(err, new(*PasswordError)) {
			t.Errorf("%s: %d binds with the code, %v", name, n, err)
		}
	}
}
