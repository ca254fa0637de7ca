package wire_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"lockstep/internal/opaque"
	. "lockstep/ldapsync/ldaptest"
	"lockstep/ldapsync/wire"
)

const (
	policyOID     = "1.3.6.1.4.1.42.2.27.8.5.1"
	mustChangeOID = "2.16.840.1.113730.3.4.4"
	warningOID    = "2.16.840.1.113730.3.4.5"
)

var canary = opaque.Text("canary-password")

// tryBind is a bind that is answered with what r holds, and the Conn after it.
func tryBind(t testing.TB, r io.Reader) (wire.BindResponse, *wire.Conn, error) {
	t.Helper()
	c := wire.New(&stream{Reader: r}, wire.Options{MaxMessage: 4096})
	response, err := c.TryBind(t.Context(), "uid=alice", canary, []wire.Control{wire.AskPolicy}, nil)
	return response, c, err
}

func saying(m Message, oid, value string) Message {
	return m.Control(wire.Control{OID: oid, Value: []byte(value)})
}

func TestAnswersToTryBind(t *testing.T) {
	right, wrong := BindResponse(0, ""), BindResponse(49, "no")
	nothing := wire.Policy{Fault: -1, Grace: -1}
	text := func(s string) wire.Result { return wire.Result{Code: 49, Text: s} }
	for _, tt := range []struct {
		name   string
		answer Message
		want   wire.BindResponse
	}{
		{"right", right, wire.BindResponse{Policy: nothing}},
		{"wrong", wrong, wire.BindResponse{Result: text("no"), Policy: nothing}},
		{"a control that nobody knows", saying(right, "1.2.3", "\xff\xff"), wire.BindResponse{Policy: nothing}},
		{"a policy that says nothing", saying(right, policyOID, "\x30\x00"), wire.BindResponse{Told: true, Policy: nothing}},
		{"expires soon", saying(right, policyOID, "\x30\x05\xa0\x03\x80\x01\x3c"), wire.BindResponse{Told: true, Policy: wire.Policy{Fault: -1, Grace: -1, Expires: 60}}},
		{"grace", saying(right, policyOID, "\x30\x05\xa0\x03\x81\x01\x02"), wire.BindResponse{Told: true, Policy: wire.Policy{Fault: -1, Grace: 2}}},
		{"no grace is left", saying(right, policyOID, "\x30\x05\xa0\x03\x81\x01\x00"), wire.BindResponse{Told: true, Policy: wire.Policy{Fault: -1}}},
		{"locked", saying(wrong, policyOID, "\x30\x03\x81\x01\x01"), wire.BindResponse{Told: true, Result: text("no"), Policy: wire.Policy{Fault: 1, Grace: -1}}},
		{"grace and a fault", saying(right, policyOID, "\x30\x08\xa0\x03\x81\x01\x02\x81\x01\x02"), wire.BindResponse{Told: true, Policy: wire.Policy{Fault: 2, Grace: 2}}},
		{"must be changed (389-DS)", saying(right, mustChangeOID, "0"), wire.BindResponse{Told: true, Policy: wire.Policy{Fault: -1, Grace: -1, MustChange: true}}},
		{"expires soon (389-DS)", saying(right, warningOID, "3600"), wire.BindResponse{Told: true, Policy: wire.Policy{Fault: -1, Grace: -1, Expires: 3600}}},
		{"has expired (389-DS)", saying(right, warningOID, "-5"), wire.BindResponse{Told: true, Policy: nothing}},
		{"expires in a long time", saying(right, warningOID, "9223372036854775807"), wire.BindResponse{Told: true, Policy: wire.Policy{Fault: -1, Grace: -1, Expires: 1<<31 - 1}}},
		{"with a referral", Raw(ldapMessage(tlv(0x61, "\x0a\x01\x0a\x04\x00\x04\x00", tlv(0xa3, tlv(0x04, "ldap://x"))))), wire.BindResponse{Result: wire.Result{Code: 10}, Policy: nothing}},
		{"with SASL credentials and more", Raw(ldapMessage(tlv(0x61, "\x0a\x01\x00\x04\x00\x04\x00", tlv(0x87, "x"), tlv(0x99, "y")))), wire.BindResponse{Policy: nothing}},
		{"lengths in four octets", Raw("\x30\x84\x00\x00\x00\x10\x02\x01\x01\x61\x84\x00\x00\x00\x07\x0a\x01\x00\x04\x00\x04\x00"), wire.BindResponse{Policy: nothing}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for name, r := range map[string]io.Reader{"at once": bytes.NewReader(octets(tt.answer)), "octet by octet": drip{bytes.NewReader(octets(tt.answer))}} {
				got, c, err := tryBind(t, r)
				if err != nil || got != tt.want || !c.Usable() {
					t.Errorf("%s: %+v, %v, want %+v", name, got, err, tt.want)
				}
			}
		})
	}
}

