package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"lockstep/admin"
	"lockstep/ldapsync"
)

// directory tells how the replica in memory stands.
func (r *report) directory(dir *ldapsync.Directory, now time.Time) {
	const id = "directory.replica"
	st, err := dir.Status(), dir.Healthy()
	age := ago(now.Sub(st.Refreshed))
	switch {
	case errors.Is(err, ldapsync.ErrNotReady) && st.Err != nil:
		r.bad(id, "directory", away, "%s: %v", st.URL, st.Err)
	case err != nil:
		r.bad(id, "directory", away, "%s: %v", st.URL, err)
	case st.Err != nil:
		r.bad(id, "directory", "changes of keys do not arrive until it can be read; those who are known can log in",
			"%s: not read since %s, %s ago: %v", st.URL, st.Refreshed.Local().Format(time.DateTime), age, st.Err)
	case st.Entries == 0:
		r.bad(id, "directory", "is base_dn right, and may the service account read the key attribute? It is looked again each minute, and at a reload",
			"%s: nobody is enrolled, as far as the service account can see", st.URL)
	case st.Mode == "poll" && now.Sub(st.Refreshed) > oldReplica:
		r.warn(id, "directory", "is the directory slow, or without an index for the key attribute (pres)? Deletions arrive as often as all of it is read",
			"%s: %s, all of it read last %s ago", st.URL, entries(st.Entries), age)
	default:
		r.ok(id, "directory", "%s: %s, all of it read %s, %s ago%s", st.URL, entries(st.Entries), st.Refreshed.Local().Format(time.DateTime), age, noticed[st.Mode])
	}
}

const (
	away = "nobody can log in by password until it answers; the log says more"

	// oldReplica is several times the minute in which a directory is read that has to
	// be polled.
	oldReplica = 10 * time.Minute
)

// noticed says how changes arrive.
var noticed = map[string]string{
	"syncrepl": ", changes are told at once",
	"poll":     ", changes are looked for each second, deletions each minute (on OpenLDAP the overlay syncprov makes them arrive at once)",
}

// directoryServers tells what each LDAP server is like, as probes have shown.
func (r *report) directoryServers(ctx context.Context, dir *ldapsync.Directory, sealed bool, now time.Time) {
	list := dir.Probe(ctx)
	for _, p := range list {
		r.directoryServer(p, sealed, now)
	}
	r.alike(list)
}

func (r *report) directoryServer(p ldapsync.Probe, sealed bool, now time.Time) {
	subject := "directory " + p.URL
	if p.Certificate != nil {
		r.certificate("directory.certificate", subject, p.Certificate, now)
	}
	switch {
	case p.Refused != nil && p.Certificate != nil:
		r.bad("directory.reachable", subject, "give it a certificate for the name in directory.url, or put its CA into directory.ca_file", "its certificate is not accepted: %v", p.Refused)
		return
	case p.Refused != nil:
		r.bad("directory.reachable", subject, "does it run, and may this machine reach it? The others of directory.url are asked meanwhile", "%v", p.Refused)
		return
	case p.BindRefused != nil:
		r.bad("directory.bind", subject, "see that bind_dn and bind_password_file are right, and that the account is not locked", "%v", p.BindRefused)
		return
	}
	if slow := max(p.Connect, p.Bind, p.Search); slow > slowAnswer {
		r.warn("directory.latency", subject, "each login waits for a bind there: look at its load, the network and the cost of its password hashes", "%s", times(p))
	} else {
		r.ok("directory.latency", subject, "%s", times(p))
	}
	if !p.TLS && !p.Local {
		advice := "use ldaps://"
		if p.CanStartTLS {
			advice = "the server offers StartTLS: set start_tls = true"
		}
		r.warn("directory.clear", subject, advice, "passwords travel to it in the clear")
	}
	r.complete(subject, p)
	r.keyRights(subject, p.Keys, sealed)
}

// slowAnswer is what an appliance that gives up after three seconds, and everybody
// behind it, begins to notice.
const slowAnswer = 500 * time.Millisecond

func times(p ldapsync.Probe) string {
	secured := ""
	if p.TLS {
		secured = " with TLS"
	}
	bound := ""
	if p.Bind > 0 {
		bound = fmt.Sprintf(", bound in %s", brief(p.Bind))
	}
	return fmt.Sprintf("connected%s in %s%s, searched in %s", secured, brief(p.Connect), bound, brief(p.Search))
}

// brief rounds d to what is worth saying.
func brief(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}

// complete tells whether the service account gets all that the replica has to hold.
func (r *report) complete(subject string, p ldapsync.Probe) {
	const id = "directory.limits"
	switch {
	case p.Cut != nil:
		r.bad(id, subject, "without all of it the replica stays as it was: nobody is enrolled or removed", "a search ended after %s: %v", entries(p.Found), p.Cut)
	case !p.All:
		r.warn(id, subject, "add an index for the attributes of the keys (pres and eq)", "%s read in some seconds, and there are more: no limit was met so far", entries(p.Found))
	default:
		r.ok(id, subject, "all %s can be read, no limit was met", entries(p.Found))
	}
}

