package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A configuration whose only secret is a credential, with files beside it, and what
// comes of it.
func loadCredential(t *testing.T, name string, beside map[string]string) (*Config, error) {
	t.Helper()
	beside["people.ldif"] = ""
	beside["c.toml"] = "[directory]\nurl = [\"ldif:people.ldif\"]\n[[radius.client]]\nname = \"vpn\"\naddress = \"192.0.2.1\"\nsecret_file = \"" + name + "\"\n"
	folder := map[string]string{}
	for file, content := range beside {
		if name, ok := strings.CutPrefix(file, "credentials/"); ok {
			folder[name] = content
			delete(beside, file)
		}
	}
	dir := write(t, beside)
	if err := os.Rename(write(t, folder), filepath.Join(dir, "credentials")); err != nil {
		t.Fatal(err)
	}
	return Load(filepath.Join(dir, "c.toml"))
}

func TestCredentials(t *testing.T) {
	const secret = "the credential, 16 octets"
	given := write(t, map[string]string{"vpn": secret + "\n", "lockstep_vpn.secret": secret})
	for _, tt := range []struct {
		name, file, dir, running, want string
		beside                         map[string]string
	}{
		{name: "the service finds what it is given", file: "credential:vpn", dir: given},
		{name: "and that of a folder by systemd's name for it", file: "credential:lockstep_vpn.secret", dir: given},
		{name: "it looks nowhere else", file: "credential:lockstep_other", dir: given, running: given,
			beside: map[string]string{"credentials/other": secret}, want: "no such file"},
		{name: "a command outside finds what the running service has", file: "credential:vpn", running: given},
		{name: "or what it would be given", file: "credential:lockstep_vpn.secret", beside: map[string]string{"credentials/vpn.secret": secret}},
		{name: "and otherwise says what to do", file: "credential:vpn", want: "beside the configuration"},
		{name: "a name is no path", file: "credential:../vpn", dir: given, want: "want the name of one"},
		{name: "nor the folder above", file: "credential:lockstep_..", want: "beside the configuration"},
		{name: "nor empty", file: "credential:", dir: given, want: "want the name of one"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("CREDENTIALS_DIRECTORY", tt.dir)
			defer func(old string) { runningCredentials = old }(runningCredentials)
			runningCredentials = tt.running
			if tt.running == "" {
				runningCredentials = t.TempDir()
			}
			if tt.beside == nil {
				tt.beside = map[string]string{}
			}
			c, err := loadCredential(t, tt.file, tt.beside)
			switch {
			case tt.want == "" && err != nil:
				t.Fatal(err)
			case tt.want == "" && string(c.Radius.Clients[0].Secret.Reveal()) != secret:
				t.Error("another secret was read")
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("%v; want %q", err, tt.want)
			}
		})
	}
}

// Whoever writes the secret where its name belongs does not find it in the log.
func TestACredentialsNameIsNotQuoted(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		t.Setenv("CREDENTIALS_DIRECTORY", dir)
		_, err := loadCredential(t, "credential:"+canary, map[string]string{})
		if err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("with directory %q: %v", dir, err)
		}
	}
}

func TestOthersMayNotReadACredential(t *testing.T) {
	dir := write(t, map[string]string{"vpn": canary})
	if err := os.Chmod(filepath.Join(dir, "vpn"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	if _, err := loadCredential(t, "credential:vpn", map[string]string{}); err == nil || !strings.Contains(err.Error(), "others have access") {
		t.Errorf("%v", err)
	}
}
