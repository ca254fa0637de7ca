package hosts

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"lockstep/internal/testenv"
)

// logins is how many are made in each mode. A hang is rare where there is one.
const logins = 50

const (
	plainStack = "auth required MODULE\naccount required pam_permit.so\nsession required pam_permit.so\n"
	// The unix password by pam_unix, and the code by the module.
	unixStack = "auth required pam_unix.so\nauth required MODULE code_only\naccount required pam_permit.so\nsession required pam_permit.so\n"
)

// sshd is a real sshd on the stage.
type sshd struct {
	*stage
	addr string
	log  *testenv.Buffer
	cmd  *exec.Cmd
	key  string // private, of everybody
}

func (s *stage) sshd(options string) *sshd {
	s.t.Helper()
	d := &sshd{stage: s, log: &testenv.Buffer{}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	d.addr = l.Addr().String()
	l.Close()
	host, port, _ := net.SplitHostPort(d.addr)
	keygen := testenv.Tool(s.t, "ssh-keygen")
	for _, name := range []string{"host_key", "user_key"} {
		if _, err := os.Stat(filepath.Join(s.dir, name)); err == nil {
			continue
		}
		if out, err := exec.Command(keygen, "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(s.dir, name)).CombinedOutput(); err != nil {
			s.t.Fatalf("%v: %s", err, out)
		}
	}
	d.key = filepath.Join(s.dir, "user_key")
	// The first value of an option counts.
	config := s.write("sshd_config", fmt.Sprintf(`%s
ListenAddress %s
Port %s
HostKey %s/host_key
PidFile none
UsePAM yes
UseDNS no
StrictModes no
MaxStartups 200
AuthorizedKeysFile %s/user_key.pub
PasswordAuthentication no
KbdInteractiveAuthentication no
`, options, host, port, s.dir, s.dir), 0o644)
	d.cmd = s.command("sshd", "-D", "-e", "-f", config)
	d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
	if err := d.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { syscall.Kill(-d.cmd.Process.Pid, syscall.SIGTERM); d.cmd.Wait() })
	testenv.Eventually(s.t, "sshd", func() bool {
		conn, err := net.Dial("tcp", d.addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return d
}

// ssh logs in with OpenSSH's client. answers are given in order, the last one
// again and again; the prompts come back.
func (d *sshd) ssh(user, methods string, answers ...string) (out string, prompts []string, err error) {
	d.t.Helper()
	dir, err := os.MkdirTemp(d.dir, "ssh-")
	if err != nil {
		d.t.Fatal(err)
	}
	script := `#!/bin/sh
printf '%s\n' "$1" | tr '\n' ' ' >>"$DIR/prompts"; echo >>"$DIR/prompts"
n=$(wc -l <"$DIR/prompts")
last=$(wc -l <"$DIR/answers")
[ "$n" -le "$last" ] || n=$last
sed -n "${n}p" "$DIR/answers"
`
	for name, text := range map[string]string{"askpass": script, "answers": strings.Join(append(answers, ""), "\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			d.t.Fatal(err)
		}
	}
	out, err = d.runFree(d.client(user, methods, dir, "echo in as $(id -un 2>/dev/null || id -u)"))
	asked, _ := os.ReadFile(filepath.Join(dir, "prompts"))
	for line := range strings.Lines(string(asked)) {
		prompts = append(prompts, strings.TrimSpace(line))
	}
	return out, prompts, err
}

// client returns OpenSSH's client, which asks dir/askpass.
func (d *sshd) client(user, methods, dir, command string) *exec.Cmd {
	host, port, _ := net.SplitHostPort(d.addr)
	cmd := exec.Command(testenv.Tool(d.t, "ssh"), "-F", "none", "-p", port, "-i", d.key,
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
		"-o", "NumberOfPasswordPrompts=1", "-o", "PreferredAuthentications="+methods, "-o", "IdentitiesOnly=yes",
		user+"@"+host, command)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "SSH_ASKPASS=" + filepath.Join(dir, "askpass"), "SSH_ASKPASS_REQUIRE=force", "DIR=" + dir, "DISPLAY=:0"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	return cmd
}

// runFree is run for a command that is not on the stage.
func (s *stage) runFree(cmd *exec.Cmd) (string, error) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, &out, time.Second
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	hung := time.AfterFunc(patience, func() {
		s.t.Errorf("%q hangs", cmd.Args)
		cmd.Process.Kill()
	})
	defer hung.Stop()
	err := cmd.Wait()
	return out.String(), err
}

// wait logs in and stays at a prompt: it returns when the prompt is there.
func (d *sshd) wait(user, methods string) *exec.Cmd {
	d.t.Helper()
	dir, err := os.MkdirTemp(d.dir, "wait-")
	if err != nil {
		d.t.Fatal(err)
	}
	script := "#!/bin/sh\ntouch " + dir + "/asked\nexec sleep 60\n"
	if err := os.WriteFile(filepath.Join(dir, "askpass"), []byte(script), 0o755); err != nil {
		d.t.Fatal(err)
	}
	cmd := d.client(user, methods, dir, "true")
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	testenv.Eventually(d.t, "a prompt", func() bool { _, err := os.Stat(filepath.Join(dir, "asked")); return err == nil })
	return cmd
}

// A client that goes away at a prompt leaves nothing behind, nor does one that is
// too slow for sshd.
func TestSSHClientGoesAway(t *testing.T) {
	t.Parallel()
	s := newStage(t, 1, map[string]string{"sshd": plainStack})
	for _, mode := range []string{"LoginGraceTime 120", "LoginGraceTime 8"} {
		d := s.sshd("KbdInteractiveAuthentication yes\n" + mode)
		cmd := d.wait(s.people[0].name, "keyboard-interactive")
		if mode == "LoginGraceTime 120" {
			if len(d.children()) == 0 {
				t.Error("no login is in progress")
			}
			syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		}
		testenv.Eventually(t, "sshd to give up: "+mode, func() bool { return len(d.children()) == 0 })
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
		nothingLeft(t)
	}
}

// children returns the processes of d's logins.
func (d *sshd) children() (pids []int) {
	d.t.Helper()
	out, err := exec.Command(testenv.Tool(d.t, "pgrep"), "-g", fmt.Sprint(d.cmd.Process.Pid)).Output()
	if err != nil {
		return nil
	}
	for _, field := range strings.Fields(string(out)) {
		var pid int
		fmt.Sscan(field, &pid)
		if pid != d.cmd.Process.Pid {
			pids = append(pids, pid)
		}
	}
	return append(pids, d.sessions()...)
}

// sessions returns those that have left sshd's process group.
func (d *sshd) sessions() (pids []int) {
	all, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range all {
		var pid, parent int
		var name, state string
		text, _ := os.ReadFile(path)
		if fmt.Sscan(string(text), &pid, &name, &state, &parent); parent == d.cmd.Process.Pid {
			pids = append(pids, pid)
			for _, other := range all {
				var child, of int
				text, _ := os.ReadFile(other)
				if fmt.Sscan(string(text), &child, &name, &state, &of); of == pid {
					pids = append(pids, child)
				}
			}
		}
	}
	return pids
}

// After a login sshd's processes hold no copy of the password.
func TestSSHForgetsThePassword(t *testing.T) {
	t.Parallel()
	s := newStage(t, 2, map[string]string{"sshd": plainStack})
	for i, mode := range []string{"password", "keyboard-interactive"} {
		d := s.sshd("PasswordAuthentication yes\nKbdInteractiveAuthentication yes")
		p := s.people[i]
		dir, err := os.MkdirTemp(d.dir, "stay-")
		if err != nil {
			t.Fatal(err)
		}
		both := p.password + p.code(0)
		if err := os.WriteFile(filepath.Join(dir, "askpass"), []byte("#!/bin/sh\necho '"+both+"'\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		cmd := d.client(p.name, mode, dir, "echo in; cat >/dev/null")
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out := &testenv.Buffer{}
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		testenv.Eventually(t, "the login", func() bool { return strings.Contains(out.String(), "in\n") })
		sessions := d.sessions()
		if len(sessions) < 2 {
			t.Errorf("%s: only %d processes of sshd found", mode, len(sessions))
		}
		found := 0 // of what is there for certain
		for _, pid := range sessions {
			found += copies(t, pid, p.name)
			if n := copies(t, pid, p.password); n > 0 {
				t.Errorf("%s: %d copies of the password in process %d", mode, n, pid)
			}
		}
		if found == 0 {
			t.Errorf("%s: not even the name of the user is found", mode)
		}
		stdin.Close()
		cmd.Wait()
	}
}

// copies counts text in the memory of a process.
func copies(t *testing.T, pid int, text string) (n int) {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	seen := 0
	for line := range strings.Lines(string(maps)) {
		var from, to int64
		if _, err := fmt.Sscanf(line, "%x-%x rw", &from, &to); err != nil {
			continue
		}
		b := make([]byte, to-from)
		if got, _ := mem.ReadAt(b, from); got > 0 {
			seen += got
			n += bytes.Count(b[:got], []byte(text))
		}
	}
	if seen < 1<<16 {
		t.Errorf("only %d octets of process %d could be read", seen, pid)
	}
	return n
}

// nothingLeft waits until no helper runs on any stage of this process.
func nothingLeft(t *testing.T) {
	t.Helper()
	testenv.Eventually(t, "the helpers to end", func() bool { return len(helpers(t)) == 0 })
}

func helpers(t *testing.T) (pids []string) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		t.Fatal(err)
	}
	for _, exe := range all {
		if target, _ := os.Readlink(exe); strings.HasPrefix(target, filepath.Join(built.dir, "lockstep-pam")) {
			pids = append(pids, filepath.Base(filepath.Dir(exe)))
		}
	}
	return pids
}

// everybody makes one login for each person, a few at a time.
func (s *stage) everybody(f func(p person)) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, 6)
	for _, p := range s.people {
		slots <- struct{}{}
		wg.Go(func() { f(p); <-slots })
	}
	wg.Wait()
}

