package testenv

import (
	"flag"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
)

var loadTest = flag.Int("load", 2000, "how many people the tests of Load enrol")

func TestSlapdLoad(t *testing.T) {
	t.Parallel()
	s := Slapd(t, WithSyncprov())
	testLoad(t, &s.Directory, s.Load)
}

func testLoad(t *testing.T, s *Directory, load func(testing.TB, int)) {
	t.Helper()
	began := time.Now()
	load(t, *loadTest)
	t.Logf("%d people in %s", *loadTest, time.Since(began))
	last := *loadTest - 1
	if err := s.Bind(t, "uid="+LoadedUser(last)+","+s.PeopleDN, LoadedPassword); err != nil {
		t.Error(err)
	}
	result, err := s.As(t, s.ServiceDN, s.ServicePassword).Search(ldap.NewSearchRequest(s.PeopleDN, ldap.ScopeSingleLevel,
		ldap.NeverDerefAliases, 0, 0, false, "(oathSecret=*)", []string{"1.1"}, nil))
	if err != nil || len(result.Entries) != *loadTest {
		t.Errorf("the service account sees %d of %d people, %v", len(result.Entries), *loadTest, err)
	}
}
