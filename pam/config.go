package pam

import (
	_ "embed"
	"maps"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/BurntSushi/toml"

	"lockstep/internal/opaque"
	"lockstep/internal/secretfile"
)

// Example is a configuration that works once its address and secret are those
// of the site. It documents every setting; those in lines that begin with "#"
// and no space have the default value there.
//
//go:embed pam.toml
var Example string

const maxFile = 64 << 10 // octets of pam.toml

// Config says which servers are asked.
type Config struct {
	Timeout       time.Duration // for all servers, each time that they are asked; 100 ms to 50 s
	NASIdentifier string        // up to 253 octets; empty for the host's name
	Servers       []Server      // in order; one at least
}

// Server is a RADIUS server.
type Server struct {
	Address string       // host:port
	Secret  opaque.Bytes // one octet at least; any octets
}

// The longest timeout leaves the module time before it gives the helper up.
const leastTimeout, mostTimeout = 100 * time.Millisecond, 50 * time.Second

// Load reads the configuration at path, checks all of it, and reads the files
// with the secrets. An error is always of type [Faults]. A file that others
// than its owner can change is refused: it says who may let people in.
func Load(path string) (*Config, error) {
	text, err := secretfile.Content(path, maxFile, secretfile.Owned)
	if err != nil {
		return nil, Faults{{File: path, Message: "cannot use the configuration: " + err.Error()}}
	}
	return parse(path, string(text), secretfile.Read)
}

// parse is Load for the text of a file at path.
func parse(path, text string, secret func(path string) ([]byte, error)) (*Config, error) {
	var values map[string]any
	if _, err := toml.Decode(text, &values); err != nil {
		return nil, Faults{syntaxFault(path, err)}
	}
	r := &reader{file: path, content: text, secret: secret}
	c := r.config(values)
	if len(r.faults) > 0 {
		r.faults.Sort()
		return nil, r.faults
	}
	return c, nil
}

// reader checks one file and collects its faults.
type reader struct {
	file, content string
	secret        func(path string) ([]byte, error)
	faults        Faults
}

func (r *reader) config(values map[string]any) *Config {
	top := table{reader: r, values: values, number: -1}
	c := &Config{
		Timeout:       top.duration("timeout", 10*time.Second, leastTimeout, mostTimeout),
		NASIdentifier: top.printable("nas_identifier"),
	}
	for _, t := range top.tables("server") {
		c.Servers = append(c.Servers, t.server())
	}
	if _, there := values["server"]; !there {
		top.fault("server", "required; name each RADIUS server in a table [[server]]")
	}
	top.unknown("timeout", "nas_identifier", "server")
	return c
}

func (t table) server() Server {
	s := Server{Address: t.text("address", "")}
	if s.Address == "" {
		t.fault("address", `required; for example "192.0.2.10:1812"`)
	} else if !isHostPort(s.Address) {
		t.fault("address", `want host and port, such as "192.0.2.10:1812" or "[2001:db8::10]:1812"`)
	}
	path := t.text("secret_file", "")
	if path == "" {
		t.fault("secret_file", "required; name a file that only its owner can read")
	} else {
		if !filepath.IsAbs(path) {
			path = filepath.Join(filepath.Dir(t.file), path)
		}
		secret, err := t.secret(path)
		if err != nil {
			t.fault("secret_file", "cannot use the secret file: "+err.Error())
		}
		s.Secret = opaque.Of(secret)
	}
	t.unknown("address", "secret_file")
	return s
}

func isHostPort(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return false
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return false
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return host != "" && len(host) <= 253 && !strings.ContainsFunc(host, func(r rune) bool {
		return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-._", r)
	})
}

// table is one table of the file.
type table struct {
	*reader
	values map[string]any
	number int // among the tables [[server]], from 0; -1 at the top
}

// fault reports key. Only the first fault of a key counts. A fault never shows
// a value: somebody may have put the secret where its file's name belongs.
func (t table) fault(key, message string) {
	path := key
	if t.number >= 0 {
		path = "server[" + strconv.Itoa(t.number) + "]." + key
	}
	if slices.ContainsFunc(t.faults, func(f Fault) bool { return f.Key == path }) {
		return
	}
	t.faults = append(t.faults, Fault{File: t.file, Line: lineOf(t.content, t.number, key), Key: path, Message: message})
}

func (t table) unknown(known ...string) {
	for _, key := range slices.Sorted(maps.Keys(t.values)) {
		if !slices.Contains(known, key) {
			t.fault(bare(key), "no such setting; there are "+strings.Join(known, ", "))
		}
	}
}

func (t table) text(key, fallback string) string {
	v, there := t.values[key]
	text, ok := v.(string)
	switch {
	case !there:
		return fallback
	case !ok:
		t.fault(key, "want a string, in quotes")
	}
	return text
}

func (t table) printable(key string) string {
	v := t.text(key, "")
	if len(v) > maxValue || strings.ContainsFunc(v, func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.fault(key, "want up to 253 octets of printable characters")
	}
	return v
}

func (t table) duration(key string, fallback, low, high time.Duration) time.Duration {
	v, there := t.values[key]
	if !there {
		return fallback
	}
	text, _ := v.(string)
	d, err := time.ParseDuration(text)
	if err != nil {
		t.fault(key, `want a duration such as "3s"`)
	} else if d < low || d > high {
		t.fault(key, "want a duration from "+low.String()+" to "+high.String())
	}
	return d
}

func (t table) tables(key string) (all []table) {
	v, there := t.values[key]
	list, ok := v.([]map[string]any)
	if there && !ok {
		t.fault(key, "want a table with two pairs of brackets for each: [["+key+"]]")
	}
	for i, values := range list {
		all = append(all, table{t.reader, values, i})
	}
	return all
}
