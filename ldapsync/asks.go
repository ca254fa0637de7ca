package ldapsync

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"lockstep/ldapsync/wire"
)

// Where a password must be changed first, nothing but the answer to a question says
// so, which goes with the bind. OpenLDAP without the overlay for password policies
// writes a line to the system's log for each such question, and that is a third of what
// a bind takes there. So it is not asked where it is known to be in vain:
//
//   - what is at the other end of this very connection says that it is OpenLDAP 2.5 or
//     later, and names the controls that it knows, and none of the overlay for password
//     policies. Earlier ones hide that control;
//   - it names that of the overlay which tells of changes, and changes are being told
//     by this server. A proxy, which may have servers behind it that know of policies,
//     has no changes to tell;
//   - that was so less than a minute ago. The overlay can be loaded at any time;
//   - the server has never answered the question. The first bind after each look puts it
//     all the same: the overlay pbind has another server check the passwords, which may
//     have policies, and nothing shows that it is there.
//
// All others are asked, also where nobody can tell what they are.

// lookAgain is for how long a server is taken to have no password policies.
const lookAgain = time.Minute

// asks tells whether a bind over b is to ask about the password's policy. It may have
// to ask the server first; the error is then as of a bind that was not sent.
func (b *binder) asks(ctx context.Context) (bool, error) {
	if b.server.cfg.AskPolicy || !b.server.followed.Load() || b.server.policies.Load() {
		return true, nil
	}
	now := b.server.cfg.Now()
	if since := now.Sub(b.looked); since >= 0 && since < lookAgain {
		return !b.plain, nil
	}
	plain, err := b.look(ctx)
	if err != nil {
		return true, b.unlooked(err)
	}
	b.looked, b.plain = now, plain
	return true, nil
}

// look reads the root DSE (RFC 4512, section 5.1) as whoever was bound last. Who may
// not see it sees none of what is looked for.
func (b *binder) look(ctx context.Context) (plain bool, err error) {
	deadline := time.Now().Add(b.server.cfg.Timeout)
	if end, ok := ctx.Deadline(); ok && end.Before(deadline) {
		deadline = end
	}
	err = b.wire.Search(ctx, wire.Search{Filter: "(objectClass=*)", Attributes: []string{"objectClass", "supportedControl", "supportedExtension"}})
	for range mostMessages {
		var m *wire.Message
		if err == nil {
			m, err = b.wire.Next(max(time.Until(deadline), time.Millisecond))
		}
		switch {
		case err != nil:
			return false, err
		case m.Kind == wire.Entry:
			plain = withoutPolicies(m)
		case m.Kind == wire.Done:
			return plain, nil
		}
	}
	return false, errors.New("a root DSE of many entries")
}

// mostMessages are read of an answer that has two.
const mostMessages = 4

func withoutPolicies(root *wire.Message) bool {
	has := func(attribute, value string) bool {
		return slices.ContainsFunc(root.Values(attribute), func(v []byte) bool { return string(v) == value })
	}
	return has("objectClass", "OpenLDAProotDSE") && has("supportedExtension", oidTransactions) && has("supportedControl", oidSync) &&
		!slices.ContainsFunc(ofPolicies, func(oid string) bool { return has("supportedControl", oid) })
}

// oidTransactions is of RFC 5805, which OpenLDAP has since 2.5. Before that the control of
// policies may be there without being named.
const oidTransactions = "1.3.6.1.1.21.1"

// ofPolicies are the controls of the overlay for password policies.
var ofPolicies = []string{wire.AskPolicy.OID, "1.3.6.1.4.1.42.2.27.9.5.8", "2.16.840.1.113730.3.4.4", "2.16.840.1.113730.3.4.5"}

// unlooked is err for who decides whether to ask again. The bind was not sent.
func (b *binder) unlooked(err error) error {
	timeout := errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
	return &linkError{err: fmt.Errorf("%s: read what the server can do: %w", b.server.name, err), timeout: timeout}
}