func TestSSHKeyboardInteractive(t *testing.T) {
	t.Parallel()
	s := newStage(t, logins, map[string]string{"sshd": plainStack})
	d := s.sshd("KbdInteractiveAuthentication yes")
	s.everybody(func(p person) {
		code := p.code(0)
		out, prompts, err := d.ssh(p.name, "keyboard-interactive", p.password, code)
		if err != nil || out != "in as "+p.name+"\n" && !strings.HasPrefix(out, "in as ") {
			t.Errorf("%s: %v, %q, asked %q\n%s", p.name, err, out, prompts, s.server.tail())
		}
		if len(prompts) != 2 || !strings.HasSuffix(prompts[0], "Password:") || !strings.HasSuffix(prompts[1], "Code:") {
			t.Errorf("%s: asked %q", p.name, prompts)
		}
		if out, _, err := d.ssh(p.name, "keyboard-interactive", p.password, code); err == nil {
			t.Errorf("%s: the code was good twice: %q", p.name, out)
		}
	})
	nothingLeft(t)
	first := s.people[0]
	if log := s.server.log.String(); !strings.Contains(log, "calling=127.0.0.1") || strings.Contains(log, first.password) {
		t.Errorf("no Calling-Station-Id, or a password, in the log:\n%s", s.server.tail())
	}
}

