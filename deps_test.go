// Package lockstep_test holds the tests of what the code has promised about
// itself as a whole: who may import whom, what must be documented, and what
// may not be called.
package lockstep_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

type pkg struct {
	ImportPath string
	Dir        string
	Doc        string
	Name       string
	GoFiles    []string
	CgoFiles   []string
	Deps       []string
	Imports    []string
}

func packages(t *testing.T) map[string]pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-json", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	all := map[string]pkg{}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all[p.ImportPath] = p
	}
}

// The parts know neither one another nor those above them. They meet in
// internal/server.
func TestArrows(t *testing.T) {
	parts := []string{"lockstep/radiusd", "lockstep/ldapsync", "lockstep/config", "lockstep/verifier", "lockstep/admin",
		"lockstep/store", "lockstep/store/bolt", "lockstep/internal/server", "lockstep/internal/radius", "lockstep/internal/qr",
		"lockstep/internal/sysclock", "lockstep/internal/audit", "lockstep/pam"}
	allowed := map[string][]string{
		"lockstep/store":           {"lockstep/verifier"},
		"lockstep/store/bolt":      {"lockstep/verifier", "lockstep/store"},
		"lockstep/radiusd":         {"lockstep/internal/radius"},
		"lockstep/pam":             {"lockstep/internal/radius"},
		"lockstep/internal/server": parts,
	}
	all := packages(t)
	for _, from := range parts {
		p, ok := all[from]
		if !ok {
			t.Errorf("%s is not there", from)
		}
		for _, dep := range p.Deps {
			if dep != from && slices.Contains(parts, dep) && !slices.Contains(allowed[from], dep) {
				t.Errorf("%s depends on %s", from, dep)
			}
		}
	}
}

// Libraries that only one package may know, so that a change of library is a
// change of one room.
func TestLibrariesHaveOneRoom(t *testing.T) {
	rooms := map[string][]string{
		"github.com/BurntSushi/toml":   {"lockstep/config", "lockstep/pam"},
		"go.etcd.io/bbolt":             {"lockstep/store/bolt"},
		"github.com/pquerna/otp/hotp":  {"lockstep/verifier"},
		"github.com/go-crypt/crypt":    {"lockstep/ldapsync/userpassword"},
		"github.com/boombuler/barcode": {"lockstep/internal/qr"},
		"testing":                      {"lockstep/internal/testenv", "lockstep/store/storetest", "lockstep/ldapsync/ldaptest"},

		"github.com/prometheus/client_golang": {"lockstep/internal/metrics"},
	}
	for _, p := range packages(t) {
		for library, room := range rooms {
			for _, imported := range p.Imports {
				if (imported == library || strings.HasPrefix(imported, library+"/")) && !slices.Contains(room, p.ImportPath) {
					t.Errorf("%s imports %s, which is for %s", p.ImportPath, imported, room)
				}
			}
		}
	}
}

func TestEveryPackageIsDocumented(t *testing.T) {
	for _, p := range packages(t) {
		if len(p.GoFiles)+len(p.CgoFiles) > 0 && len(p.Doc) < 40 {
			t.Errorf("%s has no package comment that says what it promises", p.ImportPath)
		}
	}
}

func TestEveryDependencyHasAReason(t *testing.T) {
	hacking, err := os.ReadFile("HACKING.md")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("go", "list", "-m", "-f", "{{if not (or .Indirect .Main)}}{{.Path}}{{end}}", "all").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, module := range strings.Fields(string(out)) {
		if !strings.Contains(string(hacking), module) {
			t.Errorf("HACKING.md does not say what %s is for", module)
		}
	}
}

// What a library may not do: print, end the process, wait, or have go-ldap print
// packets with the passwords in them.
func TestForbiddenCalls(t *testing.T) {
	forbidden := []string{"fmt.Print", "os.Exit(", "log.Fatal", "time.Sleep(", ".Debug = true", ".Debug.Enable"}
	for _, p := range packages(t) {
		for _, file := range slices.Concat(p.GoFiles, p.CgoFiles) {
			text, err := os.ReadFile(p.Dir + "/" + file)
			if err != nil {
				t.Fatal(err)
			}
			for _, call := range forbidden {
				if call == "os.Exit(" && p.Name == "main" && file == "main.go" {
					continue
				}
				if strings.Contains(string(text), call) {
					t.Errorf("%s/%s: %s", p.ImportPath, file, call)
				}
			}
		}
	}
}
