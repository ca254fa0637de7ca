// Package schema holds the LDAP schema for tokens as files for each directory
// server, see README.md, and has them in memory for tests and tools.
//
// It promises that the files for OpenLDAP and 389-DS define the same, with the
// object identifiers of OATH-LDAP, and that each server takes its file. The file
// for Active Directory is a part of that.
package schema

import _ "embed" // the files

var (
	// OpenLDAP is an entry of cn=config: oath-ldap.ldif.
	//
	//go:embed oath-ldap.ldif
	OpenLDAP string

	// OpenLDAPConf is for include in slapd.conf: oath-ldap.schema.
	//
	//go:embed oath-ldap.schema
	OpenLDAPConf string

	// DirectoryServer389 is for the schema directory of an instance: 99oath.ldif.
	//
	//go:embed 99oath.ldif
	DirectoryServer389 string

	// ActiveDirectory is for ldifde, with DC=X for the name of the forest's root:
	// ad-lockstep.ldif.
	//
	//go:embed ad-lockstep.ldif
	ActiveDirectory string
)
