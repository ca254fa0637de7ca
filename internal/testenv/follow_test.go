package testenv

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// follower writes down what a server tells someone who follows it by RFC 4533.
type follower struct {
	t    testing.TB
	told chan string
}

// follow begins to follow the entries below the suffix that match filter, as
// the service account.
func follow(t testing.TB, d *Directory, filter string, attributes ...string) *follower {
	t.Helper()
	c, err := ldap.DialURL(d.URL)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Bind(d.ServiceDN, d.ServicePassword); err != nil {
		t.Fatal(err)
	}
	f := &follower{t, make(chan string, 10_000)}
	request := ldap.NewSearchRequest(d.BaseDN, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false, filter, attributes, nil)
	response := c.Syncrepl(t.Context(), request, 64, ldap.SyncRequestModeRefreshAndPersist, nil, false)
	ended := make(chan struct{})
	t.Cleanup(func() { c.Close(); <-ended })
	go func() {
		defer close(ended)
		for response.Next() {
			f.told <- describe(response)
		}
		f.told <- fmt.Sprintf("end: %v", response.Err())
	}()
	return f
}

var states = map[ldap.ControlSyncStateState]string{
	ldap.SyncStatePresent: "present", ldap.SyncStateAdd: "add", ldap.SyncStateModify: "modify", ldap.SyncStateDelete: "delete",
}

func describe(r ldap.Response) string {
	said := "?"
	for _, control := range r.Controls() {
		switch c := control.(type) {
		case *ldap.ControlSyncState:
			said = states[c.State]
		case *ldap.ControlSyncInfo:
			said = [...]string{"new cookie", "refresh delete", "refresh present", "id set"}[c.Value]
		}
	}
	if e := r.Entry(); e != nil {
		said += " " + e.DN
		for _, a := range e.Attributes {
			said += fmt.Sprintf(" %s=%s", a.Name, strings.Join(a.Values, ","))
		}
	}
	return said
}

// until returns what is told up to and with the first that begins with prefix.
// It fails the test where none comes in time.
func (f *follower) until(prefix string) (all []string) {
	f.t.Helper()
	late := time.After(patience)
	for {
		select {
		case said := <-f.told:
			all = append(all, said)
			if strings.HasPrefix(said, prefix) {
				return all
			}
		case <-late:
			f.t.Fatalf("told %q, and nothing that begins with %q", all[:min(len(all), 20)], prefix)
		}
	}
}
