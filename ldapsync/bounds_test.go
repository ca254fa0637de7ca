package ldapsync

import (
	"fmt"
	"testing"
	"time"

	"lockstep/internal/opaque"
	"lockstep/ldapsync/sealed"
)

func newKeyring(t testing.TB) (*sealed.Keyring, *sealed.PublicKey) {
	k, err := sealed.Generate()
	if err != nil {
		t.Fatal(err)
	}
	ring, err := sealed.NewKeyring(k)
	if err != nil {
		t.Fatal(err)
	}
	return ring, k.Public()
}

func sealFor(t testing.TB, to *sealed.PublicKey, realm, user, slot, key string) string {
	v, err := to.Seal(sealed.Binding{Realm: realm, User: user, Slot: slot},
		sealed.Content{Key: opaque.Text(key), Algorithm: "SHA1", Digits: 6, Period: 30 * time.Second, Created: time.Unix(1, 0)})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

const testRealm = "ou=people,dc=example,dc=org"

// triesFor is how many sealed keys were tried for the account of a name.
func triesFor(t testing.TB, d *Directory, name string) int {
	t.Helper()
	records, err := d.replica.holders(nil, name)
	if err != nil {
		t.Fatal(err)
	}
	b := builder{replica: d.replica, names: records[0].all(fieldName)}
	for _, rec := range records {
		e := rec.digest()
		b.entry(&e)
	}
	return b.opens
}

// Whoever may write their own entry must not make each login at their name, and
// each change of their entry, cost what they like: values, slots and names multiply.
func TestSealedKeysOfOneEntryAreBounded(t *testing.T) {
	t.Parallel()
	ring, to := newKeyring(t)
	lines := []string{}
	for i := range 40 {
		lines = append(lines, fmt.Sprint("uid: m", i), "oathSecret: "+sealFor(t, to, testRealm, "nobody", "1", fmt.Sprintf("12345678901234567%03d", i)))
	}
	path := ldifFile(t, inFile("mallory", lines...))
	d := refreshed(t, Config{URLs: []string{"ldif:" + path}, BaseDN: testRealm, Keyring: ring})
	if n := triesFor(t, d, "mallory"); n > maxOpens+40 {
		t.Errorf("%d tries", n)
	}
	wantUnusable(t, d, "mallory", "too many keys and login names")
}

// Linked tokens do the same with other people's values.
func TestLinkedTokensAreBounded(t *testing.T) {
	t.Parallel()
	ring, to := newKeyring(t)
	text, links := "", []string{}
	for i := range 150 {
		u := fmt.Sprint("u", i)
		text += "dn: cn=" + u + ",ou=people,dc=example,dc=org\ncn: " + u + "\noathSecret: " + sealFor(t, to, testRealm, u, "1", fmt.Sprintf("12345678901234567%03d", i)) + "\n\n"
		links = append(links, fmt.Sprint("uid: m", i), "oathTOTPToken: cn="+u+",ou=people,dc=example,dc=org")
	}
	path := ldifFile(t, text+inFile("mallory", links...))
	d := refreshed(t, Config{URLs: []string{"ldif:" + path}, BaseDN: testRealm, Keyring: ring})
	if n := triesFor(t, d, "mallory"); n > maxOpens+maxLinks {
		t.Errorf("%d tries", n)
	}
	wantUnusable(t, d, "mallory", "150 values of oathTOTPToken, of which 32 are looked at")
}

// Three tokens were added, and the directory's admin deletes the first value.
func TestTokenOfALaterSlotOpensAlone(t *testing.T) {
	ring, to := newKeyring(t)
	path := ldifFile(t, inFile("alice",
		"oathSecret: "+sealFor(t, to, testRealm, "alice", "2", "12345678901234567890"),
		"oathSecret: "+sealFor(t, to, testRealm, "alice", "3", "12345678901234567891")))
	d := refreshed(t, Config{URLs: []string{"ldif:" + path}, BaseDN: testRealm, Keyring: ring})
	if a, err := d.Lookup("alice"); err != nil || len(a.Tokens) != 2 || len(a.Problems) > 0 {
		t.Errorf("%d tokens, %q, %v", len(a.Tokens), a.Problems, err)
	}
}

// A token in somebody else's entry is taken for one's own.
func TestSomebodyElsesTokenIsNotTaken(t *testing.T) {
	path := ldifFile(t, inFile("alice", "oathSecret: "+key1)+
		inFile("mallory", "oathSecret: "+key2, "oathTOTPToken: "+dn("alice")))
	d := refreshed(t, Config{URLs: []string{"ldif:" + path}, BaseDN: testRealm})
	if a := lookup(t, d, "mallory"); len(a.Tokens) != 1 {
		t.Errorf("mallory has %d tokens, one of them alice's", len(a.Tokens))
	}
}
