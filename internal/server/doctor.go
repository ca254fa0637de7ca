package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"lockstep/admin"
	"lockstep/config"
	"lockstep/internal/sysclock"
	"lockstep/ldapsync"
)

// doctor says what is in order and what is not: the clock, the directory, the
// store and the clients.
func (s *Server) doctor(ctx context.Context) []admin.Finding {
	all := clockFindings(s.clock.Findings())
	if f, ok := s.alarms.finding(); ok {
		all = append(all, f)
	}
	all = append(all, s.directoryFinding())
	all = append(all, keyFindings(s.dir.current.Load())...)
	all = append(all, s.storeFinding())
	all = append(all, s.sharing.findings(ctx, time.Now())...)
	all = append(all, s.problemFindings(ctx)...)
	all = append(all, s.ruleFindings(ctx)...)
	return append(all, s.clientFindings()...)
}

// problemFindings tells of users whose enrolment or state cannot be used.
func (s *Server) problemFindings(ctx context.Context) []admin.Finding {
	if s.storeReady() != nil {
		return nil // which has a finding; each state would be waited for
	}
	list, err := s.users().List(ctx)
	if err != nil {
		return nil // which directory and store say
	}
	n := 0
	for _, u := range list {
		if u.Problem != "" {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	return []admin.Finding{{Subject: "users", Bad: true, Text: fmt.Sprintf("%d of %d cannot log in, because of their enrolment or its state", n, len(list)),
		Advice: "lockstep user list says who, and why"}}
}

func (s *Server) users() users { return users{s.verifier, s.dir, s.clock.Trusted, s.doctor} }

// LocalFindings is what can be said of this machine without a running server.
func LocalFindings(c *config.Config) []admin.Finding {
	return clockFindings((&sysclock.Watch{Trust: c.Verifier.TrustClock}).Findings())
}

func clockFindings(list []sysclock.Finding) []admin.Finding {
	var all []admin.Finding
	for _, f := range list {
		all = append(all, admin.Finding{Subject: "clock", Bad: f.Bad, Text: f.Text, Advice: f.Advice})
	}
	return all
}

func (s *Server) directoryFinding() admin.Finding {
	dir := s.dir.current.Load()
	st, f := dir.Status(), admin.Finding{Subject: "directory"}
	err := dir.Healthy()
	switch {
	case err != nil:
		f.Bad, f.Text = true, fmt.Sprintf("%s: %v", st.URL, err)
		f.Advice = "nobody can log in by password until it answers; the log says more"
		if errors.Is(err, ldapsync.ErrNotReady) && st.Err != nil {
			f.Text = fmt.Sprintf("%s: %v", st.URL, st.Err)
		}
	case st.Err != nil:
		f.Bad, f.Text = true, fmt.Sprintf("%s: not read since %s: %v", st.URL, st.Refreshed.Local().Format(time.DateTime), st.Err)
		f.Advice = "changes of keys do not arrive until it can be read"
	case st.Entries == 0:
		f.Bad, f.Text = true, fmt.Sprintf("%s: nobody is enrolled, as far as the service account can see", st.URL)
		f.Advice = "is base_dn right, and may the service account read the key attribute? It is looked again each minute, and at a reload"
	default:
		f.Text = fmt.Sprintf("%s: %d entries, read %s%s", st.URL, st.Entries, st.Refreshed.Local().Format(time.DateTime), noticed[st.Mode])
	}
	return f
}

// noticed says how changes arrive.
var noticed = map[string]string{
	"syncrepl": ", changes are told at once",
	"poll":     ", changes are looked for each second, deletions each minute (on OpenLDAP the overlay syncprov makes them arrive at once)",
}

// keyFindings tells of how keys lie in the directory.
func keyFindings(dir *ldapsync.Directory) (all []admin.Finding) {
	if dir.Status().OwnKeys {
		all = append(all, admin.Finding{Subject: "keys", Bad: true,
			Text:   "people may write the key attribute in their own entries, so that a stolen password is enough to enrol another key",
			Advice: "set key_attribute to one that they cannot write, such as adminDescription, or take the right from SELF"})
	}
	c := dir.Census()
	if c.Overlay > 0 {
		all = append(all, admin.Finding{Subject: "directory", Bad: true,
			Text:   fmt.Sprintf("%d entries have the object class oathTOTPUser: where OpenLDAP has the overlay otp, it wants a code at each bind of theirs, and their password alone is refused", c.Overlay),
			Advice: "delegate = true leaves the codes to the overlay; or take the class away, and name tokens in people's own entries"})
	}
	if c.SealTo == "" || c.Keys == 0 {
		return all
	}
	current := c.Sealed[c.SealTo]
	f := admin.Finding{Subject: "keys", Text: fmt.Sprintf("all %d are sealed to %s", c.Keys, c.SealTo)}
	if current < c.Keys {
		f.Bad, f.Text = true, fmt.Sprintf("%d of %d are sealed to %s", current, c.Keys, c.SealTo)
		f.Advice = "lockstep user rewrap seals the others; keep the old private keys until it has"
	}
	return append(all, f)
}

func (s *Server) storeFinding() admin.Finding {
	if err := s.storeReady(); err != nil {
		return admin.Finding{Subject: "store", Bad: true, Text: err.Error(), Advice: "nobody can log in until it can be written"}
	}
	if s.sharing != nil {
		return admin.Finding{Subject: "store", Text: "etcd at " + strings.Join(s.cfg.Store.Etcd.Endpoints, ", ") + " can be written"}
	}
	return admin.Finding{Subject: "store", Text: s.cfg.Store.Path + " can be written"}
}

// clientFindings tells of each client that could be safer.
func (s *Server) clientFindings() []admin.Finding {
	list := *s.clients.Load()
	all := []admin.Finding{{Subject: "clients", Text: fmt.Sprintf("%d configured", len(list))}}
	for _, c := range list {
		if !c.RequireMessageAuthenticator {
			all = append(all, admin.Finding{Subject: "client " + c.Name, Bad: true,
				Text:   "may send requests without Message-Authenticator, which others on the path can forge (CVE-2024-3596)",
				Advice: "update the appliance, then take require_message_authenticator = false away"})
		}
	}
	return all
}
