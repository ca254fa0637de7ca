package config

import (
	"fmt"
	"os"
	"strings"
)

// shortSecret is the length in octets up to which a RADIUS secret is short.
// RFC 2865, section 3, prefers 16 and more; those up to 12 can be searched for
// by whoever sees one packet.
const shortSecret = 12

// Warnings returns what c allows although it is risky, a sentence each, nil if
// nothing. It names clients, servers and files and shows no secrets. It looks at
// the mode of an LDIF file as that is at the call; one that cannot be looked at
// is left to whoever reads it.
func (c *Config) Warnings() (warnings []string) {
	warn := func(format string, args ...any) { warnings = append(warnings, fmt.Sprintf(format, args...)) }
	for _, url := range c.Directory.clear() {
		warn("directory %s gets passwords in the clear (insecure = true)", url)
	}
	for _, path := range c.Directory.exposed() {
		warn("others have access to the directory file, which holds keys; chmod 640 %q", path)
	}
	if c.Store.Engine == "etcd" {
		for _, url := range c.Store.Etcd.clear() {
			warn("store %s is asked in the clear (insecure = true)", url)
		}
	} else if len(c.Store.Etcd.Endpoints) > 0 {
		warn("store.endpoints is not used with engine = %q, but by \"lockstep store copy\"", c.Store.Engine)
	}
	if c.Audit.clear() {
		warn("audit trail goes to %s in the clear, with the names of those who log in; use tls://", c.Audit.Syslog)
	}
	for _, client := range c.Radius.Clients {
		if client.Address.Bits() == 0 {
			warn("client %q: address %s lets the whole world ask", client.Name, client.Address)
		}
		if n := client.Secret.Len(); n <= shortSecret {
			warn("client %q: the secret has %d octets only and can be guessed; use 16 or more", client.Name, n)
		}
		if !client.RequireMessageAuthenticator {
			warn("client %q does not require Message-Authenticator: an attacker on the path can turn a refusal into a login (CVE-2024-3596)", client.Name)
		}
	}
	if c.Metrics.exposed() {
		warn("metrics at %s are shown in the clear to whoever reaches them: names of clients, and how many log in", c.Metrics.Listen)
	}
	for i, rule := range c.Radius.Rules {
		if before := unreached(c.Radius.Rules, i, c.Radius.Clients); before != nil {
			warn("rule %q is never reached: rule %q before it matches everybody", rule.Name, before.Name)
		}
	}
	return warnings
}

// exposed returns the LDIF files that others than their owner and group can
// read or write.
func (c *Directory) exposed() (paths []string) {
	for _, url := range c.URLs {
		path, ok := strings.CutPrefix(url, "ldif:")
		if !ok {
			continue
		}
		if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o007 != 0 {
			paths = append(paths, path)
		}
	}
	return paths
}
