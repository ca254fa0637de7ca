package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"lockstep/internal/testenv"
	"lockstep/store"
	"lockstep/store/bolt"
	"lockstep/verifier"
)

// A server under logins is backed up; after further logins it is killed, and the backup
// restored. Nothing that was accepted before is accepted again, of nobody, and all
// get in with a code of their own in time.
func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "radclient")
	alice, bob, fast, slow := newUser("alice"), newUser("bob"), newUser("fast"), newUser("slow")
	s := ldifSite(t, alice, bob, fast, slow)
	ahead, behind := fast.shifted(9*time.Minute), slow.shifted(-9*time.Minute)
	login := func(u user, code, want string) {
		t.Helper()
		s.must(plainClient, u.name, u.password+code, want)
	}
	login(alice, alice.code(-1), accept)
	login(fast, ahead(0), reject)
	login(fast, ahead(1), accept)
	login(slow, behind(0), reject)
	login(slow, behind(1), accept)
	s.run(0, "", "store", "backup", "backup")
	s.run(1, "is there already", "store", "backup", "backup")
	s.run(0, `"records": 3`, "store", "backup", "-force", "-json", "backup")
	if is, err := os.Stat(filepath.Join(s.dir, "backup")); err != nil || is.Mode() != 0o600 {
		t.Fatalf("the backup: %v, %v", is, err)
	}
	aliceUsed, bobUsed, fastUsed, slowUsed := alice.code(0), bob.code(0), ahead(2), behind(2)
	login(alice, aliceUsed, accept)
	login(bob, bobUsed, accept) // of whom the backup knows nothing
	login(fast, fastUsed, accept)
	login(slow, slowUsed, accept)
	s.run(3, "in use by another process", "store", "restore", "-yes", "backup")
	s.end(s.cmd, syscall.SIGKILL)
	s.run(2, "is not answered", "store", "restore", "backup")
	s.run(0, "3 keys restored", "store", "restore", "-yes", "backup")
	s.start()
	login(alice, aliceUsed, reject)
	login(bob, bobUsed, reject)
	login(fast, fastUsed, reject)
	login(slow, slowUsed, reject)
	for _, u := range []user{alice, bob} {
		s.eventually(u.name+" to get in", func() bool {
			r := s.radclient(plainClient, u.name, u.password+u.code(0))
			return r.Code == accept
		})
	}
	for _, u := range []user{fast, slow} {
		in, shows := false, fast.shifted(9*time.Minute)
		if u.name == slow.name {
			shows = slow.shifted(-9 * time.Minute)
		}
		for next := int64(0); next < 5 && !in; next++ {
			in = s.radclient(plainClient, u.name, u.password+shows(next)).Code == accept
		}
		if !in {
			t.Errorf("%s does not get in any more\n%s", u.name, s.tail())
		}
	}
	if out, _ := program("doctor", "-config", filepath.Join(s.dir, "lockstep.toml")).CombinedOutput(); !strings.Contains(string(out), "store: restored at") {
		t.Errorf("doctor says nothing:\n%s", out)
	}
}

