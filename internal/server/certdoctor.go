package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"lockstep/admin"
)

// What is left of a certificate's time when somebody should be told. One that lasts
// for a day or a week is renewed by a program: a share of its time counts then.
const (
	renewWarning = 30 * 24 * time.Hour
	renewError   = 7 * 24 * time.Hour
)

// certificate rates how long c lasts at now. What it is of goes into the subject.
func (r *report) certificate(id, subject string, c *x509.Certificate, now time.Time) {
	life, left := c.NotAfter.Sub(c.NotBefore), c.NotAfter.Sub(now)
	severity, advice := admin.OK, ""
	switch {
	case left < min(renewError, life/12):
		severity = admin.Error
	case left < min(renewWarning, life/4), now.Before(c.NotBefore):
		severity = admin.Warning
	}
	if severity != admin.OK {
		advice = "renew it before nobody can log in, and see that something renews it by itself"
	}
	text := "lasts until " + c.NotAfter.Local().Format(time.DateTime) + ", " + span(left)
	switch {
	case left <= 0:
		text = "is over since " + c.NotAfter.Local().Format(time.DateTime)
		advice = "renew it; until then nobody who checks it connects"
	case now.Before(c.NotBefore):
		text = "begins on " + c.NotBefore.Local().Format(time.DateTime) + " only"
		advice = "is this machine's clock right?"
	}
	r.add(severity, id, subject, advice, "certificate of %s %s", names(c), text)
}

// names says whom c is for.
func names(c *x509.Certificate) string {
	list := append([]string{}, c.DNSNames...)
	for _, ip := range c.IPAddresses {
		list = append(list, ip.String())
	}
	if len(list) == 0 {
		return fmt.Sprintf("%q", c.Subject.CommonName)
	}
	const most = 4
	if len(list) > most {
		list = append(list[:most], "others")
	}
	return strings.Join(list, ", ")
}

// span says how long d is, as people count.
func span(d time.Duration) string {
	switch day := 24 * time.Hour; {
	case d >= 2*day:
		return fmt.Sprintf("%d days", d/day)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", d/time.Hour)
	}
	return fmt.Sprintf("%d min", d/time.Minute)
}

// authorities rates the CA certificates in a file, of which the first to end is told.
func (r *report) authorities(id, subject string, file []byte, now time.Time) {
	var first *x509.Certificate
	for block, rest := pem.Decode(file); block != nil; block, rest = pem.Decode(rest) {
		if c, err := x509.ParseCertificate(block.Bytes); err == nil && (first == nil || c.NotAfter.Before(first.NotAfter)) {
			first = c
		}
	}
	if first != nil {
		r.certificate(id, subject, first, now)
	}
}

// handshake returns the certificate of whoever answers at addr, and whether t accepts
// it: the error is why not. Both are nil if nobody is there.
func handshake(ctx context.Context, addr string, t *tls.Config) (*x509.Certificate, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, nil
	}
	defer raw.Close()
	t = t.Clone()
	t.ServerName, _, _ = net.SplitHostPort(addr)
	// The way of gRPC, or some servers refuse the handshake.
	t.NextProtos = []string{"h2"}
	conn := tls.Client(raw, t)
	err = conn.HandshakeContext(ctx)
	if refused, ok := errors.AsType[*tls.CertificateVerificationError](err); ok && len(refused.UnverifiedCertificates) > 0 {
		return refused.UnverifiedCertificates[0], err
	}
	if certificates := conn.ConnectionState().PeerCertificates; len(certificates) > 0 {
		return certificates[0], err
	}
	return nil, err
}

// probeTime is how long one thing that is tried may take.
const probeTime = 3 * time.Second
