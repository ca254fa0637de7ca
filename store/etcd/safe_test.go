package etcd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"lockstep/internal/opaque"
	"lockstep/internal/testenv"
	"lockstep/store/storetest"
	"lockstep/verifier"
)

func TestOfAllClaimsOnTwoServersOneWins(t *testing.T) {
	t.Parallel()
	c := testenv.Etcd(t, 3)
	stores := []*Store{open(t, Options{Endpoints: c.Endpoints()}), open(t, Options{Endpoints: c.Endpoints()})}
	for step := int64(1); step <= 5; step++ {
		var wins, losses atomic.Int64
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() {
				err := storetest.Claim(t.Context(), stores[i%2], "alice", step)
				// So it is where a slow answer has the first record of all sent
				// twice and another is there by then. Who asks again is told.
				for errors.Is(err, errUnknown) {
					err = storetest.Claim(t.Context(), stores[i%2], "alice", step)
				}
				switch {
				case err == nil:
					wins.Add(1)
				case err.Error() == "step is spent":
					losses.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		all.Wait()
		if wins.Load() != 1 || losses.Load() != 99 {
			t.Errorf("step %d: %d win and %d lose; want 1 and 99", step, wins.Load(), losses.Load())
		}
	}
}

// What one server writes the others see soon, without asking.
func TestTheCopyFollowsTheOthers(t *testing.T) {
	t.Parallel()
	c := testenv.Etcd(t, 1)
	one, two := open(t, Options{Endpoints: c.Endpoints()}), open(t, Options{Endpoints: c.Endpoints()})
	for step := range int64(20) {
		if err := storetest.Claim(t.Context(), one, "alice", step+1); err != nil {
			t.Fatal(err)
		}
		testenv.Eventually(t, "the other server to see it", func() bool {
			spent, err := storetest.Spent(t.Context(), two, "alice", step+1)
			if err != nil {
				t.Fatal(err)
			}
			return spent
		})
	}
	if err := one.Delete(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the other server to see that it is deleted", func() bool {
		_, v, err := two.Load(t.Context(), "alice")
		return err == nil && v == 0
	})
}

// A login costs one transaction: what was written or read before is not read
// again, as long as the watch brings what others write.
func TestNoReadBeforeTheWrite(t *testing.T) {
	t.Parallel()
	c := testenv.Etcd(t, 1)
	s := open(t, Options{Endpoints: c.Endpoints()})
	done, cancel := context.WithCancel(t.Context())
	cancel()
	// Not each time, perhaps: a watch that begins, or that has fallen behind, makes
	// the copy anew. And no more often than that, since what was asked in vain can
	// still be answered by chance.
	for step := range int64(20) {
		testenv.Eventually(t, "the copy to be fresh", func() bool { return s.pulse.fresh(s.elapsed()) })
		if err := storetest.Claim(t.Context(), s, "alice", step+1); err != nil {
			t.Fatal(err)
		}
		is, err := s.get(done, s.key("alice")) // which can ask nobody
		if err != nil {
			continue
		}
		if state, err := decodeRecord(is.value); err != nil || !contains(state.Spent, step+1) {
			t.Errorf("step %d is not in the copy: %+v, %v", step+1, state, err)
		}
		return
	}
	t.Error("what was written is not remembered, or the copy is not used")
}

// A watch that falls silent, with the quorum at work, must not make old news of
// the copy: a server that hears the quorum by one node and the changes by another.
func TestACopyWhoseWatchHangsIsNotUsed(t *testing.T) {
	t.Parallel()
	c := testenv.Etcd(t, 1)
	p := newProxy(t, c.Node(0).Address())
	s := open(t, Options{Endpoints: []string{p.url, c.Node(0).Endpoint()}})
	other := open(t, Options{Endpoints: c.Endpoints()})
	if err := storetest.Claim(t.Context(), s, "alice", 1); err != nil {
		t.Fatal(err)
	}
	for round := range int64(3) {
		testenv.Eventually(t, "the watch to be at the proxy", func() bool {
			w := s.watching.Load()
			if w.at != s.cluster.nodes[0] {
				w.stop() // and the next one takes its turn
			}
			return w.at == s.cluster.nodes[0]
		})
		p.mute.Store(true)
		if err := storetest.Claim(t.Context(), other, "alice", round+2); err != nil {
			t.Fatal(err)
		}
		written := time.Now()
		for {
			began := time.Now()
			spent, err := storetest.Spent(t.Context(), s, "alice", round+2)
			if err != nil {
				t.Fatal(err)
			}
			if spent {
				break
			}
			if late := began.Sub(written); late > trust+time.Second/4 {
				t.Fatalf("a claim is not seen %v later", late)
			}
		}
		testenv.Eventually(t, "another node to be watched", func() bool { return s.pulse.fresh(s.elapsed()) })
		p.mute.Store(false)
		p.cut()
	}
}

// patience is how long to wait for something that should come, or should not.
func patience(comes bool) time.Duration {
	if comes {
		return claimWithin
	}
	return 2 * time.Second
}

func TestTLS(t *testing.T) {
	t.Parallel()
	c := testenv.Etcd(t, 1, testenv.WithEtcdTLS())
	own := c.TLS()
	bare := own.Clone()
	bare.Certificates = nil
	stranger := own.Clone()
	stranger.RootCAs = x509.NewCertPool()
	for _, tt := range []struct {
		name string
		tls  *tls.Config
		ok   bool
	}{
		{"with a certificate", own, true},
		{"without one", bare, false},
		{"a CA that is not ours", stranger, false},
		{"no settings at all", nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := open(t, Options{Endpoints: c.Endpoints(), TLS: tt.tls, Prefix: newPrefix()})
			ctx, cancel := context.WithTimeout(t.Context(), patience(tt.ok))
			defer cancel()
			if err := storetest.Claim(ctx, s, "alice", 1); (err == nil) != tt.ok {
				t.Errorf("Claim = %v; want success %v", err, tt.ok)
			}
			if err := s.Check(ctx); (err == nil) != tt.ok {
				t.Errorf("Check = %v; want success %v", err, tt.ok)
			}
		})
	}
}

