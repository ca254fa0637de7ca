package metrics

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// series are the metrics of one name that are looked at when they are asked for.
type series struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

// looked are all series. They are made when the program starts, and not changed.
var looked []series

func newSeries(kind prometheus.ValueType, name, help string, labels []string) series {
	s := series{prometheus.NewDesc(name, help, labels, nil), kind}
	looked = append(looked, s)
	return s
}

func counter(name, help string, labels ...string) series {
	return newSeries(prometheus.CounterValue, name, help, labels)
}

func gauge(name, help string, labels ...string) series {
	return newSeries(prometheus.GaugeValue, name, help, labels)
}

// Those of RFC 4669 and RFC 4671 have the names that they have there. Totals over
// all clients are sums.
var (
	accessRequests   = counter("lockstep_radius_auth_server_access_requests_total", "Access-Requests from this client, those that came again included.", "client")
	dupRequests      = counter("lockstep_radius_auth_server_dup_access_requests_total", "Access-Requests from this client that came again.", "client")
	accessAccepts    = counter("lockstep_radius_auth_server_access_accepts_total", "Access-Accepts to this client.", "client")
	accessRejects    = counter("lockstep_radius_auth_server_access_rejects_total", "Access-Rejects to this client.", "client")
	accessChallenges = counter("lockstep_radius_auth_server_access_challenges_total", "Access-Challenges to this client.", "client")
	malformed        = counter("lockstep_radius_auth_server_malformed_access_requests_total", "Packets from this client that are malformed.", "client")
	badAuth          = counter("lockstep_radius_auth_server_bad_authenticators_total", "Packets from this client that do not verify, or whose password decodes to no text: the secret is probably wrong.", "client")
	packetsDropped   = counter("lockstep_radius_auth_server_packets_dropped_total", "Packets from this client that got no answer for another reason.", "client")
	invalidRequests  = counter("lockstep_radius_auth_server_invalid_requests_total", "Packets from addresses that belong to no client.")
	unknownTypes     = counter("lockstep_radius_auth_server_unknown_types_total", "Packets of a kind that is not served, or not at that port.")
	acctRequests     = counter("lockstep_radius_acc_server_requests_total", "Accounting-Requests.")
	acctResponses    = counter("lockstep_radius_acc_server_responses_total", "Accounting-Responses.")

	unanswered     = counter("lockstep_client_unanswered_requests_total", "Requests of this client that nobody could decide about; part of the dropped.", "client")
	unsigned       = counter("lockstep_client_requests_without_message_authenticator_total", "Requests of this client that had no Message-Authenticator, dropped or not.", "client")
	requiresMA     = gauge("lockstep_client_message_authenticator_required", "1 if requests of this client without Message-Authenticator are dropped.", "client")
	otherMethods   = counter("lockstep_client_chap_requests_total", "Requests of this client by CHAP, MS-CHAP or EAP, which cannot be checked here.", "client")
	lastSeen       = gauge("lockstep_client_last_seen_timestamp_seconds", "When this client was seen last; 0 for never since the start.", "client")
	drops          = counter("lockstep_radius_drops_total", "Packets that got no answer, by reason.", "reason")
	statusRequests = counter("lockstep_radius_status_requests_total", "Status-Servers.")
	socketErrors   = counter("lockstep_radius_socket_errors_total", "Packets that could not be read or sent.", "direction")
	deciding       = gauge("lockstep_radius_logins_deciding", "Logins that are being decided.")
	decidingLimit  = gauge("lockstep_radius_logins_deciding_limit", "How many may be decided at once at present; it falls when directory or store are slow.")
	waiting        = gauge("lockstep_radius_queue_length", "Logins that wait to be decided: fresh ones, and answers to challenges.", "queue")
	delayed        = gauge("lockstep_radius_replies_delayed", "Replies that wait for their time.")

	ready            = gauge("lockstep_ready", "1 if logins can be decided.")
	directoryHealthy = gauge("lockstep_directory_healthy", "1 if the replica has been read and passwords can be checked, as far as is known.")
	directoryMode    = gauge("lockstep_directory_mode", "1 for how changes of the directory are noticed.", "mode")
	replicaEntries   = gauge("lockstep_replica_entries", "Accounts that are enrolled.")
	replicaAge       = gauge("lockstep_replica_age_seconds", "For how long changes of the directory may have been missed: since it was last followed without an error.")
	replicaRefreshed = gauge("lockstep_replica_refreshed_timestamp_seconds", "When the directory was last read as a whole; 0 for never.")

	storeInfo    = gauge("lockstep_store_info", "1 for the engine of the store.", "engine")
	storeHealthy = gauge("lockstep_store_healthy", "1 if the store can be written, as far as is known.")
	storeFree    = gauge("lockstep_store_free_bytes", "Free space where the state file is.")
	storeSize    = gauge("lockstep_store_filesystem_bytes", "All space where the state file is.")
	journalUsed  = gauge("lockstep_store_journal_used_ratio", "How much of the journal's present file is used, or of the table in memory if that is more; at 1 the next begins.")
	memberUp     = gauge("lockstep_etcd_member_up", "1 if this member of the cluster has answered.", "endpoint")
	memberSize   = gauge("lockstep_etcd_member_database_bytes", "The size of this member's database.", "endpoint")
	memberQuota  = gauge("lockstep_etcd_member_quota_bytes", "How large this member's database may become.", "endpoint")
	etcdAlarms   = gauge("lockstep_etcd_alarms", "Alarms of the cluster, such as NOSPACE.")

	clockSynchronised = gauge("lockstep_clock_synchronised", "1 if the kernel says that something keeps this machine's clock right.")
	clockMaxError     = gauge("lockstep_clock_max_error_seconds", "The most that the clock can be off, as the kernel says.")
	clockTrusted      = gauge("lockstep_clock_trusted", "1 if devices' clocks are learned by this machine's.")
	clockJump         = gauge("lockstep_clock_last_jump_timestamp_seconds", "When the clock was last set by more than half a second; 0 for never since the start.")
	together          = gauge("lockstep_devices_moved_together", "1 if the devices of many users seem to have moved together, which means that this server's clock has.")
	togetherBy        = gauge("lockstep_devices_moved_together_seconds", "By how much they have; positive if they are ahead.")
	peerAhead         = gauge("lockstep_peer_clock_ahead_seconds", "How far the clock of another server is ahead of this one's.", "server")
	peerSeen          = gauge("lockstep_peer_last_seen_timestamp_seconds", "When the other server was last heard.", "server")

	certificateExpires = gauge("lockstep_certificate_expiry_timestamp_seconds", "When a certificate of the server's own is over, by the setting that names it.", "setting")
)