// In password mode sshd gives one string to every prompt.
func TestSSHPassword(t *testing.T) {
	t.Parallel()
	s := newStage(t, logins, map[string]string{"sshd": plainStack})
	d := s.sshd("PasswordAuthentication yes")
	s.everybody(func(p person) {
		out, prompts, err := d.ssh(p.name, "password", p.password+p.code(0))
		if err != nil || !strings.HasPrefix(out, "in as ") || len(prompts) != 1 {
			t.Errorf("%s: %v, %q, asked %q\n%s", p.name, err, out, prompts, s.server.tail())
		}
	})
	if out, _, err := d.ssh(s.people[0].name, "password", s.people[0].password); err == nil {
		t.Errorf("in with the password alone: %q", out)
	}
	nothingLeft(t)
}

func TestSSHKeyThenCode(t *testing.T) {
	t.Parallel()
	s := newStage(t, logins, map[string]string{"sshd": plainStack})
	d := s.sshd("KbdInteractiveAuthentication yes\nAuthenticationMethods publickey,keyboard-interactive")
	s.everybody(func(p person) {
		out, prompts, err := d.ssh(p.name, "publickey,keyboard-interactive", p.password, p.code(0))
		if err != nil || !strings.HasPrefix(out, "in as ") {
			t.Errorf("%s: %v, %q, asked %q\n%s", p.name, err, out, prompts, s.server.tail())
		}
	})
	nothingLeft(t)
}

