package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"lockstep/internal/testenv"
)

// What enrolment shows because it is for the one who is enrolled, and nothing else:
// the QR code, the URI, and the key.
var shown = regexp.MustCompile(`(?m)^(otpauth://.*|key: .*|[ █▀▄]+)$`)

// What LDIF says because it is for ldapmodify.
var inLDIF = regexp.MustCompile(`(?m)^oathSecret: .*$`)

func without(secret *regexp.Regexp) func(string) string {
	return func(text string) string { return secret.ReplaceAllString(text, "") }
}

// Nothing secret is in what the commands of admins print, in what the server writes
// of them, nor in the files that stay, but where it belongs.
func TestCanaryAdmin(t *testing.T) {
	t.Parallel()
	h := newHoard(t)
	alice, bob, carol, dave, erin := h.person("alice"), h.person("bob"), h.person("carol"), h.person("dave"), h.person("erin")
	bare := ""
	for _, name := range []string{"carol", "dave", "erin", "frank", "grace"} {
		bare += fmt.Sprintf("dn: uid=%[1]s,dc=example,dc=org\nuid: %[1]s\n\n", name)
	}
	s := h.newSite(ldifDirectory+"\nsealing_key_file = \"server.key\"", "text", map[string]string{"people.ldif": wideLDIF(t, alice, bob) + bare})
	if err := os.Mkdir(filepath.Join(s.dir, "tmp"), 0o700); err != nil {
		t.Fatal(err)
	}

	h.command(s, "", "keygen", "-out", "server.key")
	h.private(s, "server.key")
	h.command(s, "", "keygen", "-public", "server.key")
	h.command(s, "", "keygen", "-out", "server.key")
	h.command(s, "", "keygen", "-public", "secret")
	cmd := h.program(s, "serve", "-config", "lockstep.toml")
	s.startAs(cmd)
	h.process(cmd.Process.Pid)

	ask := func(stdin, command string, args ...string) string {
		t.Helper()
		return h.command(s, stdin, append([]string{"user", command, "-config", "lockstep.toml"}, args...)...)
	}
	h.asked(s, alice, ask)
	h.enrolled(s, []user{carol, dave, erin})
	for _, name := range []string{"rewrap", "rewrap"} {
		ask("", name, "-json")
	}
	h.commandBut(s, "", without(inLDIF), "user", "revoke", "-config", "lockstep.toml", "-ldif", "bob")
	ask("", "revoke", "bob")
	ask("", "list", "-json")
	h.command(s, "", "doctor", "-config", "lockstep.toml", "-json")
	h.command(s, "", "check", "-config", "lockstep.toml")
	h.asAppliance(s, alice)
	h.api(s)
	h.process(cmd.Process.Pid)
	s.end(cmd, syscall.SIGTERM)
	h.command(s, "", "store", "copy", "-config", "lockstep.toml", "bolt", "bolt:copy.db")
	h.look("the log", []byte(s.log.String()))
	h.folder(s.dir, "secret", "server.key", "people.ldif", "list.csv", "broken.csv", "otpauth")
}

// private hoards the private keys in a file.
func (h *hoard) private(s *site, name string) {
	h.tb.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		h.tb.Fatal(err)
	}
	_, after, found := strings.Cut(string(text), "LOCKSTEP-PRIVATE-KEY:1:")
	_, key, whole := strings.Cut(strings.TrimSpace(after), ":")
	if !found || !whole {
		h.tb.Fatal("no private key")
	}
	h.finder.Value("private key", []byte(key))
}

