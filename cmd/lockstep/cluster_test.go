package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"lockstep/internal/opaque"
	"lockstep/internal/testenv"
	"lockstep/pam"
	"lockstep/store"
	"lockstep/store/bolt"
	"lockstep/verifier"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const maxFailures = 5 // of each account, here

// clustered returns the site of one server of several: it shares secret, people
// and the cluster with the others, and does not run yet. More goes to the end of
// its [store] table.
func clustered(t *testing.T, c *testenv.EtcdCluster, secret string, people []user, more string) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), addr: loopback(), secret: secret, calling: "home", log: &testenv.Buffer{}}
	s.write("secret", secret+"\n")
	s.write("people.ldif", ldifText(t, people...))
	s.configure("etcd", c.Endpoints(), more)
	return s
}

// configure writes the configuration, which names a file and a cluster, and which
// of them is used.
func (s *site) configure(engine string, endpoints []string, more string) {
	s.t.Helper()
	store := fmt.Sprintf("engine = %q\npath = \"state.db\"\nendpoints = [\"%s\"]\n%s", engine, strings.Join(endpoints, `", "`), more)
	text := strings.Replace(fmt.Sprintf(siteTOML, ldifDirectory, s.addr), `path = "state.db"`, store, 1)
	s.write("lockstep.toml", fmt.Sprintf("%s[verifier]\nmax_failures = %d\n", text, maxFailures))
}

// servers starts two servers of one cluster.
func servers(t *testing.T, c *testenv.EtcdCluster, people ...user) (a, b *site) {
	t.Helper()
	a = clustered(t, c, "a secret of 24 octets or more", people, "")
	b = clustered(t, c, a.secret, people, "")
	a.launch()
	b.launch()
	a.ready()
	b.ready()
	return a, b
}

// launch starts the server and does not wait for it.
func (s *site) launch() {
	s.t.Helper()
	s.cmd = program("serve", "-config", filepath.Join(s.dir, "lockstep.toml"))
	s.cmd.Stderr, s.cmd.Stdout = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	cmd := s.cmd
	s.t.Cleanup(func() { s.end(cmd, syscall.SIGKILL) })
}

func (s *site) ready() {
	s.t.Helper()
	s.eventually("the server to be ready", func() bool { return s.status() == nil })
}

// run runs a command with the site's configuration, and checks how it ends and
// what it says.
func (s *site) run(status int, want string, args ...string) {
	s.t.Helper()
	words := 1
	if args[0] == "store" || args[0] == "user" {
		words = 2
	}
	args = append(append(append([]string{}, args[:words]...), "-config", filepath.Join(s.dir, "lockstep.toml")), args[words:]...)
	cmd := program(args...)
	cmd.Dir = s.dir
	out, _ := cmd.CombinedOutput()
	if got := cmd.ProcessState.ExitCode(); got != status || !strings.Contains(string(out), want) {
		s.t.Errorf("%q: status %d, want %d and %q:\n%s", args, got, status, want, out)
	}
}

// answer answers a challenge, perhaps at another server than that of it.
func (s *site) answer(asked testenv.RadclientReply, u user, code, want string) testenv.RadclientReply {
	s.t.Helper()
	if len(asked.Attributes["State"]) != 1 {
		s.t.Fatalf("no challenge: %q", asked.Code)
	}
	r := s.radclient(challengeClient, u.name, code, "State = "+asked.Attributes["State"][0])
	if r.Code != want {
		s.t.Fatalf("the answer of %s gets %q, want %q; the log:\n%s", u.name, r.Code, want, s.tail())
	}
	return r
}

// lock has u's code guessed from as many places as lock the account; from one
// place, it would have to wait in between.
func (s *site) lock(u user) {
	s.t.Helper()
	was := s.calling
	for i := range maxFailures {
		s.calling = fmt.Sprint("guesser", i)
		s.must(plainClient, u.name, u.password+fmt.Sprintf("%06d", i), reject)
	}
	s.calling = was
}

func (s *site) says(want string) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("the log to say %q", want), func() bool { return strings.Contains(s.log.String(), want) })
}

