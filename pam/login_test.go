package pam

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2869"

	"lockstep/internal/opaque"
	"lockstep/internal/radius"
)

// person is a Conversation that gives these answers, one after the other.
type person struct {
	answers []string
	think   time.Duration
	prompts []string
	given   []opaque.Bytes
}

const noAnswer = "(none)"

func (p *person) Prompt(style Style, text string) (opaque.Bytes, error) {
	if style == EchoOn {
		text += "(echo)"
	}
	p.prompts = append(p.prompts, text)
	<-time.After(p.think)
	if len(p.answers) == 0 || p.answers[0] == noAnswer {
		return opaque.Bytes{}, ErrNoAnswer
	}
	answer := opaque.Text(p.answers[0])
	p.answers, p.given = p.answers[1:], append(p.given, answer)
	return answer, nil
}

// oracle is an asker that gives these replies.
type oracle struct {
	replies []*radius.Reply
	take    time.Duration
	sent    []string
	asked   []radius.AccessRequest
	left    []time.Duration // until the deadline, each time
}

var errSilence = fmt.Errorf("ask 192.0.2.10:1812: %w", radius.ErrNoReply)

func (o *oracle) ask(ctx context.Context, r radius.AccessRequest) (*radius.Reply, error) {
	deadline, _ := ctx.Deadline()
	o.left = append(o.left, time.Until(deadline))
	o.sent, o.asked = append(o.sent, string(r.Password.Reveal())), append(o.asked, r)
	select {
	case <-time.After(o.take):
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", errSilence, ctx.Err())
	}
	if len(o.replies) == 0 {
		return nil, errSilence
	}
	reply := o.replies[0]
	o.replies = o.replies[1:]
	return reply, nil
}

var (
	accept      = &radius.Reply{Code: layeh.CodeAccessAccept}
	reject      = &radius.Reply{Code: layeh.CodeAccessReject}
	notEnrolled = &radius.Reply{Code: layeh.CodeAccessReject, ReplyMessage: "not enrolled"}
)

func challenge(text string, attributes ...[]byte) *radius.Reply {
	r := &radius.Reply{Code: layeh.CodeAccessChallenge, ReplyMessage: text, State: []byte("state of " + text)}
	for _, prompt := range attributes {
		r.Attributes.Add(rfc2869.Prompt_Type, prompt)
	}
	return r
}

// dummy is what sshd answers for n octets of a user it has denied.
func dummy(n int) string { return strings.Repeat("\b\n\r\177INCORRECT", n)[:n] }

const first = "from the module before" // PAM_AUTHTOK

