package server

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"time"

	"lockstep/config"
	"lockstep/internal/metrics"
	"lockstep/internal/opaque"
	"lockstep/ldapsync"
	"lockstep/radiusd"
	"lockstep/verifier"
)

// clients returns the RADIUS clients of the configuration, each with the
// verifier, its policy and its rules behind it.
func clients(cfg config.Radius, v *verifier.Verifier, dir *directory) []radiusd.Client {
	var all []radiusd.Client
	for _, c := range cfg.Clients {
		policy := verifier.Policy{CodeOnly: c.Factors == "code", Challenge: c.Challenge}
		if c.Separator != "" {
			policy.Separator = c.Separator[0]
		}
		all = append(all, radiusd.Client{
			Name:                        c.Name,
			Prefix:                      c.Address,
			Secret:                      c.Secret,
			RequireMessageAuthenticator: c.RequireMessageAuthenticator,
			Challenge:                   c.Challenge,
			RejectDelay:                 c.RejectDelay,
			Auth:                        authenticator{verifier: v, policy: policy, tell: c.TellNotEnrolled, expiry: c.TellPasswordExpiry, rules: rulesAt(c.Name, cfg.Rules, dir)},
		})
	}
	return all
}

// authenticator asks the verifier on behalf of one client.
type authenticator struct {
	verifier *verifier.Verifier
	policy   verifier.Policy
	tell     bool // who is not enrolled
	rules    rules
	expiry   bool            // of the password, whoever is let in is told
	counts   *metrics.Client // nil counts nothing
}

func (a authenticator) Authenticate(ctx context.Context, r *radiusd.Request) (radiusd.Answer, error) {
	source := cmp.Or(r.CallingStationID, r.Client.Name)
	asked, kept, err := unpack(r.Kept, source)
	if err != nil {
		return radiusd.Answer{}, err
	}
	var rule *config.Rule
	d, err := a.verifier.Verify(ctx, verifier.Request{
		User:      r.UserName,
		Typed:     r.Typed,
		Client:    r.Client.Name,
		Source:    source,
		Answering: r.Challenged,
		Asked:     asked,
		Kept:      kept,
		Policy:    a.policy,
		Authorize: a.rules.authorize(&rule),
	})
	if err != nil {
		return radiusd.Answer{}, err
	}
	countDecision(a.counts, d, r)
	if d.NotEnrolled && a.tell {
		return radiusd.Answer{Outcome: radiusd.Reject, User: d.Account, Reason: d.Reason.String(), Message: notEnrolled}, nil
	}
	answer := radiusd.Answer{User: d.Account, Reason: reason(d)}
	if rule != nil {
		answer.Rule = rule.Name
	}
	switch d.Outcome {
	case verifier.Accepted:
		answer.Outcome, answer.Attributes = radiusd.Accept, reply(rule)
		if a.expiry {
			answer.Message = expiry(d.Password)
		}
	case verifier.Challenged:
		answer.Outcome, answer.Keep, answer.Late = radiusd.Challenge, pack(d.Asked, source, d.Keep), d.Late
		if d.NextCode {
			answer.Message, answer.Wait = nextCode, 2*time.Minute // the longest period
		}
	default:
		answer.Outcome = radiusd.Reject
	}
	return answer, nil
}

// reason is what the log says of a decision, also of one that let in: which token
// it was where there are several, whether its clock was learned anew, and whether
// the same login was let in before.
func reason(d verifier.Decision) string {
	text := d.Reason.String()
	switch {
	case d.Repeated:
		// Less than nothing where the other server's clock is ahead.
		text = fmt.Sprintf("repeated %.1f s after it was accepted", max(0, d.Ago.Seconds()))
	case d.Resynchronized:
		text = "resynchronized: device is " + verifier.Ahead(d.Offset)
	}
	switch {
	case d.Token == "":
		return text
	case text == "":
		return "token " + d.Token
	}
	return text + ", token " + d.Token
}

// notEnrolled is how pam_lockstep knows that somebody is not.
const notEnrolled = "not enrolled"