// alike tells of servers of one directory that differ: a login depends on which of them
// is asked.
func (r *report) alike(list []ldapsync.Probe) {
	var most, first ldapsync.Probe
	for _, p := range list {
		if p.All && (first.URL == "" || p.Found > most.Found) {
			most = p
		}
		if p.All && first.URL == "" {
			first = p
		}
	}
	for _, p := range list {
		if p.All && p.Found < most.Found {
			r.warn("directory.alike", "directory "+p.URL, "is its replication behind, or has the service account other rights there?",
				"%s here, and %d at %s", entries(p.Found), most.Found, most.URL)
		}
		if p.All && p.Syncs != first.Syncs {
			r.warn("directory.alike", "directory "+p.URL, "have all of them tell of changes (on OpenLDAP: overlay syncprov), so that it does not depend on which one is in use",
				"it tells of changes: %t; %s: %t", p.Syncs, first.URL, first.Syncs)
		}
	}
}

// keyRights tells who can do what with keys. Those that are sealed are of no use to who
// reads them.
func (r *report) keyRights(subject string, k ldapsync.KeyRights, sealed bool) {
	const read, write = "directory.key_read", "directory.key_write"
	severity, more := admin.Error, ""
	if sealed {
		severity, more = admin.Warning, "; they are sealed, so that they are of no use without the private key"
	}
	switch {
	case k.Entries == 0 && k.Keyless:
		r.bad(read, subject, "let the service account read "+k.Attribute+", or enrol these people",
			"there are entries of tokens, and none with the attribute %s that the service account can see", k.Attribute)
		return
	case k.Entries == 0:
		r.warn("directory.key_rights", subject, "ask again when somebody is enrolled", "there is no entry with %s yet that the service account can see, so that nobody's rights to it are known", k.Attribute)
		return
	case k.Service == ldapsync.Denied:
		r.bad(read, subject, "grant it the right to read, not only to search (on OpenLDAP: access to attrs="+k.Attribute+" by dn.exact=… read)",
			"the service account can find entries by %s, and not read it", k.Attribute)
	}
	switch {
	case k.Anonymous == ldapsync.Granted:
		r.add(severity, read, subject, takeRight(k.Attribute), "anybody can read keys (%s) without a bind%s", k.Attribute, more)
	case k.AnonymousFinds == ldapsync.Granted:
		r.add(severity, read, subject, takeRight(k.Attribute), "anybody can search by %s without a bind, and so try keys%s", k.Attribute, more)
	case k.Anonymous == ldapsync.Untold:
		r.untold(read, subject, "look at the access rules of "+k.Attribute, "could not find out whether anybody can read keys (%s)", k.Attribute)
	default:
		r.ok(read, subject, "keys (%s) cannot be read without a bind; of people's own binds \"lockstep doctor -user NAME\" can tell", k.Attribute)
	}
	if k.AnonymousWrites == ldapsync.Granted {
		r.bad(write, subject, takeRight(k.Attribute), "anybody can write keys (%s) without a bind, and so enrol for others", k.Attribute)
	}
}

func takeRight(attribute string) string {
	return "on OpenLDAP, before other rules: access to attrs=" + attribute + " by dn.exact=(the service account) read by * none; then enrol anew those whose keys may have been seen"
}

// keys tells of how keys lie in the directory.
func (r *report) keys(dir *ldapsync.Directory) (sealed bool) {
	if dir.Status().OwnKeys {
		r.bad("directory.key_write", "keys", "set key_attribute to one that they cannot write, such as adminDescription, or take the right from SELF",
			"people may write the key attribute in their own entries, so that a stolen password is enough to enrol another key")
	}
	c := dir.Census()
	if c.Overlay > 0 {
		r.bad("directory.overlay", "directory", "delegate = true leaves the codes to the overlay; or take the class away, and name tokens in people's own entries",
			"%d entries have the object class oathTOTPUser: where OpenLDAP has the overlay otp, it wants a code at each bind of theirs, and their password alone is refused", c.Overlay)
	}
	all := 0
	for _, n := range c.Sealed {
		all += n
	}
	sealed = c.Keys > 0 && all == c.Keys
	if c.SealTo == "" || c.Keys == 0 {
		return sealed
	}
	if current := c.Sealed[c.SealTo]; current < c.Keys {
		r.bad("keys.sealed", "keys", "lockstep user rewrap seals the others; keep the old private keys until it has", "%d of %d are sealed to %s", current, c.Keys, c.SealTo)
	} else {
		r.ok("keys.sealed", "keys", "all %d are sealed to %s", c.Keys, c.SealTo)
	}
	return sealed
}

// unusable is how many of those who cannot log in are named.
const unusable = 5

// users tells of those whose enrolment or state cannot be used.
func (r *report) users(list []admin.User) {
	var some []string
	n := 0
	for _, u := range list {
		if u.Problem == "" {
			continue
		}
		if n++; n <= unusable {
			some = append(some, u.Name+" ("+u.Problem+")")
		}
	}
	if n == 0 {
		r.ok("users.usable", "users", "all %d who are enrolled can log in, as far as their entries and states go", len(list))
		return
	}
	rest := ""
	if n > unusable {
		rest = fmt.Sprintf("; and %d more", n-unusable)
	}
	r.warn("users.usable", "users", "put their entries right; lockstep user list says who else, lockstep user show NAME what to do",
		"%d of %d cannot log in, because of their enrolment or its state: %s%s", n, len(list), strings.Join(some, "; "), rest)
}

func entries(n int) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}