// The server's challenges are further prompts, with its words: here a device that
// is 9 min fast.
func TestSSHOutOfStep(t *testing.T) {
	t.Parallel()
	s := newStage(t, 1, map[string]string{"sshd": plainStack})
	d := s.sshd("KbdInteractiveAuthentication yes")
	p := s.people[0]
	far, next := p.code(18), p.code(19)
	out, prompts, err := d.ssh(p.name, "keyboard-interactive", p.password, far, next)
	if err != nil || len(prompts) != 3 || !strings.Contains(prompts[2], "Your code is out of step. Enter the next code shown:") {
		t.Errorf("%v, %q, asked %q\n%s", err, out, prompts, s.server.tail())
	}
}

// Nobody whom sshd denies reaches the server, nor does sshd's dummy answer.
func TestSSHDenied(t *testing.T) {
	t.Parallel()
	s := newStage(t, 2, map[string]string{"sshd": plainStack})
	for _, mode := range []string{"KbdInteractiveAuthentication yes", "PasswordAuthentication yes"} {
		d := s.sshd(mode + "\nDenyUsers user00")
		methods := map[bool]string{true: "password", false: "keyboard-interactive"}[strings.HasPrefix(mode, "Pass")]
		p := s.people[0]
		if out, _, err := d.ssh(p.name, methods, p.password, p.code(0)); err == nil {
			t.Errorf("%s: %q", mode, out)
		}
	}
	if log := s.server.log.String(); strings.Contains(log, "user=user00") {
		t.Errorf("a denied login was sent:\n%s", s.server.tail())
	}
}

func (v *server) tail() string {
	lines := strings.Split(v.log.String(), "\n")
	return strings.Join(lines[max(0, len(lines)-10):], "\n")
}

// The server dies while somebody types: nobody gets in, and nothing hangs or is
// left.
func TestServerDiesInTheMiddle(t *testing.T) {
	t.Parallel()
	s := newStage(t, 1, map[string]string{"svc": plainStack})
	s.server.kill()
	p := s.people[0]
	out, err := s.run(s.command("pamtester", "svc", p.name, "authenticate"), p.password, p.code(0))
	if err == nil || !strings.Contains(out, "Authentication service cannot retrieve authentication info") {
		t.Errorf("%v, %q", err, out)
	}
	s.server.start(t)
	if out, err := s.run(s.command("pamtester", "svc", p.name, "authenticate"), p.password, p.code(0)); err != nil {
		t.Errorf("%v, %q\n%s", err, out, s.server.tail())
	}
	nothingLeft(t)
}

