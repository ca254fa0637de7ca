package testenv

import (
	"slices"
	"testing"

	"github.com/go-ldap/ldap/v3"
)

// What a follower is told when the groups of alice, who is enrolled, change: by
// 389-DS all of it.
func TestDirectoryServer389TellsMemberOf(t *testing.T) {
	t.Parallel()
	s := DirectoryServer389(t)
	s.Add(t, person("alice", "oathSecret: abc\n"))
	alice, group := "uid=alice,"+s.PeopleDN, "cn=vpn,"+s.GroupsDN
	f := follow(t, &s.Directory, "(oathSecret=*)", "uid", "memberOf")
	f.until("refresh ")
	s.Add(t, "dn: "+group+"\nobjectClass: groupOfNames\ncn: vpn\nmember: "+alice+"\n")
	f.until("modify " + alice + " uid=alice memberOf=" + group)
	s.Modify(t, "dn: "+group+"\ndelete: member\nmember: "+alice+"\n")
	if left := f.until("modify " + alice); !slices.Equal(left, []string{"modify " + alice + " uid=alice"}) {
		t.Errorf("left the group: told %q", left)
	}
	s.Modify(t, "dn: "+group+"\nadd: member\nmember: "+alice+"\n")
	f.until("modify " + alice + " uid=alice memberOf=" + group)
	s.Modify(t, "dn: "+group+"\nchangetype: modrdn\nnewrdn: cn=vpn2\ndeleteoldrdn: 1\n")
	f.until("modify " + alice + " uid=alice memberOf=cn=vpn2," + s.GroupsDN)
	s.Modify(t, "dn: cn=vpn2,"+s.GroupsDN+"\nchangetype: delete\n")
	if gone := f.until("modify " + alice); !slices.Equal(gone, []string{"modify " + alice + " uid=alice"}) {
		t.Errorf("group deleted: told %q", gone)
	}
}

// By slapd nothing, though memberOf has changed: its overlay hides its changes
// from those who follow.
func TestSlapdDoesNotTellMemberOf(t *testing.T) {
	t.Parallel()
	s := Slapd(t, WithSyncprov(), WithMemberof())
	s.Add(t, person("alice", "oathSecret: abc\n"))
	alice, group := "uid=alice,"+s.PeopleDN, "cn=vpn,"+s.BaseDN
	f := follow(t, &s.Directory, "(oathSecret=*)", "uid", "memberOf")
	f.until("refresh ")
	s.Add(t, "dn: "+group+"\nobjectClass: groupOfNames\ncn: vpn\nmember: "+alice+"\n")
	result, err := s.As(t, s.ServiceDN, s.ServicePassword).Search(ldap.NewSearchRequest(alice, ldap.ScopeBaseObject,
		ldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", []string{"memberOf"}, nil))
	if err != nil {
		t.Fatal(err)
	}
	if got := result.Entries[0].GetAttributeValue("memberOf"); got != group {
		t.Errorf("memberOf is %q, want %q", got, group)
	}
	s.Modify(t, "dn: "+alice+"\nreplace: description\ndescription: x\n")
	want := []string{"new cookie", "modify " + alice + " uid=alice memberOf=" + group}
	if told := f.until("modify "); !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}
