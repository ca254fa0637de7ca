package ldapsync

import (
	"errors"
	"strings"
	"testing"
	"time"

	"lockstep/internal/opaque"
	"lockstep/internal/testenv"
)

func probeOne(t *testing.T, c Config) Probe {
	t.Helper()
	c.Timeout = 5 * time.Second
	all := open(t, c).Probe(t.Context())
	if len(all) != len(c.URLs) {
		t.Fatalf("%d probes of %d servers", len(all), len(c.URLs))
	}
	return all[0]
}

// What a real slapd is found to be like, by how it is configured.
func TestProbe(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		options []testenv.SlapdOption
		check   func(t *testing.T, p Probe)
	}{
		{"all is well", nil, func(t *testing.T, p Probe) {
			if p.Cut != nil || !p.All || p.Found != 3 || p.Syncs || !p.Local || p.TLS || p.Bind <= 0 || p.Connect <= 0 || p.Search <= 0 {
				t.Errorf("%+v", p)
			}
			k := p.Keys
			if k.Entries != 3 || k.Service != Granted || k.Anonymous != Denied || k.AnonymousFinds != Denied || k.AnonymousWrites != Denied {
				t.Errorf("%+v", k)
			}
		}},
		{"a size limit, of a server that is polled", []testenv.SlapdOption{testenv.WithSizeLimit(2)}, func(t *testing.T, p Probe) {
			if p.All || p.Cut == nil || !strings.Contains(p.Cut.Error(), "raise the limits of the service account") {
				t.Errorf("%+v", p)
			}
		}},
		{"a size limit, of a server that tells of changes", []testenv.SlapdOption{testenv.WithSizeLimit(2), testenv.WithSyncprov()}, func(t *testing.T, p Probe) {
			if !p.Syncs || p.All || p.Found != 2 || p.Cut == nil || !strings.Contains(p.Cut.Error(), "size=unlimited") {
				t.Errorf("%+v", p)
			}
		}},
		{"the key is hidden from the service account", []testenv.SlapdOption{testenv.WithAccess("access to attrs=oathSecret by * none")}, func(t *testing.T, p Probe) {
			if k := p.Keys; k.Entries != 0 || !k.Keyless {
				t.Errorf("%+v", k)
			}
		}},
		{"the service account may search by the key, and not read it", []testenv.SlapdOption{testenv.WithAccess("access to attrs=oathSecret by dn.exact=%s search by * none")}, func(t *testing.T, p Probe) {
			if k := p.Keys; k.Entries != 3 || k.Service != Denied {
				t.Errorf("%+v", k)
			}
		}},
		{"everybody may read keys", []testenv.SlapdOption{testenv.WithAccess("access to attrs=entry,objectClass,oathSecret by * read")}, func(t *testing.T, p Probe) {
			if k := p.Keys; k.Anonymous != Granted || k.AnonymousFinds != Granted || k.AnonymousWrites != Denied {
				t.Errorf("%+v", k)
			}
		}},
		{"everybody may read keys of whom they know the name", []testenv.SlapdOption{testenv.WithAccess(`access to dn.one="ou=people,dc=example,dc=org" attrs=entry,objectClass,oathSecret by * read`)}, func(t *testing.T, p Probe) {
			if k := p.Keys; k.Anonymous != Granted {
				t.Errorf("%+v", k)
			}
		}},
		{"everybody may search by keys", []testenv.SlapdOption{testenv.WithAccess("access to attrs=entry by * read\naccess to attrs=oathSecret by dn.exact=%s read by * search")}, func(t *testing.T, p Probe) {
			if k := p.Keys; k.Anonymous != Denied || k.AnonymousFinds != Granted {
				t.Errorf("%+v", k)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := testenv.Slapd(t, tt.options...)
			s.Add(t, enrolled("alice")+enrolled("bob")+enrolled("carol")+person("dave"))
			tt.check(t, probeOne(t, configFor(s)))
		})
	}
}