// nextCode is what somebody is told whose code was right but out of step.
const nextCode = "Your code is out of step. Enter the next code shown: "

// packed is what pack adds to what was typed.
const packed = 8 + 8

// pack returns what a challenge keeps: when it was asked, a hash of who was
// asked, and what the verifier wants kept. The server seals it into State.
func pack(asked time.Time, source string, typed opaque.Bytes) opaque.Bytes {
	b := binary.BigEndian.AppendUint64(nil, uint64(asked.UnixMilli()))
	b = append(b, hashOf(source)...)
	return opaque.Of(append(b, typed.Reveal()...))
}

// hashOf returns eight octets that tell a source from others, the same at every
// server. They need no key: State is sealed.
func hashOf(source string) []byte {
	sum := sha256.Sum256([]byte(source))
	return sum[:8]
}

// unpack is the opposite of pack. Nothing kept is no time and nothing typed. There
// is no time for another source than the one that was asked, or somebody who has
// to wait could be asked elsewhere.
func unpack(kept opaque.Bytes, source string) (asked time.Time, typed opaque.Bytes, err error) {
	b := kept.Reveal()
	switch {
	case len(b) == 0:
		return time.Time{}, opaque.Bytes{}, nil
	case len(b) < packed:
		return time.Time{}, opaque.Bytes{}, errors.New("what the challenge kept is too short")
	}
	if bytes.Equal(b[8:packed], hashOf(source)) {
		asked = time.UnixMilli(int64(binary.BigEndian.Uint64(b))).UTC()
	}
	return asked, opaque.Of(b[packed:]), nil
}

func directoryConfig(c config.Directory, log *slog.Logger) ldapsync.Config {
	return ldapsync.Config{
		URLs:               c.URLs,
		BaseDN:             c.BaseDN,
		BindDN:             c.BindDN,
		BindPassword:       c.BindPassword,
		LoginAttribute:     c.LoginAttribute,
		Schema:             c.Schema,
		KeyAttribute:       c.KeyAttribute,
		KeyEncoding:        c.KeyEncoding,
		AlgorithmAttribute: c.Attributes.Algorithm,
		DigitsAttribute:    c.Attributes.Digits,
		PeriodAttribute:    c.Attributes.Period,
		SerialAttribute:    c.Attributes.Serial,
		DisabledAttribute:  c.Attributes.Disabled,
		Delegate:           c.Delegate,
		Domains:            c.Domains,
		Follow:             c.Follow,
		AskPolicy:          c.AskPolicy,
		Keyring:            c.Keyring,
		SealTo:             c.SealTo,
		Realm:              c.Realm,
		SealedOnly:         c.SealedOnly,
		CA:                 c.CA,
		StartTLS:           c.StartTLS,
		Insecure:           c.Insecure,
		Timeout:            c.Timeout,
		Pool:               c.Pool,
		Log:                log,
		Now:                time.Now,
	}
}

// OpenDirectory returns the directory of c for commands that use it without a
// running server.
func OpenDirectory(c *config.Config, log *slog.Logger) (*ldapsync.Directory, error) {
	return ldapsync.Open(directoryConfig(c.Directory, log))
}

// needRestart returns the keys that differ and cannot change while running.
func needRestart(was, is *config.Config) []string {
	var keys []string
	for key, same := range map[string]bool{
		"store":             was.Store.Engine == is.Store.Engine && was.Store.Path == is.Store.Path,
		"radius.listen":     slices.Equal(was.Radius.Listen, is.Radius.Listen),
		"radius.accounting": slices.Equal(was.Radius.Accounting, is.Radius.Accounting),
		"admin":             was.Admin == is.Admin,
		"metrics":           was.Metrics == is.Metrics,
		"audit":             reflect.DeepEqual(was.Audit, is.Audit),

		"verifier.trust_clock": was.Verifier.TrustClock == is.Verifier.TrustClock,
		"log.format":           was.Log.Format == is.Log.Format,
	} {
		if !same {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}
