package ldaptest

import (
	"encoding/binary"

	ber "github.com/go-asn1-ber/asn1-ber"

	"lockstep/ldapsync/wire"
)

// Message is a message to a client. Its methods return it with something added
// and leave it as it was. The zero Message is no message at all.
type Message struct {
	id       *int64
	raw      string
	op       func(Message) *ber.Packet
	cookie   *string
	state    *syncState
	done     *bool   // refreshDeletes of SyncDone
	page     *string // cookie
	controls []wire.Control

	attributes []wire.Attribute // of an Entry
}

type syncState struct {
	state wire.State
	uuid  [16]byte
}

// UUID is an entryUUID for the number n.
func UUID(n int) (id [16]byte) {
	binary.BigEndian.PutUint64(id[8:], uint64(n))
	return id
}

// Entry is a search result entry. attributes are names and values in turn; a
// name that comes again adds a value.
func Entry(dn string, attributes ...string) Message {
	m := Message{op: func(m Message) *ber.Packet { return entry(dn, m.attributes) }}
	at := map[string]int{}
	for i := 0; i+1 < len(attributes); i += 2 {
		name, value := attributes[i], []byte(attributes[i+1])
		if _, ok := at[name]; !ok {
			at[name] = len(m.attributes)
			m.attributes = append(m.attributes, wire.Attribute{Name: []byte(name)})
		}
		a := &m.attributes[at[name]]
		a.Values = append(a.Values, value)
	}
	return m
}

// Reference is a search result reference.
func Reference(urls ...string) Message {
	return Message{op: func(Message) *ber.Packet {
		var parts []*ber.Packet
		for _, u := range urls {
			parts = append(parts, text(u))
		}
		return application(19, parts...)
	}}
}

// Done ends a search.
func Done(code int, diagnostic string) Message { return answer(5, code, diagnostic) }

// BindResponse answers a bind.
func BindResponse(code int, diagnostic string) Message { return answer(1, code, diagnostic) }

// ExtendedResponse answers StartTLS.
func ExtendedResponse(code int, diagnostic string) Message { return answer(24, code, diagnostic) }

func answer(tag ber.Tag, code int, diagnostic string) Message {
	return Message{op: func(Message) *ber.Packet { return result(tag, code, diagnostic) }}
}

// Notice is a notice of disconnection.
func Notice(code int, diagnostic string) Message {
	return Message{op: func(Message) *ber.Packet {
		p := result(24, code, diagnostic)
		p.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 10, "1.3.6.1.4.1.1466.20036", ""))
		return p
	}}.ID(0)
}

// NewCookie is a Sync Info that has nothing but a cookie.
func NewCookie(cookie string) Message {
	return info(func(Message) *ber.Packet {
		return ber.NewString(ber.ClassContext, ber.TypePrimitive, 0, cookie, "")
	})
}

// RefreshDelete ends a delete phase, and with done the refresh. A true done is
// the default and is left out, as servers do.
func RefreshDelete(done bool) Message { return phase(1, done) }

// RefreshPresent ends a present phase, like RefreshDelete.
func RefreshPresent(done bool) Message { return phase(2, done) }

func phase(tag ber.Tag, done bool) Message {
	return info(func(m Message) *ber.Packet {
		p := element(tag, m.cookieParts()...)
		if !done {
			p.AppendChild(boolean(false))
		}
		return p
	})
}

// IDSet names entries that are still present, or, with deletes, deleted ones.
func IDSet(deletes bool, ids ...[16]byte) Message {
	return info(func(m Message) *ber.Packet {
		var uuids []*ber.Packet
		for _, id := range ids {
			uuids = append(uuids, text(string(id[:])))
		}
		p := element(3, m.cookieParts()...)
		if deletes {
			p.AppendChild(boolean(true))
		}
		p.AppendChild(set(uuids))
		return p
	})
}

func info(value func(Message) *ber.Packet) Message {
	return Message{op: func(m Message) *ber.Packet {
		return Intermediate("1.3.6.1.4.1.4203.1.9.1.4", string(value(m).Bytes())).op(m)
	}}
}

// Intermediate is an intermediate response of any kind.
func Intermediate(oid, value string) Message {
	return Message{op: func(Message) *ber.Packet {
		return application(25, ber.NewString(ber.ClassContext, ber.TypePrimitive, 0, oid, ""),
			ber.NewString(ber.ClassContext, ber.TypePrimitive, 1, value, ""))
	}}
}

// Raw is sent as it is, whatever it may be.
func Raw(octets string) Message { return Message{raw: octets} }

// Attribute adds an attribute to an Entry, which may have one of the name.
func (m Message) Attribute(name string, values ...[]byte) Message {
	m.attributes = append(m.attributes[:len(m.attributes):len(m.attributes)], wire.Attribute{Name: []byte(name), Values: values})
	return m
}

// State adds the Sync State control, for an entry or a reference.
func (m Message) State(state wire.State, uuid [16]byte) Message {
	m.state = &syncState{state, uuid}
	return m
}

// SyncDone adds the Sync Done control, for a Done.
func (m Message) SyncDone(refreshDeletes bool) Message {
	m.done = &refreshDeletes
	return m
}

// Cookie adds a sync cookie, which may be empty, to a Sync Info, or to the
// State or the SyncDone of m.
func (m Message) Cookie(cookie string) Message {
	m.cookie = &cookie
	return m
}

// Page adds the paged results control, for a Done.
func (m Message) Page(cookie string) Message {
	m.page = &cookie
	return m
}

// Control adds a control.
func (m Message) Control(c wire.Control) Message {
	m.controls = append(m.controls[:len(m.controls):len(m.controls)], c)
	return m
}

// ID makes m an answer to another request than the last.
func (m Message) ID(id int64) Message {
	m.id = &id
	return m
}
