package ldapsync

import (
	"context"
	"errors"
	"testing"

	"lockstep/ldapsync/sealed"
)

func TestRewrap(t *testing.T) {
	t.Parallel()
	old, current := privateKey(t), privateKey(t)
	ring, err := sealed.NewKeyring(current, old)
	if err != nil {
		t.Fatal(err)
	}
	path := peopleFile(t, "dn: uid=a,dc=x\nuid: a\noathSecret: "+key1+"\n\ndn: uid=b,dc=x\nuid: b\noathSecret: "+key2+"\noathOTPLength: 8\n\n"+
		"dn: uid=twin,dc=x\nuid: twin\noathSecret: "+key1+"\n\ndn: cn=y,dc=x\nuid: twin\noathSecret: "+key1+"\n")
	c := Config{URLs: []string{"ldif:" + path}, SealTo: old.Public(), Keyring: ring, SealedOnly: true}
	rewrap := func(ctx context.Context, o EnrollOptions) (*Directory, Rewrapped, error) {
		d := refreshed(t, c)
		r, err := d.Rewrap(ctx, o, nil)
		return d, r, err
	}
	check := func(what string, r Rewrapped, err error, sealed, kept int) {
		t.Helper()
		if err != nil || r.Sealed != sealed || r.Kept != kept || len(r.Failed) != 1 || !errors.Is(r.Failed["twin"], ErrAmbiguous) {
			t.Errorf("%s: %+v, %v; want %d sealed, %d kept, and an ambiguous name", what, r, err, sealed, kept)
		}
	}
	_, r, err := rewrap(t.Context(), EnrollOptions{DryRun: true})
	check("what would be", r, err, 2, 0)
	_, r, err = rewrap(t.Context(), EnrollOptions{})
	check("from clear", r, err, 2, 0)
	c.SealTo = current.Public()
	_, r, err = rewrap(t.Context(), EnrollOptions{})
	check("to another key", r, err, 2, 0)
	d, r, err := rewrap(t.Context(), EnrollOptions{})
	check("again", r, err, 0, 2)
	if b := lookup(t, d, "b"); string(b.Tokens[0].Key.Reveal()) != "12345678901234567890" || b.Tokens[0].Digits != 8 {
		t.Errorf("another key than before: %+v", b)
	}
	c.Keyring = nil
	_, r, err = rewrap(t.Context(), EnrollOptions{})
	check("without the private key", r, err, 0, 2)

	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := rewrap(cancelled, EnrollOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := open(t, c).Rewrap(t.Context(), EnrollOptions{}, nil); !errors.Is(err, ErrNotReady) {
		t.Errorf("without having read the directory: %v", err)
	}
}
