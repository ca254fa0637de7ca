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
//   - what is at the other end of this very connection says that it is OpenLDAP, and
//     names the controls that it knows, and not that of password policies;
//   - it names that of the overlay which tells of changes, and changes are being told
//     by this server. A proxy, which may have servers behind it that know of policies,
//     has no changes to tell;
//   - that was so less than a minute ago. The overlay can be loaded at any time.
//
// All others are asked, also where nobody can tell what they are.

// lookAgain is for how long a server is taken to have no password policies.
const lookAgain = time.Minute

// asks tells whether a bind over b is to ask about the password's policy. It may have
// to ask the server first; the error is then as of a bind that was not sent.
func (b *binder) asks(ctx context.Context) (bool, error) {
	if !b.server.followed.Load() {
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
	return !plain, nil
}

// look reads the root DSE (RFC 4512, section 5.1) as whoever was bound last. Who may
// not see it sees none of what is looked for.
func (b *binder) look(ctx context.Context) (plain bool, err error) {
	wait := b.server.cfg.Timeout
	if end, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(end))
	}
	err = b.wire.Search(ctx, wire.Search{Filter: "(objectClass=*)", Attributes: []string{"objectClass", "supportedControl"}})
	for range mostMessages {
		var m *wire.Message
		if err == nil {
			m, err = b.wire.Next(max(wait, time.Millisecond))
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
	return has("objectClass", "OpenLDAProotDSE") && has("supportedControl", oidSync) && !has("supportedControl", wire.AskPolicy.OID)
}

// unlooked is err for who decides whether to ask again. The bind was not sent.
func (b *binder) unlooked(err error) error {
	timeout := errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
	return &linkError{err: fmt.Errorf("%s: read what the server can do: %w", b.server.name, err), timeout: timeout}
}
