package radiusd

import "sync/atomic"

// counter is the index of a counter.
type counter int

const (
	accessRequests counter = iota
	dupAccessRequests
	accessAccepts
	accessRejects
	accessChallenges
	malformedRequests
	badAuthenticators
	packetsDropped
	unknownTypes
	invalidRequests

	acctRequests
	acctResponses
	statusRequests

	dropUnknownClient
	dropMalformed
	dropUnknownCode
	dropBadMessageAuthenticator
	dropNoMessageAuthenticator
	dropBadAccountingAuthenticator
	dropPending
	dropCacheFull
	dropQueueFull
	dropTooOld
	dropCannotDecide
	dropSuperseded
	dropDelayedFull
	dropStateInUse
	dropStateFull
	dropNotReady
	dropStatusRate
	dropShutdown
	dropPanic
	sendErrors
	readErrors

	countersLen
)

// counterNames are those of RFC 4669 (without its prefix) for what it counts,
// those of RFC 4671 for accounting, and our own after that.
var counterNames = [countersLen]string{
	accessRequests:    "TotalAccessRequests",
	dupAccessRequests: "TotalDupAccessRequests",
	accessAccepts:     "TotalAccessAccepts",
	accessRejects:     "TotalAccessRejects",
	accessChallenges:  "TotalAccessChallenges",
	malformedRequests: "TotalMalformedAccessRequests",
	badAuthenticators: "TotalBadAuthenticators",
	packetsDropped:    "TotalPacketsDropped",
	unknownTypes:      "TotalUnknownTypes",
	invalidRequests:   "TotalInvalidRequests",

	acctRequests:   "TotalAcctRequests",
	acctResponses:  "TotalAcctResponses",
	statusRequests: "StatusRequests",

	dropUnknownClient:              "DropUnknownClient",
	dropMalformed:                  "DropMalformed",
	dropUnknownCode:                "DropUnknownCode",
	dropBadMessageAuthenticator:    "DropBadMessageAuthenticator",
	dropNoMessageAuthenticator:     "DropNoMessageAuthenticator",
	dropBadAccountingAuthenticator: "DropBadAccountingAuthenticator",
	dropPending:                    "DropPending",
	dropCacheFull:                  "DropCacheFull",
	dropQueueFull:                  "DropQueueFull",
	dropTooOld:                     "DropTooOld",
	dropCannotDecide:               "DropCannotDecide",
	dropSuperseded:                 "DropSuperseded",
	dropDelayedFull:                "DropDelayedFull",
	dropStateInUse:                 "DropStateInUse",
	dropStateFull:                  "DropStateFull",
	dropNotReady:                   "DropNotReady",
	dropStatusRate:                 "DropStatusRate",
	dropShutdown:                   "DropShutdown",
	dropPanic:                      "DropPanic",
	sendErrors:                     "SendErrors",
	readErrors:                     "ReadErrors",
}

type counters [countersLen]atomic.Uint64

func (c *counters) add(i counter) { c[i].Add(1) }

// drop counts a packet that gets no reply: by its reason, and by the counters
// of RFC 4669 that it belongs to. That RFC counts malformed packets and bad
// authenticators apart from the dropped.
func (c *counters) drop(reason counter) {
	c.add(reason)
	switch reason {
	case dropUnknownClient:
		c.add(invalidRequests)
	case dropMalformed:
		c.add(malformedRequests)
	case dropUnknownCode:
		c.add(unknownTypes)
	case dropBadMessageAuthenticator, dropBadAccountingAuthenticator:
		c.add(badAuthenticators)
	case dropPending:
		c.add(dupAccessRequests)
	default:
		c.add(packetsDropped)
	}
}

// Counters returns the counters since the start, by name: those of RFC 4669
// and RFC 4671, and beside them one for each reason to drop a packet. They are
// read one after the other, not all at one instant.
func (s *Server) Counters() map[string]uint64 {
	m := make(map[string]uint64, countersLen)
	for i, name := range counterNames {
		m[name] = s.counters[i].Load()
	}
	return m
}
