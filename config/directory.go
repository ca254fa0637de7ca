package config

import (
	"bytes"
	"errors"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"lockstep/ldapsync/sealed"
)

// keyAttributes names the attribute that holds the key in each schema.
var keyAttributes = map[string]string{
	"oath":       "oathSecret",
	"freeipa":    "ipatokenOTPkey",
	"freeradius": "radiusControlAttribute",
	"ad":         "adminDescription",
}

func readDirectory(t *table) Directory {
	c := Directory{
		URLs:           t.list("url"),
		BaseDN:         t.text("base_dn", ""),
		BindDN:         t.text("bind_dn", ""),
		BindPassword:   t.secret("bind_password_file"),
		LoginAttribute: t.text("login_attribute", ""),
		Schema:         t.oneOf("schema", "oath", "freeipa", "freeradius", "ad", "custom"),
		KeyEncoding:    t.oneOf("key_encoding", "base32", "raw"),
		CA:             t.certificates("ca_file"),
		StartTLS:       t.flag("start_tls", false),
		Insecure:       t.flag("insecure", false),
		Timeout:        t.duration("timeout", 2*time.Second, 100*time.Millisecond, 30*time.Second),
		Pool:           t.count("pool", 64, 1, 128),
		Delegate:       t.flag("delegate", false),
		Follow:         t.oneOf("follow", "auto", "syncrepl", "poll"),
		AskPolicy:      t.oneOf("ask_policy", "auto", "always") == "always",
		Realm:          t.text("realm", ""),
		Attributes: Attributes{
			Algorithm: t.text("algorithm_attribute", ""),
			Digits:    t.text("digits_attribute", ""),
			Period:    t.text("period_attribute", ""),
			Serial:    t.text("serial_attribute", ""),
			Disabled:  t.text("disabled_attribute", ""),
		},
	}
	c.SealedOnly = !t.flag("plaintext_keys", c.Schema != "ad")
	if c.Follow == "auto" {
		c.Follow = ""
	}
	if domains := t.list("domains"); t.values["domains"] != nil {
		c.Domains = append([]string{}, domains...)
		for i, name := range domains {
			if strings.TrimSpace(name) == "" || strings.ContainsAny(name, `\@`) {
				t.fault(element("domains", i), `want a name such as "example.com" or "EXAMPLE"`)
			}
		}
	}
	c.KeyAttribute = t.text("key_attribute", keyAttributes[c.Schema])
	checkURLs(t, &c)
	checkNames(t, &c)
	checkAttributes(t, &c)
	readSealing(t, &c)
	checkDelegate(t, &c)
	return c
}

// readSealing reads the keys that TOTP keys are sealed with. The file of the
// private ones begins with the one that is to be used from now on.
func readSealing(t *table, c *Directory) {
	file := t.secret("sealing_key_file")
	if file.Len() > 0 {
		keys, err := sealed.ParsePrivate(file.Reveal())
		if err == nil {
			c.Keyring, err = sealed.NewKeyring(keys...)
			c.SealTo = keys[0].Public()
		}
		if err != nil {
			t.fault("sealing_key_file", "%v", err)
		}
	}
	if text := t.text("seal_to", ""); text != "" {
		key, err := sealed.ParsePublic(text)
		if err != nil {
			t.fault("seal_to", "%v", err)
		}
		c.SealTo = key
	}
	if c.SealedOnly && c.SealTo == nil {
		t.fault("sealing_key_file", "required without plaintext_keys, or seal_to where people are only enrolled; \"lockstep keygen\" makes the file")
	}
}

func checkDelegate(t *table, c *Directory) {
	if !c.Delegate {
		return
	}
	if c.Schema != "freeipa" && c.Schema != "oath" {
		t.fault("delegate", `goes with schema = "freeipa", or "oath" where OpenLDAP has the overlay otp`)
	}
	if !slices.ContainsFunc(c.URLs, isServer) {
		t.fault("delegate", "needs a server that checks codes")
	}
}

func checkURLs(t *table, c *Directory) {
	if len(c.URLs) == 0 {
		t.fault("url", `required; for example ["ldaps://ldap1.example.com"]`)
	}
	for i, text := range c.URLs {
		key := element("url", i)
		scheme, rest, _ := strings.Cut(text, ":")
		switch scheme {
		case "ldif":
			if rest == "" || strings.HasPrefix(rest, "//") {
				t.fault(key, `want "ldif:" and the name of a file, such as "ldif:directory.ldif"`)
			} else if len(c.URLs) > 1 {
				t.fault(key, "an LDIF file must be the only directory")
			}
			c.URLs[i] = "ldif:" + filepath.Clean(t.doc.absolute(rest))
		case "ldap", "ldaps", "ldapi":
			checkServer(t, key, text, c)
		default:
			t.fault(key, `want a URL with ldaps, ldap, ldapi or ldif, such as "ldaps://ldap1.example.com"`)
		}
	}
}

