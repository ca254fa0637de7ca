package main

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"

	"lockstep/internal/radius"
	"lockstep/internal/testenv"
)

// Nothing secret is in anything that a server writes, at debug level, whatever
// comes to it from the network, and when it is made to say what it is doing.
func TestCanaryLogins(t *testing.T) {
	t.Parallel()
	t.Run("slapd, text", func(t *testing.T) {
		t.Parallel()
		h := newHoard(t)
		slapd := testenv.Slapd(t)
		h.finder.Value("password of the service", []byte(slapd.ServicePassword))
		l := logins{hoard: h, slapd: slapd}
		for _, u := range l.invite() {
			slapd.Add(t, wideEntry(u, enrolled(u)))
		}
		broken := h.person("broken")
		slapd.Add(t, wideEntry(broken, "objectClass: oathTOTPToken\noathSecret: "+broken.base32()[:30]+"0!\n"))
		mallory := h.person("mallory")
		slapd.Add(t, wideEntry(mallory, "objectClass: oathTOTPToken\noathSecret: {HPKE}1$"+mallory.base32()+"$x\n"))
		l.site = h.newSite(slapdDirectory(slapd), "text", map[string]string{"ldap.secret": slapd.ServicePassword + "\n"})
		l.start()
		l.all()
	})
	t.Run("LDIF file, JSON", func(t *testing.T) {
		t.Parallel()
		h := newHoard(t)
		l := logins{hoard: h}
		people := l.invite()
		broken := h.person("broken")
		text := wideLDIF(t, people...) + strings.Replace(wideLDIF(t, broken), "oathSecret: ", "oathSecret: {HPKE}1$", 1)
		l.site = h.newSite(ldifDirectory, "json", map[string]string{"people.ldif": text})
		l.start()
		l.all()
		l.write("people.ldif", text+"dn: uid=x,dc=example,dc=org\nuid: x\nuserPassword: "+l.right.password+"\noathSecret: "+l.right.base32()+"\n")
		l.eventually("the refused file", func() bool { return strings.Contains(l.log.String(), "people.ldif:") })
		l.end(l.cmd, syscall.SIGTERM)
		h.look("the log", []byte(l.log.String()))
	})
}

// logins are made by these people, each of whom does something else.
type logins struct {
	*hoard
	*site
	slapd *testenv.SlapdServer // nil for a file
	step  int64                // the codes of all logins are counted from

	right, wrong, late, asked, guessed, alone, held user
}

func (l *logins) invite() []user {
	for name, u := range map[string]*user{"right": &l.right, "wrong": &l.wrong, "late": &l.late, "asked": &l.asked, "guessed": &l.guessed, "alone": &l.alone, "held": &l.held} {
		*u = l.person(name)
	}
	return []user{l.right, l.wrong, l.late, l.asked, l.guessed, l.alone, l.held}
}

// all of it, and a look at all that came of it.
func (l *logins) all() {
	l.step = l.right.key.Step(time.Now())
	l.good()
	l.bad()
	l.challenged()
	l.odd()
	l.eventually("the log", func() bool { return strings.Count(l.log.String(), "decision") > 20 })
	l.process(l.cmd.Process.Pid)
	l.scrape()
	l.inFlight()
	if !strings.Contains(l.log.String(), "goroutine ") {
		l.t.Error("no traceback was written")
	}
	l.look("the log", []byte(l.log.String()))
	l.folder(l.dir, "secret", "ldap.secret", "people.ldif")
}

// scrape looks at the metrics, and whether there is anything in them and in the trail.
func (l *logins) scrape() {
	shown, err := http.Get("http://" + l.metrics() + "/metrics")
	if err != nil {
		l.t.Fatal(err)
	}
	defer shown.Body.Close()
	text, err := io.ReadAll(shown.Body)
	if err != nil || !strings.Contains(string(text), "lockstep_logins_total{") {
		l.t.Errorf("metrics: %v, %d octets", err, len(text))
	}
	l.look("metrics", text)
	trail, err := os.ReadFile(filepath.Join(l.dir, "audit.log"))
	if err != nil || strings.Count(string(trail), "\n") < 20 {
		l.t.Errorf("the trail: %v, %d octets", err, len(trail))
	}
}

// code is user.code with a clock that stands still: what is said to be used must not
// become another because a step ends.
func (l *logins) code(u user, offset int64) string {
	code, err := u.key.Code(l.step + offset)
	if err != nil {
		l.t.Fatal(err)
	}
	return code
}

// from is a socket of a client.
func (l *logins) from(client string) net.Conn {
	l.t.Helper()
	d := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(client)}}
	conn, err := d.Dial("udp4", l.addr)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { conn.Close() })
	return conn
}