func TestUserAndPassword(t *testing.T) {
	t.Parallel()
	c := testenv.Etcd(t, 1)
	admin := open(t, Options{Endpoints: c.Endpoints()})
	client, err := admin.cluster.nodes[0].conn()
	if err != nil {
		t.Fatal(err)
	}
	_, err1 := client.UserAdd(t.Context(), "root", "hunter2")
	_, err2 := client.UserGrantRole(t.Context(), "root", "root")
	_, err3 := client.AuthEnable(t.Context())
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	for password, ok := range map[string]bool{"hunter2": true, "hunter3": false} {
		s := open(t, Options{Endpoints: c.Endpoints(), User: "root", Password: opaque.Text(password)})
		ctx, cancel := context.WithTimeout(t.Context(), patience(ok))
		defer cancel()
		err := storetest.Claim(ctx, s, "alice", 1)
		if (err == nil) != ok {
			t.Errorf("password right %v: %v", ok, err)
		}
		if err := s.Check(ctx); (err == nil) != ok {
			t.Errorf("password right %v: Check = %v", ok, err)
		} else if err != nil && strings.Contains(err.Error(), password) {
			t.Errorf("the error shows the password: %v", err)
		}
	}
}

// A cluster that answers as if less had happened than it had confirmed was
// restored or made anew: codes that are spent would be good again.
func TestAClusterThatWentBackIsRefused(t *testing.T) {
	t.Parallel()
	for name, header := range map[string]*pb.ResponseHeader{
		"another cluster":      {ClusterId: 2, Revision: 100},
		"an earlier revision":  {ClusterId: 1, Revision: 9},
		"a header without id":  {Revision: 100},
		"a header without rev": {ClusterId: 1},
	} {
		log, logged := logger()
		c := newCluster(Options{Endpoints: []string{"http://127.0.0.1:1"}, Log: log}, nil, nil)
		if err := c.accept(&pb.ResponseHeader{ClusterId: 1, Revision: 10}, 0, "a"); err != nil {
			t.Fatal(err)
		}
		known, _ := c.known()
		if err := c.accept(header, known, "a"); err == nil {
			t.Errorf("%s is accepted", name)
		}
		err := c.accept(&pb.ResponseHeader{ClusterId: 1, Revision: 11}, known, "a")
		if want := name == "an earlier revision"; (err != nil) != want || (err != nil) != (c.condemned() != nil) {
			t.Errorf("after %s a good answer gets %v", name, err)
		}
		if strings.HasPrefix(name, "a") && !strings.Contains(name, "header") && logged() == "" {
			t.Errorf("%s is not logged", name)
		}
	}
}

