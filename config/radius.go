package config

import (
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

func readRadius(t *table) Radius {
	seen := map[netip.AddrPort]string{}
	c := Radius{
		Listen:     readAddresses(t, "listen", seen, "0.0.0.0:1812", "[::]:1812"),
		Accounting: readAddresses(t, "accounting", seen, "0.0.0.0:1813", "[::]:1813"),
	}
	if len(c.Listen) == 0 {
		t.fault("listen", `want one address at least, such as "0.0.0.0:1812"`)
	}
	for _, sub := range t.subs("client") {
		c.Clients = append(c.Clients, readClient(sub))
		checkUnique(sub, c.Clients)
	}
	if len(c.Clients) == 0 && !(t.doc.files.clientless && len(t.values) == 0) {
		t.fault("client", "required; name each appliance that may ask in a table [[radius.client]]")
	}
	c.Rules = readRules(t, c.Clients)
	return c
}

// readAddresses returns the addresses under key; seen says where each address
// that was read has been used.
func readAddresses(t *table, key string, seen map[netip.AddrPort]string, fallback ...string) (addrs []netip.AddrPort) {
	for i, text := range t.list(key, fallback...) {
		addr, err := netip.ParseAddrPort(text)
		addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
		switch other, dup := seen[addr]; {
		case err != nil || addr.Port() == 0:
			t.fault(element(key, i), `want an address and a port from 1 to 65535, such as "192.0.2.1:1812" or "[2001:db8::1]:1812"`)
		case dup:
			t.fault(element(key, i), "%s is %s too", addr, other)
		default:
			seen[addr] = join(t.path, key) + element("", i)
		}
		addrs = append(addrs, addr)
	}
	return addrs
}

func readClient(t *table) Client {
	c := Client{
		Name:                        t.required("name", "vpn"),
		Address:                     readPrefix(t, "address"),
		Secret:                      t.secret("secret_file"),
		RequireMessageAuthenticator: t.flag("require_message_authenticator", true),
		Factors:                     t.oneOf("factors", "password+code", "code"),
		Challenge:                   t.flag("challenge", false),
		TellNotEnrolled:             t.flag("tell_not_enrolled", false),
		TellPasswordExpiry:          t.flag("tell_password_expiry", false),
		Separator:                   t.text("separator", ""),
		RejectDelay:                 t.duration("reject_delay", time.Second, 0, 10*time.Second),
	}
	if !validName(c.Name) {
		t.fault("name", "want 1 to 64 printable characters")
	}
	if t.text("secret_file", "") == "" {
		t.fault("secret_file", "required; name a file that only the server can read")
	}
	if c.Factors == "code" && c.Challenge {
		t.fault("challenge", `cannot be with factors = "code": the code is all there is to ask for`)
	}
	if !validSeparator(c.Separator) {
		t.fault("separator", `want one ASCII character that is no letter, digit or space, such as ",", or ""`)
	}
	return c
}

func validName(name string) bool {
	unprintable := strings.IndexFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0
	return utf8.ValidString(name) && !unprintable && utf8.RuneCountInString(name) <= 64
}

// validSeparator excludes digits, which would be taken for the code, and
// letters and the space, which passwords are more likely to end in by chance.
func validSeparator(s string) bool {
	if len(s) != 1 {
		return s == ""
	}
	c := rune(s[0])
	return c > ' ' && c < 0x7f && !unicode.IsLetter(c) && !unicode.IsDigit(c)
}

// readPrefix returns an address or a network as a network.
func readPrefix(t *table, key string) netip.Prefix {
	text := t.required(key, "192.0.2.0/24")
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen())
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		t.fault(key, `want an IP address or a network, such as "192.0.2.0/24"`)
		return netip.Prefix{}
	}
	// Packets on a socket for both families come from unmapped addresses.
	if prefix.Addr().Is4In6() && prefix.Bits() >= 96 {
		prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
	}
	if prefix != prefix.Masked() {
		t.fault(key, "%s is an address in a network; the network is %q", prefix, prefix.Masked())
	}
	return prefix
}

// checkUnique checks the last of clients, read from t, against those before it.
func checkUnique(t *table, clients []Client) {
	last := clients[len(clients)-1]
	for i, c := range clients[:len(clients)-1] {
		if c.Name == last.Name {
			t.fault("name", "%q is the name of %s too", c.Name, element("radius.client", i))
		}
		// Where networks overlap the longest prefix wins; of the same two none can.
		if c.Address == last.Address {
			t.fault("address", "%s is the address of both %q and %q", c.Address, c.Name, last.Name)
		}
	}
}