func TestProbeOfTLS(t *testing.T) {
	t.Parallel()
	s := testenv.Slapd(t, testenv.WithTLSFor(90*24*time.Hour, 3*24*time.Hour))
	for _, tt := range []struct {
		name, url string
		start     bool
		believed  bool
	}{
		{"ldaps", s.TLSURL, false, true},
		{"StartTLS", s.URL, true, true},
		{"ldaps by a CA that is not trusted", s.TLSURL, false, false},
		{"StartTLS by a CA that is not trusted", s.URL, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := configFor(s, tt.url)
			c.StartTLS = tt.start
			if tt.believed {
				c.CA = s.CA
			}
			p := probeOne(t, c)
			if (p.Refused == nil) != tt.believed || !p.TLS || p.Certificate == nil || p.Certificate.Subject.CommonName != "localhost" {
				t.Fatalf("%+v", p)
			}
			if left := time.Until(p.Certificate.NotAfter); left > 3*24*time.Hour || left < 2*24*time.Hour {
				t.Errorf("%v left", left)
			}
		})
	}
}

func TestProbeOfWhatIsAway(t *testing.T) {
	t.Parallel()
	s := testenv.Slapd(t)
	c := configFor(s)
	c.BindPassword = opaque.Text("wrong")
	if p := probeOne(t, c); p.Refused != nil || p.BindRefused == nil || strings.Contains(p.BindRefused.Error(), "wrong") {
		t.Errorf("a wrong password: %+v", p)
	}
	c = configFor(s, s.URL, "ldap://127.0.0.1:1")
	if all := open(t, c).Probe(t.Context()); all[0].Refused != nil || all[1].Refused == nil || all[1].Found != 0 {
		t.Errorf("one of two: %+v", all)
	}
}

// Rights of ordinary users, as their own bind shows them.
func TestProbeAs(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, access string
		who          string
		want         UserProbe
	}{
		{"people read their own entry", "", "alice", UserProbe{Enrolled: true, ReadsOwn: Granted, WritesOwn: Denied, ReadsOther: Denied, FindsOther: Denied, WritesOther: Denied, Others: 1}},
		{"nobody but the service account", "access to attrs=oathSecret by dn.exact=%s read by * none", "alice",
			UserProbe{Enrolled: true, ReadsOwn: Denied, WritesOwn: Denied, ReadsOther: Denied, FindsOther: Denied, WritesOther: Denied, Others: 1}},
		{"people write their own key", "access to attrs=oathSecret by dn.exact=%s read by self =w by * none", "alice",
			UserProbe{Enrolled: true, ReadsOwn: Denied, WritesOwn: Granted, ReadsOther: Denied, FindsOther: Denied, WritesOther: Denied, Others: 1}},
		{"people write their first key", "access to attrs=oathSecret by dn.exact=%s read by self =w by * none", "dave",
			UserProbe{ReadsOwn: Untold, WritesOwn: Granted, ReadsOther: Denied, FindsOther: Denied, WritesOther: Denied, Others: 2}},
		{"all who are bound read keys", "access to attrs=entry,oathSecret by users write by * none", "dave",
			UserProbe{ReadsOwn: Untold, WritesOwn: Granted, ReadsOther: Granted, FindsOther: Granted, WritesOther: Granted, Others: 2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var options []testenv.SlapdOption
			if tt.access != "" {
				options = append(options, testenv.WithAccess(tt.access))
			}
			s := testenv.Slapd(t, options...)
			s.Add(t, enrolled("alice")+enrolled("bob")+person("dave"))
			d := open(t, configFor(s))
			got, err := d.ProbeAs(t.Context(), tt.who, opaque.Text(tt.who+"-pw"))
			want := tt.want
			want.URL, want.DN, want.Attribute = s.URL, dn(tt.who), "oathSecret"
			if err != nil || got != want {
				t.Errorf("%+v, %v\nwant %+v", got, err, want)
			}
			// Nothing was changed by trying.
			if r := refreshed(t, configFor(s)); !has(r, "alice") || !has(r, "bob") || has(r, "dave") {
				t.Error("an entry has changed")
			}
			if _, err := d.ProbeAs(t.Context(), tt.who, opaque.Text("wrong")); !isRefused(err) {
				t.Errorf("a wrong password: %v", err)
			}
		})
	}
}

func isRefused(err error) bool {
	refused := (*PasswordError)(nil)
	return errors.As(err, &refused)
}
