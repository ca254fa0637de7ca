package server

import (
	"fmt"
	"strings"
	"time"

	"lockstep/config"
	"lockstep/radiusd"
)

const (
	// unheard is after how long a client of which nothing was heard is worth a look.
	unheard = 7 * 24 * time.Hour

	// From so many, and such a share of the requests, on something is no accident.
	manyTimes  = 10
	manyShare  = 20 // one in so many
	dropAdvice = "the log says why: search it for packet dropped, and for cannot decide"
)

// clients tells of each client what has come from it since the server began.
func (r *report) clients(list []config.Client, stats []radiusd.ClientStats, began, now time.Time) {
	r.ok("clients.configured", "clients", "%d configured; what is said of them is since the server began, %s ago", len(list), ago(now.Sub(began)))
	byName := make(map[string]radiusd.ClientStats, len(stats))
	for _, s := range stats {
		byName[s.Name] = s
	}
	for _, c := range list {
		r.client(c, byName[c.Name], began, now)
	}
}

func (r *report) client(c config.Client, s radiusd.ClientStats, began, now time.Time) {
	subject := "client " + c.Name
	r.seen(subject, c, s, began, now)
	r.messageAuthenticator(subject, c, s)
	if s.BadAuthenticators > 0 {
		r.wrongSecret(subject, s)
	}
	if s.CHAP > 0 {
		r.bad("client.method", subject, "set it to PAP: of CHAP, MS-CHAP and EAP the server gets no password that a directory could check",
			"%d of %d requests were by CHAP, MS-CHAP or EAP, and rejected", s.CHAP, s.Requests)
	}
	if many(s.Duplicates, s.Requests) {
		r.warn("client.retransmits", subject, "does it wait for less than 5 seconds, or is the directory or the network slow? See directory.latency above",
			"%d of %d requests came again before they were answered", s.Duplicates, s.Requests)
	}
	if s.Malformed > 0 {
		r.warn("client.malformed", subject, "log.level = \"debug\" says what is wrong with each", "%d of its packets contradict themselves and were dropped", s.Malformed)
	}
	if lost := s.Dropped + s.Unanswered; many(lost, s.Requests) {
		r.warn("client.unanswered", subject, dropAdvice, "%d of %d requests got no answer", lost, s.Requests)
	}
}

func many(n, of uint64) bool { return n >= manyTimes && n*manyShare >= of }

// seen tells when something came from the client last.
func (r *report) seen(subject string, c config.Client, s radiusd.ClientStats, began, now time.Time) {
	const id = "client.seen"
	const advice = "does it ask this server, at this port, and from that address? Otherwise take it out of the configuration"
	switch {
	case s.LastSeen.IsZero() && now.Sub(began) > unheard:
		r.warn(id, subject, advice, "nothing came from %s in the %s since the server began", c.Address, span(now.Sub(began)))
	case s.LastSeen.IsZero():
		r.ok(id, subject, "nothing came from %s since the server began", c.Address)
	case now.Sub(s.LastSeen) > unheard:
		r.warn(id, subject, advice, "nothing came from %s since %s", c.Address, s.LastSeen.Local().Format(time.DateTime))
	default:
		r.ok(id, subject, "seen last %s, %s ago; %s: %d accepted, %d rejected, %d asked for a code, %d sent again",
			s.LastSeen.Local().Format(time.DateTime), ago(now.Sub(s.LastSeen)), counted(s.Requests, "request"), s.Accepts, s.Rejects, s.Challenges, s.Duplicates)
	}
}

func ago(d time.Duration) string {
	if d < 2*time.Minute {
		return fmt.Sprintf("%d s", max(0, d)/time.Second)
	}
	return span(d)
}

func counted(n uint64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// messageAuthenticator tells whether the client sends it, and has to.
func (r *report) messageAuthenticator(subject string, c config.Client, s radiusd.ClientStats) {
	const id = "client.message_authenticator"
	switch {
	case c.RequireMessageAuthenticator && s.NoMessageAuthenticator > 0:
		r.bad(id, subject, "switch Message-Authenticator on at the client (an update may be needed); require_message_authenticator = false would let it in, and others forge logins",
			"%s without Message-Authenticator, which were dropped", counted(s.NoMessageAuthenticator, "request"))
	case c.RequireMessageAuthenticator:
		if s.Requests > 0 {
			r.ok(id, subject, "required, and sent with each request")
		}
	case s.NoMessageAuthenticator > 0:
		r.warn(id, subject, "update the appliance, then take require_message_authenticator = false away",
			"%d of %d requests without Message-Authenticator, which others on the path can forge (CVE-2024-3596)", s.NoMessageAuthenticator, s.Requests)
	case s.Requests > 0:
		r.warn(id, subject, "take require_message_authenticator = false away: it has one in each request",
			"may send requests without Message-Authenticator, which others on the path can forge (CVE-2024-3596), and sent none of %d so", s.Requests)
	default:
		r.warn(id, subject, "update the appliance, then take require_message_authenticator = false away",
			"may send requests without Message-Authenticator, which others on the path can forge (CVE-2024-3596)")
	}
}

// wrongSecret tells of requests that did not verify by the client's secret. Where
// others did, it is not simply wrong.
func (r *report) wrongSecret(subject string, s radiusd.ClientStats) {
	const id = "client.secret"
	if s.Accepts+s.Challenges == 0 {
		r.bad(id, subject, "set the same secret at the client and in its secret_file, then reload", "%s with another secret than secret_file has, and nobody was let in", counted(s.BadAuthenticators, "request"))
		return
	}
	r.warn(id, subject, "is there a second appliance behind that address, or was the secret changed meanwhile? Or somebody tries",
		"%d of %d requests with another secret than secret_file has", s.BadAuthenticators, s.Requests)
}

// strangers tells of requests from addresses that belong to no client.
func (r *report) strangers(last []radiusd.Stranger, packets uint64) {
	const id = "clients.unknown"
	if packets == 0 {
		r.ok(id, "clients", "nothing came from addresses that belong to no client")
		return
	}
	var from []string
	for _, s := range last {
		from = append(from, fmt.Sprintf("%s (%s)", s.Addr, s.Seen.Local().Format(time.DateTime)))
	}
	r.warn(id, "clients", "if one of them is an appliance of yours, add it as [[radius.client]]; otherwise keep them out by a firewall",
		"%s from addresses that belong to no client, last from %s", counted(packets, "packet"), strings.Join(from, ", "))
}
