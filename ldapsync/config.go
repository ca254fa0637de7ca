package ldapsync

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"lockstep/internal/opaque"
	"lockstep/ldapsync/ldif"
	"lockstep/ldapsync/sealed"
)

// Config says which directory and how. The zero value of a field is usable
// where it says so.
type Config struct {
	// URLs are LDAP servers of one directory, in order of preference:
	// ldap://host[:port], ldaps://host[:port] or ldapi://%2Fpath. Or one
	// "ldif:/path" alone, a file.
	URLs []string

	BaseDN       string // entries at and below it; required for LDAP, "" is all of a file
	BindDN       string // the service account that reads the directory; "" is anonymous
	BindPassword opaque.Bytes

	LoginAttribute string // "" is "uid", or "sAMAccountName" for "ad"
	Schema         string // "oath", "freeipa", "freeradius", "ad" or "custom"; "" is "oath"
	KeyAttribute   string // "" is that of the schema; required for "custom"
	KeyEncoding    string // "base32" or "raw"; "" is "base32"

	// Attributes of the schema "custom", beside the key. "" is none.
	AlgorithmAttribute string // "SHA1", "SHA256" or "SHA512", in any case, also behind "HMAC-"
	DigitsAttribute    string
	PeriodAttribute    string // seconds
	SerialAttribute    string
	DisabledAttribute  string // TRUE or 1: the token does not count

	// Delegate leaves the code to the directory: it is sent behind the password
	// in the user's bind. For "freeipa", and "oath" with OpenLDAP's overlay otp.
	Delegate bool

	// Domains may stand before or after a login name: `DOMAIN\alice` and
	// alice@domain are alice. In any case; empty is none, and nil stands for
	// those of the base DN: example.com and EXAMPLE for dc=example,dc=com.
	Domains []string

	Keyring    *sealed.Keyring   // opens sealed keys; nil opens none
	SealTo     *sealed.PublicKey // what Enroll seals keys to; nil writes them in clear
	Realm      string            // what sealed keys are bound to, beside the user; "" is the normalised base DN, or "ldif" if there is none
	SealedOnly bool              // keys in clear are refused

	// Follow says how changes are noticed: "syncrepl" (RFC 4533), "poll", or ""
	// for whichever the server can.
	Follow string

	// AskPolicy has every server asked about the password's policy at each bind, also
	// OpenLDAP that seems to have none, which then logs each question.
	AskPolicy bool

	CA       []byte // PEM, trusted instead of the system's; nil is the system's
	StartTLS bool   // with ldap://; others have TLS or need none, and disregard it
	Insecure bool   // allows ldap:// without StartTLS to other hosts

	Timeout time.Duration // for one connect, bind or step of a search; 0 is 3 s
	Pool    int           // most binds at once, and connections for them, made as they are needed; 0 is 64. 256 more may wait for one

	Log *slog.Logger     // nil discards
	Now func() time.Time // nil is time.Now

	pace pace // for tests
}

// pace is how often the source is looked at. Zero fields get the value beside.
type pace struct {
	changes time.Duration // 1 s, search for what has changed
	full    time.Duration // 60 s, full refresh, where deletions are not told
	whole   time.Duration // 6 h, full refresh, where they are
	watch   time.Duration // 30 s, see whether a quiet server is still there
	stall   time.Duration // 30 s, longest wait for the next message of a refresh
	file    time.Duration // 500 ms, look at the file
}

