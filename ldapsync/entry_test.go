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

// An account is still what it was while nothing has changed, whatever was read again.
func TestStill(t *testing.T) {
	t.Parallel()
	alice, bob := inFile("alice", "oathSecret: "+key1), inFile("bob", "oathSecret: "+key2)
	for name, tt := range map[string]struct {
		then string
		want bool
	}{
		"the same":                   {alice + bob, true},
		"in another order":           {bob + alice, true},
		"nobody who could log in":    {alice + bob + inFile("carol"), true},
		"her name is another's, too": {alice + bob + inFile("carol", "uid: alice", "oathSecret: "+key1), false},
		"her name is another's":      {bob + inFile("carol", "uid: alice", "oathSecret: "+key1), false},
		"she has another key":        {inFile("alice", "oathSecret: "+key2) + bob, false},
		"she is locked":              {inFile("alice", "oathSecret: "+key1, "nsAccountLock: TRUE") + bob, false},
		"she is gone":                {bob, false},
		"somebody else is gone":      {alice, false},
	} {
		t.Run(name, func(t *testing.T) {
			path := ldifFile(t, alice+bob)
			c := Config{URLs: []string{"ldif:" + path}, BaseDN: testRealm}
			d := refreshed(t, c)
			entry, err := d.Entry("alice")
			if err != nil {
				t.Fatal(err)
			}
			found := lookup(t, d, "alice")
			if !d.Still(found) || !d.Still(entry) {
				t.Error("not still what it was")
			}
			if d.Still(Account{Name: "alice"}) || refreshed(t, c).Still(found) {
				t.Error("still what it was, though it is of no directory, or of another")
			}
			write(t, path, tt.then)
			if err := d.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := d.Still(found); got != tt.want {
				t.Errorf("Still = %v, want %v", got, tt.want)
			}
			if d.Still(entry) != d.Still(found) {
				t.Error("Entry and Lookup differ")
			}
		})
	}
}
