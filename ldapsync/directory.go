package ldapsync

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"time"

	"lockstep/internal/opaque"
	"lockstep/ldapsync/sealed"
)

// Directory is a replica of the enrolled accounts and the way to the directory
// behind it. Make one with [Open].
type Directory struct {
	replica *replica
	source  source
	sealTo  *sealed.PublicKey // nil for none
	base    string            // DN, as it is configured
	domains domains
}

// source is where the accounts come from.
type source interface {
	// follow keeps the replica up to date until ctx ends.
	follow(ctx context.Context) error
	// refresh reads everything now.
	refresh(ctx context.Context) error
	// update reads what has changed, unless it is told of changes anyway.
	update(ctx context.Context) error
	// checkPassword is CheckPasswordMeanwhile for a password that may be asked about.
	// It may never call meanwhile, which may be nil.
	checkPassword(ctx context.Context, a Account, password opaque.Bytes, meanwhile func() (late func())) (PasswordInfo, error)
	// editor returns what writes as o says.
	editor(ctx context.Context, o EnrollOptions) (editor, error)
	// memberships returns what answers for the groups of a.
	memberships(a Account) members
	// groupAt is Group.
	groupAt(ctx context.Context, dn string) (Group, error)
	// status fills in what only the source knows.
	status() Status
	// reachable is nil while passwords can be checked.
	reachable() error
}

// Status is the state of a Directory for people and monitoring.
type Status struct {
	Kind      string    // "ldap" or "ldif"
	URL       string    // of the server in use or tried last, or the file; it holds no secret
	Mode      string    // how changes of an LDAP server are noticed: "syncrepl" or "poll"; "" while that is not known
	OwnKeys   bool      // people may write the key attribute of their own entries (Active Directory), so that a password is enough to enrol
	Ready     bool      // the first complete refresh is done
	Healthy   bool      // Err is nil and the replica is ready
	Entries   int       // enrolled accounts, unusable ones included
	Refreshed time.Time // of the last complete refresh; zero before
	Err       error     // of the last try to refresh or poll; nil if it worked
}

// Open checks c and returns its Directory. It opens no connection and reads no
// file; the replica is empty until [Directory.Run] or [Directory.Refresh]. The
// error lists what is wrong with c.
func Open(c Config) (*Directory, error) {
	c = c.withDefaults()
	s, err := c.check()
	if err != nil {
		return nil, err
	}
	known, err := newDomains(c.Domains)
	if err != nil {
		return nil, fmt.Errorf("domains: %w", err)
	}
	d := &Directory{domains: known, replica: newReplica(s, c), sealTo: c.SealTo, base: c.BaseDN}
	if path, ok := strings.CutPrefix(c.URLs[0], "ldif:"); ok {
		d.source = newFile(c, path, d.replica)
		return d, nil
	}
	d.source, err = newServer(c, d.replica)
	return d, err
}

// Run follows the source until ctx ends, and returns the cause. Errors of the
// source do not end it: it tries again, and logs when the state changes, not
// at each try. It must be called once at most.
func (d *Directory) Run(ctx context.Context) error { return d.source.follow(ctx) }

// WaitReady returns nil after the first complete refresh, or the cause of ctx.
func (d *Directory) WaitReady(ctx context.Context) error {
	select {
	case <-d.replica.ready:
		return nil
	case <-ctx.Done():
		if err := d.source.status().Err; err != nil {
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
		return context.Cause(ctx)
	}
}

// Update reads now what has changed, for who has just changed something. Where
// changes are told by the server it has nothing to do.
func (d *Directory) Update(ctx context.Context) error {
	if d.replica.schema.owner != "" && d.source.status().Mode == "poll" {
		return d.source.refresh(ctx) // tokens that are deleted are in no search for changes
	}
	return d.source.update(ctx)
}

// Refresh reads everything from the source now, and is for those who do not call
// Run. After an error nothing is missing that was there before.
func (d *Directory) Refresh(ctx context.Context) error { return d.source.refresh(ctx) }

// Lookup returns the account that name, in any spelling and with or without one
// of the domains, stands for. It takes no lock and asks no network. Errors are [*NameError], [ErrNotReady],
// [ErrNoAccount], [ErrAmbiguous] and [*UnusableError]; with the last, the
// Account has its ID, Name and DN all the same.
func (d *Directory) Lookup(name string) (Account, error) {
	canonical, err := Canonical(name)
	if err != nil {
		return Account{}, err
	}
	return d.lookup(canonical, opened)
}

// Opens returns the IDs of the private keys by which sealed keys are opened.
func (d *Directory) Opens() []string { return d.replica.keyring.IDs() }

// Entry is Lookup for who has to know only whose password is to be checked: the
// account has no Tokens, and whether those that the directory has can be used is not
// looked at.
func (d *Directory) Entry(name string) (Account, error) {
	canonical, err := Canonical(name)
	if err != nil {
		return Account{}, err
	}
	return d.lookup(canonical, keyless)
}

// Still reports whether nothing at all has changed in d since it has given a by Lookup
// or Entry, so that Entry would give it again. It is cheap. False does not mean that a
// has changed: ask Entry then. An account of another Directory is never still d's.
func (d *Directory) Still(a Account) bool {
	return a.read == reading{d.replica, d.replica.changes.Load()}
}

// CheckPassword asks the directory whether password is a's. Nil means that it
// is, and a [*PasswordError] that the directory refused it. Any other error
// means that it could not be told: the caller must neither accept nor count it
// against the user. It takes no longer than ctx allows, and is such an error at
// once where too many other calls wait for an LDAP server already.
//
// Of an account that is Delegated, password has the code behind it.
func (d *Directory) CheckPassword(ctx context.Context, a Account, password opaque.Bytes) (PasswordInfo, error) {
	return d.CheckPasswordMeanwhile(ctx, a, password, nil)
}

// CheckPasswordMeanwhile is CheckPassword, and calls meanwhile, unless that is nil,
// while it waits for the answer: once at most, and before it returns. It is not called
// where there is nothing to wait for. What it returns, unless nil, is called if the
// answer takes longer than 0.1 s, before that is there.
func (d *Directory) CheckPasswordMeanwhile(ctx context.Context, a Account, password opaque.Bytes, meanwhile func() (late func())) (PasswordInfo, error) {
	if err := refusePassword(password.Reveal()); err != nil {
		return PasswordInfo{}, err
	}
	return d.source.checkPassword(ctx, a, password, meanwhile)
}

// Accounts ranges over the usable accounts, in no order. Changes meanwhile may
// or may not be seen.
func (d *Directory) Accounts() iter.Seq[Account] { return d.replica.accounts }

// Unusable ranges over the enrolled accounts that cannot log in, in no order:
// the canonical name and why, an [*UnusableError] or [ErrAmbiguous]. An entry
// is told once, under its first name; several of one name are told once.
// Changes meanwhile may or may not be seen.
func (d *Directory) Unusable() iter.Seq2[string, error] { return d.replica.unusable }

// Status returns the present state.
func (d *Directory) Status() Status {
	s := d.source.status()
	s.Ready, s.Entries, s.Refreshed = d.replica.state()
	s.Healthy = s.Ready && s.Err == nil
	return s
}

// Healthy returns nil while logins can be decided: the replica is ready and
// passwords can be checked, as far as is known without asking.
func (d *Directory) Healthy() error {
	if ready, _, _ := d.replica.state(); !ready {
		return ErrNotReady
	}
	return d.source.reachable()
}
