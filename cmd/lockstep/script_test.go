package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"lockstep/internal/testenv"

	"github.com/rogpeppe/go-internal/testscript"
)

// asProgram makes the test binary behave as lockstep.
const asProgram = "LOCKSTEP_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) == "1" {
		main()
	}
	testscript.Main(m, map[string]func(){"lockstep": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status": status,
			"serve":  serveInBackground,
		},
	})
}

// status runs a program and checks its exit status: status 2 lockstep check.
func status(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	if err != nil || neg {
		ts.Fatalf("usage: status N program ...")
	}
	err = ts.Exec(args[1], args[2:]...)
	if got := exitStatus(err); got != want {
		ts.Fatalf("exit status %d (%v), want %d", got, err, want)
	}
}

func exitStatus(err error) int {
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exit.ExitCode()
	} else if err != nil {
		return -1
	}
	return 0
}

// serveInBackground starts a server for the configuration file, in which $PORT
// becomes a free port, and waits until it answers. It ends with the script.
func serveInBackground(ts *testscript.TestScript, neg bool, args []string) {
	path := ts.MkAbs(args[0])
	text := strings.ReplaceAll(ts.ReadFile(args[0]), "$PORT", fmt.Sprint(freePort(ts)))
	ts.Check(os.WriteFile(path, []byte(text), 0o600))
	cmd := exec.Command(os.Args[0], "serve", "-config", path)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	log := &testenv.Buffer{}
	cmd.Stderr = log
	ts.Check(cmd.Start())
	ts.Defer(func() {
		cmd.Process.Signal(os.Interrupt)
		ts.Logf("server ended: %v\n%s", cmd.Wait(), log)
	})
	for deadline := time.Now().Add(10 * time.Second); ; {
		if err := ts.Exec("lockstep", "user", "list", "-config", path); err == nil {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("the server does not answer")
		}
	}
}

func freePort(ts *testscript.TestScript) int {
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	ts.Check(err)
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).Port
}