// drip gives an octet at a time.
type drip struct{ r io.Reader }

func (d drip) Read(p []byte) (int, error) { return d.r.Read(p[:min(1, len(p))]) }

func TestBindsThatAreLost(t *testing.T) {
	right := BindResponse(0, "")
	for _, tt := range []struct {
		name     string
		answer   string
		says     string
		answered bool
	}{
		{"closed at once", "", "EOF", false},
		{"half an answer", "\x30\x0c\x02\x01\x01\x61", "unexpected EOF", true},
		{"one octet", "\x30", "unexpected EOF", true},
		{"notice of disconnection", string(octets(Notice(52, "going down"))), "ends the connection", false},
		{"half a notice of disconnection", string(octets(Notice(52, "going down"))[:9]), "unexpected EOF", true},
		{"another unsolicited message", string(octets(BindResponse(0, "").ID(0))), "unsolicited", true},
		{"an answer to another request", string(octets(right.ID(2))), "message for request 2, want 1", true},
		{"an answer to the request before", string(octets(Done(0, ""))), "operation 0x65", true},
		{"too large", "\x30\x82\x10\x00", "message too large", true},
		{"no LDAP", "HTTP/1.1 400 Bad Request\r\n", "tag 0x48", true},
		{"without a text", ldapMessage(tlv(0x61, "\x0a\x01\x00\x04\x00")), "diagnostic message: ends too early", true},
		{"a code that is no number", ldapMessage(tlv(0x61, "\x04\x01\x00\x04\x00\x04\x00")), "result code: tag", true},
		{"a code of 5 octets", ldapMessage(tlv(0x61, "\x0a\x05\x00\x00\x00\x00\x00\x04\x00\x04\x00")), "result code: number of 5", true},
		{"a negative code", ldapMessage(tlv(0x61, "\x0a\x01\xff\x04\x00\x04\x00")), "negative", true},
		{"a policy without a value", string(octets(right.Control(wire.Control{OID: policyOID}))), "password policy: ends too early", true},
		{"a policy with an empty value", string(octets(saying(right, policyOID, ""))), "password policy: ends too early", true},
		{"a policy and more", string(octets(saying(right, policyOID, "\x30\x00x"))), "behind its end", true},
		{"a policy with an element of no draft", string(octets(saying(right, policyOID, "\x30\x03\x41\x01\x02"))), "password policy: octets behind", true},
		{"a fault of no draft", string(octets(saying(right, policyOID, "\x30\x03\x81\x01\x09"))), "does not have", true},
		{"a warning of two kinds", string(octets(saying(right, policyOID, "\x30\x08\xa0\x06\x80\x01\x01\x81\x01\x01"))), "behind its end", true},
		{"an empty warning", string(octets(saying(right, policyOID, "\x30\x02\xa0\x00"))), "grace logins: ends too early", true},
		{"negative grace", string(octets(saying(right, policyOID, "\x30\x05\xa0\x03\x81\x01\xff"))), "negative", true},
		{"a warning that is no number", string(octets(saying(right, warningOID, "soon"))), "want seconds", true},
		{"controls longer than the message", ldapMessage(tlv(0x61, "\x0a\x01\x00\x04\x00\x04\x00"), "\xa0\x05\x30"), "controls: ends too early", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, c, err := tryBind(t, strings.NewReader(tt.answer))
			var lost *wire.LostError
			if !errors.As(err, &lost) || lost.Answered != tt.answered || lost.Timeout || !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("%v (%+v), want %q, answered %v", err, lost, tt.says, tt.answered)
			}
			if _, again := c.TryBind(t.Context(), "uid=alice", canary, nil, nil); again == nil || c.Usable() || c.Idle() {
				t.Errorf("used again: %v", again)
			}
			if strings.Contains(err.Error(), "canary") {
				t.Errorf("password in %v", err)
			}
		})
	}
}