func TestAnyServerAnswers(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "radclient")
	alice, bob, carol, dave, erin := newUser("alice"), newUser("bob"), newUser("carol"), newUser("dave"), newUser("erin")
	a, b := servers(t, testenv.Etcd(t, 1), alice, bob, carol, dave, erin)

	// A challenge of one is answered at the other, also the second in a row.
	b.answer(a.must(challengeClient, "alice", alice.password, challenge), alice, alice.code(0), accept)
	fast := bob.shifted(9 * time.Minute)
	next := b.answer(a.must(challengeClient, "bob", bob.password, challenge), bob, fast(0), challenge)
	a.answer(next, bob, fast(1), accept)

	// The same login is good at the other server, from where it came.
	typed := carol.password + carol.code(0)
	a.must(plainClient, "carol", typed, accept)
	b.calling = "elsewhere"
	b.must(plainClient, "carol", typed, reject)
	b.calling = ""
	b.must(plainClient, "carol", typed, reject)
	b.calling = "home"
	b.must(separatorClient, "carol", carol.password+","+typed[len(carol.password):], reject)
	b.must(plainClient, "carol", typed, accept)
	b.says("after it was accepted")
	a.must(plainClient, "carol", typed, reject)
	b.must(plainClient, "carol", carol.password+carol.code(1), accept)
	a.must(plainClient, "carol", carol.password+carol.code(1), accept)

	// Without a Calling-Station-Id the client stands for it.
	a.calling, b.calling = "", ""
	typed = dave.code(0)
	a.must(codeClient, "dave", typed, accept)
	b.must(plainClient, "dave", dave.password+typed, reject)
	b.must(codeClient, "dave", typed, accept)

	// What the helpdesk does at one is done at all.
	a.lock(erin)
	b.must(plainClient, "erin", erin.password+erin.code(0), reject)
	a.run(0, "", "user", "unlock", "erin")
	b.must(plainClient, "erin", erin.password+erin.code(1), accept)
}

func TestHelpdeskOfOneServerCountsAtAll(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "radclient")
	alice := newUser("alice")
	a, b := servers(t, testenv.Etcd(t, 1), alice)
	fast := alice.shifted(9 * time.Minute)
	cmd := program("user", "resync", "-config", filepath.Join(a.dir, "lockstep.toml"), "alice")
	cmd.Stdin = strings.NewReader(fast(0) + "\n" + fast(1) + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("resync: %v\n%s", err, out)
	}
	b.must(plainClient, "alice", alice.password+fast(1), reject)
	b.must(plainClient, "alice", alice.password+fast(2), accept)
	b.run(0, "by plain", "user", "show", "alice")
	a.run(0, "by plain", "user", "show", "alice")
	a.run(0, "", "user", "resync", "-reset", "alice")
	b.run(0, "not known yet", "user", "show", "alice")
}

// Without the cluster nobody gets any answer, known or not; with it, all is as it was.
func TestClusterGoesAwayAndComesBack(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "radclient")
	alice, bob := newUser("alice"), newUser("bob")
	c := testenv.Etcd(t, 1)
	c.Node(0).Kill(t)
	a := clustered(t, c, "a secret of 24 octets or more", []user{alice, bob}, "")
	a.launch()
	a.says("no quorum of etcd answers")
	nothing := func(typed string) {
		t.Helper()
		if err := a.status(); err == nil {
			t.Error("Status-Server is answered")
		}
		var all sync.WaitGroup
		for name, typed := range map[string]string{"alice": typed, "bob": "wrong", "nobody": "wrong000000"} {
			all.Go(func() {
				if r := a.radclient(plainClient, name, typed); r.Code != silence {
					t.Errorf("%s gets %q\n%s", name, r.Code, a.tail())
				}
			})
		}
		all.Go(func() {
			if r := a.radclient(challengeClient, "alice", alice.password); r.Code != silence {
				t.Errorf("who could be asked for a code gets %q\n%s", r.Code, a.tail())
			}
		})
		all.Wait()
		a.says("the store cannot be used")
		a.run(1, "BAD  store: ", "doctor")
	}
	typed := alice.password + alice.code(0)
	nothing(typed)
	c.Node(0).Start(t)
	a.ready()
	a.must(plainClient, "alice", typed, accept)

	c.Node(0).Freeze(t)
	began, sent := time.Now(), time.Time{}
	a.eventually("silence", func() bool {
		sent = time.Now()
		once := a.status()
		return once != nil && a.status() != nil // once may be the machine's fault
	})
	if took := sent.Sub(began); took > 3*time.Second {
		t.Errorf("silent %v after the cluster went away", took)
	}
	a.eventually("the log to say so", func() bool { return strings.Count(a.log.String(), "no quorum of etcd answers") == 2 })
	typed = alice.password + alice.code(1)
	nothing(typed)
	c.Node(0).Thaw(t)
	a.ready()
	a.says("etcd answers again")
	a.must(plainClient, "alice", typed, accept)
	a.must(plainClient, "alice", typed, reject)
	a.must(plainClient, "nobody", "wrong000000", reject)
}

