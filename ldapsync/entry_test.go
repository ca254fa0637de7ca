package ldapsync

import (
	"errors"
	"testing"
)

// Entry says whose password is to be checked, and the same person as Lookup.
func TestEntry(t *testing.T) {
	t.Parallel()
	path := ldifFile(t, inFile("alice", "oathSecret: "+key1)+inFile("bob")+
		inFile("carol", "oathSecret: "+key1, "nsAccountLock: TRUE")+
		inFile("dave", "oathSecret: not a key")+
		inFile("erin", "oathSecret: "+key1, "uid: twin")+inFile("fred", "oathSecret: "+key1, "uid: twin"))
	d := refreshed(t, Config{URLs: []string{"ldif:" + path}, BaseDN: testRealm})
	want := lookup(t, d, "alice")
	if a, err := d.Entry(" ALICE "); err != nil || a.ID != want.ID || a.Name != "alice" || a.DN != want.DN || a.Tokens != nil {
		t.Errorf("%+v, %v, want %+v without tokens", a, err, want)
	}
	if a, err := d.Entry("dave"); err != nil || a.DN != dn("dave") {
		t.Errorf("whose key cannot be read: %+v, %v", a, err)
	}
	for name, want := range map[string]error{"bob": ErrNoAccount, "nobody": ErrNoAccount, "twin": ErrAmbiguous} {
		if a, err := d.Entry(name); !errors.Is(err, want) {
			t.Errorf("%s: %+v, %v, want %v", name, a, err, want)
		}
	}
	if a, err := d.Entry("carol"); !errors.As(err, new(*UnusableError)) {
		t.Errorf("a locked entry: %+v, %v", a, err)
	}
	if _, err := d.Entry("\x00"); !errors.As(err, new(*NameError)) {
		t.Errorf("a name that is none: %v", err)
	}
}
