package ldapsync

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/go-ldap/ldap/v3"
)

// attrLastStep is where OpenLDAP's overlay otp keeps the step of the last code that
// it has accepted.
const attrLastStep = "oathTOTPLastTimeStep"

// errNoOverlay says that a bind was not the overlay's to judge. Where a database or
// one of its replicas lacks the overlay, a password alone would do, if it happens to
// end in digits.
var errNoOverlay = errors.New("the bind succeeded, but " + attrLastStep + " has not moved: no code was checked (does this server have the overlay otp, and may the service account read the attribute?)")

// overlayBind binds as a, whose code the overlay otp has to check, and makes sure
// that it has.
func (p *poller) overlayBind(ctx context.Context, a Account, bind func() error) error {
	rec := p.replica.byDN(a.DN)
	if rec == nil {
		return fmt.Errorf("entry of %q has changed meanwhile", a.Name)
	}
	tokens := rec.all(fieldToken)
	tokens = tokens[:min(len(tokens), maxTokens)]
	before, err := p.lastSteps(ctx, tokens)
	if err != nil {
		return err
	}
	if err := bind(); err != nil {
		return err
	}
	after, err := p.lastSteps(ctx, tokens)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(tokens, func(dn string) bool { return after[dn] > before[dn] }) {
		return errNoOverlay
	}
	return nil
}

// lastSteps returns the last step of each token, 0 for none that can be read.
func (p *poller) lastSteps(ctx context.Context, tokens []string) (map[string]int64, error) {
	steps := map[string]int64{}
	for _, dn := range tokens {
		found, err := p.groups.search(ctx, dn, ldap.ScopeBaseObject, "(objectClass=*)", false, []string{attrLastStep})
		switch {
		case ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject):
			continue
		case err != nil:
			return nil, fmt.Errorf("read %s of %q: %w", attrLastStep, dn, err)
		}
		for _, e := range found {
			steps[dn], _ = strconv.ParseInt(e.GetEqualFoldAttributeValue(attrLastStep), 10, 64)
		}
	}
	return steps, nil
}