// checkServer checks the URL of a server. Its faults name the host at most:
// somebody may have put a password into the URL.
func checkServer(t *table, key, text string, c *Directory) {
	if rest, ok := strings.CutPrefix(text, "ldapi://"); ok {
		if path, err := url.PathUnescape(rest); err != nil || path != "" && path[0] != '/' {
			t.fault(key, `want a URL such as "ldapi:///run/slapd/ldapi"`)
		}
		return
	}
	host, err := serverHost(text)
	if err != nil {
		t.fault(key, "%v", err)
		return
	}
	if strings.HasPrefix(text, "ldap:") && !loopback(host) && !c.StartTLS && !c.Insecure {
		t.fault(key, "passwords would travel to %q in the clear: use ldaps://, or set start_tls = true, or accept it by insecure = true", host)
	}
}

// serverHost returns the host of an ldap or ldaps URL that has nothing but a
// host and a port.
func serverHost(text string) (string, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || u.Path != "" && u.Path != "/":
		return "", errors.New(`want a URL such as "ldaps://ldap1.example.com:636"`)
	case u.User != nil:
		return "", errors.New("want no user and no password in the URL; they belong in bind_dn and bind_password_file")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "", errors.New("want nothing after the host and port; the base is base_dn")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return "", errors.New("want a port from 1 to 65535")
		}
	}
	return u.Hostname(), nil
}

// loopback reports whether what is sent to host stays on this machine.
func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && addr.Unmap().IsLoopback()
}

// clear returns the URLs of servers that get passwords in the clear.
func (c *Directory) clear() (urls []string) {
	for _, text := range c.URLs {
		host, err := serverHost(text)
		if err == nil && strings.HasPrefix(text, "ldap:") && !loopback(host) && !c.StartTLS {
			urls = append(urls, text)
		}
	}
	return urls
}

func isServer(url string) bool { return strings.HasPrefix(url, "ldap") }

func checkNames(t *table, c *Directory) {
	const wantDN = `want a DN such as "dc=example,dc=com"`
	if c.BaseDN == "" && slices.ContainsFunc(c.URLs, isServer) {
		t.fault("base_dn", `required; for example "dc=example,dc=com"`)
	}
	if _, err := ldap.ParseDN(c.BaseDN); err != nil {
		t.fault("base_dn", wantDN)
	}
	if _, err := ldap.ParseDN(c.BindDN); err != nil {
		t.fault("bind_dn", wantDN)
	}
	file := t.text("bind_password_file", "")
	if c.BindDN != "" && file == "" {
		t.fault("bind_password_file", "required with bind_dn; name a file that only the server can read")
	}
	if c.BindDN == "" && file != "" {
		t.fault("bind_dn", "required with bind_password_file; whose password is it?")
	}
	// A server that stops at the NUL would take a shorter password for it.
	if bytes.IndexByte(c.BindPassword.Reveal(), 0) >= 0 {
		t.fault("bind_password_file", "a password cannot hold a NUL octet")
	}
}

// attributeDescription is RFC 4512, section 2.5: a name or an OID, and options.
var attributeDescription = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9-]*|[0-9]+(\.[0-9]+)+)(;[A-Za-z0-9-]+)*$`)

func checkAttributes(t *table, c *Directory) {
	if c.Schema == "custom" && c.KeyAttribute == "" {
		t.fault("key_attribute", `required with schema = "custom"; for example "oathSecret"`)
	}
	// With another schema there is no name to go by, and the schema is at fault.
	if (c.KeyAttribute != "" || keyAttributes[c.Schema] != "") && !attributeDescription.MatchString(c.KeyAttribute) {
		t.fault("key_attribute", `want the name of an attribute, such as "oathSecret"`)
	}
	if c.LoginAttribute != "" && !attributeDescription.MatchString(c.LoginAttribute) {
		t.fault("login_attribute", `want the name of an attribute, such as "uid"`)
	}
	a := c.Attributes
	for key, name := range map[string]string{"algorithm_attribute": a.Algorithm, "digits_attribute": a.Digits, "period_attribute": a.Period,
		"serial_attribute": a.Serial, "disabled_attribute": a.Disabled} {
		switch {
		case name == "":
		case c.Schema != "custom":
			t.fault(key, `goes with schema = "custom"; others have their own`)
		case !attributeDescription.MatchString(name):
			t.fault(key, "want the name of an attribute")
		}
	}
}
