package faults

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockstep/internal/testenv"
)

// nodes is a cluster of etcd whose nodes hear one another through links.
type nodes struct {
	all   []*process
	named chan struct{} // closed when all is there to be looked at
	peers []*link       // to each
	urls  []string
	disks []*disk
	web   http.Client
}

// nodeDisk holds two preallocated segments of etcd's log, and a database of an hour's logins.
const nodeDisk = 512 << 20

func startNodes(t testing.TB, dir string, n int, seed uint64) *nodes {
	t.Helper()
	program := testenv.Tool(t, "etcd")
	c := &nodes{named: make(chan struct{}), web: http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}}
	var cluster, listens []string
	for i := range n {
		listens = append(listens, freeAddr(t))
		c.urls = append(c.urls, freeAddr(t))
		c.peers = append(c.peers, newLink(t, listens[i], seed+uint64(i), c.caller))
		cluster = append(cluster, fmt.Sprintf("%s=http://%s", nodeName(i), c.peers[i].addr()))
		c.disks = append(c.disks, newDisk(t, filepath.Join(dir, nodeName(i)), nodeDisk))
	}
	for i := range n {
		arguments := []string{
			"--name", nodeName(i), "--data-dir", filepath.Join(c.disks[i].path, "data"), "--log-level", "warn", "--logger", "zap",
			"--listen-client-urls", "http://" + c.urls[i], "--advertise-client-urls", "http://" + c.urls[i],
			"--listen-peer-urls", "http://" + listens[i], "--initial-advertise-peer-urls", "http://" + c.peers[i].addr(),
			"--initial-cluster", strings.Join(cluster, ","),
		}
		c.all = append(c.all, newProcess(t, dir, nodeName(i), func() *exec.Cmd { return exec.Command(program, arguments...) }))
	}
	close(c.named)
	for _, p := range c.all {
		p.start(t)
	}
	for i := range n {
		testenv.Eventually(t, nodeName(i)+" to be healthy", func() bool { return c.healthy(i) })
	}
	return c
}

func nodeName(i int) string { return fmt.Sprint("etcd", i+1) }

// healthy says whether a node can read at the quorum.
func (c *nodes) healthy(i int) bool {
	response, err := c.web.Get("http://" + c.urls[i] + "/health")
	if err != nil {
		return false
	}
	defer response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// leader returns the number of the node that leads, and of one that follows.
func (c *nodes) leader(t testing.TB) (leader, follower int) {
	t.Helper()
	testenv.Eventually(t, "etcd to have a leader", func() bool {
		for i := range c.all {
			if c.leads(i) {
				leader = i
				return true
			}
		}
		return false
	})
	return leader, (leader + 1) % len(c.all)
}

func (c *nodes) leads(i int) bool {
	response, err := c.web.Get("http://" + c.urls[i] + "/metrics")
	if err != nil {
		return false
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return err == nil && strings.Contains(string(body), "\netcd_server_is_leader 1\n")
}

// split treats what goes between some nodes and the others in a manner.
func (c *nodes) split(some []int, m manner) {
	for i := range c.all {
		for j := range c.all {
			if slices.Contains(some, i) != slices.Contains(some, j) {
				c.peers[j].set(nodeName(i), m)
			}
		}
	}
}

// caller finds out which node is at the other end of a connection: what they say
// to one another does not begin with a name.
func (c *nodes) caller(conn net.Conn) string {
	<-c.named
	for range 5 { // the kernel's list can leave one out while others come and go
		socket := socketOf(conn.RemoteAddr().(*net.TCPAddr))
		for i, p := range c.all {
			if socket != "" && holds(p.pid(), socket) {
				return nodeName(i)
			}
		}
	}
	return ""
}

// socketOf returns the name that /proc has for the socket with a local address
// of loopback.
func socketOf(addr *net.TCPAddr) string {
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return ""
	}
	ip := addr.IP.To4()
	local := fmt.Sprintf("%02X%02X%02X%02X:%04X", ip[3], ip[2], ip[1], ip[0], addr.Port)
	for line := range strings.Lines(string(table)) {
		if f := strings.Fields(line); len(f) > 9 && f[1] == local {
			return "socket:[" + f[9] + "]"
		}
	}
	return ""
}

func holds(pid int, socket string) bool {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	files, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	for _, f := range files {
		if to, err := os.Readlink(filepath.Join(dir, f.Name())); err == nil && to == socket {
			return true
		}
	}
	return false
}

// disk is a small file system of its own, where the machine lets us have one.
type disk struct {
	path    string
	mounted bool
}

func newDisk(t testing.TB, path string, size int) *disk {
	t.Helper()
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	d := &disk{path: path}
	if os.Geteuid() == 0 && syscall.Mount("tmpfs", path, "tmpfs", 0, fmt.Sprint("size=", size)) == nil {
		d.mounted = true
		t.Cleanup(func() { syscall.Unmount(path, syscall.MNT_DETACH) })
	}
	return d
}

// fill leaves no room on the disk.
func (d *disk) fill(t testing.TB) {
	t.Helper()
	f, err := os.Create(d.filler())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size >= 1<<12; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
}

func (d *disk) free() { os.Remove(d.filler()) }

func (d *disk) filler() string { return filepath.Join(d.path, "filler") }

// freeAddr returns an address of loopback that stays free until t ends.
func freeAddr(t testing.TB) string {
	t.Helper()
	return fmt.Sprint("127.0.0.1:", testenv.Port(t))
}
