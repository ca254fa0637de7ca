package ldapsync

import (
	"maps"
	"slices"
	"strings"
)

// An OpenLDAP cookie says up to which change, by its CSN, of each server that
// takes changes (its SID) the content has been seen:
//
//	rid=000,sid=001,csn=20261122120000.000000Z#000000#001#000000;2026…#002#000000
//
// What comes with one change names its own server alone. Kept as it is, it would
// make the next refresh a transfer of everything.

// csns are the CSNs of a cookie by SID.
type csns map[string]string

// parseCookie returns the CSNs of cookie, and whether it is one of OpenLDAP's.
func parseCookie(cookie string) (csns, bool) {
	for part := range strings.SplitSeq(cookie, ",") {
		list, ok := strings.CutPrefix(part, "csn=")
		if !ok {
			continue
		}
		all := csns{}
		for csn := range strings.SplitSeq(list, ";") {
			if !all.see(csn) {
				return nil, false
			}
		}
		return all, true
	}
	return nil, false
}

// see takes note of csn, and returns false if it is none.
func (c csns) see(csn string) bool {
	parts := strings.Split(csn, "#")
	if len(parts) != 4 {
		return false
	}
	c[parts[2]] = max(c[parts[2]], csn)
	return true
}

// behind tells whether the server has had a change that c has not.
func (c csns) behind(server csns) bool {
	for sid, csn := range server {
		if c[sid] < csn {
			return true
		}
	}
	return false
}

// mergeCookies returns what to resume from after having seen both.
func mergeCookies(was, now string) string {
	old, ok := parseCookie(was)
	next, ok2 := parseCookie(now)
	if !ok || !ok2 {
		return now
	}
	for _, csn := range next {
		old.see(csn)
	}
	sids := slices.Sorted(maps.Keys(old))
	list := make([]string, len(sids))
	for i, sid := range sids {
		list[i] = old[sid]
	}
	return "rid=000,csn=" + strings.Join(list, ";")
}