func TestLogin(t *testing.T) {
	type replies = []*radius.Reply
	ask := []string{"Password: ", "Code: "}
	for _, tt := range []struct {
		name, args    string
		authtok, user string // user is alice by default
		answers       []string
		replies       []*radius.Reply
		want          Outcome
		sent          string // all passwords, a bar between
		prompts       []string
		forwarded     string
		reason        error
	}{
		{name: "two prompts go as one password", answers: []string{"secret", "123456"}, replies: replies{accept}, want: Accepted, sent: "secret123456", prompts: ask},
		{name: "spaces in the code are passed over", answers: []string{"se cret", " 123 456 "}, replies: replies{accept}, want: Accepted, sent: "se cret123456", prompts: ask},
		{name: "a code of eight digits", answers: []string{"secret", "12345678"}, replies: replies{accept}, want: Accepted, sent: "secret12345678", prompts: ask},
		{name: "a reject is a no", answers: []string{"secret", "123456"}, replies: replies{reject}, want: Refused, sent: "secret123456", prompts: ask, reason: refuseByServer},
		{name: "silence is no decision", answers: []string{"secret", "123456"}, want: Unavailable, sent: "secret123456", prompts: ask},
		{name: "a reply of another kind is no decision", answers: []string{"secret", "123456"}, replies: replies{{Code: layeh.CodeAccountingResponse}}, want: Unavailable, sent: "secret123456", prompts: ask},
		{name: "who is not enrolled", answers: []string{"secret", "123456"}, replies: replies{notEnrolled}, want: NotEnrolled, sent: "secret123456", prompts: ask},
		{name: "a message that is almost that", answers: []string{"secret", "123456"}, replies: replies{{Code: layeh.CodeAccessReject, ReplyMessage: "not enrolled\n"}}, want: Refused, sent: "secret123456", prompts: ask},
		{name: "an accept that says not enrolled is an accept", answers: []string{"secret", "123456"}, replies: replies{{Code: layeh.CodeAccessAccept, ReplyMessage: "not enrolled"}}, want: Accepted, sent: "secret123456", prompts: ask},

		{name: "a password for the code is not sent", answers: []string{"secret", "other secret"}, want: Refused, prompts: ask, reason: refuseNoCode},
		{name: "five digits are no code", answers: []string{"secret", "12345"}, want: Refused, prompts: ask, reason: refuseNoCode},
		{name: "nine digits are no code", answers: []string{"secret", "123456789"}, want: Refused, prompts: ask, reason: refuseNoCode},
		{name: "digits of another script are no code", answers: []string{"secret", "١٢٣٤٥٦"}, want: Refused, prompts: ask, reason: refuseNoCode},
		{name: "sshd in password mode: one string for both goes whole", answers: []string{"secret123456", "secret123456"}, replies: replies{accept}, want: Accepted, sent: "secret123456", prompts: ask},
		{name: "the same, of digits alone", answers: []string{"12345678", "12345678"}, replies: replies{accept}, want: Accepted, sent: "12345678", prompts: ask},
		{name: "no password", answers: []string{"", "123456"}, want: Refused, prompts: ask, reason: refuseEmpty},
		{name: "no code", answers: []string{"secret", ""}, want: Refused, prompts: ask, reason: refuseEmpty},
		{name: "a password with NUL", answers: []string{"sec\x00ret", "123456"}, want: Refused, prompts: ask, reason: refuseNUL},
		{name: "a code with NUL", answers: []string{"secret", "123456\x00"}, want: Refused, prompts: ask, reason: refuseNUL},
		{name: "122 octets and a code are 128", answers: []string{strings.Repeat("x", 122), "123456"}, replies: replies{accept}, want: Accepted, sent: strings.Repeat("x", 122) + "123456", prompts: ask},
		{name: "one more is too long", answers: []string{strings.Repeat("x", 123), "123456"}, want: Refused, prompts: ask, reason: refuseLong},
		{name: "sshd's dummy", answers: []string{dummy(13), dummy(6)}, want: Refused, prompts: ask, reason: refuseDummy},
		{name: "a long dummy", answers: []string{dummy(40), dummy(40)}, want: Refused, prompts: ask, reason: refuseDummy},
		{name: "a dummy of one octet", answers: []string{dummy(1), dummy(6)}, want: Refused, prompts: ask, reason: refuseDummy},
		{name: "the dummy for the code alone", answers: []string{"secret", dummy(6)}, want: Refused, prompts: ask, reason: refuseDummy},
		{name: "almost the dummy is a password", answers: []string{"INCORRECT", "123456"}, replies: replies{reject}, want: Refused, sent: "INCORRECT123456", prompts: ask},
		{name: "no answer", answers: []string{noAnswer}, want: Aborted, prompts: ask[:1], reason: ErrNoAnswer},
		{name: "no answer to the second prompt", answers: []string{"secret", noAnswer}, want: Aborted, prompts: ask, reason: ErrNoAnswer},
		{name: "no user", user: "-", want: Refused, reason: refuseUser},
		{name: "a user name that fits no packet", user: strings.Repeat("a", 254), want: Refused, reason: refuseUser},
		{name: "the longest user name", user: strings.Repeat("a", 253), answers: []string{"secret", "123456"}, replies: replies{accept}, want: Accepted, sent: "secret123456", prompts: ask},
		{name: "the code may be shown", args: "echo_code", answers: []string{"secret", "123456"}, replies: replies{accept}, want: Accepted, sent: "secret123456", prompts: []string{"Password: ", "Code: (echo)"}},

		{name: "one prompt", args: "one_prompt", answers: []string{"secret123456"}, replies: replies{accept}, want: Accepted, sent: "secret123456", prompts: []string{"Password and code: "}},
		{name: "one prompt without code goes to the server", args: "one_prompt", answers: []string{"secret"}, replies: replies{reject}, want: Refused, sent: "secret", prompts: []string{"Password and code: "}},
		{name: "one prompt, nothing typed", args: "one_prompt", answers: []string{""}, want: Refused, prompts: []string{"Password and code: "}, reason: refuseEmpty},
		{name: "one prompt, too much typed", args: "one_prompt", answers: []string{strings.Repeat("x", 129)}, want: Refused, prompts: []string{"Password and code: "}, reason: refuseLong},
		{name: "one prompt, sshd's dummy", args: "one_prompt", answers: []string{dummy(12)}, want: Refused, prompts: []string{"Password and code: "}, reason: refuseDummy},

		{name: "code alone", args: "code_only", answers: []string{"123 456"}, replies: replies{accept}, want: Accepted, sent: "123456", prompts: []string{"Code: "}},
		{name: "code alone, shown", args: "code_only echo_code", answers: []string{"123456"}, replies: replies{accept}, want: Accepted, sent: "123456", prompts: []string{"Code: (echo)"}},
		{name: "code alone: the Unix password of sshd's password mode stays here", args: "code_only", answers: []string{"unix password"}, want: Refused, prompts: []string{"Code: "}, reason: refuseNoCode},
		{name: "code alone: a password that ends in a code stays here", args: "code_only", answers: []string{"secret123456"}, want: Refused, prompts: []string{"Code: "}, reason: refuseNoCode},
		{name: "code alone: sshd's dummy", args: "code_only", answers: []string{dummy(6)}, want: Refused, prompts: []string{"Code: "}, reason: refuseDummy},
		{name: "code alone: the password before is not looked at", args: "code_only use_first_pass forward_pass", authtok: "123456", answers: []string{"654321"}, replies: replies{accept}, want: Accepted, sent: "654321", prompts: []string{"Code: "}},

		{name: "the password before is not taken unasked", authtok: first, answers: []string{"secret", "123456"}, replies: replies{accept}, want: Accepted, sent: "secret123456", prompts: ask},
		{name: "try_first_pass takes it", args: "try_first_pass", authtok: first, answers: []string{"123456"}, replies: replies{accept}, want: Accepted, sent: first + "123456", prompts: ask[1:]},
		{name: "try_first_pass tries once", args: "try_first_pass", authtok: first, answers: []string{"123456"}, replies: replies{reject}, want: Refused, sent: first + "123456", prompts: ask[1:]},
		{name: "try_first_pass asks if there is none", args: "try_first_pass", answers: []string{"secret", "123456"}, replies: replies{accept}, want: Accepted, sent: "secret123456", prompts: ask},
		{name: "use_first_pass takes it", args: "use_first_pass", authtok: first, answers: []string{"123456"}, replies: replies{accept}, want: Accepted, sent: first + "123456", prompts: ask[1:]},
		{name: "use_first_pass does not ask", args: "use_first_pass", want: Refused, reason: refuseNoPass},
		{name: "one prompt, use_first_pass", args: "one_prompt use_first_pass", authtok: "secret123456", replies: replies{accept}, want: Accepted, sent: "secret123456"},
		{name: "sshd's dummy by way of the module before", args: "try_first_pass", authtok: dummy(20), answers: []string{dummy(6)}, want: Refused, prompts: ask[1:], reason: refuseDummy},
		{name: "the module before has had the one string of password mode", args: "use_first_pass", authtok: "secret123456", answers: []string{"secret123456"}, replies: replies{accept}, want: Accepted, sent: "secret123456", prompts: ask[1:]},

		{name: "forward_pass", args: "forward_pass", answers: []string{"secret99", "123456"}, replies: replies{accept}, want: Accepted, sent: "secret99123456", prompts: ask, forwarded: "secret99"},
		{name: "forward_pass after a reject", args: "forward_pass", answers: []string{"secret", "123456"}, replies: replies{reject}, want: Refused, sent: "secret123456", prompts: ask},
		{name: "forward_pass after a challenge", args: "forward_pass", answers: []string{"secret", "123456", "654321"}, replies: replies{challenge("Next"), accept}, want: Accepted, sent: "secret123456|654321", prompts: append(slices.Clone(ask), "Next"), forwarded: "secret"},
		{name: "forward_pass with one string", args: "one_prompt forward_pass", answers: []string{"secret99123456"}, replies: replies{accept}, want: Accepted, sent: "secret99123456", prompts: []string{"Password and code: "}, forwarded: "secret99"},
		{name: "forward_pass with one string and eight digits", args: "one_prompt forward_pass digits=8", answers: []string{"secret99123456"}, replies: replies{accept}, want: Accepted, sent: "secret99123456", prompts: []string{"Password and code: "}, forwarded: "secret"},
		{name: "forward_pass with the code alone has nothing to forward", args: "one_prompt forward_pass", answers: []string{"123456"}, replies: replies{accept}, want: Accepted, sent: "123456", prompts: []string{"Password and code: "}},
		{name: "forward_pass with the code in front does not guess", args: "one_prompt forward_pass", answers: []string{"123456secret"}, replies: replies{accept}, want: Accepted, sent: "123456secret", prompts: []string{"Password and code: "}},
		{name: "forward_pass where the code came with a challenge", args: "one_prompt forward_pass", answers: []string{"secret", "123456"}, replies: replies{challenge(""), accept}, want: Accepted, sent: "secret|123456", prompts: []string{"Password and code: ", "Code: "}, forwarded: "secret"},
		{name: "forward_pass does not guess what digits were before a challenge", args: "one_prompt forward_pass", answers: []string{"secret123456", "654321"}, replies: replies{challenge(""), accept}, want: Accepted, sent: "secret123456|654321", prompts: []string{"Password and code: ", "Code: "}},
		{name: "forward_pass in sshd's password mode", args: "forward_pass", answers: []string{"secret123456", "secret123456"}, replies: replies{accept}, want: Accepted, sent: "secret123456", prompts: ask, forwarded: "secret"},
		{name: "forward_pass passes the password before on", args: "use_first_pass forward_pass", authtok: first, answers: []string{"123456"}, replies: replies{accept}, want: Accepted, sent: first + "123456", prompts: ask[1:], forwarded: first},

		{name: "a challenge shows the server's message", answers: []string{"secret", "123456", "65 43 21"}, replies: replies{challenge("Enter the next code shown: "), accept}, want: Accepted, sent: "secret123456|654321", prompts: append(slices.Clone(ask), "Enter the next code shown: ")},
		{name: "a challenge that may be shown", args: "one_prompt", answers: []string{"secret", "123456"}, replies: replies{challenge("Code?", []byte{0, 0, 0, 1}), reject}, want: Refused, sent: "secret|123456", prompts: []string{"Password and code: ", "Code?(echo)"}},
		{name: "a challenge that may not", args: "one_prompt", answers: []string{"secret", "123456"}, replies: replies{challenge("Code?", []byte{0, 0, 0, 0}), accept}, want: Accepted, sent: "secret|123456", prompts: []string{"Password and code: ", "Code?"}},
		{name: "a challenge with an attribute Prompt of another length", args: "one_prompt", answers: []string{"secret", "123456"}, replies: replies{challenge("Code?", []byte{1}), accept}, want: Accepted, sent: "secret|123456", prompts: []string{"Password and code: ", "Code?"}},
		{name: "a password for a challenge is not sent", args: "one_prompt", answers: []string{"secret", "secret"}, replies: replies{challenge("Code?")}, want: Refused, sent: "secret", prompts: []string{"Password and code: ", "Code?"}, reason: refuseNoCode},
		{name: "nothing typed for a challenge", args: "one_prompt", answers: []string{"secret", ""}, replies: replies{challenge("Code?")}, want: Refused, sent: "secret", prompts: []string{"Password and code: ", "Code?"}, reason: refuseEmpty},
		{name: "no answer to a challenge", args: "one_prompt", answers: []string{"secret", noAnswer}, replies: replies{challenge("Code?")}, want: Aborted, sent: "secret", prompts: []string{"Password and code: ", "Code?"}},
		{name: "no reply to the answer", args: "one_prompt", answers: []string{"secret", "123456"}, replies: replies{challenge("Code?")}, want: Unavailable, sent: "secret|123456", prompts: []string{"Password and code: ", "Code?"}},
		{name: "a message with control characters", args: "one_prompt", answers: []string{"secret", "123456"}, replies: replies{challenge("\x1b[2JYour\ncode\x00\u202e\xff, please"), accept}, want: Accepted, sent: "secret|123456", prompts: []string{"Password and code: ", "[2JYour code, please"}},
		{name: "a message that is none", args: "one_prompt", answers: []string{"secret", "123456"}, replies: replies{challenge(" \r\n"), accept}, want: Accepted, sent: "secret|123456", prompts: []string{"Password and code: ", "Code: "}},
		{name: "a long message is cut between characters", args: "one_prompt", answers: []string{"secret", "123456"}, replies: replies{challenge(strings.Repeat("ä", 200)), accept}, want: Accepted, sent: "secret|123456", prompts: []string{"Password and code: ", strings.Repeat("ä", 127)}},
		{name: "five challenges are answered", args: "one_prompt", answers: []string{"secret", "000001", "000002", "000003", "000004", "000005"}, replies: replies{challenge(""), challenge(""), challenge(""), challenge(""), challenge(""), accept}, want: Accepted, sent: "secret|000001|000002|000003|000004|000005", prompts: []string{"Password and code: ", "Code: ", "Code: ", "Code: ", "Code: ", "Code: "}},
		{name: "a sixth is a no, as wrong codes may have caused it", args: "one_prompt", answers: []string{"secret", "000001", "000002", "000003", "000004", "000005"}, replies: replies{challenge(""), challenge(""), challenge(""), challenge(""), challenge(""), challenge("")}, want: Refused, sent: "secret|000001|000002|000003|000004|000005", prompts: []string{"Password and code: ", "Code: ", "Code: ", "Code: ", "Code: ", "Code: "}, reason: refuseRounds},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				options, err := parseOptions(strings.Fields(tt.args))
				if err != nil {
					t.Fatal(err)
				}
				who, servers := &person{answers: tt.answers}, &oracle{replies: tt.replies}
				l := login{options: options, conversation: who, servers: servers, timeout: time.Second}
				l.User, l.HasAuthtok, l.Authtok = "alice", tt.authtok != "", opaque.Text(tt.authtok)
				switch tt.user {
				case "":
				case "-":
					l.User = ""
				default:
					l.User = tt.user
				}
				began := time.Now()
				authtok, err := l.run(t.Context())
				Wipe(l.Authtok) // which is Authenticate's to do

				if got := outcomeOf(err); got != tt.want || tt.reason != nil && !errors.Is(err, tt.reason) {
					t.Errorf("run: outcome %d, %v; want %d, %v", got, err, tt.want, tt.reason)
				}
				if got := strings.Join(servers.sent, "|"); got != tt.sent {
					t.Errorf("sent %q, want %q", got, tt.sent)
				}
				if !slices.Equal(who.prompts, tt.prompts) {
					t.Errorf("prompts %q, want %q", who.prompts, tt.prompts)
				}
				if string(authtok) != tt.forwarded {
					t.Errorf("authtok %q, want %q", authtok, tt.forwarded)
				}
				if local, ok := tt.reason.(refusal); ok && local != refuseByServer && time.Since(began) != refuseAfter {
					t.Errorf("refused after %v, want %v: what no server was asked for must not show", time.Since(began), refuseAfter)
				}
				for i, b := range append(who.given, l.secrets...) {
					if strings.Trim(string(b.Reveal()), "\x00") != "" {
						t.Errorf("secret %d is still there: %q", i, b.Reveal())
					}
				}
				for _, r := range servers.asked {
					if strings.Trim(string(r.Password.Reveal()), "\x00") != "" {
						t.Errorf("what was sent is still there: %q", r.Password.Reveal())
					}
				}
			})
		})
	}
}

