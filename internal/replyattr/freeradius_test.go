package replyattr

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"lockstep/internal/testenv"
)

// freeRADIUS is what a dictionary of FreeRADIUS says.
type freeRADIUS struct {
	attributes map[string]string            // name → vendor, number, type
	values     map[string]map[string]uint32 // by attribute
}

// The names are FreeRADIUS's, and so must the numbers be: administrators copy
// them from its files, and radclient shows them.
func TestDictionaryIsFreeRADIUSs(t *testing.T) {
	const dir = "/usr/share/freeradius"
	testenv.Tool(t, "radclient")
	files, err := filepath.Glob(filepath.Join(dir, "dictionary.*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no dictionaries in %s beside radclient: %v", dir, err)
	}
	theirs := freeRADIUS{map[string]string{}, map[string]map[string]uint32{}}
	for _, path := range files {
		theirs.read(t, path)
	}
	for _, s := range known {
		want := strconv.Itoa(int(s.vendor)) + " " + strconv.Itoa(int(s.number)) + " " + typeName[s.kind]
		if s.kind == class {
			want = strings.Replace(want, "class", "octets", 1)
		}
		got := theirs.attributes[s.name]
		if s.name == "Framed-Interface-Id" {
			got = strings.Replace(got, "ifid", "octets", 1)
		}
		if got != want {
			t.Errorf("%s is %q here, %q there", s.name, want, got)
		}
		for name, n := range s.values {
			if v, ok := theirs.values[s.name][name]; !ok || v != n {
				t.Errorf("%s = %s is %d here, %d there (%v)", s.name, name, n, v, ok)
			}
		}
	}
}

var typeName = map[kind]string{text: "string", class: "class", octets: "octets", number: "integer", ipv4: "ipaddr",
	ipv6: "ipv6addr", prefix6: "ipv6prefix", taggedText: "string has_tag", taggedNumber: "integer has_tag"}

// read takes the plain attributes and values of one file.
func (d freeRADIUS) read(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	vendors, vendor := map[string]string{}, "0"
	for scan := bufio.NewScanner(f); scan.Scan(); {
		text, _, _ := strings.Cut(scan.Text(), "#")
		w := strings.Fields(text)
		switch {
		case len(w) >= 3 && w[0] == "VENDOR":
			vendors[w[1]] = w[2]
		case len(w) >= 2 && w[0] == "BEGIN-VENDOR":
			vendor = vendors[w[1]]
		case len(w) >= 1 && w[0] == "END-VENDOR":
			vendor = "0"
		case len(w) >= 4 && w[0] == "ATTRIBUTE":
			kind, _, _ := strings.Cut(w[3], "[")
			if _, ours := byName[strings.ToLower(w[1])]; ours {
				d.attributes[w[1]] = strings.TrimSpace(vendor + " " + w[2] + " " + kind + " " + strings.Join(w[4:], " "))
			}
		case len(w) >= 4 && w[0] == "VALUE":
			n, err := strconv.ParseUint(w[3], 0, 32)
			if err != nil {
				continue
			}
			if d.values[w[1]] == nil {
				d.values[w[1]] = map[string]uint32{}
			}
			d.values[w[1]][w[2]] = uint32(n)
		}
	}
}
