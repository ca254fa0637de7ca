package bolt

import "time"

// A sync costs the processor as much as a few dozen claims do, and where claims
// keep coming, the next sync begins as soon as the last has ended, for the few
// that came meanwhile. So the leader waits a little for more, if
//
//   - the last group was a group: where logins come alone, or a few at a time,
//     none waits, because an idle process wakes a millisecond late;
//   - the next sync would begin sooner after the last than perClaim for each
//     claim of the last, or longest;
//   - and somebody is still to come: of those who were in the last group or
//     waited at its end, some do not wait now.
//
// Where claims come more rarely than one in perClaim, the groups become small
// again by themselves, and nobody waits.
const (
	leastGroup = 5
	perClaim   = 300 * time.Microsecond
	longest    = 2 * time.Millisecond
	plenty     = 256 // so many are a group, whoever is still to come
)

// pace remembers the last group.
type pace struct {
	began    time.Time // its sync, nearly
	size     int       // claims in it
	expected int       // claims that may wait for the next one
}

// wait says for how many claims to wait before the next group begins, and for
// how long at most; 0 for not at all.
func (p pace) wait(now time.Time) (enough int, most time.Duration) {
	if p.size < leastGroup {
		return 0, 0
	}
	least := min(time.Duration(p.size)*perClaim, longest)
	since := now.Sub(p.began)
	if since < 0 || since >= least { // a clock that goes back tells nothing
		return 0, 0
	}
	return min(p.expected, plenty), least - since
}
