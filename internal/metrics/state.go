package metrics

import "time"

// State is what a server says of itself at a scrape. What is not known is nil or
// zero where that is said, and not shown then.
type State struct {
	Ready   bool // logins can be decided
	Radius  Radius
	Clients []ClientState // each name once

	Directory Directory
	Store     Store
	Clock     Clock
	Peers     []Peer // other servers of the store, each name once

	Certificates []Certificate
}

// Radius is what the RADIUS server counts that belongs to no client, and what it
// has to do at the moment.
type Radius struct {
	Invalid, UnknownTypes           uint64
	AcctRequests, AcctResponses     uint64
	StatusRequests                  uint64
	SendErrors, ReadErrors          uint64
	Drops                           map[string]uint64 // by the reason, in words that the program has
	Deciding, Limit                 int
	WaitingFresh, WaitingChallenged int
	Delayed                         int
}

// ClientState is what one client has sent.
type ClientState struct {
	Name     string
	LastSeen time.Time // zero for never
	Required bool      // requests without Message-Authenticator are dropped

	Requests, Accepts, Rejects, Challenges, Duplicates, Malformed, BadAuthenticators,
	NoMessageAuthenticator, CHAP, Dropped, Unanswered uint64
}

// Directory is the state of the replica.
type Directory struct {
	Healthy   bool
	Mode      string // how changes are noticed; "" for not known yet
	Entries   int
	Refreshed time.Time     // the last complete refresh; zero for none
	Age       time.Duration // for how long changes may have been missed; negative if it was never read
}

// Store is the state of the store.
type Store struct {
	Engine  string
	Healthy bool
	Free    *Space   // where a file is; nil for none or not known
	Journal *float64 // of the journal, the part that is used, 0 to 1; nil for none
	Members []Member // of a cluster
	Alarms  *int     // of a cluster; nil for none or not known
}

// Space is that of a file system, in bytes.
type Space struct{ Free, Size uint64 }

// Member is one of the cluster's.
type Member struct {
	Endpoint string
	Up       bool  // the rest counts only then
	Size     int64 // of its database, in bytes
	Quota    int64
}

// Clock is what is known of this machine's clock, and of the devices'.
type Clock struct {
	Synchronised *bool         // as the kernel says; nil if it could not be asked
	MaxError     time.Duration // counts if Synchronised is known
	Trusted      bool          // devices' clocks are learned by it
	LastJump     time.Time     // zero for none
	Together     bool          // the devices of many users have moved together
	Moved        time.Duration // by so much; counts if Together
}

// Peer is another server of the store.
type Peer struct {
	Name  string
	Ahead time.Duration // of this server's clock
	Seen  time.Time
}

// Certificate is one of the server's own.
type Certificate struct {
	Setting string // that names it
	Expires time.Time
}
