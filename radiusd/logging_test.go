package radiusd

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	layeh "layeh.com/radius"

	"lockstep/internal/radius"
)

func TestPacketsAtTheWrongPort(t *testing.T) {
	for _, tt := range []struct {
		name       string
		datagram   []byte
		accounting bool // the port it is sent to
		what, hint string
	}{
		{"accounting at the authentication port", accountingRequest(1), false, "accounting at the authentication port", "set the accounting port"},
		{"a login at the accounting port", login(1, "alice", "pass"), true, "login at the accounting port", "set the authentication port"},
		{"Disconnect-Request", packet(layeh.CodeDisconnectRequest, 1), false, "Disconnect or CoA", "dynamic authorization"},
		{"CoA-Request at the accounting port", packet(layeh.CodeCoARequest, 1), true, "Disconnect or CoA", "dynamic authorization"},
		{"an answer", packet(layeh.CodeAccessAccept, 1), false, "kind that is not served", "Access-Request"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, always(Accept), func(t *testing.T, r *rig) {
				conn := r.conn
				if tt.accounting {
					conn = r.acct
				}
				warnings := func() int { return strings.Count(r.log.String(), tt.what) }
				for range 3 {
					r.silent(r.sendTo(conn, vpn, tt.datagram))
				}
				r.wantLog("level=WARN", tt.what, "client=vpn", "code="+radius.Packet(tt.datagram).Code().String(), tt.hint)
				if warnings() != 1 {
					t.Errorf("%d warnings at once, want 1", warnings())
				}
				r.silent(r.sendTo(conn, old, tt.datagram))
				if warnings() != 2 {
					t.Errorf("%d warnings, want one for each client, 2", warnings())
				}
				r.later(time.Minute)
				r.silent(r.sendTo(conn, vpn, tt.datagram))
				r.silent(r.sendTo(conn, nobody, tt.datagram))
				if warnings() != 3 || r.count("DropUnknownCode") != 5 || r.count("TotalUnknownTypes") != 5 {
					t.Errorf("%d warnings, %d counted; want one a minute, 3, and 5", warnings(), r.count("DropUnknownCode"))
				}
			})
		})
	}
	t.Run("each kind has a warning of its own", func(t *testing.T) {
		inBubble(t, always(Accept), func(t *testing.T, r *rig) {
			r.send(vpn, accountingRequest(1))
			r.send(vpn, packet(layeh.CodeCoARequest, 2))
			r.sendTo(r.acct, vpn, login(3, "alice", "pass"))
			if got := strings.Count(r.log.String(), "level=WARN"); got != 3 || r.asks() != 0 {
				t.Errorf("%d warnings, asked %d times; want 3, 0", got, r.asks())
			}
		})
	})
}

func TestJSONLogHasTheWordsOfTheTextLog(t *testing.T) {
	inBubble(t, twoRounds, func(t *testing.T, r *rig) {
		first, second := r.challenge(vpn, 1, "alice"), r.challenge(vpn, 101, "alice")
		r.send(vpn, login(2, "alice", "123456", state(first)))
		r.send(vpn, login(102, "alice", "123456", state(first)))
		r.send(vpn6, login(3, "alice", "wrong", attr(32, "nas"), attr(31, "calling")))
		r.setAuth(slow(2*time.Second, Accept))
		r.send(vpn, login(4, "alice", "123456", state(second)))
		r.send(vpn, login(4+100, "alice", "123456", state(second)))
		r.later(3 * time.Second)
		r.setAuth(func(context.Context, *Request) (Answer, error) { return Answer{}, errors.New("store is away") })
		r.send(vpn, login(5, "alice", "pass"))
		r.setAuth(func(context.Context, *Request) (Answer, error) { panic("here") })
		r.send(vpn, login(6, "alice", "pass"))
		r.send(vpn, []byte("malformed"))
		r.send(vpn, login(7, "alice", "pass", user("bob")))
		r.send(vpn, accountingRequest(8))
		r.send(nobody, login(9, "alice", "pass"))
		r.conn.refuseWrites()
		r.setAuth(always(Accept))
		r.send(vpn, login(10, "alice", "pass"))

		numbers := map[string]bool{"q": true, "id": true, "length": true}
		for line := range strings.Lines(r.json.String()) {
			var facts map[string]any
			if err := json.Unmarshal([]byte(line), &facts); err != nil {
				t.Fatal(err)
			}
			delete(facts, "time") // has another precision
			var words []string
			for key, value := range facts {
				switch v := value.(type) {
				case string:
					words = append(words, key+"="+quoted(v))
				case float64:
					words = append(words, key+"="+strconv.Itoa(int(v)))
					if !numbers[key] {
						t.Errorf("%s is the number %v in %s", key, v, line)
					}
				default:
					t.Errorf("%s is a %T in %s", key, value, line)
				}
			}
			r.wantLog(words...)
		}
		for _, want := range []string{
			`"result":"accept"`, `"result":"reject"`, `"result":"challenge"`, `"code":"Access-Request"`, `"code":"Accounting-Request"`,
			`"src":"192.0.2.1:50000"`, `"src":"[2001:db8::1]:50000"`, `"took":"2s"`, `"reason":"malformed packet: `, `"reason":"DropStateInUse"`, "cannot send a reply",
		} {
			if !strings.Contains(r.json.String(), want) {
				t.Errorf("no %s in\n%s", want, r.json)
			}
		}
	})
}

// quoted is v as the text handler has it.
func quoted(v string) string {
	if v == "" || strings.ContainsAny(v, " =\"\n") {
		return strconv.Quote(v)
	}
	return v
}

// blocked is a log that waits before each decision.
type blocked struct {
	slog.Handler
	gate chan struct{}
}

func (b blocked) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == "decision" {
		<-b.gate
	}
	return b.Handler.Handle(ctx, r)
}

func TestNobodyWaitsForTheLog(t *testing.T) {
	inBubble(t, always(Accept), func(t *testing.T, r *rig) {
		gate := make(chan struct{})
		if err := r.start(); err != nil {
			t.Fatal(err)
		}
		r.Server.log = slog.New(blocked{r.Log.Handler(), gate})
		r.one(vpn, login(1, "alice", "pass"), layeh.CodeAccessAccept)
		if r.logged("msg=decision") {
			t.Error("logged before the reply was sent")
		}
		ended := make(chan struct{})
		go func() {
			r.Shutdown(t.Context())
			close(ended)
		}()
		r.later(time.Second)
		select {
		case <-ended:
			t.Error("shut down before the decision was logged")
		default:
		}
		close(gate)
		<-ended
		r.wantLog("msg=decision", "user=alice", "result=accept")
	})
}

func TestARejectIsLoggedWhenItIsDecided(t *testing.T) {
	inBubble(t, always(Reject), func(t *testing.T, r *rig) {
		r.silent(r.send(vpn, login(1, "alice", "pass")))
		r.wantLog("msg=decision", "user=alice", "result=reject")
		r.only(r.later(time.Second), layeh.CodeAccessReject)
	})
}