func TestPamtester(t *testing.T) {
	t.Parallel()
	s := newStage(t, logins, map[string]string{
		"svc": plainStack,
		"one": "auth required MODULE one_prompt\naccount required pam_permit.so\n",
	})
	s.everybody(func(p person) {
		out, err := s.run(s.command("pamtester", "svc", p.name, "authenticate", "setcred", "acct_mgmt"), p.password, p.code(0))
		if err != nil {
			t.Errorf("%v, %q\n%s", err, out, s.server.tail())
		}
	})
	p := s.people[0]
	if out, err := s.run(s.command("pamtester", "one", p.name, "authenticate"), p.code(1)+p.password); err != nil {
		t.Errorf("one prompt: %v, %q\n%s", err, out, s.server.tail())
	}
	for _, typed := range [][]string{{p.password, "000000"}, {"wrong", p.code(2)}, {"", ""}, {p.password}, {}} {
		if out, err := s.run(s.command("pamtester", "svc", p.name, "authenticate"), typed...); err == nil {
			t.Errorf("%q: %q", typed, out)
		}
	}
	nothingLeft(t)
}

// One password is good for the server and for pam_unix, which comes after.
func TestForwardPass(t *testing.T) {
	t.Parallel()
	s := newStage(t, 1, nil)
	p := s.people[0]
	s.localPassword = p.password
	stack := "auth required MODULE forward_pass%s\nauth required pam_unix.so use_first_pass\naccount required pam_permit.so\n"
	s.writeHost(s.server, map[string]string{"two": fmt.Sprintf(stack, ""), "one": fmt.Sprintf(stack, " one_prompt"), "not": strings.Replace(fmt.Sprintf(stack, ""), "forward_pass", "", 1)})
	if out, err := s.run(s.command("pamtester", "two", p.name, "authenticate"), p.password, p.code(0)); err != nil {
		t.Errorf("two prompts: %v, %q\n%s", err, out, s.server.tail())
	}
	if out, err := s.run(s.command("pamtester", "one", p.name, "authenticate"), p.password+p.code(1)); err != nil {
		t.Errorf("one prompt: %v, %q\n%s", err, out, s.server.tail())
	}
	s.localPassword = ""
	s.writeHost(s.server, nil)
	if out, err := s.run(s.command("pamtester", "two", p.name, "authenticate"), p.password, p.code(-1)); err == nil {
		t.Errorf("with another local password: %q", out)
	}
}

// People who are not enrolled get in by their local password, if and only if
// nullok is there and the server says that they are not.
func TestNullok(t *testing.T) {
	t.Parallel()
	s := newStage(t, 2, nil)
	stranger := person{name: "daemon"}
	told := s.serve("factors = \"code\"\ntell_not_enrolled = true", "told")
	stack := "auth required pam_permit.so\nauth required MODULE code_only%s\naccount required pam_permit.so\n"
	services := map[string]string{"null": fmt.Sprintf(stack, " nullok"), "nonull": fmt.Sprintf(stack, "")}
	s.writeHost(told, services)
	if out, err := s.run(s.command("pamtester", "null", stranger.name, "authenticate")); err != nil {
		t.Errorf("nullok: %v, %q\n%s", err, out, told.tail())
	}
	if out, err := s.run(s.command("pamtester", "nonull", stranger.name, "authenticate"), "123456"); err == nil || !strings.Contains(out, "User not known") {
		t.Errorf("without nullok: %v, %q", err, out)
	}
	// In sshd too, for somebody who has an account and no key at the server.
	s.writeHost(told, map[string]string{"sshd": "auth required pam_unix.so\nauth required MODULE code_only nullok\naccount required pam_permit.so\nsession required pam_permit.so\n"})
	d := s.sshd("KbdInteractiveAuthentication yes")
	s.enrolled(told, s.people[1:])
	if out, prompts, err := d.ssh(s.people[0].name, "keyboard-interactive", unixPassword); err != nil || len(prompts) != 1 {
		t.Errorf("sshd: %v, %q, asked %q\n%s", err, out, prompts, told.tail())
	}
	p := s.people[1]
	if out, err := s.run(s.command("pamtester", "null", p.name, "authenticate"), "000000"); err == nil {
		t.Errorf("enrolled, with a wrong code: %q", out)
	}
	if out, err := s.run(s.command("pamtester", "null", p.name, "authenticate"), p.code(0)); err != nil {
		t.Errorf("enrolled: %v, %q\n%s", err, out, told.tail())
	}
	told.kill()
	if out, err := s.run(s.command("pamtester", "null", stranger.name, "authenticate")); err == nil {
		t.Errorf("with the server away: %q", out)
	}
}

