package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"lockstep/internal/opaque"
	"lockstep/internal/radius"
)

// lockstepConf is as a site would have it: all that can be left out is.
const lockstepConf = `[directory]
url = [%[2]q]
base_dn = %[4]q
bind_dn = %[5]q
bind_password_file = "service.secret"
[store]
path = "state.db"
[radius]
listen = ["127.0.0.1:%[1]d"]
accounting = []
[[radius.client]]
name = "bench"
address = "127.0.0.1/32"
secret_file = "bench.secret"
[admin]
socket = ""
[log]
level = %[3]q
`

// build compiles the lockstep of this checkout.
func build(ctx context.Context, to string) error {
	if out, err := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", to, "lockstep/cmd/lockstep").CombinedOutput(); err != nil {
		return fmt.Errorf("build lockstep: %w\n%s", err, out)
	}
	return nil
}

// startLockstep starts a lockstep, whose store is in dir, and returns its address.
func startLockstep(ctx context.Context, dir, program, ldap, level string) (*process, string, error) {
	port, err := freePort()
	if err != nil {
		return nil, "", err
	}
	conf := filepath.Join(dir, "lockstep.toml")
	for name, text := range map[string]string{
		conf:                                 fmt.Sprintf(lockstepConf, port, ldap, level, peopleDN, serviceDN),
		filepath.Join(dir, "service.secret"): servicePassword,
		filepath.Join(dir, "bench.secret"):   sharedSecret,
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			return nil, "", err
		}
	}
	p, err := start("lockstep", filepath.Join(dir, "lockstep.out"), program, "serve", "-config", conf)
	if err != nil {
		return nil, "", err
	}
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	// It answers when it has read the directory: half a minute for a million.
	return p, addr, p.await(ctx, 5*time.Minute, func() bool { return answersRADIUS(ctx, addr) })
}

// answersRADIUS asks for the server's status (RFC 5997).
func answersRADIUS(ctx context.Context, addr string) bool {
	c := radius.Client{Server: addr, Secret: opaque.Text(sharedSecret), Timeout: 300 * time.Millisecond, Tries: 1}
	return c.Status(ctx) == nil
}
