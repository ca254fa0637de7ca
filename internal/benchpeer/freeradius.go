package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// setup is how FreeRADIUS uses the directory.
type setup string

const (
	// One instance of rlm_ldap, as FreeRADIUS comes and its documentation shows. A
	// connection that somebody was bound on needs a bind of the service account
	// before the next search on it.
	oneInstance setup = "one"

	// One for searches and one for binds, which spares it that.
	twoInstances setup = "apart"
)

// binds returns the instance that binds.
func (s setup) binds() string {
	if s == twoInstances {
		return "password"
	}
	return "ldap"
}

// second is the instance for binds alone, if there is one.
func (s setup) second() string {
	if s == twoInstances {
		return "ldap password {" + rlmLDAP + "\t}\n"
	}
	return ""
}

// rlmLDAP is what instances of rlm_ldap have in common.
const rlmLDAP = `
		server = "%[3]s"
		identity = "%[6]s"
		password = "%[7]s"
		base_dn = "%[8]s"
		user {
			base_dn = "%[8]s"
			filter = "(uid=%%{User-Name})"
			scope = "one"
		}
		options {
			chase_referrals = no
			res_timeout = 10
			net_timeout = 5
			ldap_debug = 0
		}
		pool {
			start = %[5]d
			min = %[5]d
			max = %[5]d
			spare = 0
			uses = 0
			lifetime = 0
			idle_timeout = 0
		}
`

// conf does what lockstep does, with what FreeRADIUS has: it splits the code off,
// searches for the user's key, checks the code, and binds with the rest. Nothing
// else is loaded, and no request is logged. As many threads and connections as
// stand here are started at once and none is ever closed.
//
// Message-Authenticator is in each reply, as lockstep has it (CVE-2024-3596);
// this release of FreeRADIUS leaves it out unless told.
func (s setup) conf() string {
	return `name = bench
prefix = /usr
libdir = /usr/lib/freeradius
logdir = %[1]s
run_dir = %[1]s
confdir = %[1]s
pidfile = %[1]s/freeradius.pid
max_request_time = 30
cleanup_delay = 2
max_requests = 131072
hostname_lookups = no
proxy_requests = no
log {
	destination = stdout
	auth = no
}
security {
	max_attributes = 200
	reject_delay = 0
	status_server = yes
}
thread pool {
	start_servers = %[5]d
	max_servers = %[5]d
	min_spare_servers = %[5]d
	max_spare_servers = %[5]d
	max_requests_per_server = 0
}
modules {
	always reject {
		rcode = reject
	}
	totp {
	}
	ldap {
		update {
			control:TOTP-Secret := "oathSecret"
		}` + rlmLDAP + `	}
	` + s.second() + `}
client bench {
	ipaddr = 127.0.0.1
	secret = "%[4]s"
	require_message_authenticator = yes
}
server bench {
	listen {
		type = auth
		ipaddr = 127.0.0.1
		port = %[2]d
	}
	authorize {
		update reply {
			&Message-Authenticator := 0x00
		}
		if (&User-Password !~ /^(.+)([0-9]{6})$/) {
			reject
		}
		update request {
			&TOTP-Password := "%%{2}"
			&User-Password := "%%{1}"
		}
		ldap
		if (!&control:TOTP-Secret) {
			reject
		}
		update control {
			&Auth-Type := "LDAP"
		}
	}
	authenticate {
		Auth-Type LDAP {
			totp
			` + s.binds() + `
		}
	}
}
`
}

// startFreeRADIUS starts FreeRADIUS and returns its address.
func startFreeRADIUS(ctx context.Context, dir, ldap string, how setup, threads int) (*process, string, error) {
	program, err := tool("freeradius")
	if err != nil {
		return nil, "", err
	}
	port, err := freePort()
	if err != nil {
		return nil, "", err
	}
	conf := fmt.Appendf(nil, how.conf(), dir, port, ldap, sharedSecret, threads, serviceDN, servicePassword, peopleDN)
	for name, text := range map[string][]byte{"bench.conf": conf, "dictionary": nil} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return nil, "", err
		}
	}
	p, err := start("freeradius", filepath.Join(dir, "freeradius.out"), program, "-f", "-l", "stdout", "-d", dir, "-n", "bench")
	if err != nil {
		return nil, "", err
	}
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	return p, addr, p.await(ctx, 20*time.Second, func() bool { return answersRADIUS(ctx, addr) })
}
