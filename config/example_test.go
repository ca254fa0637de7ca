package config

import (
	"maps"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"testing"

	"lockstep/internal/opaque"
)

var commented = regexp.MustCompile(`(?m)^#([A-Za-z\[])`)

// full is the example with every default written out.
func full() string { return commented.ReplaceAllString(Example, "$1") }

func loadExample(t *testing.T, text string) *Config {
	t.Helper()
	c, err := load(t, text)
	if err != nil {
		t.Fatalf("the example has faults:\n%v", err)
	}
	if len(c.Warnings()) > 0 {
		t.Errorf("the example has warnings: %q", c.Warnings())
	}
	c.Path, c.Secrets, c.Directory.BindPassword, c.Radius.Clients[0].Secret = "", nil, opaque.Bytes{}, opaque.Bytes{}
	return c
}

func TestExampleStatesTheDefaults(t *testing.T) {
	defaults, stated := loadExample(t, Example), loadExample(t, full())
	// None and an empty list are the same.
	stated.Store.Etcd.Endpoints = defaults.Store.Etcd.Endpoints
	// What it states are those of the base DN.
	if slices.Equal(stated.Directory.Domains, []string{"example.com", "EXAMPLE"}) {
		stated.Directory.Domains = defaults.Directory.Domains
	}
	// A rule has no default.
	stated.Radius.Rules = nil
	if !reflect.DeepEqual(defaults, stated) {
		t.Errorf("with the defaults written out:\n%+v\nwithout:\n%+v", stated, defaults)
	}
}

func TestExampleHasEveryKey(t *testing.T) {
	values, fault := decode(full())
	if fault != nil {
		t.Fatal(fault)
	}
	d := &document{dir: t.TempDir(), places: indexKeys(full()), files: fakeFiles, faulty: map[string]bool{}}
	d.read(values)
	for _, table := range d.tables {
		known := slices.Compact(slices.Sorted(slices.Values(table.known)))
		shown := slices.Sorted(maps.Keys(table.values))
		if !slices.Equal(known, shown) {
			t.Errorf("[%s]: the code knows\n%q\nthe example has\n%q", table.path, known, shown)
		}
	}
	if n := len(d.tables); n != 12 {
		t.Errorf("%d tables read, want 12", n)
	}
}

var fakeFiles = files{
	secret: func(path string) ([]byte, error) { return []byte(filepath.Base(path)), nil },
	public: func(path string) ([]byte, error) { return nil, nil },
}
