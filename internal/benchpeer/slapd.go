package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// slapdConf is one configuration for both servers' sake: an index on what
// FreeRADIUS searches by, and syncprov for what lockstep follows.
const slapdConf = `include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload syncprov
moduleload otp
pidfile %[1]s/slapd.pid
loglevel none
database mdb
suffix %[2]q
directory %[1]s/ldap
maxsize 8589934592
dbnosync
index objectClass,uid,entryUUID,entryCSN eq
limits dn.exact=%[3]q size=unlimited time=unlimited
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact=%[3]q read by self read by * none
overlay syncprov
`

// startSlapd starts a directory with n people, and returns its URL.
func startSlapd(ctx context.Context, dir string, n int) (p *process, url string, err error) {
	program, err := tool("slapd")
	if err != nil {
		return nil, "", err
	}
	if err := os.Mkdir(filepath.Join(dir, "ldap"), 0o700); err != nil {
		return nil, "", err
	}
	conf := filepath.Join(dir, "slapd.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, slapdConf, dir, baseDN, serviceDN), 0o600); err != nil {
		return nil, "", err
	}
	if err := fill(ctx, conf, n); err != nil {
		return nil, "", err
	}
	port, err := freePort()
	if err != nil {
		return nil, "", err
	}
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	p, err = start("slapd", filepath.Join(dir, "slapd.out"), program, "-f", conf, "-h", "ldap://"+addr, "-d", "0")
	if err != nil {
		return nil, "", err
	}
	if err := p.await(ctx, time.Minute, func() bool { return answersTCP(addr) }); err != nil {
		p.stop()
		return nil, "", err
	}
	return p, "ldap://" + addr, nil
}

// fill writes the database itself, as a million people by LDAP would take hours.
func fill(ctx context.Context, conf string, n int) error {
	program, err := tool("slapadd")
	if err != nil {
		return err
	}
	// -w notes the newest change, or slapd looks for it in all entries when it starts.
	cmd := exec.CommandContext(ctx, program, "-q", "-w", "-f", conf, "-b", baseDN)
	r, w := io.Pipe()
	cmd.Stdin = r
	go func() { w.CloseWithError(writeLDIF(w, n)) }()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("slapadd: %w\n%s", err, out)
	}
	return nil
}

func answersTCP(addr string) bool {
	c, err := net.DialTimeout("tcp4", addr, time.Second)
	if err != nil {
		return false
	}
	c.Close()
	return true
}
