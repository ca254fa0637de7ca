package ldapsync

import (
	"strconv"
	"time"
)

// watermark is the newest change that has been seen, as a server numbers them:
// Active Directory by uSNChanged, which is its own and ascends, others by
// modifyTimestamp.
type watermark struct {
	usn  int64 // 0 for none
	time string
}

// slack is how far before the newest change seen the next search begins, where
// it goes by time: changes are stamped when they begin and seen when they end.
const slack = 5 * time.Second

// see takes note of an entry.
func (m *watermark) see(get func(attr string) [][]byte) {
	if v := get("uSNChanged"); len(v) == 1 {
		if usn, err := strconv.ParseInt(string(v[0]), 10, 64); err == nil {
			m.usn = max(m.usn, usn)
		}
	}
	if v := get("modifyTimestamp"); len(v) == 1 {
		at, err := generalizedTime(string(v[0])) // with a fraction, too
		if err == nil {
			m.time = max(m.time, at.UTC().Add(-slack).Format("20060102150405Z"))
		}
	}
}

// unsure tells whether a search for changes at now may pass over one: nothing is
// known of times, or the server's clock was ahead of what it may be now.
func (m watermark) unsure(now time.Time) bool {
	return m.usn == 0 && (m.time == "" || m.time > now.UTC().Add(slack).Format("20060102150405Z"))
}

// filter finds what may have changed since. It is inclusive: that costs little,
// and what is read again unchanged is not written again. Where nothing was seen
// nobody is enrolled, and all can be found: not everything that the directory has,
// once a second.
func (m watermark) filter(all string) string {
	switch {
	case m.usn > 0:
		return "(uSNChanged>=" + strconv.FormatInt(m.usn, 10) + ")"
	case m.time != "":
		return "(modifyTimestamp>=" + m.time + ")"
	}
	return all
}
