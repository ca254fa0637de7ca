package ldaptest

import (
	ber "github.com/go-asn1-ber/asn1-ber"

	"lockstep/ldapsync/wire"
)

// Octets returns m as sent, in answer to the request id.
func (m Message) Octets(id int64) []byte {
	if m.op == nil {
		return []byte(m.raw)
	}
	if m.id != nil {
		id = *m.id
	}
	p := sequence(integer(ber.TagInteger, id), m.op(m))
	if controls := m.allControls(); len(controls) > 0 {
		list := element(0)
		for _, c := range controls {
			list.AppendChild(control(c))
		}
		p.AppendChild(list)
	}
	return p.Bytes()
}

func (m Message) allControls() []wire.Control {
	var all []wire.Control
	if m.state != nil {
		value := sequence(integer(ber.TagEnumerated, int64(m.state.state)), text(string(m.state.uuid[:])))
		all = append(all, wire.Control{OID: "1.3.6.1.4.1.4203.1.9.1.2", Value: m.appendCookie(value).Bytes()})
	}
	if m.done != nil {
		value := m.appendCookie(sequence())
		if *m.done {
			value.AppendChild(boolean(true))
		}
		all = append(all, wire.Control{OID: "1.3.6.1.4.1.4203.1.9.1.3", Value: value.Bytes()})
	}
	if m.page != nil {
		all = append(all, wire.Control{OID: "1.2.840.113556.1.4.319", Value: sequence(integer(ber.TagInteger, 0), text(*m.page)).Bytes()})
	}
	return append(all, m.controls...)
}

func control(c wire.Control) *ber.Packet {
	p := sequence(text(c.OID))
	if c.Critical {
		p.AppendChild(boolean(true))
	}
	if c.Value != nil {
		p.AppendChild(text(string(c.Value)))
	}
	return p
}

func (m Message) cookieParts() []*ber.Packet {
	if m.cookie == nil {
		return nil
	}
	return []*ber.Packet{text(*m.cookie)}
}

func (m Message) appendCookie(p *ber.Packet) *ber.Packet {
	for _, part := range m.cookieParts() {
		p.AppendChild(part)
	}
	return p
}

func entry(dn string, attributes []wire.Attribute) *ber.Packet {
	var list []*ber.Packet
	for _, a := range attributes {
		var values []*ber.Packet
		for _, value := range a.Values {
			values = append(values, text(string(value)))
		}
		list = append(list, sequence(text(string(a.Name)), set(values)))
	}
	return application(4, text(dn), sequence(list...))
}

func result(tag ber.Tag, code int, diagnostic string) *ber.Packet {
	return application(tag, integer(ber.TagEnumerated, int64(code)), text(""), text(diagnostic))
}

func text(s string) *ber.Packet {
	return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, s, "")
}

func integer(tag ber.Tag, n int64) *ber.Packet {
	return ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, tag, n, "")
}

func boolean(b bool) *ber.Packet {
	return ber.NewLDAPBoolean(ber.ClassUniversal, ber.TypePrimitive, ber.TagBoolean, b, "")
}

func sequence(parts ...*ber.Packet) *ber.Packet { return with(ber.NewSequence(""), parts) }

func set(parts []*ber.Packet) *ber.Packet {
	return with(ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, ""), parts)
}

func application(tag ber.Tag, parts ...*ber.Packet) *ber.Packet {
	return with(ber.Encode(ber.ClassApplication, ber.TypeConstructed, tag, nil, ""), parts)
}

// element is a constructed one that a specification calls [tag].
func element(tag ber.Tag, parts ...*ber.Packet) *ber.Packet {
	return with(ber.Encode(ber.ClassContext, ber.TypeConstructed, tag, nil, ""), parts)
}

func with(p *ber.Packet, parts []*ber.Packet) *ber.Packet {
	for _, part := range parts {
		p.AppendChild(part)
	}
	return p
}
