package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	layeh "layeh.com/radius"

	"lockstep/internal/opaque"
	"lockstep/internal/radius"
)

// introduce prints who there is and how to log in by hand. Nothing of alice's
// is used by the show that follows, so that what is printed here stays good.
func (d *demonstration) introduce() error {
	fmt.Fprintf(d.out, "Two people, in %s:\n", filepath.Join(d.dir, "directory.ldif"))
	for _, p := range []person{d.alice, d.bob} {
		fmt.Fprintf(d.out, "  %-6s password %-12s code now %-9s (%s, %d digits)\n", p.name, p.password, p.code(0), p.key.Algorithm, p.key.Digits)
	}
	fmt.Fprintf(d.out, "\nalice's key, for an authenticator app:\n")
	if err := present(d.out, d.alice.name, d.alice.key, "Lockstep demo"); err != nil {
		return err
	}
	until := d.alice.key.Start(d.alice.key.Step(time.Now()) + 2).Local().Format(time.TimeOnly)
	fmt.Fprintf(d.out, `
Log in as alice from another terminal, with the password, the code, or both in one:
  %s login -server %s -secret-file %s alice
or with FreeRADIUS's client (this code is good until %s):
  echo 'User-Name = alice, User-Password = %s%s, Message-Authenticator = 0x00' | radclient -x %s auth %s

`, os.Args[0], d.addr, filepath.Join(d.dir, "secret"), until, d.alice.password, d.alice.code(0), d.addr, d.secret)
	return nil
}

// showAll goes through what the server promises, as an appliance over UDP, and
// returns whether all of it held.
func (d *demonstration) showAll(ctx context.Context) bool {
	fmt.Fprintln(d.out, "Now bob logs in:")
	d.settle(ctx)
	held := d.ask(ctx, "password alone; the server asks", d.bob.password, d.bob.code(-1))
	code := d.bob.code(0)
	held = d.show(ctx, "password and code", d.bob.password+code, layeh.CodeAccessAccept, "") && held
	held = d.show(ctx, "the same code again", d.bob.password+code, layeh.CodeAccessReject, "replayed") && held
	code = d.bob.code(1)
	held = d.show(ctx, "a new code with a wrong password", "wrong"+code, layeh.CodeAccessReject, "code right and not spent") && held
	held = d.show(ctx, "that code with the right password", d.bob.password+code, layeh.CodeAccessAccept, "") && held
	fmt.Fprintln(d.out, "And now bob's device is 9 min fast:")
	held = d.ask(ctx, "password and code; the server asks", d.bob.password+d.bob.code(18), d.bob.code(19)) && held
	code = d.bob.code(20)
	return d.show(ctx, "password and code, at the next login", d.bob.password+code, layeh.CodeAccessAccept, "") && held
}

// settle waits for the next step if this one is about to end: the code before
// it, which is used first, is good no longer than that.
func (d *demonstration) settle(ctx context.Context) {
	next := time.Until(d.bob.key.Start(d.bob.key.Step(time.Now()) + 1))
	if next > 2*time.Second {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(next):
	}
}

// ask types something that the server answers with a challenge, and then what
// it asks for.
func (d *demonstration) ask(ctx context.Context, what, typed, code string) bool {
	first, err := d.exchange(ctx, typed, nil)
	if err != nil || first.Code != layeh.CodeAccessChallenge {
		return d.told(what, first, err, false)
	}
	d.told(what, first, nil, true)
	fmt.Fprintf(d.out, "         %q\n", strings.TrimSpace(first.ReplyMessage))
	second, err := d.exchange(ctx, code, first.State)
	return d.told("that code", second, err, err == nil && second.Code == layeh.CodeAccessAccept)
}

// show sends typed and prints whether the answer, and its reason in the log,
// are what they should be.
func (d *demonstration) show(ctx context.Context, what, typed string, want layeh.Code, reason string) bool {
	reply, err := d.exchange(ctx, typed, nil)
	return d.told(what, reply, err, err == nil && reply.Code == want && strings.Contains(d.reason, reason))
}

func (d *demonstration) told(what string, reply *radius.Reply, err error, held bool) bool {
	mark, answer := "ok  ", fmt.Sprint(err)
	if !held {
		mark = "FAIL"
	}
	if err == nil {
		answer = reply.Code.String()
	}
	if err == nil && d.reason != "" && reply.Code == layeh.CodeAccessReject {
		answer += ": " + d.reason
	}
	fmt.Fprintf(d.out, "  %s %-48s %s\n", mark, what, answer)
	return held
}

// exchange logs bob in, and notes the reason that the log gives.
func (d *demonstration) exchange(ctx context.Context, typed string, state []byte) (*radius.Reply, error) {
	c := &radius.Client{Server: d.addr.String(), Secret: opaque.Text(d.secret), RequireMessageAuthenticator: true}
	reply, err := c.Exchange(ctx, radius.AccessRequest{UserName: d.bob.name, Password: opaque.Text(typed), State: state, NASIdentifier: "demo"})
	if err != nil {
		return nil, err
	}
	select { // the line may come after the reply
	case d.reason = <-d.log.reasons:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-time.After(5 * time.Second):
		return nil, errors.New("the log has no line for it")
	}
	return reply, nil
}

// reasonLog is the demo's log: warnings and errors go to the terminal, and the
// reasons of decisions about one user are told, because no reply carries them.
type reasonLog struct {
	slog.Handler
	user    string
	reasons chan string // those that nobody receives are lost
}

func newReasonLog(w io.Writer, user string) *reasonLog {
	return &reasonLog{
		Handler: slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelWarn}),
		user:    user,
		reasons: make(chan string, 16),
	}
}

// Enabled implements [slog.Handler]: decisions are wanted too.
func (l *reasonLog) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

// Handle implements [slog.Handler].
func (l *reasonLog) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == "decision" {
		l.decision(r)
	}
	if r.Level < slog.LevelWarn {
		return nil
	}
	return l.Handler.Handle(ctx, r)
}

func (l *reasonLog) decision(r slog.Record) {
	facts := map[string]string{}
	r.Attrs(func(a slog.Attr) bool {
		facts[a.Key] = a.Value.String()
		return true
	})
	if facts["user"] != l.user {
		return
	}
	select {
	case l.reasons <- facts["reason"]:
	default:
	}
}
