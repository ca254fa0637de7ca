package wire

import "fmt"

// decode makes m the message in e. It is not known if it is an intermediate
// response of another kind, which is to be passed over (RFC 4511, section 4.13).
func (m *Message) decode(e envelope, fault *error) (known bool) {
	d := decoder{e.content, fault}
	switch e.op {
	case opEntry:
		m.reset(Entry)
		m.entry(&d)
	case opReference:
		m.reset(Reference)
	case opIntermediate:
		m.reset(Info)
		return m.info(&d)
	case opDone:
		m.reset(Done)
		m.Result = d.result()
		d.skip("search result")
	default:
		*fault = fmt.Errorf("operation 0x%02x in a search", e.op)
	}
	list := decoder{e.controls, fault}
	for list.more() {
		m.control(list.enter(tagSequence, "control"))
	}
	return true
}

// entry reads a SearchResultEntry (RFC 4511, section 4.5.2).
func (m *Message) entry(d *decoder) {
	m.DN = d.octets("entry: DN")
	list := d.enter(tagSequence, "entry: attributes")
	for list.more() {
		m.attribute(list.enter(tagSequence, "entry: attribute"))
	}
	d.skip("entry")
}

func (m *Message) attribute(d decoder) {
	name := d.octets("entry: name of an attribute")
	set := d.enter(tagSet, "entry: values of an attribute")
	first := len(m.values)
	for set.more() {
		m.values = append(m.values, set.octets("entry: value of an attribute"))
	}
	d.skip("entry: attribute")
	// Should m.values be moved when it grows, the earlier attributes keep the
	// old one.
	n := len(m.values)
	m.Attributes = append(m.Attributes, Attribute{name, m.values[first:n:n]})
}

// info reads an IntermediateResponse, and reports whether it is Sync Info.
func (m *Message) info(d *decoder) bool {
	if !d.at(primitive(0)) || string(d.take(primitive(0), "intermediate response: name")) != oidSyncInfo {
		d.skip("intermediate response")
		return false
	}
	value := d.enter(primitive(1), "sync info")
	d.skip("sync info")
	m.syncInfo(&value)
	value.end("sync info")
	return true
}

// syncInfo reads a syncInfoValue (RFC 4533, section 2.5).
func (m *Message) syncInfo(value *decoder) {
	tag, content := value.any("sync info")
	d := decoder{content, value.fault}
	switch tag {
	case primitive(0):
		m.InfoKind, m.Cookie = NewCookie, content
		return
	case constructed(1), constructed(2):
		m.InfoKind = RefreshDelete
		if tag == constructed(2) {
			m.InfoKind = RefreshPresent
		}
		m.Cookie = d.cookie()
		m.RefreshDone = d.boolean(true, "sync info: refreshDone")
	case constructed(3):
		m.InfoKind = IDSet
		m.Cookie = d.cookie()
		m.RefreshDeletes = d.boolean(false, "sync info: refreshDeletes")
		set := d.enter(tagSet, "sync info: UUIDs")
		for set.more() {
			m.UUIDs = append(m.UUIDs, set.uuid())
		}
	default:
		d.fail("sync info", fmt.Errorf("unknown kind 0x%02x", tag))
	}
	d.skip("sync info")
}

// cookie reads a cookie that may be absent.
func (d *decoder) cookie() []byte {
	if !d.at(tagOctets) {
		return nil
	}
	return d.octets("sync cookie")
}

func (d *decoder) uuid() (id [16]byte) {
	content := d.octets("UUID")
	if *d.fault == nil && len(content) != len(id) {
		d.fail("UUID", fmt.Errorf("%d octets, want %d", len(content), len(id)))
	}
	copy(id[:], content)
	return id
}

// control reads one control of m (RFC 4511, section 4.1.11). Unknown ones are
// passed over, critical or not: in a response that means nothing.
func (m *Message) control(d decoder) {
	oid := d.octets("control: type")
	d.boolean(false, "control: criticality")
	switch {
	case m.Kind != Done && string(oid) == oidSyncState:
		m.syncState(d.value("sync state"))
	case m.Kind == Done && string(oid) == oidSyncDone:
		m.syncDone(d.value("sync done"))
	case m.Kind == Done && string(oid) == oidPage:
		m.page(d.value("page"))
	}
	d.skip("control")
}

// value reads the value of a control, which is a SEQUENCE of its own.
func (d *decoder) value(what string) decoder {
	octets := d.enter(tagOctets, what)
	sequence := octets.enter(tagSequence, what)
	octets.end(what)
	return sequence
}

// syncState reads a syncStateValue (RFC 4533, section 2.3).
func (m *Message) syncState(d decoder) {
	state := d.number(tagEnumerated, "sync state")
	if *d.fault == nil && state > int(Delete) {
		d.fail("sync state", fmt.Errorf("unknown state %d", state))
	}
	m.HasState, m.State = true, State(state)
	m.UUID = d.uuid()
	m.Cookie = d.cookie()
	d.skip("sync state")
}

// syncDone reads a syncDoneValue (RFC 4533, section 2.4).
func (m *Message) syncDone(d decoder) {
	m.HasSyncDone = true
	m.Cookie = d.cookie()
	m.RefreshDeletes = d.boolean(false, "sync done: refreshDeletes")
	d.skip("sync done")
}

// page reads a realSearchControlValue (RFC 2696, section 2).
func (m *Message) page(d decoder) {
	// The size is an estimate, which may be anything.
	d.take(tagInteger, "page: size")
	m.PageCookie = d.octets("page: cookie")
	d.skip("page")
}
