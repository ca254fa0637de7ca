// Package ldaptest is an LDAP server for tests that says what a script tells it
// to, right or wrong, so that a client can be shown what real servers send
// only on their worst days.
//
//	s := ldaptest.Serve(t, func(c *ldaptest.Conn) {
//		c.Search()
//		c.Send(
//			ldaptest.Entry("uid=alice,dc=x", "uid", "alice").State(wire.Add, ldaptest.UUID(1)),
//			ldaptest.RefreshDelete(true).Cookie("1"),
//		)
//		c.Hold()
//	})
//
// It understands requests as far as [Request] goes. It has no content and no
// rules: a bind succeeds if the script says so. A request that is no
// LDAP fails the test.
package ldaptest
