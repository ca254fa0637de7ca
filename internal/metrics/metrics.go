// Package metrics measures a server and shows it to Prometheus.
//
// It promises that measuring a login costs a few hundred nanoseconds, takes no
// lock and cannot fail; and that what it shows is bounded: labels are the names
// of configured clients and of servers, and words that the program has. No user
// name, code, password, key or secret comes into it, because nothing here takes
// one. Everything that is measured is there from the start, at zero, so that a
// first time can be seen as an increase.
//
// It does not promise to keep what it shows from anybody: there is no password
// and no TLS. Whoever can connect to the listener learns how the clients are
// called and how many log in. What they send is hostile.
package metrics

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Set is what is measured of one server. Its methods may be called at once.
type Set struct {
	registry *prometheus.Registry
	clients  clientLogins

	login  [outcomes]prometheus.Observer
	bind   [answers]prometheus.Observer
	store  [answers]prometheus.Observer
	offset prometheus.Observer
}

// Answer is what came of a question to the directory or the store.
type Answer int

// The answers.
const (
	Yes     Answer = iota
	No             // the password is wrong; the state was changed by another login meanwhile
	Unknown        // nobody could tell
	answers
)

// seconds are the bounds of what should take milliseconds and may take seconds.
var seconds = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}

// offsets are the bounds of where devices' clocks are. Within half a minute they
// are let in as they are; beyond a minute or two they are not known yet.
var offsets = []float64{-3600, -600, -300, -120, -60, -30, -15, -5, 0, 5, 15, 30, 60, 120, 300, 600, 3600}

// New returns a Set that shows at each scrape what look says, beside what was
// measured.
func New(look func() State) *Set {
	s := &Set{registry: prometheus.NewRegistry()}
	logins := s.histogram("lockstep_login_duration_seconds", "From the arrival of a login to its decision. Refusals and challenges leave later than that, by reject_delay.", "outcome", seconds)
	for o := range outcomes {
		s.login[o] = logins.WithLabelValues(o.String())
	}
	binds := s.histogram("lockstep_password_check_duration_seconds", "How long the directory took to check a password; right, wrong, or unknown if it could not be asked.", "result", seconds)
	for a, name := range []string{"right", "wrong", "unknown"} {
		s.bind[a] = binds.WithLabelValues(name)
	}
	claims := s.histogram("lockstep_store_write_duration_seconds", "How long the store took to write the state of a token durably; conflict if another login was first, unknown if it may or may not have been written.", "result", seconds)
	for a, name := range []string{"written", "conflict", "unknown"} {
		s.store[a] = claims.WithLabelValues(name)
	}
	offset := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "lockstep_device_clock_offset_seconds", Buckets: offsets,
		Help: "How far the clocks of devices were ahead of this server's, at logins that were let in. Its sum may fall.",
	})
	s.offset = offset
	s.registry.MustRegister(offset, &s.clients, newCollector(look), newBuild(),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return s
}

func (s *Set) histogram(name, help, label string, buckets []float64) *prometheus.HistogramVec {
	v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, []string{label})
	s.registry.MustRegister(v)
	return v
}

// PasswordChecked takes in that the directory has answered.
func (s *Set) PasswordChecked(a Answer, took time.Duration) { s.bind[a].Observe(took.Seconds()) }

// StateWritten takes in that the store has answered.
func (s *Set) StateWritten(a Answer, took time.Duration) { s.store[a].Observe(took.Seconds()) }

// Outcome is what came of a login.
type Outcome int

// The outcomes.
const (
	Accepted Outcome = iota
	Refused
	Challenged
	Undecided // nobody could tell, and nothing was answered
	outcomes
)

// String returns the outcome as its label has it.
func (o Outcome) String() string {
	return [...]string{"accepted", "refused", "challenged", "undecided"}[o]
}

// Kind is an outcome and what it was for.
type Kind struct {
	Outcome Outcome
	Reason  string // in few words that never change
}

// Client counts the logins at one client. A nil Client counts nothing.
type Client struct {
	set  *Set
	name string
	n    []atomic.Uint64 // by the number of the Kind
}

// Login takes in that a login was decided: kind is its number in the list that
// Clients has been called with.
func (c *Client) Login(kind int, took time.Duration) {
	if c == nil {
		return
	}
	c.n[kind].Add(1)
	c.set.login[c.set.clients.kinds[kind].Outcome].Observe(took.Seconds())
}

// Offset takes in where the clock of a device is that was let in.
func (c *Client) Offset(ahead time.Duration) {
	if c != nil {
		c.set.offset.Observe(ahead.Seconds())
	}
}

// Kinds sets what logins are counted by. It is called once, before any Client.
func (s *Set) Kinds(kinds []Kind) { s.clients.kinds = slices.Clone(kinds) }

// Client returns what counts for the client of that name, the same at each call.
// It is shown once Show has named it.
func (s *Set) Client(name string) *Client {
	return s.clients.get(s, name)
}

// Show sets which clients are shown: those of the configuration in use.
func (s *Set) Show(names []string) {
	var shown []*Client
	for _, name := range names {
		shown = append(shown, s.Client(name))
	}
	s.clients.show(shown)
}