func TestDoctorOfACluster(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "radclient")
	alice := newUser("alice")
	c := testenv.Etcd(t, 3)
	a, b := servers(t, c, alice)
	a.eventually("the other server to be known", func() bool {
		out, _ := program("doctor", "-config", filepath.Join(a.dir, "lockstep.toml")).CombinedOutput()
		return strings.Contains(string(out), "shares the store, and its clock is like this one's")
	})
	a.run(1, b.addr, "doctor")
	dead := c.Node(c.Leader(t))
	dead.Kill(t)
	a.run(1, "BAD  etcd "+dead.Endpoint(), "doctor")
	typed := alice.password + alice.code(0)
	a.eventually("the others to have a leader", func() bool { return a.radclient(plainClient, "alice", typed).Code == accept })
	b.must(plainClient, "alice", typed, accept)
	b.end(b.cmd, syscall.SIGTERM)
	a.eventually("the server that stopped to be forgotten", func() bool {
		out, _ := program("doctor", "-config", filepath.Join(a.dir, "lockstep.toml")).CombinedOutput()
		return !strings.Contains(string(out), b.addr)
	})
}

// deaf passes on what is sent to a server, and drops what it answers.
func deaf(t *testing.T, to string) (address string) {
	t.Helper()
	in, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	out, err := net.Dial("udp4", to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); out.Close() })
	go func() {
		packet := make([]byte, 4096)
		for {
			n, _, err := in.ReadFrom(packet)
			if err != nil {
				return
			}
			out.Write(packet[:n])
		}
	}()
	return in.LocalAddr().String()
}

// patient gives these answers; before is called ahead of each.
type patient struct {
	answers []string
	before  func(prompt int)
	asked   int
}

func (p *patient) Prompt(pam.Style, string) (opaque.Bytes, error) {
	p.before(p.asked)
	if p.asked == len(p.answers) {
		return opaque.Bytes{}, pam.ErrNoAnswer
	}
	p.asked++
	return opaque.Text(p.answers[p.asked-1]), nil
}

// The PAM module's second server lets in whom the first one let in unheard, and
// hears the answer to the challenge of a server that has died.
func TestPAMTurnsToTheSecondServer(t *testing.T) {
	t.Parallel()
	alice, bob := newUser("alice"), newUser("bob")
	c := testenv.Etcd(t, 1)
	a := clustered(t, c, "a secret of 24 octets or more", []user{alice, bob}, "")
	b := clustered(t, c, a.secret, []user{alice, bob}, "")
	for _, s := range []*site{a, b} {
		text, _ := os.ReadFile(filepath.Join(s.dir, "lockstep.toml"))
		s.write("lockstep.toml", strings.Replace(string(text), `reject_delay = "300ms"`, "challenge = true\nreject_delay = \"300ms\"", 1))
		s.launch()
	}
	a.ready()
	b.ready()
	login := func(first string, name string, who *patient) pam.Outcome {
		t.Helper()
		text := "timeout = \"4s\"\nnas_identifier = \"host1\"\n"
		for _, address := range []string{first, b.addr} {
			text += fmt.Sprintf("[[server]]\naddress = %q\nsecret_file = \"secret\"\n", address)
		}
		a.write("pam.toml", text)
		log := &testenv.Buffer{}
		h := &pam.Helper{Conversation: who, Hostname: os.Hostname, Log: slog.New(slog.NewTextHandler(log, nil))}
		got := h.Authenticate(t.Context(), pam.Start{Service: "sshd", User: name, RHost: "192.0.2.7", Args: []string{"config=" + filepath.Join(a.dir, "pam.toml")}})
		if log.String() != "" {
			t.Logf("PAM logs %s", log)
		}
		return got.Outcome
	}
	quiet := func(int) {}

	typed := alice.code(0)
	if got := login(deaf(t, a.addr), "alice", &patient{answers: []string{alice.password, typed}, before: quiet}); got != pam.Accepted {
		t.Errorf("the accept is lost: %d\n%s\n%s", got, a.tail(), b.tail())
	}
	a.says("msg=decision")
	b.says("after it was accepted")
	if got := login(a.addr, "alice", &patient{answers: []string{alice.password, typed}, before: quiet}); got != pam.Refused {
		t.Errorf("once more, at the server that let her in first: %d\n%s", got, a.tail())
	}

	fast := bob.shifted(9 * time.Minute)
	dies := &patient{answers: []string{bob.password, fast(0), fast(1)}, before: func(prompt int) {
		if prompt == 2 {
			a.end(a.cmd, syscall.SIGKILL)
		}
	}}
	if got := login(a.addr, "bob", dies); got != pam.Accepted || dies.asked != 3 {
		t.Errorf("the server of the challenge died: %d after %d prompts\n%s", got, dies.asked, b.tail())
	}
}