// An answer that comes with something unasked counts, and is the last on its
// connection: what came could be taken for the answer to the next bind.
func TestOctetsBehindAnAnswerEndTheConnection(t *testing.T) {
	for name, behind := range map[string][]byte{
		"an answer to the next":   octets(BindResponse(0, "").ID(2)),
		"notice of disconnection": octets(Notice(52, "")),
		"one octet":               {0x30},
	} {
		r, c, err := tryBind(t, bytes.NewReader(append(octets(BindResponse(49, "")), behind...)))
		if err != nil || r.Code != 49 {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		if r, err := c.TryBind(t.Context(), "uid=bob", canary, nil, nil); err == nil || c.Usable() {
			t.Errorf("%s: the next bind is answered with %+v", name, r)
		}
	}
}

// keeper keeps what it was given to write, and not a copy.
type keeper struct {
	stream
	wrote [][]byte
	was   []string
}

func (k *keeper) Write(p []byte) (int, error) {
	k.wrote, k.was = append(k.wrote, p), append(k.was, string(p))
	return len(p), nil
}

func TestThePasswordIsWiped(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	var answers []byte
	for i := range 4 {
		answers = append(answers, BindResponse(0, "").ID(int64(i+1)).Octets(0)...)
	}
	// The last is not answered.
	k := &keeper{stream: stream{Reader: drip{bytes.NewReader(answers)}}}
	c := wire.New(k, wire.Options{})
	for i, dn := range []string{"uid=alice", long, "uid=bob", "uid=alice", "uid=carol"} {
		if _, err := c.TryBind(t.Context(), dn, canary, []wire.Control{wire.AskPolicy}, nil); (err == nil) != (i < 4) {
			t.Fatal(err)
		}
		if len(k.wrote) != i+1 {
			t.Fatalf("%d writes for %d binds", len(k.wrote), i+1)
		}
		if !strings.Contains(k.was[i], string(canary.Reveal())) {
			t.Errorf("bind %d has no password", i)
		}
	}
	for i, p := range k.wrote {
		if p = p[:cap(p)]; len(bytes.Trim(p, "\x00")) > 0 {
			t.Errorf("bind %d is still in memory", i)
		}
	}
}

// What is sent is what go-ldap sends, for odd names and passwords of all lengths.
func TestBindRequestsAreThoseOfGoLDAP(t *testing.T) {
	all := ""
	for i := range 256 {
		all += string([]byte{byte(i)})
	}
	controls := [][]wire.Control{nil, {wire.AskPolicy}, {wire.AskPolicy, {OID: "2.16.840.1.113730.3.8.10.7", Critical: true}}, {{OID: "1.2", Value: []byte(strings.Repeat("v", 300))}}}
	words := []string{"x", "\x00", "\xff\xfe", all, "uid=alice,ou=people,dc=example,dc=org", `cn=a\2cb+sn="q",dc=x`}
	for _, n := range []int{79, 80, 81, 100, 115, 126, 127, 128, 129, 235, 254, 255, 256, 257, 65534, 65535, 65536, 70000} {
		words = append(words, strings.Repeat("é", n)[:n])
	}
	for _, dn := range words {
		for _, password := range words {
			for i := range controls {
				s := &stream{Reader: strings.NewReader("")}
				wire.New(s, wire.Options{}).TryBind(t.Context(), dn, opaque.Text(password), controls[i], nil)
				if want := goLDAPBind(dn, password, controls[i]); !bytes.Equal(s.written.Bytes(), want) {
					t.Fatalf("DN of %d octets, password of %d, controls %d: sent %.80x, want %.80x", len(dn), len(password), i, s.written.Bytes(), want)
				}
			}
		}
	}
}

// goLDAPBind is the request that go-ldap's SimpleBind builds, by the same library. But
// it sends TRUE as 1, and RFC 4511, section 5.1, wants 255.
func goLDAPBind(dn, password string, controls []wire.Control) []byte {
	bind := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationBindRequest, nil, "")
	bind.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, 3, ""))
	bind.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, dn, ""))
	bind.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 0, password, ""))
	p := ber.NewSequence("")
	p.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, 1, ""))
	p.AppendChild(bind)
	if len(controls) > 0 {
		list := ber.Encode(ber.ClassContext, ber.TypeConstructed, 0, nil, "")
		for _, c := range controls {
			sent := ldap.NewControlString(c.OID, false, string(c.Value)).Encode()
			if c.Critical {
				sent = ber.NewSequence("")
				sent.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, c.OID, ""))
				sent.AppendChild(ber.NewLDAPBoolean(ber.ClassUniversal, ber.TypePrimitive, ber.TagBoolean, true, ""))
			}
			list.AppendChild(sent)
		}
		p.AppendChild(list)
	}
	return p.Bytes()
}

