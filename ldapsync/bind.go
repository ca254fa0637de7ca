package ldapsync

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-ldap/ldap/v3"

	"lockstep/internal/opaque"
)

// checkPassword binds as a. The verdict is nil, a [*PasswordError], or an error
// that means that it could not be told.
func (c *conn) checkPassword(ctx context.Context, a Account, password opaque.Bytes, controls ...ldap.Control) (info PasswordInfo, err error) {
	if a.DN == "" {
		// A bind without a name is anonymous, and succeeds.
		return info, errors.New("account has no DN")
	}
	var refused *PasswordError
	err = c.do(ctx, c.server.cfg.Timeout, func(l *ldap.Conn) (err error) {
		info, err = checkBind(l, a.DN, password, controls)
		if errors.As(err, &refused) {
			return nil
		}
		return err
	})
	if refused != nil {
		return info, refused
	}
	return info, err
}

// bound connects and binds as dn, or stays anonymous if dn is empty.
func (s *server) bound(ctx context.Context, dn string, password opaque.Bytes) (*conn, error) {
	c, err := s.dial(ctx)
	if err != nil || dn == "" {
		return c, err
	}
	err = c.do(ctx, s.cfg.Timeout, func(l *ldap.Conn) error { return l.Bind(dn, string(password.Reveal())) })
	if err != nil {
		c.close()
		if ldap.IsErrorWithCode(err, ldap.LDAPResultInvalidCredentials) {
			return nil, fmt.Errorf("bind as %q: %w (is its password right?)", dn, err)
		}
		return nil, fmt.Errorf("bind as %q: %w", dn, err)
	}
	return c, nil
}
