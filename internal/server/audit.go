package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"time"

	"lockstep/admin"
	"lockstep/config"
	"lockstep/internal/audit"
	"lockstep/radiusd"
)

// OpenTrail opens the audit trail of c. It is nil where c names none, which may be
// used as one that keeps nothing.
func OpenTrail(c config.Audit, log *slog.Logger) (*audit.Trail, error) {
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CA != nil {
		t.RootCAs = x509.NewCertPool()
		t.RootCAs.AppendCertsFromPEM(c.CA)
	}
	return audit.Open(audit.Options{File: c.File, Syslog: c.Syslog, TLS: t, Required: c.Required, Host: host, Log: log})
}

// openTrail opens the trail and begins it.
func (s *Server) openTrail() (err error) {
	if s.trail, err = OpenTrail(s.cfg.Audit, s.log); err != nil {
		return err
	}
	if s.trail != nil {
		s.trail.Note("start", slog.Int("pid", os.Getpid()), slog.Int("uid", os.Getuid()), slog.String("config", s.cfg.Path))
	}
	return nil
}

// auditLogin returns what radiusd tells of each decision, nil where nobody keeps
// it.
func (s *Server) auditLogin() func(context.Context, radiusd.Decided) error {
	if s.trail == nil {
		return nil
	}
	return func(ctx context.Context, d radiusd.Decided) error {
		var space [mostFacts]slog.Attr
		err := s.trail.Record(ctx, "login", decision(space[:0], d)...)
		if err != nil && d.Err == nil {
			// What is written later says that somebody was let in, perhaps.
			d.Err = err
			s.trail.Note("login", decision(space[:0], d)...)
		}
		return err
	}
}

// mostFacts is how many decision has at most.
const mostFacts = 12

// decision is what is kept of a decision. Here and there facts are as in the log.
func decision(facts []slog.Attr, d radiusd.Decided) []slog.Attr {
	result, reason, user := d.Answer.Outcome.String(), d.Answer.Reason, d.Answer.User
	if d.Err != nil {
		result, reason = "error", d.Err.Error()
	}
	typed := d.Request.UserName
	if user == "" {
		user = typed
	}
	facts = append(facts, slog.String("result", result), slog.String("user", user))
	if user != typed {
		facts = append(facts, slog.String("typed_user", typed))
	}
	facts = append(facts, slog.String("client", clientName(d.Request)), slog.String("src", d.Src.String()),
		slog.Uint64("q", d.Request.Q), slog.Int("id", int(d.ID)))
	for _, f := range [...]slog.Attr{slog.String("nas", d.Request.NASID), slog.String("calling", d.Request.CallingStationID),
		slog.String("reason", reason), slog.String("rule", d.Answer.Rule)} {
		if f.Value.String() != "" {
			facts = append(facts, f)
		}
	}
	return append(facts, slog.Int64("took_us", d.Took.Microseconds()))
}

func clientName(r *radiusd.Request) string {
	if r.Client == nil {
		return ""
	}
	return r.Client.Name
}

// adminTrail records what is done by the admin socket.
type adminTrail struct{ *audit.Trail }

func (t adminTrail) Record(ctx context.Context, action string, facts ...slog.Attr) error {
	return t.Trail.Record(ctx, "admin", append([]slog.Attr{slog.String("action", action)}, facts...)...)
}

// adminTrail returns what the admin socket records by, nil for nothing.
func (s *Server) adminTrail() admin.Trail {
	if s.trail == nil {
		return nil
	}
	return adminTrail{s.trail}
}

// Reloaded records a reload, which err has ended if it is not nil, and follows the
// file of the trail where that was moved away.
func (s *Server) Reloaded(err error) {
	s.FollowAudit()
	if s.trail == nil {
		return
	}
	if err != nil {
		s.trail.Note("reload", slog.String("result", "failed"), slog.String("reason", err.Error()))
		return
	}
	s.trail.Note("reload", slog.String("result", "read"))
}

// FollowAudit goes on in a new file where that of the trail has been moved away. An
// error is in the log. A disk that hangs is not waited for: whoever calls it has
// signals to take, and a watchdog to feed.
func (s *Server) FollowAudit() {
	ctx, cancel := context.WithTimeout(s.ctx, trailTime)
	defer cancel()
	if err := s.trail.Reopen(ctx); ctx.Err() != nil && err != nil {
		s.log.Error("audit trail is reopened when its disk answers again", "err", err)
	}
}

// trailTime bounds how long a trail is waited for that cannot be written at the
// end, beside what Shutdown waits for.
const trailTime = 2 * time.Second

// closeTrail is called when nobody decides anything any more.
func (s *Server) closeTrail(ctx context.Context) error {
	s.trail.Note("stop")
	ctx, cancel := context.WithTimeout(ctx, trailTime)
	defer cancel()
	return s.trail.Close(ctx)
}

// mayDecide returns why no login can be decided now, if so.
func (s *Server) mayDecide() error {
	if err := s.trail.Ready(); err != nil {
		return err
	}
	if err := s.storeReady(); err != nil {
		return fmt.Errorf("the store cannot be used: %w", err)
	}
	return nil
}

// audit tells how the trail is kept.
func (r *report) audit(s *Server) {
	if s.trail == nil {
		return
	}
	st := s.trail.Status()
	if st.Failing != nil {
		r.bad("audit.file", "audit", "make room, or put the permissions right: it is tried every second", "the trail cannot be written: %v", st.Failing)
	} else {
		r.ok("audit.file", "audit", "%d records, the last has the hash %s", st.Records, st.Hash)
	}
	if st.Lost > 0 {
		r.bad("audit.lost", "audit", "the log says when it could not be written; the trail says where they are missing", "%d records were lost since the start", st.Lost)
	}
	if st.Syslog != nil {
		r.bad("audit.syslog", "audit", "records wait for it, and are lost there when too many do", "the syslog server %s cannot be reached: %v", s.cfg.Audit.Syslog, st.Syslog)
	}
	if st.SyslogLost > 0 {
		r.bad("audit.syslog_lost", "audit", "their numbers are missing there; audit.file has them if it is set", "the syslog server did not get %d records since the start", st.SyslogLost)
	}
}