// asked are the questions of the helpdesk, and codes where they do not belong.
func (h *hoard) asked(s *site, u user, ask func(stdin, command string, args ...string) string) {
	now, next, far := u.code(0), u.code(1), u.code(9)
	for _, code := range []string{now, far, "00000000", now[:4] + " " + now[4:], "x" + now, u.password, ""} {
		ask(code+"\n", "explain", u.name)
		ask(code+"\n", "explain", "-json", u.name)
	}
	ask(far+"\n"+u.code(10)+"\n", "resync", u.name)
	ask(now+"\n"+now+"\n", "resync", u.name)
	ask(next+"\n"+u.password+"\n", "resync", u.name)
	ask(now+"\n"+next+"\n", "resync", "nobody")
	ask("", "resync", "-reset", u.name)
	ask("", "unlock", u.name)
	ask("", "show", u.name)
	ask("", "show", "-json", u.name)
	for _, command := range []string{"explain", "resync"} {
		ask("", command, u.name, now, next)
	}
	h.command(s, u.password+"\n", "login", "-server", s.addr, "-secret-file", s.secret, u.name)
	h.command(s, u.password+"\n", "login", "-server", s.addr, u.name, u.password)
	h.command(s, "", "user", "enroll", "-config", "lockstep.toml", "-bind-dn", "cn=admin", "-bind-password-file", u.password, "nobody")
}

// enrolled has people enrolled in each of the ways, and goes wrong in some.
func (h *hoard) enrolled(s *site, people []user) {
	const config = "-config=lockstep.toml"
	list, broken := "user,key,digits\n", "user,key,digits\n"
	for _, u := range people {
		list += fmt.Sprintf("%s,%s,8\n", u.name, u.base32())
		broken += fmt.Sprintf("%[1]s,%[2]s!,8\n%[1]s,%[2]s,9\n\"%[1]s,%[2]s\n", u.name, u.base32())
	}
	s.write("list.csv", list)
	s.write("broken.csv", broken)
	s.write("otpauth", "otpauth://totp/x:carol?secret="+people[0].base32()+"&digits=77\notpauth://totp/%zz?secret="+people[0].base32()+"\n")
	for _, format := range []string{"", "csv", "freeipa", "google-authenticator", "otpauth", "privacyidea", "pskc"} {
		for _, file := range []string{"broken.csv", "otpauth"} {
			h.command(s, people[0].password+"\n", "user", "enroll", config, "-format="+format, "-user=carol", "-from", file)
		}
	}
	h.command(s, "", "user", "enroll", config, "-from", "server.key")
	h.command(s, "", "user", "enroll", config, "-from", "people.ldif")
	h.command(s, "", "user", "enroll", config, "-from", "list.csv", "-password-file", people[0].password)
	h.commandBut(s, "", without(inLDIF), "user", "enroll", config, "-from", "list.csv", "-ldif")
	h.command(s, "", "user", "enroll", config, "-from", "list.csv", "-json")
	h.command(s, "", "user", "enroll", config, "-from", "list.csv")
	h.command(s, "", "user", "enroll", config, "-from", "list.csv", "-replace")

	h.byHand(s)
	h.screen(s, "user", "enroll", config, "-pending", "-digits", "8", "frank")
	h.screen(s, "user", "enroll", config, "-pending", "-add", "-digits", "8", "frank")
	h.screen(s, "user", "enroll", config, "-pending", "-digits", "8", "-ldif", "-replace", "frank")
	h.command(s, "", "user", "enroll", config, "-pending", "frank") // there already
	h.command(s, "", "user", "enroll", config, "-pending", "-replace", "-qr", "frank.svg", "frank")
	if err := os.Remove(filepath.Join(s.dir, "frank.svg")); err != nil {
		h.tb.Error(err)
	}
}

// screen runs an enrolment that shows its key, which is new, and looks for that in
// all else.
func (h *hoard) screen(s *site, args ...string) {
	h.tb.Helper()
	cmd := h.program(s, args...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		h.tb.Fatalf("%q: %v\n%s", args, err, out)
	}
	h.shown(string(out), args)
}

