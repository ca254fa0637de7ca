package ldapsync

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-ldap/ldap/v3"

	"lockstep/ldapsync/wire"
)

// Probe is what one server of a directory is found to be like by whoever asks it
// all that can go wrong. It changes nothing there.
type Probe struct {
	URL string // of the server

	// Connect is how long it took to connect, TLS included, Bind the bind of the
	// service account, and Search a search for one entry. Zero if it did not come
	// to that.
	Connect, Bind, Search time.Duration

	// Refused is why there is no connection, BindRefused why the service account
	// could not bind. Nothing below is known then, but a Certificate maybe.
	Refused, BindRefused error

	TLS         bool
	Local       bool              // it is on this machine, and needs no TLS
	CanStartTLS bool              // it says so
	Certificate *x509.Certificate // also of a server that was not believed; nil without TLS
	Syncs       bool              // it tells of changes (RFC 4533), or says so where they are not followed that way
	Found       int               // entries that the service account finds by the replica's filter
	All         bool              // there are no more of them; else there was no time, or Cut says why
	Cut         error             // a limit, or another refusal, that keeps the replica from being complete
	Keys        KeyRights
	probed      *server
}

// KeyRights is who can do what with the key attribute of entries that have one.
type KeyRights struct {
	Attribute string
	Entries   int  // that were looked at; 0: none with a key is known, and nothing is known of the rest
	Keyless   bool // there are entries with the object class of tokens, and none with a key that the service account finds

	Service, Anonymous, AnonymousFinds, AnonymousWrites Right
}

// Right tells whether somebody has it.
type Right int

// The zero Right is Untold: it could not be found out.
const (
	Untold Right = iota
	Denied
	Granted
)

// countTime bounds the count of a directory that is large, or has no index.
const countTime = 8 * time.Second

// sampled is how many entries with a key are looked at.
const sampled = 3

// Probe asks every server, all at once, and takes some seconds at most for each. It
// is nil for a directory that is a file.
func (d *Directory) Probe(ctx context.Context) []Probe {
	p, ok := d.source.(*poller)
	if !ok {
		return nil
	}
	all := make([]Probe, len(p.group.servers))
	var wait sync.WaitGroup
	for i, s := range p.group.servers {
		all[i] = Probe{URL: s.name, Local: s.url.Scheme == "ldapi" || loopback(s.url.Hostname()), probed: s}
		wait.Go(func() { p.probe(ctx, &all[i]) })
	}
	wait.Wait()
	return all
}

func (p *poller) probe(ctx context.Context, r *Probe) {
	c := r.connect(ctx)
	if c == nil {
		return
	}
	defer c.close()
	if !r.bind(ctx, c) {
		return
	}
	began := p.cfg.Now()
	info, err := c.rootDSE(ctx, p.cfg.BaseDN)
	if err != nil {
		r.BindRefused = err
		return
	}
	r.Search, r.Syncs = p.cfg.Now().Sub(began), info.sync
	r.CanStartTLS = c.extends(ctx, oidStartTLS)
	if r.Syncs && p.cfg.Follow != "poll" {
		p.countAsTold(ctx, r)
	}
	if !r.Syncs || p.cfg.Follow == "poll" {
		p.countInPages(ctx, c, r)
	}
	r.Keys.Attribute = p.schema.key
	p.probeKeys(ctx, c, r)
}

const oidStartTLS = "1.3.6.1.4.1.1466.20037"

// connect returns nil where r says why not.
func (r *Probe) connect(ctx context.Context) *conn {
	s := r.probed
	began := s.cfg.Now()
	c, err := s.dial(ctx)
	if err != nil {
		r.Refused, r.Certificate = err, s.untrusted(ctx, err)
		r.TLS = r.Certificate != nil
		return nil
	}
	r.Connect = s.cfg.Now().Sub(began)
	if state, ok := c.tlsState(); ok {
		r.TLS, r.Certificate = true, state.PeerCertificates[0]
	}
	return c
}

func (c *conn) tlsState() (tls.ConnectionState, bool) {
	if secured, ok := c.wire.Conn.(*tls.Conn); ok {
		return secured.ConnectionState(), true
	}
	return c.ldap.TLSConnectionState()
}

