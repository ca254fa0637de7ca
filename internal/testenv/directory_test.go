package testenv

import (
	"crypto/tls"
	"crypto/x509"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// testSurvives holds a server to what Stop, Start, Kill, Freeze and Thaw
// promise, by an entry that binds with password.
func testSurvives(t *testing.T, d *Directory, dn, password string) {
	t.Helper()
	c := d.As(t, dn, password)
	c.SetTimeout(200 * time.Millisecond)
	d.Freeze(t)
	if _, err := c.WhoAmI(nil); !ldap.IsErrorWithCode(err, ldap.ErrorNetwork) {
		t.Errorf("what a frozen server says: %v", err)
	}
	d.Thaw(t)
	if err := d.Bind(t, dn, password); err != nil {
		t.Errorf("bind after Thaw: %v", err)
	}
	for name, end := range map[string]func(testing.TB){"Stop": d.Stop, "Kill": d.Kill} {
		end(t)
		if _, err := ldap.DialURL(d.URL); err == nil {
			t.Errorf("still there after %s", name)
		}
		end(t)
		d.Start(t)
		if err := d.Bind(t, dn, password); err != nil {
			t.Errorf("bind after %s and Start: %v", name, err)
		}
	}
}

// testTLS holds a server to its certificate.
func testTLS(t *testing.T, d *Directory) {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(d.CA) {
		t.Fatalf("no certificate in %q", d.CA)
	}
	c, err := ldap.DialURL(d.TLSURL, ldap.DialWithTLSConfig(&tls.Config{RootCAs: roots}))
	if err != nil {
		t.Errorf("%s: %v", d.TLSURL, err)
		return
	}
	defer c.Close()
	if err := c.Bind(d.ServiceDN, d.ServicePassword); err != nil {
		t.Errorf("bind over TLS: %v", err)
	}
	if c, err := ldap.DialURL(d.TLSURL, ldap.DialWithTLSConfig(&tls.Config{RootCAs: x509.NewCertPool()})); err == nil {
		c.Close()
		t.Error("the certificate is of a CA of the machine")
	}
}

// testFollows holds a server that has enrolled alice to RFC 4533.
func testFollows(t *testing.T, d *Directory) {
	t.Helper()
	const alice = "uid=alice,ou=people,dc=example,dc=org"
	f := follow(t, d, "(oathSecret=*)", "uid", "oathSecret")
	f.until("refresh ")
	d.Modify(t, "dn: "+alice+"\nreplace: oathSecret\noathSecret: new\n")
	f.until("modify " + alice)
	// A change of what was not asked for is told, too.
	d.Modify(t, "dn: "+alice+"\nreplace: description\ndescription: new\n")
	f.until("modify " + alice + " uid=alice oathSecret=new")
	d.Modify(t, "dn: "+alice+"\ndelete: oathSecret\n")
	f.until("delete " + alice)
	d.Modify(t, "dn: "+alice+"\nadd: oathSecret\noathSecret: back\n")
	f.until("add " + alice)
	d.Modify(t, "dn: "+alice+"\nchangetype: modrdn\nnewrdn: uid=alicia\ndeleteoldrdn: 1\n")
	f.until("modify uid=alicia")
	d.Modify(t, "dn: uid=alicia,ou=people,dc=example,dc=org\nchangetype: delete\n")
	f.until("delete uid=alicia")
}