func TestMessageIDsOfBinds(t *testing.T) {
	const binds = 70_000 // up to three octets
	r, w := io.Pipe()
	s := &stream{Reader: r}
	c := wire.New(s, wire.Options{})
	go func() {
		for i := range int64(binds) {
			w.Write(BindResponse(0, "").Octets(i + 1))
		}
		w.Close()
	}()
	for i := range int64(binds) {
		s.written.Reset()
		if _, err := c.TryBind(t.Context(), "uid=alice", canary, nil, nil); err != nil {
			t.Fatal(i, err)
		}
		if p, err := ber.DecodePacketErr(s.written.Bytes()); err != nil || p.Children[0].Value.(int64) != i+1 {
			t.Fatalf("bind %d has another ID: %v", i+1, err)
		}
	}
}

func TestWhatIsNotToBeTried(t *testing.T) {
	s := &stream{Reader: strings.NewReader("")}
	c := wire.New(s, wire.Options{})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, try := range map[string]func() error{
		"no password": func() error { _, err := c.TryBind(t.Context(), "uid=alice", opaque.Bytes{}, nil, nil); return err },
		"no DN":       func() error { _, err := c.TryBind(t.Context(), "", canary, nil, nil); return err },
		"too late":    func() error { _, err := c.TryBind(ended, "uid=alice", canary, nil, nil); return err },
	} {
		if err := try(); err == nil || errors.As(err, new(*wire.LostError)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s.written.Len() > 0 || !c.Usable() {
		t.Errorf("sent %x", s.written.Bytes())
	}
}

// The deadline of one bind is left for the next ones. None may end early by it, nor
// late.
func TestBindsEndInTime(t *testing.T) {
	binds := []struct{ pause, read, answer time.Duration }{
		{0, 0, 0}, {0, 0, 4}, {0, 0, 9}, // as the deadline of the first passes
		{time.Hour, 0, 9}, {0, 9, 0}, {8, 3, 0}, {6, 4, 4}, {1, 1, 1}, {0, 0, 9},
	}
	for name, secure := range map[string]bool{"in clear": false, "under TLS": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := piped(t, secure)
				c := wire.New(client, wire.Options{Timeout: 10 * time.Second})
				go func() {
					p := make([]byte, 1000)
					for i, b := range binds {
						<-time.After((b.pause + b.read) * time.Second)
						server.Read(p)
						<-time.After(b.answer * time.Second)
						server.Write(BindResponse(0, "").Octets(int64(i + 1)))
					}
					io.Copy(io.Discard, server)
				}()
				for i, b := range binds {
					<-time.After(b.pause * time.Second)
					if _, err := c.TryBind(t.Context(), "uid=alice", canary, nil, nil); err != nil {
						t.Fatalf("bind %d: %v", i, err)
					}
				}
				<-time.After(4 * time.Second)
				began := time.Now()
				_, err := c.TryBind(t.Context(), "uid=alice", canary, nil, nil)
				var lost *wire.LostError
				if took := time.Since(began); !errors.As(err, &lost) || !lost.Timeout || !errors.Is(err, os.ErrDeadlineExceeded) || took != 10*time.Second {
					t.Errorf("%v after %s, want a timeout after 10 s", err, took)
				}
			})
		})
	}
}

