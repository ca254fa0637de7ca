package ldapsync

import (
	"context"
	"fmt"

	"github.com/go-ldap/ldap/v3"

	"lockstep/internal/opaque"
)

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