// The stack that the manual has for getting in when no server answers.
func TestBreakGlass(t *testing.T) {
	t.Parallel()
	s := newStage(t, 2, map[string]string{"login": "auth [success=1 default=ignore] pam_succeed_if.so quiet uid = 0\n" +
		"auth [success=done default=die] MODULE\nauth required pam_unix.so\naccount required pam_permit.so\n"})
	p := s.people[1]
	if out, err := s.run(s.command("pamtester", "login", p.name, "authenticate"), p.password, p.code(0)); err != nil {
		t.Errorf("ordinarily: %v, %q", err, out)
	}
	s.server.kill()
	if out, err := s.run(s.command("pamtester", "login", "root", "authenticate"), unixPassword); err != nil {
		t.Errorf("root: %v, %q", err, out)
	}
	if out, err := s.run(s.command("pamtester", "login", "root", "authenticate"), "wrong"); err == nil {
		t.Errorf("root with a wrong password: %q", out)
	}
	if out, err := s.run(s.command("pamtester", "login", p.name, "authenticate"), unixPassword, unixPassword); err == nil {
		t.Errorf("another: %q", out)
	}
}

// The unix password is checked here, the code there.
func TestCodeOnly(t *testing.T) {
	t.Parallel()
	s := newStage(t, 6, nil)
	codes := s.serve(`factors = "code"`, "codes")
	s.writeHost(codes, map[string]string{"svc": unixStack, "sshd": unixStack})
	d := s.sshd("KbdInteractiveAuthentication yes")
	s.everybody(func(p person) {
		if out, err := s.run(s.command("pamtester", "svc", p.name, "authenticate"), unixPassword, p.code(0)); err != nil {
			t.Errorf("%v, %q\n%s", err, out, codes.tail())
		}
		if out, prompts, err := d.ssh(p.name, "keyboard-interactive", unixPassword, p.code(1)); err != nil {
			t.Errorf("%v, %q, asked %q\n%s", err, out, prompts, codes.tail())
		}
		if out, err := s.run(s.command("pamtester", "svc", p.name, "authenticate"), unixPassword, unixPassword); err == nil {
			t.Errorf("a password as a code: %q", out)
		}
	})
	if n := strings.Count(codes.log.String(), "msg=decision"); n != 12 {
		t.Errorf("%d decisions, want 12: a password must not be sent as a code", n)
	}
}

func TestSu(t *testing.T) {
	t.Parallel()
	s := newStage(t, logins, map[string]string{"su": plainStack})
	s.everybody(func(p person) {
		out, err := s.run(s.command("su", p.name, "-c", "id -u"), p.password, p.code(0))
		if err != nil || !strings.Contains(out, "200") {
			t.Errorf("%v, %q\n%s", err, out, s.server.tail())
		}
	})
	nothingLeft(t)
}

