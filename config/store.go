package config

import (
	"crypto/tls"
	"net/url"
	"slices"
	"strings"

	"lockstep/internal/opaque"
)

// Store says where spent steps and counters are kept.
type Store struct {
	Engine string // bolt or etcd
	Path   string // of the database of bolt; absolute
	Etcd   Etcd   // there are Endpoints if Engine is etcd; it may be whole beside bolt, for copying
}

// Etcd says where a cluster of etcd is, and who the server is to it.
type Etcd struct {
	Endpoints   []string         // URLs with http or https, a host and a port; nil for no cluster
	Name        string           // of this server among those of the cluster; empty for one made of the machine's and where it listens
	Prefix      string           // of all keys; begins and ends with a slash
	CA          []byte           // certificates in PEM; nil for those of the system
	Certificate *tls.Certificate // of this server, to the cluster; nil for none
	User        string           // of etcd's own authentication; empty for none
	Password    opaque.Bytes     // there if User is
	Compact     bool             // history is thrown away; wrong where others use the cluster, too
	Insecure    bool             // http to other machines is accepted
}

// maxPrefix leaves etcd's keys room for what follows it.
const maxPrefix = 128

func readStore(t *table) Store {
	c := Store{
		Engine: t.oneOf("engine", "bolt", "etcd"),
		Path:   t.doc.absolute(t.text("path", "/var/lib/lockstep/state.db")),
		Etcd:   readEtcd(t),
	}
	if c.Path == "" {
		t.fault("path", `required; for example "/var/lib/lockstep/state.db"`)
	}
	if c.Engine == "etcd" && len(c.Etcd.Endpoints) == 0 {
		t.fault("endpoints", `required with engine = "etcd"; for example ["https://etcd1.example.com:2379"]`)
	}
	return c
}

func readEtcd(t *table) Etcd {
	c := Etcd{
		Endpoints: t.list("endpoints"),
		Name:      t.text("name", ""),
		Prefix:    t.text("prefix", "/lockstep/"),
		CA:        t.certificates("ca_file"),
		User:      t.text("user", ""),
		Password:  t.secret("password_file"),
		Compact:   t.flag("compact", true),
		Insecure:  t.flag("insecure", false),
	}
	c.Certificate = clientCertificate(t)
	if n := len(c.Prefix); n < 2 || n > maxPrefix || c.Prefix[0] != '/' || c.Prefix[n-1] != '/' {
		t.fault("prefix", `want 2 to %d octets, the first and the last a slash, such as "/lockstep/"`, maxPrefix)
	}
	if file := t.text("password_file", ""); (c.User == "") != (file == "") {
		t.fault("password_file", "user and password_file go together")
	}
	for i, text := range c.Endpoints {
		checkEndpoint(t, element("endpoints", i), text, c)
	}
	return c
}

// checkEndpoint checks the URL of a member. Its faults show nothing of it but the
// host: somebody may have put a password into the URL.
func checkEndpoint(t *table, key, text string, c Etcd) {
	const want = `want a URL with https or http, a host and a port, such as "https://etcd1.example.com:2379"`
	u, err := url.Parse(text)
	switch {
	case err == nil && u.User != nil:
		t.fault(key, "want no user and no password in the URL; they belong in user and password_file")
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Port() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		t.fault(key, want)
	case u.Scheme == "http" && !loopback(u.Hostname()) && !c.Insecure:
		t.fault(key, "whoever is between could read the keys that servers share and make spent codes good again at %q: use https://, or accept it by insecure = true", u.Hostname())
	case u.Scheme == "http" && c.Certificate != nil:
		t.fault(key, "a certificate needs https://")
	}
}

// clientCertificate returns the certificate that cert_file and key_file hold, nil
// if they name none.
func clientCertificate(t *table) *tls.Certificate {
	certFile, key := t.text("cert_file", ""), t.secret("key_file")
	keyFile := t.text("key_file", "")
	if certFile == "" && keyFile == "" {
		return nil
	}
	if certFile == "" || keyFile == "" {
		t.fault("cert_file", "cert_file and key_file go together")
		return nil
	}
	pem, err := t.doc.files.public(t.doc.absolute(certFile))
	if err != nil {
		t.fault("cert_file", "cannot read the file: %v", err)
		return nil
	}
	pair, err := tls.X509KeyPair(pem, key.Reveal())
	if err != nil {
		// What the error says may be part of a file that is not what it should be.
		t.fault("cert_file", "the certificate and the private key of key_file, both in PEM, do not make a pair")
		return nil
	}
	return &pair
}

// clear returns the endpoints whose traffic others can read and change.
func (c Etcd) clear() []string {
	return slices.DeleteFunc(slices.Clone(c.Endpoints), func(text string) bool {
		u, err := url.Parse(text)
		return err != nil || u.Scheme != "http" || loopback(u.Hostname())
	})
}