// The same with a real etcd that loses its data under the running server.
func TestAWipedClusterIsRefused(t *testing.T) {
	t.Parallel()
	c := testenv.Etcd(t, 1)
	s := open(t, Options{Endpoints: c.Endpoints()})
	for step := range int64(5) {
		if err := storetest.Claim(t.Context(), s, "alice", step+1); err != nil {
			t.Fatal(err)
		}
	}
	c.Node(0).Wipe(t)
	c.AwaitHealthy(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	testenv.Eventually(t, "Load to fail", func() bool { _, _, err := s.Load(ctx, "alice"); return err != nil }) // the copy, which is right, may serve for a second
	if err := s.CompareAndSwap(ctx, "alice", 0, verifier.State{}); err == nil || errors.Is(err, verifier.ErrConflict) {
		t.Errorf("CompareAndSwap = %v; want an error, not a conflict", err)
	}
	testenv.Eventually(t, "Check to say so", func() bool { return s.Check(t.Context()) != nil })
}

// etcd counts what is written by grouped transactions, and yet does not refuse
// them when its quota is used up. Logins go on then, and people are told.
func TestAUsedUpQuotaIsTold(t *testing.T) {
	t.Parallel()
	c := testenv.Etcd(t, 1, testenv.WithEtcdArguments("--quota-backend-bytes", "1000000"))
	first := open(t, Options{Endpoints: c.Endpoints()})
	client, err := first.cluster.nodes[0].conn()
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = client.Put(t.Context(), "/other", strings.Repeat("x", 400_000))
	}
	log, logged := logger()
	s := open(t, Options{Endpoints: c.Endpoints(), Log: log})
	testenv.Eventually(t, "the alarm to be logged", func() bool { return strings.Contains(logged(), "NOSPACE") })
	if h := s.Health(t.Context()); len(h.Alarms) != 1 || h.Err != nil {
		t.Errorf("Health = %+v", h)
	}
	// Whatever etcd does with the writes, Check and logins say the same.
	claim := storetest.Claim(t.Context(), s, "alice", 1)
	if check := s.Check(t.Context()); (check == nil) != (claim == nil) {
		t.Errorf("Check = %v, and a claim: %v", check, claim)
	}
}

func TestCheckSeesThatNothingCanBeWritten(t *testing.T) {
	t.Parallel()
	c := testenv.Etcd(t, 1)
	admin := open(t, Options{Endpoints: c.Endpoints(), Prefix: "/admin/"})
	client, err := admin.cluster.nodes[0].conn()
	if err != nil {
		t.Fatal(err)
	}
	log, logged := logger()
	s := open(t, Options{Endpoints: c.Endpoints(), Log: log})
	if err := storetest.Claim(t.Context(), s, "alice", 1); err != nil {
		t.Fatal(err)
	}
	// An alarm of this kind stops writes, and leaves reads alone.
	maintenance := pb.NewMaintenanceClient(client.ActiveConnection())
	alarm := func(action pb.AlarmRequest_AlarmAction) {
		t.Helper()
		if _, err := maintenance.Alarm(t.Context(), &pb.AlarmRequest{Action: action, MemberID: 1, Alarm: pb.AlarmType_CORRUPT}); err != nil {
			t.Fatal(err)
		}
	}
	alarm(pb.AlarmRequest_ACTIVATE)
	if err := storetest.Claim(t.Context(), s, "alice", 2); err == nil {
		t.Error("a claim succeeds")
	}
	if err := s.Check(t.Context()); err == nil {
		t.Error("Check is content")
	}
	if _, _, err := s.Load(t.Context(), "alice"); err != nil {
		t.Error(err)
	}
	alarm(pb.AlarmRequest_DEACTIVATE)
	testenv.Eventually(t, "Check to be content", func() bool { return s.Check(t.Context()) == nil })
	if err := storetest.Claim(t.Context(), s, "alice", 2); err != nil {
		t.Error(err)
	}
	if text := logged(); strings.Count(text, "cannot be written") != 1 || strings.Count(text, "can be written again") != 1 {
		t.Errorf("want one line each for the fault and its end:\n%s", text)
	}
}

func TestOptions(t *testing.T) {
	for name, opts := range map[string]Options{
		"no endpoint":            {},
		"no URL":                 {Endpoints: []string{"127.0.0.1:2379"}},
		"another scheme":         {Endpoints: []string{"ftp://127.0.0.1:2379"}},
		"a user and no password": {Endpoints: []string{"http://127.0.0.1:2379"}, User: "lockstep"},
		"a password and no user": {Endpoints: []string{"http://127.0.0.1:2379"}, Password: opaque.Text("hunter2")},
		"one of two is no URL":   {Endpoints: []string{"http://127.0.0.1:2379", "http://"}},
	} {
		if s, err := Open(opts); err == nil {
			t.Errorf("%s is accepted", name)
			s.Close()
		}
	}
}
