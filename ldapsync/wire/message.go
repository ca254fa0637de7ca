package wire

import "strings"

// Kind tells what a [Message] is.
type Kind int

// The kinds of messages that a search leads to.
const (
	Entry     Kind = iota + 1
	Reference      // to another server; where to is not kept. The sync state may be there
	Info           // about a sync (RFC 4533, section 2.5)
	Done           // the last one
)

// State is what has become of an entry (RFC 4533, section 2.3).
type State int

// The values are those of the RFC.
const (
	Present State = 0
	Add     State = 1
	Modify  State = 2
	Delete  State = 3
)

// InfoKind is a kind of Sync Info (RFC 4533, section 2.5).
type InfoKind int

// The kinds in the order of the RFC.
const (
	NewCookie InfoKind = iota + 1
	RefreshDelete
	RefreshPresent
	IDSet
)

// Message is one message of a search. It and everything in it is valid until
// the next call of [Conn.Next]; what is to be kept must be copied.
type Message struct {
	Kind Kind

	DN         []byte      // Entry
	Attributes []Attribute // Entry

	HasState bool     // Entry, Reference: State and UUID are there
	State    State    // Entry, Reference
	UUID     [16]byte // Entry, Reference

	InfoKind    InfoKind   // Info
	RefreshDone bool       // Info: RefreshDelete, RefreshPresent
	UUIDs       [][16]byte // Info: IDSet

	Result      Result // Done
	HasSyncDone bool   // Done: RefreshDeletes is there
	PageCookie  []byte // Done: nil if nothing was said of pages, empty after the last page

	// Entry, Reference, Info, Done. nil if there is none; an empty one is
	// possible, and is no cookie to resume from.
	Cookie []byte

	// Of an IDSet, that UUIDs are those of entries to be deleted and not of
	// those still present. Of a Done, that the refresh ended with a delete phase.
	RefreshDeletes bool

	values [][]byte // of all attributes
}

// Attribute is an attribute with its values, as sent.
type Attribute struct {
	Name   []byte // with options, such as "userCertificate;binary"
	Values [][]byte
}

// Values returns the values of the attribute called name, in any case, nil if
// the entry has none. An attribute with options goes by its whole name only.
func (m *Message) Values(name string) [][]byte {
	for _, a := range m.Attributes {
		if len(a.Name) == len(name) && strings.EqualFold(string(a.Name), name) {
			return a.Values
		}
	}
	return nil
}

// reset makes m empty and keeps its memory.
func (m *Message) reset(kind Kind) {
	*m = Message{Kind: kind, Attributes: m.Attributes[:0], UUIDs: m.UUIDs[:0], values: m.values[:0]}
}
