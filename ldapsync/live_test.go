package ldapsync

import (
	"errors"
	"strings"
	"testing"
	"time"

	"lockstep/internal/testenv"
)

func live(s *testenv.SlapdServer) Config {
	c := configFor(s)
	c.Follow = "syncrepl"
	c.pace = pace{changes: time.Hour, full: time.Hour, watch: 100 * time.Millisecond, stall: 5 * time.Second}
	return c
}

// soon fails unless ok becomes true within a second: changes are told.
func soon(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
		<-time.After(time.Millisecond)
	}
}

func TestChangesAreTold(t *testing.T) {
	t.Parallel()
	s := testenv.Slapd(t, testenv.WithSyncprov())
	s.Add(t, enrolled("alice")+enrolled("bob")+person("carol")+
		"dn: cn=p,dc=example,dc=org\nobjectClass: device\nobjectClass: oathTOTPParams\ncn: p\n"+
		"oathOTPLength: 6\noathHMACAlgorithm: 1.2.840.113549.2.7\noathTOTPTimeStepPeriod: 30\n\n"+
		enrolled("dave", "oathTOTPParams: cn=p,dc=example,dc=org"))
	d := open(t, live(s))
	run(t, d)
	if st := d.Status(); st.Mode != "syncrepl" || st.Entries != 3 {
		t.Fatalf("Status() = %+v", st)
	}
	s.Add(t, enrolled("erin"))
	soon(t, "a new entry", func() bool { return has(d, "erin") })
	s.Modify(t, modification("alice", "replace: oathSecret", "oathSecret: "+key2, "-"))
	soon(t, "a new key", func() bool {
		return strings.HasPrefix(string(lookup(t, d, "alice").Tokens[0].Key.Reveal()), "12345")
	})
	s.Modify(t, modification("bob", "delete: oathSecret", "-"))
	soon(t, "an entry that has left the filter", func() bool { return !has(d, "bob") })
	s.Modify(t, modification("bob", "add: oathSecret", "oathSecret: "+key1, "-"))
	soon(t, "an entry that has come into the filter", func() bool { return has(d, "bob") })
	id := lookup(t, d, "dave").ID
	s.Modify(t, "dn: "+dn("dave")+"\nchangetype: modrdn\nnewrdn: uid=david\ndeleteoldrdn: 1\n")
	soon(t, "a renamed entry", func() bool { return has(d, "david") && !has(d, "dave") })
	if got := lookup(t, d, "david"); got.ID != id || got.DN != dn("david") {
		t.Errorf("renamed: %+v, want ID %s", got, id)
	}
	s.Modify(t, "dn: cn=p,dc=example,dc=org\nchangetype: modify\nreplace: oathOTPLength\noathOTPLength: 8\n-\n")
	soon(t, "changed parameters", func() bool { return lookup(t, d, "david").Tokens[0].Digits == 8 })
	s.Modify(t, "dn: "+dn("erin")+"\nchangetype: delete\n")
	soon(t, "a deleted entry", func() bool { _, err := d.Lookup("erin"); return errors.Is(err, ErrNoAccount) })
	id = lookup(t, d, "bob").ID
	s.Modify(t, "dn: "+dn("bob")+"\nchangetype: delete\n")
	s.Add(t, enrolled("bob"))
	soon(t, "one made anew", func() bool { a, err := d.Lookup("bob"); return err == nil && a.ID != id })
}