// What a user puts into the environment of a setuid program does not reach the
// helper.
func TestSuWithAHostileEnvironment(t *testing.T) {
	t.Parallel()
	s := newStage(t, 2, map[string]string{"su": plainStack})
	for i, env := range []string{"GODEBUG=inittrace=1", "GOMEMLIMIT=junk"} {
		p := s.people[i]
		cmd := s.command("setpriv", "--reuid=20001", "--regid=20001", "--clear-groups", "su", p.name, "-c", "echo in")
		cmd.Env = append(os.Environ(), env)
		if out, err := s.run(cmd, p.password, p.code(0)); err != nil || strings.Contains(out, "init ") || !strings.Contains(out, "in") {
			t.Errorf("%s: %v, %q\n%s", env, err, out, s.server.tail())
		}
	}
}

func TestSudo(t *testing.T) {
	for _, sudoers := range []string{"sudoers", "sudoers.pty"} {
		t.Run(sudoers, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, logins, map[string]string{"sudo": plainStack})
			s.sudoers(sudoers)
			s.everybody(func(p person) { s.sudo(p) })
			nothingLeft(t)
		})
	}
}

// sudoers puts another file in place of /etc/sudoers.
func (s *stage) sudoers(name string) {
	if out, err := s.run(s.command("mount", "--bind", filepath.Join(s.dir, name), "/etc/sudoers")); err != nil {
		s.t.Fatalf("%v: %s", err, out)
	}
}

// sudo has p run a command as root, perhaps under another program that can
// start it as p.
func (s *stage) sudo(p person, under ...string) {
	if len(under) == 0 {
		under = []string{"setpriv", "--reuid=" + p.name, "--regid=" + s.uid(p), "--clear-groups"}
	}
	cmd := s.command(under[0], slices.Concat(under[1:], []string{testenv.Tool(s.t, "sudo"), "-k", "-S", "-p", "", "id", "-u"})...)
	out, err := s.run(cmd, p.password, p.code(0))
	if err != nil || !strings.HasSuffix(out, "0\n") {
		s.t.Errorf("%s: %v, %q\n%s", p.name, err, out, s.server.tail())
	}
}

func (s *stage) uid(p person) string {
	return fmt.Sprint(20001 + slices.IndexFunc(s.people, func(q person) bool { return q.name == p.name }))
}

// sudo waits for its child in a way that a thread of the module's in its process
// would break, now and then. With signal handlers set slowly it would be often.
func TestSudoSetsHandlersSlowly(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "strace")
	s := newStage(t, 15, map[string]string{"sudo": plainStack})
	for _, p := range s.people {
		s.sudo(p, "strace", "-u", p.name, "-f", "-o", "/dev/null", "-e", "trace=rt_sigaction", "-e", "inject=rt_sigaction:delay_enter=1500")
	}
	nothingLeft(t)
}

func TestLogin(t *testing.T) {
	t.Parallel()
	s := newStage(t, logins, map[string]string{"login": plainStack})
	login := testenv.Tool(t, "login")
	s.everybody(func(p person) {
		out := s.converse(s.command(login, p.name), turn{"Password: ", p.password}, turn{"Code: ", p.code(0)},
			turn{"$ ", "echo in as $(id -u)"}, turn{"in as 200", "exit"})
		if !strings.Contains(out, "in as 200") {
			t.Errorf("%q\n%s", out, s.server.tail())
		}
	})
	nothingLeft(t)
}

// A VPN login and an ssh login race with one code: one gets in.
func TestRaceWithTheVPN(t *testing.T) {
	t.Parallel()
	s := newStage(t, 10, map[string]string{"sshd": plainStack})
	d := s.sshd("KbdInteractiveAuthentication yes")
	for _, p := range s.people {
		code := p.code(0)
		var wg sync.WaitGroup
		var host, vpn bool
		wg.Go(func() { _, _, err := d.ssh(p.name, "keyboard-interactive", p.password, code); host = err == nil })
		wg.Go(func() { vpn = s.server.vpn(t, p, code) })
		wg.Wait()
		if host == vpn {
			t.Errorf("%s: host %v, vpn %v\n%s", p.name, host, vpn, s.server.tail())
		}
	}
}
