package faults

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"

	"lockstep/config"
	"lockstep/internal/radius"
	"lockstep/internal/server"
)

// instance is a lockstep server with the links that it hears others by and the
// air between it and the appliances.
type instance struct {
	*process
	addr      string // itself
	clock     string // the file by which its clock is stepped; empty where it has the real one
	directory *link
	store     []*link // to each node of etcd
	plain     *air    // of appliances that send password and code at once
	asking    *air    // of those that may be challenged
	plainDesk *desk
	askDesk   *desk
	probe     *desk // past the air
}

const instanceTOML = `
[directory]
url = ["ldap://%s"]
base_dn = "dc=example,dc=org"
bind_dn = %q
bind_password_file = "ldap.secret"
timeout = "1s"
[store]
%s
[radius]
listen = ["%s"]
accounting = []
[[radius.client]]
name = "vpn"
address = "127.0.0.1"
secret_file = "radius.secret"
reject_delay = "50ms"
[[radius.client]]
name = "asking"
address = "127.0.0.2"
secret_file = "radius.secret"
reject_delay = "50ms"
challenge = true
[admin]
socket = ""
[log]
format = "json"
`

func (s *site) newInstance(t testing.TB, i int, storeTOML string, stepped bool) *instance {
	t.Helper()
	name := serverName(i)
	dir := filepath.Join(s.dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	n := &instance{addr: freeAddr(t), directory: newLink(t, strings.TrimPrefix(s.slapd.URL, "ldap://"), s.seed+uint64(10+i), nil)}
	if s.etcd != nil {
		var urls []string
		for j, to := range s.etcd.urls {
			l := newLink(t, to, s.seed+uint64(20+10*i+j), nil)
			n.store = append(n.store, l)
			urls = append(urls, fmt.Sprintf("%q", "http://"+l.addr()))
		}
		storeTOML = fmt.Sprintf("engine = \"etcd\"\nprefix = \"/lockstep/\"\nendpoints = [%s]", strings.Join(urls, ", "))
	}
	path := filepath.Join(dir, "lockstep.toml")
	for file, text := range map[string]string{
		"ldap.secret": s.slapd.ServicePassword, "radius.secret": s.secret,
		"lockstep.toml": fmt.Sprintf(instanceTOML, n.directory.addr(), s.slapd.ServiceDN, storeTOML, n.addr),
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	command := func() *exec.Cmd { return exec.Command(s.program, "serve", "-config", path) }
	if stepped {
		n.clock = filepath.Join(dir, "clock")
		n.step(t, 0)
		command = func() *exec.Cmd {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), asServer+"="+path, asClock+"="+n.clock)
			return cmd
		}
	}
	n.process = newProcess(t, s.dir, name, command)
	n.plain = newAir(t, n.addr, net.IPv4(127, 0, 0, 1), s.seed+uint64(50+i))
	n.asking = newAir(t, n.addr, net.IPv4(127, 0, 0, 2), s.seed+uint64(60+i))
	secret := []byte(s.secret)
	n.plainDesk, n.askDesk, n.probe = newDesk(t, n.plain.addr(), secret), newDesk(t, n.asking.addr(), secret), newDesk(t, n.addr, secret)
	return n
}

// serverName is what a server is called, counted from 0, in its lines of the log too.
func serverName(i int) string { return fmt.Sprint("lockstep", i+1) }

// step sets how far the server's clock is ahead.
func (n *instance) step(t testing.TB, ahead time.Duration) {
	t.Helper()
	// Renamed into place, so that it is never read half written.
	if err := os.WriteFile(n.clock+".new", []byte(ahead.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(n.clock+".new", n.clock); err != nil {
		t.Fatal(err)
	}
}

// status asks once whether the server says that it is ready.
func (n *instance) status(ctx context.Context, draw func(int) int, patience time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	nas := radius.Attribute{Type: rfc2865.NASIdentifier_Type, Value: []byte("vpn")}
	_, ok := n.probe.ask(ctx, 1, draw, layeh.CodeStatusServer, nil, []radius.Attribute{nas}, func(answer, bool) {})
	return ok
}

// weather sets that of all that appliances and the server say.
func (n *instance) weather(w weather) {
	n.plain.set(w)
	n.asking.set(w)
}

// By these the test binary is a server whose clock can be stepped.
const (
	asServer = "LOCKSTEP_FAULTS_CONFIG"
	asClock  = "LOCKSTEP_FAULTS_CLOCK"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(asServer); path != "" {
		if err := serve(path, os.Getenv(asClock)); err != nil {
			slog.Error("faults", "err", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if os.Getenv(inside) == "" && os.Geteuid() == 0 {
		if status, ran := runInside(); ran {
			os.Exit(status)
		}
	}
	status := m.Run()
	if builds.Load() {
		os.RemoveAll(build().dir)
	}
	os.Exit(status)
}

const inside = "LOCKSTEP_FAULTS_INSIDE"

// runInside runs the tests in a mount namespace of their own, so that the small
// disks go with them even if they are killed. Not every root may have one.
func runInside() (status int, ran bool) {
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if cmd.Run(); cmd.ProcessState == nil {
		return 0, false
	}
	return cmd.ProcessState.ExitCode(), true
}

// serve runs a server as "lockstep serve" does, but for its clock.
func serve(path, clock string) error {
	cfg, err := config.Load(path)
	if err != nil {
		return err
	}
	var ahead atomic.Int64
	read := func() {
		if text, err := os.ReadFile(clock); err == nil {
			if d, err := time.ParseDuration(strings.TrimSpace(string(text))); err == nil {
				ahead.Store(int64(d))
			}
		}
	}
	read()
	now := func() time.Time {
		if off := time.Duration(ahead.Load()); off != 0 {
			// Without the monotonic reading, which a step does not change.
			return time.Now().Add(off).Round(0)
		}
		return time.Now()
	}
	s, err := server.StartAt(cfg, slog.New(slog.NewJSONHandler(os.Stderr, nil)), now)
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	look := time.NewTicker(20 * time.Millisecond)
	for {
		select {
		case err := <-s.Failed():
			return err
		case <-signals:
			return s.Shutdown(context.Background())
		case <-look.C:
			read()
		}
	}
}

// seedFrom returns the seed of this run.
func seedFrom(t testing.TB) uint64 {
	t.Helper()
	text := os.Getenv("LOCKSTEP_FAULTS_SEED")
	if text == "" {
		return uint64(time.Now().UnixNano()) % 1_000_000
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("LOCKSTEP_FAULTS_SEED: %v", err)
	}
	return seed
}