// collector asks for the State at each scrape.
type collector struct{ look func() State }

func newCollector(look func() State) collector { return collector{look} }

// Describe implements [prometheus.Collector].
func (collector) Describe(to chan<- *prometheus.Desc) {
	for _, s := range looked {
		to <- s.desc
	}
}

// Collect implements [prometheus.Collector].
func (c collector) Collect(ch chan<- prometheus.Metric) {
	s, to := c.look(), sink(ch)
	to.flag(ready, s.Ready)
	to.radius(s.Radius)
	for _, c := range s.Clients {
		to.client(c)
	}
	to.directory(s.Directory)
	to.store(s.Store)
	to.clock(s.Clock)
	for _, p := range s.Peers[:min(len(s.Peers), mostPeers)] {
		to.send(peerAhead, p.Ahead.Seconds(), p.Name)
		to.send(peerSeen, unix(p.Seen), p.Name)
	}
	for _, c := range s.Certificates {
		to.send(certificateExpires, unix(c.Expires), c.Setting)
	}
}

// mostPeers are shown: whoever can write to the cluster can make up servers.
const mostPeers = 64

type sink chan<- prometheus.Metric

// send shows a value. Names of servers come from the cluster, and need not be
// valid UTF-8.
func (to sink) send(s series, v float64, labels ...string) {
	for i := range labels {
		labels[i] = strings.ToValidUTF8(labels[i], "\ufffd")
	}
	m, err := prometheus.NewConstMetric(s.desc, s.kind, v, labels...)
	if err != nil {
		m = prometheus.NewInvalidMetric(s.desc, err)
	}
	to <- m
}

