package main

import (
	"fmt"
	"time"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2865"

	"lockstep/internal/radius"
)

// job is a round of load: what the generator, a process of its own so that its
// CPU time is apart, is told to do.
type job struct {
	Server      string
	Outstanding int
	Logins      []span
	Want        layeh.Code // the right answer to each
}

// span is logins of people in a row of [scattered], with codes of one step.
type span struct {
	First, Count, People int
	Step                 int64
	Kind                 kind
}

// kind is what is typed, and from where.
type kind int

const (
	right         kind = iota
	again              // right, but from elsewhere: refused where it was accepted before
	wrongCode          // a digit is off
	wrongPassword      // with the right code
	stranger           // somebody the directory does not know
)

// outcome is what came of a job. Times are in microseconds.
type outcome struct {
	Logins   int           `json:"logins"`       // that were answered
	Wrong    int           `json:"wrong"`        // answered, but not as wanted
	Bad      int           `json:"unverifiable"` // replies that do not verify
	Timeouts int           `json:"timeouts"`     // waits of 3 s for an answer, in vain
	Lost     int           `json:"lost"`         // logins that got no answer at all
	Took     time.Duration `json:"took_ns"`      // from the first request to the last answer
	CPU      time.Duration `json:"cpu_ns"`       // of the generator
	P50      float64       `json:"p50_us"`
	P95      float64       `json:"p95_us"`
	P99      float64       `json:"p99_us"`
	Max      float64       `json:"max_us"`
}

// faults sums up what must be zero.
func (o outcome) faults() int { return o.Wrong + o.Bad + o.Timeouts + o.Lost }

// packets builds the requests of a job, all before the first is sent.
func (j job) packets() ([]radius.Packet, error) {
	var all []radius.Packet
	for _, s := range j.Logins {
		for i := range s.Count {
			p, err := s.packet(i)
			if err != nil {
				return nil, err
			}
			all = append(all, p)
		}
	}
	return all, nil
}

func (s span) packet(i int) (radius.Packet, error) {
	who := scattered(s.First+i, s.People)
	digits, err := code(who, s.Step)
	if err != nil {
		return nil, err
	}
	name, password, station := userName(who), userPassword, fmt.Sprintf("desk of %s", userName(who))
	switch s.Kind {
	case again:
		station = "elsewhere"
	case wrongCode:
		digits = string('0'+(digits[0]-'0'+5)%10) + digits[1:]
	case wrongPassword:
		password += "?"
	case stranger:
		name = "x" + name
	}
	return radius.NewRequest(layeh.CodeAccessRequest, []byte(sharedSecret), []byte(password+digits),
		radius.Attribute{Type: rfc2865.UserName_Type, Value: []byte(name)},
		radius.Attribute{Type: rfc2865.NASIdentifier_Type, Value: []byte("benchpeer")},
		radius.Attribute{Type: rfc2865.CallingStationID_Type, Value: []byte(station)})
}
