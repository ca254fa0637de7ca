package main

import (
	"context"
	"fmt"

	layeh "layeh.com/radius"
)

// check is something besides right logins that a server was asked, untimed.
type check struct {
	Peer  string `json:"peer"`
	What  string `json:"what"`
	Asked int    `json:"asked"`
	Wrong int    `json:"wrong"` // decided otherwise, or not at all
}

// usedBefore is the one that FreeRADIUS does not pass.
const usedBefore = "code used before refused"

// checkAll asks each peer what it must refuse. A server that is quick because it
// lets everybody in should not pass.
func (r *room) checkAll(ctx context.Context) (all []check, err error) {
	for _, p := range r.peers {
		checks, err := r.check(ctx, p)
		if err != nil {
			return nil, err
		}
		all = append(all, checks...)
	}
	return all, nil
}

func (r *room) check(ctx context.Context, p *peer) (all []check, err error) {
	n := max(1, r.perRound/50)
	r.say("checking what %s refuses", p.name)
	ask := func(what string, s span, as kind, want layeh.Code) {
		if err != nil {
			return
		}
		s.Kind = as
		var o outcome
		if o, err = r.generator.run(p.job(64, want, s)); err != nil {
			err = fmt.Errorf("%s: %w", p.name, err)
			return
		}
		all = append(all, check{p.name, what, s.Count, o.Wrong + o.Bad + o.Lost})
	}
	fresh := func() (s span) {
		if err == nil {
			s, err = r.someOf(ctx, p, n)
		}
		return s
	}
	s := fresh()
	ask("right login accepted", s, right, layeh.CodeAccessAccept)
	ask(usedBefore, s, again, layeh.CodeAccessReject)
	s = fresh()
	ask("wrong password refused", s, wrongPassword, layeh.CodeAccessReject)
	ask("and its code not spent", s, right, layeh.CodeAccessAccept)
	ask("wrong code refused", fresh(), wrongCode, layeh.CodeAccessReject)
	ask("unknown user refused", fresh(), stranger, layeh.CodeAccessReject)
	return all, err
}

// someOf returns one span of up to n logins.
func (r *room) someOf(ctx context.Context, p *peer, n int) (span, error) {
	spans, err := r.logInsOf(ctx, p, min(n, r.users/8+1))
	if err != nil {
		return span{}, err
	}
	return spans[len(spans)-1], nil
}
