package wire

import (
	"context"
	"fmt"
	"math"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// Scope is which entries a search is about (RFC 4511, section 4.5.1.2).
type Scope int

// The zero Scope is ScopeBase.
const (
	ScopeBase    Scope = 0 // the base alone
	ScopeSubtree Scope = 2 // the base and all below it
)

// Search is a search request. Aliases are not followed and there is no time
// limit.
type Search struct {
	Base       string
	Scope      Scope
	Filter     string       // RFC 4515
	Attributes []string     // none: all that are not operational
	SizeLimit  int          // of entries, at the server; 0 is none
	Page       *Page        // nil: not in pages
	Sync       *SyncRequest // nil: not synced
	Controls   []Control    // others
}

// Page asks for one page (RFC 2696). The control is not critical: a server that
// knows no pages sends everything.
type Page struct {
	Size   int    // of entries, 1 or more
	Cookie []byte // of the Done message before; empty for the first page
}

// SyncRequest asks for content and its changes (RFC 4533, section 2.2). The
// control is critical.
type SyncRequest struct {
	Persist    bool   // changes follow, for as long as the connection lasts
	Cookie     []byte // nil: none. An empty one is sent as such
	ReloadHint bool
}

// Control is a request control (RFC 4511, section 4.1.11).
type Control struct {
	OID      string
	Critical bool
	Value    []byte // nil: none
}

// OIDs of controls and of one intermediate response.
const (
	oidSyncRequest = "1.3.6.1.4.1.4203.1.9.1.1"
	oidSyncState   = "1.3.6.1.4.1.4203.1.9.1.2"
	oidSyncDone    = "1.3.6.1.4.1.4203.1.9.1.3"
	oidSyncInfo    = "1.3.6.1.4.1.4203.1.9.1.4"
	oidPage        = "1.2.840.113556.1.4.319"
)

// Search sends a search request. Its messages are read by [Conn.Next], up to
// the one of the kind Done, before anything else can be asked.
func (c *Conn) Search(ctx context.Context, s Search) error {
	request, err := s.request()
	if err != nil {
		return fmt.Errorf("search: %w", err)
	}
	return c.within(ctx, "search", func() error {
		if err := c.send(request, s.controls()); err != nil {
			return err
		}
		c.search = true
		return nil
	})
}

func (s Search) request() (*ber.Packet, error) {
	if s.SizeLimit < 0 || s.SizeLimit > math.MaxInt32 {
		return nil, fmt.Errorf("size limit %d", s.SizeLimit)
	}
	if s.Page != nil && (s.Page.Size < 1 || s.Page.Size > math.MaxInt32) {
		return nil, fmt.Errorf("page of %d entries", s.Page.Size)
	}
	if s.Scope != ScopeBase && s.Scope != ScopeSubtree {
		return nil, fmt.Errorf("scope %d", s.Scope)
	}
	filter, err := ldap.CompileFilter(s.Filter)
	if err != nil {
		return nil, fmt.Errorf("filter %q: %w", s.Filter, err)
	}
	p := ber.Encode(ber.ClassApplication, ber.TypeConstructed, 3, nil, "")
	p.AppendChild(text(s.Base))
	p.AppendChild(integer(ber.TagEnumerated, int(s.Scope)))
	p.AppendChild(integer(ber.TagEnumerated, 0))
	p.AppendChild(integer(ber.TagInteger, s.SizeLimit))
	p.AppendChild(integer(ber.TagInteger, 0))
	p.AppendChild(boolean(false))
	p.AppendChild(filter)
	attributes := ber.NewSequence("")
	for _, name := range s.Attributes {
		attributes.AppendChild(text(name))
	}
	p.AppendChild(attributes)
	return p, nil
}

func (s Search) controls() []Control {
	var all []Control
	if s.Sync != nil {
		all = append(all, s.Sync.control())
	}
	if s.Page != nil {
		all = append(all, s.Page.control())
	}
	return append(all, s.Controls...)
}

func (s *SyncRequest) control() Control {
	mode := 1
	if s.Persist {
		mode = 3
	}
	p := ber.NewSequence("")
	p.AppendChild(integer(ber.TagEnumerated, mode))
	if s.Cookie != nil {
		p.AppendChild(text(string(s.Cookie)))
	}
	if s.ReloadHint {
		p.AppendChild(boolean(true))
	}
	return Control{oidSyncRequest, true, p.Bytes()}
}

func (p *Page) control() Control {
	v := ber.NewSequence("")
	v.AppendChild(integer(ber.TagInteger, p.Size))
	v.AppendChild(text(string(p.Cookie)))
	return Control{oidPage, false, v.Bytes()}
}

func (c Control) packet() *ber.Packet {
	p := ber.NewSequence("")
	p.AppendChild(text(c.OID))
	if c.Critical {
		p.AppendChild(boolean(true))
	}
	if c.Value != nil {
		p.AppendChild(text(string(c.Value)))
	}
	return p
}

// send writes the next request.
func (c *Conn) send(request *ber.Packet, controls []Control) error {
	c.id++
	p := ber.NewSequence("")
	p.AppendChild(integer(ber.TagInteger, c.id))
	p.AppendChild(request)
	if len(controls) > 0 {
		list := ber.Encode(ber.ClassContext, ber.TypeConstructed, 0, nil, "")
		for _, control := range controls {
			list.AppendChild(control.packet())
		}
		p.AppendChild(list)
	}
	c.hush(1)
	defer c.hush(-1)
	_, err := c.conn.Write(p.Bytes())
	return err
}

func text(s string) *ber.Packet {
	return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, s, "")
}

func integer(tag ber.Tag, n int) *ber.Packet {
	return ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, tag, int64(n), "")
}

func boolean(b bool) *ber.Packet {
	return ber.NewLDAPBoolean(ber.ClassUniversal, ber.TypePrimitive, ber.TagBoolean, b, "")
}
