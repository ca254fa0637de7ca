package radiusd

import (
	"context"
	"errors"
	"slices"
	"testing"

	layeh "layeh.com/radius"
)

// Audit is told of what is decided, and of what could not be, before any reply; and
// what it cannot keep gets none.
func TestAuditBeforeTheReply(t *testing.T) {
	var told []string
	var fault error
	server := &Server{}
	answers := map[string]authFunc{"alice": always(Accept), "bob": always(Reject),
		"carol": func(context.Context, *Request) (Answer, error) { return Answer{}, errors.New("the store is away") }}
	ask := func(ctx context.Context, r *Request) (Answer, error) { return answers[r.UserName](ctx, r) }
	var r *rig
	server.Audit = func(_ context.Context, d Decided) error {
		what := d.Request.UserName + " " + d.Answer.Outcome.String() + " " + d.Src.Addr().String()
		if d.Err != nil {
			what += " " + d.Err.Error()
		}
		if n := len(r.conn.sent()); n > 0 && fault != nil {
			t.Errorf("%d replies before that of %s", n, what)
		}
		told = append(told, what)
		return fault
	}
	inBubbleWith(t, server, ask, func(t *testing.T, bubble *rig) {
		r = bubble
		fault = errors.New("the disk is full")
		r.silent(r.send(vpn, login(1, "alice", "pass")))
		r.wantLog("cannot decide, no reply sent", "record the decision: the disk is full")
		fault = nil
		if replies := r.send(vpn, login(2, "alice", "pass")); len(replies) != 1 || replies[0].Code() != layeh.CodeAccessAccept {
			t.Errorf("%v", replies)
		}
		r.send(vpn, login(3, "bob", "pass"))
		r.silent(r.send(vpn, login(4, "carol", "pass")))
		r.send(vpn, login(2, "alice", "pass")) // another request with the same Identifier
		want := []string{"alice accept 192.0.2.1", "alice accept 192.0.2.1", "bob reject 192.0.2.1", "carol none 192.0.2.1 the store is away"}
		if len(told) < len(want) || !slices.Equal(told[:len(want)], want) {
			t.Errorf("told %q, want %q", told, want)
		}
	})
}
