package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"lockstep/internal/testenv"

	layeh "layeh.com/radius"
)

// After kill -9 in the middle of everything, no code that was accepted before
// is accepted again.
func TestKillNineForgetsNoCode(t *testing.T) {
	t.Parallel()
	var people []user
	for i := range 40 {
		people = append(people, newUser(fmt.Sprintf("user%d", i)))
	}
	s := ldifSite(t, people...)
	type login struct{ name, typed string }
	var mu sync.Mutex
	var accepted []login
	var wg sync.WaitGroup
	enough := make(chan struct{})
	for _, u := range people {
		conn := s.dial()
		wg.Go(func() {
			for _, offset := range []int64{0, 1} {
				code, _ := u.key.Code(u.key.Step(time.Now()) + offset)
				reply := s.exchange(conn, s.packet(u.name, u.password+code))
				if reply == nil || layeh.Code(reply[0]) != layeh.CodeAccessAccept {
					return
				}
				mu.Lock()
				accepted = append(accepted, login{u.name, u.password + code})
				if len(accepted) == 20 {
					close(enough)
				}
				mu.Unlock()
			}
		})
	}
	all := make(chan struct{})
	go func() { wg.Wait(); close(all) }()
	select {
	case <-enough:
	case <-all:
	}
	s.end(s.cmd, syscall.SIGKILL)
	<-all
	if len(accepted) < 20 {
		t.Fatalf("%d codes accepted before kill -9, want 20\n%s", len(accepted), s.tail())
	}
	s.start()
	for _, l := range accepted {
		conn, packet := s.dial(), s.packet(l.name, l.typed)
		wg.Go(func() {
			if reply := s.exchange(conn, packet); reply == nil || layeh.Code(reply[0]) != layeh.CodeAccessReject {
				t.Errorf("%s: the code accepted before kill -9 gets %x afterwards", l.name, reply)
			}
		})
	}
	wg.Wait()
	t.Logf("%d codes accepted before kill -9", len(accepted))
}

func TestStopAnswersWhatIsInFlight(t *testing.T) {
	t.Parallel()
	alice := newUser("alice")
	s := ldifSite(t, alice)
	got := make(chan []byte, 1)
	conn := s.dial()
	go func() { got <- s.exchange(conn, s.packet(alice.name, "wrong")) }()
	s.eventually("the decision", func() bool { return strings.Contains(s.log.String(), "msg=decision") })
	if err := s.end(s.cmd, syscall.SIGTERM); err != nil {
		t.Errorf("the server ended with %v", err)
	}
	if reply := <-got; reply == nil || layeh.Code(reply[0]) != layeh.CodeAccessReject {
		t.Errorf("the delayed reject did not come: %x", reply)
	}
}

// A disk that fills up lets nobody in and says nothing on the wire; when there
// is room again, all goes on.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("needs root, to mount a small disk")
	}
	alice := newUser("alice")
	people := []user{alice}
	for i := range 500 {
		people = append(people, newUser(fmt.Sprint("user", i)))
	}
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=512k"); err != nil {
		t.Skipf("mount: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(disk, syscall.MNT_DETACH) })
	s := &site{t: t, dir: t.TempDir(), addr: loopback(), secret: "a secret of 24 octets or more", log: &testenv.Buffer{}}
	s.write("secret", s.secret)
	s.write("people.ldif", ldifText(t, people...))
	s.write("lockstep.toml", strings.NewReplacer(`"state.db"`, fmt.Sprintf("%q", filepath.Join(disk, "state.db")), "300ms", "0s").
		Replace(fmt.Sprintf(siteTOML, ldifDirectory, s.addr)))
	s.start()
	login := func(name, typed string) string {
		reply := s.exchange(s.dial(), s.packet(name, typed))
		if reply == nil {
			return silence
		}
		return layeh.Code(reply[0]).String()
	}
	spent := alice.password + alice.code(0)
	if got := login("alice", spent); got != accept {
		t.Fatalf("before: %q\n%s", got, s.tail())
	}
	filler := filepath.Join(disk, "filler")
	os.WriteFile(filler, make([]byte, 1<<20), 0o600) // as far as it goes
	silent := false
	for i := 0; i < 500 && !silent; i++ {
		// Failures grow the store until it needs room.
		silent = login(fmt.Sprint("user", i), "wrong000000") == silence
	}
	if !silent {
		t.Fatalf("the store never needed more room\n%s", s.tail())
	}
	if !strings.Contains(s.log.String(), "no space left") {
		t.Errorf("the log does not say what is wrong:\n%s", s.tail())
	}
	// What needs no more room may still be written, and then counts.
	meanwhile := alice.password + alice.code(1)
	got := login("alice", meanwhile)
	if got == reject {
		t.Errorf("with a full disk: a right code is rejected\n%s", s.tail())
	}
	os.Remove(filler)
	s.eventually("the store to work again", func() bool { return s.status() == nil })
	if again := login("alice", meanwhile); (again == accept) == (got == accept) {
		t.Errorf("the same code with a full disk: %q, and with room again: %q\n%s", got, again, s.tail())
	}
	if got := login("alice", spent); got != reject {
		t.Errorf("the code spent before: %q, want a reject", got)
	}
}