func (c Config) withDefaults() Config {
	c.Schema = or(c.Schema, "oath")
	c.Realm = or(c.Realm, or(normalizeDN(c.BaseDN), "ldif"))
	if c.Domains == nil {
		c.Domains = domainsOf(c.BaseDN)
	}
	c.Timeout = or(c.Timeout, 3*time.Second)
	c.Pool = or(c.Pool, 64)
	c.Log = or(c.Log, slog.New(slog.DiscardHandler))
	if c.Now == nil {
		c.Now = time.Now
	}
	c.pace.changes = or(c.pace.changes, time.Second)
	c.pace.full = or(c.pace.full, time.Minute)
	c.pace.whole = or(c.pace.whole, 6*time.Hour)
	c.pace.watch = or(c.pace.watch, 30*time.Second)
	c.pace.stall = or(c.pace.stall, 30*time.Second)
	c.pace.file = or(c.pace.file, 500*time.Millisecond)
	return c
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// check returns the schema of c, or all that is wrong with c.
func (c Config) check() (schema, error) {
	s, err := newSchema(c)
	faults := []error{err}
	fault := func(format string, a ...any) { faults = append(faults, fmt.Errorf(format, a...)) }
	if len(c.URLs) == 0 {
		fault("no directory URL")
	}
	for _, u := range c.URLs {
		if path, ok := strings.CutPrefix(u, "ldif:"); ok {
			if len(c.URLs) > 1 {
				fault("%q: a file cannot be combined with other URLs", u)
			}
			if !filepath.IsAbs(path) {
				fault("%q: want an absolute path, such as ldif:/etc/lockstep/directory.ldif", u)
			}
		} else if err := c.checkServer(u); err != nil {
			fault("%q: %w", redactURL(u), err)
		}
	}
	if !c.isFile() {
		faults = append(faults, c.checkBind()...)
	}
	if c.BaseDN != "" {
		if _, err := ldif.NormalizeDN(c.BaseDN); err != nil {
			fault("base DN %q: %w", c.BaseDN, err)
		}
	}
	if c.Follow != "" && c.Follow != "syncrepl" && c.Follow != "poll" {
		fault("follow %q: want syncrepl or poll", c.Follow)
	}
	if c.Timeout < 0 || c.Pool < 0 {
		fault("timeout and pool cannot be negative")
	}
	return s, errors.Join(faults...)
}

func (c Config) isFile() bool { return len(c.URLs) == 1 && strings.HasPrefix(c.URLs[0], "ldif:") }

func (c Config) checkBind() (faults []error) {
	if c.BaseDN == "" {
		faults = append(faults, errors.New("no base DN"))
	}
	if c.BindDN != "" && c.BindPassword.Len() == 0 {
		faults = append(faults, fmt.Errorf("no password for bind DN %q: the server would take the bind as anonymous", c.BindDN))
	}
	if c.CA != nil && !x509.NewCertPool().AppendCertsFromPEM(c.CA) {
		faults = append(faults, errors.New("no certificate in the CA file; want PEM"))
	}
	return faults
}

func (c Config) checkServer(raw string) error {
	u, err := parseServerURL(raw)
	if err != nil {
		return err
	}
	if u.Scheme == "ldap" && !c.StartTLS && !c.Insecure && !loopback(u.Hostname()) {
		return errors.New("passwords would cross the network in clear: use ldaps://, or set StartTLS, or Insecure")
	}
	return nil
}

// parseServerURL parses the URL of an LDAP server. That of ldapi comes back
// with the path of its socket as Path, and no Host.
func parseServerURL(raw string) (*url.URL, error) {
	if rest, ok := strings.CutPrefix(raw, "ldapi://"); ok {
		path, err := url.PathUnescape(rest)
		if err != nil || !filepath.IsAbs(path) {
			return nil, errors.New("want ldapi:// and the path of a socket, such as ldapi://%2Frun%2Fslapd%2Fldapi")
		}
		return &url.URL{Scheme: "ldapi", Path: path}, nil
	}
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "ldap" && u.Scheme != "ldaps" || u.Hostname() == "" {
		return nil, errors.New("want ldap://host, ldaps://host, ldapi://path or ldif:/path")
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return nil, errors.New("want scheme, host and port only")
	}
	return u, nil
}

// redactURL leaves out what may be a password in a URL that was refused.
func redactURL(raw string) string {
	if u, err := url.Parse(raw); err == nil {
		return u.Redacted()
	}
	scheme, _, _ := strings.Cut(raw, ":")
	return scheme + ":..."
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback() || strings.EqualFold(host, "localhost")
}

// tlsFor returns the TLS settings for the server that u names.
func (c Config) tlsFor(u *url.URL) *tls.Config {
	t := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: u.Hostname()}
	if c.CA != nil {
		t.RootCAs = x509.NewCertPool()
		t.RootCAs.AppendCertsFromPEM(c.CA)
	}
	return t
}
