// Package module_test drives pam_lockstep.so in hosts of many habits
// (testdata/host.c), with a helper that does what it is told
// (testdata/helper.c): right, wrong, or nothing at all.
package module_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"lockstep/internal/testenv"
)

// deadline is what "short.so" gives the helper for each message.
const deadline = 1500 * time.Millisecond

// moduleFlags are those of the Makefile.
const moduleFlags = "-std=gnu11 -O2 -g -Wall -Wextra -Werror -fPIC -fvisibility=hidden -fstack-protector-strong " +
	"-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -shared -Wl,-z,relro,-z,now,-z,defs,-z,noexecstack,--as-needed"

const hostFlags = "-g -O1 -Wall -Wextra -Werror -Wno-implicit-fallthrough"

const sanitized = "-g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all"

// compiled is where the C programs are, once the first test has asked for them.
var compiled struct {
	sync.Once
	dir string
	err error
}

func TestMain(m *testing.M) {
	code := m.Run()
	os.RemoveAll(compiled.dir)
	os.Exit(code)
}

// built returns the folder of the compiled programs.
func built(t *testing.T) string {
	t.Helper()
	gcc := testenv.Tool(t, "gcc")
	if _, err := os.Stat("/usr/include/security/pam_modules.h"); err != nil {
		if testenv.All() {
			t.Fatal("libpam0g-dev is not installed; \"make test\" installs what it needs")
		}
		t.Skip("libpam0g-dev is not installed")
	}
	compiled.Do(func() { compiled.dir, compiled.err = compileAll(gcc) })
	if compiled.err != nil {
		t.Fatal(compiled.err)
	}
	return compiled.dir
}

func compileAll(gcc string) (string, error) {
	dir, err := os.MkdirTemp("", "pam-module")
	if err != nil {
		return "", err
	}
	// The helper is started by a user who may do less, too.
	if err := os.Chmod(dir, 0o755); err != nil {
		return dir, err
	}
	for _, name := range []string{"forbidden", "nonsense"} {
		mode := map[string]os.FileMode{"forbidden": 0o644, "nonsense": 0o755}[name]
		if err := os.WriteFile(filepath.Join(dir, name), []byte("neither ELF nor a script\n"), mode); err != nil {
			return dir, err
		}
	}
	module := func(helper string, wait time.Duration) string {
		return fmt.Sprintf("%s -DLOCKSTEP_HELPER=\"%s/%s\" -DLOCKSTEP_DEADLINE=%d pam_lockstep.c -lpam",
			moduleFlags, dir, helper, wait.Milliseconds())
	}
	const host = "testdata/host.c testdata/signals.c testdata/limits.c -lpam -pthread"
	asan := strings.Replace(sanitized+" "+module("helper", time.Minute), "-O2 ", "", 1)
	asan = strings.Replace(asan, "-D_FORTIFY_SOURCE=2", "", 1)
	asan = strings.Replace(asan, ",-z,defs", "", 1)
	return dir, compile(gcc, dir, map[string]string{
		"pam_lockstep.so": moduleFlags + " pam_lockstep.c -lpam",
		"module.so":       module("helper", time.Minute),
		"short.so":        module("helper", deadline),
		"absent.so":       module("absent", time.Minute),
		"forbidden.so":    module("forbidden", time.Minute),
		"nonsense.so":     module("nonsense", time.Minute),
		"folder.so":       module("", time.Minute),
		"asan.so":         asan,
		"host-asan":       hostFlags + " " + sanitized + " " + host,
		"host":            hostFlags + " " + host,
		"host-valgrind":   hostFlags + " -rdynamic testdata/pidfd.c " + host,
		"helper":          hostFlags + " testdata/helper.c",
		"spy.so":          hostFlags + " -fPIC -shared testdata/spy.c -lpam",
	})
}

func compile(gcc, dir string, all map[string]string) error {
	var wait sync.WaitGroup
	errs := make(chan error, len(all))
	for name, args := range all {
		wait.Go(func() {
			cmd := exec.Command(gcc, append([]string{"-o", filepath.Join(dir, name)}, strings.Fields(args)...)...)
			if out, err := cmd.CombinedOutput(); err != nil {
				errs <- fmt.Errorf("gcc %s: %v\n%s", args, err, out)
			}
		})
	}
	wait.Wait()
	close(errs)
	return <-errs
}

// host is a PAM host with one service.
type host struct {
	program []string // and arguments before its own
	conf    string
	env     []string
}

// newHost returns a host whose stack is these lines of a PAM service file, in
// which DIR is the folder of the modules.
func newHost(t *testing.T, stack ...string) host {
	t.Helper()
	dir, conf := built(t), t.TempDir()
	text := strings.ReplaceAll(strings.Join(stack, "\n")+"\n", "DIR", dir)
	if err := os.WriteFile(filepath.Join(conf, "test"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return host{program: []string{filepath.Join(dir, "host")}, conf: conf}
}

// run returns what the host printed, and fails t if the host did not live to
// print all.
func (h host) run(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	args = append(append(h.program[1:len(h.program):len(h.program)], "-c", h.conf), args...)
	cmd := exec.CommandContext(ctx, h.program[0], args...)
	cmd.Env = h.env
	// A process that is left behind holds the pipe.
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		t.Errorf("host %q hangs", args)
	}
	if err != nil {
		t.Errorf("host %q: %v\n%s", args, err, out)
	}
	return string(out)
}

func expect(t *testing.T, got string, want ...string) {
	t.Helper()
	if lines := strings.Join(want, "\n") + "\n"; got != lines {
		t.Errorf("got:\n%swant:\n%s", got, lines)
	}
}
