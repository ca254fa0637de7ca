package main

import (
	"testing"
	"time"
)

func TestNoCodeIsUsedTwice(t *testing.T) {
	const people = 100
	for _, perRound := range []int{5, 37, 100} { // with 5, there are always codes left that get old
		s, used := newSchedule(people, false), map[login]bool{}
		start := time.Unix(1_800_000_000, 0)
		now := start
		for range 500 {
			spans, wait := s.take(perRound, now)
			if wait > period {
				t.Fatalf("waits for %s", wait)
			}
			for _, l := range logins(spans) {
				if end := time.Unix((l.step+2)*30, 0); used[l] || l.step > stepAt(now) || end.Sub(now) < margin {
					t.Fatalf("%+v comes, at %s of step %d; before: %v", l, now.Sub(time.Unix(stepAt(now)*30, 0)), stepAt(now), used[l])
				}
				used[l] = true
			}
			if now = now.Add(wait); wait == 0 {
				now = now.Add(2 * time.Second)
			}
		}
		if steps := int(stepAt(now) - stepAt(start)); perRound > 5 && len(used) < steps*people*7/10 {
			t.Errorf("%d logins of %d people in %d steps", len(used), people, steps)
		}
	}
}

type login struct {
	who  int
	step int64
}

func logins(spans []span) (all []login) {
	for _, s := range spans {
		for i := range s.Count {
			all = append(all, login{scattered(s.First+i, s.People), s.Step})
		}
	}
	return all
}

func TestFreeRADIUSGetsCodesOfThePresentStep(t *testing.T) {
	s := newSchedule(10, true)
	start := time.Unix(1_800_000_000, 0) // a step begins
	if spans, wait := s.take(10, start); wait != 0 || len(spans) != 1 || spans[0].Step != stepAt(start) || spans[0].Count != 10 {
		t.Errorf("%+v, %s", spans, wait)
	}
	if spans, wait := s.take(10, start.Add(25*time.Second)); wait != 5*time.Second || spans != nil {
		t.Errorf("%+v, %s; want to wait 5 s", spans, wait)
	}
}

func TestScatteredIsAPermutation(t *testing.T) {
	for _, n := range []int{1, 2, 200, 10_000, 7_919} {
		seen := make([]bool, n)
		for i := range n {
			seen[scattered(i+n, n)] = true
		}
		for i, ok := range seen {
			if !ok {
				t.Fatalf("of %d, %d never comes", n, i)
			}
		}
	}
	if a, b := scattered(1_999_998, maxUsers), scattered(1_999_999, maxUsers); a == b || a < 0 || b < 0 {
		t.Errorf("%d, %d", a, b)
	}
}
