package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Where people are only enrolled, no RADIUS client need be named; all else is as
// wrong as it is for a server.
func TestLoadDirectory(t *testing.T) {
	t.Parallel()
	const directory = "[directory]\nurl = [\"ldif:people.ldif\"]\n"
	for _, tt := range []struct{ name, text, fault string }{
		{"a directory alone", directory, ""},
		{"a server's, with a client that has a fault", directory + "[[radius.client]]\nname = \"vpn\"\n", "radius.client[0].address: required"},
		{"a server's without a client", directory + "[radius]\naccounting = []\n", "radius.client: required"},
		{"a wrong setting", directory + "colour = 1\n", "directory.colour: no such setting"},
		{"no directory", "", "directory.url: required"},
	} {
		path := filepath.Join(t.TempDir(), "c.toml")
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := LoadDirectory(path)
		if tt.fault == "" && (err != nil || len(c.Radius.Clients) != 0) || tt.fault != "" && (err == nil || !strings.Contains(err.Error(), tt.fault)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.fault)
		}
		if _, err := Load(path); err == nil {
			t.Errorf("%s: Load finds nothing wrong", tt.name)
		}
	}
}