func TestClusterByTLS(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "radclient")
	alice := newUser("alice")
	c := testenv.Etcd(t, 1, testenv.WithEtcdTLS())
	certificates := filepath.Dir(c.Node(0).DataDir())
	a := clustered(t, c, "a secret of 24 octets or more", []user{alice}, fmt.Sprintf(
		"ca_file = %[1]q\ncert_file = %[2]q\nkey_file = %[3]q\n", filepath.Join(certificates, "ca.pem"), filepath.Join(certificates, "cert.pem"), filepath.Join(certificates, "key.pem")))
	a.start()
	a.must(plainClient, "alice", alice.password+alice.code(0), accept)

	for more, want := range map[string]string{
		fmt.Sprintf("ca_file = %q\n", filepath.Join(certificates, "ca.pem")): "store.cert_file names none",
		"": "certificate signed by unknown authority",
	} {
		b := clustered(t, c, a.secret, []user{alice}, more)
		b.launch()
		b.says("no quorum of etcd answers")
		b.says(want)
		if err := b.status(); err == nil {
			t.Errorf("%s: Status-Server is answered", want)
		}
	}
}

func TestClusterWithUsers(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "radclient")
	alice := newUser("alice")
	c := testenv.Etcd(t, 1)
	protect(t, c, "root", "a password")
	for password, want := range map[string]string{
		"":            "user name is empty",
		"no password": "authentication failed",
	} {
		more := ""
		if password != "" {
			more = "user = \"root\"\npassword_file = \"password\"\n"
		}
		s := clustered(t, c, "a secret of 24 octets or more", []user{alice}, more)
		s.write("password", password)
		s.launch()
		s.says(want)
		s.says("nobody is let in")
		if err := s.status(); err == nil {
			t.Errorf("password %q: Status-Server is answered", password)
		}
	}
	s := clustered(t, c, "a secret of 24 octets or more", []user{alice}, "user = \"root\"\npassword_file = \"password\"\n")
	s.write("password", "a password")
	s.start()
	s.must(plainClient, "alice", alice.password+alice.code(0), accept)
}