// At its deadline to the moment. That it is cancelled is noticed soon, also where the
// server does not even read.
func TestBindsEndWithTheirContext(t *testing.T) {
	const ms = time.Millisecond
	gone := errors.New("gone")
	for _, tt := range []struct {
		name             string
		cancel, deadline time.Duration // 0 for never
		stuck            bool          // nothing is read
		want             time.Duration // 100 ms: or up to 50 ms less
	}{
		{"cancelled", 1000 * ms, 0, false, 1000 * ms},
		{"cancelled at once", ms, 0, false, 100 * ms},
		{"cancelled at once, before its deadline", ms, time.Second, false, 100 * ms},
		{"cancelled before its deadline", 500 * ms, time.Second, false, 500 * ms},
		{"cancelled while the request is stuck", ms, 0, true, ms},
		{"at a deadline", 0, 1000 * ms, false, 1000 * ms},
		{"at a deadline that is near", 0, 7 * ms, false, 7 * ms},
		{"at a deadline that is hardly later", 0, 101 * ms, false, 101 * ms},
		{"at a deadline while the request is stuck", 0, 7 * ms, true, 7 * ms},
	} {
		for used, before := range map[string]time.Duration{"": -1, ", used just before": 0, ", used a while before": 60 * ms} {
			t.Run(tt.name+used, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					client, server := net.Pipe()
					defer server.Close()
					c := wire.New(client, wire.Options{})
					if before >= 0 {
						go func() {
							server.Read(make([]byte, 1000))
							server.Write(BindResponse(0, "").Octets(1))
						}()
						if _, err := c.TryBind(t.Context(), "uid=alice", canary, nil, nil); err != nil {
							t.Fatal(err)
						}
						<-time.After(before)
					}
					dn := "uid=alice"
					if tt.stuck {
						dn = strings.Repeat("x", 10_000)
					} else {
						go io.Copy(io.Discard, server)
					}
					ctx, cancel := context.WithCancelCause(t.Context())
					defer cancel(nil)
					if tt.deadline > 0 {
						var end context.CancelFunc
						ctx, end = context.WithTimeoutCause(ctx, tt.deadline, gone)
						defer end()
					}
					if tt.cancel > 0 {
						time.AfterFunc(tt.cancel, func() { cancel(gone) })
					}
					began := time.Now()
					_, err := c.TryBind(ctx, dn, canary, nil, nil)
					var lost *wire.LostError
					if took := time.Since(began); !errors.As(err, &lost) || !lost.Timeout || !errors.Is(err, gone) ||
						took > tt.want || took < tt.want && (tt.want != 100*ms || took < 50*ms) || c.Usable() {
						t.Errorf("%v after %s, want after %s", err, took, tt.want)
					}
				})
			})
		}
	}
}

