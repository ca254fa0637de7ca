package verifier

import "testing"

func TestToSettleOneLoginLeavesTheOthers(t *testing.T) {
	var u remembered
	l := Login{From: 1}
	u.note("a", l, start)
	u.note("b", l, start)
	u.settle("a")
	if u.has("a", l, start) || !u.has("b", l, start) {
		t.Error("a is still there, or b is not")
	}
	u.settle("b")
	u.settle("b")
	if u.has("b", l, start) {
		t.Error("b is still there")
	}
	if u.note("a", l, start); !u.has("a", l, start) {
		t.Error("a is not there again")
	}
}
