// Package guides runs the guides: the files that they tell people to write are
// what the real programs are started with here, with the addresses, ports and paths
// of the guide, on a machine of its own. Put in are the word SECRET in them; what a
// guide leaves to the site, as certificates and the people in the directory; where
// lockstep listens, since all machines of a guide are one here; and for the same
// reason another name for the second of two radsecproxy.conf.
package guides

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"lockstep/config"
	"lockstep/internal/testenv"
)

// guide is what a guide tells its reader to do.
type guide struct {
	files    []file
	commands []string // blocks of shell commands, in order
	outline  []string // headings of the second level
	text     string
}

// file is one that the reader writes.
type file struct{ path, text string }

// named finds the file that a block is the contents of: the last name in the paragraph
// before it, which ends in a colon.
var named = regexp.MustCompile("`((?:/|lockstep\\.toml)[^`]*)`[^`]*:$")

func readGuide(t testing.TB, name string) *guide {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	g := &guide{text: string(b)}
	var before, language string
	paragraph := false // goes on
	var block *strings.Builder
	for line := range strings.Lines(g.text) {
		line = strings.TrimSuffix(line, "\n")
		fence, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence && block == nil:
			block, language = &strings.Builder{}, fence
		case isFence:
			g.add(t, before, language, block.String())
			block, paragraph = nil, false
		case block != nil:
			block.WriteString(line + "\n")
		case strings.HasPrefix(line, "## "):
			g.outline = append(g.outline, line[3:])
		case line == "":
			paragraph = false
		case paragraph:
			before += " " + line
		default:
			before, paragraph = line, true
		}
	}
	if block != nil {
		t.Fatalf("%s: a block does not end", name)
	}
	return g
}

func (g *guide) add(t testing.TB, before, language, text string) {
	t.Helper()
	found := named.FindStringSubmatch(before)
	switch {
	case language == "sh":
		g.commands = append(g.commands, text)
	case found != nil:
		g.files = append(g.files, file{found[1], text})
	default:
		t.Fatalf("which file is this, after %q?\n%s", before, text)
	}
}

// file returns the text of the named file, all of its blocks.
func (g *guide) file(path string) (text string) {
	for _, f := range g.files {
		if f.path == path {
			text += f.text
		}
	}
	return text
}

func guides(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob("*.md")
	if err != nil || len(names) < 10 {
		t.Fatalf("guides: %q, %v", names, err)
	}
	return slices.DeleteFunc(names, func(name string) bool { return name == "README.md" })
}

// All guides are alike, and the index has every one.
func TestOutline(t *testing.T) {
	index, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"What you get", "In lockstep.toml", "On the device", "Try it", "If it does not work"}
	for _, name := range guides(t) {
		if got := readGuide(t, name).outline; !slices.Equal(slices.Replace(slices.Clone(want), 2, 3, "In the directory"), got) && !slices.Equal(got, want) {
			t.Errorf("%s: headings %q, want %q", name, got, want)
		}
		if !strings.Contains(string(index), "]("+name+")") {
			t.Errorf("README.md does not list %s", name)
		}
	}
}

// What every guide puts into lockstep.toml is right, also where the device cannot
// be had for a test.
func TestEveryGuidesConfigurationIsTaken(t *testing.T) {
	for _, name := range guides(t) {
		t.Run(name, func(t *testing.T) {
			text := readGuide(t, name).file("lockstep.toml")
			if text == "" {
				t.Fatal("nothing is said about lockstep.toml")
			}
			dir, err := t.TempDir(), error(nil)
			// The one file that a guide has elsewhere.
			text = strings.ReplaceAll(complete(text), `"/etc/ipa/`, `"`)
			for _, named := range files.FindAllStringSubmatch(text, -1) {
				kind, path := named[1], filepath.Join(dir, named[2])
				switch kind {
				case "ca":
					testenv.Certificate(t, dir)
					err = os.Rename(filepath.Join(dir, "ca.pem"), path)
				case "sealing_key":
					build(t)
					err = exec.Command(lockstep(), "keygen", "-out", path).Run()
				default:
					err = os.WriteFile(path, []byte("a secret of the guides"), 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			path := filepath.Join(dir, "lockstep.toml")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			c, err := config.Load(path)
			if err != nil {
				t.Fatal(err)
			}
			if len(c.Radius.Clients) == 0 {
				t.Error("no client")
			}
		})
	}
}

// files finds the names of files, and what they hold.
var files = regexp.MustCompile(`(\w+)_file\s*=\s*"([^"]+)"`)

// secretFiles finds the names of files that hold one secret.
var secretFiles = regexp.MustCompile(`(?:secret|password)_file\s*=\s*"([^"/]+)"`)

// complete adds to what a guide says what it is silent about.
func complete(text string) string {
	if !strings.Contains(text, "[directory]") {
		text = "[directory]\nurl = [\"ldif:people.ldif\"]\n\n" + text
	}
	if !strings.Contains(text, "[radius]") {
		// Where other programs of the same machine have that port at another address.
		text = fmt.Sprintf("[radius]\nlisten = [%q, %q, %q]\n\n", serverAddress+":1812", secondAddress+":1812", "127.0.0.1:1812") + text
	}
	if !strings.Contains(text, "[[radius.client]]") {
		text += "\n[[radius.client]]\nname = \"vpn\"\naddress = \"192.0.2.10\"\nsecret_file = \"vpn.secret\"\n"
	}
	return text
}