func (to sink) count(s series, n uint64, labels ...string) { to.send(s, float64(n), labels...) }

func (to sink) flag(s series, on bool, labels ...string) {
	v := 0.
	if on {
		v = 1
	}
	to.send(s, v, labels...)
}

// unix is 0 for no time.
func unix(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

func (to sink) radius(r Radius) {
	to.count(invalidRequests, r.Invalid)
	to.count(unknownTypes, r.UnknownTypes)
	to.count(acctRequests, r.AcctRequests)
	to.count(acctResponses, r.AcctResponses)
	to.count(statusRequests, r.StatusRequests)
	to.count(socketErrors, r.ReadErrors, "read")
	to.count(socketErrors, r.SendErrors, "send")
	for reason, n := range r.Drops {
		to.count(drops, n, reason)
	}
	to.send(deciding, float64(r.Deciding))
	to.send(decidingLimit, float64(r.Limit))
	to.send(waiting, float64(r.WaitingFresh), "fresh")
	to.send(waiting, float64(r.WaitingChallenged), "challenged")
	to.send(delayed, float64(r.Delayed))
}

func (to sink) client(c ClientState) {
	to.count(accessRequests, c.Requests, c.Name)
	to.count(dupRequests, c.Duplicates, c.Name)
	to.count(accessAccepts, c.Accepts, c.Name)
	to.count(accessRejects, c.Rejects, c.Name)
	to.count(accessChallenges, c.Challenges, c.Name)
	to.count(malformed, c.Malformed, c.Name)
	to.count(badAuth, c.BadAuthenticators, c.Name)
	to.count(packetsDropped, c.Dropped, c.Name)
	to.count(unanswered, c.Unanswered, c.Name)
	to.count(unsigned, c.NoMessageAuthenticator, c.Name)
	to.count(otherMethods, c.CHAP, c.Name)
	to.flag(requiresMA, c.Required, c.Name)
	to.send(lastSeen, unix(c.LastSeen), c.Name)
}

func (to sink) directory(d Directory) {
	to.flag(directoryHealthy, d.Healthy)
	if d.Mode != "" {
		to.flag(directoryMode, true, d.Mode)
	}
	to.send(replicaEntries, float64(d.Entries))
	to.send(replicaRefreshed, unix(d.Refreshed))
	if d.Age >= 0 {
		to.send(replicaAge, d.Age.Seconds())
	}
}

func (to sink) store(s Store) {
	to.flag(storeInfo, true, s.Engine)
	to.flag(storeHealthy, s.Healthy)
	if s.Free != nil {
		to.count(storeFree, s.Free.Free)
		to.count(storeSize, s.Free.Size)
	}
	if s.Journal != nil {
		to.send(journalUsed, *s.Journal)
	}
	for _, m := range s.Members {
		to.flag(memberUp, m.Up, m.Endpoint)
		if m.Up {
			to.send(memberSize, float64(m.Size), m.Endpoint)
			to.send(memberQuota, float64(m.Quota), m.Endpoint)
		}
	}
	if s.Alarms != nil {
		to.send(etcdAlarms, float64(*s.Alarms))
	}
}

func (to sink) clock(c Clock) {
	if c.Synchronised != nil {
		to.flag(clockSynchronised, *c.Synchronised)
		to.send(clockMaxError, c.MaxError.Seconds())
	}
	to.flag(clockTrusted, c.Trusted)
	to.send(clockJump, unix(c.LastJump))
	to.flag(together, c.Together)
	if !c.Together {
		c.Moved = 0
	}
	to.send(togetherBy, c.Moved.Seconds())
}