// big is a site with a state file of many keys, and a backup of it.
func big(t *testing.T, dir string, keys int) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), addr: loopback(), secret: "a secret of 24 octets or more", log: &testenv.Buffer{}}
	s.write("secret", s.secret)
	s.write("people.ldif", ldifText(t, newUser("alice")))
	s.write("lockstep.toml", strings.Replace(fmt.Sprintf(siteTOML, ldifDirectory, s.addr), `"state.db"`, fmt.Sprintf("%q", filepath.Join(dir, "state.db")), 1))
	from, err := bolt.Open(filepath.Join(dir, "state.db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for w := range 64 {
		all.Go(func() {
			for i := w; i < keys; i += 64 {
				if err := from.CompareAndSwap(context.Background(), fmt.Sprintf("key:%08d", i), 0, verifier.State{Spent: []int64{int64(i) + 1}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if err := from.Close(); err != nil {
		t.Fatal(err)
	}
	s.run(0, "", "store", "backup", filepath.Join(s.dir, "backup"))
	return s
}

// keysOf opens the state file, which must be whole, and says what it is.
func keysOf(t *testing.T, path string) (keys int, restored bool) {
	t.Helper()
	s, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.List(t.Context(), func(string, verifier.State) error { keys++; return nil }); err != nil {
		t.Error(err)
	}
	at, err := s.Restored(t.Context())
	if err != nil {
		t.Error(err)
	}
	return keys, !at.IsZero()
}

// Killed at any moment, a restore leaves the old state or the new one, and a backup
// is whole or not there.
func TestKillNineDuringBackupAndRestore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const keys = 20_000
	s := big(t, dir, keys)
	path := filepath.Join(dir, "state.db")
	old, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := old.CompareAndSwap(t.Context(), "since", 0, verifier.State{Failures: 1}); err != nil {
		t.Fatal(err)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	done, killed := false, 0
	for after := 2 * time.Millisecond; !done; after = after * 5 / 4 {
		for _, args := range [][]string{{"backup", filepath.Join(s.dir, fmt.Sprint("b", after))}, {"restore", "-yes", filepath.Join(s.dir, "backup")}} {
			cmd := program(append([]string{"store", args[0], "-config", filepath.Join(s.dir, "lockstep.toml")}, args[1:]...)...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			timer := time.AfterFunc(after, func() { cmd.Process.Kill() })
			err := cmd.Wait()
			timer.Stop()
			if err != nil {
				killed++
			}
			if args[0] == "backup" {
				f, open := os.Open(args[1])
				if (open == nil) != (err == nil) && open != nil {
					t.Errorf("after %v: %v, %v", after, err, open)
				}
				if open == nil {
					if sum, err := store.CheckBackup(f, nil); err != nil || sum.Records < keys {
						t.Errorf("after %v: %+v, %v", after, sum, err)
					}
					f.Close()
				}
				continue
			}
			n, restored := keysOf(t, path)
			if n != keys && n != keys+1 || (n == keys) != restored || err == nil && !restored {
				t.Fatalf("killed after %v: %d keys, restored %v", after, n, restored)
			}
			done = err == nil
		}
	}
	if killed < 4 {
		t.Errorf("only %d were killed", killed)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestFullDiskDuringBackupAndRestore(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("needs root, to mount a small disk")
	}
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=16m"); err != nil {
		t.Skipf("mount: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(disk, syscall.MNT_DETACH) })
	s := big(t, disk, 20_000)
	filler := filepath.Join(disk, "filler")
	os.WriteFile(filler, make([]byte, 16<<20), 0o600) // as far as it goes
	if is, err := os.Stat(filler); err != nil || os.Truncate(filler, is.Size()-200<<10) != nil {
		t.Fatal(err)
	}
	s.run(3, "no space left", "store", "backup", filepath.Join(disk, "backup"))
	s.run(3, "", "store", "restore", "-yes", filepath.Join(s.dir, "backup"))
	os.Remove(filler) // to look at what is there takes room, too
	if n, restored := keysOf(t, filepath.Join(disk, "state.db")); n != 20_000 || restored {
		t.Errorf("%d keys, restored %v", n, restored)
	}
	if left, _ := filepath.Glob(filepath.Join(disk, ".*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if _, err := os.Stat(filepath.Join(disk, "backup")); err == nil {
		t.Error("there is part of a backup")
	}
}

// A cluster is backed up while its servers run, and the backup goes where there is
// nothing, and no server.
func TestBackupAndRestoreOfACluster(t *testing.T) {
	t.Parallel()
	testenv.Tool(t, "radclient")
	alice, bob := newUser("alice"), newUser("bob")
	c := testenv.Etcd(t, 1)
	s := clustered(t, c, "a secret of 24 octets or more", []user{alice, bob}, "prefix = \"/a/\"\n")
	s.launch()
	s.ready()
	s.must(plainClient, "alice", alice.password+alice.code(-1), accept)
	s.run(0, "", "store", "backup", "backup")
	aliceUsed, bobUsed := alice.code(0), bob.code(0)
	s.must(plainClient, "alice", alice.password+aliceUsed, accept)
	s.must(plainClient, "bob", bob.password+bobUsed, accept)
	s.run(3, "stop all servers first", "store", "restore", "-yes", "backup")
	s.end(s.cmd, syscall.SIGTERM)
	s.run(3, "there is state already", "store", "restore", "-yes", "backup")
	s.configure("etcd", c.Endpoints(), "prefix = \"/b/\"\n")
	s.run(0, "1 keys restored", "store", "restore", "-yes", "backup")
	s.launch()
	s.ready()
	s.must(plainClient, "alice", alice.password+aliceUsed, reject)
	s.must(plainClient, "bob", bob.password+bobUsed, reject)
	s.end(s.cmd, syscall.SIGTERM)
	s.run(0, "1 copied", "store", "copy", "etcd", "bolt:copy.db")
	if _, restored := keysOf(t, filepath.Join(s.dir, "copy.db")); !restored {
		t.Error("the copy does not know that it was restored")
	}
}
