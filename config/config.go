// Package config reads the configuration of the server: a TOML file, and the
// files with secrets and certificates that it names.
//
// It promises that a [Config] from [Load] is complete and checked: every value
// is in its documented range, every path is absolute, every secret is there.
// It promises that all faults of a file are reported at once, each with its
// line, and that no fault shows a secret, not even one that was put in the
// wrong place. It does not promise that what is named exists: directories,
// addresses, groups and databases are the business of those who use them.
//
// The file belongs to the administrator and is trusted to say who may log in.
// It is not trusted to be free of mistakes, nor is a secret file that others
// on the machine can read or change.
package config

import (
	_ "embed"
	"log/slog"
	"net/netip"
	"path/filepath"
	"time"

	"lockstep/internal/opaque"
	"lockstep/internal/secretfile"
	"lockstep/ldapsync/sealed"
)

// Example is a configuration that works once its addresses, names and secret
// files are those of the site. It documents every setting; those in lines that
// begin with "#" and no space have the default value there.
//
//go:embed lockstep.toml
var Example string

// Config is a checked configuration. It is not changed after Load, so that
// several goroutines may read it.
type Config struct {
	Path      string   // of the file, absolute
	Secrets   []string // the secret files that it names, absolute, in no order; one may be there twice
	Directory Directory
	Store     Store
	Radius    Radius
	Verifier  Verifier
	Admin     Admin
	Metrics   Metrics
	Audit     Audit
	Log       Log
}

// Directory says where accounts, keys and passwords are.
type Directory struct {
	URLs           []string     // ldap, ldaps or ldapi servers in order of preference; or one "ldif:" and an absolute path
	BaseDN         string       // never empty, except with an LDIF file
	BindDN         string       // empty for an anonymous bind
	BindPassword   opaque.Bytes // there if BindDN is; holds no NUL
	LoginAttribute string       // an attribute description (RFC 4512, section 2.5); "" for that of the schema
	Schema         string       // oath, freeipa, freeradius, ad or custom
	KeyAttribute   string       // as LoginAttribute
	KeyEncoding    string       // base32 or raw
	Attributes     Attributes   // of the schema custom
	Delegate       bool         // the directory checks the codes
	Follow         string       // "", syncrepl or poll
	AskPolicy      bool         // about password policies, also servers that seem to have none
	Domains        []string     // nil for those of the base DN

	Keyring    *sealed.Keyring   // nil opens no sealed keys
	SealTo     *sealed.PublicKey // that of the first key of Keyring unless said; nil writes keys in clear
	Realm      string            // "" for the base DN
	SealedOnly bool              // keys in clear are refused

	CA       []byte        // certificates in PEM; nil for those of the system
	StartTLS bool          // on ldap URLs; ldaps has TLS anyway, ldapi needs none
	Insecure bool          // ldap URLs without StartTLS are accepted; says nothing about certificates
	Timeout  time.Duration // of one operation at one server; 100 ms to 30 s
	Pool     int           // connections for password checks, 1 to 128
}

// Attributes name what a schema of one's own has beside the key; "" for none.
type Attributes struct{ Algorithm, Digits, Period, Serial, Disabled string }

// Radius says where the RADIUS server listens and to whom.
type Radius struct {
	Listen     []netip.AddrPort // one at least
	Accounting []netip.AddrPort // nil or empty for none; none of Listen
	Clients    []Client         // one at least; no two with one name or one Address
	Rules      []Rule           // in order; nil if everybody is accepted, without attributes
}

// Client is an appliance, or a network of them, that shares one secret.
type Client struct {
	Name                        string       // 1 to 64 printable characters
	Address                     netip.Prefix // masked, and IPv4 if it can be; the longest that matches counts
	Secret                      opaque.Bytes // one octet at least; any octets
	RequireMessageAuthenticator bool
	Factors                     string        // password+code or code
	Challenge                   bool          // never with Factors code
	Separator                   string        // "" or one printable ASCII character, no letter, digit or space
	RejectDelay                 time.Duration // 0 to 10 s
	TellNotEnrolled             bool          // a reject says so; everybody at the client can find out who is enrolled
	TellPasswordExpiry          bool          // an accept says when the password expires, if the directory does
}

// Verifier says how codes are looked at.
type Verifier struct {
	MaxFailures int  // in a row, until an account is locked; 5 to 100
	ForwardOnly bool // a code is refused once a later one was used
	TrustClock  bool // devices' clocks are learned though the kernel calls its own unsynchronised
}

// Admin says where the admin socket is.
type Admin struct {
	Socket string // absolute, 107 octets at most; empty for none
	Group  string // whose members may use it; empty for nobody but the server's own user
}

// Log says what is logged, and how.
type Log struct {
	Level  slog.Level
	Format string // text or json
}

// Load reads the configuration at path, checks all of it and reads the secret
// and certificate files. An error is always of type [Faults], also where the
// file itself cannot be read.
func Load(path string) (*Config, error) {
	return loadWith(path, files{secret: secretfile.Read, public: readPublic})
}

// LoadDirectory is Load for where people are enrolled and no server runs: a file
// without any table [radius] will do. Without one there are no Clients.
func LoadDirectory(path string) (*Config, error) {
	return loadWith(path, files{secret: secretfile.Read, public: readPublic, clientless: true})
}

// LoadAdmin reads no more of the configuration than [admin], for those who may use
// the socket and need not be able to read any secret. An error is of type [Faults].
func LoadAdmin(path string) (Admin, error) {
	text, err := readPublic(path)
	if err != nil {
		return Admin{}, Faults{{File: path, Message: "cannot read the configuration: " + err.Error()}}
	}
	d, values, err := open(path, string(text), files{})
	if err != nil {
		return Admin{}, err
	}
	c := readAdmin(d.table("", values).sub("admin"))
	if faults := d.sorted(); len(faults) > 0 {
		return Admin{}, faults
	}
	return c, nil
}

func loadWith(path string, files files) (*Config, error) {
	text, err := readPublic(path)
	if err != nil {
		return nil, Faults{{File: path, Message: "cannot read the configuration: " + err.Error()}}
	}
	return parse(path, string(text), files)
}

// parse is Load for the text of a file at path.
func parse(path, text string, files files) (*Config, error) {
	d, values, err := open(path, text, files)
	if err != nil {
		return nil, err
	}
	c := d.read(values)
	c.Path = filepath.Join(d.dir, filepath.Base(path))
	if faults := d.sorted(); len(faults) > 0 {
		return nil, faults
	}
	return c, nil
}

// open makes a document of the text of a file at path.
func open(path, text string, files files) (*document, map[string]any, error) {
	values, fault := decode(text)
	if fault != nil {
		fault.File = path
		return nil, nil, Faults{*fault}
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, nil, Faults{{File: path, Message: "cannot tell the current directory: " + err.Error()}}
	}
	return &document{file: path, dir: filepath.Dir(absolute), places: indexKeys(text), files: files, faulty: map[string]bool{}}, values, nil
}

func (d *document) read(values map[string]any) *Config {
	top := d.table("", values)
	c := &Config{
		Directory: readDirectory(top.sub("directory")),
		Store:     readStore(top.sub("store")),
		Radius:    readRadius(top.sub("radius")),
		Verifier:  readVerifier(top.sub("verifier")),
		Admin:     readAdmin(top.sub("admin")),
		Metrics:   readMetrics(top.sub("metrics")),
		Audit:     readAudit(top.sub("audit")),
		Log:       readLog(top.sub("log")),
	}
	c.Secrets = d.secrets
	d.unknown()
	return c
}
