package ldaptest

import (
	"errors"
	"fmt"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"lockstep/ldapsync/wire"
)

// Kind is what a [Request] asks for.
type Kind int

// The kinds of requests.
const (
	Other Kind = iota
	Bind
	Unbind
	StartTLS
	Search
	Abandon
)

// Request is a request of a client.
type Request struct {
	Kind         Kind
	ID           int64
	DN, Password string // Bind
	wire.Search         // Search
}

// parse reads a request. Packets of the wrong shape make it panic inside, as
// asn1-ber gives no types; that is an error like others.
func parse(p *ber.Packet) (r *Request, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("not as it should be: %v", fault)
		}
	}()
	op := p.Children[1]
	r = &Request{ID: p.Children[0].Value.(int64)}
	switch op.Tag {
	case ldap.ApplicationBindRequest:
		r.Kind, r.DN, r.Password = Bind, op.Children[1].Value.(string), op.Children[2].Data.String()
	case ldap.ApplicationUnbindRequest:
		r.Kind = Unbind
	case ldap.ApplicationAbandonRequest:
		r.Kind = Abandon
	case ldap.ApplicationExtendedRequest:
		if op.Children[0].Data.String() == "1.3.6.1.4.1.1466.20037" {
			r.Kind = StartTLS
		}
	case ldap.ApplicationSearchRequest:
		r.Kind = Search
		err = r.search(op)
	}
	if err == nil && len(p.Children) > 2 {
		err = r.controls(p.Children[2])
	}
	return r, err
}

func (r *Request) search(op *ber.Packet) (err error) {
	r.Base = op.Children[0].Value.(string)
	r.Scope = wire.Scope(op.Children[1].Value.(int64))
	r.SizeLimit = int(op.Children[3].Value.(int64))
	for _, name := range op.Children[7].Children {
		r.Attributes = append(r.Attributes, name.Value.(string))
	}
	r.Filter, err = ldap.DecompileFilter(op.Children[6])
	return err
}

func (r *Request) controls(list *ber.Packet) error {
	for _, p := range list.Children {
		c := wire.Control{OID: p.Children[0].Value.(string)}
		for _, part := range p.Children[1:] {
			switch part.Tag {
			case ber.TagBoolean:
				c.Critical = part.Value.(bool)
			case ber.TagOctetString:
				c.Value = part.Data.Bytes()
			}
		}
		if err := r.control(c); err != nil {
			return err
		}
	}
	return nil
}

func (r *Request) control(c wire.Control) error {
	switch c.OID {
	case "1.3.6.1.4.1.4203.1.9.1.1":
		if !c.Critical {
			return errors.New("sync request that is not critical")
		}
		r.Sync = &wire.SyncRequest{}
		value := ber.DecodePacket(c.Value)
		r.Sync.Persist = value.Children[0].Value.(int64) == 3
		for _, part := range value.Children[1:] {
			switch part.Tag {
			case ber.TagBoolean:
				r.Sync.ReloadHint = part.Value.(bool)
			case ber.TagOctetString:
				r.Sync.Cookie = append([]byte{}, part.Data.Bytes()...)
			}
		}
	case "1.2.840.113556.1.4.319":
		value := ber.DecodePacket(c.Value)
		r.Page = &wire.Page{Size: int(value.Children[0].Value.(int64)), Cookie: append([]byte{}, value.Children[1].Data.Bytes()...)}
	default:
		r.Controls = append(r.Controls, c)
	}
	return nil
}
