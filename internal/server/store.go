package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"lockstep/config"
	"lockstep/radiusd"
	"lockstep/store"
	"lockstep/store/bolt"
	"lockstep/store/etcd"
)

// OpenStore opens the store of c for the server of that name. A cluster that is away is no error: Check says
// when it can be reached.
func OpenStore(c config.Store, name string, log *slog.Logger, now func() time.Time) (store.Store, error) {
	if c.Engine == "etcd" {
		return openEtcd(c.Etcd, name, log, now)
	}
	s, err := bolt.Open(c.Path, bolt.Options{Log: log, Now: now})
	if err != nil {
		return nil, err // and not a nil that is none
	}
	return s, nil
}

func openEtcd(c config.Etcd, name string, log *slog.Logger, now func() time.Time) (store.Store, error) {
	o := etcd.Options{
		Endpoints: c.Endpoints,
		Prefix:    c.Prefix,
		User:      c.User,
		Password:  c.Password,
		Name:      name,
		Compact:   c.Compact,
		Log:       log,
		Now:       now,
	}
	o.TLS = tlsConfig(c)
	s, err := etcd.Open(o)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func tlsConfig(c config.Etcd) *tls.Config {
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CA != nil {
		t.RootCAs = x509.NewCertPool()
		t.RootCAs.AppendCertsFromPEM(c.CA)
	}
	if c.Certificate != nil {
		t.Certificates = []tls.Certificate{*c.Certificate}
		return t
	}
	// A member of etcd asks only if it insists, and may be gone before it is heard
	// why: with TLS 1.3 all that is left is a broken pipe.
	t.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return nil, errNoCertificate
	}
	return t
}

var errNoCertificate = errors.New("the member asks for a certificate, and store.cert_file names none")

// serverName is what a server is known by to others of its store: the machine, and
// where it listens, because several may run on one. It stays the same at a restart.
func serverName(c *config.Config) (string, error) {
	if name := c.Store.Etcd.Name; name != "" {
		return name, nil
	}
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("name this server: %w", err)
	}
	if len(c.Radius.Listen) == 0 {
		return host, nil
	}
	return host + " " + c.Radius.Listen[0].String(), nil
}

// gated asks nothing while the store is known not to answer, or the audit trail
// not to be written: a name that nobody has would get its refusal then, and all
// others silence, and codes would be spent in vain.
type gated struct {
	radiusd.Authenticator
	closed func() error
}

func (g gated) Authenticate(ctx context.Context, r *radiusd.Request) (radiusd.Answer, error) {
	if err := g.closed(); err != nil {
		return radiusd.Answer{}, err
	}
	return g.Authenticator.Authenticate(ctx, r)
}

// gate puts the state of the store before the clients' authenticators.
func (s *Server) gate(clients []radiusd.Client) []radiusd.Client {
	for i := range clients {
		s.metrics.measure(&clients[i])
		clients[i].Auth = gated{clients[i].Auth, s.mayDecide}
		s.metrics.countUndecided(&clients[i])
	}
	return clients
}

// storeReady is what the last look at the store said.
func (s *Server) storeReady() error {
	if err := s.storeErr.Load(); err != nil {
		return *err
	}
	return nil
}