// The deadline is of the servers, each time that they are asked.
func TestTypingTakesItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const timeout = 10 * time.Second
		who := &person{answers: []string{"secret", "123456", "654321"}, think: time.Hour}
		servers := &oracle{replies: []*radius.Reply{challenge("Next: "), accept}, take: timeout - time.Millisecond}
		l := login{Start: Start{User: "alice"}, conversation: who, servers: servers, timeout: timeout}
		if _, err := l.run(t.Context()); err != nil {
			t.Errorf("run: %v", err)
		}
		if !slices.Equal(servers.left, []time.Duration{timeout, timeout}) {
			t.Errorf("servers had %v, want %v each time", servers.left, timeout)
		}
	})
}

func TestServersHaveADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		l := login{Start: Start{User: "alice"}, conversation: &person{answers: []string{"secret", "123456"}}, servers: &oracle{take: time.Hour}, timeout: time.Minute}
		if _, err := l.run(t.Context()); outcomeOf(err) != Unavailable || time.Since(began) != time.Minute {
			t.Errorf("run: %v after %v", err, time.Since(began))
		}
	})
}

func TestRequest(t *testing.T) {
	long := strings.Repeat("ä", 200)
	l := login{Start: Start{User: "alice", Service: "sshd", RHost: long, TTY: "ssh"}, nas: "host.example.com", timeout: time.Second,
		conversation: &person{answers: []string{"secret", "123456", "654321"}}}
	servers := &oracle{replies: []*radius.Reply{challenge("Next"), accept}}
	l.servers = servers
	if _, err := l.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, r := range servers.asked {
		wantState := []string{"", "state of Next"}[i]
		if r.UserName != "alice" || r.NASIdentifier != "host.example.com" || r.CallingStationID != long[:252] || r.ServiceType != 8 || string(r.State) != wantState {
			t.Errorf("request %d: %+v", i, r)
		}
		if got := fmt.Sprint(r.Attributes); got != "[{61 [0 0 0 5]} {87 [115 115 104 100]}]" {
			t.Errorf("request %d: attributes %s", i, got)
		}
	}
}