// types logs in from a client, and wants that answer.
func (l *logins) types(client, name, typed, want string, more ...radius.Attribute) []byte {
	l.t.Helper()
	more = append(more, radius.Attribute{Type: rfc2865.UserName_Type, Value: []byte(name)})
	p, err := radius.NewRequest(layeh.CodeAccessRequest, []byte(l.secret), []byte(typed), more...)
	if err != nil {
		l.t.Fatal(err)
	}
	reply := l.exchange(l.from(client), p)
	l.look("the reply", reply)
	if got := codeOf(reply); got != want {
		l.t.Errorf("%s types at %s: %q, want %q\n%s", name, client, got, want, l.tail())
	}
	return reply
}

func codeOf(reply []byte) string {
	if reply == nil {
		return silence
	}
	return layeh.Code(reply[0]).String()
}

func calling(from string) radius.Attribute {
	return radius.Attribute{Type: rfc2865.CallingStationID_Type, Value: []byte(from)}
}

func (l *logins) good() {
	l.types(plainClient, "right", l.right.password+l.code(l.right, 0), accept)
	l.types(plainClient, "right", l.code(l.right, 1)+l.right.password, accept)
	l.types(separatorClient, "late", l.late.password+","+l.code(l.late, 0), accept)
	l.types(codeClient, "alone", l.code(l.alone, 0), accept)
}

func (l *logins) bad() {
	l.types(plainClient, "right", l.right.password+l.code(l.right, 0), reject) // used before
	l.types(plainClient, "wrong", l.right.password+l.code(l.wrong, 0), reject, calling("1"))
	l.types(plainClient, "wrong", l.wrong.password+"00000000", reject, calling("2"))
	l.types(plainClient, "wrong", l.wrong.password, reject, calling("3"))
	l.types(plainClient, "wrong", l.code(l.wrong, 0), reject, calling("4"))
	l.types(plainClient, "wrong", "", reject, calling("5"))
	l.types(plainClient, "late", l.late.password+l.code(l.late, 9), reject, calling("6"))
	l.types(plainClient, "late", l.late.password+l.code(l.late, 10), accept, calling("6"))
	l.types(plainClient, "nobody", l.right.password+l.code(l.right, 1), reject)
	l.types(plainClient, "broken", l.right.password+l.code(l.right, 1), reject)
	l.types(plainClient, "right\nuser=root", l.right.password+l.code(l.right, 1), reject)
	l.types(plainClient, strings.Repeat("a", 253), l.right.password+l.code(l.right, 1), reject)
	l.types(codeClient, "alone", l.alone.password, reject)
	for i := range 6 {
		l.types(plainClient, "guessed", l.guessed.password+fmt.Sprintf("%08d", i), reject, calling(fmt.Sprint("home", i)))
	}
	l.types(plainClient, "guessed", l.guessed.password+l.code(l.guessed, 0), accept, calling("home"))
}

func (l *logins) challenged() {
	state := func(reply []byte) radius.Attribute {
		value, _ := radius.Packet(reply).Lookup(rfc2865.State_Type)
		return radius.Attribute{Type: rfc2865.State_Type, Value: value}
	}
	first := l.types(challengeClient, "asked", l.asked.password, challenge)
	l.types(challengeClient, "asked", "00000000", reject, state(first))
	first = l.types(challengeClient, "asked", l.asked.password, challenge, calling("1"))
	l.types(challengeClient, "asked", l.code(l.asked, 0), accept, state(first), calling("1"))
	l.types(challengeClient, "asked", l.code(l.asked, 1), reject, state(first), calling("2"))
	first = l.types(challengeClient, "asked", l.right.password, challenge, calling("3"))
	l.types(challengeClient, "asked", l.code(l.asked, 1), reject, state(first), calling("3"))
	l.types(challengeClient, "asked", l.code(l.asked, 1), reject, calling("4"), radius.Attribute{Type: rfc2865.State_Type, Value: []byte(l.asked.password)})
	first = l.types(challengeClient, "nobody", l.asked.password, challenge, calling("5"))
	l.types(challengeClient, "nobody", l.code(l.asked, 1), reject, state(first), calling("5"))
}