// A search on the same connection is not ended by the deadline of a bind.
func TestTheDeadlineOfABindEndsNoSearch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		defer server.Close()
		c := wire.New(client, wire.Options{Timeout: time.Second})
		go func() {
			p := make([]byte, 1000)
			server.Read(p)
			server.Write(BindResponse(0, "").Octets(1))
			<-time.After(time.Minute)
			server.Read(p)
			<-time.After(10 * time.Second)
			server.Write(Done(0, "").Octets(2))
		}()
		if _, err := c.TryBind(t.Context(), "uid=alice", canary, nil, nil); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		search(t, c)
		next(t, c, `done 0 ""`)
	})
}

func TestIdle(t *testing.T) {
	t.Parallel()
	end := make(chan string)
	s := Serve(t, func(c *Conn) {
		c.Next()
		c.Send(BindResponse(0, ""))
		if <-end == "notice" {
			c.Send(Notice(52, ""))
			c.Hold()
		}
	})
	for _, how := range []string{"notice", "close"} {
		c := wire.New(s.Dial(), wire.Options{Timeout: 300 * time.Millisecond})
		if _, err := c.TryBind(t.Context(), "uid=alice", canary, nil, nil); err != nil {
			t.Fatal(err)
		}
		<-time.After(400 * time.Millisecond)
		if !c.Idle() {
			t.Error("not idle, though nothing has happened but that the deadline of a bind has passed")
		}
		end <- how
		for deadline := time.Now().Add(10 * time.Second); c.Idle(); {
			if time.Now().After(deadline) {
				t.Fatalf("%s: still idle", how)
			}
		}
		c.Close()
	}
}

// Whatever a server answers, it is read as go-ldap reads it, or not at all.
func FuzzBindResponse(f *testing.F) {
	right := BindResponse(0, "")
	for _, m := range []Message{right, BindResponse(49, "80090308: LdapErr: DSID-0C09044E, data 52e, v4563"), Notice(52, "x"),
		saying(right, policyOID, "\x30\x05\xa0\x03\x81\x01\x02"), saying(right, policyOID, "\x30\x08\xa0\x03\x80\x01\x02\x81\x01\x02"),
		saying(right, mustChangeOID, "0"), saying(right, warningOID, "3600"), saying(right, "1.2.3", "x"), right.ID(2)} {
		f.Add(octets(m))
	}
	f.Add([]byte(ldapMessage(tlv(0x61, "\x0a\x01\x0a\x04\x00\x04\x00", tlv(0xa3, tlv(0x04, "ldap://x"))))))
	f.Add([]byte("\x30\x84\x00\x00\x00\x10\x02\x01\x01\x61\x84\x00\x00\x00\x07\x0a\x01\x00\x04\x00\x04\x00"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		got, c, err := tryBind(t, bytes.NewReader(answer))
		if err != nil {
			if c.Usable() || len(err.Error()) > 2000 || strings.ContainsAny(err.Error(), "\r\n\x1b") || strings.Contains(err.Error(), "canary") {
				t.Fatalf("error %q", err)
			}
			return
		}
		if got.Code == 0 != goLDAPSucceeds(t, answer, got) {
			t.Errorf("%x: read as %+v", answer, got)
		}
	})
}

// goLDAPSucceeds tells whether go-ldap takes an answer for a success.
func goLDAPSucceeds(t *testing.T, answer []byte, got wire.BindResponse) bool {
	p, err := ber.ReadPacket(bytes.NewReader(answer))
	if err != nil {
		return got.Code == 0 // it is stricter here, and stays away
	}
	for i := 2; i < len(p.Children) && i < 3; i++ {
		for _, child := range p.Children[i].Children {
			control, err := ldap.DecodeControl(child)
			if c, ok := control.(*ldap.ControlBeheraPasswordPolicy); err == nil && ok && int(c.Error) >= 0 && got.Policy.Fault < 0 {
				t.Errorf("%x: fault %d is missed", answer, c.Error)
			}
		}
	}
	return ldap.GetLDAPError(p) == nil
}