// protect makes the cluster ask for a user and a password.
func protect(t *testing.T, c *testenv.EtcdCluster, user, password string) {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: c.Endpoints()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	_, err = client.UserAdd(t.Context(), user, password)
	if err == nil {
		_, err = client.UserGrantRole(t.Context(), user, "root")
	}
	if err == nil {
		_, err = client.AuthEnable(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Nothing that is spent or counted is lost on the way to a cluster and back.
func TestStoreCopy(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "radclient")
	alice, bob, carol := newUser("alice"), newUser("bob"), newUser("carol")
	people := []user{alice, bob, carol}
	c := testenv.Etcd(t, 1)
	s := clustered(t, c, "a secret of 24 octets or more", people, "")
	s.configure("bolt", c.Endpoints(), "")
	s.start()
	spent := alice.password + alice.code(0)
	s.must(plainClient, "alice", spent, accept)
	s.lock(bob)
	s.run(3, "stop the server first", "store", "copy", "bolt", "etcd")
	s.run(3, "stop the server first", "store", "copy", "etcd", "bolt")
	s.end(s.cmd, syscall.SIGTERM)
	s.run(0, "2 copied, 0 there already", "store", "copy", "bolt", "etcd")
	s.run(0, "0 copied, 2 there already", "store", "copy", "bolt", "etcd")

	s.configure("etcd", c.Endpoints(), "")
	s.start()
	s.must(plainClient, "alice", spent, reject)
	s.must(plainClient, "bob", bob.password+bob.code(0), reject)
	s.run(0, "locked", "user", "show", "bob")
	s.run(0, "", "user", "unlock", "bob") // and now it is another state
	later := carol.password + carol.code(0)
	s.must(plainClient, "carol", later, accept)
	s.run(3, s.addr+" uses it", "store", "copy", "bolt", "etcd")
	s.run(3, "stop all servers first", "store", "copy", "etcd", "bolt:back.db")
	if _, err := os.Stat(filepath.Join(s.dir, "back.db")); err == nil {
		t.Error("a copy that was refused has made its file")
	}
	s.end(s.cmd, syscall.SIGTERM)

	// What is there with another state is left, and told.
	s.run(1, "with another state", "store", "copy", "bolt", "etcd")
	s.run(1, "1 copied, 1 there already", "store", "copy", "etcd", "bolt")
	s.run(0, "3 copied, 0 there already", "store", "copy", "etcd", "bolt:back.db")
	s.run(0, "0 copied, 3 there already", "store", "copy", "bolt:back.db", "etcd")
	// The lock knows the file that it was used with, and would take another for one
	// that was put back by hand.
	if err := errors.Join(os.Remove(filepath.Join(s.dir, "state.db.lock")), os.Rename(filepath.Join(s.dir, "back.db"), filepath.Join(s.dir, "state.db"))); err != nil {
		t.Fatal(err)
	}
	s.configure("bolt", c.Endpoints(), "")
	s.start()
	s.must(plainClient, "alice", spent, reject)
	s.must(plainClient, "carol", later, reject)
	s.must(plainClient, "bob", bob.password+bob.code(1), accept)
	s.must(plainClient, "alice", alice.password+alice.code(1), accept)
}

// entries is a cluster with one server's entry, as it is after each second.
type entries func(second int) time.Time

func (e entries) Servers(context.Context) ([]store.Peer, error) {
	second := int(time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)) / time.Second) // where synctest begins
	return []store.Peer{{Name: "vpn1", Seen: e(second)}}, nil
}

func TestServersThatRunAreNoticedWhateverTheirClocksSay(t *testing.T) {
	begin := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	beats := func(off time.Duration) entries {
		return func(second int) time.Time { return begin.Add(off + time.Duration(second/10*10)*time.Second) }
	}
	for _, tt := range []struct {
		name  string
		is    entries
		alive bool
	}{
		{"its clock is right", beats(0), true},
		{"its clock is an hour slow", beats(-time.Hour), true},
		{"its clock is an hour ahead", beats(time.Hour), true},
		{"it was killed a while ago", func(int) time.Time { return begin.Add(-time.Minute) }, false},
		{"it was killed just now", func(int) time.Time { return begin }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if err := noneAlive(t.Context(), tt.is, time.Now); (err != nil) != tt.alive {
					t.Errorf("%v after %v", err, time.Since(begin))
				}
			})
		})
	}
}

func TestStoreCopyGoesOnWhereItWasCutShort(t *testing.T) {
	t.Parallel()
	const keys = 8000
	c := testenv.Etcd(t, 1)
	s := clustered(t, c, "a secret of 24 octets or more", []user{newUser("alice")}, "")
	fill(t, filepath.Join(s.dir, "state.db"), keys)
	client, err := clientv3.New(clientv3.Config{Endpoints: c.Endpoints()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	there := func() int64 {
		reply, err := client.Get(t.Context(), "/lockstep/state/", clientv3.WithPrefix(), clientv3.WithCountOnly())
		if err != nil {
			t.Fatal(err)
		}
		return reply.Count
	}
	copying := program("store", "copy", "-config", filepath.Join(s.dir, "lockstep.toml"), "bolt", "etcd")
	copying.Stderr, copying.Stdout = s.log, s.log
	if err := copying.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.end(copying, syscall.SIGKILL) })
	s.eventually("the first records", func() bool { return there() > 0 })
	if err := s.end(copying, syscall.SIGINT); err == nil || !strings.Contains(s.log.String(), "copy again") {
		t.Errorf("the copy that was cut short: %v, and says\n%s", err, s.log)
	}
	if n := there(); n == 0 || n == keys {
		t.Errorf("%d of %d records are there", n, keys)
	}
	s.launch()
	s.says("nobody is let in")
	s.says("run the same")
	if s.status() == nil {
		t.Error("a server takes half of a copy")
	}
	s.end(s.cmd, syscall.SIGTERM)
	s.run(3, "cut short", "store", "copy", "etcd", "bolt:half.db")
	s.run(0, " there already", "store", "copy", "bolt", "etcd")
	if n := there(); n != keys {
		t.Errorf("%d of %d records are there", n, keys)
	}
	s.launch()
	s.ready()
	s.end(s.cmd, syscall.SIGTERM)
	s.run(0, fmt.Sprintf("%d copied, 0 there already", keys), "store", "copy", "etcd", "bolt:back.db")
}

