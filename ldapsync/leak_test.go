package ldapsync

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lockstep/internal/opaque"
	"lockstep/ldapsync/ldaptest"
)

// A directory is opened and closed a hundred times, as by reloads, at a server that
// freezes at one point or another.
func TestReloadsAtAFrozenServerLeakNothing(t *testing.T) {
	var n, open0 atomic.Int32
	s := ldaptest.Serve(t, func(c *ldaptest.Conn) {
		open0.Add(1)
		defer open0.Add(-1)
		k := n.Add(1) % 4
		if k == 0 {
			c.Hold()
			return
		}
		c.Search()
		if k == 1 {
			c.Hold()
			return
		}
		c.Send(openLDAP(), ldaptest.Done(0, ""))
		c.Search()
		c.Hold()
	})
	before := runtime.NumGoroutine()
	for range 100 {
		d := open(t, Config{URLs: []string{s.URL}, BaseDN: "dc=example,dc=org", BindDN: "cn=svc", BindPassword: opaque.Text("x"), Timeout: time.Second})
		ctx, cancel := context.WithCancel(context.Background())
		var wait sync.WaitGroup
		wait.Go(func() { d.Run(ctx) })
		wait.Go(func() { d.Update(ctx) })
		wait.Go(func() { d.CheckPassword(ctx, Account{Name: "a", DN: dn("a")}, opaque.Text("pw")) })
		<-time.After(10 * time.Millisecond)
		cancel()
		at := time.Now()
		wait.Wait()
		if d := time.Since(at); d > 2*time.Second {
			t.Errorf("took %s to end", d)
		}
	}
	eventually(t, "connections are closed", func() bool { return open0.Load() == 0 })
	eventually(t, "goroutines end", func() bool { return runtime.NumGoroutine() <= before+5 })
}

// As many records come and go as the table has slots, and few are there at a time: a
// reader must always find an end.
func TestAnIndexOfComingAndGoing(t *testing.T) {
	x := newIndex()
	for i := range uint32(1000) {
		r := &record{}
		x.add(i*2654435761, r)
		x.remove(i*2654435761, r)
	}
	nils := 0
	for i := range x.table.Load().slots {
		if x.table.Load().slots[i].Load() == nil {
			nils++
		}
	}
	if nils == 0 {
		t.Error("no free slot: a search for what is not there never ends")
	}
}
