package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	layeh "layeh.com/radius"
)

// peer is a server that is measured.
type peer struct {
	name     string
	addr     string
	process  *process
	schedule *schedule
}

// room is all that runs.
type room struct {
	options
	dir       string
	slapd     *process
	ldap      string // its URL
	peers     []*peer
	generator *generator
	commits   []string // of the locksteps
}

// open starts everything. What runs is stopped by close, also after an error.
func open(ctx context.Context, o options) (r *room, err error) {
	r = &room{options: o}
	if r.dir, err = os.MkdirTemp(o.dir, "benchpeer"); err != nil {
		return r, err
	}
	r.say("loading %d people into slapd", o.users)
	if r.slapd, r.ldap, err = startSlapd(ctx, r.dir, o.users); err != nil {
		return r, err
	}
	if !o.lockstepOnly {
		if err := r.addFreeRADIUS(ctx); err != nil {
			return r, err
		}
	}
	if err := r.addLocksteps(ctx); err != nil {
		return r, err
	}
	r.generator, err = startGenerator(ctx)
	return r, err
}

func (r *room) addFreeRADIUS(ctx context.Context) error {
	for _, how := range r.setups {
		for _, threads := range r.threads {
			name := how.peer()
			if len(r.threads) > 1 {
				name += fmt.Sprintf("-%d", threads)
			}
			dir, err := r.mkdir(name)
			if err != nil {
				return err
			}
			r.say("starting %s", name)
			p, addr, err := startFreeRADIUS(ctx, dir, r.ldap, how, threads)
			r.add(name, addr, p)
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *room) addLocksteps(ctx context.Context) error {
	programs := r.locksteps
	if len(programs) == 0 {
		r.say("building lockstep")
		program := filepath.Join(r.dir, "lockstep.built")
		if err := build(ctx, program); err != nil {
			return err
		}
		programs, r.commits = []string{program}, []string{checkedOut(ctx)}
	}
	for i, program := range programs {
		name := lockstep
		if i > 0 {
			name += fmt.Sprint(i + 1)
		}
		dir, err := r.mkdir(name)
		if err != nil {
			return err
		}
		if len(r.commits) < len(programs) {
			r.commits = append(r.commits, commit(program))
		}
		r.say("starting %s", name)
		p, addr, err := startLockstep(ctx, dir, program, r.ldap, r.level)
		r.add(name, addr, p)
		if err != nil {
			return err
		}
	}
	return nil
}

// Names of peers, which may have a number behind them.
const (
	freeradius = "freeradius"       // with oneInstance
	apart      = "freeradius-apart" // with twoInstances
	lockstep   = "lockstep"
)

// peer returns the name of a FreeRADIUS.
func (s setup) peer() string {
	if s == twoInstances {
		return apart
	}
	return freeradius
}

func (r *room) mkdir(name string) (string, error) {
	dir := filepath.Join(r.dir, name)
	return dir, os.Mkdir(dir, 0o700)
}

func (r *room) add(name, addr string, p *process) {
	if p != nil {
		r.peers = append(r.peers, &peer{name: name, addr: addr, process: p, schedule: newSchedule(r.users, strings.HasPrefix(name, freeradius))})
	}
}

// close stops everything and leaves nothing behind.
func (r *room) close() {
	if r.generator != nil {
		r.generator.stop()
	}
	for _, p := range r.peers {
		p.process.stop()
	}
	if r.slapd != nil {
		r.slapd.stop()
	}
	if r.dir != "" && !r.keep {
		os.RemoveAll(r.dir)
	}
}

func (p *peer) job(k int, want layeh.Code, logins ...span) job {
	return job{Server: p.addr, Outstanding: k, Logins: logins, Want: want}
}