// shown hoards the key that was shown, and looks at what was shown beside it.
func (h *hoard) shown(out string, args []string) user {
	h.tb.Helper()
	_, after, found := strings.Cut(out, "\nkey: ")
	line, _, _ := strings.Cut(after, "\n")
	if !found {
		h.tb.Fatalf("%q shows no key:\n%s", args, out)
	}
	u := user{name: args[len(args)-1], key: keyOf(h.tb, strings.ReplaceAll(line, " ", ""))}
	u.key.Digits = 8
	h.guard(u)
	rest := shown.ReplaceAllString(out, "")
	if strings.Contains(strings.Join(args, " "), "-ldif") {
		rest = inLDIF.ReplaceAllString(rest, "")
	}
	h.look(fmt.Sprintf("output of %q", args), []byte(rest))
	return u
}

// byHand enrols grace, who types a wrong code, and a password, and then the right one.
func (h *hoard) byHand(s *site) {
	h.tb.Helper()
	args := []string{"user", "enroll", "-config=lockstep.toml", "-digits", "8", "grace"}
	cmd := h.program(s, args...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		h.tb.Fatal(err)
	}
	out := &testenv.Buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		h.tb.Fatal(err)
	}
	s.eventually("the key", func() bool {
		_, after, _ := strings.Cut(out.String(), "\nkey: ")
		return strings.Contains(after, "\n")
	})
	u := h.shown(out.String(), args)
	fmt.Fprintf(stdin, "%s\nnot a code\n%s\n%s\n", u.code(7), h.invent("what grace types"), u.code(0))
	stdin.Close()
	if err := cmd.Wait(); err != nil {
		h.tb.Errorf("%v\n%s", err, out)
	}
	h.shown(out.String(), args)
}

// asAppliance logs in by the command, right and wrong.
func (h *hoard) asAppliance(s *site, u user) {
	h.tb.Helper()
	s.write("wrong", h.invent("a wrong secret"))
	login := func(typed string, more ...string) string {
		args := append([]string{"login", "-server", s.addr, "-timeout", "300ms", "-tries", "1"}, more...)
		return h.command(s, typed+"\n", append(args, u.name)...)
	}
	if out := login(u.password+u.code(1), "-secret-file", "secret"); !strings.Contains(out, "accepted") {
		h.tb.Errorf("login: %s", out)
	}
	login(u.password+u.code(1), "-secret-file", "secret")
	login(u.password+"00000000", "-secret-file", "secret")
	login(u.password+u.code(1), "-secret-file", "wrong")
	login(strings.Repeat(u.password, 6), "-secret-file", "secret")
	login(u.password+"\x00"+u.code(1), "-secret-file", "secret")
	if err := os.Remove(filepath.Join(s.dir, "wrong")); err != nil {
		h.tb.Error(err)
	}
}

// api asks the admin socket for what it has, and for what it has not.
func (h *hoard) api(s *site) {
	h.tb.Helper()
	var d net.Dialer
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return d.DialContext(ctx, "unix", filepath.Join(s.dir, "admin.sock"))
	}}}
	defer client.CloseIdleConnections()
	typed := h.invent("a code that is none")
	for _, path := range []string{"/v1/users", "/v1/user?name=alice", "/v1/user?name=nobody", "/v1/doctor", "/v1/sealing-keys", "/v1/unlock?name=alice",
		"/v1/explain", "/v1/resync", "/v1/reset-clock?name=alice", "/v1/seed", "/debug/pprof/", "/"} {
		for _, body := range []string{"", fmt.Sprintf(`{"name":"alice","code":%q,"codes":[%[1]q,%[1]q]}`, typed), `{"code":` + typed} {
			method := http.MethodGet
			if body != "" {
				method = http.MethodPost
			}
			request, err := http.NewRequestWithContext(h.tb.Context(), method, "http://lockstep"+path, strings.NewReader(body))
			if err != nil {
				h.tb.Fatal(err)
			}
			response, err := client.Do(request)
			if err != nil {
				h.tb.Error(err)
				continue
			}
			answer, _ := io.ReadAll(response.Body)
			response.Body.Close()
			h.look("the answer to "+method+" "+path, answer)
		}
	}
}