// untrusted returns the certificate that was the reason for err, nil if none was.
func (s *server) untrusted(ctx context.Context, err error) *x509.Certificate {
	if s.startsTLS() {
		// go-ldap makes a text of the error.
		ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
		defer cancel()
		c, e := s.speak(ctx, maxAnswer)
		if e == nil {
			c.Close()
			return nil
		}
		err = e
	}
	if refused, ok := errors.AsType[*tls.CertificateVerificationError](err); ok && len(refused.UnverifiedCertificates) > 0 {
		return refused.UnverifiedCertificates[0]
	}
	return nil
}

func (r *Probe) bind(ctx context.Context, c *conn) bool {
	cfg := c.server.cfg
	if cfg.BindDN == "" {
		return true
	}
	began := cfg.Now()
	r.BindRefused = c.do(ctx, cfg.Timeout, func(l *ldap.Conn) error { return l.Bind(cfg.BindDN, string(cfg.BindPassword.Reveal())) })
	r.Bind = cfg.Now().Sub(began)
	return r.BindRefused == nil
}

// extends tells whether the server says that it knows an extended operation.
func (c *conn) extends(ctx context.Context, oid string) bool {
	found, _, _ := c.find(ctx, "", ldap.ScopeBaseObject, "(objectClass=*)", 1, "supportedExtension")
	return len(found) == 1 && slices.Contains(found[0].GetEqualFoldAttributeValues("supportedExtension"), oid)
}

// find returns up to most entries. Where a limit has cut them short, they are
// returned all the same, with the error. Whether err is the server's answer is in
// told: it may be that there was none.
func (c *conn) find(ctx context.Context, base string, scope int, filter string, most int, attributes ...string) (found []*ldap.Entry, told bool, err error) {
	request := ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases, most, 0, false, filter, attributes, nil)
	var result *ldap.SearchResult
	err = c.do(ctx, c.server.cfg.Timeout, func(l *ldap.Conn) (err error) {
		result, err = l.Search(request)
		return err
	})
	if result != nil {
		found = result.Entries
	}
	return found, err == nil || isAnswer(err), err
}

// countAsTold counts what a refresh gives of a server that says that it tells of changes:
// so the replica asks, and there are limits of their own for that. OpenLDAP says so also
// where it does not.
func (p *poller) countAsTold(ctx context.Context, r *Probe) {
	ctx, cancel := context.WithTimeout(ctx, countTime)
	defer cancel()
	c, err := r.probed.wire(ctx)
	if err != nil {
		return
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	err = c.Search(ctx, wire.Search{Base: p.cfg.BaseDN, Scope: wire.ScopeSubtree, Filter: p.schema.filter(), Attributes: []string{"1.1"}, Sync: &wire.SyncRequest{}})
	for err == nil {
		var m *wire.Message
		if m, err = c.Next(p.cfg.Timeout); err != nil {
			return // out of time
		}
		switch m.Kind {
		case wire.Entry:
			r.Found++
		case wire.Done:
			if r.Syncs = m.Result.Code != ldap.LDAPResultUnavailableCriticalExtension; r.Syncs {
				r.ended(p, m.Result)
			}
			return
		}
	}
}

func (r *Probe) ended(p *poller, result wire.Result) {
	if r.All = result.Code == 0; !r.All {
		r.Cut = p.hint(ldap.NewError(uint16(result.Code), errors.New(oneLine(result.Text))))
	}
}

// countInPages counts what the replica would get by polling.
func (p *poller) countInPages(ctx context.Context, c *conn, r *Probe) {
	ctx, cancel := context.WithTimeout(ctx, countTime)
	defer cancel()
	for paging := ldap.NewControlPaging(pageSize); ; {
		request := ldap.NewSearchRequest(p.cfg.BaseDN, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false,
			p.schema.filter(), []string{"1.1"}, []ldap.Control{paging})
		var page *ldap.SearchResult
		err := c.do(ctx, p.cfg.Timeout, func(l *ldap.Conn) (err error) {
			page, err = l.Search(request)
			return err
		})
		if page != nil {
			r.Found += len(page.Entries)
		}
		if err != nil {
			if isAnswer(err) {
				r.Cut = p.hint(err)
			}
			return
		}
		next, _ := ldap.FindControl(page.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
		if next == nil || len(next.Cookie) == 0 {
			r.All = true
			return
		}
		paging.SetCookie(next.Cookie)
	}
}

// withoutBind connects once more and stays anonymous.
func (r *Probe) withoutBind(ctx context.Context) (*conn, error) {
	c, err := r.probed.dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect without a bind: %w", err)
	}
	return c, nil
}
