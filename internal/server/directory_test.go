package server

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lockstep/internal/opaque"
	"lockstep/ldapsync"
)

// Between the look at somebody's keys and the check of their password the directory may
// change, or a reload may bring another one. The password must be that of whom the keys
// belong to, at the place where the entry is now.
func TestThePasswordIsOfWhomTheKeysAre(t *testing.T) {
	const id = "entryUUID: 5b0f1e4a-1111-2222-3333-44445555666"
	entry := func(rdn, id, more string) string {
		return fmt.Sprintf("dn: uid=%s,dc=x\nuid: alice\n%s\n%suserPassword: {SSHA}q3L+uQU+Fi9q+GrCCmjGE2Tdd9NzYWx0\noathSecret: GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\n\n", rdn, id, more)
	}
	other := "dn: uid=bob,dc=x\nuid: bob\n\n"
	for name, tt := range map[string]struct {
		then   string
		reload bool
		right  bool
		says   string
	}{
		"nothing has changed":                      {then: entry("alice", id+"6", "") + other, right: true},
		"somebody else has changed":                {then: entry("alice", id+"6", "") + other + "dn: uid=carol,dc=x\nuid: carol\noathSecret: GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\n", right: true},
		"the entry has moved":                      {then: entry("moved", id+"6", "") + other, right: true},
		"the name went to another entry":           {then: entry("other", id+"7", "") + other, says: "changed meanwhile"},
		"another entry has the name, too":          {then: entry("alice", id+"6", "") + entry("other", id+"7", ""), says: "two entries"},
		"the entry is gone":                        {then: other, says: "no enrolled account"},
		"the entry is locked":                      {then: entry("alice", id+"6", "nsAccountLock: TRUE\n") + other, says: "disabled"},
		"a reload has brought another of the name": {then: entry("alice", id+"7", "") + other, reload: true, says: "changed meanwhile"},
		"a reload has brought the same":            {then: entry("alice", id+"6", "") + other, reload: true, right: true},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "people.ldif")
			read := func(d *ldapsync.Directory, text string) {
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				if err := d.Refresh(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			open := func() *ldapsync.Directory {
				d, err := OpenDirectory(testConfig(filepath.Dir(path), "people.ldif"), slog.New(slog.DiscardHandler))
				if err != nil {
					t.Fatal(err)
				}
				return d
			}
			d := &directory{}
			d.current.Store(open())
			read(d.current.Load(), entry("alice", id+"6", "")+other)
			alice, err := d.Account("alice")
			if err != nil {
				t.Fatal(err)
			}
			if tt.reload {
				d.current.Store(open())
			}
			read(d.current.Load(), tt.then)
			_, err = d.CheckPassword(t.Context(), alice, opaque.Text("alice"))
			if (err == nil) != tt.right || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("CheckPassword = %v, want right: %v, %q", err, tt.right, tt.says)
			}
		})
	}
}