// paused begins a copy from bolt to etcd and stops it at its first records.
func (s *site) paused(c *testenv.EtcdCluster) *exec.Cmd {
	s.t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: c.Endpoints()})
	if err != nil {
		s.t.Fatal(err)
	}
	defer client.Close()
	copying := program("store", "copy", "-config", filepath.Join(s.dir, "lockstep.toml"), "bolt", "etcd")
	copying.Stderr, copying.Stdout = s.log, s.log
	if err := copying.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { s.end(copying, syscall.SIGKILL) })
	s.eventually("the first records", func() bool {
		reply, err := client.Get(s.t.Context(), "/lockstep/state/", clientv3.WithPrefix(), clientv3.WithCountOnly())
		return err == nil && reply.Count > 0
	})
	copying.Process.Signal(syscall.SIGSTOP)
	return copying
}

func TestAServerThatComesUpDuringAStoreCopyLetsNobodyIn(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "radclient")
	alice := newUser("alice")
	c := testenv.Etcd(t, 1)
	s := clustered(t, c, "a secret of 24 octets or more", []user{alice}, "")
	s.configure("bolt", c.Endpoints(), "")
	s.start()
	spent := alice.password + alice.code(0)
	s.must(plainClient, "alice", spent, accept)
	s.end(s.cmd, syscall.SIGTERM)
	fill(t, filepath.Join(s.dir, "state.db"), 8000)

	copying := s.paused(c)
	s.configure("etcd", c.Endpoints(), "")
	s.launch()
	s.says("nobody is let in")
	if s.status() == nil {
		t.Error("a server takes half of a copy")
	}
	copying.Process.Signal(syscall.SIGCONT)
	copying.Wait()
	if copying.ProcessState.ExitCode() != 3 {
		t.Errorf("the copy ends with %v", copying.ProcessState)
	}
	s.says("a server was started during the copy: ")
	if s.status() == nil {
		t.Error("the server takes the copy")
	}
	s.end(s.cmd, syscall.SIGTERM)
	s.run(0, "0 copied, 8001 there already", "store", "copy", "bolt", "etcd")
	s.launch()
	s.ready()
	s.must(plainClient, "alice", spent, reject)
}

func TestHalfACopyIsNoStateFile(t *testing.T) {
	t.Parallel()
	c := testenv.Etcd(t, 1)
	s := clustered(t, c, "a secret of 24 octets or more", []user{newUser("alice")}, "")
	s.configure("bolt", c.Endpoints(), "")
	half, err := bolt.Open(filepath.Join(s.dir, "state.db"), bolt.Options{})
	if err == nil {
		_, _, err = half.BeginCopy(t.Context(), store.CopyMark{Empty: true})
	}
	if err == nil {
		err = half.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // where it is served from
	defer cancel()
	serve := program("serve", "-config", filepath.Join(s.dir, "lockstep.toml"))
	context.AfterFunc(ctx, func() { serve.Process.Kill() })
	if out, _ := serve.CombinedOutput(); serve.ProcessState.ExitCode() != 3 || !strings.Contains(string(out), "run the same") {
		t.Errorf("serve ends with %v:\n%s", serve.ProcessState, out)
	}
	s.run(0, "0 copied, 0 there already", "store", "copy", "etcd", "bolt")
	s.start()
}

// fill writes States to a file.
func fill(t *testing.T, path string, keys int) {
	t.Helper()
	file, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for first := range 64 {
		all.Go(func() {
			for i := first; i < keys; i += 64 {
				if err := file.CompareAndSwap(t.Context(), fmt.Sprintf("key%d", i), 0, verifier.State{Failures: uint32(1 + i%4)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}
