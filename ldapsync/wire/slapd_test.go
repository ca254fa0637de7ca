package wire_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"lockstep/internal/opaque"
	"lockstep/internal/testenv"
	"lockstep/ldapsync/wire"
)

// person is the LDIF of somebody enrolled.
func person(uid string) string {
	return fmt.Sprintf("dn: uid=%[1]s,ou=people,dc=example,dc=org\nobjectClass: inetOrgPerson\nobjectClass: oathTOTPToken\n"+
		"uid: %[1]s\ncn: %[1]s\nsn: %[1]s\noathSecret: key of %[1]s\n\n", uid)
}

func change(uid string, lines ...string) string {
	return fmt.Sprintf("dn: uid=%s,ou=people,dc=example,dc=org\nchangetype: %s\n", uid, strings.Join(lines, "\n"))
}

// bound is a connection to s as the service account.
func bound(t *testing.T, s *testenv.SlapdServer, secure bool) *wire.Conn {
	t.Helper()
	raw, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "ldap://"))
	if err != nil {
		t.Fatal(err)
	}
	c := wire.New(raw, wire.Options{})
	t.Cleanup(func() { c.Close() })
	if secure {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(s.CA)
		if err := c.StartTLS(t.Context(), &tls.Config{RootCAs: pool, ServerName: "localhost"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Bind(t.Context(), s.ServiceDN, opaque.Text(s.ServicePassword)); err != nil {
		t.Fatal(err)
	}
	return c
}

func enrolled(s *testenv.SlapdServer) wire.Search {
	return wire.Search{Base: s.BaseDN, Scope: wire.ScopeSubtree, Filter: "(oathSecret=*)", Attributes: []string{"uid", "oathSecret"}}
}

// event is what a message of slapd says, with the key but without UUID and
// cookie.
func event(t *testing.T, c *wire.Conn) (what string, id [16]byte, cookie string) {
	t.Helper()
	m, err := c.Next(20 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	id, cookie = m.UUID, string(m.Cookie)
	m.UUID, m.Cookie = [16]byte{}, nil
	return show(m), id, cookie
}

func TestRefreshAndPersist(t *testing.T) {
	t.Parallel()
	s := testenv.Slapd(t, testenv.WithSyncprov(), testenv.WithTLS())
	s.Add(t, person("alice")+person("bob"))
	for name, secure := range map[string]bool{"in clear": false, "under TLS": true} {
		t.Run(name, func(t *testing.T) {
			c := bound(t, s, secure)
			request := enrolled(s)
			request.Sync = &wire.SyncRequest{Persist: true}
			if err := c.Search(t.Context(), request); err != nil {
				t.Fatal(err)
			}
			ids := map[string][16]byte{}
			for _, uid := range []string{"alice", "bob"} {
				want := fmt.Sprintf(`entry "uid=%[1]s,ou=people,dc=example,dc=org" uid=["%[1]s"] oathSecret=["key of %[1]s"] state 1 0000000000000000`, uid)
				got, id, _ := event(t, c)
				if got != want || id == [16]byte{} {
					t.Errorf("got %s with %x, want %s", got, id, want)
				}
				ids[uid] = id
			}
			if got, _, cookie := event(t, c); got != "info delete refreshDone" || !strings.HasPrefix(cookie, "rid=000,csn=") {
				t.Errorf("at the end of the refresh: %s with cookie %q", got, cookie)
			}
			if _, err := c.Next(10 * time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("nothing has changed: %v", err)
			}
			const dn = ",ou=people,dc=example,dc=org"
			for _, step := range []struct{ change, uid, want string }{
				{change("alice", "modify", "replace: oathSecret", "oathSecret: new", "-"), "alice", `entry "uid=alice` + dn + `" uid=["alice"] oathSecret=["new"] state 2 0000000000000000`},
				{change("alice", "modrdn", "newrdn: uid=alicia"), "alice", `entry "uid=alicia` + dn + `" oathSecret=["new"] uid=["alicia"] state 2 0000000000000000`},
				{change("alicia", "modify", "delete: oathSecret", "-"), "alice", `entry "uid=alicia` + dn + `" state 3 0000000000000000`},
				{change("bob", "delete"), "bob", `entry "uid=bob` + dn + `" state 3 0000000000000000`},
				{"dn: ou=people,dc=example,dc=org\nchangetype: modify\nadd: description\ndescription: x\n-\n", "", "info cookie"},
			} {
				s.Modify(t, step.change)
				got, id, cookie := event(t, c)
				if got != step.want || id != ids[step.uid] || !strings.HasPrefix(cookie, "rid=000,csn=") {
					t.Errorf("after %s\ngot  %s with %x, cookie %q\nwant %s with %x", step.change, got, id, cookie, step.want, ids[step.uid])
				}
			}
			// As it was, for the next.
			s.Modify(t, change("alicia", "delete"))
			s.Modify(t, "dn: ou=people,dc=example,dc=org\nchangetype: modify\ndelete: description\n-\n")
			s.Add(t, person("alice")+person("bob"))
		})
	}
}

func TestResume(t *testing.T) {
	t.Parallel()
	s := testenv.Slapd(t, testenv.WithSyncprov())
	s.Add(t, person("alice")+person("bob")+person("carol"))
	request := enrolled(s)
	request.Sync = &wire.SyncRequest{}
	first := bound(t, s, false)
	if err := first.Search(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	var got, cookie string
	var bob [16]byte
	for !strings.HasPrefix(got, "done") {
		var id [16]byte
		if got, id, cookie = event(t, first); strings.Contains(got, "uid=bob") {
			bob = id
		}
	}
	if got != `done 0 "" sync refreshDeletes` && got != `done 0 "" sync` || cookie == "" {
		t.Errorf("refresh ends with %s, cookie %q", got, cookie)
	}
	s.Modify(t, change("bob", "delete"))
	request.Sync = &wire.SyncRequest{Cookie: []byte(cookie)}
	if err := first.Search(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	m, err := first.Next(20 * time.Second)
	if err != nil || m.InfoKind != wire.IDSet || !m.RefreshDeletes || len(m.UUIDs) != 1 || m.UUIDs[0] != bob {
		t.Errorf("after the delete of %x: %+v, %v", bob, m, err)
	}
}

func TestLimitsAndRefusals(t *testing.T) {
	t.Parallel()
	s := testenv.Slapd(t, testenv.WithSizeLimit(2))
	s.Add(t, person("alice")+person("bob")+person("carol"))
	c := bound(t, s, false)
	for _, tt := range []struct {
		name   string
		change func(*wire.Search)
		want   []string
	}{
		{"size limit", func(r *wire.Search) {}, []string{"entry", "entry", "done 4"}},
		{"pages within the limit", func(r *wire.Search) { r.Filter, r.Page = "(uid=bob)", &wire.Page{Size: 1} }, []string{"entry", `done 0 "" page ""`}},
		{"first of several pages", func(r *wire.Search) { r.Page = &wire.Page{Size: 1} }, []string{"entry", `done 0 "" page "`}},
		{"no syncprov", func(r *wire.Search) { r.Sync = &wire.SyncRequest{} }, []string{"done 12"}},
		{"no such base", func(r *wire.Search) { r.Base = "ou=nowhere," + r.Base }, []string{"done 32"}},
		{"elsewhere", func(r *wire.Search) { r.Base = "dc=example,dc=com" }, []string{"done 32"}},
	} {
		request := enrolled(s)
		tt.change(&request)
		if err := c.Search(t.Context(), request); err != nil {
			t.Fatal(err)
		}
		for _, want := range tt.want {
			if got, _, _ := event(t, c); !strings.HasPrefix(got, want) {
				t.Errorf("%s: got %s, want %s", tt.name, got, want)
			}
		}
	}
	err := c.Bind(t.Context(), s.ServiceDN, opaque.Text("wrong"))
	if refused := new(wire.ResultError); !errors.As(err, &refused) || refused.Code != 49 {
		t.Errorf("wrong password: %v", err)
	}
}