// odd sends what no appliance should.
func (l *logins) odd() {
	conn := l.from(plainClient)
	good := l.packet("right", l.right.password+l.code(l.right, 1))
	send := func(b []byte) { conn.Write(b) }
	send(good[:len(good)-3])
	send(append([]byte{4}, good[1:]...))
	send([]byte(l.right.password))
	length := append([]byte{}, good...)
	length[21] = 0
	send(length)
	open := append([]byte{}, good...)
	open[len(open)-1] ^= 1 // no longer what was signed
	send(open)
	send(append(append([]byte{}, good...), l.right.password...)) // RFC 2865, section 3: padding
	stranger := l.from(strangerClient)
	stranger.Write(good)

	attributes := func(pairs ...radius.Attribute) { send(l.signed(pairs)) }
	name := radius.Attribute{Type: rfc2865.UserName_Type, Value: []byte("right")}
	attributes(name, radius.Attribute{Type: rfc2865.CHAPPassword_Type, Value: append([]byte{1}, l.right.password[:16]...)})
	attributes(name, radius.Attribute{Type: rfc2865.UserPassword_Type, Value: []byte(l.right.password)}) // hidden from nobody
	attributes(name, radius.Attribute{Type: rfc2865.UserPassword_Type, Value: []byte((l.right.password + l.code(l.right, 0) + "................")[:32])})
	attributes(name, radius.Attribute{Type: 79, Value: []byte(l.right.password)}) // EAP-Message
	attributes(name, name, radius.Attribute{Type: rfc2865.ReplyMessage_Type, Value: []byte(l.right.password)})
	attributes(name)
	attributes()
	send(l.withNUL("right", l.right.password+"\x00x"))
	unsigned, _ := hex.DecodeString("01070026000102030405060708090a0b0c0d0e0f0107726967687402")
	send(unsigned)

	real := l.secret
	l.secret = l.invent("a wrong shared secret")
	send(l.packet("right", l.right.password+l.code(l.right, 1)))
	l.secret = real
	l.eventually("a word about the secret", func() bool { return strings.Contains(l.log.String(), "shared secret") })
	l.types(plainClient, "nobody", "x00000000", reject) // all before has been looked at
}

// signed is an Access-Request of any attributes.
func (l *logins) signed(attributes []radius.Attribute) radius.Packet {
	p, err := radius.NewRequest(layeh.CodeAccessRequest, []byte(l.secret), nil, attributes...)
	if err != nil {
		l.t.Fatal(err)
	}
	return p
}

// withNUL is an Access-Request that no client makes: with a NUL in the password.
func (l *logins) withNUL(name, typed string) radius.Packet {
	at := strings.IndexByte(typed, 0)
	p := l.packet(name, strings.ReplaceAll(typed, "\x00", "A"))
	hidden, _ := p.Lookup(rfc2865.UserPassword_Type)
	if at < len(hidden)-16 {
		l.t.Fatalf("octet %d is not in the last block of %d", at, len(hidden))
	}
	hidden[at] ^= 'A'
	mac := hmac.New(md5.New, []byte(l.secret))
	value, _ := p.Lookup(80)
	clear(value)
	mac.Write(p)
	copy(value, mac.Sum(nil))
	if int(binary.BigEndian.Uint16(p[2:])) != len(p) {
		l.t.Fatal("another length")
	}
	return p
}

// inFlight makes the server say what it is doing while logins are under way, and
// die of it.
func (l *logins) inFlight() {
	good, err := os.ReadFile(filepath.Join(l.dir, "lockstep.toml"))
	if err != nil {
		l.t.Fatal(err)
	}
	l.write("lockstep.toml", strings.Replace(string(good), `secret_file = "secret"`, fmt.Sprintf("secret = %q", l.secret), 1))
	l.cmd.Process.Signal(syscall.SIGHUP)
	l.eventually("the fault in the log", func() bool { return strings.Contains(l.log.String(), "no such setting") })
	l.write("lockstep.toml", string(good))

	if l.slapd != nil {
		l.slapd.Freeze(l.t)
		defer l.slapd.Thaw(l.t)
	}
	conn := l.from(plainClient)
	for range 3 { // one asks the directory, the others wait for their turn
		conn.Write(l.packet("held", l.held.password+l.code(l.held, 0)))
	}
	l.from(challengeClient).Write(l.packet("held", l.held.password))
	if l.slapd != nil {
		l.eventually("a bind that hangs", l.unread)
	}
	l.end(l.cmd, syscall.SIGQUIT)
	if l.slapd == nil {
		l.start() // for what comes after it
	}
}

// unread says whether there is something to read for the directory.
func (l *logins) unread() bool {
	_, port, _ := strings.Cut(strings.TrimPrefix(l.slapd.URL, "ldap://"), ":")
	n, _ := strconv.Atoi(port)
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		l.t.Fatal(err)
	}
	for line := range strings.Lines(string(table)) {
		if f := strings.Fields(line); strings.HasSuffix(f[1], fmt.Sprintf(":%04X", n)) && !strings.HasSuffix(f[4], ":00000000") {
			return true
		}
	}
	return false
}
