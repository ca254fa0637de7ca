package server

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// process tells what the process may take, and what it shows of itself.
func (r *report) process(pool int) {
	r.files(openFiles(), pool)
	if path, err := os.Readlink("/proc/self/exe"); err == nil && strings.HasSuffix(path, " (deleted)") {
		r.warn("server.program", "server", "restart it: systemctl restart lockstep", "the program on disk is another than the one that runs")
	}
	var core unix.Rlimit
	dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	if e := unix.Getrlimit(unix.RLIMIT_CORE, &core); e == nil && err == nil && (core.Max > 0 || dumpable != 0) {
		r.warn("server.core", "server", "start it as \"lockstep serve\", which switches them off", "core dumps are not switched off, and would hold keys")
	} else {
		r.ok("server.core", "server", "core dumps are switched off")
	}
}

// descriptors is how many files are open, and how many may be.
type descriptors struct{ open, most uint64 }

func openFiles() descriptors {
	var limit unix.Rlimit
	list, err := os.ReadDir("/proc/self/fd")
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil || err != nil {
		return descriptors{}
	}
	return descriptors{uint64(len(list)), limit.Cur}
}

// files tells whether there may be enough open files: connections to the directory
// above all, two for each bind that is under way at once when servers change.
func (r *report) files(d descriptors, pool int) {
	const id, advice = "server.files", "raise it: LimitNOFILE= in the systemd unit, ulimit -n elsewhere"
	wanted := uint64(2*pool + 128)
	switch {
	case d.most == 0:
		r.untold(id, "server", "", "cannot tell how many files may be open")
	case d.open*10 > d.most*9:
		r.bad(id, "server", advice, "%d of %d files are open", d.open, d.most)
	case d.most < wanted:
		r.warn(id, "server", advice, "%d of %d files are open, and with directory.pool = %d there can be %d", d.open, d.most, pool, wanted)
	default:
		r.ok(id, "server", "%d of %d files are open", d.open, d.most)
	}
}

// swap tells whether memory can be written to disk, keys with it. Nothing is locked in
// memory: it would be all of the replica.
func (r *report) swap(swaps, mostOfCgroup []byte) {
	const id = "server.swap"
	if string(bytes.TrimSpace(mostOfCgroup)) == "0" {
		r.ok(id, "server", "none of its memory is swapped (MemorySwapMax=0)")
		return
	}
	if swaps == nil {
		r.untold(id, "server", "MemorySwapMax=0 in the systemd unit keeps the server out of swap", "cannot tell whether memory can be written to swap: /proc/swaps cannot be read")
		return
	}
	var onDisk []string
	for line := range strings.Lines(string(swaps)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] == "Filename" || strings.HasPrefix(fields[0], "/dev/zram") {
			continue
		}
		onDisk = append(onDisk, fields[0])
	}
	if len(onDisk) == 0 {
		r.ok(id, "server", "this machine has no swap on disk that keys could be written to")
		return
	}
	r.warn(id, "server", "MemorySwapMax=0 in the systemd unit keeps the server out of it; or encrypt it, or switch it off",
		"memory can be swapped to %s, and keys with it", strings.Join(onDisk, ", "))
}

// readSwap returns what swap wants to know, nil for what cannot be read.
func readSwap() (swaps, mostOfCgroup []byte) {
	swaps, _ = os.ReadFile("/proc/swaps")
	own, err := os.ReadFile("/proc/self/cgroup")
	if path, ok := strings.CutPrefix(string(bytes.TrimSpace(own)), "0::"); ok && err == nil {
		mostOfCgroup, _ = os.ReadFile(filepath.Join("/sys/fs/cgroup", path, "memory.swap.max"))
	}
	return swaps, mostOfCgroup
}

// sockets tells of each open RADIUS socket whether it holds what comes at once.
func (r *report) sockets(conns []net.PacketConn) {
	drops := map[uint64]udpQueue{}
	for _, table := range []string{"/proc/self/net/udp", "/proc/self/net/udp6"} {
		if text, err := os.ReadFile(table); err == nil {
			parseUDP(text, drops)
		}
	}
	for _, conn := range conns {
		s, err := look(conn)
		if err != nil {
			r.untold("socket.queue", "socket "+conn.LocalAddr().String(), "", "%v", err)
			continue
		}
		queue, known := drops[s.inode]
		r.socket("socket "+conn.LocalAddr().String(), s.buffer, queue, known)
	}
}

// wantedBuffer is what radiusd asks for. The kernel says twice as much, and counts its
// own needs in.
const wantedBuffer = 4 << 20

func (r *report) socket(subject string, buffer int, q udpQueue, known bool) {
	const id = "socket.queue"
	const advice = "sysctl -w net.core.rmem_max=4194304 (and in /etc/sysctl.d), then restart; AmbientCapabilities=CAP_NET_ADMIN does it, too"
	text := fmt.Sprintf("holds %s of requests that wait to be read", size(int64(buffer/2)))
	switch {
	case known && q.drops > 0:
		more := advice
		if buffer >= 2*wantedBuffer {
			more = "more requests come at once than this machine can read: look at its load, and at what sends them"
		}
		r.warn(id, subject, more, "%s; it was full, and the kernel has dropped %s", text, counted(q.drops, "packet"))
	case buffer < 2*wantedBuffer:
		r.warn(id, subject, advice, "%s, and should hold %s: what comes at once, as after a power cut, is dropped", text, size(wantedBuffer))
	case !known:
		r.untold(id, subject, "", "%s; cannot tell how many were dropped", text)
	default:
		r.ok(id, subject, "%s; none was dropped", text)
	}
}

// opened is what is known of an open socket.
type opened struct {
	inode  uint64
	buffer int
}

func look(conn net.PacketConn) (s opened, err error) {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return s, fmt.Errorf("not a socket of this machine")
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return s, err
	}
	var fault error
	err = raw.Control(func(fd uintptr) {
		var st unix.Stat_t
		if fault = unix.Fstat(int(fd), &st); fault == nil {
			s.inode = st.Ino
			s.buffer, fault = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF)
		}
	})
	if err != nil {
		return s, err
	}
	return s, fault
}

// udpQueue is what the kernel says of a UDP socket.
type udpQueue struct{ waiting, drops uint64 } // waiting: bytes

// parseUDP adds the sockets of /proc/net/udp to all, by inode: proc(5). Lines that do not
// look like that are left out.
func parseUDP(text []byte, all map[uint64]udpQueue) {
	for scan := bufio.NewScanner(bytes.NewReader(text)); scan.Scan(); {
		f := strings.Fields(scan.Text())
		if len(f) < 13 {
			continue
		}
		_, queue, ok := strings.Cut(f[4], ":")
		waiting, err := strconv.ParseUint(queue, 16, 64)
		inode, e := strconv.ParseUint(f[9], 10, 64)
		drops, e2 := strconv.ParseUint(f[12], 10, 64)
		if ok && err == nil && e == nil && e2 == nil {
			all[inode] = udpQueue{waiting, drops}
		}
	}
}
